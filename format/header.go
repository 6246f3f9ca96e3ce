package format

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"slices"
)

// Magic begins every archive. As in PNG, a byte with the high bit and both
// kinds of line end show what a transfer in text mode has done.
const Magic = "\x89TOKAR\r\n"

// A header is magic, its whole length (u32), core, slot section, CRC-32C.
// preamble is what stands before the core; it will never change.
const (
	preamble  = len(Magic) + 4
	coreFixed = 2 + 2 + 32 + emKSize + 32 + 32 + 2
	emKSize   = 32 + sealOverhead
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Header is what stands before the first frame, and again after the last.
type Header struct {
	Archive    [32]byte // archive id, random
	Generation uint32   // of the slot section, raised by rekey
	Slots      []Slot

	emK              []byte
	commitT, commitM [32]byte
	core             [32]byte // hash of the core: what everything else binds
	coreSize         int
	section          slotSection
	raw              []byte
}

// NewHeader makes the header of a new archive.
func NewHeader(k *Keys, slots []Slot) (*Header, error) {
	h := &Header{Archive: k.archive}
	var err error
	if h.emK, err = k.wrapM.seal(nil, k.mK, h.emKAAD()); err != nil {
		return nil, err
	}
	copy(h.commitT[:], k.commitT)
	copy(h.commitM[:], k.commitM)
	if err := h.assemble(h.encodeCore(), k, slots); err != nil {
		return nil, err
	}
	return h, nil
}

// Rekey makes the header that takes h's place when the slots are replaced: the
// same core, the next generation. The keys are those that h opened to, tK among
// them. Every frame goes on belonging to it as it stands.
func (h *Header) Rekey(k *Keys, slots []Slot) (*Header, error) {
	switch {
	case !k.Restores():
		return nil, badf(ErrNoKey, "only a restore key replaces key slots")
	case h.Generation == math.MaxUint32:
		return nil, errors.New("the key slots were replaced as often as can be counted; make a new archive")
	}
	next := &Header{Archive: h.Archive, Generation: h.Generation + 1, emK: h.emK, commitT: h.commitT, commitM: h.commitM}
	if err := next.assemble(h.raw[preamble:preamble+h.coreSize], k, slots); err != nil {
		return nil, err
	}
	return next, nil
}

// assemble puts the stored header together. The core stands in it byte for
// byte, with fields that this version does not know.
func (h *Header) assemble(core []byte, k *Keys, slots []Slot) error {
	switch {
	case len(slots) > MaxSlots:
		return fmt.Errorf("%d key slots; an archive has room for %d", len(slots), MaxSlots)
	case !hasRole(slots, RoleRestore):
		return errors.New("no slot carries tK; nobody could restore")
	}
	h.Slots, h.section = slots, slotSection{generation: h.Generation, slots: slots}
	h.core, h.coreSize = sha256.Sum256(core), len(core)
	h.section.seal(k, h.core)

	b := append([]byte(Magic), 0, 0, 0, 0)
	b = append(b, core...)
	b = append(b, h.section.body()...)
	b = append(append(b, h.section.mt[:]...), h.section.mm[:]...)
	if len(b)+4 > MaxHeader {
		return errors.New("the key slots need more than 1 MiB")
	}
	be.PutUint32(b[len(Magic):], uint32(len(b)+4))
	h.raw = be.AppendUint32(b, crc32.Checksum(b, castagnoli))
	return nil
}

func hasRole(slots []Slot, role Role) bool {
	for _, s := range slots {
		if s.Role == role {
			return true
		}
	}
	return false
}

// Bytes is the header as stored; the caller does not change it.
func (h *Header) Bytes() []byte { return h.raw }

func (h *Header) emKAAD() []byte {
	b := append([]byte("tokar/1 emK\x00"), 0, Suite)
	return append(b, h.Archive[:]...)
}

func (h *Header) encodeCore() []byte {
	b := be.AppendUint16(nil, Version)
	b = be.AppendUint16(b, Suite)
	b = append(b, h.Archive[:]...)
	b = append(b, h.emK...)
	b = append(append(b, h.commitT[:]...), h.commitM[:]...)
	return be.AppendUint16(b, 0) // no extensions yet
}

// ReadHeader reads a header from the beginning of r. Until its checksum holds,
// everything that is wrong with it is damage.
func ReadHeader(r io.Reader) (*Header, error) {
	pre := make([]byte, preamble)
	n, err := io.ReadFull(r, pre)
	if n == 0 && err != io.EOF {
		return nil, err // the medium's error, not the archive's
	}
	if !bytes.HasPrefix(pre[:n], []byte(Magic)[:min(n, len(Magic))]) || n == 0 {
		return nil, ErrNotArchive
	}
	if err != nil {
		return nil, short(err)
	}
	length := int(be.Uint32(pre[len(Magic):]))
	if length < preamble+coreFixed+6+64+4 || length > MaxHeader {
		return nil, badf(ErrChecksum, "a header of %d bytes", length)
	}
	raw, err := readN(r, pre, length-preamble)
	if err != nil {
		return nil, err
	}
	return parseHeader(raw)
}

// parseHeader checks the checksum first, then every bound.
func parseHeader(raw []byte) (*Header, error) {
	body := raw[:len(raw)-4]
	if crc32.Checksum(body, castagnoli) != be.Uint32(raw[len(body):]) {
		return nil, badf(ErrChecksum, "the header's checksum does not hold")
	}
	r := &byteReader{b: body[preamble:]}
	h, err := decodeCore(r)
	if err != nil {
		return nil, err
	}
	h.raw = raw
	if h.section, err = decodeSlots(r); err != nil {
		return nil, err
	}
	h.Generation, h.Slots = h.section.generation, h.section.slots
	return h, r.end("the slot section")
}

// decodeCore reads the core off r.
func decodeCore(r *byteReader) (*Header, error) {
	all := r.b
	if v := r.u16(); v != Version {
		return nil, badf(ErrUnsupported, "archive version %d", v)
	}
	if s := r.u16(); s != Suite {
		return nil, badf(ErrUnsupported, "suite %d", s)
	}
	h := &Header{}
	copy(h.Archive[:], r.bytes(32))
	h.emK = r.bytes(emKSize)
	copy(h.commitT[:], r.bytes(32))
	copy(h.commitM[:], r.bytes(32))
	n := int(r.u16())
	if n > MaxExtensions {
		return nil, badf(ErrMalformed, "%d bytes of extensions", n)
	}
	for f, err := range fields(r.bytes(n), "") {
		if err == nil {
			err = f.unknown("the header")
		}
		if err != nil {
			return nil, err
		}
	}
	h.coreSize = len(all) - len(r.b)
	h.core = sha256.Sum256(all[:h.coreSize])
	return h, r.err
}

// Open derives the archive's keys from what a slot yielded and checks, before
// anything is opened with them, the commitments and the slot section's MACs.
// The secret is the keys' from then on, or wiped.
func (h *Header) Open(s SlotKey, nonces NonceSource) (*Keys, error) {
	k, err := h.derive(s, nonces)
	if err != nil {
		return nil, err
	}
	if err := h.section.check(k, h.core); err != nil {
		k.Wipe()
		return nil, err
	}
	return k, nil
}

// derive is Open without the slot section's MACs.
func (h *Header) derive(s SlotKey, nonces NonceSource) (*Keys, error) {
	k := &Keys{archive: h.Archive}
	if err := h.open(k, s, nonces); err != nil {
		k.Wipe()
		return nil, err
	}
	return k, nil
}

func (h *Header) open(k *Keys, s SlotKey, nonces NonceSource) error {
	other := badf(ErrAuthentic, "a slot's key is not the one the archive commits to")
	if s.Guessed {
		other = badf(ErrNoKey, "the passphrase is wrong")
	}
	mK := s.Secret
	if s.Role == RoleRestore {
		if err := k.fromT(s.Secret, nonces); err != nil {
			return err
		}
		if !hmac.Equal(k.commitT, h.commitT[:]) {
			return other
		}
		var err error
		if mK, err = k.wrapM.open(nil, h.emK, h.emKAAD()); err != nil {
			return badf(ErrAuthentic, "emK does not open")
		}
		other = badf(ErrAuthentic, "mK is not the one the archive commits to")
	}
	if err := k.fromM(mK, nonces); err != nil {
		return err
	}
	if !hmac.Equal(k.commitM, h.commitM[:]) {
		return other
	}
	return nil
}

// Equal says whether two headers are the same bytes.
func (h *Header) Equal(o *Header) bool { return bytes.Equal(h.raw, o.raw) }

// readN appends n bytes from r to b, growing as they come, so that a length
// that lies costs no memory.
func readN(r io.Reader, b []byte, n int) ([]byte, error) {
	const step = 1 << 20
	for n > 0 {
		m := min(n, step)
		start := len(b)
		if cap(b)-start < m {
			b = slices.Grow(b, m+m/16) // others of about that size follow
		}
		b = b[:start+m] // not cleared: it is read over
		if _, err := io.ReadFull(r, b[start:]); err != nil {
			return nil, short(err)
		}
		n -= m
	}
	return b, nil
}

// short tells the end of an archive from a failure to read it.
func short(err error) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return ErrTruncated
	}
	return err
}
