package opencryptoki

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tokar/backends"
	"tokar/backends/opencryptoki/tokendata"
	"tokar/format"
)

const damagedDir = "../../testdata/damaged"

// seen is what the libraries showed of a damaged token: how many of its six
// objects were lost, and whether they said anything.
type seen struct{ lost, login string }

// transcripts reads what the libraries did: by section's number and case.
func transcripts(t testing.TB) map[string]seen {
	t.Helper()
	all, section, name := map[string]seen{}, 0, ""
	for line := range strings.Lines(string(read(t, damagedDir, "messages.txt"))) {
		line = strings.TrimSpace(line)
		key := func() string { return fmt.Sprintf("%d/%s", section, name) }
		switch {
		case strings.HasPrefix(line, "########"):
			section++
		case strings.HasPrefix(line, "== "):
			name = line[3:]
			all[key()] = seen{}
		case strings.Contains(line, "; lost: "):
			_, lost, _ := strings.Cut(line, "; lost: ")
			s := all[key()]
			s.lost = lost
			all[key()] = s
		case strings.HasPrefix(line, "client: C_Login"):
			s := all[key()]
			s.login = line[strings.LastIndex(line, " ")+1:]
			all[key()] = s
		}
	}
	return all
}

// damagedToken puts a case together.
func damagedToken(t testing.TB, form, name string) string {
	t.Helper()
	dir := copyToken(t, filepath.Join(damagedDir, form, "undamaged"), filepath.Join(t.TempDir(), "token"))
	over := filepath.Join(damagedDir, form, name)
	gone, err := os.ReadFile(filepath.Join(over, "gone"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	for _, file := range strings.Fields(string(gone)) {
		check(t, os.Remove(filepath.Join(dir, file)))
	}
	check(t, filepath.WalkDir(over, func(path string, d os.DirEntry, err error) error {
		file, rerr := filepath.Rel(over, path)
		if err != nil || rerr != nil || d.IsDir() || file == "gone" {
			return errors.Join(err, rerr)
		}
		b, err := os.ReadFile(path)
		check(t, err)
		return os.WriteFile(filepath.Join(dir, file), b, 0o660)
	}))
	return dir
}

// judged is what check finds with the user PIN: all kinds of findings, and the
// private objects that it says the library hides, with the one it stops at.
func judged(t testing.TB, dir string) (kinds []string, hidden int, found []format.Finding) {
	t.Helper()
	info, records := readToken(t, dir)
	v := Backend{}.Unlock(info, backends.Logins{User: []byte("01234567")})
	for _, r := range records {
		v.Learn(r)
	}
	for _, r := range records {
		_, f := v.Examine(r)
		r.Details.Findings = append(r.Details.Findings, f...)
		found = append(found, r.Details.Findings...)
		switch {
		case hidden > 0 && r.Flags&format.Private != 0, hidden == 0 && Backend{}.Hides(info, r):
			hidden++
		}
	}
	last, err := v.Close()
	check(t, err)
	found = append(found, last...)
	for _, f := range found {
		kinds = append(kinds, f.Kind)
	}
	return kinds, hidden, found
}

// TestDamageSeenByTheLibrary: each damaged token is named as such, and that
// objects vanish without a word is said where the libraries let them vanish, and
// of as many as they did.
func TestDamageSeenByTheLibrary(t *testing.T) {
	if testing.Short() {
		t.Skip("derives many keys from PINs")
	}
	kindOfCase := map[string]string{
		"index-crlf": LineEnd, "index-duplicate": Duplicate, "index-no-final-newline": LineEnd, "leftover-tmp": Leftover,
		"listed-but-missing": Missing, "mk-user-flipped": MasterKey, "nvtok-truncated": Truncated, "present-but-not-listed": Unlisted,
		"private-ciphertext-flipped": Unopenable, "private-empty-file": Empty, "private-flag-flipped": PrivateFlag,
		"private-length-ffffffff": Length, "private-length-flipped": Trailing, "private-renamed": Name,
		"private-reserved-flipped": Header, "private-tag-flipped": Unopenable, "private-truncated": Truncated,
		"public-attribute-count-minus-one": Attributes, "public-attribute-count-plus-one": Attributes,
		"public-attribute-length-flipped": Attributes, "public-empty-file": Empty, "public-flag-flipped": PrivateFlag,
		"public-header-little-endian": "", "public-in-old-format": Format, "public-inner-name-changed": Name,
		"public-length-ffffffff": Length, "public-length-flipped": Trailing, "public-length-zero": Length,
		"public-renamed": Name, "public-truncated": Truncated,
		"public-value-flipped": "", // bytes of a data object: nothing in either format shows it
	}
	told := transcripts(t)
	cases := 0
	for form, newest := range map[string]int{"old": 2, "new": 3} {
		dirs, err := filepath.Glob(filepath.Join(damagedDir, form, "*"))
		check(t, err)
		for _, dir := range dirs {
			name := filepath.Base(dir)
			if name == "undamaged" {
				continue
			}
			cases++
			want, known := kindOfCase[name]
			if form == "new" && strings.HasSuffix(name, "-length-flipped") && want == Trailing {
				want = Truncated // there it became larger than the file
			}
			kinds, hidden, found := judged(t, damagedToken(t, form, name))
			if !known || want == "" && len(kinds) > 0 || want != "" && !slices.Contains(kinds, want) {
				t.Errorf("%s/%s: found %+v, want %q", form, name, found, want)
			}
			s, there := told[fmt.Sprintf("%d/%s", newest, name)]
			if !there {
				t.Errorf("%s/%s: no transcript", form, name)
			}
			// Of the six, three are private, and the damaged one is the first of them.
			lost := 0
			if s.lost != "" {
				lost = len(strings.Split(s.lost, ", "))
			}
			if ofState := s.login != "" || lost == 6; !ofState && lost >= 3 != (hidden > 0) || hidden > 0 && hidden != lost {
				t.Errorf("%s/%s: %d hidden, and the library lost %s", form, name, hidden, s.lost)
			}
			if s.login != "" && !strings.Contains(fmt.Sprint(found), s.login) {
				t.Errorf("%s/%s: the library says %s, and we %+v", form, name, s.login, found)
			}
		}
	}
	if cases < 50 {
		t.Errorf("%d cases", cases)
	}
}

// TestMissingKeyFile: what a login meets is what the libraries said.
func TestMissingKeyFile(t *testing.T) {
	told := transcripts(t)
	for form, newest := range map[string]int{"old": 2, "new": 3} {
		dir := damagedToken(t, form, "leftover-tmp")
		check(t, os.Remove(filepath.Join(dir, userKeyName)))
		_, _, found := judged(t, dir)
		if code := told[fmt.Sprintf("%d/mk-user-missing", newest)].login; code == "" || !strings.Contains(fmt.Sprint(found), code) {
			t.Errorf("%s: %q, %+v", form, code, found)
		}
	}
}

// TestFlippedPrivateByte: no byte of a private object changes unseen.
func TestFlippedPrivateByte(t *testing.T) {
	for form, name := range map[string]string{"old": "10000000", "new": "OBz44bjO"} {
		dir := damagedToken(t, form, "undamaged")
		file := filepath.Join(dir, objectsName, name)
		whole, err := os.ReadFile(file)
		check(t, err)
		for at := 0; at < len(whole); at += 13 {
			b := slices.Clone(whole)
			b[at] ^= 0x20
			check(t, os.WriteFile(file, b, 0o660))
			kinds, _, _ := judged(t, dir)
			if len(kinds) == 0 {
				t.Errorf("%s: byte %d changed unseen", form, at)
			}
			if form == "new" && at > 150 {
				break // each derives keys from the PIN
			}
		}
	}
}

// TestKeyFilesOfTwoTimes: NVTOK.DAT from after a PIN change and MK_USER from
// before it, as a change that was caught half-way leaves them; the SO's opens the
// objects all the same. And two files that hold different keys.
func TestKeyFilesOfTwoTimes(t *testing.T) {
	for form, pair := range map[string][2]string{
		"old": {filepath.Join(fixtureDir, "../pins/swtok-old"), filepath.Join(fixtureDir, "../pins/swtok-old-userpin-changed")},
		"new": {filepath.Join(fixtureDir, "swtok-new-small"), filepath.Join(fixtureDir, "../pins/swtok-new-small-userpin-changed")},
	} {
		dir := copyToken(t, pair[0], filepath.Join(t.TempDir(), "token"))
		check(t, os.WriteFile(filepath.Join(dir, nvtokName), read(t, pair[1], nvtokName), 0o660))
		l := backends.Logins{SO: []byte("76543210"), User: []byte("11112222")}
		all, found, err := examined(t, dir, l)
		if err != nil || len(found) != 1 || found[0].Kind != MasterKey || found[0].File != userKeyName || !strings.Contains(found[0].Message, "half-way") {
			t.Errorf("%s: %v, %+v", form, err, found)
		}
		for name, c := range all {
			if !c.Opened {
				t.Errorf("%s/%s: not opened with the SO PIN", form, name)
			}
		}
		if _, _, err := examined(t, dir, backends.Logins{User: []byte("01234567")}); !errors.Is(err, backends.ErrPIN) {
			t.Errorf("%s: the old PIN: %v", form, err)
		}
	}
	// the user's file of another token, under the same PIN
	dir := copyToken(t, filepath.Join(fixtureDir, "swtok-old-small"), filepath.Join(t.TempDir(), "token"))
	check(t, os.WriteFile(filepath.Join(dir, userKeyName), read(t, filepath.Join(fixtureDir, "../pins/swtok-old"), userKeyName), 0o660))
	all, found, err := examined(t, dir, toldOf(t, filepath.Join(fixtureDir, "swtok-old-small")).logins())
	if err != nil || len(found) != 1 || found[0].Kind != MasterKey || !strings.Contains(found[0].Message, "another master key") {
		t.Errorf("two keys: %v, %+v", err, found)
	}
	for name, c := range all {
		if !c.Opened {
			t.Errorf("two keys: %s not opened", name)
		}
	}
}

// TestUnsetPIN: there is no user PIN to be right.
func TestUnsetPIN(t *testing.T) {
	dir := copyToken(t, filepath.Join(fixtureDir, "swtok-old-small"), filepath.Join(t.TempDir(), "token"))
	b := read(t, dir, nvtokName)
	b[tokendata.AtFlags] &^= tokendata.UserPINSet
	check(t, os.WriteFile(filepath.Join(dir, nvtokName), b, 0o660))
	if _, found, err := examined(t, dir, backends.Logins{User: []byte("01234567")}); err != nil || len(found) != 1 || found[0].Kind != NoPIN {
		t.Errorf("%v, %+v", err, found)
	}
}
