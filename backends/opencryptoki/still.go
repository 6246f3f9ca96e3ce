package opencryptoki

import (
	"bytes"
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"tokar/backends"
	"tokar/backends/opencryptoki/tokendata"
	"tokar/format"
)

// How a token is read that programs may change meanwhile:
//
//  1. Under its lock, shared, it is listed and read into memory, for holdTime at
//     most. What did not fit into that time is read in the next hold; what was
//     read and has not changed since is not read again. A hold to whose end
//     everything is in memory saw the token as it stood at one moment.
//  2. The library writes NVTOK.DAT and the MK file of a PIN change one after
//     the other, and gives the lock back in between (new_host.c). So where
//     NVTOK.DAT is young, both are looked at again after pinPause, and all of it
//     is read again if they changed.
//  3. Releases such as 3.8.1 remove objects without the lock: they empty OBJ.IDX,
//     write it anew and unlink the file. Before its next change each program
//     takes the lock, so that within a hold this comes to an end: it is waited
//     for. An index that does not fit its directory is looked at again until it
//     is old.
//  4. A token that is larger than kept allows is read without a lock, and what
//     changed meanwhile once more, in the same way (recheck.go). So is one that
//     did not come to an end.
//
// Without a lock a pass counts that finds all as the one before it left it.
const (
	passes    = 40                    // … of reading, before it is given up
	again     = 4                     // … of looking again, what changed
	pinPasses = 5                     // … while PINs change
	passPause = 25 * time.Millisecond // between passes: who waits for the lock has it then
	// The clock of change times goes in steps of up to 10 ms: what was written
	// just before it was read may be written once more in the same step.
	clockStep = 20 * time.Millisecond
	oddPause  = 500 * time.Millisecond // a removal takes less, if the machine is not busy
)

// pinPause is how long a change of PIN may take. The library needs some
// milliseconds, if the machine is not busy.
var pinPause = 500 * time.Millisecond

// live says that the token may change while it is read, and how that is met.
type live struct {
	locks locks // none with --no-lock
	still bool  // all of it is in memory, as it stood at one moment
}

// openLive looks whether programs may be using the token, and opens its locks.
func (t *token) openLive(loc backends.Location) error {
	if loc.Reading.Listing {
		return nil
	}
	if loc.Reading.NoLock {
		t.live = &live{}
		return nil
	}
	up, err := openat(t.dir, []byte(strings.Repeat("../", len(partsOf(loc)))), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(up)
	where := readingPlace(up, loc)
	open, err := where.openLocks()
	if none := where.unlocked(); none != "" {
		t.notes = append(t.notes, none)
	}
	switch {
	case err != nil:
		t.live = &live{}
		t.notes = append(t.notes, err.Error()+": it is read without, and what changes meanwhile is read again")
	case len(open) > 0:
		t.live = &live{locks: open}
	}
	return nil
}

// readingPlace is where a token stands that is read. base is the directory that holds
// it, by all its name's parts.
func readingPlace(base int, loc backends.Location) place {
	p := place{base: base, parts: partsOf(loc), paths: []string{loc.Real}, locks: loc.Reading.Locks}
	if named, err := filepath.Abs(loc.Path); err == nil {
		p.paths = append(p.paths, named)
	}
	if sameDir(base, defaultBase) {
		p.paths = append(p.paths, filepath.Join(append([]string{defaultBase}, p.parts...)...))
	}
	return p
}

// partsOf is the library's name of a token: that of its directory, of a TPM token
// with the directory of all of them.
func partsOf(loc backends.Location) []string {
	parent, name := filepath.Split(loc.Real)
	if filepath.Base(parent) == tpmBase {
		return []string{tpmBase, name}
	}
	return []string{name}
}

// readLive reads the token into memory, or, if it is too large, the state that
// PINs are in. Where that fails it is read as it stands, and rechecked.
func (t *token) readLive(ctx context.Context, stateOnly bool) (err error) {
	whole, n := !stateOnly && t.kept.room(t.weight()), passes
	if !whole {
		n = again // its list alone may take longer than a hold
	}
	t.live.still, err = t.settle(ctx, n, func() ([]backends.Entry, error) {
		if !whole {
			return t.scan.state, nil
		}
		return slices.Collect(t.scan.entries()), nil
	})
	t.live.still = t.live.still && whole
	return err
}

// settle reads what is wanted as it stands at one moment, and at none at which a
// PIN was being changed; done is false if it did not come to that.
func (t *token) settle(ctx context.Context, n int, wanted func() ([]backends.Entry, error)) (done bool, err error) {
	for range pinPasses {
		if done, err = t.gather(ctx, n, wanted); err != nil || !done {
			return false, err
		}
		if done, err = t.pinsSettled(ctx); err != nil || done {
			return done, err
		}
	}
	t.changing = []format.Finding{finding(Changing, nvtokName, -1,
		"PINs changed each time they were looked at: NVTOK.DAT and the files that belong to it may be of two PINs, so that nobody could log in with them")}
	return false, nil
}

// gather makes n passes at most, until what is wanted is in memory as it stands
// at one moment.
func (t *token) gather(ctx context.Context, n int, wanted func() ([]backends.Entry, error)) (done bool, err error) {
	for range n {
		done, err = t.pass(ctx, wanted)
		if errors.Is(err, errFull) {
			return false, nil
		}
		if err != nil || done {
			return done, err
		}
		select {
		case <-ctx.Done():
			return false, ctx.Err()
		case <-time.After(passPause):
		}
	}
	return false, nil
}

// pass lists the token again, and reads what is wanted and not in memory as it
// stands.
func (t *token) pass(ctx context.Context, wanted func() ([]backends.Entry, error)) (done bool, err error) {
	h, err := t.live.locks.hold(ctx)
	if err != nil {
		return false, err
	}
	defer h.end()
	begun, before := time.Now(), t.watched
	if !t.quiet(h) {
		return false, nil
	}
	if err := t.list(); err != nil || h.ended() {
		return false, err
	}
	if t.scan.odd() && t.watched.latest() > begun.Add(-oddPause).UnixNano() {
		return false, nil
	}
	list, err := wanted()
	if err != nil {
		return false, err
	}
	fresh := 0
	for i := range list {
		e := &list[i]
		if err := ctx.Err(); err != nil {
			return false, err
		}
		if e.Flags&format.Refused != 0 || e.Place == inIndex {
			continue
		}
		now := t.stampOf(e)
		if t.kept.current(e, now) {
			continue
		}
		if h.ended() {
			return false, nil
		}
		fresh++
		if err := t.keep(e, now); err != nil {
			return false, err
		}
	}
	if len(t.live.locks) == 0 {
		return fresh == 0 && t.watched == before && t.watched.latest() < begun.Add(-clockStep).UnixNano(), nil
	}
	return watch(t.dir, t.objects) == t.watched && h.end(), nil
}

// quiet waits until what was under way without the lock has come to its end.
func (t *token) quiet(h *hold) bool {
	for len(t.live.locks) > 0 && time.Since(time.Unix(0, watch(t.dir, t.objects).latest())) < clockStep {
		time.Sleep(clockStep / 4)
		if h.ended() {
			return false
		}
	}
	return true
}

// keep reads an entry, whose stamp this was just before, into memory.
func (t *token) keep(e *backends.Entry, s stamp) error {
	begun := time.Now()
	f, err := t.readPlace(e, nil)
	if err != nil && !ofEntry(err) {
		return t.unread(e, err)
	}
	if err == nil {
		s = stamp{f.stat.Ino, f.stat.Size, f.stat.Ctim.Nano()}
	}
	young := s.ctime > begun.Add(-clockStep).UnixNano()
	return t.kept.put(e, kept{f, err, s, young})
}

// pinsSettled looks whether a PIN change was under way when the token was read.
// Where NVTOK.DAT was written long before, none was.
func (t *token) pinsSettled(ctx context.Context) (bool, error) {
	young := t.watched.nvtok.ctime
	if t.info.Property(propVariant) == tokendata.TPM { // its PINs are in objects, and then in PEM files
		young = t.watched.latest()
	}
	left := pinPause - time.Since(time.Unix(0, young))
	if left <= 0 {
		return true, nil
	}
	select {
	case <-ctx.Done():
		return false, ctx.Err()
	case <-time.After(min(left, pinPause)):
	}
	for i := range t.scan.state {
		e := &t.scan.state[i]
		was, ok := t.kept.get(e)
		if e.Flags&format.Refused != 0 || !ok {
			continue
		}
		if string(e.Name) != nvtokName {
			if t.stampOf(e) != was.stamp {
				return false, nil
			}
			continue
		}
		now, err := t.readPlace(e, nil) // up to 3.17 every object made changes it
		if err != nil && !ofEntry(err) {
			return false, t.unread(e, err)
		}
		if (err == nil) != (was.err == nil) || !bytes.Equal(withoutNext(nvtokName, now.data), withoutNext(nvtokName, was.data)) {
			return false, nil
		}
	}
	return true, nil
}

// weight is what the token takes in memory, as far as its list tells.
func (t *token) weight() (n int64) {
	for e := range t.scan.entries() {
		n += keptEntry + t.stampOf(&e).size
		if n > maxKept {
			break
		}
	}
	return n
}
