package format

import (
	"context"
	"crypto/hmac"
	"errors"
	"fmt"
)

// Role tells which of the archive's keys a slot carries.
type Role byte

// The roles.
const (
	RoleRestore Role = 1 // tK: everything
	RoleVerify  Role = 2 // mK: lists and verifies, opens no wrapped payload
)

func (r Role) String() string {
	switch r {
	case RoleRestore:
		return "restore"
	case RoleVerify:
		return "verify"
	}
	return fmt.Sprintf("role %d", byte(r))
}

// SlotType tells how a slot's body is wrapped. A type that a reader does not
// know is skipped if another slot opens.
type SlotType uint16

// The slot types of version 1; those without a package are reserved.
const (
	SlotAge        SlotType = 1 // a small age file
	SlotPassphrase SlotType = 2 // PBKDF2 and AES-GCM
	SlotHPKE       SlotType = 3
	SlotPKCS11     SlotType = 4
	SlotCustodians SlotType = 5
)

func (t SlotType) String() string {
	switch t {
	case SlotAge:
		return "age"
	case SlotPassphrase:
		return "passphrase"
	case SlotHPKE:
		return "hpke"
	case SlotPKCS11:
		return "pkcs11"
	case SlotCustodians:
		return "custodians"
	}
	return fmt.Sprintf("type %d", uint16(t))
}

// A Slot carries tK or mK under a key of its own (etK in the words of KMU).
type Slot struct {
	Type SlotType
	Role Role
	Body []byte
}

// SlotKey is what a slot carries, and the archive it belongs to. A body binds
// role and archive, so that it opens in no other place.
type SlotKey struct {
	Role    Role
	Archive [32]byte // archive id
	Secret  []byte   // tK or mK, 32 bytes
	// Guessed: it was opened with what people choose. That a key is not the
	// one the archive commits to is then told as a wrong guess is, so that
	// nobody learns from the answer which of many guesses a slot was made for.
	Guessed bool
}

// ErrNotForMe: no slot is for this identity; try the next.
var ErrNotForMe = errors.New("no slot for this identity")

// ErrWrongPassphrase: no passphrase slot opens with what was entered, or not to
// the key that the archive commits to.
var ErrWrongPassphrase = fmt.Errorf("the passphrase is wrong: %w", ErrNotForMe)

// Recipient makes a slot.
type Recipient interface {
	Wrap(ctx context.Context, k SlotKey) (Slot, error)
}

// Identity opens a slot. It sees all of them at once, so that it can bound its
// work and ask for a passphrase once, and prefers one with tK. It returns
// ErrNotForMe where none is for it, any other error where going on to the next
// identity would be wrong.
type Identity interface {
	Unwrap(ctx context.Context, archive [32]byte, all []Slot) (SlotKey, error)
}

// slotSection is what stands between core and checksum: it can be replaced
// without touching a block.
type slotSection struct {
	generation uint32
	slots      []Slot
	mt, mm     [32]byte // over core hash, generation and slots: under tK, under mK
}

// body encodes generation and slots, what both MACs cover.
func (s *slotSection) body() []byte {
	b := be.AppendUint32(nil, s.generation)
	b = be.AppendUint16(b, uint16(len(s.slots)))
	for _, slot := range s.slots {
		b = be.AppendUint16(b, uint16(slot.Type))
		b = append(b, byte(slot.Role), 0)
		b = be.AppendUint32(b, uint32(len(slot.Body)))
		b = append(b, slot.Body...)
	}
	return b
}

// seal sets both MACs.
func (s *slotSection) seal(k *Keys, core [32]byte) {
	s.mt = slotMAC(k.slotMACt, core, s.body())
	s.mm = slotMAC(k.slotMACm, core, s.body())
}

// check compares the MACs that the keys at hand can make.
func (s *slotSection) check(k *Keys, core [32]byte) error {
	mm := slotMAC(k.slotMACm, core, s.body())
	ok := hmac.Equal(mm[:], s.mm[:])
	if k.Restores() {
		mt := slotMAC(k.slotMACt, core, s.body())
		ok = hmac.Equal(mt[:], s.mt[:]) && ok
	}
	if !ok {
		return badf(ErrAuthentic, "the slot section's MAC does not hold")
	}
	return nil
}

func slotMAC(key []byte, core [32]byte, body []byte) (sum [32]byte) {
	h := newHMAC(key)
	h.Write([]byte("tokar/1 slots\x00"))
	h.Write(core[:])
	h.Write(body)
	h.Sum(sum[:0])
	return sum
}

// decodeSlots reads generation, slots and MACs, and checks every bound. It
// returns what follows.
func decodeSlots(r *byteReader) (s slotSection, err error) {
	s.generation = r.u32()
	n := int(r.u16())
	if r.err == nil && (n == 0 || n > MaxSlots) {
		return s, badf(ErrMalformed, "%d key slots", n)
	}
	for range n {
		slot := Slot{Type: SlotType(r.u16()), Role: Role(r.u8())}
		reserved, length := r.u8(), r.u32()
		if r.err != nil {
			break
		}
		if reserved != 0 || length > MaxSlotBody || slot.Role != RoleRestore && slot.Role != RoleVerify {
			return s, badf(ErrMalformed, "a key slot with %s, %d bytes", slot.Role, length)
		}
		if slot.Body = r.bytes(int(length)); r.err != nil {
			break // salvage tries those before it
		}
		s.slots = append(s.slots, slot)
	}
	copy(s.mt[:], r.bytes(32))
	copy(s.mm[:], r.bytes(32))
	return s, r.err
}
