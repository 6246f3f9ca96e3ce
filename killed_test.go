package main_test

import (
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

var long = flag.Bool("long", false, "every point of every restore, three times")

// TestKilled kills tokar at each of its calls below the directory that it
// restores into. Whenever that is, each token there is the old one or the new
// one, byte for byte; the next run clears up and goes on.
func TestKilled(t *testing.T) {
	if testing.Short() {
		t.Skip("runs a tokar of its own, so that -short has nothing new")
	}
	r := newRig(t)
	for name, s := range restores(t, r) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rounds := 1
			if *long {
				rounds, s.each = 3, 1 // threads take turns in another order each time
			}
			for range rounds {
				points, n := 0, 1
				for s.killed(t, n) {
					points++
					n += s.each
				}
				t.Logf("counted: killed at %d of %d points", points, n-1)
				if n < 70 {
					t.Errorf("there were %d points only", n-1)
				}
			}
		})
	}
}

// TestKilledTwice kills the run that clears up after a killed one, too: once
// where that begins anew, often where it finds the new token.
func TestKilledTwice(t *testing.T) {
	if testing.Short() {
		t.Skip("runs a tokar of its own, so that -short has nothing new")
	}
	for name, s := range restores(t, newRig(t), "swtok new", "swtok over", "swtok over, two renames", "swtok single", "swtok repaired") {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pairs, new := 0, false
			for n, more := 1, true; more; n++ {
				if !new && !*long {
					n++
				}
				m := 1 + n*37%97
				if new || *long {
					m = 1 + n%3
				}
				for again := true; again; {
					if more, again, new = s.killedTwice(t, n, m); again {
						pairs++
					}
					switch {
					case *long:
						m++
					case new:
						m += 1 + m/2
					default:
						again = false
					}
				}
			}
			t.Logf("counted: killed twice in %d ways", pairs)
			if pairs < 60 {
				t.Error("too few")
			}
		})
	}
}

// killedTwice kills a run at its n-th call and the next at its m-th. It says
// whether either makes as many, and whether the first had come to the new token.
func (s *restore) killedTwice(t *testing.T, n, m int) (first, second, new bool) {
	dir := s.fresh(t)
	defer os.RemoveAll(dir)
	one := s.run(t, dir, at(n, "-kill"), s.into(dir)...)
	if !one.Fired {
		return false, false, false
	}
	_, swapped := s.stand(t, dir)
	two := s.run(t, dir, at(m, "-kill"), s.into(dir)...)
	s.recovers(t, dir)
	if t.Failed() {
		t.Fatalf("killed at %d, %s %s, then at %d, %s %s", n, one.Call, one.Path, m, two.Call, two.Path)
	}
	return true, two.Fired, swapped > 0
}

// killed kills a run at its n-th call; false if it makes fewer.
func (s *restore) killed(t *testing.T, n int) bool {
	dir := s.fresh(t)
	defer os.RemoveAll(dir)
	o := s.run(t, dir, at(n, "-kill"), s.into(dir)...)
	if !o.Fired {
		s.done(t, dir, o)
	} else {
		if o.Signal != int(unix.SIGKILL) {
			t.Errorf("not killed: %+v", o)
		}
		s.recovers(t, dir)
	}
	if t.Failed() {
		t.Fatalf("killed at %d, %s %s", n, o.Call, o.Path)
	}
	return o.Fired
}

// recovers checks what a killed run left, and that the next one clears it up:
// it ends what was begun, or starts again. Where an old token was kept already,
// it says so, and goes on when that is out of the way.
func (s *restore) recovers(t *testing.T, dir string) {
	t.Helper()
	s.stand(t, dir)
	s.nothingLost(t, dir)
	begun := slices.ContainsFunc(s.tokens, func(token string) bool {
		return s.looks(t, dir, "."+token+".tokar-new", "new") != ""
	})
	o := s.undisturbed(t, dir)
	s.nothingLost(t, dir)
	said := o.stderr
	for range s.tokens {
		if o.Exit == 3 && s.take(t, dir, false) {
			o = s.undisturbed(t, dir)
			said += o.stderr
		}
	}
	if begun && !strings.Contains(said, "an earlier restore was stopped") {
		t.Errorf("what was left is not told of: %s", said)
	}
	if o.Exit != 0 {
		t.Errorf("the next run: exit code %d: %s", o.Exit, o.stderr)
	}
	if old, _ := s.stand(t, dir); old > 0 {
		t.Errorf("after the next run %d tokens are old", old)
	}
	s.take(t, dir, true)
	if names := s.beside(t, dir); len(names) > 0 {
		t.Errorf("beside the tokens stand %q", names)
	}
}

// nothingLost looks for the old token of each that is new.
func (s *restore) nothingLost(t *testing.T, dir string) {
	t.Helper()
	for _, token := range s.tokens {
		if !s.keeps(token) || s.looks(t, dir, token) == s.old[token] {
			continue
		}
		places := []string{token + oldSuffix}
		for _, place := range s.beside(t, dir) {
			inside, _ := filepath.Glob(filepath.Join(dir, place, "*"))
			for _, path := range inside {
				places = append(places, strings.TrimPrefix(path, dir))
			}
		}
		is := func(place string) bool { return s.looks(t, dir, place) == s.old[token] }
		if !slices.ContainsFunc(places, is) {
			t.Errorf("the old %s is in none of %q", token, places)
		}
	}
}

// take removes the tokens that were kept, which are old, or may be new where
// one was restored again.
func (s *restore) take(t *testing.T, dir string, orNew bool) (any bool) {
	t.Helper()
	for _, token := range s.tokens {
		got := s.looks(t, dir, token+oldSuffix)
		if got == "" {
			continue
		}
		if any = true; got != s.old[token] && !((orNew || s.old[token] == "") && got == s.new[token]) {
			t.Errorf("%s%s is another:\n%s", token, oldSuffix, difference(got, s.old[token], s.new[token]))
		}
		if err := os.RemoveAll(filepath.Join(dir, token+oldSuffix)); err != nil {
			t.Fatal(err)
		}
	}
	return any
}
