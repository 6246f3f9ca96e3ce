package format

import (
	"bytes"
	"errors"
)

// What salvage needs beyond reading: frames and headers where nobody says that
// there are any, and headers that are not whole.

// FrameHead is how many bytes of a frame tell how long it is.
const FrameHead = frameHead

// FrameStart is what every frame of the archive begins with.
func (h *Header) FrameStart() []byte {
	return append([]byte(FrameMagic), h.Archive[:8]...)
}

// FrameLength is the length of the whole frame that begins with head, as it says
// itself; 0 if that is out of bounds.
func FrameLength(head []byte) int64 {
	length := be.Uint32(head[28:])
	if length > maxSealed || length < sealOverhead-12 {
		return 0
	}
	return frameHead + 12 + int64(length) + 4
}

// HeaderForm is how many bytes LikeHeader looks at, at most.
const HeaderForm = preamble + coreFixed + MaxExtensions + 6 + 8

// LikeHeader says whether what begins b has the form of a header up to its first
// slot. It costs little.
func LikeHeader(b []byte) bool {
	if !bytes.HasPrefix(b, []byte(Magic)) || len(b) < preamble {
		return false
	}
	r := &byteReader{b: b[preamble:min(len(b), HeaderForm)]}
	version, suite := r.u16(), r.u16()
	r.bytes(coreFixed - 2 - 2 - 2)
	n := r.u16()
	r.bytes(int(n))
	r.u32()
	slots := r.u16()
	r.u16()
	role, reserved, length := Role(r.u8()), r.u8(), r.u32()
	return r.err == nil && version == Version && suite == Suite && n <= MaxExtensions && slots > 0 && slots <= MaxSlots &&
		(role == RoleRestore || role == RoleVerify) && reserved == 0 && length <= MaxSlotBody
}

// DamagedHeader reads what is left of a header that stands at the beginning of
// b, whose length or checksum may be wrong: the core, and the slots before the
// first that contradicts itself. Nothing of it is to be believed before
// OpenDamaged.
func DamagedHeader(b []byte) (*Header, error) {
	if !bytes.HasPrefix(b, []byte(Magic)) || len(b) < preamble {
		return nil, ErrNotArchive
	}
	r := &byteReader{b: b[preamble:min(len(b), MaxHeader)]}
	h, err := decodeCore(r)
	if err != nil {
		return nil, err
	}
	h.section, err = decodeSlots(r)
	h.Generation, h.Slots = h.section.generation, h.section.slots
	if len(h.Slots) == 0 {
		return nil, errors.Join(badf(ErrChecksum, "a header without a slot"), err)
	}
	return h, nil
}

// OpenDamaged is Open for salvage. A slot section whose MACs do not hold is told
// in section, and no error: the commitments prove the slot's key.
func (h *Header) OpenDamaged(s SlotKey, nonces NonceSource) (k *Keys, section, err error) {
	if k, err = h.derive(s, nonces); err != nil {
		return nil, nil, err
	}
	return k, h.section.check(k, h.core), nil
}
