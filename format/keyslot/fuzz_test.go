package keyslot

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	"filippo.io/age"
	"tokar/format"
)

// knownClass: whatever stands in a slot, the answer is a key for this place or
// one of these.
func knownClass(t *testing.T, k format.SlotKey, role format.Role, err error) {
	t.Helper()
	switch {
	case err == nil:
		if k.Role != role || k.Archive != archiveA || len(k.Secret) != 32 {
			t.Fatalf("opened to %+v", k)
		}
	case !errors.Is(err, format.ErrNotForMe) && !errors.Is(err, format.ErrAuthentic) && !errors.Is(err, format.ErrMalformed):
		t.Fatalf("an error of no class: %v", err)
	}
}

func FuzzAgeSlot(f *testing.F) {
	x, _ := pair(f, GenerateX25519)
	file, pq, err := GenerateHybrid(epoch)
	if err != nil {
		f.Fatal(err)
	}
	id := mustIdentity(f, file, nil)
	to := mustRecipient(f, pq, nil)
	good := mustWrap(f, to, format.RoleRestore)
	scrypt := age.Stanza{Type: "scrypt", Args: []string{"AAAAAAAAAAAAAAAAAAAAAA", "30"}, Body: make([]byte, 32)}
	many := manyStanzas{to.(*ageRecipient).to, age.Stanza{Type: "grease", Args: []string{"a", "b"}}, 5}
	for _, body := range [][]byte{
		good.Body, mustWrap(f, x, format.RoleVerify).Body, good.Body[:200], nil,
		ageSlot(f, []byte("tokar/1 slot\x00"), to.(*ageRecipient).to).Body,
		ageSlot(f, nil, manyStanzas{to.(*ageRecipient).to, scrypt, 1}).Body,
		ageSlot(f, make([]byte, plainSize), many).Body,
		[]byte("age-encryption.org/v1\n-> X25519 AAAA\n\n--- AAAA\n"),
		[]byte("age-encryption.org/v1\n-> mlkem768x25519\n\n--- AAAA\n"),
		[]byte("age-encryption.org/v1\n-> scrypt AAAAAAAAAAAAAAAAAAAAAA 30\n\n--- AAAA\n"),
	} {
		f.Add(body, byte(format.RoleRestore))
	}
	f.Add(good.Body, byte(format.RoleVerify))
	f.Fuzz(func(t *testing.T, body []byte, role byte) {
		slot := format.Slot{Type: format.SlotAge, Role: format.Role(role), Body: body}
		k, err := unwrap(id, slot)
		knownClass(t, k, slot.Role, err)
	})
}

// FuzzHPKESlot has an identity of each kind.
func FuzzHPKESlot(f *testing.F) {
	var ids []format.Identity
	for _, s := range hpkeSuites {
		to, id := pair(f, generateHPKE(s.name))
		ids = append(ids, id)
		body := mustWrap(f, to, format.RoleRestore).Body
		for _, b := range [][]byte{body, body[:len(body)-1], append(bytes.Clone(body), 0), body[:2]} {
			f.Add(b, byte(format.RoleRestore))
		}
		f.Add(body, byte(format.RoleVerify))
	}
	f.Add([]byte{0, 0x51, 1}, byte(format.RoleRestore))
	f.Add([]byte{}, byte(format.RoleRestore))
	f.Fuzz(func(t *testing.T, body []byte, role byte) {
		slot := format.Slot{Type: format.SlotHPKE, Role: format.Role(role), Body: body}
		for _, id := range ids {
			k, err := unwrap(id, slot)
			knownClass(t, k, slot.Role, err)
		}
		Describe(slot)
	})
}

// FuzzHPKEKeyText: a key has one text.
func FuzzHPKEKeyText(f *testing.F) {
	for _, s := range hpkeSuites {
		key, err := s.kem.DeriveKeyPair(make([]byte, 32))
		if err != nil {
			f.Fatal(err)
		}
		file, to, err := s.file(epoch, key)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(to)
		f.Add(to[:len(to)-1])
		f.Add(strings.Fields(string(file))[7])
		f.Add(s.secretPrefix())
	}
	f.Fuzz(func(t *testing.T, text string) {
		if r, err := parseHPKERecipient(text); err == nil && encodeKey(r.suite.publicPrefix(), lowerBase32, r.to.Bytes()) != text {
			t.Fatal("another text of a public key")
		}
		k, err := parseHPKEIdentity(text)
		if err != nil {
			return
		}
		if b, err := k.key.Bytes(); err != nil || encodeKey(k.suite.secretPrefix(), upperBase32, b) != text {
			t.Fatal("another text of a secret key", err)
		}
	})
}

// FuzzPassphraseSlot leaves PBKDF2 out: its result is the same key for all.
func FuzzPassphraseSlot(f *testing.F) {
	key := make([]byte, 32)
	head := binary.BigEndian.AppendUint32(make([]byte, saltSize), MinCost)
	body, err := (&Passphrase{}).seal(head, key, keyOf(format.RoleRestore))
	if err != nil {
		f.Fatal(err)
	}
	cheap := bytes.Clone(body)
	cheap[saltSize+1] = 0
	for _, b := range [][]byte{body, cheap, body[:95], append(bytes.Clone(body), 0), nil} {
		f.Add(b, byte(format.RoleRestore), true)
		f.Add(b, byte(format.RoleVerify), false)
	}
	f.Fuzz(func(t *testing.T, body []byte, role byte, twice bool) {
		slots := []format.Slot{{Type: format.SlotPassphrase, Role: format.Role(role), Body: body}}
		if twice {
			slots = append(slots, slots[0])
		}
		bodies, err := passphraseBodies(slots)
		if err == nil && twice {
			t.Fatal("two slots of one role")
		}
		knownClass(t, keyOf(format.Role(role)), format.Role(role), err)
		if err != nil {
			return
		}
		k, err := openSealed(bodies[format.Role(role)], key, format.Role(role), archiveA)
		knownClass(t, k, format.Role(role), err)
	})
}

// FuzzKeyFiles: text that people keep, as recipients and as identities.
func FuzzKeyFiles(f *testing.F) {
	file, to, err := GenerateX25519(epoch)
	if err != nil {
		f.Fatal(err)
	}
	shut, err := lock(file, []byte("x"), 1)
	if err != nil {
		f.Fatal(err)
	}
	h, toH, err := GenerateHPKE(epoch, "p256")
	if err != nil {
		f.Fatal(err)
	}
	shutH, err := lockHPKE(h, []byte("x"), MinCost)
	if err != nil {
		f.Fatal(err)
	}
	for _, text := range [][]byte{
		file, shut, []byte(to), h, shutH, []byte(toH), []byte("age1yubikey1q\r\n# c\n"), []byte("AGE-PLUGIN-X-1QQQQQQQQ"),
		[]byte(`no-pty,from="a b" ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDDZ ann`), []byte("ssh-rsa AAAAB3NzaC1yc2E= x"),
		[]byte("-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nAAAA\n-----END RSA PRIVATE KEY-----\n"),
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if all, err := ParseRecipients(bytes.NewReader(text), "f", nil); err == nil && len(all) == 0 {
			t.Fatal("neither recipients nor an error")
		}
		if id, err := ParseIdentities(bytes.NewReader(text), "f", nil); err == nil && len(id.(identities)) == 0 {
			t.Fatal("neither identities nor an error")
		}
	})
}
