package commands

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"

	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"tokar/format"
	"tokar/format/keyslot"
)

// open opens a file that a flag names. "-" is stdin. A process that is not
// dumpable may not open /dev/fd/N and its like (bash's <(command) is one), so
// those are duplicated instead.
func (s *session) open(path, what string) (*os.File, error) {
	n, ok := descriptor(path)
	if path == "-" {
		n, ok = 0, true
	}
	switch {
	case !ok && keyslot.IsSecretKey(path):
		return nil, usagef(s.name, "a secret key is given by the name of its file, never itself")
	case !ok:
		return os.Open(path)
	}
	if n == 0 {
		if err := s.claimStdin(what); err != nil {
			return nil, err
		}
	}
	return duplicate(n)
}

// descriptor is the N of /dev/fd/N and the other names for one.
func descriptor(path string) (int, bool) {
	switch path {
	case "/dev/stdin":
		return 0, true
	case "/dev/stdout":
		return 1, true
	case "/dev/stderr":
		return 2, true
	}
	dir, base := filepath.Split(path)
	if dir != "/dev/fd/" && dir != "/proc/self/fd/" {
		return 0, false
	}
	n, err := strconv.Atoi(base)
	return n, err == nil && n >= 0
}

// duplicate gives a descriptor that whoever started tokar left open for it.
// What the runtime and tokar open themselves is closed on exec, what was
// inherited cannot be: without this look, a passphrase from a descriptor that
// somebody forgot to open would be the text of some file of the runtime's.
func duplicate(n int) (*os.File, error) {
	flags, err := unix.FcntlInt(uintptr(n), unix.F_GETFD, 0)
	if err == nil && flags&unix.FD_CLOEXEC != 0 {
		err = unix.EBADF
	}
	fd := -1
	if err == nil {
		fd, err = unix.FcntlInt(uintptr(n), unix.F_DUPFD_CLOEXEC, 3)
	}
	if err != nil {
		return nil, fmt.Errorf("descriptor %d is not open", n)
	}
	return os.NewFile(uintptr(fd), fmt.Sprintf("/dev/fd/%d", n)), nil
}

// claimStdin lets one reader have stdin: two would each get a part, and a
// passphrase could come out of an archive.
func (s *session) claimStdin(what string) error {
	if s.stdinFor != "" && s.stdinFor != what {
		return usagef(s.name, "stdin is read for %s and cannot give %s too", s.stdinFor, what)
	}
	s.stdinFor = what
	return nil
}

// An archiveFile is an archive, open for reading. Its Reader is the file
// itself where that can seek.
type archiveFile struct {
	io.Reader
	file *os.File
	path string  // as it was named
	head limited // of what came through a pipe, to say what it is
}

const theArchive = "the archive"

// claimArchive takes stdin for the archive, if it comes from there, before a
// key or a list of names is read from it.
func (s *session) claimArchive(path string) error {
	if n, ok := descriptor(path); path == "" || path == "-" || ok && n == 0 {
		return s.claimStdin(theArchive)
	}
	return nil
}

func (s *session) openArchive(path string) (*archiveFile, error) {
	if err := refuseRemote(s.name, path); err != nil {
		return nil, err
	}
	if path == "" {
		path = "-"
		if err := s.forgottenFlag(); err != nil {
			return nil, err
		}
	}
	f, err := s.open(path, theArchive)
	if err != nil {
		return nil, err
	}
	a := &archiveFile{Reader: f, file: f, path: path}
	info, err := f.Stat()
	switch {
	case err != nil:
	case info.IsDir():
		err = s.directory(path)
	case term.IsTerminal(int(f.Fd())):
		err = usagef(s.name, "the archive would be read from the terminal; give it with -f FILE or through a pipe")
	case !info.Mode().IsRegular():
		a.Reader = io.TeeReader(s.patient(f), &a.head)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	s.showProgress(a.through)
	return a, nil
}

// forgottenFlag finds an archive among the operands, where -f was left out:
// stdin may be empty then, as in cron, and would be taken for a bad archive.
func (s *session) forgottenFlag() error {
	for _, o := range s.operands {
		if isArchive(o.text) {
			return usagef(s.name, "the archive is -f %s", quote(o.text))
		}
	}
	return nil
}

// isArchive says whether a file begins as archives do.
func isArchive(path string) bool {
	if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() {
		return false
	}
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	head := make([]byte, len(format.Magic))
	io.ReadFull(f, head)
	return string(head) == format.Magic
}

func (a *archiveFile) Close() error { return a.file.Close() }

// refuseRemote answers names that look like another host's. A colon alone
// means nothing.
func refuseRemote(command, path string) error {
	for scheme, program := range map[string]string{"s3://": "aws s3 cp", "ssh://": "ssh HOST"} {
		if strings.HasPrefix(path, scheme) {
			return usagef(command, "%s: no archive is read from or written to %s yet; pipe it through %s for now", quote(path), scheme, program)
		}
	}
	return nil
}

// A patientReader reads from a pipe and stops when ctx ends, though nothing
// comes.
type patientReader struct {
	ctx context.Context
	f   *os.File
}

func (r *patientReader) Read(p []byte) (int, error) {
	fds := []unix.PollFd{{Fd: int32(r.f.Fd()), Events: unix.POLLIN}}
	for {
		if err := context.Cause(r.ctx); err != nil {
			return 0, err
		}
		switch n, err := unix.Poll(fds, 100); {
		case err != nil && err != unix.EINTR:
			return 0, err
		case n > 0:
			return r.f.Read(p)
		}
	}
}

// patient reads f, and stops when the run does.
func (s *session) patient(f *os.File) io.Reader { return &patientReader{s.ctx, f} }

// limited keeps the first bytes and counts the rest.
type limited struct {
	first bytes.Buffer
	came  atomic.Uint64
}

func (l *limited) Write(p []byte) (int, error) {
	if room := headSize - l.first.Len(); room > 0 {
		l.first.Write(p[:min(room, len(p))])
	}
	l.came.Add(uint64(len(p)))
	return len(p), nil
}
