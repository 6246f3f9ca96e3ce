package stages

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/pbkdf2"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"math/bits"
	"testing"

	"tokar/format"
	"tokar/format/keyslot"
)

// AES-GCM commits to no key: one ciphertext may open under two. Here is one that
// does, as a passphrase slot, to show that such a slot is of no use (partitioning
// oracles, Len, Grubbs, Ristenpart 2021).

// An element of GF(2^128) as GCM has them (SP 800-38D, section 6.3): the first
// bit is the coefficient of 1.
type element struct{ hi, lo uint64 }

func elementOf(b []byte) element {
	var whole [16]byte
	copy(whole[:], b)
	return element{binary.BigEndian.Uint64(whole[:]), binary.BigEndian.Uint64(whole[8:])}
}

func (a element) bytes() []byte { return join(u64(a.hi), u64(a.lo)) }

func (a element) plus(b element) element { return element{a.hi ^ b.hi, a.lo ^ b.lo} }

func (a element) times(b element) (sum element) {
	for i := range 128 {
		word := a.hi
		if i >= 64 {
			word = a.lo
		}
		if bits.Reverse64(word)>>(i%64)&1 == 1 {
			sum = sum.plus(b)
		}
		carry := b.lo & 1
		b = element{b.hi >> 1, b.lo>>1 | b.hi<<63}
		if carry == 1 {
			b.hi ^= 0xe1 << 56
		}
	}
	return sum
}

// inverse is a^(2^128-2).
func (a element) inverse() element {
	sum := element{1 << 63, 0}
	for range 127 {
		a = a.times(a)
		sum = sum.times(a)
	}
	return sum
}

// gcm is what makes a tag under one key: H, and the mask for a nonce.
type gcm struct{ h, mask element }

func newGCM(t *testing.T, key, nonce []byte) gcm {
	t.Helper()
	block, err := aes.NewCipher(key)
	if err != nil {
		t.Fatal(err)
	}
	var h, mask [16]byte
	block.Encrypt(h[:], h[:])
	block.Encrypt(mask[:], join(nonce, u32(1)))
	return gcm{elementOf(h[:]), elementOf(mask[:])}
}

// tag is GHASH over additional data and ciphertext, masked.
func (g gcm) tag(aad, text []byte) (sum element) {
	for _, part := range [][]byte{aad, text} {
		for len(part) > 0 {
			n := min(16, len(part))
			sum = sum.plus(elementOf(part[:n])).times(g.h)
			part = part[n:]
		}
	}
	return sum.plus(element{uint64(len(aad)) * 8, uint64(len(text)) * 8}).times(g.h).plus(g.mask)
}

// collide gives 32 bytes of ciphertext and a tag that hold under both keys. The
// tags differ by a sum that is linear in the first block: solve for it.
func collide(a, b gcm, aad []byte) []byte {
	text := make([]byte, 32)
	copy(text[16:], "any other block.")
	power := func(g gcm) element { return g.h.times(g.h).times(g.h) } // two blocks follow, the lengths among them
	apart := a.tag(aad, text).plus(b.tag(aad, text))
	first := apart.times(power(a).plus(power(b)).inverse())
	copy(text, first.bytes())
	return join(text, a.tag(aad, text).bytes())
}

func TestCollidingPassphrases(t *testing.T) {
	const one, two = "correct horse", "battery staple"
	id, tK, mK, _ := fixedKeys("collision")
	salt, nonce := bytes.Repeat([]byte{7}, 32), []byte("twelve bytes")
	head := join(salt, u32(keyslot.MinCost))
	aad := join([]byte("tokar/1 passphrase\x00\x00\x01"), id[:], []byte{1}, head)
	gcmOf := func(passphrase string) gcm {
		key, err := pbkdf2.Key(sha256.New, passphrase, salt, keyslot.MinCost, 32)
		if err != nil {
			t.Fatal(err)
		}
		return newGCM(t, key, nonce)
	}
	slot := format.Slot{Type: format.SlotPassphrase, Role: format.RoleRestore, Body: join(head, nonce, collide(gcmOf(one), gcmOf(two), aad))}
	passphrase := func(text string) *keyslot.Passphrase {
		return keyslot.NewPassphrase(func() ([]byte, error) { return []byte(text), nil })
	}
	var opened [][]byte
	for _, text := range []string{one, two} {
		k, err := passphrase(text).Unwrap(t.Context(), id, []format.Slot{slot})
		if err != nil {
			t.Fatalf("the slot does not open with %q: %v", text, err)
		}
		opened = append(opened, k.Secret)
	}
	if bytes.Equal(opened[0], opened[1]) {
		t.Fatal("both open to the same")
	}
	if _, err := passphrase("neither").Unwrap(t.Context(), id, []format.Slot{slot}); !errors.Is(err, format.ErrNotForMe) {
		t.Fatalf("it opens with anything: %v", err)
	}

	o := archiveOptions()
	o.Keys = func() (*format.Keys, error) { return format.NewKeys(id, tK[:], mK[:], nil) }
	o.Slots = func(ctx context.Context, keys *format.Keys) ([]format.Slot, error) { return []format.Slot{slot}, nil }
	b := archive(t, newMemory(madeToken("one", 3, 20)), o, "one")
	answers := map[string]bool{}
	for _, text := range []string{one, two, "neither"} {
		_, err := Verify(t.Context(), stream(b), opening(passphrase(text)))
		if !errors.Is(err, format.ErrNoKey) || refused(err) != nil {
			t.Errorf("%q: %v", text, err)
		}
		answers[err.Error()] = true
	}
	if len(answers) != 1 {
		t.Errorf("the answers tell which passphrases the slot was made for: %v", answers)
	}
}
