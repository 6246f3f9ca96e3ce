package format

import (
	"bytes"
	"errors"
	"testing"
)

// A header without its checksum is bounded as any other, and opens with nothing
// but the key that it commits to.
func FuzzDamagedHeader(f *testing.F) {
	eachVector(f, func(v openedVector) { f.Add(v.raw[:min(len(v.raw), 4096)]) })
	f.Add([]byte(Magic))
	f.Fuzz(func(t *testing.T, b []byte) {
		var h *Header
		var err error
		bounded(t, uint64(8*len(b))+3<<20, func() { h, err = DamagedHeader(b) })
		whole, werr := ReadHeader(bytes.NewReader(b))
		if like := LikeHeader(b); !like && (err == nil || werr == nil) {
			t.Fatal("it does not look like a header")
		}
		if err != nil {
			return
		}
		var secret [32]byte
		if _, _, err := h.OpenDamaged(SlotKey{Role: RoleRestore, Archive: h.Archive, Secret: secret[:]}, nil); err == nil {
			t.Fatal("a key of zeros opens it")
		}
		if werr == nil && (whole.core != h.core || len(whole.Slots) != len(h.Slots)) {
			t.Fatal("another header than the whole one")
		}
	})
}

// A slot section that was changed is told, and its key is the archive's all the
// same; what commits to another key opens nothing.
func TestOpenDamaged(t *testing.T) {
	keys, err := GenerateKeys()
	if err != nil {
		t.Fatal(err)
	}
	key := func() SlotKey {
		k := keys.SlotKey(RoleRestore)
		k.Secret = bytes.Clone(k.Secret)
		return k
	}
	h, err := NewHeader(keys, []Slot{{Type: 0x7777, Role: RoleRestore, Body: []byte("any")}})
	if err != nil {
		t.Fatal(err)
	}
	b := bytes.Clone(h.Bytes())
	b[len(b)-4-64-1] ^= 1 // the slot's body
	damaged, err := DamagedHeader(b)
	if err != nil {
		t.Fatal(err)
	}
	if _, section, err := damaged.OpenDamaged(key(), nil); err != nil || !errors.Is(section, ErrAuthentic) {
		t.Errorf("%v, %v", section, err)
	}
	if _, err := damaged.Open(key(), nil); !errors.Is(err, ErrAuthentic) {
		t.Errorf("opened: %v", err)
	}
	if _, section, err := h.OpenDamaged(key(), nil); err != nil || section != nil {
		t.Errorf("%v, %v", section, err)
	}
	other := key()
	other.Secret[0] ^= 1
	if _, _, err := h.OpenDamaged(other, nil); !errors.Is(err, ErrAuthentic) {
		t.Errorf("another key: %v", err)
	}
}
