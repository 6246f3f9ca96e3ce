package plain

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tokar/backends"
	"tokar/format"
)

// What comes becomes files with the bytes, under names that no file system and no
// terminal minds; a later record replaces an earlier one.
func TestRestore(t *testing.T) {
	dir := t.TempDir()
	token := &format.Token{Name: format.NameOf("unknown-token-3"), Kind: "unknown"}
	s, err := Backend{}.Restore(t.Context(), dir, token, backends.RestoreOptions{Whole: true})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	long := strings.Repeat("x", 200)
	want := map[string]string{}
	for i, c := range []struct {
		kind       format.Kind
		name, file string
		supersedes uint64
		flags      format.Flags
	}{
		{format.KindObject, "10000000", "object/10000000", format.NoSeq, 0},
		{format.KindState, "NVTOK.DAT", "state/NVTOK.DAT", format.NoSeq, 0},
		{format.KindIndex, "TOK_OBJ/OBJ.IDX", "index/TOK_OBJ%2FOBJ.IDX", format.NoSeq, 0},
		{format.KindForeign, "a\nb", "foreign/%record-3", format.NoSeq, 0},
		{format.KindForeign, long + "/" + long, "foreign/%record-4", format.NoSeq, 0},
		{format.KindForeign, "%record-4", "foreign/%record-5", format.NoSeq, 0},
		{format.KindObject, "10000000", "object/10000000", 0, 0},
		{format.KindForeign, "a\nb", "foreign/%record-7", 3, 0},
		{format.KindState, "NVTOK.DAT", "", 1, format.Vanished},
		{format.Kind(0x8001), "later", "unknown/later", format.NoSeq, 0},
	} {
		r := &format.Record{Seq: uint64(i), Kind: c.kind, Name: format.NameOf(strings.Split(c.name, "/")...), Supersedes: c.supersedes, Flags: c.flags, Data: fmt.Append(nil, "bytes ", i)}
		if err := s.Put(t.Context(), []*format.Record{r}); err != nil {
			t.Fatal(err)
		}
		want[c.file] = string(r.Data)
	}
	delete(want, "")
	delete(want, "state/NVTOK.DAT")
	delete(want, "foreign/%record-3")
	if entries, _ := os.ReadDir(dir); len(entries) != 1 || entries[0].Name()[0] != '.' {
		t.Errorf("before it is in place: %v", entries)
	}
	if _, err := s.Finish(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	files, _ := filepath.Glob(dir + "/unknown-token-3/*/*")
	for _, path := range files {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		info, _ := os.Stat(path)
		name, _ := filepath.Rel(dir+"/unknown-token-3", path)
		if want[name] != string(b) || info.Mode() != 0o600 {
			t.Errorf("%s, %v: %q, want %q", name, info.Mode(), b, want[name])
		}
		delete(want, name)
	}
	if len(want) > 0 {
		t.Errorf("not there: %v", want)
	}

	// What stands there stays.
	s, err = Backend{}.Restore(t.Context(), dir, token, backends.RestoreOptions{Whole: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Commit(t.Context()); err == nil {
		t.Error("another of its name is in its place")
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if left, _ := filepath.Glob(dir + "/.*"); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// A dry run makes nothing.
func TestDryRun(t *testing.T) {
	dir := t.TempDir()
	s, err := Backend{}.Restore(t.Context(), dir, &format.Token{Name: format.NameOf("unknown-token-1")}, backends.RestoreOptions{DryRun: true})
	if err != nil {
		t.Fatal(err)
	}
	r := &format.Record{Kind: format.KindObject, Name: format.NameOf("x"), Supersedes: format.NoSeq}
	if err := s.Put(t.Context(), []*format.Record{r}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Finish(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if entries, _ := os.ReadDir(dir); len(entries) > 0 {
		t.Errorf("it made %v", entries)
	}
}

// Nothing is a token of no known kind, no entry of one is unsound, and none is
// public.
func TestNothingIsKnown(t *testing.T) {
	b := Backend{}
	if found, err := b.Find(t.Context(), t.TempDir()); err != nil || len(found.Tokens)+len(found.Passed) > 0 {
		t.Errorf("found %+v, %v", found, err)
	}
	if _, err := b.Open(t.Context(), backends.Location{}); err == nil {
		t.Error("it opens")
	}
	v, err := b.Validator(&format.Token{})
	if err != nil {
		t.Fatal(err)
	}
	if public, found := v.Validate(&format.Record{Kind: format.KindObject, Data: []byte{0xff}}); public || len(found) > 0 {
		t.Errorf("public %t, findings %+v", public, found)
	}
}

// What cannot be written is named with its token, and nothing of it stays.
func TestFails(t *testing.T) {
	dir := t.TempDir()
	token := &format.Token{Name: format.NameOf("unknown-token-3")}
	if _, err := (Backend{}).Restore(t.Context(), dir+"/gone", token, backends.RestoreOptions{}); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "cannot restore unknown-token-3 into ") {
		t.Errorf("into what is not there: %v", err)
	}
	s, err := Backend{}.Restore(t.Context(), dir, token, backends.RestoreOptions{})
	if err != nil {
		t.Fatal(err)
	}
	r := &format.Record{Kind: format.KindObject, Name: format.NameOf("x"), Supersedes: format.NoSeq}
	if err := s.Put(t.Context(), []*format.Record{r, r}); !errors.Is(err, os.ErrExist) || !strings.HasPrefix(err.Error(), "unknown-token-3: cannot restore x: ") {
		t.Errorf("two of one name: %v", err)
	}
	stopped, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Put(stopped, []*format.Record{r}); !errors.Is(err, context.Canceled) {
		t.Errorf("stopped: %v", err)
	}
	if _, err := s.Commit(stopped); !errors.Is(err, context.Canceled) {
		t.Errorf("stopped before its place: %v", err)
	}
	made, _ := filepath.Glob(dir + "/.*/object")
	if len(made) == 0 {
		made, _ = filepath.Glob(dir + "/.*/*/object")
	}
	for _, path := range made { // something else takes the directory's place
		if err := errors.Join(os.RemoveAll(path), os.Symlink(dir, path)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Put(t.Context(), []*format.Record{{Kind: format.KindObject, Name: format.NameOf("y"), Supersedes: format.NoSeq}}); len(made) != 1 || err == nil {
		t.Errorf("through a link: %v, %q", err, made)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}
