package keyslot

import (
	"regexp"
	"testing"
	"time"

	"tokar/format"
)

func TestGenerate(t *testing.T) {
	for name, c := range map[string]struct {
		generate func(time.Time) ([]byte, string, error)
		form     string
	}{
		"hybrid": {GenerateHybrid, `^# created: 1970-01-01T00:00:00Z\n# public key: (age1pq1[0-9a-z]+)\nAGE-SECRET-KEY-PQ-1[0-9A-Z]+\n$`},
		"x25519": {GenerateX25519, `^# created: 1970-01-01T00:00:00Z\n# public key: (age1[0-9a-z]+)\nAGE-SECRET-KEY-1[0-9A-Z]+\n$`},
	} {
		t.Run(name, func(t *testing.T) {
			file, to, err := c.generate(epoch)
			if err != nil {
				t.Fatal(err)
			}
			m := regexp.MustCompile(c.form).FindSubmatch(file)
			if m == nil || string(m[1]) != to {
				t.Fatalf("%s", file)
			}
			opens(t, mustIdentity(t, file, nil), format.RoleRestore,
				mustWrap(t, mustRecipient(t, to, nil), format.RoleRestore))
		})
	}
}

// Lock at its real cost, once.
func TestLock(t *testing.T) {
	if testing.Short() {
		t.Skip("scrypt at its full cost")
	}
	file, to, err := GenerateX25519(epoch)
	if err != nil {
		t.Fatal(err)
	}
	shut, err := Lock(file, []byte("open sesame"))
	if err != nil {
		t.Fatal(err)
	}
	opens(t, mustIdentity(t, shut, (&asker{answer: "open sesame"}).ui()), format.RoleRestore,
		mustWrap(t, mustRecipient(t, to, nil), format.RoleRestore))
}
