package opencryptoki

import (
	"bytes"
	"errors"
	"maps"
	"path/filepath"
	"strings"
	"testing"

	"tokar/backends"
	"tokar/format"
)

// Of a token of which an archive lost a part, the index names what is there, also
// where the archive's own index came; and it is said that NVTOK.DAT is lost.
func TestPartly(t *testing.T) {
	info, records := readToken(t, filepath.Join(fixtureDir, "swtok-old-small"))
	info.Name = format.NameOf("swtok")
	original := read(t, filepath.Join(fixtureDir, "swtok-old-small"), indexPath)
	without := bytes.ReplaceAll(bytes.Replace(original, []byte("10000000\n"), nil, 1), []byte("00000000\n"), nil)
	lost := func(r *format.Record) bool { return string(r.Name) == "10000000" || string(r.Name) == "00000000" }
	for _, c := range []struct {
		name  string
		lost  func(*format.Record) bool
		index []byte
		nvtok bool // is lost
	}{
		{"objects", lost, without, false},
		{"objects and index", func(r *format.Record) bool { return lost(r) || r.Kind == format.KindIndex }, without, false},
		{"state", func(r *format.Record) bool { return r.Kind == format.KindState }, original, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			s, err := Backend{}.Restore(t.Context(), dir, info, backends.RestoreOptions{Whole: true, Partly: true, Fresh: true})
			check(t, err)
			defer func() { check(t, s.Close()) }()
			for _, r := range records {
				if !c.lost(r) {
					check(t, s.Put(t.Context(), []*format.Record{r}))
					check(t, s.Order(r, false))
				}
			}
			found, err := s.Finish(t.Context())
			check(t, err)
			_, err = s.Commit(t.Context())
			check(t, err)
			if got := read(t, filepath.Join(dir, "swtok"), indexPath); !bytes.Equal(got, c.index) {
				t.Errorf("index %q, want %q", got, c.index)
			}
			said := false
			for _, f := range found {
				said = said || f.Kind == Incomplete && f.File == nvtokName && strings.Contains(f.Message, "lost")
			}
			if said != c.nvtok || count(found, Incomplete) == 0 {
				t.Errorf("findings %v", found)
			}
		})
	}
}

// A state file that the archive has as damaged is today's, if these are the very
// same bytes, or today's PINs are kept; the archive's cannot take their place.
func TestDamagedStateOfToday(t *testing.T) {
	const dir = fixtureDir + "/swtok-old-small"
	info, records := readToken(t, dir)
	info.Name = format.NameOf("swtok")
	into := func(base string, pins backends.PINs) error {
		s, err := Backend{}.Restore(t.Context(), base, info, backends.RestoreOptions{Whole: true, PINs: pins, NoKeep: true})
		check(t, err)
		defer func() { check(t, s.Close()) }()
		for _, r := range records {
			left := r.Kind == format.KindState && string(r.Name) == "MK_USER"
			if !left {
				check(t, s.Put(t.Context(), []*format.Record{r}))
			}
			check(t, s.Order(r, left))
		}
		if _, err = s.Finish(t.Context()); err == nil {
			_, err = s.Commit(t.Context())
		}
		return err
	}
	base := stand(t, dir)
	before := files(t, base+"/swtok")
	if err := into(base, backends.KeepPINs); err != nil {
		t.Fatal(err)
	}
	if after := files(t, base+"/swtok"); !maps.Equal(after, before) {
		t.Errorf("%d files, before %d", len(after), len(before))
	}
	rewrite(t, base+"/swtok/MK_USER", func(b []byte) []byte { b[0] ^= 1; return b })
	before = files(t, base+"/swtok")
	for _, c := range []struct {
		pins backends.PINs
		want error
	}{{backends.RollBackPINs, backends.ErrLacking}, {backends.KeepPINs, nil}} {
		if err := into(base, c.pins); !errors.Is(err, c.want) || err != nil && !strings.Contains(err.Error(), "MK_USER") {
			t.Errorf("%v: %v, want %v", c.pins, err, c.want)
		}
		if after := files(t, base+"/swtok"); !maps.Equal(after, before) {
			t.Errorf("%v: it is another", c.pins)
		}
	}
}
