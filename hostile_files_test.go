package main_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// hostileFiles put something at a path that tokar does not expect there.
var hostileFiles = map[string]func(path string, c canary) error{
	"link to a directory": func(path string, c canary) error { return os.Symlink(c.dir, path) },
	"link to a file":      func(path string, c canary) error { return os.Symlink(c.file(), path) },
	"dangling link":       func(path string, c canary) error { return os.Symlink(c.dir+"/nothing", path) },
	"link to itself":      func(path string, c canary) error { return os.Symlink(filepath.Base(path), path) },
	"hard link":           func(path string, c canary) error { return os.Link(c.file(), path) },
	"FIFO":                func(path string, c canary) error { return unix.Mkfifo(path, 0o666) },
	"socket":              func(path string, c canary) error { return unix.Mknod(path, unix.S_IFSOCK|0o666, 0) },
	"device":              func(path string, c canary) error { return unix.Mknod(path, unix.S_IFCHR|0o666, 1<<8|5) }, // zero: it never ends
	"directory":           func(path string, c canary) error { return os.Mkdir(path, 0o777) },
	"full directory":      func(path string, c canary) error { return errors.Join(os.Mkdir(path, 0o777), os.Mkdir(path+"/x", 0)) },
	"sticky directory":    func(path string, c canary) error { return errors.Join(os.Mkdir(path, 0), unix.Chmod(path, 0o1777)) },
	"file":                func(path string, c canary) error { return os.WriteFile(path, []byte("file"), 0o666) },
	"setuid file": func(path string, c canary) error {
		return errors.Join(os.WriteFile(path, nil, 0), unix.Chmod(path, 0o6777))
	},
	"immutable file": func(path string, c canary) error {
		return errors.Join(os.WriteFile(path, nil, 0), setImmutable(path, true))
	},
	"immutable directory": func(path string, c canary) error { return errors.Join(os.Mkdir(path, 0o700), setImmutable(path, true)) },
}

// hostilePlaces are where they are put. The token stands there, unless it is
// its place.
var hostilePlaces = []string{
	"swtok", "swtok/NVTOK.DAT", "swtok/MK_SO", "swtok/TOK_OBJ", "swtok/TOK_OBJ/OBJ.IDX", "swtok/TOK_OBJ/00000000", "swtok/TOK_OBJ/10000000",
	".swtok.tokar-new", ".swtok.tokar-new.tokar-new", ".swtok.tokar-new/new", ".swtok.tokar-new/old", ".swtok.tokar-new/journal",
	"swtok.tokar-old",
}

// TestHostileFiles restores where something else stands than what tokar would
// have put there: it does not hang, does not come outside, and changes nothing
// unless it does all.
func TestHostileFiles(t *testing.T) {
	if testing.Short() {
		t.Skip("runs a tokar of its own, so that -short has nothing new")
	}
	if os.Getuid() != 0 {
		t.Skip("needs root, for devices and what only root may not change")
	}
	for name, s := range restores(t, newRig(t), "swtok over", "swtok single", "swtok repaired") {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cases, exits := 0, map[int]int{}
			for what, put := range hostileFiles {
				for _, place := range hostilePlaces {
					if exit, done := s.hostile(t, place, what, put); done {
						cases++
						exits[exit]++
					}
				}
			}
			t.Logf("counted: %d cases; by exit code: %v", cases, exits)
			if cases < 100 {
				t.Error("too few")
			}
		})
	}
}

// hostile restores with something at a place.
func (s *restore) hostile(t *testing.T, place, what string, put func(string, canary) error) (exit int, done bool) {
	dir := s.fresh(t)
	c := newCanary(t, dir+".canary")
	path := filepath.Join(dir, place)
	if err := errors.Join(os.RemoveAll(path), os.MkdirAll(filepath.Dir(path), 0o700)); err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	defer os.RemoveAll(c.dir)
	defer makeMutable(dir)
	err := put(path, c)
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOTTY) {
		return 0, false
	}
	if err != nil {
		t.Fatal(err)
	}
	before := s.shown(t, dir)
	begun := time.Now()
	o := c.quiet(t, s.rig, s.into(dir)...)
	took := time.Since(begun)
	switch after := s.shown(t, dir); {
	case took > 5*time.Second:
		t.Errorf("it took %s", took)
	case !slices.Contains([]int{0, 1, 3, 5, 7}, o.Exit):
		t.Errorf("exit code %d", o.Exit)
	case o.Exit > 1 && after != before:
		t.Errorf("exit code %d, and something has changed:\n%s", o.Exit, difference(after, before))
	case o.Exit > 1 && !strings.Contains(o.stderr, "nothing was re"): // restored, repaired
		t.Error("it does not say that nothing was done")
	case o.Exit == 0 && !s.single && s.looks(t, dir, "swtok") != s.new["swtok"]:
		t.Errorf("exit code 0:\n%s", difference(s.looks(t, dir, "swtok"), s.new["swtok"]))
	}
	if t.Failed() {
		t.Fatalf("%s at %s: exit code %d: %s", what, place, o.Exit, o.stderr)
	}
	return o.Exit, true
}

// shown is all that stands in dir but places of restores, and but NVTOK.DAT for
// a single object: what it holds of the next name may come before the object.
func (s *restore) shown(t *testing.T, dir string) (text string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), ".") {
			text += e.Name() + "\n" + s.looks(t, dir, e.Name())
		}
	}
	if s.single {
		text = nvtok.ReplaceAllString(text, "NVTOK.DAT")
	}
	return text
}

const immutable = 0x10 // FS_IMMUTABLE_FL

func setImmutable(path string, on bool) error {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	flags := 0
	if on {
		flags = immutable
	}
	return unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, flags)
}

// makeMutable lets everything below dir be removed again.
func makeMutable(dir string) {
	filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && (d.IsDir() || d.Type().IsRegular()) {
			setImmutable(path, false)
		}
		return nil
	})
}
