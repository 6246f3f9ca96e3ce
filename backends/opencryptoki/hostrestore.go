package opencryptoki

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"tokar/backends"
	"tokar/backends/opencryptoki/config"
	"tokar/backends/swap"
	"tokar/format"
)

const (
	newSuffix = swap.Suffix
	// maxConfigBytes bounds what is kept of one configuration.
	maxConfigBytes = 64 << 20
)

// configStaging compares an archived configuration with the host's, and puts it in
// its place only where that was asked for. What is to be written stands beside its
// place as .NAME.tokar-new before any of it is renamed.
type configStaging struct {
	c     Host
	token *format.Token
	o     backends.RestoreOptions

	mu    sync.Mutex
	files []archivedFile
	size  int

	findings []format.Finding
	writes   []*configWrite
	lock     int // descriptor of the directory of opencryptoki.conf; -1: none
}

type archivedFile struct {
	name format.Name
	seq  uint64
	data []byte
	attr format.Attr
}

// Restore begins to compare the configuration t with the host's. The directory
// does not matter: a configuration has its place.
func (c Host) Restore(_ context.Context, _ string, t *format.Token, o backends.RestoreOptions) (backends.Staging, error) {
	if o.Configuration && c.path == "" {
		return nil, errors.New("it is not said where this host's configuration is")
	}
	return &configStaging{c: c, token: t, o: o, lock: -1}, nil
}

// Put keeps the files.
func (s *configStaging) Put(ctx context.Context, rs []*format.Record) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range rs {
		if err := ctx.Err(); err != nil {
			return err
		}
		path, ok := pathIn(r.Name, "/", "/")
		if r.Kind != format.KindState || r.Name.Check() != nil || !ok || path == "" {
			return fmt.Errorf("%s: %s %q: %w", s.token.Name, r.Kind, r.Name.String(), backends.ErrBadName)
		}
		s.files = slices.DeleteFunc(s.files, func(f archivedFile) bool { return bytes.Equal(f.name, r.Name) })
		if r.Absent() {
			continue
		}
		if s.size += len(r.Data); s.size > maxConfigBytes {
			return fmt.Errorf("%s: more than %d bytes of configuration", s.token.Name, maxConfigBytes)
		}
		s.files = append(s.files, archivedFile{bytes.Clone(r.Name), r.Seq, bytes.Clone(r.Data), r.Details.Attr})
	}
	return nil
}

// Order takes no notice: there is no index.
func (s *configStaging) Order(*format.Record, bool) error { return nil }

func (s *configStaging) note(form string, args ...any) {
	if s.o.Note != nil {
		s.o.Note(fmt.Sprintf(form, args...))
	}
}

// Finish says how the files differ from the host's, and prepares what is to be
// written.
func (s *configStaging) Finish(ctx context.Context) ([]format.Finding, error) {
	slices.SortFunc(s.files, func(a, b archivedFile) int { return cmp.Compare(a.seq, b.seq) })
	if s.c.path == "" {
		s.elsewhere()
		return nil, nil
	}
	conf, err := filepath.Abs(s.c.path)
	if err != nil {
		return nil, err
	}
	var differ []archivedFile
	for _, f := range s.files {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		same, err := s.compare(f, conf)
		if err != nil {
			return nil, err
		}
		if !same {
			differ = append(differ, f)
		}
	}
	switch {
	case len(differ) == 0:
		s.note("the configuration is that of this host")
	case !s.o.Configuration:
		s.note("it stays as it is here; --configuration writes the archive's, and keeps today's as NAME%s", oldSuffix)
	case !s.o.DryRun:
		if err := s.prepare(conf, differ); err != nil {
			return nil, fmt.Errorf("the configuration: %w", err)
		}
	}
	return s.findings, nil
}

// elsewhere compares with the files where the archive says that they were, and
// tells nothing of what is in those: a path from an archive is anybody's.
func (s *configStaging) elsewhere() {
	conf := s.token.Property(propPath)
	if !filepath.IsAbs(conf) {
		return
	}
	how := "is not there on this host"
	if now, err := readBeside(conf, nil); err == nil {
		how = "is the same on this host"
		for _, f := range s.files {
			path, _ := pathIn(f.name, conf, "/")
			if len(f.name.Components()) > 1 {
				continue
			}
			if now, err = readBeside(path, nil); err != nil || !bytes.Equal(now.data, f.data) {
				how = "differs on this host"
			}
		}
	}
	s.note("the configuration %q of the archive's host %s; --config FILE shows the difference, and with --configuration writes it", conf, how)
}

// compare tells how one file differs from the host's.
func (s *configStaging) compare(f archivedFile, conf string) (same bool, err error) {
	path := s.place(f, conf)
	now, err := readBeside(path, nil)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		s.note("%s is not there; the archive has it, %d bytes", path, len(f.data))
		return false, nil
	case err != nil && !ofEntry(err):
		return false, fmt.Errorf("cannot read %s: %w", path, err)
	case err != nil:
		s.note("%s cannot be compared: %v", path, err)
		return false, nil
	case bytes.Equal(now.data, f.data):
		return true, nil
	}
	if secretFile(f.name, conf, s.c.file, s.archived()) || !isText(now.data) || !isText(f.data) {
		s.note("%s differs from the archive's; tokar cat shows that", path)
		return false, nil
	}
	s.note("%s (-) differs from the archive's (+):", path)
	for _, line := range lineDiff(now.data, f.data) {
		s.note("%s", line)
	}
	return false, nil
}

// archived is the archived opencryptoki.conf, as far as it can be read.
func (s *configStaging) archived() *config.File {
	for _, f := range s.files {
		if bytes.Equal(f.name, s.token.Name) {
			if c, err := config.Parse(f.data); err == nil {
				return c
			}
		}
	}
	return &config.File{}
}

func isText(b []byte) bool { return utf8.Valid(b) && bytes.IndexByte(b, 0) < 0 }

// prepare writes the files beside their places.
func (s *configStaging) prepare(conf string, files []archivedFile) (err error) {
	if s.lock, err = openReal(filepath.Dir(conf)); err != nil {
		return err
	}
	if err := unix.Flock(s.lock, unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return fmt.Errorf("%s: %w", filepath.Dir(conf), backends.ErrBusy)
	}
	for _, f := range files {
		path := s.place(f, conf)
		if !s.mayWrite(f, conf) {
			s.findings = append(s.findings, finding(NotWritten, path, -1, "it is no *.conf beside %s, and no slot there names it", filepath.Base(conf)))
			continue
		}
		if operation(f.name) {
			if err := makeOperations(filepath.Dir(path)); err != nil {
				return err
			}
		}
		w, err := s.write(f, path)
		if w != nil {
			s.writes = append(s.writes, w)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	return nil
}

// place is where an archived file belongs on this host. opencryptoki.conf may be
// called otherwise here.
func (s *configStaging) place(f archivedFile, conf string) string {
	if bytes.Equal(f.name, s.token.Name) {
		return conf
	}
	path, _ := pathIn(f.name, conf, s.c.base)
	return path
}

// operation says whether a file is one of a change of HSM master keys.
func operation(name format.Name) bool {
	parts := name.Components()
	return len(parts) == 2 && parts[0] == masterState
}

// mayWrite: whoever made the archive chose its names, and this host says which of
// them it takes.
func (s *configStaging) mayWrite(f archivedFile, conf string) bool {
	if bytes.Equal(f.name, s.token.Name) || operation(f.name) {
		return true
	}
	beside := len(f.name.Components()) == 1 && !strings.HasPrefix(f.name.String(), ".") && strings.HasSuffix(f.name.String(), ".conf")
	return beside || slices.ContainsFunc(s.c.file.Beside(), func(named string) bool {
		name, _ := nameOf(named, conf)
		return bytes.Equal(name, f.name)
	})
}

// openReal opens a directory that may be behind links.
func openReal(dir string) (int, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return -1, err
	}
	real, err := filepath.EvalSymlinks(abs)
	if err != nil {
		return -1, err
	}
	return openPlace(real)
}

// makeOperations makes HSM_MK_CHANGE if there is none, as pkcsslotd does.
func makeOperations(dir string) error {
	base, err := openReal(filepath.Dir(dir))
	if err != nil {
		return err
	}
	defer unix.Close(base)
	if err := unix.Mkdirat(base, masterState, 0o770); err != nil {
		if err == unix.EEXIST {
			return nil
		}
		return err
	}
	var st unix.Stat_t
	if err := unix.Fstat(base, &st); err != nil {
		return err
	}
	if err := unix.Fchmodat(base, masterState, 0o770, 0); err != nil {
		return err
	}
	if err := unix.Fchownat(base, masterState, -1, int(st.Gid), unix.AT_SYMLINK_NOFOLLOW); err != nil && err != unix.EPERM {
		return err
	}
	return unix.Fsync(base)
}

// Commit renames what was prepared.
func (s *configStaging) Commit(ctx context.Context) ([]format.Finding, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	for i, w := range s.writes {
		if err := w.commit(); err != nil {
			err = fmt.Errorf("cannot put %s in place safely: %w", w.path, err)
			new := i
			if w.done {
				new++
			}
			if new > 0 {
				err = fmt.Errorf("%w; %d of %d files of the configuration are new (%w)", err, new, len(s.writes), backends.ErrPartway)
			}
			return nil, err
		}
	}
	return nil, nil
}

// Close removes what was not put in its place.
func (s *configStaging) Close() error {
	var errs []error
	for _, w := range s.writes {
		errs = append(errs, w.close())
	}
	s.writes = nil
	for i := range s.files {
		clear(s.files[i].data)
	}
	if s.lock >= 0 {
		unix.Close(s.lock)
		s.lock = -1
	}
	return errors.Join(errs...)
}
