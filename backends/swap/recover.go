package swap

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// State is what an earlier run for the same target had come to.
type State int

const (
	Clean   State = iota // it left nothing
	Remains              // it left an empty place: it had hardly begun, or was all but done
	Stopped              // it was stopped before the swap: the old one stands there
	PutBack              // it was stopped between two renames: the old one was put back
	Swapped              // it was stopped after the swap: the new one stands there
)

// journal is written before a swap and says what it will do.
type journal struct {
	target []string // below the base
	inode  uint64   // of the directory that is to stand there
	keep   string   // the name that the old one gets beside it, or none
}

const (
	journalHead = "tokar swap 1"
	maxJournal  = 4 << 10
)

func (j *journal) text() []byte {
	b := fmt.Appendf(nil, "%s\nnew %d\nkeep %q\n", journalHead, j.inode, j.keep)
	for _, part := range j.target {
		b = fmt.Appendf(b, "target %q\n", part)
	}
	return append(b, "end\n"...)
}

// parseJournal reads a journal. It is written whole or not at all, so what is
// wrong with one was not tokar's doing, and nothing is moved on its word.
func parseJournal(text []byte) (*journal, error) {
	j := &journal{}
	lines := strings.Split(string(text), "\n")
	bad := len(text) > maxJournal || len(lines) < 6 || lines[0] != journalHead
	for i := 1; i < len(lines)-2 && !bad; i++ {
		word, value, _ := strings.Cut(lines[i], " ")
		var err error
		var part string
		switch {
		case i == 1 && word == "new":
			j.inode, err = strconv.ParseUint(value, 10, 64)
		case i == 2 && word == "keep":
			j.keep, err = strconv.Unquote(value)
			bad = j.keep != "" && !plain(j.keep)
		case i > 2 && word == "target":
			part, err = strconv.Unquote(value)
			bad = !plain(part)
			j.target = append(j.target, part)
		default:
			bad = true
		}
		bad = bad || err != nil
	}
	if bad || j.inode == 0 || !bytes.Equal(j.text(), text) {
		return nil, errors.New("it is none that tokar writes; look yourself what belongs where, then remove the directory")
	}
	return j, nil
}

// plain says whether a name is one component.
func plain(name string) bool {
	return name != "" && name != "." && name != ".." && len(name) < 256 && !strings.ContainsAny(name, "/\x00")
}

func (p *Place) writeJournal(target []string, keep string) error {
	var st unix.Stat_t
	if err := unix.Fstat(p.work, &st); err != nil {
		return err
	}
	j := journal{target, st.Ino, keep}
	fd, err := unix.Openat(p.dir, temporary, unix.O_WRONLY|unix.O_CREAT|unix.O_TRUNC|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(fd), temporary)
	_, err = f.Write(j.text())
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = unix.Renameat(p.dir, temporary, p.dir, journalName)
	}
	if err == nil {
		err = errors.Join(unix.Fsync(p.dir), unix.Fsync(p.base))
	}
	return err
}

// readJournal gives nil if there is none: then nothing was moved.
func readJournal(dir int) (*journal, error) {
	fd, err := unix.Openat(dir, journalName, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ENOENT) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), journalName)
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxJournal+1))
	if err != nil {
		return nil, err
	}
	return parseJournal(text)
}

// judge says what an earlier run left.
func (p *Place) judge() (State, error) {
	left, err := p.left()
	if left != nil {
		left.close()
		return left.state, err
	}
	return Clean, err
}

// left is what an earlier run left: its place, locked.
type left struct {
	*journal
	state       State
	dir, parent int
}

func (l *left) close() {
	unix.Close(l.dir)
	if l.parent >= 0 {
		unix.Close(l.parent)
	}
}

// left looks at what an earlier run left; nil if there is nothing.
func (p *Place) left() (l *left, err error) {
	if there, err := inode(p.base, p.name); there == 0 {
		return nil, err
	}
	l = &left{state: Stopped, parent: -1}
	if l.dir, err = p.lock(); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			l.close()
			l = nil
		}
	}()
	if err = mine(l.dir); err != nil {
		return l, err
	}
	if l.journal, err = readJournal(l.dir); err != nil {
		return l, fmt.Errorf("%s: %w", journalName, err)
	}
	l.state, err = l.compare(p.base)
	return l, err
}

// compare finds out what happened by what stands where.
func (l *left) compare(base int) (State, error) {
	built, err := inode(l.dir, newName)
	if err != nil {
		return Clean, err
	}
	old, err := inode(l.dir, oldName)
	switch {
	case err != nil:
		return Clean, err
	case l.journal == nil && old != 0: // somebody took the journal away
		return Clean, errors.New(oldName + " is in it, and nothing says where that belongs; " +
			"look yourself what belongs where, then remove the directory")
	case l.journal == nil && built == 0:
		return Remains, nil
	case l.journal == nil:
		return Stopped, nil
	}
	there := uint64(0)
	l.parent, err = openParent(base, l.target)
	if err == nil {
		there, err = inode(l.parent, l.name())
	} else if errors.Is(err, unix.ENOENT) {
		err = nil
	}
	if err != nil {
		return Clean, err
	}
	switch {
	case there == l.inode:
		return Swapped, nil
	case there == 0 && old != 0 && built == l.inode:
		return PutBack, nil
	case old == 0 && (built == l.inode || built == 0):
		return Stopped, nil
	}
	return Clean, errors.New("what is in it may be what stood at " + strings.Join(l.target, "/") +
		"; look yourself what belongs where, then remove the directory")
}

func (l *left) name() string { return l.target[len(l.target)-1] }

// recover ends what an earlier run began, and puts what is left of it where
// Close removes it: ext4 is slow to create files just after many were deleted.
func (p *Place) recover() (State, error) {
	l, err := p.left()
	if err == nil {
		err = p.adopt()
	}
	if l == nil {
		return Clean, err
	}
	defer l.close()
	switch {
	case err != nil:
	case l.state == Swapped:
		err = l.keepOld()
	case l.state == PutBack:
		err = Rename(l.dir, oldName, l.parent, l.name())
	}
	if err == nil && l.parent >= 0 {
		err = unix.Fsync(l.parent)
	}
	if err == nil && p.stale >= 0 {
		err = p.remove(p.debris(), p.stale)
		unix.Close(p.stale)
		p.stale = -1
	}
	if err == nil {
		err = unix.Renameat(p.base, p.name, p.base, p.debris())
	}
	if err == nil {
		p.stale, err = unix.FcntlInt(uintptr(l.dir), unix.F_DUPFD_CLOEXEC, 0)
	}
	return l.state, err
}

// adopt opens what a run that was killed while it cleared up has left.
func (p *Place) adopt() (err error) {
	p.stale, err = p.open(p.debris())
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	if err == nil {
		err = mine(p.stale)
	}
	if err != nil {
		unix.Close(p.stale)
		p.stale = -1
		err = fmt.Errorf("%s: %w", p.debris(), err)
	}
	return err
}

// keepOld gives the old directory its name, if that was still to be done.
func (l *left) keepOld() error {
	for _, at := range []string{oldName, newName} {
		there, err := inode(l.dir, at)
		if err != nil {
			return err
		}
		if there != 0 && l.keep != "" {
			return Rename(l.dir, at, l.parent, l.keep)
		}
	}
	return nil
}

// debris is a name that is no place's: there no name ends in the suffix twice.
func (p *Place) debris() string { return p.name + Suffix }
