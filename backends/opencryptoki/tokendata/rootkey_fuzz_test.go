package tokendata

import (
	"os"
	"testing"
)

// FuzzRootKey opens PEM files and TPM_KEYs of any kind with any PIN: what opens
// is bounded, and nothing panics.
func FuzzRootKey(f *testing.F) {
	const dir = tpmFixtures + "opencryptoki/tpmtok-old/"
	for _, name := range []string{"PUBLIC", "PRIVATE"} {
		file, err := os.ReadFile(dir + "root/" + name + "_ROOT_KEY.pem")
		if err != nil {
			f.Fatal(err)
		}
		f.Add(file, []byte("01234567"), make([]byte, 559))
		f.Add(file, []byte{}, []byte{})
	}
	f.Add([]byte("-----BEGIN RSA PRIVATE KEY-----\nDEK-Info: AES-256-CBC,00\n\nAAAA\n-----END RSA PRIVATE KEY-----\n"), []byte("1"), []byte{0, 0, 1, 0})
	f.Fuzz(func(t *testing.T, file, pin, tpmKey []byte) {
		key, err := OpenRootKey(file, pin)
		if (key == nil) == (err == nil) {
			t.Fatalf("%v, %v", key, err)
		}
		if err != nil {
			return
		}
		if key.N.BitLen() > maxRootBits {
			t.Errorf("a key of %d bits", key.N.BitLen())
		}
		LeafPIN(key, tpmKey, pin)
	})
}
