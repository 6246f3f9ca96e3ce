package opencryptoki

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
	oldHeader        = 5
	newPublicHeader  = 16
	newPrivateHeader = 64
	newTag           = 16
	flagAt           = 4
	newIVAt          = 48
	newPublicLength  = 12
	newPrivateLength = 60

	// The shortest old private body: length, header, SHA-1 and padding.
	oldLeastBody = 48

	blockDES = 8
	blockAES = 16
)

// objectFile is an object file's header, as far as it could be read.
type objectFile struct {
	format  string // old or new
	private bool
	order   cryptoki.Order // in which the header is written
	body    []byte         // what follows the header, tag cut off; as much as is there
	at      int            // offset of body
}

// newWord says whether a file begins as a new-format object, and in which
// byte order its public header is.
func newWord(b []byte) (order cryptoki.Order, ok bool) {
	if len(b) < 4 {
		return 0, false
	}
	if binary.BigEndian.Uint32(b) == newVersion {
		return cryptoki.BigEndian, true
	}
	return cryptoki.LittleEndian, binary.LittleEndian.Uint32(b) == newVersion
}

// oldWord says whether a file begins with its own length, and in which order.
func oldWord(b []byte) (order cryptoki.Order, ok bool) {
	if len(b) < oldHeader || len(b) > format.MaxObject {
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
	_, isNew := newWord(b)
	_, isOld := oldWord(b)
	switch {
	case isNew && (ofToken == formatNew || !isOld):
		return formatNew
	case isOld || ofToken != formatNew:
		return formatOld
	}
	return formatNew
}

// parseObjectFile splits an object file, whatever is wrong with it.
func parseObjectFile(b []byte, ofToken string) (h objectFile) {
	h.format = formatOf(b, ofToken)
	h.private = len(b) > flagAt && b[flagAt] != 0
	h.at = oldHeader
	if h.format == formatOld {
		h.order, _ = oldWord(b)
	} else {
		h.order = cryptoki.BigEndian
		h.at = newPrivateHeader
		if !h.private {
			h.at = newPublicHeader
			if o, ok := newWord(b); ok {
				h.order = o
			}
		}
	}
	h.at = min(h.at, len(b))
	h.body = b[h.at:]
	if h.format == formatNew && h.private {
		h.body = h.body[:max(0, len(h.body)-newTag)]
	}
	return h
}
