package swap

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"tokar/backends"
)

// errUnexpected: what stood at the target was exchanged for something else.
var errUnexpected = errors.New("something else has come to stand in its place")

// Swap puts the directory that was built, durably, at target, whose parents
// exist. old is the inode of the directory that stands there, 0 for none;
// something else there is an error. The old directory gets the name keep beside
// target, or with none is removed by Close. On an error the old one stands
// there as before, unless it is backends.ErrPartway.
func (p *Place) Swap(target []string, old uint64, keep string) error {
	parent, err := openParent(p.base, target)
	if err != nil {
		return err
	}
	defer unix.Close(parent)
	name := target[len(target)-1]
	if old == 0 { // one rename, which needs no journal
		err = Rename(p.dir, newName, parent, name)
	} else if err = p.writeJournal(target, keep); err != nil {
		err = fmt.Errorf("%s/%s: %w", p.name, journalName, err)
	} else {
		err = p.exchange(parent, name, old)
	}
	if err != nil {
		return err
	}
	p.holdsOld = old != 0
	if err = p.settle(parent, keep); err != nil {
		return p.back(parent, name, err)
	}
	p.holdsOld = false
	return nil
}

// exchange swaps new and the target, and looks at what it got for it.
func (p *Place) exchange(parent int, name string, old uint64) error {
	err := unix.Renameat2(p.dir, newName, parent, name, unix.RENAME_EXCHANGE)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EOPNOTSUPP) {
		return p.twoRenames(parent, name, old)
	}
	if errors.Is(err, unix.ENOENT) {
		return errUnexpected
	}
	if errors.Is(err, unix.EXDEV) || errors.Is(err, unix.EBUSY) {
		err = fmt.Errorf("%w and cannot be moved, as a mount point or what comes with a container's image cannot: %w", backends.ErrExists, err)
	}
	if err != nil {
		return err
	}
	got, err := inode(p.dir, newName)
	if err == nil && got == old {
		return nil
	}
	return p.back(parent, name, errors.Join(errUnexpected, err))
}

// twoRenames is exchange for file systems that cannot; between the two nothing
// stands at the target, and the journal says what belongs there.
func (p *Place) twoRenames(parent int, name string, old uint64) error {
	if err := Rename(parent, name, p.dir, oldName); err != nil {
		return err
	}
	got, err := inode(p.dir, oldName)
	if err == nil && got != old {
		err = errUnexpected
	}
	if err == nil {
		err = Rename(p.dir, newName, parent, name)
	}
	if err == nil {
		return nil
	}
	if e := Rename(p.dir, oldName, parent, name); e != nil {
		p.holdsOld = true
		return errors.Join(err, fmt.Errorf("%w: it is in %s/%s: %w", backends.ErrPartway, p.name, oldName, e))
	}
	return err
}

// settle makes the swap durable and gives the old directory its name.
func (p *Place) settle(parent int, keep string) error {
	if err := p.sync(parent); err != nil {
		return err
	}
	if !p.holdsOld || keep == "" {
		return nil
	}
	if err := Rename(p.dir, p.oldAt(), parent, keep); err != nil {
		return fmt.Errorf("%s: %w", keep, err)
	}
	if err := unix.Fsync(parent); err != nil {
		return errors.Join(err, Rename(parent, keep, p.dir, newName))
	}
	return nil
}

// oldAt is where in the place the old directory is.
func (p *Place) oldAt() string {
	if there, _ := inode(p.dir, oldName); there != 0 {
		return oldName
	}
	return newName
}

// back undoes a swap after err.
func (p *Place) back(parent int, name string, err error) error {
	var undo error
	switch {
	case !p.holdsOld && !errors.Is(err, errUnexpected): // nothing stood there
		undo = Rename(parent, name, p.dir, newName)
	case p.oldAt() == oldName:
		undo = Rename(parent, name, p.dir, newName)
		if undo == nil {
			undo = Rename(p.dir, oldName, parent, name)
		}
	default:
		undo = unix.Renameat2(p.dir, newName, parent, name, unix.RENAME_EXCHANGE)
	}
	if undo == nil {
		p.holdsOld = false
		return errors.Join(err, p.sync(parent))
	}
	p.holdsOld = true
	return errors.Join(err, fmt.Errorf("%w: %w", backends.ErrPartway, undo))
}

func (p *Place) sync(parent int) error {
	return errors.Join(unix.Fsync(parent), unix.Fsync(p.dir))
}

// Rename renames to a name that must be free.
func Rename(from int, name string, to int, as string) error {
	err := unix.Renameat2(from, name, to, as, unix.RENAME_NOREPLACE)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) {
		// A file system without that flag: look first. What slips in between
		// would have to be an empty directory to be replaced.
		there, e := inode(to, as)
		switch {
		case e != nil:
			err = e
		case there != 0:
			err = unix.EEXIST
		default:
			err = unix.Renameat(from, name, to, as)
		}
	}
	if errors.Is(err, unix.EEXIST) || errors.Is(err, unix.ENOTEMPTY) {
		return backends.ErrExists
	}
	return err
}
