package opencryptoki

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"tokar/backends"
	"tokar/backends/opencryptoki/tokendata"
	"tokar/backends/swap"
	"tokar/format"
	"tokar/format/cryptoki"
)

// undo puts the token back that a migration has kept.
//
//	NAME new, NAME_BAK old     as a migration leaves them
//	NAME old, NAME_BAK new     exchanged: a killed run of undo
//	NAME old, NAME_MIGRATED    done
//
// Which of two is the old one tells its format. Where that does not, after a
// change of byte order, and where the file system cannot exchange, two renames do
// it, and for a moment nothing stands at NAME.
type undo struct {
	staging
	name      string
	bak, side string // NAME_BAK and NAME_MIGRATED
	force     bool
	finding   func(format.Finding)
}

// Undo puts the token back that a migration of dir/name has kept. The migrated
// one stays beside it as NAME_MIGRATED.
func (Backend) Undo(ctx context.Context, dir, name string, o backends.UndoOptions) (done backends.Undone, err error) {
	u := &undo{name: name, bak: name + bakSuffix, side: name + migratedSuffix, force: o.Force, finding: o.Finding}
	u.staging = staging{path: dir, token: &format.Token{Name: format.NameOf(name)}, base: -1, dir: -1,
		o: backends.RestoreOptions{Whole: true, Recoded: true, DryRun: o.DryRun, Locks: o.Locks, Note: o.Note}}
	defer func() {
		if cerr := u.Close(); cerr != nil && err == nil && done.Done {
			o.Finding(finding(LeftBehind, "", -1, "%v; the next run for this token removes it", cerr))
		} else {
			err = errors.Join(err, cerr)
		}
	}()
	if err := u.quiet(); err != nil {
		return done, fmt.Errorf("cannot undo the migration of token %s: %w", name, err)
	}
	done, err = u.run(ctx)
	if err != nil {
		err = fmt.Errorf("cannot undo the migration of token %s: %w", name, err)
	}
	return done, err
}

// Settle ends what a killed run for dir/name began.
func (Backend) Settle(dir, name string, note func(message string)) error {
	s := &staging{path: dir, token: &format.Token{Name: format.NameOf(name)}, base: -1, dir: -1,
		o: backends.RestoreOptions{Whole: true, Recoded: true, Note: note}}
	if !left(dir, swap.PlaceName([]string{name})) && !left(dir, name+migratingSuffix) {
		return nil
	}
	err := checkTokenName(s.token.Name)
	if err == nil {
		err = s.openBase()
	}
	if err == nil {
		err = s.openPlace()
	}
	if err = errors.Join(err, s.Close()); err != nil {
		err = fmt.Errorf("token %s: %w", name, err)
	}
	return err
}

// left says whether a place is there, or what was left of one.
func left(dir, place string) bool {
	_, err := os.Lstat(filepath.Join(dir, place))
	_, serr := os.Lstat(filepath.Join(dir, place+swap.Suffix))
	return err == nil || serr == nil
}

// quiet opens the places, so that what a killed migration began is ended and no
// other run is at work, and makes sure that nobody uses the token.
func (s *staging) quiet() error {
	if err := checkTokenName(s.token.Name); err != nil {
		return err
	}
	err := s.openBase()
	if err == nil {
		err = s.openPlace()
	}
	if err == nil {
		s.where, err = placeIn(s.base, s.path, s.token.Name.Components())
	}
	if err == nil {
		s.where.locks = s.o.Locks
		err = s.where.inUse()
	}
	return err
}

func (u *undo) run(ctx context.Context) (none backends.Undone, err error) {
	unlock, err := u.where.lock(ctx)
	if err != nil {
		return none, err
	}
	defer unlock()
	here, kept, aside := exists(u.base, u.name), exists(u.base, u.bak), exists(u.base, u.side)
	switch {
	case kept && !here && aside: // between two renames
		s, err := u.openSide(u.bak)
		if err != nil {
			return none, err
		}
		defer s.close()
		return u.step(s, func() error { return u.rename(u.bak, u.name) })
	case !kept && here:
		return u.nothingKept(aside)
	case !kept:
		return none, fmt.Errorf("%w: there is no %s", backends.ErrNoneKept, u.bak)
	case !here:
		return none, fmt.Errorf("there is no %s, and %s is there: look yourself what happened, and give it its name back", u.name, u.bak)
	}
	now, old, err := u.open()
	if err != nil {
		return none, err
	}
	defer now.close()
	defer old.close()
	order := cmpAge(now, old)
	if order > 0 { // exchanged already
		return u.step(now, func() error { return u.rename(u.bak, u.side) })
	}
	if aside {
		return none, fmt.Errorf("%s: %w", u.side, backends.ErrAside)
	}
	what, err := changedSince(now.standing, old.standing)
	if err != nil {
		return none, err
	}
	if what != "" {
		if !u.force {
			return none, fmt.Errorf("%w: %s", backends.ErrChanged, what)
		}
		u.note("it has changed since the migration: %s; that is in %s only", what, u.side)
	}
	return u.step(old, func() error { return u.exchange(order < 0) })
}

// nothingKept is an error where the token was migrated and nothing of before is
// there: a token that was put back, or that no run got to migrate, is as it was.
func (u *undo) nothingKept(aside bool) (none backends.Undone, err error) {
	s, err := u.openSide(u.name)
	if err != nil {
		return none, err
	}
	s.close()
	if s.format == tokendata.New && !aside {
		return none, fmt.Errorf("%w: there is no %s", backends.ErrNoneKept, u.bak)
	}
	return backends.Undone{Older: s.format == tokendata.Old}, nil
}

// step does what puts a token back, unless nothing is to be done, and removes the
// shared memory.
func (u *undo) step(back *sided, do func() error) (backends.Undone, error) {
	done := backends.Undone{Done: true, Older: back.format == tokendata.Old}
	if u.o.DryRun {
		return done, nil
	}
	if err := do(); err != nil {
		return backends.Undone{}, err
	}
	u.note("the PINs are those of before the migration; the migrated token is kept as %s; remove it when it is no longer needed", u.side)
	var found findings
	u.freshen(&found)
	for _, f := range found.all() {
		u.finding(f)
	}
	return done, nil
}

// exchange puts NAME_BAK in the place of NAME, and that aside.
func (u *undo) exchange(telling bool) error {
	if telling {
		err := unix.Renameat2(u.base, u.name, u.base, u.bak, unix.RENAME_EXCHANGE)
		if err == nil {
			if err = unix.Fsync(u.base); err == nil {
				err = u.rename(u.bak, u.side)
			}
			if err != nil {
				back := unix.Renameat2(u.base, u.name, u.base, u.bak, unix.RENAME_EXCHANGE)
				err = errors.Join(err, partway(errors.Join(back, unix.Fsync(u.base))))
			}
			return err
		}
		if !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOSYS) && !errors.Is(err, unix.EOPNOTSUPP) {
			return err
		}
	}
	if err := u.rename(u.name, u.side); err != nil {
		return err
	}
	if err := u.rename(u.bak, u.name); err != nil {
		return errors.Join(err, partway(u.rename(u.side, u.name)))
	}
	return nil
}

// partway marks what could not be taken back.
func partway(err error) error {
	if err != nil {
		err = fmt.Errorf("%w: %w", backends.ErrPartway, err)
	}
	return err
}

// rename gives a name that must be free, durably.
func (u *undo) rename(from, to string) error {
	if err := swap.Rename(u.base, from, u.base, to); err != nil {
		return fmt.Errorf("%s: %w", to, err)
	}
	if err := unix.Fsync(u.base); err != nil {
		return errors.Join(err, partway(swap.Rename(u.base, to, u.base, from)))
	}
	return nil
}

// sided is one of the two tokens.
type sided struct {
	*standing
	format string
}

func (u *undo) open() (now, old *sided, err error) {
	if now, err = u.openSide(u.name); err != nil {
		return nil, nil, err
	}
	if old, err = u.openSide(u.bak); err != nil {
		now.close()
		return nil, nil, err
	}
	return now, old, nil
}

func (u *undo) openSide(name string) (*sided, error) {
	s, err := openStanding(u.base, []string{name})
	if err != nil || s == nil {
		return nil, errors.Join(err, fmt.Errorf("cannot open %s", name))
	}
	f, err := readFile(s.dir, []byte(nvtokName), make([]byte, tokendata.NVTOKNew+tokendata.ICSFRecord+1))
	if err != nil {
		s.close()
		return nil, fmt.Errorf("%s/%s: %w", name, nvtokName, err)
	}
	return &sided{s, tokendata.ParseNVTOK(f.data).Format}, nil
}

// cmpAge is less than 0 if now is the migrated one, more if old is, 0 if their
// formats do not tell.
func cmpAge(now, old *sided) int {
	switch {
	case now.format == tokendata.New && old.format == tokendata.Old:
		return -1
	case now.format == tokendata.Old && old.format == tokendata.New:
		return 1
	}
	return 0
}

// changedSince says what of a migrated token is not as in the one that it was
// made from; empty if nothing is. No PIN is needed: a migrated object has the
// time of its original, and a private one in the new format counts its saves.
func changedSince(now, old *standing) (string, error) {
	for _, s := range []*standing{now, old} {
		if on := s.scan.indexEntry; on != nil && on.Flags&format.Refused != 0 {
			return "", fmt.Errorf("%s: %s", indexPath, on.Findings[0].Message)
		}
	}
	var added, gone, changed []string
	for i := range now.scan.objects {
		name := now.scan.objects[i].name()
		if old.scan.objects.find(name) == nil {
			added = append(added, string(name))
			continue
		}
		differs, err := objectChanged(now.objects, old.objects, name)
		if err != nil {
			return "", fmt.Errorf("%s: %w", objectPath(name), err)
		}
		if differs {
			changed = append(changed, string(name))
		}
	}
	for i := range old.scan.objects {
		if name := old.scan.objects[i].name(); now.scan.objects.find(name) == nil {
			gone = append(gone, string(name))
		}
	}
	var said []byte
	for _, c := range []struct {
		what  string
		names []string
	}{{"made", added}, {"changed", changed}, {"deleted", gone}} {
		if len(c.names) == 0 {
			continue
		}
		if len(said) > 0 {
			said = append(said, "; "...)
		}
		said = fmt.Appendf(said, "objects %s: %d (%s", c.what, len(c.names), c.names[0])
		if len(c.names) > 1 {
			said = append(said, ", …"...)
		}
		said = append(said, ')')
	}
	if len(said) == 0 && !bytes.Equal(now.scan.index, old.scan.index) {
		return indexPath + " is another", nil
	}
	return string(said), nil
}

// objectChanged compares an object in two directories.
func objectChanged(now, old int, name []byte) (bool, error) {
	a, err := readFile(now, name, make([]byte, 4<<10))
	b, berr := readFile(old, name, make([]byte, 4<<10))
	if err != nil || berr != nil {
		return false, errors.Join(err, berr)
	}
	if a.stat.Mtim == b.stat.Mtim {
		return false, nil
	}
	x, y := tokendata.ParseObject(a.data, tokendata.New), tokendata.ParseObject(b.data, tokendata.Old)
	switch {
	case x.Private != y.Private:
		return true, nil
	case x.Private && x.Format == tokendata.New:
		return len(a.data) < tokendata.NewPrivateHeader || binary.BigEndian.Uint32(a.data[tokendata.AtIV+8:]) != 1, nil
	case x.Private:
		return true, nil
	}
	order, _ := cryptoki.OrderOf(x.Body)
	turned, err := tokendata.Recode(y.Body, order, order)
	return err != nil || !bytes.Equal(turned, x.Body), nil
}

// Scrub removes what pkcstok_migrate leaves of the PIN hashes of the old format.
func (Backend) Scrub(ctx context.Context, loc backends.Location, dryRun bool) (dirty bool, err error) {
	dir, name := filepath.Split(loc.Real)
	s := &staging{path: dir, token: &format.Token{Name: format.NameOf(name)}, base: -1, dir: -1,
		o: backends.RestoreOptions{Whole: true, Recoded: true, DryRun: dryRun, Locks: loc.Reading.Locks}}
	if err = s.quiet(); err == nil {
		dirty, err = s.scrub(ctx)
	}
	cerr := s.Close()
	if err == nil && dirty && !dryRun {
		cerr = partway(cerr)
	}
	if err = errors.Join(err, cerr); err != nil {
		err = fmt.Errorf("token %s: %w", loc.Name, err)
	}
	return dirty, err
}

func (s *staging) scrub(ctx context.Context) (dirty bool, err error) {
	unlock, err := s.where.lock(ctx)
	if err != nil {
		return false, err
	}
	defer unlock()
	dir, err := openDir(s.base, s.token.Name.String())
	if err != nil {
		return false, err
	}
	defer unix.Close(dir)
	f, err := readFile(dir, []byte(nvtokName), make([]byte, tokendata.NVTOKNew+1))
	if err != nil {
		return false, fmt.Errorf("%s: %w", nvtokName, err)
	}
	switch n := tokendata.ParseNVTOK(f.data); n.Format {
	case tokendata.New:
	case tokendata.Old:
		return false, fmt.Errorf("%w, whose PIN hashes are how its PINs are checked: migrate it first", backends.ErrOlder)
	default:
		return false, fmt.Errorf("%s has %d bytes, which no format has: restore it from an archive first", nvtokName, len(f.data))
	}
	clean := tokendata.Scrub(f.data)
	if bytes.Equal(clean, f.data) || s.o.DryRun {
		return !bytes.Equal(clean, f.data), nil
	}
	f.data = clean
	if err := s.renewState(dir, &f); err != nil {
		return true, err
	}
	stays, err := s.where.stale(true)
	if err == nil && stays != "" {
		err = errors.New(stays)
	}
	return true, partway(err)
}
