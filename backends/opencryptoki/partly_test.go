package opencryptoki

import (
	"bytes"
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
