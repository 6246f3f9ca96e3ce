package opencryptoki

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tokar/backends"
	"tokar/backends/opencryptoki/tokendata"
	"tokar/format"
)

const pinsDir = "../../testdata/pins"

// stand makes the directory swtok below a new one, from directories copied one
// over the other.
func stand(t *testing.T, from ...string) (base string) {
	t.Helper()
	base = t.TempDir()
	for _, dir := range from {
		check(t, filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
			check(t, err)
			to := filepath.Join(base, "swtok", strings.TrimPrefix(path, dir))
			if d.IsDir() {
				return os.MkdirAll(to, 0o770)
			}
			b, err := os.ReadFile(path)
			check(t, err)
			return os.WriteFile(to, b, 0o660)
		}))
	}
	return base
}

// files are all files below a directory, by path.
func files(t *testing.T, root string) map[string]string {
	t.Helper()
	all := map[string]string{}
	check(t, filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		check(t, err)
		if !d.IsDir() {
			b, err := os.ReadFile(path)
			check(t, err)
			all[strings.TrimPrefix(path, root+"/")] = string(b)
		}
		return nil
	}))
	return all
}

// put restores into base, up to Commit, and gives the findings and notes.
func put(t *testing.T, base string, info *format.Token, records []*format.Record, o backends.RestoreOptions) (found []format.Finding, notes []string, err error) {
	t.Helper()
	ctx := context.Background()
	o.Note = func(m string) { notes = append(notes, m) }
	s, err := Backend{}.Restore(ctx, base, info, o)
	if err != nil {
		return nil, notes, err
	}
	defer func() {
		check(t, s.Close())
		for _, e := range list(t, base) {
			if strings.HasPrefix(e, ".") {
				t.Errorf("left behind: %s", e)
			}
		}
	}()
	for _, r := range records {
		chosen := o.Whole || r.Kind == format.KindObject && string(r.Name) == single
		if chosen {
			if err := s.Put(ctx, []*format.Record{r}); err != nil {
				return nil, notes, err
			}
		}
		check(t, s.Order(r, !chosen))
	}
	found, err = s.Finish(ctx)
	if err != nil || o.DryRun {
		return found, notes, err
	}
	more, err := s.Commit(ctx)
	return append(found, more...), notes, err
}

// single is the object that put restores where it does not restore all.
const single = "10000000"

func list(t *testing.T, dir string) (names []string) {
	entries, err := os.ReadDir(dir)
	check(t, err)
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// What happens to a token that is there, row by row.
func TestExistingToken(t *testing.T) {
	const (
		oldTok = fixtureDir + "/swtok-old-small"
		newTok = fixtureDir + "/swtok-new-small"
		older  = pinsDir + "/swtok-old"
		tpm    = fixtureDir + "/tpmtok-old"
	)
	initialised := func(base string) { // as C_InitToken of 3.8.1 leaves it: a new MK_SO, MK_USER as it was
		rewrite(t, base+"/swtok/MK_SO", func(b []byte) []byte { b[0] ^= 1; return b })
		rewrite(t, base+"/swtok/NVTOK.DAT", func(b []byte) []byte { b[tokendata.AtFlags] &^= tokendata.UserPINSet; return b })
		check(t, os.RemoveAll(base+"/swtok/TOK_OBJ"))
		check(t, os.Mkdir(base+"/swtok/TOK_OBJ", 0o770))
	}
	unused := func(base string) { // as the library makes one of empty directories
		check(t, os.Remove(base+"/swtok/MK_USER"))
		check(t, os.RemoveAll(base+"/swtok/TOK_OBJ"))
		rewrite(t, base+"/swtok/MK_SO", func(b []byte) []byte { b[0] ^= 1; return b })
		rewrite(t, base+"/swtok/NVTOK.DAT", func(b []byte) []byte { copy(b[tokendata.AtFlags:], "\x45\x00\x88\x00"); b[184] ^= 1; return b })
	}
	bothPINs := func(base string) { // and no private object that tells
		for _, name := range []string{"MK_SO", "MK_USER"} {
			rewrite(t, base+"/swtok/"+name, func(b []byte) []byte { b[0] ^= 1; return b })
		}
		rewrite(t, base+"/swtok/NVTOK.DAT", func(b []byte) []byte { b[160] ^= 1; b[184] ^= 1; return b })
		check(t, os.RemoveAll(base+"/swtok/TOK_OBJ"))
	}
	locked := func(base string) {
		rewrite(t, base+"/swtok/NVTOK.DAT", func(b []byte) []byte { b[tokendata.AtFlags+2] |= 4; return b })
	}
	whole := backends.RestoreOptions{Whole: true}
	keep := backends.RestoreOptions{Whole: true, PINs: backends.KeepPINs}
	roll := backends.RestoreOptions{Whole: true, PINs: backends.RollBackPINs}
	replace := backends.RestoreOptions{Whole: true, Replace: true}
	one := backends.RestoreOptions{}
	const archives, todays = "the archive's", "today's"
	for _, c := range []struct {
		name     string
		archived string
		there    []string
		change   func(base string)
		o        backends.RestoreOptions
		err      error
		pins     string // whose PIN state is there afterwards
		found    string // kinds of findings
	}{
		{"same", oldTok, []string{oldTok}, nil, whole, nil, archives, ""},
		{"same, next name counted on", oldTok, []string{oldTok}, func(base string) {
			rewrite(t, base+"/swtok/NVTOK.DAT", func(b []byte) []byte { b[tokendata.AtNextName+2]++; return b })
		}, whole, nil, archives, ""},
		{"user PIN changed", newTok, []string{newTok, pinsDir + "/swtok-new-small-userpin-changed"}, nil, whole, nil, todays, PINsKept},
		{"user PIN changed, old format", older, []string{older, pinsDir + "/swtok-old-userpin-changed"}, nil, whole, nil, todays, PINsKept},
		{"both PINs changed", newTok, []string{newTok, pinsDir + "/swtok-new-small-sopin-changed"}, nil, whole, nil, todays, PINsKept},
		{"both PINs changed, old format", older, []string{older, pinsDir + "/swtok-old-sopin-changed"}, nil, whole, nil, todays, PINsKept},
		{"user PIN locked", oldTok, []string{oldTok}, locked, whole, nil, todays, PINsKept},
		{"rolled back", newTok, []string{newTok, pinsDir + "/swtok-new-small-sopin-changed"}, nil, roll, nil, archives, ""},
		{"kept PINs damaged", oldTok, []string{oldTok}, func(base string) {
			check(t, os.Truncate(base+"/swtok/NVTOK.DAT", 100))
		}, whole, backends.ErrNotKept, todays, ""},
		{"damaged, rolled back", oldTok, []string{oldTok}, func(base string) {
			check(t, os.Truncate(base+"/swtok/NVTOK.DAT", 100))
		}, roll, nil, archives, ""},
		{"initialised", oldTok, []string{oldTok}, initialised, whole, backends.ErrOther, todays, ""},
		{"initialised, keep", oldTok, []string{oldTok}, initialised, keep, backends.ErrOther, todays, ""},
		{"initialised, roll back", oldTok, []string{oldTok}, initialised, roll, backends.ErrOther, todays, ""},
		{"initialised, replaced", oldTok, []string{oldTok}, initialised, replace, nil, archives, ""},
		{"never initialised", oldTok, []string{oldTok}, unused, whole, nil, archives, ""},
		{"never initialised, keep", oldTok, []string{oldTok}, unused, keep, nil, archives, ""},
		{"never initialised, an object", oldTok, []string{oldTok}, func(base string) {
			unused(base)
			check(t, os.Mkdir(base+"/swtok/TOK_OBJ", 0o770))
			check(t, os.WriteFile(base+"/swtok/TOK_OBJ/OBJ.IDX", []byte("00000000\n"), 0o600))
		}, whole, backends.ErrUnknown, todays, ""},
		{"never initialised, one object", oldTok, []string{oldTok}, unused, one, backends.ErrUnknown, todays, ""},
		{"a file that is no object", oldTok, []string{oldTok}, func(base string) {
			check(t, os.WriteFile(base+"/swtok/notes", []byte("notes"), 0o600))
			check(t, os.WriteFile(base+"/swtok/TOK_OBJ/IDX.TMP", []byte("left"), 0o600))
		}, whole, nil, archives, ""},
		{"other kind", oldTok, []string{oldTok}, func(base string) {
			bothPINs(base)
			rewrite(t, base+"/swtok/NVTOK.DAT", func(b []byte) []byte { copy(b[64:80], "IBM ICA         "); return b })
		}, keep, backends.ErrOther, todays, ""},
		{"other format", oldTok, []string{newTok}, nil, whole, backends.ErrOther, todays, ""},
		{"other format, replaced", oldTok, []string{newTok}, nil, replace, nil, archives, ""},
		{"cannot be told", oldTok, []string{oldTok}, bothPINs, whole, backends.ErrUnknown, todays, ""},
		{"cannot be told, keep", oldTok, []string{oldTok}, bothPINs, keep, nil, todays, PINsKept},
		{"cannot be told, roll back", oldTok, []string{oldTok}, bothPINs, roll, nil, archives, ""},
		{"old private objects under a new master key", oldTok, []string{oldTok}, func(base string) {
			rewrite(t, base+"/swtok/MK_SO", func(b []byte) []byte { b[0] ^= 1; return b })
		}, whole, backends.ErrUnknown, todays, ""},
		{"TPM", tpm, []string{tpm}, nil, whole, nil, archives, ""},
		{"TPM, PIN changed", tpm, []string{pinsDir + "/tpmtok-old-userpin-changed"}, nil, whole, backends.ErrNotKept, todays, ""},
		{"TPM, another's with a private object of the same bytes", tpm, []string{tpm}, func(base string) {
			dir := base + "/swtok/TOK_OBJ/"
			for _, name := range list(t, dir) {
				rewrite(t, dir+name, func(b []byte) []byte {
					if slices.ContainsFunc(tpmKeys, func(id string) bool { return bytes.Contains(b, []byte(id)) }) {
						b[len(b)-1] ^= 1
					}
					return b
				})
			}
		}, whole, backends.ErrUnknown, todays, ""},
		{"TPM, PIN rolled back", tpm, []string{pinsDir + "/tpmtok-old-userpin-changed"}, nil, roll, nil, archives, Dropped},
		{"one object, same", oldTok, []string{oldTok}, func(base string) {
			check(t, os.Remove(base+"/swtok/TOK_OBJ/"+single))
		}, one, nil, todays, ""},
		{"one object, initialised", oldTok, []string{oldTok}, initialised, one, backends.ErrOther, todays, ""},
		{"one object, cannot be told", oldTok, []string{oldTok}, bothPINs, one, backends.ErrUnknown, todays, ""},
		{"one object, PINs changed", older, []string{older, pinsDir + "/swtok-old-sopin-changed"}, func(base string) {
			check(t, os.Remove(base+"/swtok/TOK_OBJ/"+single))
		}, one, nil, todays, ""},
	} {
		for _, dry := range []bool{true, false} {
			name := c.name
			if dry {
				name += ", dry run"
			}
			t.Run(name, func(t *testing.T) {
				base := stand(t, c.there...)
				if c.change != nil {
					c.change(base)
				}
				before := files(t, base)
				info, records := readToken(t, c.archived)
				info.Name = format.NameOf("swtok")
				o := c.o
				o.DryRun = dry
				found, notes, err := put(t, base, info, records, o)
				if !errors.Is(err, c.err) || c.err == nil && err != nil {
					t.Fatalf("%v, want %v", err, c.err)
				}
				var kinds []string
				for _, f := range found {
					if f.Kind != NotSet {
						kinds = append(kinds, f.Kind)
					}
				}
				if got := strings.Join(kinds, " "); got != c.found {
					t.Errorf("findings %v, want %s", found, c.found)
				}
				after := files(t, base)
				if dry || c.err != nil {
					if !maps.Equal(before, after) {
						t.Error("something changed")
					}
					return
				}
				checkRestored(t, c.archived, before, after, c.pins == todays, o.Whole)
				if strings.Contains(c.name, "no object") != slices.ContainsFunc(notes, func(n string) bool { return strings.Contains(n, "restored: 1 (notes)") }) {
					t.Errorf("notes: %q", notes)
				}
				if o.Whole != slices.ContainsFunc(notes, func(n string) bool { return strings.Contains(n, "kept as swtok.tokar-old") }) {
					t.Errorf("notes: %q", notes)
				}
			})
		}
	}
}

// checkRestored compares file by file: what was restored, and that the token
// that stood there is kept.
func checkRestored(t *testing.T, archived string, before, after map[string]string, pinsOfToday, whole bool) {
	t.Helper()
	want := map[string]string{}
	for path, b := range files(t, archived) {
		if whole || path == "TOK_OBJ/"+single {
			want["swtok/"+path] = b
		}
	}
	for path, b := range before {
		name := strings.TrimPrefix(path, "swtok/")
		if whole {
			want["swtok.tokar-old/"+name] = b
		}
		if !whole && name != "TOK_OBJ/"+single || pinsOfToday && stateRank(strings.Split(name, "/")) > 0 {
			want[path] = b
		}
	}
	for path := range after {
		if want[path] == "" && after[path] != "" || bytes.Equal([]byte(want[path]), nil) != bytes.Equal([]byte(after[path]), nil) {
			t.Errorf("%s is there", path)
		}
	}
	for path := range want {
		if want[path] != after[path] {
			t.Errorf("%s is not as it should be", path)
		}
	}
}

func rewrite(t *testing.T, path string, change func([]byte) []byte) {
	t.Helper()
	b, err := os.ReadFile(path)
	check(t, err)
	check(t, os.WriteFile(path, change(b), 0o660))
}
