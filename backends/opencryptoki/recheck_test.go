package opencryptoki

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"tokar/backends"
	"tokar/format"
)

// needFineTimes skips a test where stat tells whole seconds only, as user-mode
// qemu 7.2 does for s390x.
func needFineTimes(t *testing.T) {
	for range 3 {
		path := filepath.Join(t.TempDir(), "file")
		check(t, os.WriteFile(path, nil, 0o600))
		st, err := os.Stat(path)
		check(t, err)
		if st.ModTime().Nanosecond() != 0 {
			return
		}
	}
	t.Skip("stat tells whole seconds only here")
}

func TestRecheck(t *testing.T) {
	needFineTimes(t)
	replace := func(dir, file string, b []byte) {
		tmp := filepath.Join(dir, file) + ".TMP"
		check(t, os.WriteFile(tmp, b, 0o660))
		check(t, os.Rename(tmp, filepath.Join(dir, file)))
	}
	index := indexPath
	for _, c := range []struct {
		name string
		do   func(dir string) // after everything was read
		want []string
	}{
		{"nothing", func(string) {}, nil},
		{"PIN change in place", func(dir string) {
			check(t, os.WriteFile(dir+"/MK_USER", make([]byte, 48), 0o660))
		}, []string{userKeyName}},
		{"PIN change by renaming", func(dir string) {
			replace(dir, nvtokName, read(t, dir, nvtokName))
			replace(dir, userKeyName, make([]byte, 48))
		}, []string{nvtokName, userKeyName}},
		{"object changed by renaming", func(dir string) {
			replace(dir, "TOK_OBJ/20000000", []byte("new"))
		}, []string{"20000000"}},
		{"object made", func(dir string) {
			check(t, os.WriteFile(dir+"/TOK_OBJ/H0000000", []byte("new"), 0o660))
			check(t, os.WriteFile(filepath.Join(dir, index), append(read(t, dir, index), "H0000000\n"...), 0o660))
		}, []string{index, "H0000000"}},
		{"object removed", func(dir string) {
			check(t, os.Remove(dir+"/TOK_OBJ/20000000"))
			b := read(t, dir, index)
			check(t, os.WriteFile(filepath.Join(dir, index), append(b[:18:18], b[27:]...), 0o660))
		}, []string{index, "20000000"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := copyToken(t, filepath.Join(fixtureDir, "swtok-old-small"), t.TempDir()+"/swtok")
			tok := openToken(t, dir)
			defer tok.Close()
			readAll(t, tok)
			time.Sleep(20 * time.Millisecond) // the clock of change times is coarse
			c.do(dir)
			changed, stable, err := tok.(backends.Rechecker).Recheck(context.Background())
			check(t, err)
			var names []string
			for _, e := range changed {
				names = append(names, e.Name.String())
				r := newRecord(&e)
				check(t, tok.Read(context.Background(), &e, r, make([]byte, 4000)))
				gone := c.name == "object removed" && e.Kind == format.KindObject
				if gone != (r.Flags&format.Vanished != 0) {
					t.Errorf("%s: flags %b", e.Name, r.Flags)
				}
			}
			if !slices.Equal(names, c.want) || stable != (c.want == nil) {
				t.Errorf("stable %v, changed %q, want %q", stable, names, c.want)
			}
		})
	}
}

// What is written between Open and its turn is read once more.
func TestRecheckLate(t *testing.T) {
	needFineTimes(t)
	dir := copyToken(t, filepath.Join(fixtureDir, "swtok-old-small"), t.TempDir()+"/swtok")
	tok := openToken(t, dir)
	defer tok.Close()
	time.Sleep(20 * time.Millisecond)
	check(t, os.WriteFile(dir+"/TOK_OBJ/20000000", []byte("in place"), 0o660))
	readAll(t, tok)
	readAll(t, tok) // a batch that did not fit is read again
	changed, stable, err := tok.(backends.Rechecker).Recheck(context.Background())
	check(t, err)
	if stable || len(changed) != 1 || changed[0].Name.String() != "20000000" {
		t.Errorf("stable %v, changed %+v", stable, changed)
	}
}

// What vanished before its turn is not told again; that OBJ.IDX changed is.
func TestRecheckVanished(t *testing.T) {
	needFineTimes(t)
	dir := copyToken(t, filepath.Join(fixtureDir, "swtok-old-small"), t.TempDir()+"/swtok")
	tok := openToken(t, dir)
	defer tok.Close()
	time.Sleep(20 * time.Millisecond)
	check(t, os.Remove(dir+"/TOK_OBJ/20000000"))
	b := read(t, dir, indexPath)
	check(t, os.WriteFile(filepath.Join(dir, indexPath), append(b[:18:18], b[27:]...), 0o660))
	readAll(t, tok)
	changed, stable, err := tok.(backends.Rechecker).Recheck(context.Background())
	check(t, err)
	if stable || len(changed) != 1 || changed[0].Kind != format.KindIndex {
		t.Errorf("stable %v, changed %+v", stable, changed)
	}
}

func readAll(t *testing.T, tok backends.Token) {
	for e, err := range tok.Entries(context.Background()) {
		check(t, err)
		check(t, tok.Read(context.Background(), &e, newRecord(&e), make([]byte, 4000)))
	}
}
