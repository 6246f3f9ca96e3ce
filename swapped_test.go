package main_test

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestSwapped puts a symbolic link in the place of a directory or file while
// tokar is at work, at its n-th call. It reads and writes nothing through the
// link, and says that it is done only if it is.
func TestSwapped(t *testing.T) {
	if testing.Short() {
		t.Skip("runs a tokar of its own, so that -short has nothing new")
	}
	places := map[string][]string{
		"swtok new": {
			".swtok.tokar-new", ".swtok.tokar-new/new", ".swtok.tokar-new/new/TOK_OBJ", ".swtok.tokar-new/new/NVTOK.DAT", ".swtok.tokar-new/journal", "swtok",
		},
		"swtok over": {
			".swtok.tokar-new", ".swtok.tokar-new/new", ".swtok.tokar-new/new/TOK_OBJ", ".swtok.tokar-new/new/TOK_OBJ/20000000",
			"swtok", "swtok/TOK_OBJ", "swtok/NVTOK.DAT", "swtok/MK_SO", "swtok.tokar-old",
		},
		"swtok single": {
			".swtok.tokar-new", ".swtok.tokar-new/new", ".swtok.tokar-new/new/10000000", ".swtok.tokar-new/scratch",
			"swtok", "swtok/TOK_OBJ", "swtok/TOK_OBJ/00000000", "swtok/TOK_OBJ/OBJ.IDX", "swtok/NVTOK.DAT",
		},
	}
	places["swtok repaired"] = places["swtok single"]
	for name, s := range restores(t, newRig(t), slices.Collect(maps.Keys(places))...) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			points := 0
			for i, place := range places[name] {
				each := 6
				if *long {
					each = 1
				}
				for n := 1 + i%each; s.swapped(t, place, n); n += each {
					points++
				}
			}
			t.Logf("counted: swapped at %d points", points)
			if points < 60 {
				t.Error("too few")
			}
		})
	}
}

// swapped has a link put at place when a run makes its n-th call; false if it
// makes fewer.
func (s *restore) swapped(t *testing.T, place string, n int) bool {
	dir := s.fresh(t)
	c := newCanary(t, dir+".canary")
	defer os.RemoveAll(dir)
	defer os.RemoveAll(c.dir)
	link := fmt.Sprintf("cd '%s' && { mv '%s' moved 2>/dev/null || :; } && ln -s '%s' '%s' 2>/dev/null || :", dir, place, c.dir, place)
	begun := time.Now()
	o := s.run(t, dir, at(n, "-exec", link), s.into(dir)...)
	if took := time.Since(begun); took > 5*time.Second {
		t.Errorf("it took %s", took)
	}
	c.unread(t)
	c.unchanged(t)
	switch {
	case o.Exit < 0 || o.Exit == 2:
		t.Errorf("exit code %d", o.Exit)
	case o.Exit == 0 && !strings.HasPrefix(place, "."): // in its own place only the operator can interfere
		if err := putBack(dir, place); err != nil {
			t.Error(err)
		}
		got := touched.ReplaceAllString(s.looks(t, dir, "swtok"), "$1 now")
		if want := touched.ReplaceAllString(s.new["swtok"], "$1 now"); got != want {
			t.Errorf("exit code 0:\n%s", difference(got, want))
		}
	}
	if t.Failed() {
		t.Fatalf("%s swapped at %d, %s %s: exit code %d: %s", place, n, o.Call, o.Path, o.Exit, o.stderr)
	}
	return o.Fired
}

// putBack undoes the swap: what was right but for the link is then right.
func putBack(dir, place string) error {
	path := filepath.Join(dir, place)
	if info, err := os.Lstat(path); err != nil || info.Mode()&os.ModeSymlink == 0 {
		return nil // the link went with what was replaced
	}
	if err := os.Remove(path); err != nil {
		return err
	}
	err := os.Rename(filepath.Join(dir, "moved"), path)
	if errors.Is(err, os.ErrNotExist) {
		return nil // there was nothing to swap
	}
	return err
}
