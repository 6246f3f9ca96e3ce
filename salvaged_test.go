package main_test

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// TestSalvageDisturbed kills a salvage at its calls, and makes them fail. Each
// token is then there whole or not at all; where none is, the next run clears up
// and goes on, and no exit code 0 is not true.
func TestSalvageDisturbed(t *testing.T) {
	if testing.Short() {
		t.Skip("runs a tokar of its own, so that -short has nothing new")
	}
	r := newRig(t)
	salvage := func(t *testing.T) *restore {
		s := newRestore(t, r, []string{"swtok", "newtok"}, nil, "--salvage")
		if s.each = 4; *long {
			s.each = 1
		}
		return s
	}
	t.Run("killed", func(t *testing.T) {
		t.Parallel()
		s := salvage(t)
		points, before, n := 0, 0, 1
		for fired := true; fired; n += s.each {
			dir := s.fresh(t)
			o := s.run(t, dir, at(n, "-kill"), s.into(dir)...)
			switch old, _ := s.stand(t, dir); {
			case !o.Fired:
				s.done(t, dir, o)
			case old == len(s.tokens):
				before++
				s.done(t, dir, s.undisturbed(t, dir))
			}
			if t.Failed() {
				t.Fatalf("killed at %d, %s %s", n, o.Call, o.Path)
			}
			if fired = o.Fired; fired {
				points++
			}
			os.RemoveAll(dir)
		}
		t.Logf("counted: a salvage killed at %d points, %d of them before a token was there", points, before)
		if points < 20 || before == points {
			t.Error("too few")
		}
	})
	for _, f := range faults[:4] {
		name := unix.ErrnoName(f.errno)
		if f.ever {
			name += " ever"
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := salvage(t)
			points, n := 0, 1
			for fired := true; fired; n += s.each {
				dir := s.fresh(t)
				plan := at(n, "-calls", f.calls, "-fail", unix.ErrnoName(f.errno))
				if f.ever {
					plan = append(plan, "-ever")
				}
				o := s.run(t, dir, plan, s.into(dir)...)
				switch {
				case !o.Fired:
					s.done(t, dir, o)
				case o.Exit == 0:
					s.saysDone(t, dir, o)
				default:
					s.saysFailed(t, dir, f, o)
				}
				if t.Failed() {
					t.Fatalf("at %d, %s %s: exit code %d: %s", n, o.Call, o.Path, o.Exit, o.stderr)
				}
				if fired = o.Fired; fired {
					points++
				}
				os.RemoveAll(dir)
			}
			t.Logf("counted: calls of a salvage failed at %d points", points)
			if points < 10 {
				t.Error("too few")
			}
		})
	}
}
