package main_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// inService is a source whose token has a lock, as one that programs use.
func inService(t *testing.T, r *rig) *source {
	t.Helper()
	const token = "swtok"
	home := quickDir(t)
	s := &source{rig: r, token: token, dir: filepath.Join(home, "lib/opencryptoki", token), archive: filepath.Join(home, "out/archive")}
	lock := filepath.Join(home, "lock/opencryptoki", token, "LCK.."+token)
	for _, dir := range []string{filepath.Dir(s.dir), filepath.Dir(lock), filepath.Dir(s.archive)} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	placeFew(t, token, s.dir)
	if err := os.WriteFile(lock, nil, 0o440); err != nil {
		t.Fatal(err)
	}
	s.files = contents(t, s.dir)
	time.Sleep(600 * time.Millisecond) // a young NVTOK.DAT would be waited for in each run
	return s
}

// TestInServiceFails makes calls fail with which a token in use is locked and
// read. What could not be read is named, or there is no archive; a lock that
// cannot be had is done without.
func TestInServiceFails(t *testing.T) {
	if testing.Short() {
		t.Skip("runs a tokar of its own, so that -short has nothing new")
	}
	s := inService(t, newRig(t))
	state := filepath.Dir(filepath.Dir(filepath.Dir(s.dir)))
	points, locks := 0, 0
	for _, f := range []struct {
		below, calls string
		errno        unix.Errno
		ever         bool
		each         int
	}{
		{"lock", "open,openat,flock", unix.EIO, false, 1},
		{"lock", "open,openat,flock", unix.EIO, true, 1},
		{"lock", "open,openat", unix.EACCES, true, 1},
		{"lock", "flock", unix.ENOLCK, true, 1},
		{"lock", "open,openat", unix.EMFILE, false, 1},
		{"lib", "reads", unix.EIO, false, 2},
		{"lib", "reads", unix.EIO, true, 9},
		{"lib", "openat,newfstatat", unix.EACCES, false, 3},
		{"lib", "openat", unix.ENOENT, false, 3},
		{"lib", "openat", unix.EMFILE, true, 5},
	} {
		if *long {
			f.each = 1
		}
		for n := 1; ; n += f.each {
			plan := at(n, "-calls", f.calls, "-fail", unix.ErrnoName(f.errno))
			if f.ever {
				plan = append(plan, "-ever")
			}
			o := s.create(t, filepath.Join(state, f.below), plan)
			if err := s.lies(t, o); err != nil {
				t.Errorf("%s (ever: %v) at %d, %s %s: %v\nexit code %d: %s", unix.ErrnoName(f.errno), f.ever, n, o.Call, o.Path, err, o.Exit, o.stderr)
			}
			if !o.Fired {
				break
			}
			points++
			if f.below == "lock" {
				locks++
			}
		}
	}
	t.Logf("counted: calls on a token in use failed at %d points, %d of them with its lock", points, locks)
	if points < 60 || locks < 5 {
		t.Error("too few")
	}
}

// TestInServiceChanged changes an object of a token in use before each of the
// calls that read it, by one who knows nothing of the lock: the archive has what
// it was or what it is, whole, or it is named.
func TestInServiceChanged(t *testing.T) {
	if testing.Short() {
		t.Skip("runs a tokar of its own, so that -short has nothing new")
	}
	r := newRig(t)
	for what, change := range map[string]string{
		"vanishes": "rm -f %s",
		"grows":    "printf more >>%s",
		"replaced": "printf other >%[1]s.n && mv %[1]s.n %[1]s",
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			s := inService(t, r)
			object := "TOK_OBJ/" + objectNames(t, s.dir)[2]
			was := s.files[object][0]
			s.files[object] = append(s.files[object], append(bytes.Clone(was), "more"...), []byte("other"))
			points, step := 0, 9
			if *long {
				step = 1
			}
			kept := filepath.Join(t.TempDir(), "kept")
			cloneTree(t, s.dir, kept)
			for n := 1; ; n += step {
				if err := os.RemoveAll(s.dir); err != nil {
					t.Fatal(err)
				}
				cloneTree(t, kept, s.dir)
				o := s.create(t, s.dir, at(n, "-calls", "reads", "-exec", fmt.Sprintf(change, filepath.Join(s.dir, object))))
				if err := s.lies(t, o); err != nil || o.Exit > 1 {
					t.Errorf("before call %d, %s %s: %v\nexit code %d: %s", n, o.Call, o.Path, err, o.Exit, o.stderr)
				}
				if !o.Fired {
					break
				}
				points++
			}
			t.Logf("counted: %s at %d points", what, points)
			if points < 8 {
				t.Error("too few")
			}
		})
	}
}
