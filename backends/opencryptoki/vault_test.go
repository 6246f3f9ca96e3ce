package opencryptoki

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tokar/backends"
	"tokar/backends/opencryptoki/tokendata"
	"tokar/format"
	"tokar/format/cryptoki"
)

// told is what the JSON beside a fixture says of it.
type told struct {
	SO      string `json:"so_pin"`
	User    string `json:"user_pin"`
	Objects []struct {
		File, Class, Label, ID string
		Private                bool
		KeyType                string `json:"key_type"`
	}
}

func toldOf(t testing.TB, dir string) (w told) {
	t.Helper()
	w.SO, w.User = "76543210", "01234567"
	text, err := os.ReadFile(dir + ".json")
	if errors.Is(err, os.ErrNotExist) {
		switch name := filepath.Base(dir); {
		case strings.HasSuffix(name, "-userpin-changed"):
			w.User = "11112222"
		case strings.HasSuffix(name, "-sopin-changed"), strings.HasSuffix(name, "-medium"):
			w.SO, w.User = "33334444", "11112222"
		}
		return w
	}
	check(t, err)
	check(t, json.Unmarshal(text, &w))
	return w
}

func (w told) logins() backends.Logins {
	return backends.Logins{SO: []byte(w.SO), User: []byte(w.User)}
}

// examined opens a token's objects with PINs: what each private one says of
// itself, and all that was found.
func examined(t testing.TB, dir string, l backends.Logins) (map[string]backends.Content, []format.Finding, error) {
	t.Helper()
	info, records := readToken(t, dir)
	v := Backend{}.Unlock(info, l)
	if v == nil {
		return nil, nil, nil
	}
	for _, r := range records {
		v.Learn(r)
	}
	all := map[string]backends.Content{}
	var found []format.Finding
	for _, r := range records {
		c, f := v.Examine(r)
		found = append(found, f...)
		if r.Flags&format.Private != 0 {
			all[r.Name.String()] = c
		}
	}
	last, err := v.Close()
	return all, append(found, last...), err
}

// TestEveryFixtureOpens: every private object of every fixture opens with
// either PIN, is sound, and is what its JSON says.
func TestEveryFixtureOpens(t *testing.T) {
	if testing.Short() {
		t.Skip("derives many keys from PINs")
	}
	opened := 0
	for _, dir := range fixtures(t) {
		w := toldOf(t, dir)
		for name, l := range map[string]backends.Logins{
			"both": w.logins(), "user": {User: []byte(w.User)}, "SO": {SO: []byte(w.SO)},
		} {
			all, found, err := examined(t, dir, l)
			if err != nil || len(found) > 0 {
				t.Errorf("%s, %s: %v, %+v", dir, name, err, found)
			}
			for file, c := range all {
				if opened++; !c.Opened {
					t.Errorf("%s/%s, %s: not opened", dir, file, name)
				}
			}
			for _, o := range w.Objects {
				c, there := all[o.File]
				if there != o.Private {
					t.Errorf("%s/%s: private %v", dir, o.File, there)
				}
				if there && (cryptoki.ClassName(c.Class) != o.Class || string(c.Label) != o.Label || hex.EncodeToString(c.ID) != o.ID ||
					o.KeyType != "" && cryptoki.KeyTypeName(c.KeyType) != o.KeyType) {
					t.Errorf("%s/%s: %s %s %q %x, not %+v", dir, o.File, cryptoki.ClassName(c.Class), cryptoki.KeyTypeName(c.KeyType), c.Label, c.ID, o)
				}
			}
		}
	}
	t.Logf("%d openings", opened)
}

// TestWrongPIN is told from damage, and is no finding.
func TestWrongPIN(t *testing.T) {
	for _, name := range []string{"swtok-old-small", "swtok-new-small", "swtok-old-bigendian", "swtok-new-bigendian"} {
		dir := filepath.Join(fixtureDir, name)
		l := toldOf(t, dir).logins()
		all, found, err := examined(t, dir, backends.Logins{User: []byte("99999999")})
		if !errors.Is(err, backends.ErrPIN) || len(found) > 0 || !strings.Contains(err.Error(), tokendata.User.Name) {
			t.Errorf("%s: %v, %+v", name, err, found)
		}
		for file, c := range all {
			if c.Opened {
				t.Errorf("%s/%s opened", name, file)
			}
		}
		// the SO's opens all the same
		l.User = []byte("99999999")
		all, _, err = examined(t, dir, l)
		if !errors.Is(err, backends.ErrPIN) {
			t.Errorf("%s: %v", name, err)
		}
		for file, c := range all {
			if !c.Opened {
				t.Errorf("%s/%s not opened with the SO PIN", name, file)
			}
		}
	}
}
