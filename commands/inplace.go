package commands

import (
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// elsewhere is what to do where a file cannot be replaced.
const elsewhere = "write the new archive elsewhere with -o FILE"

// A heldArchive is one that shall be replaced where it stands. Who replaces it
// holds a lock on it, and looks before the swap whether it is still what was
// read.
type heldArchive struct {
	file *os.File
	path string // without links
	was  unix.Stat_t
}

// hold takes an archive that was opened. Its lock goes with its descriptor.
func (s *session) hold(in *archiveFile) (*heldArchive, error) {
	h := &heldArchive{file: in.file}
	if err := unix.Fstat(int(in.file.Fd()), &h.was); err != nil {
		return nil, &os.PathError{Op: "stat", Path: in.path, Err: err}
	}
	switch {
	case h.was.Mode&unix.S_IFMT != unix.S_IFREG:
		return nil, usagef(s.name, "%s is no file that could be replaced; say with -o where the new archive goes", quote(in.path))
	case h.was.Nlink > 1:
		return nil, failedf(elsewhere,
			"%s has %d names (hard links), and the others would keep the old key slots", quote(in.path), h.was.Nlink)
	}
	var err error
	if h.path, err = filepath.EvalSymlinks(in.path); err != nil {
		return nil, err
	}
	if err := unix.Flock(int(in.file.Fd()), unix.LOCK_EX|unix.LOCK_NB); err == unix.EWOULDBLOCK {
		return nil, &failure{code: exitBusy, err: fmt.Errorf("another tokar rekeys %s", quote(in.path)), todo: "try again later"}
	} // other errors: a file system without locks
	return h, h.unchanged()
}

// unchanged is an error if the file is not what was opened, or was written to.
func (h *heldArchive) unchanged() error {
	var open, named unix.Stat_t
	err := unix.Fstat(int(h.file.Fd()), &open)
	if err == nil {
		err = unix.Lstat(h.path, &named)
	}
	same := func(a, b *unix.Stat_t) bool {
		return a.Dev == b.Dev && a.Ino == b.Ino && a.Size == b.Size && a.Mtim == b.Mtim && a.Ctim == b.Ctim
	}
	switch {
	case err != nil:
		return &os.PathError{Op: "stat", Path: h.path, Err: err}
	case !same(&open, &h.was) || !same(&named, &h.was):
		return &failure{code: exitBusy, err: fmt.Errorf("%s was changed or replaced meanwhile", quote(h.path)), todo: "try again"}
	}
	return nil
}

// attributes gives the new file what the old one has besides its bytes: owner,
// access control list, mode and SELinux label, in this order: before the owner
// is right the rest would be another's, and a mode opens the list that the
// directory gave.
func (h *heldArchive) attributes(fd int) error {
	var is unix.Stat_t
	err := unix.Fstat(fd, &is)
	if err == nil && (is.Uid != h.was.Uid || is.Gid != h.was.Gid) {
		err = unix.Fchown(fd, int(h.was.Uid), int(h.was.Gid))
	}
	if err != nil {
		return failedf(elsewhere, "the new archive cannot have the owner and group of %s: %w", quote(h.path), err)
	}
	if err = h.copyACL(fd); err == nil {
		err = unix.Fchmod(fd, h.was.Mode&0o777)
	}
	if err != nil {
		return failedf(elsewhere, "the new archive cannot have the permissions of %s: %w", quote(h.path), err)
	}
	if label, err := h.xattr("security.selinux"); err == nil {
		unix.Fsetxattr(fd, "security.selinux", label, 0) // where it may not be set, the directory's serves
	}
	return nil
}

// copyACL gives the new file the old one's access control list, or none where
// the directory had one for it.
func (h *heldArchive) copyACL(fd int) error {
	const name = "system.posix_acl_access"
	list, err := h.xattr(name)
	switch err {
	case nil:
		return unix.Fsetxattr(fd, name, list, 0)
	case unix.ENODATA:
		err = unix.Fremovexattr(fd, name)
	}
	if err == unix.ENODATA || err == unix.ENOTSUP {
		return nil
	}
	return err
}

func (h *heldArchive) xattr(name string) ([]byte, error) {
	value := make([]byte, 64<<10) // the most that Linux has
	n, err := unix.Fgetxattr(int(h.file.Fd()), name, value)
	return value[:max(n, 0)], err
}

// notItself refuses -o for the file that is read: that is what going without it
// does, and better.
func (s *session) notItself(o rekeyOptions, in *archiveFile) error {
	from, err := in.file.Stat()
	if err != nil || o.output == "" {
		return err
	}
	if to, err := os.Stat(o.output); err == nil && to.Mode().IsRegular() && os.SameFile(from, to) {
		return usagef(s.name, "%s is the archive that is read; with -f, and without -o, it is replaced", quote(o.output))
	}
	return nil
}
