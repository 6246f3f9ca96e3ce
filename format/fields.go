package format

import (
	"bytes"
	"encoding/binary"
	"iter"
	"strings"
)

var be = binary.BigEndian

// Open-ended data (descriptors, details, extensions of the core) is a list of
// fields: tag (u8), length (u16), value. Tags stand in ascending order; only a
// repeatable tag may stand more than once. An unknown tag below firstOptional
// is refused, one from there on is skipped.
const firstOptional = 128

// appendField adds one field; values are at most 65,535 bytes.
func appendField(b []byte, tag byte, v []byte) []byte {
	b = append(b, tag)
	b = be.AppendUint16(b, uint16(len(v)))
	return append(b, v...)
}

func appendText(b []byte, tag byte, s string) []byte {
	if s == "" {
		return b
	}
	b = append(b, tag)
	b = be.AppendUint16(b, uint16(len(s)))
	return append(b, s...)
}

// fields walks a list; repeatable says which tags may stand more than once.
func fields(b []byte, repeatable string) iter.Seq2[field, error] {
	return func(yield func(field, error) bool) {
		last := -1
		for len(b) > 0 {
			if len(b) < 3 || len(b)-3 < int(be.Uint16(b[1:])) {
				yield(field{}, badf(ErrMalformed, "a field runs over the end"))
				return
			}
			f := field{tag: b[0], value: b[3 : 3+int(be.Uint16(b[1:]))]}
			if int(f.tag) < last || int(f.tag) == last && strings.IndexByte(repeatable, f.tag) < 0 {
				yield(field{}, badf(ErrMalformed, "field %d out of order", f.tag))
				return
			}
			last = int(f.tag)
			b = b[3+len(f.value):]
			if !yield(f, nil) {
				return
			}
		}
	}
}

type field struct {
	tag   byte
	value []byte
}

// unknown is what a decoder says to a tag it has no case for.
func (f field) unknown(where string) error {
	if f.tag >= firstOptional {
		return nil
	}
	return badf(ErrUnsupported, "field %d in %s", f.tag, where)
}

// u32 and u64 decode a value of exactly that width.
func (f field) u32() (uint32, error) {
	if len(f.value) != 4 {
		return 0, badf(ErrMalformed, "field %d of %d bytes", f.tag, len(f.value))
	}
	return be.Uint32(f.value), nil
}

func (f field) u64() (uint64, error) {
	if len(f.value) != 8 {
		return 0, badf(ErrMalformed, "field %d of %d bytes", f.tag, len(f.value))
	}
	return be.Uint64(f.value), nil
}

// signed decodes what appendSigned wrote.
func (f field) signed() (v int64, err error) {
	if len(f.value) > 0 && f.value[0]&0x80 != 0 {
		v = -1
	}
	for _, b := range f.value {
		v = v<<8 | int64(b)
	}
	if len(f.value) > 8 || signedLen(v) != len(f.value) {
		return 0, badf(ErrMalformed, "field %d of %d bytes, which is not its shortest form", f.tag, len(f.value))
	}
	return v, nil
}

// clip bounds a text that goes into a field.
func clip(s string, n int) string {
	if len(s) > n {
		return s[:n]
	}
	return s
}

func cutZero(b []byte) (before, after []byte, found bool) { return bytes.Cut(b, []byte{0}) }
