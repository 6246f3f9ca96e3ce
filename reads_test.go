package main_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"
)

// readFaults are what befalls calls that read the token.
var readFaults = []struct {
	calls string
	errno unix.Errno
	ever  bool
	each  int // try every so many points
}{
	{"reads", unix.EIO, false, 1},
	{"reads", unix.EIO, true, 4},
	{"openat,newfstatat", unix.EACCES, false, 1},
	{"openat", unix.ENOENT, false, 2},
	{"read,getdents64,flistxattr,fstat", unix.ENOMEM, false, 3},
	{"openat", unix.EMFILE, true, 2},
}

// TestUnreadable makes calls that read a token fail. What could not be read is
// named, or there is no archive.
func TestUnreadable(t *testing.T) {
	if testing.Short() {
		t.Skip("runs a tokar of its own, so that -short has nothing new")
	}
	r := newRig(t)
	for token := range restored {
		t.Run(token, func(t *testing.T) {
			t.Parallel()
			s := newSource(t, r, token)
			points := 0
			codes := map[int]int{}
			for _, f := range readFaults {
				if *long {
					f.each = 1
				}
				for n := 1; ; n += f.each {
					plan := at(n, "-calls", f.calls, "-fail", unix.ErrnoName(f.errno))
					if f.ever {
						plan = append(plan, "-ever")
					}
					o := s.create(t, s.dir, plan)
					if err := s.lies(t, o); err != nil {
						t.Errorf("%s (ever: %v) at %d, %s %s: %v\nexit code %d: %s", unix.ErrnoName(f.errno), f.ever, n, o.Call, o.Path, err, o.Exit, o.stderr)
					}
					if !o.Fired {
						break
					}
					points++
					codes[o.Exit]++
				}
			}
			t.Logf("counted: reads failed at %d points; exit codes: %v", points, codes)
			if points < 120 {
				t.Error("too few")
			}
		})
	}
}

// TestInterruptedReads interrupts every call that may be, and gives every read
// less than it asks for: neither is an error, and the archive has the same.
func TestInterruptedReads(t *testing.T) {
	if testing.Short() {
		t.Skip("runs a tokar of its own, so that -short has nothing new")
	}
	r := newRig(t)
	for token := range restored {
		t.Run(token, func(t *testing.T) {
			t.Parallel()
			s := newSource(t, r, token)
			points := 0
			whole := func(below string, plan ...string) (fired bool) {
				o := s.create(t, below, plan)
				if o.Exit != 0 {
					t.Errorf("%q, %s %s: exit code %d: %s", plan, o.Call, o.Path, o.Exit, o.stderr)
				} else if err := s.lies(t, o); err != nil {
					t.Errorf("%q: %v", plan, err)
				}
				points += o.Seen
				return o.Fired
			}
			home := filepath.Dir(s.archive)
			for _, bytes := range []string{"1", "7", "100", "4096"} {
				whole(s.dir, at(1, "-ever", "-calls", "read", "-short", bytes)...)
				whole(home, at(1, "-ever", "-calls", "write", "-short", bytes)...)
			}
			const slow = "open,openat,read,write,getdents64,fsync,flock"
			whole(home, at(1, "-ever", "-calls", slow, "-fail", "EINTR")...)
			step := 3
			if *long {
				step = 1
			}
			for n := 1; whole(home, at(n, "-calls", slow, "-fail", "EINTR")...); n += step {
			}
			for n := 1; whole(s.dir, at(n, "-calls", "read", "-short", "3")...); n += step {
			}
			t.Logf("counted: %d calls interrupted or cut short, or waiting to be", points)
		})
	}
}

// TestChangedMeanwhile changes one object just before each of the calls that
// read the token: the archive has what it was or what it is, whole, or it is
// named.
func TestChangedMeanwhile(t *testing.T) {
	if testing.Short() {
		t.Skip("runs a tokar of its own, so that -short has nothing new")
	}
	r := newRig(t)
	for token := range restored {
		for what, change := range map[string]string{
			"vanishes": "rm -f %s",
			"grows":    "printf more >>%s",
			"shrinks":  "truncate -s -5 %s",
			"replaced": "printf other >%[1]s.n && mv %[1]s.n %[1]s",
		} {
			t.Run(token+" "+what, func(t *testing.T) {
				t.Parallel()
				s := newSource(t, r, token)
				object := "TOK_OBJ/" + objectNames(t, s.dir)[2]
				was := s.files[object][0]
				s.files[object] = append(s.files[object], append(bytes.Clone(was), "more"...), was[:len(was)-5], []byte("other"))
				points, step := 0, 3
				if *long {
					step = 1
				}
				begin := s.dir
				for n := 1; ; n += step {
					s.dir = filepath.Join(filepath.Dir(begin), strconv.Itoa(n), token)
					cloneTree(t, begin, s.dir)
					now := filepath.Join(s.dir, object)
					o := s.create(t, s.dir, at(n, "-calls", "reads", "-exec", fmt.Sprintf(change, now)))
					if err := s.lies(t, o); err != nil || o.Exit > 1 {
						t.Errorf("before call %d, %s %s: %v\nexit code %d: %s", n, o.Call, o.Path, err, o.Exit, o.stderr)
					}
					if err := os.RemoveAll(filepath.Dir(s.dir)); err != nil {
						t.Fatal(err)
					}
					if !o.Fired {
						break
					}
					points++
				}
				t.Logf("counted: %s at %d points", what, points)
				if points < 20 {
					t.Error("too few")
				}
			})
		}
	}
}
