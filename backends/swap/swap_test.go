package swap

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"tokar/backends"
)

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

var target = []string{"tok"}

// base is a directory with tok, which holds "old", unless it is to be empty.
func base(t *testing.T, holds bool) (*os.Root, string) {
	t.Helper()
	dir := t.TempDir()
	if holds {
		check(t, os.Mkdir(dir+"/tok", 0o750))
		check(t, os.WriteFile(dir+"/tok/content", []byte("old"), 0o600))
	}
	root, err := os.OpenRoot(dir)
	check(t, err)
	t.Cleanup(func() { root.Close() })
	return root, dir
}

// built opens a place with a directory that holds "new".
func built(t *testing.T, root *os.Root) *Place {
	t.Helper()
	p, _, err := Open(root, target)
	check(t, err)
	fd, err := unix.Openat(p.Dir(), "content", unix.O_CREAT|unix.O_WRONLY|unix.O_CLOEXEC, 0o600)
	check(t, err)
	_, err = unix.Write(fd, []byte("new"))
	check(t, errors.Join(err, unix.Close(fd)))
	return p
}

func inodeOf(t *testing.T, dir string) uint64 {
	t.Helper()
	n, err := inode(unix.AT_FDCWD, dir)
	check(t, err)
	return n
}

// holds checks what directories hold, as "NAME:content".
func holds(t *testing.T, dir string, want ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	check(t, err)
	var got []string
	for _, e := range entries {
		b, _ := os.ReadFile(filepath.Join(dir, e.Name(), "content"))
		got = append(got, e.Name()+":"+string(b))
	}
	if !slices.Equal(got, want) {
		t.Errorf("%s holds %q, want %q", dir, got, want)
	}
}

func TestSwap(t *testing.T) {
	for _, c := range []struct {
		name string
		old  bool
		keep string
		want []string
	}{
		{"nothing there", false, "", []string{"tok:new"}},
		{"old one removed", true, "", []string{"tok:new"}},
		{"old one kept", true, "tok.old", []string{"tok:new", "tok.old:old"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			root, dir := base(t, c.old)
			p := built(t, root)
			check(t, p.Swap(target, inodeOf(t, dir+"/tok"), c.keep))
			check(t, p.Close())
			holds(t, dir, c.want...)
			_, before, err := Open(root, target)
			check(t, err)
			if before != Clean {
				t.Errorf("the next run found %v", before)
			}
		})
	}
}

func TestRefused(t *testing.T) {
	t.Run("another stands there", func(t *testing.T) {
		root, dir := base(t, true)
		p := built(t, root)
		old := inodeOf(t, dir+"/tok")
		check(t, os.Rename(dir+"/tok", dir+"/away"))
		check(t, os.Symlink("/etc", dir+"/tok"))
		if err := p.Swap(target, old, "tok.old"); !errors.Is(err, errUnexpected) || errors.Is(err, backends.ErrPartway) {
			t.Error(err)
		}
		check(t, p.Close())
		holds(t, dir, "away:old", "tok:")
		if link, err := os.Readlink(dir + "/tok"); link != "/etc" {
			t.Error(link, err)
		}
	})
	t.Run("something came", func(t *testing.T) {
		root, dir := base(t, true)
		p := built(t, root)
		if err := p.Swap(target, 0, ""); !errors.Is(err, backends.ErrExists) {
			t.Error(err)
		}
		check(t, p.Close())
		holds(t, dir, "tok:old")
	})
	t.Run("it went", func(t *testing.T) {
		root, dir := base(t, false)
		p := built(t, root)
		if err := p.Swap(target, 1, ""); !errors.Is(err, errUnexpected) {
			t.Error(err)
		}
		check(t, p.Close())
		holds(t, dir)
	})
	t.Run("the name for the old one is taken", func(t *testing.T) {
		root, dir := base(t, true)
		check(t, os.Mkdir(dir+"/tok.old", 0o700))
		p := built(t, root)
		if err := p.Swap(target, inodeOf(t, dir+"/tok"), "tok.old"); !errors.Is(err, backends.ErrExists) || errors.Is(err, backends.ErrPartway) {
			t.Error(err)
		}
		check(t, p.Close())
		holds(t, dir, "tok:old", "tok.old:")
	})
	t.Run("another run", func(t *testing.T) {
		root, dir := base(t, true)
		p := built(t, root)
		if _, _, err := Open(root, target); !errors.Is(err, backends.ErrBusy) {
			t.Error(err)
		}
		if _, err := Look(root, target); !errors.Is(err, backends.ErrBusy) {
			t.Error(err)
		}
		check(t, p.Close())
		holds(t, dir, "tok:old")
	})
}

// A file system that cannot exchange: two renames.
func TestTwoRenames(t *testing.T) {
	root, dir := base(t, true)
	p := built(t, root)
	old := inodeOf(t, dir+"/tok")
	check(t, p.writeJournal(target, "tok.old"))
	check(t, p.twoRenames(p.base, "tok", old))
	p.holdsOld = true
	check(t, p.settle(p.base, "tok.old"))
	p.holdsOld = false
	check(t, p.Close())
	holds(t, dir, "tok:new", "tok.old:old")

	t.Run("undone", func(t *testing.T) {
		root, dir := base(t, true)
		p := built(t, root)
		check(t, p.twoRenames(p.base, "tok", inodeOf(t, dir+"/tok")))
		p.holdsOld = true
		failed := errors.New("failed")
		if err := p.back(p.base, "tok", failed); !errors.Is(err, failed) || errors.Is(err, backends.ErrPartway) {
			t.Error(err)
		}
		check(t, p.Close())
		holds(t, dir, "tok:old")
	})
	t.Run("another stands there", func(t *testing.T) {
		root, dir := base(t, true)
		p := built(t, root)
		if err := p.twoRenames(p.base, "tok", 1); !errors.Is(err, errUnexpected) {
			t.Error(err)
		}
		check(t, p.Close())
		holds(t, dir, "tok:old")
	})
}

// What the next run makes of each state in which a run can be killed.
func TestRecover(t *testing.T) {
	for _, c := range []struct {
		name  string
		keep  string
		upTo  func(t *testing.T, p *Place, dir string)
		state State
		want  []string
	}{
		{"building", "tok.old", func(t *testing.T, p *Place, dir string) {}, Stopped, []string{"tok:old"}},
		{"journal begun", "tok.old", func(t *testing.T, p *Place, dir string) {
			check(t, os.WriteFile(dir+"/"+p.name+"/journal.tmp", []byte("tokar"), 0o600))
		}, Stopped, []string{"tok:old"}},
		{"journal written", "tok.old", func(t *testing.T, p *Place, dir string) {
			check(t, p.writeJournal(target, "tok.old"))
		}, Stopped, []string{"tok:old"}},
		{"exchanged", "tok.old", func(t *testing.T, p *Place, dir string) {
			check(t, p.writeJournal(target, "tok.old"))
			check(t, p.exchange(p.base, "tok", inodeOf(t, dir+"/tok")))
		}, Swapped, []string{"tok:new", "tok.old:old"}},
		{"exchanged, not to be kept", "", func(t *testing.T, p *Place, dir string) {
			check(t, p.writeJournal(target, ""))
			check(t, p.exchange(p.base, "tok", inodeOf(t, dir+"/tok")))
		}, Swapped, []string{"tok:new"}},
		{"old one half removed", "", func(t *testing.T, p *Place, dir string) {
			check(t, p.writeJournal(target, ""))
			check(t, p.exchange(p.base, "tok", inodeOf(t, dir+"/tok")))
			check(t, os.Remove(dir+"/"+p.name+"/new/content"))
		}, Swapped, []string{"tok:new"}},
		{"kept", "tok.old", func(t *testing.T, p *Place, dir string) {
			check(t, p.writeJournal(target, "tok.old"))
			check(t, p.exchange(p.base, "tok", inodeOf(t, dir+"/tok")))
			check(t, os.Rename(dir+"/"+p.name+"/new", dir+"/tok.old"))
		}, Swapped, []string{"tok:new", "tok.old:old"}},
		{"journal removed", "tok.old", func(t *testing.T, p *Place, dir string) {
			check(t, os.RemoveAll(dir+"/"+p.name+"/new"))
		}, Remains, []string{"tok:old"}},
		{"first of two renames", "tok.old", func(t *testing.T, p *Place, dir string) {
			check(t, p.writeJournal(target, "tok.old"))
			check(t, os.Rename(dir+"/tok", dir+"/"+p.name+"/old"))
		}, PutBack, []string{"tok:old"}},
		{"second of two renames", "tok.old", func(t *testing.T, p *Place, dir string) {
			check(t, p.writeJournal(target, "tok.old"))
			check(t, p.twoRenames(p.base, "tok", inodeOf(t, dir+"/tok")))
		}, Swapped, []string{"tok:new", "tok.old:old"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			root, dir := base(t, true)
			p := built(t, root)
			c.upTo(t, p, dir)
			p.close() // as a process that is killed does
			seen, err := Look(root, target)
			check(t, err)
			p, before, err := Open(root, target)
			check(t, err)
			if before != c.state || seen != c.state {
				t.Errorf("state %v, a look said %v, want %v", before, seen, c.state)
			}
			check(t, p.Close())
			holds(t, dir, c.want...)
		})
	}
}

// A place that cannot be understood is left as it is.
func TestNotUnderstood(t *testing.T) {
	for name, upTo := range map[string]func(t *testing.T, p *Place, dir string){
		"foreign journal": func(t *testing.T, p *Place, dir string) {
			check(t, os.WriteFile(dir+"/"+p.name+"/journal", []byte("something else"), 0o600))
		},
		"swapped, then replaced by hand": func(t *testing.T, p *Place, dir string) {
			check(t, p.writeJournal(target, "tok.old"))
			check(t, p.exchange(p.base, "tok", inodeOf(t, dir+"/tok")))
			check(t, os.Rename(dir+"/tok", dir+"/mine"))
			check(t, os.Mkdir(dir+"/tok", 0o700))
		},
		"journal taken away between two renames": func(t *testing.T, p *Place, dir string) {
			check(t, os.Rename(dir+"/tok", dir+"/"+p.name+"/old"))
		},
		"swapped, then moved away": func(t *testing.T, p *Place, dir string) {
			check(t, p.writeJournal(target, "tok.old"))
			check(t, p.exchange(p.base, "tok", inodeOf(t, dir+"/tok")))
			check(t, os.Rename(dir+"/tok", dir+"/mine"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			root, dir := base(t, true)
			p := built(t, root)
			upTo(t, p, dir)
			p.close()
			if _, _, err := Open(root, target); err == nil || !strings.Contains(err.Error(), "look yourself") {
				t.Error(err)
			}
			if _, err := os.Stat(dir + "/" + PlaceName(target) + "/new/content"); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestPlaceNames(t *testing.T) {
	seen := map[string]bool{}
	for _, target := range [][]string{{"tpm", "a"}, {"tpm+a"}, {"tpm%2Ba"}, {"tpm+", "a"}, {"tpm", "+a"}, {"a"}} {
		name := PlaceName(target)
		if seen[name] || name[0] != '.' || !strings.HasSuffix(name, Suffix) {
			t.Errorf("%q: %s", target, name)
		}
		seen[name] = true
	}
}

func FuzzJournal(f *testing.F) {
	f.Add((&journal{[]string{"tok"}, 7, "tok.old"}).text())
	f.Add((&journal{[]string{"tpm", "a\xff\n\"b"}, 1 << 63, ""}).text())
	f.Add([]byte("tokar swap 1\nnew 1\nkeep \"../x\"\ntarget \"a\"\nend\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		j, err := parseJournal(text)
		if err != nil {
			return
		}
		if string(j.text()) != string(text) {
			t.Errorf("%q reads as %q", text, j.text())
		}
		for _, part := range append(j.target, strings.TrimPrefix(j.keep, "")) {
			if part != "" && !plain(part) {
				t.Errorf("took %q", part)
			}
		}
	})
}
