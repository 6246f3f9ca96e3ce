package swap

import (
	"errors"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"tokar/backends"
)

// nobody is another user.
const nobody = 65534

// What others put where a place would be is neither believed nor removed.
func TestPlanted(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root, to be another")
	}
	name := PlaceName(target)
	for what, plant := range map[string]func(t *testing.T, dir string){
		"a place": func(t *testing.T, dir string) {
			check(t, os.Mkdir(dir+"/"+name, 0o700))
			check(t, os.Chown(dir+"/"+name, nobody, nobody))
			check(t, os.Rename(dir+"/other", dir+"/"+name+"/new"))
		},
		"a journal": func(t *testing.T, dir string) {
			check(t, os.Mkdir(dir+"/"+name, 0o777))
			check(t, os.Chmod(dir+"/"+name, 0o777))
			check(t, os.Rename(dir+"/other", dir+"/"+name+"/new"))
			j := journal{[]string{"tok"}, inodeOf(t, dir+"/tok"), "NVTOK.DAT"}
			check(t, os.WriteFile(dir+"/"+name+"/journal", j.text(), 0o600))
		},
		"another user's token as a place": func(t *testing.T, dir string) {
			check(t, os.Chmod(dir+"/other", 0o700))
			check(t, os.Rename(dir+"/other", dir+"/"+name))
		},
		"another user's token as debris": func(t *testing.T, dir string) {
			check(t, os.Chmod(dir+"/other", 0o700))
			check(t, os.Rename(dir+"/other", dir+"/"+name+Suffix))
		},
		"another token": func(t *testing.T, dir string) {
			check(t, os.Rename(dir+"/other", dir+"/"+name))
		},
		"a link": func(t *testing.T, dir string) {
			check(t, os.Rename(dir+"/other", dir+"/"+name+Suffix+"x"))
			check(t, os.Symlink(name+Suffix+"x", dir+"/"+name))
		},
		"a link as debris": func(t *testing.T, dir string) {
			check(t, os.Rename(dir+"/other", dir+"/"+name+Suffix+"x"))
			check(t, os.Symlink(name+Suffix+"x", dir+"/"+name+Suffix))
		},
		"another token as debris": func(t *testing.T, dir string) {
			check(t, os.Rename(dir+"/other", dir+"/"+name+Suffix))
		},
	} {
		t.Run(what, func(t *testing.T) {
			root, dir := base(t, true)
			check(t, os.Mkdir(dir+"/other", 0o770))
			check(t, os.Chmod(dir+"/other", 0o770))
			check(t, os.WriteFile(dir+"/other/content", []byte("treasure"), 0o600))
			plant(t, dir)
			if _, err := Look(root, target); err == nil || !strings.Contains(err.Error(), "look what it is, then move it away") {
				t.Error(err)
			}
			if _, _, err := Open(root, target); err == nil || !strings.Contains(err.Error(), "look what it is, then move it away") {
				t.Error(err)
			}
			found := false
			for _, at := range []string{"", "/new", Suffix, Suffix + "x"} {
				b, _ := os.ReadFile(dir + "/" + name + at + "/content")
				found = found || string(b) == "treasure"
			}
			if !found {
				t.Error("it was removed")
			}
		})
	}
}

// A directory that was put in the place of the one just made is not taken for it.
func TestClaim(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root, to be another")
	}
	for what, c := range map[string]struct {
		owner int
		mode  os.FileMode
		file  string
		want  error
	}{
		"the one made":         {0, 0o700, "", nil},
		"open to others":       {0, 0o777, "", nil},
		"somebody else's":      {nobody, 0o700, "", errUnexpected},
		"one that holds files": {0, 0o700, "content", errUnexpected},
	} {
		t.Run(what, func(t *testing.T) {
			dir := t.TempDir() + "/place"
			check(t, os.Mkdir(dir, 0o700))
			check(t, os.Chmod(dir, c.mode))
			check(t, os.Chown(dir, c.owner, -1))
			if c.file != "" {
				check(t, os.WriteFile(dir+"/"+c.file, nil, 0o600))
			}
			fd, err := openDir(unix.AT_FDCWD, dir)
			check(t, err)
			defer unix.Close(fd)
			if err := claim(fd); !errors.Is(err, c.want) {
				t.Errorf("%v, want %v", err, c.want)
			}
			if info, err := os.Stat(dir); err != nil || c.want == nil && info.Mode().Perm() != 0o700 {
				t.Error(info.Mode(), err)
			}
		})
	}
}

// Of two runs that begin at once one is busy.
func TestMadeAtOnce(t *testing.T) {
	root, _ := base(t, true)
	late, err := look(root, PlaceName(target))
	check(t, err)
	defer late.close()
	p := built(t, root)
	if err := late.make(); !errors.Is(err, backends.ErrBusy) {
		t.Error(err)
	}
	check(t, p.Close())
}

// What comes to stand under a place's name is not removed for it.
func TestRemovedByName(t *testing.T) {
	root, dir := base(t, true)
	p := built(t, root)
	check(t, os.Rename(dir+"/"+p.name, dir+"/away"))
	check(t, os.Mkdir(dir+"/"+p.name, 0o700))
	check(t, os.Rename(dir+"/tok", dir+"/"+p.name+"/new"))
	if err := p.Close(); !errors.Is(err, unix.ENOTEMPTY) {
		t.Error(err)
	}
	holds(t, dir+"/"+p.name, "new:old")
}

// Nor does a FIFO there make the run wait.
func TestFIFOByName(t *testing.T) {
	root, dir := base(t, true)
	p := built(t, root)
	check(t, os.Rename(dir+"/"+p.name, dir+"/away"))
	check(t, unix.Mkfifo(dir+"/"+p.name, 0o600))
	if err := p.Close(); !errors.Is(err, unix.ENOTDIR) {
		t.Error(err)
	}
	holds(t, dir+"/away")
}
