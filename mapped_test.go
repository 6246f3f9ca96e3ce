package main_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestMappedUnseen restores as one who cannot see what other users' processes
// map, over a token whose shared memory is another's, and then their own.
func TestMappedUnseen(t *testing.T) {
	r, dir, args := unprivileged(t, 0o755)
	token := filepath.Join(dir, "swtok")
	placeFew(t, "swtok", token)
	if out, err := exec.Command("chown", "-R", "65534:65534", token).CombinedOutput(); err != nil {
		t.Fatalf("%s", out)
	}
	segment := "/dev/shm/" + strings.ReplaceAll(strings.TrimPrefix(token, "/"), "/", ".")
	if err := os.WriteFile(segment, nil, 0o600); err != nil {
		t.Skip(err)
	}
	defer os.Remove(segment)
	for _, more := range []string{"-n", "-q"} {
		o := r.as(t, asNobody, r.tokar, append(args, more, "swtok")...)
		if o.Exit != 5 || !strings.Contains(o.stderr, "mapped by a program of another user, perhaps (only root can tell)") {
			t.Errorf("%s: exit code %d: %s", more, o.Exit, o.stderr)
		}
	}
	if err := os.Chown(segment, nobody, nobody); err != nil {
		t.Fatal(err)
	}
	if o := r.as(t, asNobody, r.tokar, append(args, "swtok")...); o.Exit > 1 || unix.Access(segment, unix.F_OK) == nil {
		t.Errorf("their own: exit code %d: %s", o.Exit, o.stderr)
	}
}
