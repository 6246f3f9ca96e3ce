package opencryptoki

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"tokar/backends"
	"tokar/format"
)

// restore puts the records that want chooses, in order, and gives the
// restored token's directory and the findings.
func restore(t *testing.T, info *format.Token, records []*format.Record, whole bool, want func(*format.Record) bool) (string, []format.Finding) {
	t.Helper()
	ctx := context.Background()
	dir := t.TempDir()
	s, err := Backend{}.Restore(ctx, dir, info, backends.RestoreOptions{Whole: whole})
	check(t, err)
	defer func() { check(t, s.Close()) }()
	for _, r := range records {
		chosen := want(r)
		if chosen {
			check(t, s.Put(ctx, []*format.Record{r}))
		}
		if whole || chosen {
			check(t, s.Order(r, !chosen))
		}
	}
	found, err := s.Finish(ctx)
	check(t, err)
	more, err := s.Commit(ctx)
	check(t, err)
	found = append(found, more...)
	return filepath.Join(dir, info.Name.String()), found
}

// count counts findings of a kind.
func count(found []format.Finding, kind string) (n int) {
	for _, f := range found {
		if f.Kind == kind {
			n++
		}
	}
	return n
}

func TestIndexOfRestored(t *testing.T) {
	info, records := readToken(t, filepath.Join(fixtureDir, "swtok-old-small"))
	info.Name = format.NameOf("swtok")
	original := read(t, filepath.Join(fixtureDir, "swtok-old-small"), indexPath)
	without := bytes.Replace(original, []byte("10000000\n"), nil, 1)
	for _, c := range []struct {
		name  string
		whole bool
		want  func(*format.Record) bool
		index []byte
		anew  int
	}{
		{"everything", true, func(*format.Record) bool { return true }, original, 0},
		{"one left out", true, func(r *format.Record) bool { return string(r.Name) != "10000000" }, without, 1},
		{"some objects", false, func(r *format.Record) bool {
			return r.Kind == format.KindObject && strings.HasPrefix(string(r.Name), "1") || string(r.Name) == "00000000"
		}, []byte("00000000\n10000000\n"), 1},
		{"index lost", true, func(r *format.Record) bool { return r.Kind != format.KindIndex }, original, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir, found := restore(t, info, records, c.whole, c.want)
			if got := read(t, dir, indexPath); !bytes.Equal(got, c.index) {
				t.Errorf("index %q, want %q", got, c.index)
			}
			if n := count(found, NewIndex); n != c.anew {
				t.Errorf("%d findings %s, want %d", n, NewIndex, c.anew)
			}
		})
	}
}

// An index with faults is restored with them, if every object is.
func TestFaultyIndexKept(t *testing.T) {
	src := copyToken(t, filepath.Join(fixtureDir, "swtok-old-small"), t.TempDir()+"/swtok")
	index := append(read(t, src, indexPath), "ZZZZZZZZ\r\ngarbage\n00000000"...)
	check(t, os.WriteFile(filepath.Join(src, indexPath), index, 0o660))
	info, records := readToken(t, src)
	dir, found := restore(t, info, records, true, func(*format.Record) bool { return true })
	if got := read(t, dir, indexPath); !bytes.Equal(got, index) || count(found, NewIndex) > 0 {
		t.Errorf("index %q, %v", got, found)
	}
}

// Set-id bits of an archive are never set.
func TestNoSetID(t *testing.T) {
	info, records := readToken(t, filepath.Join(fixtureDir, "swtok-old-small"))
	records[0].Details.Attr.Mode = 0o6755
	dir, found := restore(t, info, records, true, func(*format.Record) bool { return true })
	st, err := os.Stat(filepath.Join(dir, nvtokName))
	check(t, err)
	if st.Mode() != 0o755 || count(found, NotSet) == 0 {
		t.Errorf("mode %v, findings %v", st.Mode(), found)
	}
}

// Modes are exact whatever the umask.
func TestUmask(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0o077))
	info, records := readToken(t, filepath.Join(fixtureDir, "swtok-old-small"))
	for _, r := range records {
		r.Details.Attr.Mode = 0o664
	}
	info.Directories[1].Attr.Mode = 0o2775
	dir, _ := restore(t, info, records, true, func(*format.Record) bool { return true })
	for file, want := range map[string]os.FileMode{nvtokName: 0o664, indexPath: 0o664, objectsName: os.ModeDir | os.ModeSetgid | 0o775} {
		st, err := os.Stat(filepath.Join(dir, file))
		check(t, err)
		if st.Mode() != want {
			t.Errorf("%s: %v, want %v", file, st.Mode(), want)
		}
	}
}

// What a killed run left is cleared away, and what a running one holds is not.
func TestDebris(t *testing.T) {
	info, records := readToken(t, filepath.Join(fixtureDir, "swtok-old-small"))
	ctx, dir := context.Background(), t.TempDir()
	for _, place := range []string{"/.swtok-old-small.tokar-new", "/.swtok-old-small.tokar-new.tokar-new"} {
		check(t, os.MkdirAll(dir+place+"/new/TOK_OBJ", 0o700))
		check(t, os.WriteFile(dir+place+"/new/TOK_OBJ/00000000", []byte("debris"), 0o600))
	}
	s, err := Backend{}.Restore(ctx, dir, info, backends.RestoreOptions{Whole: true})
	check(t, err)
	check(t, s.Put(ctx, records))
	_, err = s.Finish(ctx)
	check(t, err)
	_, err = s.Commit(ctx)
	check(t, err)
	check(t, s.Close())
	left, err := os.ReadDir(dir)
	check(t, err)
	if len(left) != 1 || left[0].Name() != "swtok-old-small" {
		t.Errorf("left: %v", left)
	}
}

// What is cleared away of one token is never the place of another.
func TestDebrisIsNobodysPlace(t *testing.T) {
	info, _ := readToken(t, filepath.Join(fixtureDir, "swtok-old-small"))
	ctx, dir := context.Background(), t.TempDir()
	user := *info
	info.Name, user.Name = format.NameOf("tpm"), format.NameOf("tpm", "debris")
	other, err := Backend{}.Restore(ctx, dir, &user, backends.RestoreOptions{Whole: true})
	check(t, err)
	s, err := Backend{}.Restore(ctx, dir, info, backends.RestoreOptions{Whole: true})
	check(t, err)
	check(t, s.Close())
	_, err = other.Finish(ctx)
	check(t, err)
	_, err = other.Commit(ctx)
	check(t, err)
	check(t, other.Close())
}

// A directory that another takes the place of while a token is built there:
// what is cleaned up is what was made, not what has its name elsewhere.
func TestTargetReplaced(t *testing.T) {
	info, records := readToken(t, filepath.Join(fixtureDir, "swtok-old-small"))
	ctx, outer := context.Background(), t.TempDir()
	dir, moved, elsewhere := outer+"/dir", outer+"/moved", outer+"/elsewhere"
	check(t, os.Mkdir(dir, 0o755))
	check(t, os.MkdirAll(elsewhere+"/.swtok-old-small.tokar-new/kept", 0o755))
	s, err := Backend{}.Restore(ctx, dir, info, backends.RestoreOptions{Whole: true})
	check(t, err)
	check(t, s.Put(ctx, records))
	check(t, os.Rename(dir, moved))
	check(t, os.Symlink(elsewhere, dir))
	check(t, s.Close())
	if _, err := os.Stat(elsewhere + "/.swtok-old-small.tokar-new/kept"); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(moved); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

// A dry run fails where the real one would.
func TestDryRunReadOnly(t *testing.T) {
	info, _ := readToken(t, filepath.Join(fixtureDir, "swtok-old-small"))
	dir := t.TempDir()
	check(t, os.Chmod(filepath.Dir(dir), 0o755))
	check(t, os.Chmod(dir, 0o555))
	asNobody(t)
	for _, dry := range []bool{false, true} {
		if _, err := (Backend{}).Restore(context.Background(), dir, info, backends.RestoreOptions{Whole: true, DryRun: dry}); !errors.Is(err, os.ErrPermission) {
			t.Errorf("dry run %v: %v", dry, err)
		}
	}
}

// Names that this kind cannot have, each for its kind.
func TestNamesRefused(t *testing.T) {
	for _, c := range []struct {
		kind format.Kind
		name string
	}{
		{format.KindObject, "1000000"}, {format.KindObject, "10000000a"}, {format.KindObject, "1000000/"},
		{format.KindObject, "OBJ.IDX"}, {format.KindObject, "TOK_OBJ/10000000"}, {format.KindObject, "1000000\n"},
		{format.KindIndex, "OBJ.IDX"}, {format.KindIndex, "NVTOK.DAT"}, {format.KindState, "OBJ.IDX"},
		{format.KindState, "10000000"}, {format.KindState, "TOK_OBJ/MK_PRIVATE"}, {format.KindState, "a/b/x.pem"},
		{format.KindForeign, "NVTOK.DAT"}, {format.KindForeign, "MK_SO"}, {format.KindForeign, "TOK_OBJ"},
		{format.KindForeign, "TOK_OBJ/10000000"}, {format.KindForeign, "TOK_OBJ/OBJ.IDX"}, {format.KindForeign, "a/b/c/d/e"},
		{format.KindToken, "swtok"},
	} {
		name, _ := format.ParseName(c.name)
		if _, err := placeOf(c.kind, name); err == nil {
			t.Errorf("%s %q is taken", c.kind, c.name)
		}
	}
	for _, name := range []string{"swtok_BAK", "x.tokar-old", ".x.tokar-new", "HSM_MK_CHANGE", "tpm/x_BAK"} {
		n, err := format.ParseName(name)
		check(t, err)
		if checkTokenName(n) == nil {
			t.Errorf("a token named %s is taken", name)
		}
	}
}

// The directory above a user's TPM token comes back with its mode and group.
func TestParent(t *testing.T) {
	src := filepath.Join(t.TempDir(), tpmBase)
	copyToken(t, filepath.Join(fixtureDir, "tpmtok-old"), filepath.Join(src, "root"))
	check(t, os.Chmod(src, os.ModeSetgid|0o750))
	info, records := readToken(t, src)
	dir, _ := restore(t, info, records, true, func(*format.Record) bool { return true })
	st, err := os.Stat(filepath.Dir(dir))
	check(t, err)
	if st.Mode() != os.ModeDir|os.ModeSetgid|0o750 {
		t.Errorf("mode %v", st.Mode())
	}
}

// A token of an archive does not come to lie inside one that is there; a
// user's TPM token below the TPM token of an older release does.
func TestTokenInsideToken(t *testing.T) {
	for name, fixture := range map[string]string{"swtok": "swtok-old-small", "tpm": "tpmtok-old"} {
		dir := t.TempDir()
		copyToken(t, filepath.Join(fixtureDir, fixture), filepath.Join(dir, name))
		info := &format.Token{Name: format.NameOf(name, "x"), Kind: Kind}
		staging, err := Backend{}.Restore(context.Background(), dir, info, backends.RestoreOptions{Whole: true})
		if staging != nil {
			check(t, staging.Close())
		}
		if inside := errors.Is(err, backends.ErrBadName); inside != (name == "swtok") {
			t.Errorf("%s/x: %v", name, err)
		}
	}
}
