package tokendata

import (
	"encoding/binary"

	"tokar/format"
	"tokar/format/cryptoki"
)

// Object files (loadsave.c). Old: total length (u32 in the writer's order),
// private flag, body. New: a header, then the body; private objects add a tag.
//
//	old          length u32  flag u8                                  body
//	new public   0x0003000C u32  0 u8  7 zero  length u32             body
//	new private  0x0003000C u32  1 u8  3 zero  wrapped key 40  IV 12
//	             length u32                                          body  tag 16
//
// Numbers of the new format are big-endian, but 3.12 to 3.14 wrote version and
// length of public objects in the machine's order.
const (
	OldHeader        = 5
	NewPublicHeader  = 16
	NewPrivateHeader = 64
	NewTag           = 16
	AtPrivate        = 4
	AtIV             = 48
	AtPublicLength   = 12
	AtPrivateLength  = 60

	// The shortest old private body: length, header, SHA-1 and padding.
	OldLeastBody = 48

	BlockDES = 8
	BlockAES = 16
)

// Object is an object file's header, as far as it could be read.
type Object struct {
	Format  string // Old or New
	Private bool
	Order   cryptoki.Order // in which the header is written
	Body    []byte         // what follows the header, tag cut off; as much as is there
	At      int            // offset of Body
}

// NewWord says whether a file begins as a new-format object, and in which
// byte order its public header is.
func NewWord(b []byte) (order cryptoki.Order, ok bool) {
	if len(b) < 4 {
		return 0, false
	}
	if binary.BigEndian.Uint32(b) == Version312 {
		return cryptoki.BigEndian, true
	}
	return cryptoki.LittleEndian, binary.LittleEndian.Uint32(b) == Version312
}

// OldWord says whether a file begins with its own length, and in which order.
func OldWord(b []byte) (order cryptoki.Order, ok bool) {
	if len(b) < OldHeader || len(b) > format.MaxObject {
		return 0, false
	}
	if int(binary.LittleEndian.Uint32(b)) == len(b) {
		return cryptoki.LittleEndian, true
	}
	return cryptoki.BigEndian, int(binary.BigEndian.Uint32(b)) == len(b)
}

// formatOf tells an object's format: the token's own if the file can be that,
// else the other one if it can be that, else the token's again. (An old object
// of 196,620 bytes begins as a new one does.)
func formatOf(b []byte, ofToken string) string {
	_, isNew := NewWord(b)
	_, isOld := OldWord(b)
	switch {
	case isNew && (ofToken == New || !isOld):
		return New
	case isOld || ofToken != New:
		return Old
	}
	return New
}

// ParseObject splits an object file, whatever is wrong with it.
func ParseObject(b []byte, ofToken string) (h Object) {
	h.Format = formatOf(b, ofToken)
	h.Private = len(b) > AtPrivate && b[AtPrivate] != 0
	h.At = OldHeader
	if h.Format == Old {
		h.Order, _ = OldWord(b)
	} else {
		h.Order = cryptoki.BigEndian
		h.At = NewPrivateHeader
		if !h.Private {
			h.At = NewPublicHeader
			if o, ok := NewWord(b); ok {
				h.Order = o
			}
		}
	}
	h.At = min(h.At, len(b))
	h.Body = b[h.At:]
	if h.Format == New && h.Private {
		h.Body = h.Body[:max(0, len(h.Body)-NewTag)]
	}
	return h
}
