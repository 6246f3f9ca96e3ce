package opencryptoki

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tokar/backends"
	"tokar/backends/opencryptoki/tokendata"
	"tokar/format"
)

// wordsOf compares the token swtok below base with an archived one.
func wordsOf(t *testing.T, base string, info *format.Token, records []*format.Record) string {
	t.Helper()
	c, err := Backend{}.Compare(t.Context(), backends.Location{Name: info.Name, Path: filepath.Join(base, "swtok"), Real: filepath.Join(base, "swtok")}, info)
	check(t, err)
	for _, r := range records {
		c.Learn(r)
	}
	words := strings.Join(c.Words(), "; ")
	check(t, c.Close())
	return words
}

// What diff says of a token beside an archive of it, or of another.
func TestWords(t *testing.T) {
	const (
		oldTok = fixtureDir + "/swtok-old-small"
		newTok = fixtureDir + "/swtok-new-small"
		older  = pinsDir + "/swtok-old"
		be     = fixtureDir + "/ep11tok-be-new-before"
		tpm    = fixtureDir + "/tpmtok-old"

		same      = "the PINs are those of the archive"
		sameToken = "the same token as the archive's: "
		other     = "another token than the archive's: "
		again     = "its label and kind are those of the archive's: it was probably initialised again since, with another master key, and its PINs open nothing that the archive holds"
		untold    = "whether it is the archive's token cannot be told without a PIN: "
		oldKey    = sameToken + "it holds a private object of the archive under the same master key; "
		pins      = "the SO PIN is that of the archive; the user PIN is that of the archive"
	)
	flag := func(f byte) func(dir string) {
		return func(dir string) {
			rewrite(t, dir+"/NVTOK.DAT", func(b []byte) []byte { b[tokendata.AtFlags+2] |= f; return b })
		}
	}
	otherKeys := func(dir string) {
		for _, name := range []string{"MK_SO", "MK_USER"} {
			rewrite(t, dir+"/"+name, func(b []byte) []byte { b[0] ^= 1; return b })
		}
	}
	noObjects := func(dir string) { check(t, os.RemoveAll(dir+"/TOK_OBJ")) }
	for _, c := range []struct {
		name           string
		archived, live string
		change         func(dir string)
		want           string
	}{
		{"itself, old", oldTok, oldTok, nil, same},
		{"itself, new", newTok, newTok, nil, same},
		{"itself, TPM", tpm, tpm, nil, same},
		{"of another format", oldTok, newTok, nil, other + "it is in the new format, the archive's in the old"},
		{"of another kind", newTok, be, nil, other + "it is a token of kind EP11, the archive's of kind Soft"},
		{"Soft for TPM", tpm, oldTok, nil, other + "it is a token of kind Soft, the archive's of kind TPM"},
		{"user PIN changed, old", older, pinsDir + "/swtok-old-userpin-changed", nil, oldKey + "the SO PIN is that of the archive; the user PIN is not that of the archive"},
		{"both PINs changed, old", older, pinsDir + "/swtok-old-sopin-changed", nil, oldKey + "the SO PIN is not that of the archive; the user PIN is not that of the archive"},
		{"both PINs changed, new", newTok, pinsDir + "/swtok-new-small-sopin-changed", nil, oldKey + "the SO PIN was set anew since, perhaps to the same; the user PIN was set anew since, perhaps to the same"},
		{"TPM PIN changed", tpm, pinsDir + "/tpmtok-old-userpin-changed", nil, sameToken + "it holds a key of the archive that a PIN protects; the PINs are not those of the archive: a TPM token keeps them in its key objects, and these differ"},
		{"other master keys", oldTok, oldTok, func(dir string) { otherKeys(dir); noObjects(dir) }, other + "the user PIN is the same and the master key in MK_USER is not; " + again},
		{"what points both ways", newTok, newTok, otherKeys, untold + "it holds a private object of the archive under the same master key, but the user PIN is the same and the master key in MK_USER is not; " + pins},
		{"nothing in common", oldTok, oldTok, func(dir string) {
			noObjects(dir)
			for _, name := range []string{"MK_SO", "MK_USER", "NVTOK.DAT"} {
				check(t, os.Remove(dir+"/"+name))
			}
			check(t, os.WriteFile(dir+"/NVTOK.DAT", nil, 0o600))
		}, untold + "nothing that both hold shows it; whether the PINs are those of the archive cannot be told"},
		{"state cut", oldTok, oldTok, func(dir string) { check(t, os.Truncate(dir+"/NVTOK.DAT", 10)) }, oldKey + "whether the PINs are those of the archive cannot be told"},
		{"locked", oldTok, oldTok, flag(4), oldKey + pins + "; the user PIN is locked here, and in order in the archive"},
		{"tried once", oldTok, oldTok, flag(1), oldKey + pins + "; the user PIN is after a wrong try here, and in order in the archive"},
		{"last try", oldTok, oldTok, flag(2), oldKey + pins + "; the user PIN is before its last try here, and in order in the archive"},
		{"no user PIN", oldTok, oldTok, func(dir string) {
			noObjects(dir)
			check(t, os.Remove(dir+"/MK_USER"))
			rewrite(t, dir+"/NVTOK.DAT", func(b []byte) []byte { b[tokendata.AtFlags] &^= tokendata.UserPINSet; return b })
		}, sameToken + "MK_SO is the same; the SO PIN is that of the archive; the user PIN is not set here; in the archive it is"},
	} {
		info, records := readToken(t, c.archived)
		from := []string{c.live}
		if strings.HasSuffix(c.live, "pin-changed") && c.archived != tpm {
			from = []string{c.archived, c.live} // which is the state files only
		}
		base := stand(t, from...)
		if c.change != nil {
			c.change(base + "/swtok")
		}
		if got := wordsOf(t, base, info, records); got != c.want {
			t.Errorf("%s: %s; want %s", c.name, got, c.want)
		}
	}
}

// A token that cannot be read to its PIN state is not compared by guess, and is
// closed.
func TestCompareUnreadable(t *testing.T) {
	info, _ := readToken(t, fixtureDir+"/swtok-old-small")
	base := stand(t, fixtureDir+"/swtok-old-small")
	loc := backends.Location{Name: info.Name, Path: base + "/swtok", Real: base + "/swtok"}
	check(t, os.Truncate(base+"/swtok/MK_USER", format.MaxObject+1))
	if _, err := (Backend{}).Compare(t.Context(), loc, info); err == nil || !strings.Contains(err.Error(), "cannot read MK_USER") {
		t.Errorf("a state file too large: %v", err)
	}
	check(t, os.RemoveAll(base+"/swtok"))
	if _, err := (Backend{}).Compare(t.Context(), loc, info); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("gone: %v", err)
	}
}

// The names in an index are those of objects; other lines are none.
func TestIndexNames(t *testing.T) {
	got := Backend{}.IndexNames([]byte("10000000\n../../etc\n\n20000000\n0123456\n3000000"))
	if want := []string{"10000000", "20000000"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
