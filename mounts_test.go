package main_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestMounts restores over what is mounted: it cannot be exchanged, which a dry
// run says too. What only another mount covers stays.
func TestMounts(t *testing.T) {
	r, dir, args := unprivileged(t, 0o755)
	token := filepath.Join(dir, "swtok")
	for _, c := range []struct{ what, mount, operand, says string }{
		{"token", `mount --bind "$0/swtok" "$0/swtok"`, "swtok", "already exists as a mount point or below one"},
		{"empty token", `rm -rf "$0/swtok"/*; mount --bind "$0/swtok" "$0/swtok"`, "swtok", "already exists as a mount point or below one"},
		{"token, one object", `mount --bind "$0/swtok" "$0/swtok"`, "swtok/10000000", "already exists as a mount point or below one"},
		{"TOK_OBJ, one object", `mount --bind "$0/swtok/TOK_OBJ" "$0/swtok/TOK_OBJ"`, "swtok/10000000", "already exists as a mount point or below one"},
		{"layer", `mkdir "$0.layers"; cd "$0.layers"; mkdir up work; mount -t overlay -o "lowerdir=$0,upperdir=up,workdir=work,redirect_dir=off" none "$0"`, "swtok", "already exists and cannot be moved"},
	} {
		t.Run(c.what, func(t *testing.T) {
			placeFew(t, "swtok", token)
			if err := os.Remove(filepath.Join(token, "TOK_OBJ", "10000000")); err != nil {
				t.Fatal(err)
			}
			for _, more := range [][]string{{"-n"}, nil} {
				if more != nil && c.what == "layer" {
					continue // only the attempt tells
				}
				words := append([]string{"-ec", c.mount + `; exec "$@"`, dir, r.tokar}, append(args, append(more, c.operand)...)...)
				o := r.as(t, func(cmd *exec.Cmd) { cmd.SysProcAttr.Unshareflags = unix.CLONE_NEWNS }, "sh", words...)
				if strings.Contains(o.stderr, "mount:") {
					t.Skip(o.stderr)
				}
				if o.Exit != 3 || !strings.Contains(o.stderr, c.says) || !strings.Contains(o.stderr, "extract into another directory") {
					t.Errorf("%q: exit code %d: %s", more, o.Exit, o.stderr)
				}
			}
			if left, err := os.ReadDir(dir); len(left) != 1 || err != nil {
				t.Errorf("left: %v, %v", left, err)
			}
			if err := os.RemoveAll(token); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// TestImmutable restores over what chattr keeps from being moved.
func TestImmutable(t *testing.T) {
	r, dir, args := unprivileged(t, 0o755)
	token := filepath.Join(dir, "swtok")
	placeFew(t, "swtok", token)
	if err := os.Remove(filepath.Join(token, "TOK_OBJ", "10000000")); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ path, operand string }{{token, "swtok"}, {filepath.Join(token, "TOK_OBJ"), "swtok/10000000"}} {
		if err := setImmutable(c.path, true); err != nil {
			t.Skip(err)
		}
		for _, more := range []string{"-n", "-q"} {
			o := r.as(t, func(*exec.Cmd) {}, r.tokar, append(args, more, c.operand)...)
			if o.Exit != 3 || !strings.Contains(o.stderr, "already exists and is immutable") {
				t.Errorf("%s %s: exit code %d: %s", more, c.operand, o.Exit, o.stderr)
			}
		}
		if err := setImmutable(c.path, false); err != nil {
			t.Fatal(err)
		}
	}
}
