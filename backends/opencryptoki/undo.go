package opencryptoki

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
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
}

// Undo puts the token back that a migration of dir/name has kept. The migrated
// one stays beside it as NAME_MIGRATED.
func (Backend) Undo(ctx context.Context, dir, name string, o backends.UndoOptions) (done backends.Undone, err error) {
	u := &undo{name: name, bak: name + bakSuffix, side: name + migratedSuffix, force: o.Force}
	u.staging = staging{path: dir, token: &format.Token{Name: format.NameOf(name)}, base: -1, dir: -1,
		o: backends.RestoreOptions{Whole: true, Recoded: true, DryRun: o.DryRun, Note: o.Note}}
	defer func() { err = errors.Join(err, u.Close()) }()
	if err := u.quiet(); err != nil {
		return done, fmt.Errorf("cannot undo the migration of token %s: %w", name, err)
	}
	done.Done, err = u.run(ctx)
	if err == nil {
		done.Older, err = u.older(done.Done && o.DryRun)
	}
	if err != nil {
		err = fmt.Errorf("cannot undo the migration of token %s: %w", name, err)
	}
	return done, err
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
		err = s.where.inUse()
	}
	return err
}

func (u *undo) run(ctx context.Context) (done bool, err error) {
	unlock, err := u.where.lock(ctx)
	if err != nil {
		return false, err
	}
	defer unlock()
	here, kept, aside := exists(u.base, u.name), exists(u.base, u.bak), exists(u.base, u.side)
	switch {
	case kept && !here && aside: // between two renames
		return true, u.step(func() error { return u.rename(u.bak, u.name) })
	case !kept && here && aside:
		return false, nil
	case !kept:
		return false, fmt.Errorf("there is no %s, which a migration keeps", u.bak)
	case !here:
		return false, fmt.Errorf("there is no %s, and %s is there: look yourself what happened, and give it its name back", u.name, u.bak)
	}
	now, old, err := u.open()
	if err != nil {
		return false, err
	}
	defer now.close()
	defer old.close()
	order := cmpAge(now, old)
	if order > 0 { // exchanged already
		return true, u.step(func() error { return u.rename(u.bak, u.side) })
	}
	if aside {
		return false, fmt.Errorf("%s: %w", u.side, backends.ErrKept)
	}
	if what := changedSince(now.standing, old.standing); what != "" {
		if !u.force {
			return false, fmt.Errorf("%w: %s", backends.ErrChanged, what)
		}
		u.note("it has changed since the migration: %s; that is in %s only", what, u.side)
	}
	return true, u.step(func() error { return u.exchange(order < 0) })
}

// older says whether the token that was put back, or in a dry run would be, is
// in the old format.
func (u *undo) older(asKept bool) (bool, error) {
	names := []string{u.name}
	if asKept {
		names = append(names, u.bak)
	}
	older := false
	for _, name := range names {
		s, err := u.openSide(name)
		if err != nil {
			return false, err
		}
		s.close()
		older = older || s.format == tokendata.Old
	}
	return older, nil
}

// step does it, unless nothing is to be done, and removes the shared memory.
func (u *undo) step(do func() error) error {
	if u.o.DryRun {
		return nil
	}
	if err := do(); err != nil {
		return err
	}
	u.note("the PINs are those of before the migration; the migrated token is kept as %s; remove it when it is no longer needed", u.side)
	var found findings
	u.freshen(&found)
	for _, f := range found.all() {
		u.note("%s", f.Message)
	}
	return nil
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
func changedSince(now, old *standing) string {
	var added, gone, changed []string
	for i := range now.scan.objects {
		name := now.scan.objects[i].name()
		switch {
		case old.scan.objects.find(name) == nil:
			added = append(added, string(name))
		case objectChanged(now.objects, old.objects, name):
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
		return indexPath + " is another"
	}
	return string(said)
}

// objectChanged compares an object in two directories.
func objectChanged(now, old int, name []byte) bool {
	a, err := readFile(now, name, make([]byte, 4<<10))
	b, berr := readFile(old, name, make([]byte, 4<<10))
	if err != nil || berr != nil {
		return err == nil || berr == nil
	}
	if a.stat.Mtim == b.stat.Mtim {
		return false
	}
	x, y := tokendata.ParseObject(a.data, tokendata.New), tokendata.ParseObject(b.data, tokendata.Old)
	switch {
	case x.Private != y.Private:
		return true
	case x.Private && x.Format == tokendata.New:
		return len(a.data) < tokendata.NewPrivateHeader || binary.BigEndian.Uint32(a.data[tokendata.AtIV+8:]) != 1
	case x.Private:
		return true
	}
	order, _ := cryptoki.OrderOf(x.Body)
	turned, err := tokendata.Recode(y.Body, order, order)
	return err != nil || !bytes.Equal(turned, x.Body)
}

// Scrub removes what pkcstok_migrate leaves of the PIN hashes of the old format.
func (Backend) Scrub(ctx context.Context, loc backends.Location, dryRun bool) (dirty bool, err error) {
	dir, name := filepath.Split(loc.Real)
	s := &staging{path: dir, token: &format.Token{Name: format.NameOf(name)}, base: -1, dir: -1,
		o: backends.RestoreOptions{Whole: true, Recoded: true, DryRun: dryRun}}
	defer func() { err = errors.Join(err, s.Close()) }()
	if err = s.quiet(); err == nil {
		dirty, err = s.scrub(ctx)
	}
	if err != nil {
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
	if n := tokendata.ParseNVTOK(f.data); n.Format != tokendata.New {
		return false, fmt.Errorf("it is in the %s format, whose PIN hashes are how its PINs are checked: migrate it first", n.Format)
	}
	clean := tokendata.Scrub(f.data)
	if bytes.Equal(clean, f.data) || s.o.DryRun {
		return !bytes.Equal(clean, f.data), nil
	}
	f.data = clean
	if err := s.renewState(dir, &f); err != nil {
		return true, err
	}
	if stays, err := s.where.stale(true); stays != "" || err != nil {
		return true, errors.Join(err, errors.New(stays))
	}
	return true, nil
}
