package opencryptoki

import (
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tokar/backends/opencryptoki/tokendata"
	"tokar/format"
	"tokar/format/cryptoki"
)

// Sound tokens of every kind, format and byte order have no finding.
func TestFixturesAreSound(t *testing.T) {
	for _, dir := range fixtures(t) {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			info, records := readToken(t, dir)
			for _, r := range records {
				for _, f := range r.Details.Findings {
					t.Errorf("%s: %s at %d: %s", f.File, f.Kind, f.Offset, f.Message)
				}
			}
			for key, want := range propertiesOf(filepath.Base(dir)) {
				if got := info.Property(key); got != want {
					t.Errorf("property %s is %q, want %q", key, got, want)
				}
			}
		})
	}
}

// propertiesOf tells a fixture's properties by its name.
func propertiesOf(name string) map[string]string {
	p := map[string]string{propFormat: tokendata.Old, propByteOrder: "little", propMigrated: ""}
	if strings.Contains(name, "-be-") || strings.Contains(name, "bigendian") {
		p[propByteOrder] = "big"
	}
	if strings.Contains(name, "new") && !strings.HasPrefix(name, "swtok-old") || strings.Contains(name, "migrated") {
		p[propFormat] = tokendata.New
	}
	if strings.Contains(name, "migrated") {
		p[propMigrated] = migratedWord
	}
	for prefix, variant := range map[string]string{"swtok": "Soft", "icatok": "ICA", "ep11tok": "EP11", "tpmtok": "TPM"} {
		if strings.HasPrefix(name, prefix) {
			p[propVariant] = variant
		}
	}
	return p
}

// What the library said of the objects when they were made.
type made struct {
	Objects []struct {
		File, Class, Label, ID string
		KeyType                string `json:"key_type"`
		Private                bool
	}
}

func TestAgreesWithMaker(t *testing.T) {
	seen := 0
	for _, dir := range fixtures(t) {
		about, err := os.ReadFile(dir + ".json")
		if err != nil {
			continue
		}
		var m made
		check(t, json.Unmarshal(about, &m))
		_, records := readToken(t, dir)
		byName := map[string]*format.Record{}
		for _, r := range records {
			byName[r.Name.String()] = r
		}
		for _, o := range m.Objects {
			seen++
			r := byName[o.File]
			if r == nil || (r.Flags&format.Private != 0) != o.Private {
				t.Errorf("%s: %s: %+v", dir, o.File, r)
				continue
			}
			if o.Private {
				continue
			}
			keyType := ""
			if r.Details.KeyType != format.ClassNone {
				keyType = cryptoki.KeyTypeName(r.Details.KeyType)
			}
			got := [...]string{cryptoki.ClassName(r.Class), keyType, string(r.Details.Label), hex.EncodeToString(r.Details.ID)}
			if want := [...]string{o.Class, o.KeyType, o.Label, o.ID}; got != want {
				t.Errorf("%s: %s: %q, want %q", dir, o.File, got, want)
			}
		}
	}
	if seen == 0 {
		t.Fatal("no fixture with a description")
	}
}
