package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const fixtures = "../../testdata/opencryptoki"

// small is a tree of one real token, and how many files floor reads of it.
func small(t *testing.T) (tree string, files int) {
	tree = t.TempDir()
	if err := os.CopyFS(filepath.Join(tree, "tok"), os.DirFS(filepath.Join(fixtures, "swtok-new-small"))); err != nil {
		t.Fatal(err)
	}
	index, err := os.ReadFile(filepath.Join(tree, "tok/TOK_OBJ/OBJ.IDX"))
	if err != nil {
		t.Fatal(err)
	}
	return tree, len(strings.Fields(string(index))) + 4
}

func TestBatchesNameEveryFile(t *testing.T) {
	tree, files := small(t)
	list, err := batches(tree)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, b := range list {
		for _, name := range b.names {
			seen[filepath.Join(b.dir, name)] = true
			if _, err := os.Stat(filepath.Join(tree, b.dir, name)); err != nil {
				t.Error(err)
			}
		}
	}
	if len(seen) != files {
		t.Errorf("%d files, want %d", len(seen), files)
	}
}

func TestWriteMakesEveryFile(t *testing.T) {
	tree, files := small(t)
	dir := t.TempDir()
	if err := write(tree, dir, 100); err != nil {
		t.Fatal(err)
	}
	made := 0
	for _, pattern := range []string{"tok/*", "tok/TOK_OBJ/*"} {
		list, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range list {
			info, err := os.Stat(path)
			if err != nil || info.IsDir() {
				continue
			}
			made++
			if info.Size() != 100 {
				t.Errorf("%s has %d bytes", path, info.Size())
			}
		}
	}
	if made != files {
		t.Errorf("%d files, want %d", made, files)
	}
}

// TestSealPaysForEveryByte: what is private stays as long as it is, and every
// file adds its MAC.
func TestSealPaysForEveryByte(t *testing.T) {
	s, err := newSealer()
	if err != nil {
		t.Fatal(err)
	}
	private := make([]byte, 1000)
	private[4] = 1
	s.add(private)
	s.add(make([]byte, 1000))
	first := len(s.block())
	if least := 1000 + 16 + 2*32 + 16; first < least || first > least+100 {
		t.Errorf("a block of %d bytes, want a little more than %d", first, least)
	}
	s.add(private)
	if got, want := len(s.block()), 1000+16+32+16; got < want || got >= first {
		t.Errorf("the next block has %d bytes, want about %d: something of the first is left", got, want)
	}
}
