package opencryptoki

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"tokar/backends"
	"tokar/format"
)

// stamp tells one state of a file from another. Releases since 3.26.0 replace
// files by renaming, which shows in inode and directory; older ones write in
// place, which shows in the change time.
type stamp struct {
	ino   uint64
	size  int64
	ctime int64
}

func stampOf(dir int, name string) (s stamp) {
	var st unix.Stat_t
	if unix.Fstatat(dir, name, &st, unix.AT_SYMLINK_NOFOLLOW) == nil {
		s = stamp{st.Ino, st.Size, st.Ctim.Nano()}
	}
	return s
}

// watched are the files whose change shows that a token is in use, with the
// directories they are in. PINs change NVTOK.DAT and MK_*, objects OBJ.IDX and
// TOK_OBJ (and NVTOK.DAT up to 3.17).
type watched struct{ token, objects, index, nvtok, so, user, tpm stamp }

func watch(dir, objects int) watched {
	w := watched{
		token: stampOf(dir, "."),
		nvtok: stampOf(dir, nvtokName),
		so:    stampOf(dir, soKeyName),
		user:  stampOf(dir, userKeyName),
		tpm:   stampOf(dir, tpmKeyName),
	}
	if objects >= 0 {
		w.objects, w.index = stampOf(objects, "."), stampOf(objects, indexName)
	}
	return w
}

// latest is when the last of them changed.
func (w watched) latest() int64 {
	return max(w.token.ctime, w.objects.ctime, w.index.ctime, w.nvtok.ctime, w.so.ctime, w.user.ctime, w.tpm.ctime)
}

// Recheck looks whether the token stood still since it was opened. In a token
// that did it costs a few calls; else the directories are listed again, and
// every entry is compared by its change time.
func (t *token) Recheck(ctx context.Context) (changed []backends.Entry, stable bool, err error) {
	if err := ctx.Err(); err != nil {
		return nil, false, err
	}
	if t.live != nil {
		return t.recheckLive(ctx)
	}
	now := time.Now().UnixNano()
	w := watch(t.dir, t.objects)
	if w == t.watched {
		late := t.lateEntries()
		return late, len(late) == 0, nil
	}
	before := t.scan
	changed, err = t.relist(ctx, before)
	t.opened = now
	return changed, false, err
}

// relist lists the token again, and gives what changed. Of one that is gone
// there is nothing to be read again.
func (t *token) relist(ctx context.Context, before *scan) ([]backends.Entry, error) {
	switch err := t.list(); {
	case errors.Is(err, unix.ENOENT):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("token %s: cannot list it again: %w", t.info.Name, err)
	}
	return t.compare(ctx, before)
}

// recheckLive is Recheck of a token that programs may use: one that is in memory
// stands still there; of another, what changed is read into memory, until all of
// it is as it stands at one moment.
func (t *token) recheckLive(ctx context.Context) (changed []backends.Entry, stable bool, err error) {
	if t.live.still {
		return nil, true, nil
	}
	before, listed := t.scan, t.watched
	if len(t.changing) > 0 { // and that is told
		t.kept.clear()
		changed, err = t.relist(ctx, before)
		return changed, false, err
	}
	stable, err = t.settle(ctx, again, func() (list []backends.Entry, err error) {
		if t.watched == listed {
			changed = t.lateEntries()
			return changed, nil
		}
		changed, err = t.compare(ctx, before)
		return changed, err
	})
	if errors.Is(err, backends.ErrLocked) || errors.Is(err, unix.ENOENT) {
		stable, err = false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("token %s: cannot look at it again: %w", t.info.Name, err)
	}
	if !stable { // then as it stands, and not what was read of it at several moments
		t.kept.clear()
		changed, err = t.relist(ctx, before)
	}
	for i := range changed {
		if string(changed[i].Name) == nvtokName {
			changed[i].Findings = append(changed[i].Findings, t.changing...)
		}
	}
	return changed, stable, err
}

// lateEntries are the entries written between the opening of the token and
// their turn: what was read may be half of a change.
func (t *token) lateEntries() []backends.Entry {
	byName := func(a, b backends.Entry) int { return bytes.Compare(a.Name, b.Name) }
	slices.SortFunc(t.late, byName)
	return slices.CompactFunc(t.late, func(a, b backends.Entry) bool { return byName(a, b) == 0 })
}

// compare gives the entries to be read again: what is new or was written since
// the token was opened, and what is gone.
func (t *token) compare(ctx context.Context, before *scan) (changed []backends.Entry, err error) {
	old, now := before.lookup(), t.scan.lookup()
	for e := range t.scan.entries() {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if flags, known := old(&e); !known || e.Flags != flags || t.writtenSince(&e) {
			changed = append(changed, e)
		}
	}
	for e := range before.entries() {
		if _, there := now(&e); there || e.Flags&format.Refused != 0 || t.vanished[string(e.Name)] {
			continue
		}
		e.Findings = nil
		if e.Place == inIndex {
			e.Place = inObjects
		}
		changed = append(changed, e)
	}
	return changed, nil
}

// lookup gives a function that finds entries by name. Objects, which may be a
// million, are found where they are; the others get a map.
func (s *scan) lookup() func(e *backends.Entry) (format.Flags, bool) {
	others := map[string]format.Flags{}
	for e := range s.entries() {
		if e.Kind != format.KindObject {
			others[string(e.Name)] = e.Flags
		}
	}
	return func(e *backends.Entry) (format.Flags, bool) {
		if e.Kind != format.KindObject {
			flags, ok := others[string(e.Name)]
			return flags, ok
		}
		if o := s.objects.find(e.Name); o != nil {
			return s.flags(o), true
		}
		return 0, false
	}
}

// writtenSince says whether an entry's file changed after the token was opened,
// or is gone.
func (t *token) writtenSince(e *backends.Entry) bool {
	s := t.stampOf(e)
	return s == stamp{} && e.Place == elsewhere || s.ctime > t.opened
}

// stampOf is an entry's; zero if it is gone.
func (t *token) stampOf(e *backends.Entry) stamp {
	dir := t.dir
	switch e.Place {
	case inIndex, inObjects:
		dir = t.objects
	case fromPEMs:
		return stampOf(unix.AT_FDCWD, t.pems[string(e.Name)])
	case elsewhere:
		var err error
		if dir, err = openPath(t.dir, e.Name.Components()); err != nil {
			return stamp{}
		}
		defer unix.Close(dir)
	}
	return stampOf(dir, string(baseName(e.Name)))
}
