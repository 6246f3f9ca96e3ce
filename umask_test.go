package main_test

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// umasks are tried on every command that makes files.
var umasks = []string{"000", "022", "077", "777"}

// under runs tokar with a umask.
func (r *rig) under(umask string, args ...string) ([]byte, error) {
	sh := []string{"-c", `umask "$0" && exec "$@"`, umask, r.tokar}
	return exec.Command("sh", append(sh, args...)...).CombinedOutput()
}

// TestUmask: no umask makes keys or archives readable to others, or a restored
// token other than it was.
func TestUmask(t *testing.T) {
	if testing.Short() {
		t.Skip("runs a tokar of its own, so that -short has nothing new")
	}
	r := newRig(t)
	source := filepath.Join(t.TempDir(), "swtok")
	placeFew(t, "swtok", source)
	over := restores(t, r, "swtok over", "swtok single")
	for _, umask := range umasks {
		t.Run(umask, func(t *testing.T) {
			home := t.TempDir()
			key, archive, dir := filepath.Join(home, "key"), filepath.Join(home, "archive"), filepath.Join(home, "dir")
			if err := os.Mkdir(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			for _, args := range [][]string{
				{"keygen", "-q", "-o", key},
				{"create", "-q", "-R", key + ".pub", "-f", archive, source},
				{"extract", "-q", "-i", key, "-f", archive, "-C", dir},
			} {
				if out, err := r.under(umask, args...); err != nil {
					t.Fatalf("%q: %v: %s", args, err, out)
				}
			}
			for path, want := range map[string]fs.FileMode{key: 0o600, key + ".pub": 0o644, archive: 0o600} {
				info, err := os.Stat(path)
				if err != nil {
					t.Fatal(err)
				}
				if got := info.Mode(); got != want && !(want == 0o644 && got&^want == 0) {
					t.Errorf("%s: mode %v, want %v", filepath.Base(path), got, want)
				}
			}
			if was, is := tree(t, source), tree(t, filepath.Join(dir, "swtok")); was != is {
				t.Errorf("it came back otherwise:\n%s", difference(is, was))
			}
			for _, s := range over {
				dir := s.fresh(t)
				if out, err := r.under(umask, s.into(dir)...); err != nil {
					t.Fatalf("%v: %s", err, out)
				}
				s.done(t, dir, outcome{})
			}
		})
	}
}

// TestStagingMode looks at what stands in the directory at each call of a
// restore: nobody else has a way into a place before the token leaves it, and
// no file is ever set-id.
func TestStagingMode(t *testing.T) {
	if testing.Short() {
		t.Skip("runs a tokar of its own, so that -short has nothing new")
	}
	r := newRig(t)
	for name, s := range restores(t, r) {
		t.Run(name, func(t *testing.T) {
			dir := s.fresh(t)
			log := filepath.Join(s.home, "log")
			// The umask counts for find's log too.
			look := fmt.Sprintf("umask 022; find %s -mindepth 1 -printf '%%P %%y %%m\\n' >>%s", dir, log)
			o := s.run(t, dir, at(1, "-ever", "-exec", look), s.into(dir)...)
			s.done(t, dir, o)
			seen, err := os.ReadFile(log)
			if err != nil {
				t.Fatal(err)
			}
			places := 0
			for line := range strings.Lines(string(seen)) {
				var path, kind string
				var mode fs.FileMode
				if _, err := fmt.Sscanf(line, "%s %s %o", &path, &kind, &mode); err != nil {
					t.Fatalf("%q: %v", line, err)
				}
				if strings.HasPrefix(path, ".") && !strings.Contains(path, "/") {
					if places++; kind != "d" || mode&0o7077 != 0 {
						t.Errorf("a place: %s", line)
					}
				}
				if kind == "f" && mode&0o6000 != 0 {
					t.Errorf("a file: %s", line)
				}
			}
			if places < 20 || o.Seen < 40 {
				t.Errorf("seen at %d of %d calls only", places, o.Seen)
			}
			t.Logf("counted: looked at %d calls", o.Seen)
		})
	}
}
