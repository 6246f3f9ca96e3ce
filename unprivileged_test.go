package main_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// nobody is a user who owns nothing.
const nobody = 65534

// as runs tokar as nobody, or with a change to how it is started.
func (r *rig) as(t *testing.T, change func(*exec.Cmd), program string, args ...string) outcome {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{}
	change(cmd)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	err := cmd.Run()
	if cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return outcome{Exit: cmd.ProcessState.ExitCode(), stderr: stderr.String()}
}

func asNobody(cmd *exec.Cmd) {
	cmd.SysProcAttr.Credential = &syscall.Credential{Uid: nobody, Gid: nobody}
}

// unprivileged prepares a restore that nobody may do: a key and a directory.
func unprivileged(t *testing.T, mode os.FileMode) (r *rig, dir string, args []string) {
	t.Helper()
	if testing.Short() {
		t.Skip("runs a tokar of its own, so that -short has nothing new")
	}
	if os.Getuid() != 0 {
		t.Skip("needs root, to be another")
	}
	r = newRig(t)
	home := t.TempDir()
	source, archive := filepath.Join(home, "source"), filepath.Join(home, "archive")
	placeFew(t, "swtok", filepath.Join(source, "swtok"))
	r.must(t, "create", "-q", "-R", r.key+".pub", "-f", archive, source)
	dir = filepath.Join(home, "dir")
	if err := os.Mkdir(dir, 0); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{r.key, archive, dir} {
		if err := os.Chown(path, nobody, nobody); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(dir, mode); err != nil {
		t.Fatal(err)
	}
	for path := home; path != os.TempDir() && path != "/"; path = filepath.Dir(path) {
		if err := os.Chmod(path, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return r, dir, []string{"extract", "-i", r.key, "-f", archive, "-C", dir}
}

// TestReadOnly restores where nothing can be made.
func TestReadOnly(t *testing.T) {
	r, dir, args := unprivileged(t, 0o555)
	for what, o := range map[string]outcome{
		"directory": r.as(t, asNobody, r.tokar, args...),
		"mount": r.as(t, func(cmd *exec.Cmd) { cmd.SysProcAttr.Unshareflags = unix.CLONE_NEWNS }, "sh", append([]string{
			"-ec", `mount --bind "$0" "$0"; mount -o remount,ro,bind "$0"; exec "$@"`, dir, r.tokar}, args...)...),
	} {
		if left, err := os.ReadDir(dir); o.Exit != 3 || len(left) > 0 || err != nil || !strings.Contains(o.stderr, "nothing was restored") {
			t.Errorf("a read-only %s: exit code %d, %v, %v: %s", what, o.Exit, left, err, o.stderr)
		}
	}
}

// TestUnprivileged restores as one who may give files to nobody else: what
// could not be set is said, and a group that is not theirs has no rights.
func TestUnprivileged(t *testing.T) {
	r, dir, args := unprivileged(t, 0o755)
	source := tree(t, filepath.Join(filepath.Dir(dir), "source", "swtok"))
	owner := regexp.MustCompile(`(?m)^(\S+ ....)(?:rw-|rwx|---)--- \d+:\d+`)
	want := owner.ReplaceAllString(source, "$1------ 65534:65534")
	for _, umask := range umasks {
		o := r.as(t, asNobody, "sh", append([]string{"-c", `umask "$0" && exec "$@"`, umask, r.tokar}, args...)...)
		if o.Exit != 1 || !strings.Contains(o.stderr, "not-set") {
			t.Fatalf("umask %s: exit code %d: %s", umask, o.Exit, o.stderr)
		}
		if got := tree(t, filepath.Join(dir, "swtok")); got != want {
			t.Errorf("umask %s:\n%s", umask, difference(got, want))
		}
		if err := os.RemoveAll(filepath.Join(dir, "swtok")); err != nil {
			t.Fatal(err)
		}
	}
}

// TestReadOnlyToken restores a token that not even its owner may write into.
// What cannot be put in its place does not stay beside it.
func TestReadOnlyToken(t *testing.T) {
	r, dir, args := unprivileged(t, 0o755)
	source := filepath.Join(filepath.Dir(dir), "source", "swtok")
	archive := args[4]
	for _, d := range []string{filepath.Join(source, "TOK_OBJ"), source} {
		if err := os.Chmod(d, 0o555); err != nil {
			t.Fatal(err)
		}
	}
	r.must(t, "create", "-q", "-R", r.key+".pub", "-f", archive, source)
	if o := r.as(t, asNobody, r.tokar, args...); o.Exit > 1 && o.Exit != 3 {
		t.Fatalf("exit code %d: %s", o.Exit, o.stderr)
	}
	left, err := os.ReadDir(dir)
	for _, l := range left {
		if l.Name() != "swtok" {
			t.Errorf("left: %v, %v", left, err)
		}
	}
}

// TestRekeyReadOnly rekeys where nothing can be made: the message does not speak
// of a file that is there as one to be made.
func TestRekeyReadOnly(t *testing.T) {
	r, dir, args := unprivileged(t, 0o755)
	archive := filepath.Join(dir, "a.tokar")
	r.must(t, "rekey", "-q", "-i", r.key, "-R", r.key+".pub", "-f", args[4], "-o", archive)
	if err := os.Chmod(archive, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o555); err != nil {
		t.Fatal(err)
	}
	for _, dry := range []string{"--quiet", "--dry-run"} {
		o := r.as(t, asNobody, r.tokar, "rekey", "-i", r.key, "-R", r.key+".pub", dry, "-f", archive)
		if o.Exit != 3 || !strings.Contains(o.stderr, archive+" cannot be replaced, nothing can be made beside it: permission denied; "+archive+" is as it was; write the new archive elsewhere with -o FILE") {
			t.Errorf("%s: %d, %s", dry, o.Exit, o.stderr)
		}
	}
}
