package keyslot

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"filippo.io/age"
	"filippo.io/age/plugin"
	"tokar/format"
)

func TestAgeSlot(t *testing.T) {
	x, xID := pair(t, GenerateX25519)
	other, otherID := pair(t, GenerateX25519)
	pq, pqID := pair(t, GenerateHybrid)
	mine := mustWrap(t, x, format.RoleRestore)

	t.Run("round trip", func(t *testing.T) {
		opens(t, xID, format.RoleRestore, mine)
		opens(t, pqID, format.RoleVerify, mine, mustWrap(t, pq, format.RoleVerify))
		opens(t, xID, format.RoleRestore, mustWrap(t, other, format.RoleRestore), mine)
	})
	t.Run("wrong key", func(t *testing.T) {
		_, err := unwrap(otherID, mine)
		refused(t, err, format.ErrNotForMe)
	})
	t.Run("no slots, other types", func(t *testing.T) {
		_, err := unwrap(xID)
		refused(t, err, format.ErrNotForMe)
		_, err = unwrap(xID, format.Slot{Type: 99, Role: format.RoleRestore, Body: mine.Body})
		refused(t, err, format.ErrNotForMe)
	})
	t.Run("another archive", func(t *testing.T) {
		_, err := xID.Unwrap(t.Context(), archiveB, []format.Slot{mine})
		refused(t, err, format.ErrAuthentic)
	})
	t.Run("another role", func(t *testing.T) {
		moved := mine
		moved.Role = format.RoleVerify
		_, err := unwrap(xID, moved)
		refused(t, err, format.ErrAuthentic)
	})
	t.Run("somebody else's damage", func(t *testing.T) {
		broken := format.Slot{Type: format.SlotAge, Role: format.RoleRestore, Body: []byte("age-enc")}
		odd := mine
		odd.Body = bytes.Replace(mine.Body, []byte("-> X25519 "), []byte("-> X25519 a "), 1)
		opens(t, xID, format.RoleRestore, broken, odd, mine)
	})
	t.Run("bounds", func(t *testing.T) {
		_, err := unwrap(xID, slices.Repeat([]format.Slot{mine}, format.MaxSlots+1)...)
		refused(t, err, format.ErrMalformed)
		big := mine
		big.Body = make([]byte, format.MaxSlotBody+1)
		_, err = unwrap(xID, big)
		refused(t, err, format.ErrMalformed)
	})
	t.Run("cancelled", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := xID.Unwrap(ctx, archiveA, []format.Slot{mine})
		refused(t, err, context.Canceled)
		_, err = x.Wrap(ctx, keyOf(format.RoleRestore))
		refused(t, err, context.Canceled)
	})
	t.Run("key length", func(t *testing.T) {
		k := keyOf(format.RoleRestore)
		k.Secret = k.Secret[:31]
		if _, err := x.Wrap(t.Context(), k); err == nil {
			t.Fatal("wrapped 31 bytes")
		}
	})
}

// Every bit and every length: nothing but the body as it was made opens.
func TestAgeSlotDamage(t *testing.T) {
	for name, generate := range generators {
		t.Run(name, func(t *testing.T) {
			to, id := pair(t, generate)
			slot := mustWrap(t, to, format.RoleRestore)
			for _, body := range damaged(slot.Body, name == "hybrid" || testing.Short()) {
				bad := slot
				bad.Body = body
				_, err := unwrap(id, bad)
				if !errors.Is(err, format.ErrNotForMe) && !errors.Is(err, format.ErrAuthentic) {
					t.Fatalf("got %v", err)
				}
			}
		})
	}
}

// damaged is b with every bit flipped (of every byte one, if sparse), cut at
// every length, and longer.
func damaged(b []byte, sparse bool) (all [][]byte) {
	for i := range b {
		for bit := range 8 {
			if !sparse || bit == i%8 {
				c := bytes.Clone(b)
				c[i] ^= 1 << bit
				all = append(all, c)
			}
		}
		if !sparse || i%8 == 0 {
			all = append(all, b[:i])
		}
	}
	return append(all, append(bytes.Clone(b), 0), append(bytes.Clone(b), b...))
}

// Bodies that others could make for us, with other plaintext.
func TestAgePlaintext(t *testing.T) {
	x, id := pair(t, GenerateX25519)
	k := keyOf(format.RoleRestore)
	good := append(appendPlace(nil, k.Role, k.Archive), k.Secret...)
	opens(t, id, format.RoleRestore, ageSlot(t, good, x.(*ageRecipient).to))

	suite := bytes.Clone(good)
	suite[len(slotText)+1] = 2
	for name, plain := range map[string][]byte{
		"empty": {}, "short": good[:len(good)-1], "long": append(bytes.Clone(good), 0),
		"huge": make([]byte, 50000), "secret alone": k.Secret, "suite": suite,
		"prefix": append([]byte("Tokar"), good[5:]...),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := unwrap(id, ageSlot(t, plain, x.(*ageRecipient).to))
			refused(t, err, format.ErrAuthentic)
		})
	}
	t.Run("armored", func(t *testing.T) {
		slot := ageSlot(t, good, x.(*ageRecipient).to)
		slot.Body = armored(t, slot.Body)
		_, err := unwrap(id, slot)
		refused(t, err, format.ErrNotForMe)
	})
}

// ageSlot is a restore slot with any plaintext to anybody.
func ageSlot(t testing.TB, plain []byte, to ...age.Recipient) format.Slot {
	t.Helper()
	var b bytes.Buffer
	w, err := age.Encrypt(&b, to...)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(plain); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return format.Slot{Type: format.SlotAge, Role: format.RoleRestore, Body: b.Bytes()}
}

// manyStanzas is a recipient with other stanzas before its own.
type manyStanzas struct {
	age.Recipient
	before age.Stanza
	n      int
}

func (m manyStanzas) Wrap(key []byte) ([]*age.Stanza, error) {
	s, err := m.Recipient.Wrap(key)
	return append(slices.Repeat([]*age.Stanza{&m.before}, m.n), s...), err
}

func TestAgeStanzas(t *testing.T) {
	x, id := pair(t, GenerateX25519)
	k := keyOf(format.RoleRestore)
	good := append(appendPlace(nil, k.Role, k.Archive), k.Secret...)
	to := x.(*ageRecipient).to
	grease := age.Stanza{Type: "grease"}
	scrypt := age.Stanza{Type: "scrypt", Args: []string{"AAAAAAAAAAAAAAAAAAAAAA", "20"}, Body: make([]byte, 32)}

	opens(t, id, format.RoleRestore, ageSlot(t, good, manyStanzas{to, grease, maxStanzas - 1}))
	for name, to := range map[string]age.Recipient{
		"too many": manyStanzas{to, grease, maxStanzas}, "scrypt": manyStanzas{to, scrypt, 1},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := unwrap(id, ageSlot(t, good, to))
			refused(t, err, format.ErrNotForMe)
			if _, err := (&ageRecipient{to: to}).Wrap(t.Context(), k); err == nil {
				t.Fatal("wrapped what no reader takes")
			}
		})
	}
	t.Run("scrypt alone", func(t *testing.T) {
		pass, err := age.NewScryptRecipient("secret")
		if err != nil {
			t.Fatal(err)
		}
		pass.SetWorkFactor(1)
		slot := ageSlot(t, good, pass)
		asked := 0
		ask := func(string) ([]byte, error) { asked++; return []byte("secret"), nil }
		file, _, _ := GenerateX25519(epoch)
		shut, err := lock(file, []byte("secret"), 1)
		if err != nil {
			t.Fatal(err)
		}
		for _, id := range []format.Identity{id, mustIdentity(t, shut, &UI{Passphrase: ask})} {
			_, err := unwrap(id, slot)
			refused(t, err, format.ErrNotForMe)
		}
		if asked != 0 {
			t.Fatal("asked for a passphrase because of a slot's scrypt stanza")
		}
	})
}

func TestPlugin(t *testing.T) {
	installPlugins(t)
	to := mustRecipient(t, plugin.EncodeRecipient("tokar", []byte("device 1")), nil)
	id := mustIdentity(t, []byte(plugin.EncodeIdentity("tokar", []byte("device 1"))), nil)
	x, xID := pair(t, GenerateX25519)
	slot := mustWrap(t, to, format.RoleRestore)
	opens(t, id, format.RoleRestore, mustWrap(t, x, format.RoleRestore), slot)
	_, err := unwrap(xID, slot)
	refused(t, err, format.ErrNotForMe)
	_, err = unwrap(id, mustWrap(t, x, format.RoleRestore))
	refused(t, err, format.ErrNotForMe)

	quantum := mustRecipient(t, plugin.EncodeRecipient("tokarpq", nil), nil)
	quantumID := mustIdentity(t, []byte(plugin.EncodeIdentity("tokarpq", nil)), nil)
	t.Run("labels", func(t *testing.T) {
		var m mix
		for _, r := range []format.Recipient{quantum, to} {
			if _, err := m.one(t.Context(), keyOf(format.RoleRestore), r); err != nil {
				t.Fatal(err)
			}
		}
		if err := m.check(); err == nil || !strings.Contains(err.Error(), "recipient age1tokarpq1") {
			t.Fatalf("got %v", err)
		}
	})
	t.Run("its errors", func(t *testing.T) {
		_, err := unwrap(quantumID, mustWrap(t, quantum, format.RoleRestore), slot)
		if err == nil || errors.Is(err, format.ErrNotForMe) || !strings.Contains(err.Error(), "tokarpq plugin: ") {
			t.Fatalf("got %v", err)
		}
	})
	t.Run("not there", func(t *testing.T) {
		absent := mustRecipient(t, plugin.EncodeRecipient("tokarabsent", nil), nil)
		_, err := absent.Wrap(t.Context(), keyOf(format.RoleRestore))
		if err == nil || !strings.Contains(err.Error(), `"tokarabsent" plugin not found`) {
			t.Fatalf("got %v", err)
		}
		id := mustIdentity(t, []byte(plugin.EncodeIdentity("tokarabsent", nil)), nil)
		if _, err = unwrap(id, slot); err == nil || !strings.Contains(err.Error(), "tokarabsent") {
			t.Fatalf("got %v", err)
		}
	})
	t.Run("asked last", func(t *testing.T) {
		file, own, _ := GenerateX25519(epoch)
		both := append([]byte(plugin.EncodeIdentity("tokarabsent", nil)+"\n"), file...)
		opens(t, mustIdentity(t, both, nil), format.RoleRestore,
			slot, mustWrap(t, mustRecipient(t, own, nil), format.RoleRestore))
	})
}
