package main_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// wantedStates is how many different states of a command are looked at; those
// after each of its steps are among them.
func wantedStates() int {
	if *long {
		return 20_000
	}
	return 1000
}

// states draws them, from after the first step to after the last, and hands each
// over with the number of steps. It gives how many different ones there were.
func (d *disk) states(wanted int, look func(s state, steps int) error) (int, error) {
	r := rand.New(rand.NewPCG(1, 2))
	seen := map[uint64]bool{}
	for round := 0; len(seen) < wanted && round < 1000; round++ {
		for steps := range d.steps + 1 {
			lose := []float64{1, 0, 0.5, 0.1, 0.9}[(round+steps)%5]
			if round < 2 {
				lose = float64(1 - round) // nothing but what is durable, and all
			}
			s := d.lost(r, steps, lose)
			if seen[s.id] && steps < d.steps {
				continue
			}
			seen[s.id] = true
			if err := look(s, steps); err != nil {
				return len(seen), fmt.Errorf("after %d of %d steps: %w\n%s", steps, d.steps, err, strings.Join(s.what, "\n"))
			}
		}
	}
	return len(seen), nil
}

// TestPowerLoss restores once, and looks at the states in which a disk may be
// found if the power fails meanwhile: each token is old or new, whole, and no
// old one is lost; once tokar has said that it is done, new. From some of them
// the next run goes on.
func TestPowerLoss(t *testing.T) {
	if testing.Short() {
		t.Skip("runs a tokar of its own, so that -short has nothing new")
	}
	for name, s := range restores(t, newRig(t), "swtok new", "swtok over", "swtok single", "newtok single", "swtok over, not kept", "swtok over, two renames", "two over", "swtok repaired", "newtok repaired, state too", "swtok into") {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := s.disk(t, func(step) bool { return true })
			recovered, n := 0, 0
			different, err := d.states(wantedStates(), func(st state, steps int) error {
				if n++; n%29 == 0 {
					recovered++
					dir := filepath.Join(s.home, "lost"+strconv.Itoa(n))
					st.write(t, dir)
					if s.recovers(t, dir); t.Failed() {
						return fmt.Errorf("the next run")
					}
					os.RemoveAll(dir)
				}
				return s.survives(st, steps == d.steps)
			})
			if err != nil {
				t.Error(err)
			}
			t.Logf("counted: power lost in %d states, recovered from %d", different, recovered)
			if different < 1000 || recovered < 30 {
				t.Error("too few")
			}
		})
	}
}

// disk is what a run of this restore does, of its steps those that are kept.
func (s *restore) disk(t *testing.T, keep func(step) bool) *disk {
	t.Helper()
	dir := s.fresh(t)
	before := load(t, dir)
	steps, _ := s.traced(t, dir, s.into(dir)...)
	return played(t, before, dir, steps, keep)
}

// played leaves out the syncs that are not kept.
func played(t *testing.T, before *inode, dir string, steps []step, keep func(step) bool) *disk {
	t.Helper()
	for i := range steps {
		if !keep(steps[i]) {
			steps[i].Call = "close"
		}
	}
	d, err := play(before, dir, steps)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// survives judges a state.
func (s *restore) survives(st state, done bool) error {
	for _, token := range s.tokens {
		got := ""
		if n := st.at(token); n != nil {
			got = s.masked(n.tree())
		}
		isOld := got == s.old[token] || got == s.raised(token)
		switch {
		case got == s.new[token]:
		case done:
			return fmt.Errorf("%s is done and not new:\n%s", token, difference(got, s.new[token]))
		case !isOld && !(got == "" && s.gap):
			return fmt.Errorf("%s is neither old nor new:\n%s", token, difference(got, s.old[token], s.new[token]))
		}
		if s.keeps(token) && !isOld && !slices.ContainsFunc(s.places(st), func(n *inode) bool { return n.tree() == s.old[token] }) {
			return fmt.Errorf("the old %s is nowhere", token)
		}
	}
	return nil
}

// places are the directories in which an old token may be.
func (s *restore) places(st state) (all []*inode) {
	for name, n := range st.root.entries {
		all = append(all, n)
		if strings.HasPrefix(name, ".") {
			for _, inside := range n.entries {
				all = append(all, inside)
			}
		}
	}
	return all
}

// TestPowerLossCreate does the same with what create and keygen write: the name
// has what it had, or all of the new file.
func TestPowerLossCreate(t *testing.T) {
	if testing.Short() {
		t.Skip("runs a tokar of its own, so that -short has nothing new")
	}
	r := newRig(t)
	source := filepath.Join(t.TempDir(), "swtok")
	placeFew(t, "swtok", source)
	for name, c := range map[string]struct {
		args []string
		over bool
	}{
		"create":      {[]string{"create", "-q", "-R", r.key + ".pub", source, "-f"}, false},
		"create over": {[]string{"create", "-q", "-R", r.key + ".pub", source, "-f"}, true},
		"keygen":      {[]string{"keygen", "-q", "-o"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, old := writes(t, r, c.args, c.over, func(step) bool { return true })
			recovered, n := 0, 0
			home := t.TempDir()
			different, err := d.states(wantedStates(), func(st state, steps int) error {
				if n++; n%29 == 0 && (c.over || st.at("file") == nil) {
					recovered++
					dir := filepath.Join(home, strconv.Itoa(n))
					st.write(t, dir)
					r.must(t, append(slices.Clone(c.args), filepath.Join(dir, "file"))...)
				}
				return wholeFile(d, st, steps == d.steps, old)
			})
			if err != nil {
				t.Error(err)
			}
			t.Logf("counted: power lost in %d states, gone on from %d", different, recovered)
			if different < 1000 && name != "keygen" || recovered == 0 {
				t.Error("too few")
			}
		})
	}
}

// writes traces a command that writes a file.
func writes(t *testing.T, r *rig, args []string, over bool, keep func(step) bool) (d *disk, old []byte) {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if over {
		r.must(t, append(slices.Clone(args), file)...)
	}
	before := load(t, dir)
	if over {
		old = before.entries["file"].data
	}
	steps, _ := r.traced(t, dir, append(slices.Clone(args), file)...)
	return played(t, before, dir, steps, keep), old
}

// wholeFile judges what has the file's name: what had it before, or what has it
// after all steps.
func wholeFile(d *disk, st state, done bool, old []byte) error {
	new := d.lost(rand.New(rand.NewPCG(0, 0)), never, 0).at("file").data
	switch n := st.at("file"); {
	case n == nil && old == nil && !done:
	case n != nil && !done && old != nil && bytes.Equal(n.data, old):
	case n == nil || !bytes.Equal(n.data, new):
		return fmt.Errorf("the file is neither old nor new (done: %v)", done)
	}
	return nil
}

// TestPowerLossIsFound leaves out syncs of real runs, one kind at a time: what
// they are there for is then seen to go wrong.
func TestPowerLossIsFound(t *testing.T) {
	if testing.Short() {
		t.Skip("runs a tokar of its own, so that -short has nothing new")
	}
	r := newRig(t)
	source := filepath.Join(t.TempDir(), "swtok")
	placeFew(t, "swtok", source)
	file := func(s step) bool { return strings.HasPrefix(filepath.Base(s.Files[0]), ".file.part") }
	args := []string{"create", "-q", "-R", r.key + ".pub", source, "-f"}
	for _, c := range []struct {
		what string
		keep func(step) bool
		says string
	}{
		{"the file is not synced", func(s step) bool { return s.Call != "fsync" || !file(s) }, "(done: false)"},
		{"the directory is not synced", func(s step) bool { return s.Call != "fsync" || file(s) }, "(done: true)"},
	} {
		d, old := writes(t, r, args, true, c.keep)
		_, err := d.states(1000, func(st state, steps int) error { return wholeFile(d, st, steps == d.steps, old) })
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("create, %s: %v", c.what, err)
		}
	}
	for _, s := range restores(t, r, "swtok over") {
		object := "/TOK_OBJ/" + objectNames(t, filepath.Join(s.home, "source", "swtok"))[1]
		for what, of := range map[string]func(path string) bool{
			"an object": func(path string) bool { return strings.HasSuffix(path, object) },
			"TOK_OBJ":   func(path string) bool { return strings.HasSuffix(path, "/new/TOK_OBJ") },
			"the token": func(path string) bool { return strings.HasSuffix(path, ".tokar-new/new") },
			"the parent": func(path string) bool {
				return !strings.Contains(path, ".tokar-new")
			},
		} {
			d := s.disk(t, func(st step) bool { return st.Call != "fsync" || !of(st.Files[0]) })
			_, err := d.states(1000, func(st state, steps int) error { return s.survives(st, steps == d.steps) })
			if err == nil || !strings.Contains(err.Error(), "not new") && !strings.Contains(err.Error(), "nor new") && !strings.Contains(err.Error(), "nowhere") {
				t.Errorf("extract, %s is not synced: %v", what, err)
			}
		}
	}
}
