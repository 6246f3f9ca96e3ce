package main_test

import (
	"context"
	"encoding/json"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A rig runs tokar under tools/fault, which stops it at any of its calls.
type rig struct {
	tokar, fault string
	key          string   // an identity; its recipient is beside it
	plan         []string // of tools/fault, for every run
}

// outcome is tools/fault's report, with what tokar said.
type outcome struct {
	Seen   int
	Fired  bool
	Call   string
	Path   string
	Exit   int
	Signal int
	stderr string
}

// newRig builds both programs; where none may be traced it skips the test.
func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{tokar: buildTokar(t), fault: filepath.Join(t.TempDir(), "fault")}
	if out, err := exec.Command("go", "build", "-C", "tools", "-o", r.fault, "./fault").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	if out, err := exec.Command(r.fault, r.tokar, "version").CombinedOutput(); err != nil {
		t.Skipf("programs cannot be traced here: %s", out)
	}
	r.key = filepath.Join(t.TempDir(), "restore.key")
	r.must(t, "keygen", "-q", "--x25519", "-o", r.key)
	return r
}

// must runs tokar, which is to succeed without a finding.
func (r *rig) must(t *testing.T, args ...string) {
	t.Helper()
	if out, err := exec.Command(r.tokar, args...).CombinedOutput(); err != nil {
		t.Fatalf("tokar %q: %v\n%s", args, err, out)
	}
}

// hang is more than any of these runs takes.
const hang = 20 * time.Second

// run runs tokar by a plan of tools/fault. The calls that count are those below
// dir.
func (r *rig) run(t *testing.T, dir string, plan []string, args ...string) outcome {
	t.Helper()
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	ctx, cancel := context.WithTimeout(t.Context(), hang)
	defer cancel()
	plan = slices.Concat([]string{"-report", "3", "-below", dir}, r.plan, plan)
	cmd := exec.CommandContext(ctx, r.fault, append(append(plan, r.tokar), args...)...)
	var stderr strings.Builder
	cmd.Stderr, cmd.ExtraFiles = &stderr, []*os.File{write}
	err = cmd.Run()
	write.Close()
	var o outcome
	if e := json.NewDecoder(read).Decode(&o); e != nil || ctx.Err() != nil {
		t.Fatalf("%q %q: %v, %v: %s", plan, args, err, e, &stderr)
	}
	o.stderr = stderr.String()
	return o
}

// quickDir is a directory in memory, if there is one: a disk takes most of the
// time of thousands of restores to sync them, which nothing here can see.
func quickDir(t *testing.T) string {
	t.Helper()
	const memory = "/dev/shm"
	if *long || unix.Access(memory, unix.W_OK) != nil {
		return t.TempDir()
	}
	dir, err := os.MkdirTemp(memory, "tokar-test")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// at is the plan to act at the n-th call.
func at(n int, action ...string) []string { return append([]string{"-at", strconv.Itoa(n)}, action...) }

// cloneTree copies a directory with modes, owners and times.
func cloneTree(t *testing.T, from, to string) {
	t.Helper()
	err := filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(from, path)
		if d.IsDir() {
			return os.MkdirAll(filepath.Join(to, rel), 0o700)
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, rel), data, 0o600)
	})
	if err == nil {
		err = cloneAttributes(from, to)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func cloneAttributes(from, to string) error {
	var st unix.Stat_t
	if err := unix.Lstat(from, &st); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT == unix.S_IFDIR {
		entries, err := os.ReadDir(from)
		if err != nil {
			return err
		}
		for _, e := range entries {
			if err := cloneAttributes(filepath.Join(from, e.Name()), filepath.Join(to, e.Name())); err != nil {
				return err
			}
		}
	}
	if err := unix.Lchown(to, int(st.Uid), int(st.Gid)); err != nil {
		return err
	}
	if err := unix.Chmod(to, st.Mode&0o7777); err != nil {
		return err
	}
	return unix.UtimesNano(to, []unix.Timespec{st.Atim, st.Mtim})
}
