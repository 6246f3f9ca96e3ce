package keyslot

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"strings"
	"testing"
	"time"

	"filippo.io/age/armor"
	"filippo.io/age/plugin"
	"golang.org/x/crypto/ssh"
	"tokar/format"
)

var epoch = time.Unix(0, 0).UTC()

var generators = map[string]func(time.Time) ([]byte, string, error){
	"x25519": GenerateX25519, "hybrid": GenerateHybrid,
}

func armored(t testing.TB, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := armor.NewWriter(&out)
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestNoPlugin(t *testing.T) {
	line := plugin.EncodeIdentity("x", nil)
	if _, err := ParseIdentities(strings.NewReader(line), "f", &UI{NoPlugin: true}); err == nil || strings.Contains(err.Error(), "malformed") {
		t.Errorf("got %v", err)
	}
	if _, err := ParseIdentities(strings.NewReader(line), "f", &UI{}); err != nil {
		t.Error(err)
	}
}

// asker answers and counts.
type asker struct {
	answer string
	n      int
	given  []byte
}

func (a *asker) ui() *UI {
	return &UI{Passphrase: func(string) ([]byte, error) {
		a.n++
		a.given = []byte(a.answer)
		return a.given, nil
	}}
}

func TestParseIdentitiesErrors(t *testing.T) {
	file, to, _ := GenerateX25519(epoch)
	ecKey, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	ec, err := ssh.MarshalPrivateKey(ecKey, "")
	if err != nil {
		t.Fatal(err)
	}
	toKey := ageSlot(t, nil, mustRecipient(t, to, nil).(*ageRecipient).to).Body
	for name, c := range map[string]struct{ text, want string }{
		"empty":          {"", "f: no secret key in it"},
		"wrong line":     {string(file) + "s3cr3t\n", "f: line 4: not a secret key"},
		"mistyped":       {string(file[:len(file)-3]), "f: line 3: malformed identity"},
		"mistyped pq":    {"AGE-SECRET-KEY-PQ-1QQQQQQQQ", "f: line 1: malformed identity"},
		"bad plugin":     {"AGE-PLUGIN-X-1QQQQQQQQ", "f: line 1: malformed identity"},
		"recipient":      {to, "f: line 1: this is a public key"},
		"SSH public key": {"ssh-ed25519 AAAA", "f: line 1: this is a public key"},
		"other SSH key":  {string(pem.EncodeToMemory(ec)), "ed25519 and RSA can"},
		"broken PEM":     {"-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA", "f: not a usable SSH private key"},
		"broken age":     {"age-encryption.org/v1\n-> scry", "f: a damaged locked identity file"},
		"broken armor":   {armor.Header + "\nAAAA", "f: a damaged locked identity file"},
		"age to a key":   {string(toKey), "f: an age file that no passphrase opens"},
		"too long":       {strings.Repeat("#", maxFile+1), "f: too long"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ParseIdentities(strings.NewReader(c.text), "f", nil)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestSeveralIdentities(t *testing.T) {
	a, toA, _ := GenerateX25519(epoch)
	b, toB, _ := GenerateHybrid(epoch)
	id := mustIdentity(t, append(a, b...), nil)
	verify := mustWrap(t, mustRecipient(t, toA, nil), format.RoleVerify)
	restore := mustWrap(t, mustRecipient(t, toB, nil), format.RoleRestore)
	opens(t, id, format.RoleVerify, verify)
	opens(t, id, format.RoleRestore, verify, restore) // tK first, whoever has it
}

func TestLockedIdentity(t *testing.T) {
	file, to, _ := GenerateHybrid(epoch)
	slot := mustWrap(t, mustRecipient(t, to, nil), format.RoleRestore)
	shut, err := lock(file, []byte("open sesame"), 1)
	if err != nil {
		t.Fatal(err)
	}
	bin, err := readBounded(armor.NewReader(bytes.NewReader(shut)), maxFile)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string][]byte{"armored": shut, "binary": bin} {
		t.Run(name, func(t *testing.T) {
			a := &asker{answer: "open sesame"}
			id := mustIdentity(t, text, a.ui())
			_, err := unwrap(id, format.Slot{Type: format.SlotPassphrase, Role: format.RoleRestore})
			refused(t, err, format.ErrNotForMe)
			if a.n != 0 {
				t.Fatal("asked without need")
			}
			opens(t, id, format.RoleRestore, slot)
			opens(t, id, format.RoleRestore, slot)
			if a.n != 1 || !bytes.Equal(a.given, make([]byte, len(a.answer))) {
				t.Fatalf("asked %d times; the answer is now %q", a.n, a.given)
			}
		})
	}
	t.Run("wrong passphrase", func(t *testing.T) {
		a := &asker{answer: "s3same"}
		id := mustIdentity(t, shut, a.ui())
		for range 2 {
			_, err := unwrap(id, slot, slot)
			refused(t, err, ErrPassphrase)
			if !strings.Contains(err.Error(), "test.key: wrong passphrase") || strings.Contains(err.Error(), a.answer) {
				t.Fatal(err)
			}
		}
		if a.n != 1 {
			t.Fatalf("asked %d times", a.n)
		}
	})
	t.Run("empty passphrase", func(t *testing.T) {
		_, err := unwrap(mustIdentity(t, shut, (&asker{}).ui()), slot)
		refused(t, err, ErrPassphrase)
		if _, err := Lock(file, nil); err == nil {
			t.Fatal("locked with nothing")
		}
	})
	t.Run("nobody to ask", func(t *testing.T) {
		_, err := unwrap(mustIdentity(t, shut, nil), slot)
		if err == nil || errors.Is(err, format.ErrNotForMe) || !strings.Contains(err.Error(), "test.key is locked") {
			t.Fatal(err)
		}
	})
	t.Run("cost", func(t *testing.T) {
		dear := bytes.Replace(bin, []byte(" 1\n"), []byte(" 21\n"), 1)
		_, err := unwrap(mustIdentity(t, dear, (&asker{answer: "x"}).ui()), slot)
		if err == nil || !strings.Contains(err.Error(), "work factor too large") {
			t.Fatal(err)
		}
	})
	t.Run("rubbish inside", func(t *testing.T) {
		shut, err := lock([]byte("hello\n"), []byte("x"), 1)
		if err != nil {
			t.Fatal(err)
		}
		_, err = unwrap(mustIdentity(t, shut, (&asker{answer: "x"}).ui()), slot)
		if err == nil || !strings.Contains(err.Error(), "test.key: line 1: not a secret key") {
			t.Fatal(err)
		}
	})
}

func TestSSH(t *testing.T) {
	edPub, ed, _ := ed25519.GenerateKey(rand.Reader)
	otherPub, other, _ := ed25519.GenerateKey(rand.Reader)
	r := rsaKey(t, 2048)
	for name, c := range map[string]struct {
		key any
		to  string
	}{"ed25519": {ed, authorized(t, edPub)}, "rsa": {r, authorized(t, &r.PublicKey)}} {
		t.Run(name, func(t *testing.T) {
			slot := mustWrap(t, mustRecipient(t, c.to, nil), format.RoleRestore)
			block, err := ssh.MarshalPrivateKey(c.key, "")
			if err != nil {
				t.Fatal(err)
			}
			opens(t, mustIdentity(t, pem.EncodeToMemory(block), nil), format.RoleRestore, slot)

			block, err = ssh.MarshalPrivateKeyWithPassphrase(c.key, "", []byte("right"))
			if err != nil {
				t.Fatal(err)
			}
			shut := pem.EncodeToMemory(block)
			a := &asker{answer: "right"}
			id := mustIdentity(t, shut, a.ui())
			_, err = unwrap(id, mustWrap(t, mustRecipient(t, authorized(t, otherPub), nil), format.RoleRestore))
			refused(t, err, format.ErrNotForMe)
			if a.n != 0 {
				t.Fatal("asked because of another's slot")
			}
			opens(t, id, format.RoleRestore, slot)
			opens(t, id, format.RoleRestore, slot)
			if a.n != 1 {
				t.Fatalf("asked %d times", a.n)
			}
			_, err = unwrap(mustIdentity(t, shut, (&asker{answer: "wrong"}).ui()), slot)
			refused(t, err, ErrPassphrase)
		})
	}
	t.Run("wrong key", func(t *testing.T) {
		block, err := ssh.MarshalPrivateKey(other, "")
		if err != nil {
			t.Fatal(err)
		}
		_, err = unwrap(mustIdentity(t, pem.EncodeToMemory(block), nil),
			mustWrap(t, mustRecipient(t, authorized(t, edPub), nil), format.RoleRestore))
		refused(t, err, format.ErrNotForMe)
	})
	t.Run("old form", func(t *testing.T) {
		//lint:ignore SA1019 old keys are still about
		block, err := x509.EncryptPEMBlock(rand.Reader, "RSA PRIVATE KEY", //nolint:staticcheck
			x509.MarshalPKCS1PrivateKey(r), []byte("right"), x509.PEMCipherAES256)
		if err != nil {
			t.Fatal(err)
		}
		shut := pem.EncodeToMemory(block)
		slot := mustWrap(t, mustRecipient(t, authorized(t, &r.PublicKey), nil), format.RoleRestore)
		ui := (&asker{answer: "right"}).ui()
		if _, err := ParseIdentities(bytes.NewReader(shut), "k", ui); err == nil || !strings.Contains(err.Error(), "k.pub") {
			t.Fatal(err)
		}
		ui.PublicKey = func(string) ([]byte, error) { return []byte(authorized(t, &r.PublicKey)), nil }
		opens(t, mustIdentity(t, shut, ui), format.RoleRestore, slot)

		wrong := rsaKey(t, 2048)
		ui.PublicKey = func(string) ([]byte, error) { return []byte(authorized(t, &wrong.PublicKey)), nil }
		_, err = unwrap(mustIdentity(t, shut, ui), mustWrap(t, mustRecipient(t, authorized(t, &wrong.PublicKey), nil), format.RoleRestore))
		if err == nil || !strings.Contains(err.Error(), "belongs to another key") {
			t.Fatal(err)
		}
	})
}
