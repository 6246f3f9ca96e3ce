package main_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// modes gives the modes below a directory, by path.
func modes(t *testing.T, root string) map[string]fs.FileMode {
	t.Helper()
	all := map[string]fs.FileMode{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil {
			all[strings.TrimPrefix(path, root)] = info.Mode()
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestAttributeFaults has the calls fail that set owner, mode and time. That is
// a finding, or ends the run; and nothing is open to more than it was.
func TestAttributeFaults(t *testing.T) {
	if testing.Short() {
		t.Skip("runs a tokar of its own, so that -short has nothing new")
	}
	const setting = "fchmod,fchmodat,fchown,fchownat,utimensat,fsetxattr"
	for kind, s := range restores(t, newRig(t), "swtok new", "swtok over", "swtok single", "swtok repaired", "newtok repaired, state too") {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			name := s.tokens[0]
			was := modes(t, filepath.Join(s.home, "source", name))
			for _, action := range [][]string{{"-fail", "EIO"}, {"-fail", "EPERM", "-ever"}} {
				for n := 1; ; n++ {
					dir := s.fresh(t)
					o := s.run(t, dir, at(n, append(action, "-calls", setting)...), s.into(dir)...)
					if !o.Fired {
						if n < 4 {
							t.Errorf("only %d points", n-1)
						}
						break
					}
					if !slices.Contains([]int{1, 3}, o.Exit) {
						t.Errorf("%q at %d, %s %s: exit code %d: %s", action, n, o.Call, o.Path, o.Exit, o.stderr)
					}
					for path, mode := range modes(t, dir) {
						token, inside := strings.CutPrefix(path, "/"+name)
						if before, known := was[token]; inside && known && mode.Perm()&^before.Perm() != 0 {
							t.Errorf("%q at %d, %s %s: %s has mode %v, and had %v", action, n, o.Call, o.Path, path, mode, before)
						}
					}
					if err := os.RemoveAll(dir); err != nil {
						t.Fatal(err)
					}
				}
			}
		})
	}
}

// TestStrangeAttributes restores files that were set-id, which they never are
// again, and files of a group that has no name here, which they are.
func TestStrangeAttributes(t *testing.T) {
	if testing.Short() {
		t.Skip("runs a tokar of its own, so that -short has nothing new")
	}
	if os.Getuid() != 0 {
		t.Skip("needs root, to give files away")
	}
	const nameless = 54321
	r := newRig(t)
	home := t.TempDir()
	source, archive, dir, log := filepath.Join(home, "swtok"), filepath.Join(home, "archive"), filepath.Join(home, "dir"), filepath.Join(home, "log")
	placeFew(t, "swtok", source)
	for path := range modes(t, source) {
		if err := os.Chown(source+path, nameless, nameless); err != nil {
			t.Fatal(err)
		}
	}
	for path, mode := range map[string]uint32{"NVTOK.DAT": 0o4755, "TOK_OBJ/00000000": 0o2775, "TOK_OBJ": 0o2770} {
		if err := unix.Chmod(filepath.Join(source, path), mode); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	r.must(t, "create", "-q", "-R", r.key+".pub", "-f", archive, source)
	setID := "find " + dir + " -type f -perm /6000 >>" + log
	o := r.run(t, dir, at(1, "-ever", "-exec", setID), "extract", "-i", r.key, "-f", archive, "-C", dir)
	if o.Exit != 1 || strings.Count(o.stderr, "swtok: not-set: ") != 1 {
		t.Errorf("exit code %d: %s", o.Exit, o.stderr)
	}
	if seen, err := os.ReadFile(log); err != nil || len(seen) > 0 {
		t.Errorf("set-id meanwhile: %s, %v", seen, err)
	}
	was, is := tree(t, source), tree(t, filepath.Join(dir, "swtok"))
	was = strings.Replace(was, "NVTOK.DAT u", "NVTOK.DAT -", 1)
	was = strings.Replace(was, "TOK_OBJ/00000000 g", "TOK_OBJ/00000000 -", 1)
	if was != is {
		t.Errorf("it came back otherwise:\n%s", difference(is, was))
	}
}
