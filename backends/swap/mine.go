package swap

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"

	"golang.org/x/sys/unix"
)

// Who may write into the directory restored into may put anything there under
// the names that a place has: a directory of their own, to read along in or to
// have their journal believed, or a token of somebody else's, to have it
// removed. So a place counts only where nobody else can have made it or put
// anything in it, and is removed only through what was opened.

// mine refuses a directory that no run of this user can have left: somebody
// else's, and a token of this user's that was given the name.
func mine(dir int) error {
	var st unix.Stat_t
	if err := unix.Fstat(dir, &st); err != nil {
		return err
	}
	if int(st.Uid) != os.Geteuid() || st.Mode&0o022 != 0 {
		return fmt.Errorf("it is user %d's, with mode %04o, and was not left by a restore of yours; %s", st.Uid, st.Mode&0o7777, moveAway)
	}
	known := []string{newName, oldName, journalName, temporary, ScratchName}
	there, err := names(dir, len(known)+1)
	for _, name := range there {
		if !slices.Contains(known, name) {
			return fmt.Errorf("it holds %q, which no restore put there; %s", name, moveAway)
		}
	}
	return err
}

const moveAway = "look what it is, then move it away"

// open opens what stands under a name that places have.
func (p *Place) open(name string) (int, error) {
	fd, err := openDir(p.base, name)
	if errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
		err = errors.New("it is no directory, and was not left by a restore; " + moveAway)
	}
	return fd, err
}

// claim makes sure that a directory is the empty one that was just made. What a
// file made there belongs to is asked of the file system: some give everything
// to one user.
func claim(dir int) error {
	if some, err := names(dir, 1); len(some) > 0 || err != nil {
		return errors.Join(errUnexpected, err)
	}
	fd, err := unix.Openat(dir, temporary, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return err
	}
	var file, its unix.Stat_t
	err = errors.Join(unix.Fstat(fd, &file), unix.Fstat(dir, &its), unix.Close(fd), unix.Unlinkat(dir, temporary, 0))
	if err != nil {
		return err
	}
	if its.Uid != file.Uid {
		return errUnexpected
	}
	if its.Mode&0o077 == 0 {
		return nil
	}
	if err = unix.Fchmod(dir, 0o700); err == unix.EPERM {
		err = nil // a file system without modes: who may do what there is the mount's matter
	}
	return err
}

// remove empties the directory that is open, its directories first: a journal
// explains them. Then it removes it, if it still has that name. It is opened
// again as this process has it and not by its name, where a FIFO would make the
// run wait for ever.
func (p *Place) remove(name string, dir int) error {
	root, err := os.OpenRoot(fmt.Sprintf("/proc/self/fd/%d", dir))
	if err != nil {
		return err
	}
	defer root.Close()
	rest, err := names(dir, -1)
	if err != nil {
		return err
	}
	for _, part := range append([]string{newName, oldName}, rest...) {
		err := root.RemoveAll(part)
		if errors.Is(err, fs.ErrPermission) && unlock(root, part) {
			err = root.RemoveAll(part)
		}
		if err != nil {
			return err
		}
	}
	return unix.Unlinkat(p.base, name, unix.AT_REMOVEDIR)
}

// unlock lets the owner, who may not be root, write into the directories below
// one: tokens may be read-only. It says whether it changed any.
func unlock(root *os.Root, dir string) (changed bool) {
	fs.WalkDir(root.FS(), dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && root.Chmod(path, 0o700) == nil {
			changed = true
		}
		return nil
	})
	return changed
}

// names gives up to n names in a directory; all for -1.
func names(dir, n int) ([]string, error) {
	fd, err := openDir(dir, ".")
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), ".")
	defer f.Close()
	list, err := f.Readdirnames(n)
	if err == io.EOF {
		err = nil
	}
	return list, err
}
