package format

import (
	"bytes"
	"fmt"
	"io"
	"slices"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
)

// Codec is a compression method, as stored in a block.
type Codec byte

// The codecs of version 1.
const (
	CodecNone Codec = 0
	CodecZstd Codec = 1
	CodecXZ   Codec = 2
)

func (c Codec) String() string {
	switch c {
	case CodecNone:
		return "none"
	case CodecZstd:
		return "zstd"
	case CodecXZ:
		return "xz"
	}
	return fmt.Sprintf("codec %d", byte(c))
}

// Compressor packs and unpacks the fronts of blocks. It belongs to one
// goroutine and makes its encoders and decoders when they are first needed.
type Compressor struct {
	Codec Codec
	Level int // zstd's own numbers, 1 to 22; 0 means 1, the fastest: on token data levels differ by 0.1 %

	enc *zstd.Encoder
	dec *zstd.Decoder
	xz  bytes.Buffer
}

// pack appends src, packed, to dst. What does not shrink is stored as it is.
func (c *Compressor) pack(dst, src []byte) ([]byte, Codec, error) {
	start := len(dst)
	var err error
	switch c.Codec {
	case CodecZstd:
		if err = c.zstdEncoder(); err == nil {
			dst = c.enc.EncodeAll(src, dst)
		}
	case CodecXZ:
		dst, err = c.packXZ(dst, src)
	}
	if err != nil {
		return dst, 0, err
	}
	if c.Codec == CodecNone || len(dst)-start >= len(src) {
		return append(dst[:start], src...), CodecNone, nil
	}
	return dst, c.Codec, nil
}

func (c *Compressor) zstdEncoder() (err error) {
	if c.enc == nil {
		// A window of the usual block keeps the encoder's tables small.
		c.enc, err = zstd.NewWriter(nil,
			zstd.WithEncoderConcurrency(1),
			zstd.WithWindowSize(1<<19), // before the level, which would halve the blocks, and be slower
			zstd.WithEncoderLevel(zstd.EncoderLevelFromZstd(max(c.Level, 1))),
			zstd.WithEncoderCRC(false)) // the seal is stronger
	}
	return err
}

func (c *Compressor) packXZ(dst, src []byte) ([]byte, error) {
	c.xz.Reset()
	w, err := xz.WriterConfig{DictCap: xzDict(len(src)), CheckSum: xz.CRC32}.NewWriter(&c.xz)
	if err != nil {
		return dst, err
	}
	if _, err = w.Write(src); err != nil {
		return dst, err
	}
	if err = w.Close(); err != nil {
		return dst, err
	}
	return append(dst, c.xz.Bytes()...), nil
}

// xzDict is the dictionary for n bytes: no larger than they are, never below
// what the library accepts.
func xzDict(n int) int { return min(max(n, 4096), MaxWindow) }

// unpack appends exactly n bytes to dst.
func (c *Compressor) unpack(dst, packed []byte, codec Codec, n int) ([]byte, error) {
	bad := badf(ErrMalformed, "a block that does not unpack to its %d bytes", n)
	switch codec {
	case CodecNone:
		if len(packed) != n {
			return dst, bad
		}
		return append(dst, packed...), nil
	case CodecZstd:
		if c.dec == nil {
			var err error
			c.dec, err = zstd.NewReader(nil,
				zstd.WithDecoderConcurrency(1),
				zstd.WithDecoderMaxWindow(MaxWindow),
				zstd.WithDecodeAllCapLimit(true))
			if err != nil {
				return dst, err
			}
		}
		if !oneZstdFrame(packed) {
			return dst, bad
		}
		// The capacity is the limit, so that nothing unpacks to more than it says,
		// but for what the decoder wants behind it, to copy by blocks of 16.
		const slack = 16
		if cap(dst)-len(dst) < n+slack {
			dst = slices.Grow(dst, n+n/64+slack) // others of about that size follow
		}
		out, err := c.dec.DecodeAll(packed, dst[:len(dst):len(dst)+n+slack])
		if err != nil || len(out) != len(dst)+n {
			return dst, bad
		}
		return dst[:len(out)], nil // with all of its capacity
	case CodecXZ:
		return unpackXZ(dst, packed, n, bad)
	}
	return dst, badf(ErrUnsupported, "codec %d", codec)
}

// oneZstdFrame says that packed is one frame without a dictionary and nothing
// else: the library would take any number of them, and skippable ones, which
// are room for what no checksum of ours sees (RFC 8878, section 3.1.1).
func oneZstdFrame(packed []byte) bool {
	var h zstd.Header
	if h.Decode(packed) != nil || h.Skippable || h.DictionaryID != 0 {
		return false
	}
	rest := packed[h.HeaderSize:]
	for last := false; !last; {
		if len(rest) < 3 {
			return false
		}
		head := uint32(rest[0]) | uint32(rest[1])<<8 | uint32(rest[2])<<16
		size := int(head >> 3)
		if head>>1&3 == 1 { // one byte, repeated size times
			size = 1
		}
		if rest = rest[3:]; len(rest) < size {
			return false
		}
		last, rest = head&1 != 0, rest[size:]
	}
	if h.HasCheckSum {
		return len(rest) == 4
	}
	return len(rest) == 0
}

// unpackXZ reads one xz stream of one block with the LZMA2 filter alone. The
// library would take the dictionary's size from each block header, however
// large, so that is looked at first: after the stream header of 12 bytes come
// the block header's size, its flags, then filter id 0x21, a length of 1 and
// the dictionary byte (xz file format 1.0.4, sections 3.1 and 5.3.1).
func unpackXZ(dst, packed []byte, n int, bad error) ([]byte, error) {
	const flags, filter, dict = 13, 14, 16
	if len(packed) <= dict || packed[flags] != 0 || packed[filter] != 0x21 || packed[filter+1] != 1 {
		return dst, bad
	}
	bits := packed[dict]
	if size := uint64(2|bits&1) << (bits/2 + 11); bits > 40 || size > MaxWindow {
		return dst, badf(ErrMalformed, "an xz dictionary of more than %d bytes", MaxWindow)
	}
	if !oneXZBlock(packed) {
		return dst, bad
	}
	r, err := xz.ReaderConfig{DictCap: 4096, SingleStream: true}.NewReader(bytes.NewReader(packed))
	if err != nil {
		return dst, bad
	}
	out := slices.Grow(dst, n)[:len(dst)+n]
	if _, err := io.ReadFull(r, out[len(dst):]); err != nil {
		return dst, bad
	}
	var more [1]byte
	if _, err := io.ReadFull(r, more[:]); err != io.EOF { // which comes after check, index and footer
		return dst, bad
	}
	return out, nil
}

// oneXZBlock walks the LZMA2 chunks of the first block and says whether the
// index follows it, not a second block.
func oneXZBlock(packed []byte) bool {
	const stream = 12
	at := stream + 4*(int(packed[stream])+1)
	for at < len(packed) && packed[at] != 0 {
		switch control := packed[at]; {
		case control >= 0x80 && at+6 <= len(packed): // LZMA: unpacked size, packed size, for some new properties
			at += 5 + int(be.Uint16(packed[at+3:])) + 1
			if control >= 0xc0 {
				at++
			}
		case control <= 2 && at+3 <= len(packed): // stored
			at += 3 + int(be.Uint16(packed[at+1:])) + 1
		default:
			return false
		}
	}
	at = (at + 1 + 3) &^ 3 // the end of the chunks, padding
	check := [16]int{0, 4, 4, 4, 8, 8, 8, 16, 16, 16, 32, 32, 32, 64, 64, 64}[packed[7]&15]
	return at+check < len(packed) && packed[at+check] == 0
}
