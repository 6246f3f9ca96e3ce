package opencryptoki

import (
	"strings"
	"testing"

	"tokar/format"
)

func TestNames(t *testing.T) {
	n := parseNames([]byte("root:x:0:0:root:/root:/bin/sh\nalso:x:0:0::/:\nroot:x:7:7::/:\n+nis:x:8:8::/:\n#off:x:9:9::/:\n" +
		"-:x:10:10::/:\n:x:11:11::/:\nshort:x:12\nbad:x:x:1::/:\nlarge:x:4294967296:1::/:\nnobody4:x:4294967295:1::/:\n" +
		strings.Repeat("n", 129) + ":x:13:13::/:\npkcs11:*:110:joe,ann"))
	if len(n.byID) != 3 || n.byID[0] != "root" || n.byID[7] != "root" || n.byID[110] != "pkcs11" {
		t.Errorf("%v", n.byID)
	}
	if len(n.byName) != 3 || n.byName["root"] != 0 || n.byName["also"] != 0 || n.byName["pkcs11"] != 110 {
		t.Errorf("%v", n.byName)
	}
	for _, c := range []struct {
		name string
		id   uint32
		want uint32
		ok   bool
		why  string
	}{
		{"pkcs11", 110, 110, true, ""},
		{"pkcs11", 7, 110, true, ""},
		{"", 7, 7, true, ""},
		{"new", 8, 8, true, `"new", number 8`},
		{"new", 110, format.NoID, false, `"new" is not known here, and number 110 is "pkcs11"'s`},
		{"new", format.NoID, format.NoID, true, ""},
	} {
		got, ok, why := n.here(c.name, c.id)
		text := ""
		if why != nil {
			text = why.Error()
		}
		if got != c.want || ok != c.ok || text != c.why {
			t.Errorf("%q %d: %d, %v, %q", c.name, c.id, got, ok, text)
		}
	}
	if none := readNames("/nonexistent"); len(none.byID)+len(none.byName) > 0 {
		t.Errorf("%v", none)
	}
}
