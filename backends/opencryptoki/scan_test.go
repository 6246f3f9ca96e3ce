package opencryptoki

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tokar/backends"
	"tokar/format"
)

// Odd directories: what is there is told, nothing is dropped in silence, and
// what was archived can be restored.
func TestOddDirectories(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(dir string) error
		kind string
		file string
	}{
		{"TOK_OBJ is a link", func(dir string) error {
			return errors.Join(os.Rename(dir+"/TOK_OBJ", dir+"/elsewhere"), os.Symlink("elsewhere", dir+"/TOK_OBJ"))
		}, Irregular, objectsName},
		{"TOK_OBJ is a file", func(dir string) error {
			return errors.Join(os.RemoveAll(dir+"/TOK_OBJ"), os.WriteFile(dir+"/TOK_OBJ", nil, 0o660))
		}, Irregular, objectsName},
		{"no TOK_OBJ", func(dir string) error { return os.RemoveAll(dir + "/TOK_OBJ") }, Missing, objectsName},
		{"NVTOK.DAT is a directory", func(dir string) error {
			return errors.Join(os.Remove(dir+"/NVTOK.DAT"), os.Mkdir(dir+"/NVTOK.DAT", 0o770))
		}, Missing, nvtokName},
		{"OBJ.IDX is a link", func(dir string) error {
			return errors.Join(os.Rename(dir+"/TOK_OBJ/OBJ.IDX", dir+"/index"), os.Symlink("../index", dir+"/TOK_OBJ/OBJ.IDX"))
		}, Irregular, indexPath},
		{"an object is a directory", func(dir string) error {
			return errors.Join(os.Remove(dir+"/TOK_OBJ/10000000"), os.Mkdir(dir+"/TOK_OBJ/10000000", 0o770))
		}, Irregular, "TOK_OBJ/10000000"},
		{"deep directories", func(dir string) error {
			return errors.Join(os.MkdirAll(dir+"/a/b/c/d/e", 0o700), os.WriteFile(dir+"/a/b/c/f", nil, 0o600))
		}, TooDeep, "a/b/c/d"},
		{"a file named as an object", func(dir string) error {
			return os.WriteFile(dir+"/10000000", nil, 0o600)
		}, Clash, "10000000"},
		{"no MK_SO", func(dir string) error { return os.Remove(dir + "/MK_SO") }, Missing, soKeyName},
		{"an empty object", func(dir string) error {
			return os.WriteFile(dir+"/TOK_OBJ/OBabcdef", nil, 0o600)
		}, Unlisted, "TOK_OBJ/OBabcdef"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := copyToken(t, filepath.Join(fixtureDir, "swtok-old-small"), t.TempDir()+"/swtok")
			check(t, c.do(dir))
			info, records := readToken(t, dir)
			expect(t, records, c.kind, c.file, -1)
			restore(t, info, records, true, func(r *format.Record) bool { return !r.Absent() })
		})
	}
}

// Of an index that cannot be read nobody knows what it names: no object is
// called unlisted, which may be removed, and a restore lists them all.
func TestIndexUnread(t *testing.T) {
	for what, do := range map[string]func(index string){
		"forbidden": func(index string) { check(t, os.Chmod(index, 0)) },
		"a link":    func(index string) { check(t, os.Remove(index)); check(t, os.Symlink("10000000", index)) },
	} {
		t.Run(what, func(t *testing.T) {
			check(t, os.Chmod(filepath.Dir(t.TempDir()), 0o755))
			dir := copyToken(t, filepath.Join(fixtureDir, "swtok-old-small"), t.TempDir()+"/swtok")
			check(t, filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
				return errors.Join(err, os.Chmod(path, 0o755))
			}))
			do(filepath.Join(dir, indexPath))
			info, records := readAsNobody(t, dir)
			objects := 0
			for _, r := range records {
				if r.Flags&format.Unlisted != 0 || count(r.Details.Findings, Unlisted) > 0 {
					t.Errorf("%s is called unlisted", r.Name)
				}
				if r.Kind == format.KindObject {
					objects++
				}
			}
			restored, found := restore(t, info, records, true, func(r *format.Record) bool { return !r.Absent() })
			if lines := bytes.Count(read(t, restored, indexPath), []byte{'\n'}); lines != objects || count(found, NewIndex) != 1 {
				t.Errorf("%d of %d objects are listed in what was restored; findings %v", lines, objects, found)
			}
		})
	}
}

// readAsNobody reads a token as nobody, and goes on as before.
func readAsNobody(t *testing.T, dir string) (info *format.Token, records []*format.Record) {
	t.Helper()
	t.Run("read", func(t *testing.T) {
		asNobody(t)
		info, records = readToken(t, dir)
	})
	return info, records
}

// A fresh token has neither objects nor index.
func TestFreshToken(t *testing.T) {
	dir := copyToken(t, filepath.Join(fixtureDir, "swtok-old-small"), t.TempDir()+"/swtok")
	check(t, os.RemoveAll(dir+"/TOK_OBJ"))
	check(t, os.Mkdir(dir+"/TOK_OBJ", 0o770))
	info, records := readToken(t, dir)
	for _, r := range records {
		if len(r.Details.Findings) > 0 {
			t.Errorf("%s: %v", r.Name, r.Details.Findings)
		}
	}
	restored, found := restore(t, info, records, true, func(*format.Record) bool { return true })
	if count(found, NewIndex) > 0 {
		t.Errorf("findings %v", found)
	}
	if _, err := os.Stat(filepath.Join(restored, indexPath)); err == nil {
		t.Error("an index was made where there was none")
	}
}

// Findings on one entry are bounded.
func TestManyFindings(t *testing.T) {
	dir := copyToken(t, filepath.Join(fixtureDir, "swtok-old-small"), t.TempDir()+"/swtok")
	check(t, os.WriteFile(filepath.Join(dir, indexPath), []byte(strings.Repeat("garbage\n", 1000)), 0o660))
	_, records := readToken(t, dir)
	for _, r := range records {
		if n := len(r.Details.Findings); n > maxFindings+1 {
			t.Errorf("%s: %d findings", r.Name, n)
		}
	}
}

// An index of nothing but line ends costs no more than reading it.
func TestHostileIndex(t *testing.T) {
	index := bytes.Repeat([]byte{'\n'}, 1<<20)
	var found findings
	if n := testing.AllocsPerRun(1, func() { found = findings{}; objects{}.order(index, &found) }); n > 1000 {
		t.Errorf("%.0f allocations", n)
	}
	if n := len(found.all()); n != maxFindings+1 {
		t.Errorf("%d findings", n)
	}
}

// A directory that may hold a token and cannot be looked at is named as such;
// the tokens beside it are found. Users' TPM directories are such, but for root.
func TestFindForbidden(t *testing.T) {
	dir := t.TempDir()
	check(t, os.Chmod(filepath.Dir(dir), 0o755))
	for _, token := range []string{"swtok", "closed", "tpm/anna", "tpm/closed"} {
		copyToken(t, filepath.Join(fixtureDir, "swtok-old-small"), filepath.Join(dir, token))
		check(t, os.Chmod(filepath.Join(dir, token), 0o755))
	}
	for _, closed := range []string{"closed", "tpm/closed"} {
		check(t, os.Chmod(filepath.Join(dir, closed), 0))
		defer os.Chmod(filepath.Join(dir, closed), 0o700)
	}
	asNobody(t)
	found, err := Backend{}.Find(context.Background(), dir)
	check(t, err)
	var names, hidden []string
	for _, l := range found.Tokens {
		names = append(names, l.Name.String())
	}
	for _, p := range found.Passed {
		if p.Hidden {
			hidden = append(hidden, strings.TrimPrefix(p.Path, dir+"/")+": "+p.Reason)
		}
	}
	if want := []string{"swtok", "tpm/anna"}; !slices.Equal(names, want) {
		t.Errorf("tokens %q, want %q", names, want)
	}
	if want := []string{"closed: it cannot be looked at: permission denied", "tpm/closed: it cannot be looked at: permission denied"}; !slices.Equal(hidden, want) {
		t.Errorf("hidden %q, want %q", hidden, want)
	}
	if _, err := (Backend{}).Find(context.Background(), dir+"/closed"); err == nil {
		t.Error("an operand that cannot be looked at is no error")
	}
	if _, err := (Backend{}).Open(context.Background(), backends.Location{Name: format.NameOf("closed"), Real: dir + "/closed"}); err == nil {
		t.Error("opened")
	}
}
