package keyslot

import (
	"bytes"
	"context"
	"crypto/fips140"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"tokar/format"
)

// TestFIPSOnly runs itself again under fips140=only. A hang is a failure.
func TestFIPSOnly(t *testing.T) {
	if fips140.Enforced() {
		testUnderFIPS(t)
		return
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, self(t), "-test.run=^TestFIPSOnly$", "-test.v")
	cmd.Env = append(os.Environ(), "GODEBUG=fips140=only")
	out, err := cmd.CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("passphrase and HPKE work")) {
		t.Fatalf("%v\n%s", err, out)
	}
}

func testUnderFIPS(t *testing.T) {
	lists := func(text string) error {
		_, err := ParseRecipients(strings.NewReader(text), "f", nil)
		return err
	}
	ids := func(text string) error {
		_, err := ParseIdentities(strings.NewReader(text), "f", nil)
		return err
	}
	one := func(text string) error {
		_, err := ParseRecipient(text, nil)
		return err
	}
	keygen := func(generate func(time.Time) ([]byte, string, error)) error {
		_, _, err := generate(time.Now())
		return err
	}
	_, locking := Lock([]byte("x"), []byte("y"))
	for name, err := range map[string]error{
		"recipient": one("age1pq1qqq"), "ssh": one("ssh-rsa AAAA"), "recipients": lists("age1qqq"), "plugin": one("age1yubikey1qqq"),
		"identity": ids("AGE-SECRET-KEY-PQ-1QQQ"), "plugin identity": ids("AGE-PLUGIN-X-1QQQ"), "ssh identity": ids("-----BEGIN OPENSSH PRIVATE KEY-----"),
		"locked": ids("age-encryption.org/v1\n-> scrypt"), "locked, armored": ids("-----BEGIN AGE ENCRYPTED FILE-----"),
		"hybrid": keygen(GenerateHybrid), "x25519": keygen(GenerateX25519), "lock": locking,
	} {
		if err == nil || !strings.Contains(err.Error(), `use a key of "tokar keygen --hpke", or a passphrase`) {
			t.Errorf("%s: %v", name, err)
		}
	}
	p := NewPassphrase(func() ([]byte, error) { return []byte("short"), nil })
	p.Cost = MinCost
	slot := mustWrap(t, p, format.RoleRestore)
	opens(t, p, format.RoleRestore, format.Slot{Type: format.SlotAge, Role: format.RoleRestore}, slot)
	for _, kind := range HPKESuites() {
		file, text, err := GenerateHPKE(epoch, kind)
		if err != nil {
			t.Fatal(err)
		}
		shut, err := lockHPKE(file, []byte("short"), MinCost)
		if err != nil {
			t.Fatal(err)
		}
		slot := mustWrap(t, mustRecipient(t, text, nil), format.RoleVerify)
		opens(t, mustIdentity(t, file, nil), format.RoleVerify, slot)
		opens(t, mustIdentity(t, shut, (&asker{answer: "short"}).ui()), format.RoleVerify, slot)
	}
	t.Log("passphrase and HPKE work")
}
