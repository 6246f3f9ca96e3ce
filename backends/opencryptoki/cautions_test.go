package opencryptoki

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"tokar/backends/opencryptoki/tokendata"
	"tokar/format"
	"tokar/format/cryptoki"
)

// TestCautions: each is said of the token that it is true of, and of no other.
func TestCautions(t *testing.T) {
	old, fresh := filepath.Join(fixtureDir, "swtok-old-small"), filepath.Join(fixtureDir, "swtok-new-small")
	flags := func(set uint32) func(t testing.TB, dir string) {
		return func(t testing.TB, dir string) {
			b := read(t, dir, nvtokName)
			order := tokendata.ParseNVTOK(b).Order
			flagged := order.AppendUint32(nil, order.Uint32(b[tokendata.AtFlags:])|set)
			copy(b[tokendata.AtFlags:], flagged)
			check(t, os.WriteFile(filepath.Join(dir, nvtokName), b, 0o660))
		}
	}
	mode := func(file string, m os.FileMode) func(t testing.TB, dir string) {
		return func(t testing.TB, dir string) { check(t, os.Chmod(filepath.Join(dir, file), m)) }
	}
	// the SO PIN of a token that was just born (facts of NVTOK.DAT)
	born := func(t testing.TB, dir string) {
		b := read(t, dir, nvtokName)
		copy(b[184:], "\xa7\xd5\x79\xba\x76\x39\x80\x70\xea\xe6\x54\xc3\x0f\xf1\x53\xa4\xc2\x73\x27\x2a")
		check(t, os.WriteFile(filepath.Join(dir, nvtokName), b, 0o660))
	}
	hashes := func(t testing.TB, dir string) {
		b := read(t, dir, nvtokName)
		b[tokendata.AtPINHashes+3] = 7
		check(t, os.WriteFile(filepath.Join(dir, nvtokName), b, 0o660))
	}
	for name, c := range map[string]struct {
		dir    string
		change func(t testing.TB, dir string)
		want   []string
	}{
		"new":                     {fresh, nil, nil},
		"old":                     {old, nil, []string{OldFormat}},
		"written elsewhere":       {filepath.Join(fixtureDir, "swtok-new-bigendian"), nil, []string{ForeignOrder}},
		"TPM":                     {filepath.Join(fixtureDir, "tpmtok-old"), func(t testing.TB, dir string) { closeToOthers(t, dir) }, []string{ZeroKey}},
		"migrated":                {fresh, hashes, []string{PINHashes}},
		"user PIN locked":         {fresh, flags(0x40000), []string{PINTries}},
		"SO PIN before last":      {old, flags(0x200000), []string{OldFormat, PINTries}},
		"user PIN after a miss":   {old, flags(0x10000), []string{OldFormat, PINTries}},
		"born":                    {old, born, []string{OldFormat, DefaultPIN}},
		"a key file for others":   {fresh, mode(userKeyName, 0o664), []string{Others}},
		"an object for the owner": {fresh, mode("TOK_OBJ/OBaTfARS", 0o600), []string{NoGroup}},
		"a directory for others":  {fresh, mode(objectsName, 0o775), []string{Others}},
	} {
		dir := copyToken(t, c.dir, filepath.Join(t.TempDir(), "token"))
		if c.change != nil {
			c.change(t, dir)
		}
		info, records := readToken(t, dir)
		var got []string
		whole := &format.Record{Kind: format.KindToken}
		for _, r := range append([]*format.Record{whole}, records...) {
			for _, f := range (Backend{}).Cautions(info, r) {
				if f.Kind != Group { // the group is the test's
					got = append(got, f.Kind)
				}
				if f.Message == "" || f.Offset != -1 {
					t.Errorf("%s: %+v", name, f)
				}
			}
		}
		if cryptoki.Host() == cryptoki.BigEndian { // foreign there is what is not here
			if i := slices.Index(c.want, ForeignOrder); i >= 0 {
				c.want = slices.Delete(c.want, i, i+1)
			} else {
				c.want = append(c.want, ForeignOrder)
			}
		}
		slices.Sort(got)
		if slices.Sort(c.want); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// closeToOthers sets the modes of a TPM token.
func closeToOthers(t testing.TB, dir string) {
	check(t, filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		return os.Chmod(path, 0o600)
	}))
}

// TestGroupCaution: the usual group is none.
func TestGroupCaution(t *testing.T) {
	info := &format.Token{}
	for group, want := range map[string]int{usualGroup: 0, "wheel": 1, "": 1} {
		info.Directories = []format.Directory{{Attr: format.Attr{Known: true, Mode: 0o770, Group: group, GID: 4711}}}
		if got := (Backend{}).Cautions(info, &format.Record{Kind: format.KindToken}); len(got) != want || want > 0 && got[0].Kind != Group {
			t.Errorf("group %q: %+v", group, got)
		}
	}
}
