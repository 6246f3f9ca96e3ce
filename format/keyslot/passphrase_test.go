package keyslot

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"tokar/format"
)

func passphrase(text string) *Passphrase {
	p := NewPassphrase(func() ([]byte, error) { return []byte(text), nil })
	p.Cost = MinCost
	return p
}

func TestPassphrase(t *testing.T) {
	slot := mustWrap(t, passphrase("right"), format.RoleRestore)
	if len(slot.Body) != 96 || slot.Type != format.SlotPassphrase || slot.Role != format.RoleRestore {
		t.Fatalf("%v %v, %d bytes", slot.Type, slot.Role, len(slot.Body))
	}
	opens(t, passphrase("right"), format.RoleRestore, slot)

	t.Run("asked once", func(t *testing.T) {
		n := 0
		p := NewPassphrase(func() ([]byte, error) { n++; return []byte("right"), nil })
		_, err := unwrap(p)
		refused(t, err, format.ErrNotForMe)
		if n != 0 {
			t.Fatal("asked without a slot")
		}
		opens(t, p, format.RoleRestore, slot)
		opens(t, p, format.RoleRestore, slot)
		if n != 1 {
			t.Fatalf("asked %d times", n)
		}
	})
	t.Run("wrong", func(t *testing.T) {
		_, err := unwrap(passphrase("wr0ng"), slot)
		refused(t, err, format.ErrNotForMe)
		if strings.Contains(err.Error(), "wr0ng") {
			t.Fatal(err)
		}
	})
	t.Run("moved", func(t *testing.T) {
		_, err := passphrase("right").Unwrap(t.Context(), archiveB, []format.Slot{slot})
		refused(t, err, format.ErrNotForMe)
		moved := slot
		moved.Role = format.RoleVerify
		_, err = unwrap(passphrase("right"), moved)
		refused(t, err, format.ErrNotForMe)
	})
	t.Run("wipe", func(t *testing.T) {
		secret := []byte("right")
		p := NewPassphrase(func() ([]byte, error) { return secret, nil })
		opens(t, p, format.RoleRestore, slot)
		p.Wipe()
		if !bytes.Equal(secret, make([]byte, 5)) {
			t.Fatal("still there")
		}
		if _, err := unwrap(p, slot); err == nil || errors.Is(err, format.ErrNotForMe) {
			t.Fatal(err)
		}
	})
	t.Run("cancelled", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := passphrase("right").Unwrap(ctx, archiveA, []format.Slot{slot})
		refused(t, err, context.Canceled)
	})
}

func TestPassphraseRefused(t *testing.T) {
	t.Run("empty", func(t *testing.T) {
		if _, err := passphrase("").Wrap(t.Context(), keyOf(format.RoleRestore)); err == nil {
			t.Fatal("wrapped")
		}
		slot := mustWrap(t, passphrase("right"), format.RoleRestore)
		if _, err := unwrap(passphrase(""), slot); err == nil || errors.Is(err, format.ErrNotForMe) {
			t.Fatal(err)
		}
	})
	t.Run("asking fails", func(t *testing.T) {
		gone := errors.New("terminal gone")
		p := NewPassphrase(func() ([]byte, error) { return nil, gone })
		_, err := p.Wrap(t.Context(), keyOf(format.RoleRestore))
		refused(t, err, gone)
	})
	t.Run("cost of a new slot", func(t *testing.T) {
		for _, cost := range []uint32{1, MinCost - 1, MaxCost + 1, 1<<32 - 1} {
			p := passphrase("right")
			p.Cost = cost
			if _, err := p.Wrap(t.Context(), keyOf(format.RoleRestore)); err == nil {
				t.Errorf("%d accepted", cost)
			}
		}
	})
	t.Run("key length", func(t *testing.T) {
		if _, err := passphrase("right").Wrap(t.Context(), format.SlotKey{Secret: make([]byte, 33)}); err == nil {
			t.Fatal("wrapped 33 bytes")
		}
	})
}

// Whoever is refused here is refused before he is asked, so before PBKDF2.
func TestPassphraseBounds(t *testing.T) {
	good := mustWrap(t, passphrase("right"), format.RoleRestore)
	with := func(body []byte) format.Slot {
		return format.Slot{Type: format.SlotPassphrase, Role: format.RoleRestore, Body: body}
	}
	cost := func(c uint32) format.Slot {
		body := bytes.Clone(good.Body)
		binary.BigEndian.PutUint32(body[saltSize:], c)
		return with(body)
	}
	verify := good
	verify.Role = format.RoleVerify
	for name, slots := range map[string][]format.Slot{
		"two to restore": {good, good}, "two to verify": {verify, good, verify},
		"cost 0": {cost(0)}, "cost low": {cost(MinCost - 1)}, "cost high": {cost(MaxCost + 1)}, "cost max": {cost(1<<32 - 1)},
		"empty": {with(nil)}, "short": {with(good.Body[:95])}, "long": {with(append(bytes.Clone(good.Body), 0))},
		"a bad one beside": {good, {Type: format.SlotPassphrase, Role: format.RoleVerify}},
	} {
		t.Run(name, func(t *testing.T) {
			p := NewPassphrase(func() ([]byte, error) { t.Error("asked"); return nil, nil })
			_, err := unwrap(p, slots...)
			refused(t, err, format.ErrMalformed)
		})
	}
	for n := range good.Body {
		_, err := unwrap(passphrase("right"), with(good.Body[:n]))
		refused(t, err, format.ErrMalformed)
	}
}

// Every bit of the body. Salt and cost are under the seal too, so even with
// the right key (as if PBKDF2 gave it again) no other body opens.
func TestPassphraseBits(t *testing.T) {
	p := passphrase("right")
	good := mustWrap(t, p, format.RoleRestore)
	key, err := p.key(t.Context(), good.Body)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := openSealed(good.Body, key, format.RoleRestore, archiveA); err != nil {
		t.Fatal(err)
	}
	for i := range good.Body {
		for bit := range 8 {
			body := bytes.Clone(good.Body)
			body[i] ^= 1 << bit
			_, err := openSealed(body, key, format.RoleRestore, archiveA)
			refused(t, err, format.ErrNotForMe)
		}
		if i%8 == 0 && (i < saltSize || i >= costEnd) { // the whole way, as PBKDF2 takes its time
			bad := good
			bad.Body = bytes.Clone(good.Body)
			bad.Body[i] ^= 0x80
			_, err := unwrap(p, bad)
			refused(t, err, format.ErrNotForMe)
		}
	}
}

// The bytes, checked with python's hashlib and cryptography.
func TestPassphraseVector(t *testing.T) {
	p := passphrase("correct horse")
	p.Salt = bytes.NewReader(bytes.Repeat([]byte{0x5a}, 32))
	p.Nonces = func([]byte) [12]byte { return [12]byte{1, 2, 3} }
	slot := mustWrap(t, p, format.RoleVerify)
	if got := hex.EncodeToString(slot.Body); got != passphraseVector {
		t.Fatal(got)
	}
	opens(t, passphrase("correct horse"), format.RoleVerify, slot)
}

const passphraseVector = "5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a000186a001020300000000000000000071ffa28c7b928ef35fe3601f46413dc1b1444f1b1f656717e2ead6cb0ef07e996b30d88d5e9de8f62794befe6c071125"
