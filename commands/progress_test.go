package commands

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"tokar/backends/all"
	"tokar/stages"
)

// Of a file the whole is known and how far it is read; of a pipe only what came.
func TestThrough(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(path, make([]byte, 1000), 0o600))
	f, err := os.Open(path)
	must(t, err)
	a := &archiveFile{Reader: f, file: f}
	at := func(done, total uint64) {
		t.Helper()
		if d, n := a.through(); d != done || n != total {
			t.Errorf("%d of %d, want %d of %d", d, n, done, total)
		}
	}
	at(0, 0) // read by its index, perhaps
	io.ReadFull(a, make([]byte, 400))
	at(400, 1000)
	a.Close()
	at(0, 0)

	r, w, err := os.Pipe()
	must(t, err)
	defer w.Close()
	a = &archiveFile{file: r}
	a.Reader = io.TeeReader(bytes.NewReader(make([]byte, 700)), &a.head)
	io.ReadFull(a, make([]byte, 600))
	at(600, 0)
	a.Close()
}

// Of tokens the whole is what they list, without what is excluded.
func TestListed(t *testing.T) {
	found, err := all.Backends()[0].Find(t.Context(), filepath.Join(fixtures, "swtok-old-small"))
	must(t, err)
	inputs := []stages.Input{{Backend: all.Backends()[0], Location: found.Tokens[0]}}
	for _, c := range []struct {
		sel  selection
		want uint64
	}{{selection{}, 21}, {selection{excluded: []string{"?0000000"}}, 4}} {
		s := &session{}
		s.progress.entries.Store(3)
		listed := s.listed(t.Context(), inputs, c.sel)
		for began := time.Now(); ; time.Sleep(time.Millisecond) {
			done, total := listed()
			if done != 3 {
				t.Fatalf("%d are through", done)
			}
			if total == c.want {
				break
			}
			if total != 0 || time.Since(began) > hang {
				t.Fatalf("%d entries, want %d", total, c.want)
			}
		}
	}
	gone := []stages.Input{inputs[0], {Backend: all.Backends()[0]}}
	if n := countEntries(t.Context(), gone, selection{}); n != 0 {
		t.Errorf("%d entries, where one token cannot be opened", n)
	}
}
