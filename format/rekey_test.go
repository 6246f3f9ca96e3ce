package format

import (
	"bytes"
	"errors"
	"hash/crc32"
	"math"
	"testing"
)

func aSlot(role Role, size int) Slot {
	return Slot{Type: SlotAge, Role: role, Body: bytes.Repeat([]byte{7}, size)}
}

// madeHeader is a header, the keys that it was made of and those it opens to.
func madeHeader(t *testing.T, slots ...Slot) (*Header, *Keys) {
	t.Helper()
	k, err := GenerateKeys()
	if err != nil {
		t.Fatal(err)
	}
	h, err := NewHeader(k, slots)
	if err != nil {
		t.Fatal(err)
	}
	return h, k
}

func openAs(t *testing.T, h *Header, k *Keys, role Role) (*Keys, error) {
	t.Helper()
	s := k.SlotKey(role)
	s.Secret = bytes.Clone(s.Secret)
	return h.Open(s, nil)
}

// mustReopen reads a header's own bytes and opens them in both roles.
func mustReopen(t *testing.T, h *Header, k *Keys) *Header {
	t.Helper()
	again, err := ReadHeader(bytes.NewReader(h.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	for _, role := range []Role{RoleRestore, RoleVerify} {
		if _, err := openAs(t, again, k, role); err != nil {
			t.Fatalf("as %s: %v", role, err)
		}
	}
	return again
}

// Rekey keeps the core byte for byte, unknown fields too, so that frames sealed
// before open after; slots and generation are new.
func TestRekey(t *testing.T) {
	h, k := madeHeader(t, aSlot(RoleRestore, 10), aSlot(RoleVerify, 5))
	core := append(h.encodeCore(), 200, 0, 3, 'n', 'e', 'w') // a skippable field
	be.PutUint16(core[coreFixed-2:], 6)
	if err := h.assemble(core, k, h.Slots); err != nil {
		t.Fatal(err)
	}
	h = mustReopen(t, h, k)
	f := FrameHeader{Kind: DataBlock, Last: true}
	raw, err := h.SealFrame(nil, k, f, []byte("body"))
	if err != nil {
		t.Fatal(err)
	}
	for generation, slots := range [][]Slot{
		1: {aSlot(RoleRestore, 1000), aSlot(RoleRestore, 0), aSlot(RoleVerify, MaxSlotBody)},
		2: {aSlot(RoleRestore, 0)},
		3: {aSlot(RoleVerify, 3), aSlot(RoleRestore, 3)},
	} {
		if generation == 0 {
			continue
		}
		next, err := h.Rekey(k, slots)
		if err != nil {
			t.Fatal(err)
		}
		next = mustReopen(t, next, k)
		switch {
		case next.Generation != uint32(generation) || len(next.Slots) != len(slots):
			t.Fatalf("generation %d with %d slots", next.Generation, len(next.Slots))
		case next.core != h.core || !bytes.Contains(next.Bytes(), core):
			t.Fatal("another core")
		}
		frame, _, err := next.ReadFrame(bytes.NewReader(raw), nil)
		if err != nil {
			t.Fatal(err)
		}
		if body, err := next.OpenFrame(nil, k, &frame); err != nil || string(body) != "body" {
			t.Fatalf("a frame sealed before: %q, %v", body, err)
		}
		h = next
	}
}

func TestRekeyRefused(t *testing.T) {
	h, k := madeHeader(t, aSlot(RoleRestore, 10))
	verifier, err := openAs(t, h, k, RoleVerify)
	if err != nil {
		t.Fatal(err)
	}
	many := make([]Slot, MaxSlots+1)
	for i := range many {
		many[i] = aSlot(RoleRestore, 0)
	}
	large := make([]Slot, 17)
	for i := range large {
		large[i] = aSlot(RoleRestore, MaxSlotBody)
	}
	last := *h
	last.Generation = math.MaxUint32
	for name, c := range map[string]struct {
		h     *Header
		keys  *Keys
		slots []Slot
		class error
	}{
		"a verifier's keys":   {h, verifier, h.Slots, ErrNoKey},
		"no slot":             {h, k, nil, nil},
		"nobody restores":     {h, k, []Slot{aSlot(RoleVerify, 1)}, nil},
		"65 slots":            {h, k, many, nil},
		"more than 1 MiB":     {h, k, large, nil},
		"the last generation": {&last, k, h.Slots, nil},
	} {
		next, err := c.h.Rekey(c.keys, c.slots)
		if err == nil || next != nil || c.class != nil && !errors.Is(err, c.class) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if next, err := h.Rekey(k, many[1:]); err != nil || len(next.Slots) != MaxSlots {
		t.Errorf("64 slots: %v", err)
	}
	last.Generation--
	if next, err := last.Rekey(k, h.Slots); err != nil || next.Generation != math.MaxUint32 {
		t.Errorf("the last generation but one: %v", err)
	}
}

// Each bit of a slot section counts, though its checksum is made anew: to a
// restorer all of it, to a verifier all but M_t.
func TestSlotSectionBits(t *testing.T) {
	old, k := madeHeader(t, aSlot(RoleRestore, 10), aSlot(RoleVerify, 3))
	h, err := old.Rekey(k, []Slot{aSlot(RoleRestore, 20), aSlot(RoleVerify, 9), {Type: 99, Role: RoleRestore}})
	if err != nil {
		t.Fatal(err)
	}
	from, to := preamble+h.coreSize, len(h.raw)-4
	mt := to - 64
	for i := 8 * from; i < 8*to; i++ {
		b := bytes.Clone(h.raw)
		b[i/8] ^= 1 << (i % 8)
		be.PutUint32(b[to:], crc32.Checksum(b[:to], castagnoli))
		flipped, err := ReadHeader(bytes.NewReader(b))
		if err != nil {
			if !errors.Is(err, ErrMalformed) {
				t.Fatalf("bit %d: %v", i, err)
			}
			continue
		}
		if _, err := openAs(t, flipped, k, RoleRestore); !errors.Is(err, ErrAuthentic) {
			t.Fatalf("bit %d as a restorer: %v", i, err)
		}
		_, err = openAs(t, flipped, k, RoleVerify)
		if unseen := i/8 >= mt && i/8 < mt+32; unseen != (err == nil) {
			t.Fatalf("bit %d as a verifier: %v", i, err)
		}
	}
}
