package opencryptoki

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"tokar/backends"
	"tokar/format"
)

// Suffixes of what stands beside tokens while they are restored, and after.
const (
	stagingSuffix = ".tokar-new"
	oldSuffix     = ".tokar-old"
)

// staging is a token directory being built in base/.NAME.tokar-new, which it
// keeps locked (flock): what stands there without a lock is debris of a run
// that was killed. Parts of NAME are joined by "+", so that tpm/USER too is
// built beside what will be its parent.
type staging struct {
	root      *os.Root // the directory restored into, to clean up there
	base, dir int      // descriptors of it, and of the place
	place     string   // name of the place in base
	token     *format.Token
	whole     bool

	creating sync.Mutex // one worker creates files at a time
	mu       sync.Mutex // guards what follows
	names    [][]string // paths of the files put, while they are few
	files    int
	notSet   notSet
	order    order

	committed bool
}

// Restore begins to build t below dir. A token of that name there already is
// refused (backends.ErrExists), as is one that another process is restoring
// (backends.ErrBusy). What a killed run left is cleared away.
func (Backend) Restore(ctx context.Context, dir string, t *format.Token, o backends.RestoreOptions) (backends.Staging, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := checkToken(t); err != nil {
		return nil, err
	}
	s := &staging{
		base: -1, dir: -1, token: t, whole: o.Whole,
		place: "." + strings.Join(t.Name.Components(), "+") + stagingSuffix,
	}
	err := s.openBase(dir)
	switch {
	case err == nil && o.DryRun:
		err = s.couldOpen()
	case err == nil:
		err = s.open()
	}
	if err != nil || o.DryRun {
		s.Close()
	}
	switch {
	case err != nil:
		return nil, fmt.Errorf("cannot restore token %s into %s: %w", t.Name, dir, err)
	case o.DryRun:
		return nil, nil
	}
	return s, nil
}

// openBase opens the directory to restore into, and looks whether the token's
// name is free.
func (s *staging) openBase(path string) (err error) {
	if s.root, err = os.OpenRoot(path); err != nil {
		return err
	}
	dir, err := s.root.Open(".")
	if err != nil {
		return err
	}
	defer dir.Close()
	if s.base, err = unix.FcntlInt(dir.Fd(), unix.F_DUPFD_CLOEXEC, 0); err != nil {
		return err
	}
	return s.checkFree()
}

// open makes the place.
func (s *staging) open() (err error) {
	if err := s.clearDebris(); err != nil {
		return err
	}
	if err := unix.Mkdirat(s.base, s.place, 0o700); err != nil {
		return err
	}
	if s.dir, err = s.lock(); err != nil {
		return err
	}
	for _, d := range s.token.Directories {
		if len(d.Name) == 0 {
			continue
		}
		fd, err := makeDirs(s.dir, d.Name.Components())
		if err != nil {
			return fmt.Errorf("cannot make directory %s: %w", d.Name, err)
		}
		unix.Close(fd)
	}
	return nil
}

// couldOpen says whether open could make the place.
func (s *staging) couldOpen() error {
	if exists(s.base, s.place) {
		fd, err := s.lock()
		if err != nil {
			return err
		}
		unix.Close(fd)
	}
	return unix.Faccessat(s.base, ".", unix.W_OK|unix.X_OK, unix.AT_EACCESS)
}

// checkFree refuses a target that is there.
func (s *staging) checkFree() error {
	parts := s.token.Name.Components()
	parent, err := openPath(s.base, parts)
	if errors.Is(err, unix.ENOENT) {
		return nil // Commit makes it
	}
	if err != nil {
		return err
	}
	defer unix.Close(parent)
	switch {
	case exists(parent, parts[len(parts)-1]):
		return backends.ErrExists
	case len(parts) > 1 && parts[0] != tpmBase && exists(parent, nvtokName):
		return fmt.Errorf("it would lie inside another token: %w", backends.ErrBadName)
	}
	return nil
}

// lock opens the place and locks it.
func (s *staging) lock() (int, error) {
	fd, err := openDir(s.base, s.place)
	if err != nil {
		return -1, err
	}
	if err := unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB); err != nil {
		unix.Close(fd)
		if errors.Is(err, unix.EWOULDBLOCK) {
			err = backends.ErrBusy
		}
		return -1, err
	}
	return fd, nil
}

// clearDebris takes a place that a killed run left out of the way. It is
// deleted at the end: ext4 is slow to create files just after many were
// deleted.
func (s *staging) clearDebris() error {
	if !exists(s.base, s.place) {
		return nil
	}
	fd, err := s.lock()
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := s.root.RemoveAll(s.debris()); err != nil {
		return err
	}
	return unix.Renameat(s.base, s.place, s.base, s.debris())
}

// debris is a name that is no token's place: none ends in the suffix.
func (s *staging) debris() string { return s.place + stagingSuffix }

// makeDirs makes the directories named one below the other and opens the last.
func makeDirs(dir int, parts []string) (int, error) {
	fd, err := unix.FcntlInt(uintptr(dir), unix.F_DUPFD_CLOEXEC, 0)
	for i := 0; i < len(parts) && err == nil; i++ {
		err = unix.Mkdirat(fd, parts[i], 0o700)
		if err == nil || errors.Is(err, unix.EEXIST) {
			var next int
			next, err = openDir(fd, parts[i])
			unix.Close(fd)
			fd = next
		} else {
			unix.Close(fd)
		}
	}
	return fd, err
}

// checkToken checks the names in a descriptor by this kind's own rules.
func checkToken(t *format.Token) error {
	if err := checkTokenName(t.Name); err != nil {
		return err
	}
	for i, d := range t.Directories {
		if len(d.Name) == 0 && i == 0 {
			continue
		}
		parts := d.Name.Components()
		if d.Name.Check() != nil || len(parts) > maxParts {
			return fmt.Errorf("token %s: directory %q: %w", t.Name, d.Name.String(), backends.ErrBadName)
		}
	}
	return nil
}

// checkTokenName refuses what Find would not find again.
func checkTokenName(name format.Name) error {
	parts := name.Components()
	bad := name.Check() != nil || len(parts) > maxParts || len(name) > 200
	for _, p := range parts {
		bad = bad || noToken(p) != ""
	}
	if bad {
		return fmt.Errorf("token %q: %w", name.String(), backends.ErrBadName)
	}
	return nil
}

// placeOf checks an entry's name by this kind's own rules and gives its path
// below the token directory.
func placeOf(kind format.Kind, name format.Name) (parts []string, err error) {
	bad := name.Check() != nil
	if !bad {
		parts = name.Components()
		bad = len(parts) > maxParts
	}
	switch kind {
	case format.KindObject:
		bad = bad || !isObjectName(name)
		parts = []string{objectsName, string(name)}
	case format.KindState:
		bad = bad || stateRank(parts) == 0
	case format.KindIndex:
		bad = bad || name.String() != indexPath
	case format.KindForeign:
		bad = bad || stateRank(parts) > 0 || name.String() == indexPath || name.String() == objectsName ||
			len(parts) == 2 && parts[0] == objectsName && isObjectName(parts[1])
	default:
		bad = true
	}
	if bad {
		return nil, fmt.Errorf("%s %q: %w", kind, name.String(), backends.ErrBadName)
	}
	return parts, nil
}
