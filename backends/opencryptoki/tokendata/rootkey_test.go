package tokendata

import (
	"errors"
	"math/big"
	"os"
	"testing"

	"tokar/format/cryptoki"
)

const tpmFixtures = "../../../testdata/"

// attribute is the value of an attribute in a public object file.
func attribute(t *testing.T, file []byte, typ uint32) []byte {
	t.Helper()
	h := ParseObject(file, Old)
	order, _ := cryptoki.OrderOf(h.Body)
	for l := cryptoki.ObjectList(h.Body, order); l.Next(); {
		if l.Type == typ {
			return l.Value
		}
	}
	t.Fatal("no such attribute")
	return nil
}

func readAt(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The PEM files of a real TPM token open with their PINs, hold the keys that its
// objects name, and with them the leaf keys tell which PIN the TPM takes.
func TestRootKey(t *testing.T) {
	const was, now = tpmFixtures + "opencryptoki/tpmtok-old/", tpmFixtures + "pins/tpmtok-old-userpin-changed/"
	for _, c := range []struct{ dir, pem, root, leaf, pin, other string }{
		{was, "PUBLIC", "00000000", "30000000", "76543210", "01234567"},
		{was, "PRIVATE", "40000000", "70000000", "01234567", "76543210"},
		{now, "PRIVATE", "40000000", "O0000000", "11112222", "01234567"},
	} {
		file := readAt(t, c.dir+"root/"+c.pem+"_ROOT_KEY.pem")
		key, err := OpenRootKey(file, []byte(c.pin))
		if err != nil {
			t.Fatal(err)
		}
		if got := attribute(t, readAt(t, c.dir+"TOK_OBJ/"+c.root), cryptoki.CKA_MODULUS); key.N.Cmp(new(big.Int).SetBytes(got)) != 0 {
			t.Errorf("%s: another modulus than that of %s", c.pem, c.root)
		}
		leaf := attribute(t, readAt(t, c.dir+"TOK_OBJ/"+c.leaf), cryptoki.CKA_IBM_OPAQUE)
		for pin, want := range map[string]bool{c.pin: true, c.other: false} {
			if same, ok := LeafPIN(key, leaf, []byte(pin)); same != want || !ok {
				t.Errorf("%s %s: the leaf's PIN %v, %v", c.dir, c.leaf, same, ok)
			}
		}
		if _, ok := LeafPIN(key, leaf[:100], []byte(c.pin)); ok {
			t.Error("a cut TPM_KEY opens")
		}
		leaf[len(leaf)-1] ^= 1
		if _, ok := LeafPIN(key, leaf, []byte(c.pin)); ok {
			t.Error("a damaged TPM_KEY opens")
		}
		if _, err := OpenRootKey(file, []byte(c.other)); !errors.Is(err, ErrPIN) {
			t.Errorf("another PIN: %v", err)
		}
		for name, bad := range map[string][]byte{"cut": file[:len(file)/2], "empty": nil, "long": make([]byte, maxRootKey+1)} {
			if _, err := OpenRootKey(bad, []byte(c.pin)); !errors.Is(err, ErrDamaged) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}
