package main_test

import (
	"os"
	"path/filepath"
	"testing"
)

// A canary stands beside the directory that is restored into: a directory with
// a file, which no run has any business with.
type canary struct {
	dir, before string
}

func newCanary(t *testing.T, dir string) canary {
	t.Helper()
	c := canary{dir: dir}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"file", "NVTOK.DAT"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("canary\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "TOK_OBJ"), 0o700); err != nil {
		t.Fatal(err)
	}
	c.before = tree(t, dir)
	return c
}

// file is a path in it.
func (c canary) file() string { return filepath.Join(c.dir, "file") }

// quiet runs tokar, which is to leave the canary alone: no call may look at it
// or change it, by whatever path it came there.
func (c canary) quiet(t *testing.T, r *rig, args ...string) outcome {
	t.Helper()
	o := r.run(t, c.dir, []string{"-calls", "changes,reads", "-at", "1", "-exec", "true"}, args...)
	if o.Seen > 0 {
		t.Errorf("%d calls on what is outside, the first: %s %s", o.Seen, o.Call, o.Path)
	}
	c.check(t)
	return o
}

func (c canary) check(t *testing.T) {
	t.Helper()
	if now := tree(t, c.dir); now != c.before {
		t.Errorf("what is outside has changed:\n%s", difference(now, c.before, c.before))
	}
}
