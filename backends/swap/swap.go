// Package swap puts a directory where another stands, in one step. After a
// crash at any moment one of the two stands there, whole, and the next run
// says which and clears the rest away.
//
// The new directory is built in a place beside the old one:
//
//	BASE/.NAME.tokar-new/          locked (flock) while a run is at work
//	BASE/.NAME.tokar-new/new       the directory being built
//	BASE/.NAME.tokar-new/journal   what is about to be swapped, from just before
//	BASE/.NAME.tokar-new/old       the old one, where two renames are needed
//
// Where nothing stands at the target, one rename does it. Else Swap writes the
// journal, exchanges new and the target (renameat2 with RENAME_EXCHANGE; where
// the file system cannot, the target goes to old and new to the target), and
// gives the old directory its name beside the target. What stands there after a
// crash follows from the inode that the journal names.
package swap

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"tokar/backends"
)

// Suffix is what names of places end in.
const Suffix = ".tokar-new"

const (
	newName     = "new"
	oldName     = "old"
	journalName = "journal"
	temporary   = "journal.tmp"

	// ScratchName is what a file made in the place itself is called.
	ScratchName = "scratch"
)

// Place is where a directory is built. It belongs to one run at a time.
type Place struct {
	root *os.Root
	base int // descriptor of root
	dir  int // of the place
	work int // of new
	name string

	stale int // what is left to remove of an earlier run

	holdsOld bool // the old directory is in it: not to be removed
}

// PlaceName is the name of the place for the target of these components. No two
// targets have one.
func PlaceName(target []string) string {
	apart := strings.NewReplacer("%", "%25", "+", "%2B")
	parts := make([]string, len(target))
	for i, p := range target {
		parts[i] = apart.Replace(p)
	}
	return "." + strings.Join(parts, "+") + Suffix
}

// Open makes the place for target, below base, after it ended what a killed run
// had begun. Another run at work there is backends.ErrBusy. The caller closes
// base after the Place.
func Open(base *os.Root, target []string) (p *Place, before State, err error) {
	return OpenNamed(base, PlaceName(target))
}

// OpenNamed is Open for a place of another name. Two places for one target do
// not exclude each other: who uses another name opens the usual one too.
func OpenNamed(base *os.Root, name string) (p *Place, before State, err error) {
	p, err = look(base, name)
	if err != nil {
		return nil, Clean, err
	}
	if before, err = p.recover(); err != nil {
		p.close()
		return nil, before, fmt.Errorf("%s: %w", p.name, err)
	}
	if err = p.make(); err != nil {
		return nil, before, errors.Join(fmt.Errorf("%s: %w", p.name, err), p.Close())
	}
	return p, before, nil
}

func (p *Place) make() (err error) {
	if err = unix.Mkdirat(p.base, p.name, 0o700); errors.Is(err, unix.EEXIST) {
		return backends.ErrBusy // another run was a moment faster
	}
	if err != nil {
		return err
	}
	if p.dir, err = p.lock(); err != nil {
		return errors.Join(err, unix.Unlinkat(p.base, p.name, unix.AT_REMOVEDIR))
	}
	if err = claim(p.dir); err != nil {
		unix.Close(p.dir)
		p.dir = -1
		unix.Unlinkat(p.base, p.name, unix.AT_REMOVEDIR) // if it is empty; what others put in it is not ours to remove
		return err
	}
	if err = unix.Mkdirat(p.dir, newName, 0o700); err == nil {
		p.work, err = openDir(p.dir, newName)
	}
	return err
}

// Look says what a killed run left, and whether Open could make the place. It
// changes nothing.
func Look(base *os.Root, target []string) (State, error) {
	return LookNamed(base, PlaceName(target))
}

// LookNamed is Look for a place of another name.
func LookNamed(base *os.Root, name string) (State, error) {
	p, err := look(base, name)
	if err != nil {
		return Clean, err
	}
	defer p.close()
	state, err := p.judge()
	if err == nil {
		err = p.adopt()
	}
	if err != nil {
		return state, fmt.Errorf("%s: %w", p.name, err)
	}
	return state, unix.Faccessat(p.base, ".", unix.W_OK|unix.X_OK, unix.AT_EACCESS)
}

// HoldsOld says whether the place at path has what stood at its target: a run
// was killed between two renames, and the next Open puts it back.
func HoldsOld(path string) bool {
	info, err := os.Lstat(filepath.Join(path, oldName))
	return err == nil && info.IsDir()
}

// Pending says whether the place at path has moved something, or was about to:
// only the next Open of it knows what belongs where.
func Pending(path string) bool {
	_, err := os.Lstat(filepath.Join(path, journalName))
	return err == nil
}

func look(base *os.Root, name string) (*Place, error) {
	p := &Place{root: base, base: -1, dir: -1, work: -1, stale: -1, name: name}
	dir, err := base.Open(".")
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	p.base, err = unix.FcntlInt(dir.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	return p, err
}

// Dir is a descriptor of the directory being built.
func (p *Place) Dir() int { return p.work }

// Scratch is a descriptor of the place itself, for a ScratchName that is to be
// renamed to where it belongs.
func (p *Place) Scratch() int { return p.dir }

// lock opens the place and locks it.
func (p *Place) lock() (int, error) {
	fd, err := p.open(p.name)
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
	if same, err := sameInode(fd, p.base, p.name); !same || err != nil {
		unix.Close(fd) // the run that held it has just removed it
		return -1, errors.Join(backends.ErrBusy, err)
	}
	return fd, nil
}

// Close removes the place and what is in it, so that a run that is killed
// meanwhile is understood. After a Swap that failed half-way it leaves the place
// to the next Open. It may be called again.
func (p *Place) Close() error {
	if p.base < 0 {
		return nil
	}
	var err error
	if p.dir >= 0 && !p.holdsOld {
		err = p.remove(p.name, p.dir)
	}
	if p.stale >= 0 {
		err = errors.Join(err, p.remove(p.debris(), p.stale))
	}
	p.close()
	if err != nil {
		return fmt.Errorf("cannot remove all of %s: %w", filepath.Join(p.root.Name(), p.name), err)
	}
	return nil
}

func (p *Place) close() {
	for _, fd := range []*int{&p.work, &p.dir, &p.stale, &p.base} {
		if *fd >= 0 {
			unix.Close(*fd)
			*fd = -1
		}
	}
}

// openDir opens a directory that is no symbolic link.
func openDir(dir int, name string) (int, error) {
	return unix.Openat(dir, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
}

// openParent opens the directory of target, below base, following no link.
func openParent(base int, target []string) (int, error) {
	fd, err := unix.FcntlInt(uintptr(base), unix.F_DUPFD_CLOEXEC, 0)
	for _, part := range target[:len(target)-1] {
		if err != nil {
			break
		}
		var next int
		next, err = openDir(fd, part)
		unix.Close(fd)
		fd = next
	}
	return fd, err
}

// inode is the number of what stands at a name; 0 if nothing does.
func inode(dir int, name string) (uint64, error) {
	var st unix.Stat_t
	err := unix.Fstatat(dir, name, &st, unix.AT_SYMLINK_NOFOLLOW)
	if errors.Is(err, unix.ENOENT) {
		return 0, nil
	}
	return st.Ino, err
}

func sameInode(fd, dir int, name string) (bool, error) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return false, err
	}
	there, err := inode(dir, name)
	return there == st.Ino, err
}
