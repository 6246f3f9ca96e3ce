package opencryptoki

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tokar/backends"
	"tokar/format"
)

// inService is a token with a lock, as one that a library used; where it is and
// the lock.
func inService(t testing.TB, fixture string) (loc backends.Location, lock string) {
	t.Helper()
	state := t.TempDir()
	base := filepath.Join(state, baseBelow)
	check(t, os.MkdirAll(base, 0o755))
	dir := copyToken(t, fixture, filepath.Join(base, "swtok"))
	lock = filepath.Join(state, "lock/opencryptoki/swtok/LCK..swtok")
	check(t, os.MkdirAll(filepath.Dir(lock), 0o755))
	check(t, os.WriteFile(lock, nil, 0o440))
	found, err := Backend{}.Find(context.Background(), dir)
	check(t, err)
	return found.Tokens[0], lock
}

// locked is the lock, held by another.
func locked(t testing.TB, lock string) *os.File {
	t.Helper()
	f, err := os.Open(lock)
	check(t, err)
	t.Cleanup(func() { f.Close() })
	check(t, unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB))
	return f
}

// brief has a lock waited for, and held, for other times than usual.
func brief(t testing.TB, wait, held time.Duration) {
	wasWait, wasHold := lockWait, holdTime
	lockWait, holdTime = wait, held
	t.Cleanup(func() { lockWait, holdTime = wasWait, wasHold })
}

// A token in service is as it was when it was opened, whatever happens
// afterwards, and nobody waits for it then.
func TestReadWhole(t *testing.T) {
	needFineTimes(t)
	for _, noLock := range []bool{false, true} {
		loc, lock := inService(t, fixtureDir+"/swtok-old-small")
		loc.Reading.NoLock = noLock
		want := files(t, loc.Real)
		tok, err := Backend{}.Open(t.Context(), loc)
		check(t, err)
		defer tok.Close()
		locked(t, lock)
		for name := range want {
			check(t, os.WriteFile(filepath.Join(loc.Real, name), []byte("changed"), 0o600))
		}
		check(t, os.Remove(loc.Real+"/TOK_OBJ/20000000"))
		n := 0
		for e, err := range tok.Entries(t.Context()) {
			check(t, err)
			for range 2 { // what does not fit into a part is read again
				r := newRecord(&e)
				check(t, tok.Read(t.Context(), &e, r, make([]byte, 2000)))
				if r.Absent() || len(r.Details.Findings) > 0 || !strings.HasSuffix(want[entryPath(e.Kind, e.Name)], string(r.Data)) {
					t.Errorf("no lock %v: %s: flags %b, %v, %d bytes", noLock, e.Name, r.Flags, r.Details.Findings, len(r.Data))
				}
			}
			n++
		}
		changed, stable, err := tok.(backends.Rechecker).Recheck(t.Context())
		if n != len(want) || !stable || len(changed) > 0 || err != nil {
			t.Errorf("no lock %v: %d of %d entries, stable %v, %v, %v", noLock, n, len(want), stable, changed, err)
		}
		tok.Close()
		if left := keeping.Load(); left != 0 {
			t.Errorf("%d bytes are kept after Close", left)
		}
	}
}

// A writer that keeps the lock is waited for, and not for ever; readers do not
// keep each other off.
func TestLockHeld(t *testing.T) {
	loc, lock := inService(t, fixtureDir+"/swtok-old-small")
	brief(t, 30*time.Millisecond, holdTime)
	other := locked(t, lock)
	_, err := Backend{}.Open(t.Context(), loc)
	who := fmt.Sprintf("process %d (%s) has held its lock %s", os.Getpid(), commOf("/proc/self"), lock)
	if !errors.Is(err, backends.ErrLocked) || !strings.Contains(err.Error(), who) {
		t.Errorf("%v, not %s", err, who)
	}
	noLock := loc
	noLock.Reading.NoLock = true
	tok, err := Backend{}.Open(t.Context(), noLock)
	check(t, err)
	tok.Close()
	check(t, unix.Flock(int(other.Fd()), unix.LOCK_SH))
	tok, err = Backend{}.Open(t.Context(), loc)
	check(t, err)
	tok.Close()

	brief(t, time.Minute, holdTime)
	check(t, unix.Flock(int(other.Fd()), unix.LOCK_EX))
	given := make(chan error, 1)
	go func() {
		time.Sleep(50 * time.Millisecond)
		given <- unix.Flock(int(other.Fd()), unix.LOCK_UN)
	}()
	tok, err = Backend{}.Open(t.Context(), loc)
	check(t, errors.Join(err, <-given))
	tok.Close()
	stopped, cancel := context.WithCancel(t.Context())
	check(t, unix.Flock(int(other.Fd()), unix.LOCK_EX))
	time.AfterFunc(20*time.Millisecond, cancel)
	if _, err := (Backend{}).Open(stopped, loc); !errors.Is(err, context.Canceled) {
		t.Errorf("stopped: %v", err)
	}
}

// Where the lock is told to be counts, not where it would be.
func TestLockElsewhere(t *testing.T) {
	loc, lock := inService(t, fixtureDir+"/swtok-old-small")
	brief(t, 10*time.Millisecond, holdTime)
	loc.Reading.Locks = t.TempDir()
	locked(t, lock)
	tok, err := Backend{}.Open(t.Context(), loc)
	check(t, err)
	tok.Close()
	if notes := strings.Join(tok.Info().Notes, "; "); strings.Count(notes, loc.Reading.Locks+"/swtok/LCK..swtok does not exist, so no lock is taken") != 1 {
		t.Errorf("notes: %q", notes)
	}
	there := loc.Reading.Locks + "/swtok/LCK..swtok"
	check(t, os.Mkdir(filepath.Dir(there), 0o755))
	check(t, os.WriteFile(there, nil, 0o440))
	locked(t, there)
	if _, err := (Backend{}).Open(t.Context(), loc); !errors.Is(err, backends.ErrLocked) {
		t.Error(err)
	}
}

// A lock that is not for us to open is done without, and that is told.
func TestLockForbidden(t *testing.T) {
	needFineTimes(t)
	loc, lock := inService(t, fixtureDir+"/swtok-old-small")
	check(t, os.Remove(lock))
	check(t, os.Symlink("/dev/null", lock)) // stands for any reason
	tok, err := Backend{}.Open(t.Context(), loc)
	check(t, err)
	defer tok.Close()
	if notes := strings.Join(tok.Info().Notes, "; "); !strings.Contains(notes, lock) || !strings.Contains(notes, "read without") {
		t.Errorf("notes: %q", notes)
	}
	if !tok.(*token).live.still {
		t.Error("it was not read until it stood still")
	}
}

// The TPM token that users share has a lock of each of them.
func TestLocksOfUsers(t *testing.T) {
	locks := t.TempDir()
	for _, user := range []string{"alice", "bob"} {
		check(t, os.MkdirAll(filepath.Join(locks, "tpm", user), 0o755))
		check(t, os.WriteFile(filepath.Join(locks, "tpm", user, "LCK..tpm"), nil, 0o440))
	}
	l, err := place{parts: []string{"tpm"}, locks: locks}.openLocks()
	check(t, err)
	defer l.close()
	h, err := l.hold(t.Context())
	check(t, err)
	defer h.end()
	for _, user := range []string{"alice", "bob"} {
		f, err := os.Open(filepath.Join(locks, "tpm", user, "LCK..tpm"))
		check(t, err)
		defer f.Close()
		if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != unix.EWOULDBLOCK {
			t.Errorf("%s's is not held: %v", user, err)
		}
	}
}

// A hold ends by itself, though its reader hangs.
func TestHoldEnds(t *testing.T) {
	_, lock := inService(t, fixtureDir+"/swtok-old-small")
	brief(t, lockWait, 10*time.Millisecond)
	fd, err := openLock(lock)
	check(t, err)
	l := locks{{lock, fd}}
	defer l.close()
	h, err := l.hold(t.Context())
	check(t, err)
	for !h.ended() {
		time.Sleep(time.Millisecond)
	}
	locked(t, lock)
	if h.end() {
		t.Error("it says that it was held until now")
	}
}

// What is read in several holds is what stood there in the last of them.
func TestReadInSlices(t *testing.T) {
	loc, _ := inService(t, fixtureDir+"/swtok-old-small")
	tok := &token{path: loc.Path, dir: -1, objects: -1, opened: time.Now().UnixNano()}
	defer tok.Close()
	check(t, tok.open(t.Context(), loc, true))
	ended := 0
	wanted := func() (list []backends.Entry, err error) {
		for e := range tok.scan.entries() {
			list = append(list, e)
		}
		if ended < 3 { // the first holds end with this much done
			ended++
			list = list[:5*ended]
			_, err = tok.pass(t.Context(), func() ([]backends.Entry, error) { return list, nil })
			check(t, err)
			check(t, os.WriteFile(loc.Real+"/TOK_OBJ/00000000", fmt.Appendf(nil, "written %d times", ended), 0o600))
			return nil, errFull // … and count for nothing
		}
		return list, err
	}
	for done := false; !done; {
		var err error
		if done, err = tok.gather(t.Context(), passes, wanted); err != nil {
			t.Fatal(err)
		}
	}
	got, _ := tok.kept.get(&backends.Entry{Name: format.NameOf("00000000")})
	if ended != 3 || string(got.data) != "written 3 times" {
		t.Errorf("%d: %q", ended, got.data)
	}
}

// A token that is too large to be kept is rechecked under its lock, and what
// changed is then of one moment.
func TestLargeRechecked(t *testing.T) {
	loc, lock := inService(t, fixtureDir+"/swtok-old-small")
	time.Sleep(2 * clockStep)
	keeping.Add(maxKept - 8<<10) // others are kept
	defer keeping.Add(-(maxKept - 8<<10))
	tok, err := Backend{}.Open(t.Context(), loc)
	check(t, err)
	defer tok.Close()
	if tok.(*token).live.still {
		t.Fatal("it is kept all the same")
	}
	readAll(t, tok)
	time.Sleep(2 * clockStep)
	check(t, os.WriteFile(loc.Real+"/TOK_OBJ/H0000000", []byte("new"), 0o660))
	check(t, os.WriteFile(filepath.Join(loc.Real, indexPath), append(read(t, loc.Real, indexPath), "H0000000\n"...), 0o660))
	changed, stable, err := tok.(backends.Rechecker).Recheck(t.Context())
	check(t, err)
	if !stable || len(changed) != 2 {
		t.Fatalf("stable %v, changed %v", stable, changed)
	}
	locked(t, lock)
	check(t, os.WriteFile(loc.Real+"/TOK_OBJ/H0000000", []byte("newer"), 0o660))
	for _, e := range changed {
		r := newRecord(&e)
		check(t, tok.Read(t.Context(), &e, r, make([]byte, 4000)))
		if e.Kind == format.KindObject && string(r.Data) != "new" {
			t.Errorf("%s has %d bytes", e.Name, len(r.Data))
		}
	}
}

// A large token whose lock is not given back at the end is archived, and not
// said to have stood still.
func TestLargeLocked(t *testing.T) {
	loc, lock := inService(t, fixtureDir+"/swtok-old-small")
	brief(t, 20*time.Millisecond, holdTime)
	time.Sleep(2 * clockStep)
	keeping.Add(maxKept)
	defer keeping.Add(-maxKept)
	tok, err := Backend{}.Open(t.Context(), loc)
	check(t, err)
	defer tok.Close()
	readAll(t, tok)
	time.Sleep(2 * clockStep)
	check(t, os.Remove(loc.Real+"/TOK_OBJ/20000000"))
	locked(t, lock)
	changed, stable, err := tok.(backends.Rechecker).Recheck(t.Context())
	if stable || len(changed) != 1 || err != nil {
		t.Errorf("stable %v, changed %v, %v", stable, changed, err)
	}
}

// A token whose directory vanishes while it is read ends no run.
func TestVanishedToken(t *testing.T) {
	for _, inUse := range []bool{false, true} {
		loc, lock := inService(t, fixtureDir+"/swtok-old-small")
		if !inUse {
			check(t, os.Remove(lock))
		}
		keeping.Add(maxKept)
		tok, err := Backend{}.Open(t.Context(), loc)
		keeping.Add(-maxKept)
		check(t, err)
		defer tok.Close()
		check(t, os.RemoveAll(loc.Real))
		readAll(t, tok)
		if _, stable, err := tok.(backends.Rechecker).Recheck(t.Context()); stable || err != nil {
			t.Errorf("in use %v: stable %v, %v", inUse, stable, err)
		}
		if _, err := (Backend{}).Open(t.Context(), loc); err == nil {
			t.Error("it can be opened")
		}
	}
}

// A PIN change as the library makes it: NVTOK.DAT under the lock, and after a
// gap, without it, MK_USER.
type pinChange struct {
	dir, lock string
	gap       time.Duration
	begun     chan struct{} // closed when NVTOK.DAT is written
}

func (c pinChange) to(state string) error {
	f, err := os.Open(c.lock)
	if err != nil {
		return err
	}
	defer f.Close()
	nvtok, err := os.ReadFile(filepath.Join(state, nvtokName))
	key, kerr := os.ReadFile(filepath.Join(state, userKeyName))
	err = errors.Join(err, kerr, unix.Flock(int(f.Fd()), unix.LOCK_EX))
	err = errors.Join(err, os.WriteFile(filepath.Join(c.dir, nvtokName), nvtok, 0o660)) // in place, as up to 3.25
	err = errors.Join(err, unix.Flock(int(f.Fd()), unix.LOCK_UN))
	if c.begun != nil {
		close(c.begun)
	}
	time.Sleep(c.gap)
	return errors.Join(err, os.WriteFile(filepath.Join(c.dir, userKeyName), key, 0o660))
}

const pinFixtures = "../../testdata/pins/"

// The lock does not cover a change of PIN: a token that is opened in the middle
// of one is read with the files of one PIN.
func TestPINChangeMeanwhile(t *testing.T) {
	needFineTimes(t)
	then, now := pinFixtures+"swtok-old", pinFixtures+"swtok-old-userpin-changed"
	for _, noLock := range []bool{false, true} {
		for _, large := range []bool{false, true} {
			loc, lock := inService(t, then)
			loc.Reading.NoLock = noLock
			time.Sleep(pinPause)
			change := pinChange{loc.Real, lock, pinPause / 2, make(chan struct{})}
			done := make(chan error, 1)
			go func() { done <- change.to(now) }()
			<-change.begun
			if large {
				keeping.Add(maxKept - 8<<10)
			}
			pair, found := statePair(t, loc)
			if large {
				keeping.Add(-(maxKept - 8<<10))
			}
			if pair != readPair(t, now) || len(found) > 0 {
				t.Errorf("no lock %v, large %v: NVTOK.DAT and MK_USER of one PIN: %v; %v", noLock, large, pair == readPair(t, now), found)
			}
			check(t, <-done)
		}
	}
}

// Of PINs that never stand still the files of one are read, or it is told.
func TestPINsKeepChanging(t *testing.T) {
	for _, noLock := range []bool{false, true} {
		loc, lock := inService(t, pinFixtures+"swtok-old")
		loc.Reading.NoLock = noLock
		stop, stopped := make(chan struct{}), make(chan error, 1)
		var longest atomic.Int64 // of the changes: on a busy machine they may take their time
		go func() {
			for i := 0; ; i++ {
				state := []string{"swtok-old", "swtok-old-userpin-changed"}[i%2]
				begun := time.Now()
				err := pinChange{loc.Real, lock, pinPause / 10, nil}.to(pinFixtures + state)
				longest.Store(max(longest.Load(), int64(time.Since(begun))))
				if err != nil {
					stopped <- err
					return
				}
				select {
				case <-stop:
					stopped <- nil
					return
				case <-time.After(pinPause / 10):
				}
			}
		}()
		time.Sleep(pinPause)
		pair, found := statePair(t, loc)
		close(stop)
		check(t, <-stopped)
		one := pair == readPair(t, pinFixtures+"swtok-old") || pair == readPair(t, pinFixtures+"swtok-old-userpin-changed")
		if !one && len(found) == 0 && longest.Load() < int64(pinPause) {
			t.Errorf("no lock %v: NVTOK.DAT and MK_USER of two PINs, and nothing was found", noLock)
		}
		t.Logf("no lock %v: of one PIN: %v; found %d", noLock, one, len(found))
	}
}

func readPair(t *testing.T, dir string) string {
	return string(read(t, dir, nvtokName)) + string(read(t, dir, userKeyName))
}

// statePair reads a token and gives NVTOK.DAT with MK_USER, and what was found.
func statePair(t *testing.T, loc backends.Location) (pair string, found []format.Finding) {
	t.Helper()
	tok, err := Backend{}.Open(t.Context(), loc)
	check(t, err)
	defer tok.Close()
	state := map[string][]byte{}
	take := func(e *backends.Entry) {
		r := newRecord(e)
		check(t, tok.Read(t.Context(), e, r, make([]byte, 1000)))
		if e.Kind == format.KindState {
			state[e.Name.String()] = bytes.Clone(r.Data)
			found = append(found, r.Details.Findings...)
		}
	}
	for e, err := range tok.Entries(t.Context()) {
		check(t, err)
		take(&e)
	}
	changed, stable, err := tok.(backends.Rechecker).Recheck(t.Context())
	check(t, err)
	for i := range changed {
		take(&changed[i])
	}
	if !stable {
		found = append(found, finding(Changing, nvtokName, -1, "unstable"))
	}
	return string(state[nvtokName]) + string(state[userKeyName]), found
}
