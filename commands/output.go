package commands

import (
	"cmp"
	"crypto/rand"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"tokar/format"
)

// outputOptions say what may be written over.
type outputOptions struct {
	what     string       // what is written, for messages: "the archive"
	flag     string       // that names it: "-f"
	replace  string       // an existing file is replaced if it begins so
	force    bool         // … or whatever it is
	terminal bool         // bytes may go to a terminal
	discard  bool         // look whether it could be written, and write nothing
	look     func() error // says instead whether an existing file may be replaced
	mode     os.FileMode
}

// An output is a file in the making: under another name in the same directory
// until it is whole, so that its own name is there only when it is. It may
// also be stdout, a pipe or a device, which cannot be taken back.
type output struct {
	*os.File
	path    string // the name it will have; empty if it is not renamed
	stdout  bool
	fresh   bool // nothing of that name was there
	stayed  bool // it has its name, and it is not known to be durable
	release func()
	opts    outputOptions
}

// create opens an output. "" and "-" are stdout.
func (s *session) create(path string, o outputOptions) (*output, error) {
	if err := refuseRemote(s.name, path); err != nil {
		return nil, err
	}
	n, numbered := descriptor(path)
	o.terminal = o.terminal || numbered
	if path == "" || path == "-" {
		n, numbered = 1, true
	}
	if numbered {
		return s.existingOutput(n, o)
	}
	target, err := filepath.EvalSymlinks(path)
	if errors.Is(err, os.ErrNotExist) {
		if _, lerr := os.Lstat(path); lerr == nil {
			return nil, failedf("", "%s is a symlink to nothing", quote(path))
		}
		return s.newOutput(path, true, o)
	}
	if err != nil {
		return nil, err
	}
	info, err := os.Stat(target)
	switch {
	case err != nil:
		return nil, err
	case info.IsDir():
		return nil, failedf("give the name of a file", "%s is a directory", quote(path))
	case !info.Mode().IsRegular():
		return openDevice(target, o)
	}
	if err := mayReplace(target, o); err != nil {
		return nil, err
	}
	return s.newOutput(target, false, o)
}

// existingOutput writes to a descriptor that was open before us.
func (s *session) existingOutput(n int, o outputOptions) (*output, error) {
	if n == 1 && closedAtStart(os.Stdout) {
		return nil, failedf("", "stdout is closed")
	}
	f, err := duplicate(n)
	if err != nil {
		return nil, err
	}
	if !o.terminal && term.IsTerminal(int(f.Fd())) {
		f.Close()
		return nil, usagef(s.name, "%s would go to the terminal; write it to a file or a pipe, or force it with %s /dev/stdout", o.what, o.flag)
	}
	if o.discard {
		f.Close()
		return discarded(n == 1)
	}
	return &output{File: f, stdout: n == 1, opts: o}, nil
}

// discarded is the output of a dry run.
func discarded(stdout bool) (*output, error) {
	f, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	return &output{File: f, stdout: stdout, opts: outputOptions{discard: true}}, err
}

// closedAtStart says whether a descriptor was closed when we began: the Go
// runtime then puts /dev/null there, open for reading and writing, and what
// is written would be lost without an error.
func closedAtStart(f *os.File) bool {
	flags, err := unix.FcntlInt(f.Fd(), unix.F_GETFL, 0)
	if err != nil || flags&unix.O_ACCMODE != unix.O_RDWR {
		return err != nil
	}
	null, err := os.Stat(os.DevNull)
	info, err2 := f.Stat()
	return err == nil && err2 == nil && os.SameFile(null, info)
}

func openDevice(path string, o outputOptions) (*output, error) {
	if o.discard {
		return discarded(false)
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return nil, err
	}
	return &output{File: f, opts: o}, nil
}

// mayReplace refuses to write over what is no file of ours: the oldest of
// tar's accidents is the first operand taken for the archive.
func mayReplace(path string, o outputOptions) error {
	if o.look != nil {
		return o.look()
	}
	if o.force {
		return nil
	}
	if o.replace == "" {
		return failedf("use another name, or --force", "%s exists and is not written over", quote(path))
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	head := make([]byte, len(o.replace))
	if _, err := io.ReadFull(f, head); err != nil || string(head) != o.replace {
		return failedf("use another name, or --force", "%s exists, is no tokar archive and is not written over", quote(path))
	}
	return nil
}

func (s *session) newOutput(path string, fresh bool, o outputOptions) (*output, error) {
	dir, base := filepath.Split(path)
	if o.discard {
		if err := unix.Access(filepath.Join(dir, "."), unix.W_OK); err != nil {
			return nil, notMade(path, fresh, err)
		}
		return discarded(false)
	}
	prefix := filepath.Join(dir, "."+base[:min(len(base), 200)]+".part-")
	sweep(prefix)
	f, err := os.OpenFile(prefix+rand.Text(), os.O_RDWR|os.O_CREATE|os.O_EXCL|unix.O_NOFOLLOW, cmp.Or(o.mode, 0o600))
	if err != nil {
		return nil, notMade(path, fresh, causeOf(err))
	}
	unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) // tells sweep that somebody is at work
	name := f.Name()
	return &output{File: f, path: path, fresh: fresh, opts: o, release: s.signals.atExit(func() { os.Remove(name) })}, nil
}

// notMade is the error of a directory in which no file can be made.
func notMade(path string, fresh bool, cause error) error {
	if fresh {
		return &os.PathError{Op: "create", Path: path, Err: cause}
	}
	return failedf("", "%s cannot be replaced, nothing can be made beside it: %w", quote(path), cause)
}

// sweep removes what killed runs left. A live one holds its lock; one that is
// a minute old and not locked has nobody.
func sweep(prefix string) {
	dir, base := filepath.Split(prefix)
	if dir == "" {
		dir = "."
	}
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), base) || !e.Type().IsRegular() {
			continue
		}
		info, err := e.Info()
		if err != nil || time.Since(info.ModTime()) < time.Minute {
			continue
		}
		path := filepath.Join(dir, e.Name())
		f, err := os.OpenFile(path, os.O_RDWR|unix.O_NOFOLLOW, 0)
		if err != nil {
			continue
		}
		if unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil {
			os.Remove(path)
		}
		f.Close()
	}
}

// commit makes the output whole under its own name, and durable. When it fails
// the name has what it had, or the exit code is that of a run that stopped
// part-way.
func (o *output) commit() error {
	if o.path == "" {
		return o.File.Close()
	}
	defer o.release()
	defer os.Remove(o.Name()) // the new file, or the one that it was exchanged for
	err := o.Sync()
	if cerr := o.File.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return err
	}
	undo, err := o.rename(o.Name())
	if err != nil {
		return err
	}
	if err := syncDir(filepath.Dir(o.path)); err != nil {
		return errors.Join(err, undo())
	}
	return nil
}

// rename puts the whole file in its place, and looks again at what is there: a
// run takes a while. undo puts back what was there.
func (o *output) rename(temporary string) (undo func() error, err error) {
	remove := func() error { return o.stays(os.Remove(o.path)) }
	if o.fresh && !o.opts.force {
		return remove, renameNew(temporary, o.path)
	}
	if err := mayReplace(o.path, o.opts); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	info, err := os.Lstat(o.path)
	if errors.Is(err, os.ErrNotExist) {
		return remove, os.Rename(temporary, o.path)
	}
	if err != nil || !info.Mode().IsRegular() {
		return nil, errors.Join(err, os.ErrExist)
	}
	exchange := func() error {
		return unix.Renameat2(unix.AT_FDCWD, temporary, unix.AT_FDCWD, o.path, unix.RENAME_EXCHANGE)
	}
	if err = exchange(); err == unix.EINVAL || err == unix.ENOSYS { // a file system that cannot
		return func() error { return o.stays(errors.New("the old one is gone")) }, os.Rename(temporary, o.path)
	}
	if err != nil {
		err = &os.LinkError{Op: "rename", Old: temporary, New: o.path, Err: err}
	}
	return func() error { return o.stays(exchange()) }, err
}

// stays notes that a new file could not be taken back.
func (o *output) stays(err error) error {
	if err == nil {
		return nil
	}
	o.stayed = true
	return &failure{code: exitPartway, err: err}
}

// abandon removes what was not committed.
func (o *output) abandon() {
	o.File.Close()
	if o.path != "" {
		os.Remove(o.Name())
		o.release()
	}
}

// renameNew renames and never replaces, even a file made in this moment.
func renameNew(from, to string) error {
	err := unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, to, unix.RENAME_NOREPLACE)
	if err == unix.EINVAL || err == unix.ENOSYS { // a file system that cannot
		if err = os.Link(from, to); err == nil {
			err = os.Remove(from)
		}
	}
	if err != nil {
		return &os.LinkError{Op: "rename", Old: from, New: to, Err: err}
	}
	return nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := d.Sync(); err != nil && !errors.Is(err, unix.EINVAL) {
		return err
	}
	return nil
}

// reread reads what was written to a file that has not got its name yet.
func (o *output) reread() io.Reader { return io.NewSectionReader(o.File, 0, 1<<62) }

// untouched says what a failed run left.
func (o *output) untouched() string {
	switch {
	case o.opts.discard:
		return "nothing was written"
	case o.path == "":
		return "what was written is no archive"
	case o.stayed:
		return quote(o.path) + " is new and whole, and a loss of power may undo that"
	case o.fresh:
		return quote(o.path) + " was not made"
	}
	return quote(o.path) + " is as it was"
}

// archiveOutput is how archives are written.
func archiveOutput(force bool) outputOptions {
	return outputOptions{what: "the archive", flag: "-f", replace: format.Magic, force: force}
}
