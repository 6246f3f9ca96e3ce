package opencryptoki

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"

	"tokar/backends"
	"tokar/backends/swap"
	"tokar/format"
)

// oldSuffix is what the name of a token that was replaced ends in.
const oldSuffix = ".tokar-old"

// What pkcstok_migrate calls its copies.
const (
	bakSuffix       = "_BAK"
	migratingSuffix = "_PKCSTOK_MIGRATE_TMP"
	migratedSuffix  = "_MIGRATED" // ours, of an undone migration
)

// staging is a token being restored. Until it begins, with the first record
// that is put or at once where the whole token is wanted, nothing is made. A
// whole token, or one that is not there yet, is built as a directory of its own
// (finish.go); objects for a token that is there in a new TOK_OBJ of its own
// (merge.go).
type staging struct {
	o      backends.RestoreOptions
	path   string // the directory restored into
	token  *format.Token
	root   *os.Root // of path
	base   int      // descriptor of it
	where  place
	live   *standing   // what stands there; nil if nothing does
	same   *comparison // with it; nil if there is none, or no token
	broken error       // why it cannot begin

	replaces bool // what stands there is another token

	starting sync.Mutex
	begun    bool
	swap     *swap.Place // nil in a dry run
	guard    *swap.Place // of a migration, whose own place has another name; nil of others
	dir      int         // of the directory being built; -1 in a dry run
	inherits bool        // what is made in it gets an access control list of its own accord
	merge    *merge      // single objects into a token that is there

	creating sync.Mutex // one worker creates files at a time
	mu       sync.Mutex // guards what follows
	names    [][]string // paths of the files put, while they are few
	files    int
	notSet   notSet
	order    order
}

// Restore begins to restore t below dir. What a killed run left there is ended
// and cleared away first.
func (Backend) Restore(ctx context.Context, dir string, t *format.Token, o backends.RestoreOptions) (backends.Staging, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s := &staging{o: o, path: dir, token: t, base: -1, dir: -1}
	if o.Whole {
		if err := s.start(ctx); err != nil {
			return nil, errors.Join(err, s.Close())
		}
		return s, nil
	}
	s.broken = s.refused(s.look(ctx))
	if o.Into && s.broken == nil && s.merge == nil {
		s.broken = s.refused(fmt.Errorf("%w that could take objects; initialise one first", backends.ErrNoToken))
	}
	if o.Into && s.broken != nil {
		return nil, errors.Join(s.broken, s.Close())
	}
	if !o.Mend {
		return s, nil
	}
	if err := s.lookToMend(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// lookToMend refuses at once what cannot be mended, and clears up after a killed
// run. Else a token in which nothing is wrong is not touched at all.
func (s *staging) lookToMend(ctx context.Context) error {
	if s.broken == nil && s.merge == nil {
		s.broken = s.refused(errNothingThere)
	}
	if s.broken == nil {
		begin, err := s.merge.mend.begin()
		if s.broken = s.refused(err); err == nil && begin {
			return s.start(ctx)
		}
	}
	return s.broken
}

var errNothingThere = fmt.Errorf("%w; restore the whole of it", backends.ErrNoToken)

func (s *staging) refused(err error) error {
	switch {
	case err == nil:
		return nil
	case s.o.Mend:
		return fmt.Errorf("cannot repair token %s in %s: %w", s.token.Name, s.path, err)
	case s.o.Into:
		return fmt.Errorf("cannot put objects into token %s in %s: %w", s.token.Name, s.path, err)
	}
	return fmt.Errorf("cannot restore token %s into %s: %w", s.token.Name, s.path, err)
}

// start begins, once: it ends what a killed run began, looks whether the token
// may be touched, and makes the place.
func (s *staging) start(ctx context.Context) error {
	s.starting.Lock()
	defer s.starting.Unlock()
	if s.begun || s.broken != nil {
		return s.broken
	}
	s.broken = s.refused(s.begin(ctx))
	s.begun = s.broken == nil
	return s.broken
}

func (s *staging) begin(ctx context.Context) error {
	if err := checkToken(s.token); err != nil {
		return err
	}
	if err := s.openBase(); err != nil {
		return err
	}
	if err := s.openPlace(); err != nil {
		return err
	}
	if s.o.Whole {
		if err := s.look(ctx); err != nil {
			return err
		}
	}
	if s.o.Fresh && s.o.Whole && s.live != nil && !s.live.bare {
		return backends.ErrExists
	}
	if err := s.mayTouch(); err != nil {
		return err
	}
	if s.merge != nil || s.dir < 0 {
		return nil
	}
	return s.makeTree()
}

// look opens what stands in the token's place, and begins to compare. It does so
// under the token's lock: up to 3.25 the library writes files in place, and half
// an NVTOK.DAT tells of no token.
func (s *staging) look(ctx context.Context) (err error) {
	if err := s.openBase(); err != nil {
		return err
	}
	if err := checkTokenName(s.token.Name); err != nil {
		return err
	}
	parts := s.token.Name.Components()
	if s.where, err = placeIn(s.base, s.path, parts); err != nil {
		return err
	}
	s.where.locks = s.o.Locks
	unlock, err := s.where.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	if s.live, err = openStanding(s.base, parts); err != nil || s.live == nil || s.live.bare {
		return err
	}
	if none := s.where.unlocked(); none != "" {
		s.note("%s", none)
	}
	if !s.o.Recoded { // else it is the same
		s.same, err = compareWith(s.live.objects, s.live.scan, s.token, func(e *backends.Entry) (file, error) {
			return readBelow(s.live.dir, e.Name, make([]byte, 4<<10))
		})
	}
	s.order.others = othersOf(s.live.scan.foreign)
	if !s.o.Whole {
		s.merge = newMerge(s)
	}
	if err == nil && s.o.Mend {
		s.merge.mend, err = newMend(s, s.merge)
	}
	if err == nil && s.o.Into {
		s.merge.adopt, err = newAdopt(s, s.merge)
	}
	return err
}

// openBase opens the directory to restore into.
func (s *staging) openBase() (err error) {
	if s.root != nil {
		return nil
	}
	if s.root, err = os.OpenRoot(s.path); err != nil {
		return err
	}
	dir, err := s.root.Open(".")
	if err != nil {
		return err
	}
	defer dir.Close()
	s.base, err = unix.FcntlInt(dir.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	return err
}

// openPlace makes the place, in a dry run only looks at it, and tells what a
// killed run had come to. A migration has two: its own, named as pkcstok_migrate
// names it, and the usual one, so that no other run is at work meanwhile.
func (s *staging) openPlace() (err error) {
	name := s.token.Name.Components()
	if s.swap, err = s.openNamed(swap.PlaceName(name), "restore"); err != nil {
		return err
	}
	own := filepath.Join(s.path, name[0]+migratingSuffix)
	switch {
	case s.o.Recoded:
		s.guard = s.swap
		if s.swap, err = s.openNamed(name[0]+migratingSuffix, "migration"); err != nil {
			return err
		}
	case len(name) == 1 && swap.Pending(own):
		return fmt.Errorf("a migration of it was stopped and has left %s; tokar migrate, the same command or undo, ends it", own)
	}
	if s.swap != nil {
		s.dir = s.swap.Dir()
		s.inherits = hasXattr(s.dir, defaultACL)
	}
	return nil
}

func (s *staging) openNamed(name, what string) (p *swap.Place, err error) {
	var before swap.State
	if s.o.DryRun {
		before, err = swap.LookNamed(s.root, name)
	} else {
		p, before, err = swap.OpenNamed(s.root, name)
	}
	if err != nil {
		return nil, err
	}
	cleared := "what it left is cleared away"
	if s.o.DryRun {
		cleared = "the next run clears away what it left"
	}
	switch before {
	case swap.Remains:
		s.note("an earlier %s was stopped when it had hardly begun, or was all but done; %s", what, cleared)
	case swap.Stopped:
		s.note("an earlier %s was stopped before it changed anything; %s", what, cleared)
	case swap.Swapped:
		s.note("an earlier %s was stopped when the new token stood in its place already; %s", what, cleared)
	case swap.PutBack:
		s.note("an earlier %s was stopped half-way; the token that stood here is put back, and %s", what, cleared)
		if !s.o.Whole {
			err = fmt.Errorf("%w: it was just put back; begin again", backends.ErrBusy)
		}
	}
	return p, err
}

// mayTouch refuses a token that is in use, one whose old copy of an earlier
// restore is still there, one that cannot be moved, and one that holds others.
func (s *staging) mayTouch() error {
	if s.merge != nil && (s.o.Replace || s.o.PINs == backends.RollBackPINs) {
		return errors.New("single objects leave the token that is there, and its PINs, as they are; its PINs and keys come with the whole token")
	}
	if s.merge == nil || !s.o.InUse {
		if err := s.where.inUse(); err != nil {
			return err
		}
	}
	parts := s.token.Name.Components()
	parent, err := openPath(s.base, parts)
	if errors.Is(err, unix.ENOENT) {
		return nil // Commit makes it
	}
	if err != nil {
		return err
	}
	defer unix.Close(parent)
	if old := s.keptAs(); exists(parent, old) {
		kept := backends.ErrOldCopy
		if s.o.Recoded {
			kept = backends.ErrKept
		}
		return fmt.Errorf("%s: %w", old, kept)
	}
	if err := s.movable(parent); err != nil {
		return err
	}
	if s.live == nil || s.merge != nil {
		return nil
	}
	inner, err := s.live.holdsTokens()
	if inner != "" {
		err = fmt.Errorf("%w, and holds the token %s, which must not go with it", backends.ErrExists, inner)
	}
	return err
}

// keptAs is the name that the token replaced gets.
func (s *staging) keptAs() string {
	parts := s.token.Name.Components()
	if s.o.Recoded {
		return parts[len(parts)-1] + bakSuffix
	}
	return parts[len(parts)-1] + oldSuffix
}

// makeTree makes the token's directories.
func (s *staging) makeTree() error {
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

func (s *staging) note(form string, args ...any) {
	if s.o.Note != nil {
		s.o.Note(fmt.Sprintf(form, args...))
	}
}

func (s *staging) tellThere(objects, bytes int) {
	if s.o.There != nil && objects > 0 {
		s.o.There(objects, uint64(bytes))
	}
}

// Close removes what was not committed, and lets go of the rest.
func (s *staging) Close() error {
	var err error
	for _, place := range []*swap.Place{s.swap, s.guard} {
		if place != nil {
			err = errors.Join(err, place.Close())
		}
	}
	if s.same != nil {
		err = errors.Join(err, s.same.Close())
		s.same = nil
	}
	if s.merge != nil {
		s.merge.mend.close()
		s.merge.adopt.close()
	}
	if s.live != nil {
		s.live.close()
	}
	if s.base >= 0 {
		unix.Close(s.base)
		s.base = -1
	}
	if s.root != nil {
		s.root.Close()
	}
	return err
}

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
