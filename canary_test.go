package main_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
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
	for _, name := range []string{"TOK_OBJ", "NVTOK.DAT", "file", "."} {
		path := filepath.Join(dir, name)
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		// Long ago, so that the system notes a reading though it notes few.
		if err := os.Chtimes(path, longAgo, info.ModTime()); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

var longAgo = time.Unix(1e9, 0)

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
	c.unchanged(t)
	return o
}

// unread fails the test if anything looked at the canary; to be asked before
// the test itself does.
func (c canary) unread(t *testing.T) {
	t.Helper()
	for _, name := range []string{".", "file", "NVTOK.DAT", "TOK_OBJ"} {
		var st unix.Stat_t
		if err := unix.Lstat(filepath.Join(c.dir, name), &st); err != nil || st.Atim.Sec != longAgo.Unix() {
			t.Errorf("what is outside was read: %s, %v", name, err)
		}
	}
}

func (c canary) unchanged(t *testing.T) {
	t.Helper()
	if now := tree(t, c.dir); now != c.before {
		t.Errorf("what is outside has changed:\n%s", difference(now, c.before))
	}
}
