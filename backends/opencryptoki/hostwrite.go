package opencryptoki

import (
	"errors"
	"fmt"
	"path/filepath"

	"golang.org/x/sys/unix"

	"tokar/backends"
	"tokar/format"
)

// configWrite is a file that stands beside its place.
type configWrite struct {
	path       string
	dir        int
	name, temp string
	keep       bool // what stands there as NAME.tokar-old
	done       bool
}

// write makes the file beside its place. Owner and mode are those of the file that
// it replaces, else the archive's as far as this host knows them.
func (s *configStaging) write(f archivedFile, path string) (*configWrite, error) {
	w := &configWrite{path: path, dir: -1, name: filepath.Base(path)}
	w.temp = "." + w.name + newSuffix
	var err error
	if w.dir, err = openReal(filepath.Dir(path)); err != nil {
		return nil, err
	}
	var st unix.Stat_t
	err = unix.Fstatat(w.dir, w.name, &st, unix.AT_SYMLINK_NOFOLLOW)
	there := err == nil
	switch {
	case err != nil && err != unix.ENOENT:
		return w, err
	case there && st.Mode&unix.S_IFMT != unix.S_IFREG:
		return w, errors.New("what is there is no regular file, and is not replaced")
	case there && s.o.Fresh:
		return w, backends.ErrExists
	}
	w.keep = there && !s.o.NoKeep
	if w.keep {
		if err := w.noOldCopy(&st); err != nil {
			return w, err
		}
	}
	if err := unix.Unlinkat(w.dir, w.temp, 0); err != nil && err != unix.ENOENT { // a killed run's
		return w, err
	}
	fd, err := openat(w.dir, []byte(w.temp), unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return w, err
	}
	defer unix.Close(fd)
	for rest := f.data; len(rest) > 0; {
		n, err := unix.Write(fd, rest)
		if err != nil && err != unix.EINTR {
			return w, err
		}
		rest = rest[max(n, 0):]
	}
	mode, uid, gid := uint32(st.Mode&0o777), int(st.Uid), int(st.Gid)
	if !there {
		mode, uid, gid = s.newOwner(f.attr)
	}
	if err := unix.Fchown(fd, uid, gid); err != nil {
		s.findings = append(s.findings, finding(NotSet, path, -1, "owner and group cannot be set: %v", err))
		mode &^= 0o070
	}
	return w, errors.Join(unix.Fchmod(fd, mode), unix.Fsync(fd))
}

// newOwner is what the archive says of a file that is not there yet. Nobody but
// its owner may write it.
func (s *configStaging) newOwner(a format.Attr) (mode uint32, uid, gid int) {
	mode, uid, gid = a.Mode&0o755&^0o111, -1, -1
	if !a.Known {
		return 0o600, uid, gid
	}
	if n, ok, _ := users().here(a.Owner, a.UID); ok && n != format.NoID {
		uid = int(n)
	}
	n, ok, _ := groups().here(a.Group, a.GID)
	if !ok || n == format.NoID {
		return mode &^ 0o070, uid, gid
	}
	return mode, uid, int(n)
}

// noOldCopy makes sure that there is room for the old file. One that is the file
// itself is what a killed run left.
func (w *configWrite) noOldCopy(st *unix.Stat_t) error {
	var old unix.Stat_t
	err := unix.Fstatat(w.dir, w.name+oldSuffix, &old, unix.AT_SYMLINK_NOFOLLOW)
	switch {
	case err == unix.ENOENT:
		return nil
	case err != nil:
		return err
	case old.Ino == st.Ino && old.Dev == st.Dev:
		return unix.Unlinkat(w.dir, w.name+oldSuffix, 0)
	}
	return fmt.Errorf("%w: %s", backends.ErrOldCopy, w.name+oldSuffix)
}

// commit puts the file in its place, in one step.
func (w *configWrite) commit() error {
	if w.keep {
		if err := unix.Linkat(w.dir, w.name, w.dir, w.name+oldSuffix, 0); err != nil {
			return err
		}
	}
	if err := unix.Renameat(w.dir, w.temp, w.dir, w.name); err != nil {
		if w.keep {
			err = errors.Join(err, unix.Unlinkat(w.dir, w.name+oldSuffix, 0))
		}
		return err
	}
	w.done = true
	return unix.Fsync(w.dir)
}

// close removes what is still beside its place.
func (w *configWrite) close() (err error) {
	if w.dir < 0 {
		return nil
	}
	if !w.done {
		if err = unix.Unlinkat(w.dir, w.temp, 0); err == unix.ENOENT {
			err = nil
		}
	}
	unix.Close(w.dir)
	w.dir = -1
	return err
}
