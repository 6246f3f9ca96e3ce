package main

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"io"
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
	s := sealing(t)
	private := make([]byte, 1000)
	private[4] = 1
	s.add(private)
	s.add(make([]byte, 1000))
	first := len(s.block())
	if least := 4 + sealOverhead + blockHead + 1000 + sealOverhead + 2*macSize; first < least || first > least+100 {
		t.Errorf("a block of %d bytes, want a little more than %d", first, least)
	}
	s.add(private)
	if got := len(s.block()); got < first-macSize-100 || got >= first {
		t.Errorf("the next block has %d bytes, the first %d: something of it is left", got, first)
	}
}

func sealing(t *testing.T) *sealer {
	s, err := newSealer()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// blocks are two of a public and a private file each.
func blocks(s *sealer) (both []byte) {
	for range 2 {
		s.add(bytes.Repeat([]byte("public "), 30))
		s.add(append([]byte("1234\x01"), bytes.Repeat([]byte("private "), 30)...))
		both = append(both, s.block()...)
	}
	return both
}

// opened opens blocks that stand in memory.
func opened(t *testing.T, sealed []byte, private bool) (files, size int64, err error) {
	o, err := newOpener(private)
	if err != nil {
		t.Fatal(err)
	}
	for in := bytes.NewReader(sealed); ; files, size = files+o.files, size+o.bytes {
		if err := o.next(in); err == io.EOF {
			return files, size, nil
		} else if err != nil {
			return 0, 0, err
		}
		if err := o.open(); err != nil {
			return 0, 0, err
		}
	}
}

// TestOpen: what seal wrote opens, and no byte of it can be another one.
func TestOpen(t *testing.T) {
	sealed := blocks(sealing(t))
	for i := range sealed {
		sealed[i] ^= 1
		if _, _, err := opened(t, sealed, false); err == nil {
			t.Errorf("byte %d of %d may be another", i, len(sealed))
		}
		sealed[i] ^= 1
	}
	path := filepath.Join(t.TempDir(), "sealed")
	for name, b := range map[string][]byte{"whole": sealed, "cut": sealed[:len(sealed)-1]} {
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := open(path, true); (err == nil) != (name == "whole") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestOpenChecks: MACs are compared, and private objects opened where that is
// wanted, though the block's own seal holds.
func TestOpenChecks(t *testing.T) {
	for name, c := range map[string]struct {
		spoil         func(s *sealer)
		alone, opened bool
	}{
		"sound":        {func(*sealer) {}, true, true},
		"another MAC":  {func(s *sealer) { s.mac = hmac.New(sha256.New, []byte{4}) }, false, false},
		"another wrap": {func(s *sealer) { s.wrap = s.outer }, true, false},
		"another seal": {func(s *sealer) { s.outer = s.wrap }, false, false},
	} {
		s := sealing(t)
		c.spoil(s)
		sealed := blocks(s)
		for private, want := range map[bool]bool{false: c.alone, true: c.opened} {
			files, size, err := opened(t, sealed, private)
			if (err == nil) != want {
				t.Errorf("%s, private %v: %v", name, private, err)
			}
			if want && (files != 4 || size != 2*(210+245)) {
				t.Errorf("%s, private %v: %d files, %d bytes", name, private, files, size)
			}
		}
	}
}
