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
			zstd.WithEncoderLevel(zstd.EncoderLevelFromZstd(max(c.Level, 1))),
			zstd.WithWindowSize(1<<20),
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
		// The capacity is the limit, so that nothing unpacks to more than it says.
		dst = slices.Grow(dst, n)
		out, err := c.dec.DecodeAll(packed, dst[:len(dst):len(dst)+n])
		if err != nil || len(out) != len(dst)+n {
			return dst, bad
		}
		return out, nil
	case CodecXZ:
		return unpackXZ(dst, packed, n, bad)
	}
	return dst, badf(ErrUnsupported, "codec %d", codec)
}

// unpackXZ reads one xz stream of one block with the LZMA2 filter alone. The
// library would take the dictionary's size from the block header, however
// large, so that is looked at first: after the stream header of 12 bytes come
// the block header's size, its flags, then filter id 0x21, a length of 1 and
// the dictionary byte (xz file format 1.0.4, sections 3.1 and 5.3.1).
func unpackXZ(dst, packed []byte, n int, bad error) ([]byte, error) {
	const flags, filter, dict = 13, 14, 16
	if len(packed) <= dict || packed[flags] != 0 || packed[filter] != 0x21 || packed[filter+1] != 1 {
		return dst, bad
	}
	bits := packed[dict]
	if size := uint64(2|bits&1) << (bits/2 + 11); bits > 40 || size > 2*MaxWindow {
		return dst, badf(ErrMalformed, "an xz dictionary of more than %d bytes", 2*MaxWindow)
	}
	r, err := xz.ReaderConfig{DictCap: 4096, SingleStream: true}.NewReader(bytes.NewReader(packed))
	if err != nil {
		return dst, bad
	}
	start := len(dst)
	out := bytes.NewBuffer(dst)
	if m, err := io.Copy(out, io.LimitReader(r, int64(n)+1)); err != nil || m != int64(n) {
		return dst[:start], bad
	}
	return out.Bytes(), nil
}
