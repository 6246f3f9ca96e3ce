package format

import (
	"fmt"
	"hash/crc32"
	"io"
	"slices"
)

// BlockKind tells what a block holds. Kinds below firstOptionalBlock are
// critical: a reader that does not know one refuses the archive.
type BlockKind byte

// The block kinds of version 1.
const (
	DataBlock      BlockKind = 1 // records
	IndexBlock     BlockKind = 2 // an index chunk
	DirectoryBlock BlockKind = 3 // a piece of the directory
	EndBlock       BlockKind = 4 // counts and proofs

	firstOptionalBlock BlockKind = 0x80
)

// FrameHeader says which part of which block a frame is. Numbers run per kind
// from 0 without gap; only data blocks have more than one part.
type FrameHeader struct {
	Kind   BlockKind
	Last   bool // the last part of its block
	Number uint64
	Part   uint32
}

// A Frame is one sealed part of a block as it stands in the archive:
//
//	magic 4, archive id's first 8 bytes, kind u8, last u8, zero u16,
//	number u64, part u32, length u32, nonce 12, sealed bytes, CRC-32C
type Frame struct {
	FrameHeader
	Sealed []byte // nonce ‖ ciphertext ‖ tag
}

// FrameMagic begins every frame; salvage looks for it.
const FrameMagic = "\xf7TKB"

const (
	frameHead = 32 // up to the nonce
	// FrameOverhead is what a frame adds to the body of a block.
	FrameOverhead = frameHead + sealOverhead + 4
	maxSealed     = MaxBody + bodyHead + sealOverhead
)

func (f FrameHeader) append(b []byte, archive [32]byte) []byte {
	b = append(b, FrameMagic...)
	b = append(b, archive[:8]...)
	last := byte(0)
	if f.Last {
		last = 1
	}
	b = append(b, byte(f.Kind), last, 0, 0)
	b = be.AppendUint64(b, f.Number)
	return be.AppendUint32(b, f.Part)
}

// aad binds a frame to its archive and its place.
func (f FrameHeader) aad(core [32]byte) []byte {
	last := byte(0)
	if f.Last {
		last = 1
	}
	b := make([]byte, 0, 32+1+8+4+1)
	b = append(append(b, core[:]...), byte(f.Kind))
	b = be.AppendUint64(b, f.Number)
	b = be.AppendUint32(b, f.Part)
	return append(b, last)
}

// SealFrame makes the frame of a body in b, whose memory it takes.
func (h *Header) SealFrame(b []byte, k *Keys, f FrameHeader, body []byte) ([]byte, error) {
	b = slices.Grow(b[:0], FrameOverhead+len(body))
	b = be.AppendUint32(f.append(b, h.Archive), uint32(len(body)+sealOverhead-nonceSize))
	b, err := k.seal.seal(b, body, f.aad(h.core))
	if err != nil {
		return nil, err
	}
	return be.AppendUint32(b, crc32.Checksum(b, castagnoli)), nil
}

// OpenFrame appends a frame's body to dst.
func (h *Header) OpenFrame(dst []byte, k *Keys, f *Frame) ([]byte, error) {
	body, err := k.seal.open(dst, f.Sealed, f.aad(h.core))
	if err != nil {
		return dst, badf(ErrAuthentic, "the seal of %s does not open", f.FrameHeader)
	}
	return body, nil
}

// ReadFrame reads the next frame of archive from r into buf, which may be
// reused, and gives the bytes that it took. It checks what needs no key:
// magic, archive, bounds, checksum.
func (h *Header) ReadFrame(r io.Reader, buf []byte) (Frame, []byte, error) {
	var f Frame
	head, err := readN(r, buf[:0], frameHead)
	if err != nil {
		return f, buf, err
	}
	switch {
	case string(head[:4]) != FrameMagic:
		return f, head, badf(ErrChecksum, "no frame where one must be")
	case string(head[4:12]) != string(h.Archive[:8]):
		return f, head, badf(ErrChecksum, "a frame of another archive")
	}
	length := int(be.Uint32(head[28:]))
	if length > maxSealed || length < sealOverhead-12 {
		return f, head, badf(ErrChecksum, "a frame of %d bytes", length)
	}
	raw, err := readN(r, head, 12+length+4)
	if err != nil {
		return f, head, err
	}
	f, err = ParseFrame(raw)
	return f, raw, err
}

// ParseFrame checks the checksum of one whole frame, then its fields.
func ParseFrame(raw []byte) (Frame, error) {
	var f Frame
	body := raw[:len(raw)-4]
	if crc32.Checksum(body, castagnoli) != be.Uint32(raw[len(body):]) {
		return f, badf(ErrChecksum, "a frame's checksum does not hold")
	}
	f.Kind, f.Last = BlockKind(raw[12]), raw[13] == 1
	f.Number, f.Part = be.Uint64(raw[16:]), be.Uint32(raw[24:])
	f.Sealed = body[frameHead:]
	return f, f.check(raw[13:16])
}

func (f *Frame) check(flags []byte) error {
	switch {
	case f.Kind == 0 || f.Kind > EndBlock && f.Kind < firstOptionalBlock:
		return badf(ErrUnsupported, "block kind %d", f.Kind)
	case flags[0] > 1 || flags[1] != 0 || flags[2] != 0:
		return badf(ErrMalformed, "reserved bytes of %s are set", f.FrameHeader)
	case f.Kind != DataBlock && (f.Part != 0 || !f.Last):
		return badf(ErrMalformed, "%s in parts", f.FrameHeader)
	}
	return nil
}

// Skippable says that a reader of version 1 passes this kind over.
func (k BlockKind) Skippable() bool { return k >= firstOptionalBlock }
func (k BlockKind) String() string {
	switch k {
	case DataBlock:
		return "data"
	case IndexBlock:
		return "index"
	case DirectoryBlock:
		return "directory"
	case EndBlock:
		return "end"
	}
	return fmt.Sprintf("kind %d", byte(k))
}

func (f FrameHeader) String() string {
	if f.Kind == DataBlock {
		return fmt.Sprintf("%s block %d part %d", f.Kind, f.Number, f.Part)
	}
	return fmt.Sprintf("%s block %d", f.Kind, f.Number)
}
