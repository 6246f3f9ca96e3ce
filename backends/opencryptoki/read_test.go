package opencryptoki

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"tokar/backends"
	"tokar/format"
)

// Every file of every fixture is an entry, with its bytes, mode and time.
func TestReadsEverything(t *testing.T) {
	for _, dir := range fixtures(t) {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			_, records := readToken(t, dir)
			read := map[string]*format.Record{}
			for _, r := range records {
				read[entryPath(r.Kind, r.Name)] = r
			}
			check(t, filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
				if err != nil || d.IsDir() {
					return err
				}
				name, _ := filepath.Rel(dir, path)
				r := read[name]
				if r == nil {
					t.Errorf("%s is no entry", name)
					return nil
				}
				delete(read, name)
				want, err := os.ReadFile(path)
				check(t, err)
				info, err := d.Info()
				check(t, err)
				if !bytes.Equal(r.Data, want) {
					t.Errorf("%s: other bytes", name)
				}
				if r.Details.Attr.Mode != uint32(info.Mode().Perm()) || r.Details.Attr.MTime != info.ModTime().UnixNano() {
					t.Errorf("%s: %v is not its mode and time", name, r.Details.Attr)
				}
				return nil
			}))
			for name := range read {
				t.Errorf("%s is no file", name)
			}
		})
	}
}

func TestOrder(t *testing.T) {
	dir := copyToken(t, filepath.Join(fixtureDir, "swtok-old-small"), t.TempDir()+"/swtok")
	index, err := os.ReadFile(dir + "/TOK_OBJ/OBJ.IDX")
	check(t, err)
	lines := strings.Fields(string(index))
	slices.Reverse(lines)
	check(t, os.WriteFile(dir+"/TOK_OBJ/OBJ.IDX", []byte(strings.Join(lines[1:], "\n")+"\n"), 0o660))
	check(t, os.WriteFile(dir+"/TOK_OBJ/IDX.TMP", nil, 0o660))
	check(t, os.WriteFile(dir+"/aaa", nil, 0o660))
	_, records := readToken(t, dir)
	var got []string
	for _, r := range records {
		got = append(got, r.Name.String())
	}
	want := append([]string{"NVTOK.DAT", "MK_SO", "MK_USER", "TOK_OBJ/OBJ.IDX"}, lines[1:]...)
	want = append(want, lines[0], "TOK_OBJ/IDX.TMP", "aaa")
	if !slices.Equal(got, want) {
		t.Errorf("entries %q, want %q", got, want)
	}
	if records[len(records)-3].Flags != format.Unlisted {
		t.Error("the object that is not in OBJ.IDX is not marked")
	}
}

// What is no file is refused and never opened.
func TestIrregular(t *testing.T) {
	dir := copyToken(t, filepath.Join(fixtureDir, "swtok-old-small"), t.TempDir()+"/swtok")
	secret := t.TempDir() + "/secret"
	check(t, os.WriteFile(secret, []byte("outside"), 0o600))
	for _, name := range []string{"TOK_OBJ/10000000", "MK_USER", "link"} {
		os.Remove(filepath.Join(dir, name))
		check(t, os.Symlink(secret, filepath.Join(dir, name)))
	}
	check(t, os.Remove(dir+"/TOK_OBJ/20000000"))
	check(t, unix.Mkfifo(dir+"/TOK_OBJ/20000000", 0o600))
	check(t, unix.Mkfifo(dir+"/fifo", 0o600))
	_, records := readToken(t, dir)
	want := []string{"10000000", "20000000", "MK_USER", "fifo", "link"}
	for _, r := range records {
		i := slices.Index(want, r.Name.String())
		refused := r.Flags&format.Refused != 0 && len(r.Data) == 0 && len(r.Details.Findings) == 1 && r.Details.Findings[0].Kind == Irregular
		if refused != (i >= 0) {
			t.Errorf("%s: flags %b, findings %v", r.Name, r.Flags, r.Details.Findings)
		}
		if i >= 0 {
			want = slices.Delete(want, i, i+1)
		}
	}
	if len(want) > 0 {
		t.Errorf("not listed: %q", want)
	}
}

func TestVanished(t *testing.T) {
	dir := copyToken(t, filepath.Join(fixtureDir, "swtok-old-small"), t.TempDir()+"/swtok")
	tok := openToken(t, dir)
	defer tok.Close()
	check(t, os.Remove(dir+"/TOK_OBJ/10000000"))
	for e, err := range tok.Entries(context.Background()) {
		check(t, err)
		r := newRecord(&e)
		check(t, tok.Read(context.Background(), &e, r, make([]byte, 8)))
		gone := e.Name.String() == "10000000"
		if gone != (r.Flags == format.Vanished) || gone != (len(r.Details.Findings) == 1) {
			t.Errorf("%s: flags %b, findings %v", e.Name, r.Flags, r.Details.Findings)
		}
	}
}

// Asking for an entry before it is read changes nothing, whatever stands there.
func TestPrefetch(t *testing.T) {
	dir := copyToken(t, filepath.Join(fixtureDir, "swtok-old-small"), t.TempDir()+"/swtok")
	fifo := filepath.Join(dir, "TOK_OBJ", "ZZZZZZZZ")
	check(t, unix.Mkfifo(fifo, 0o600))
	tok := openToken(t, dir)
	defer tok.Close()
	var missing string
	for e, err := range tok.Entries(t.Context()) {
		check(t, err)
		if e.Kind == format.KindObject && e.Flags == 0 && missing == "" {
			missing = e.Name.String()
			check(t, os.Remove(filepath.Join(dir, "TOK_OBJ", missing)))
		}
		tok.(backends.Prefetcher).Prefetch(&e)
		r := newRecord(&e)
		check(t, tok.Read(t.Context(), &e, r, make([]byte, 1<<16)))
		if gone := r.Flags&format.Vanished != 0; gone != (r.Name.String() == missing) {
			t.Errorf("%s: vanished %v", r.Name, gone)
		}
	}
}
