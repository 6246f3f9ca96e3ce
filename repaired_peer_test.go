package main_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// TestPeerRepaired shows openCryptoki a token with one flipped bit in its first
// private object, which hides all that follow, and the same after tokar repair:
// all are there again, and every key signs.
func TestPeerRepaired(t *testing.T) {
	needPeer(t, "pkcsslotd", "pkcsconf", "pkcs11-tool", "openssl", "unshare", "systemd-tmpfiles")
	if os.Getuid() != 0 {
		t.Skip("needs root, for namespaces of its own")
	}
	home := t.TempDir()
	tokar := buildTokar(t)
	must := func(args ...string) {
		t.Helper()
		if out, err := exec.Command(tokar, args...).CombinedOutput(); err != nil {
			t.Fatalf("tokar %q: %v\n%s", args, err, out)
		}
	}
	const pin = "01234567"
	whole, damaged, repaired := filepath.Join(home, "whole"), filepath.Join(home, "damaged"), filepath.Join(home, "repaired")
	place(t, restored["swtok"], whole)
	key, archive := filepath.Join(home, "key"), filepath.Join(home, "archive")
	must("keygen", "-q", "--x25519", "-o", key)
	must("create", "-q", "-R", key+".pub", "-f", archive, whole)
	cloneTree(t, whole, damaged)
	for _, name := range objectNames(t, damaged) {
		path := filepath.Join(damaged, "TOK_OBJ", name)
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if b[4] == 1 { // private
			b[60] ^= 1
			if err := os.WriteFile(path, b, 0); err != nil {
				t.Fatal(err)
			}
			break
		}
	}
	cloneTree(t, damaged, repaired)
	pinFile := filepath.Join(home, "pin")
	if err := os.WriteFile(pinFile, []byte(pin), 0o600); err != nil {
		t.Fatal(err)
	}
	must("repair", "-q", "-i", key, "-f", archive, "-C", home, "--as", "repaired", "--pin", "file:"+pinFile, "whole")

	out, err := exec.Command("testdata/peers/opencryptoki.sh", "signs", tokar, t.TempDir(), pin, whole, damaged, repaired).CombinedOutput()
	if err != nil {
		t.Fatalf("signs: %v\n%s", err, out)
	}
	objects, signed := map[string]int{}, map[string]string{}
	for line := range strings.Lines(string(out)) {
		if word := strings.Fields(line); len(word) == 3 {
			objects[word[2]], _ = strconv.Atoi(word[0])
			signed[word[2]] = word[1]
		}
	}
	n, k := objects[whole], objects[damaged]
	t.Logf("the library shows %d objects of %d, and after the repair %d; signatures %s, %s, %s", k, n, objects[repaired], signed[whole], signed[damaged], signed[repaired])
	if n == 0 || k >= n-1 {
		t.Errorf("the damage hides nothing but itself: %d of %d objects", k, n)
	}
	if objects[repaired] != n || signed[repaired] != signed[whole] || signed[whole] == "0" {
		t.Errorf("repaired: %d objects, signatures %s; whole: %d, %s", objects[repaired], signed[repaired], n, signed[whole])
	}
}
