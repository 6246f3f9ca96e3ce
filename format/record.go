package format

import "hash/crc32"

// A Record is one entry of an archive: an object, a piece of token state, or
// a descriptor.
//
// Forward, a backend fills Kind, Flags, Name, Data and Details.Attr, a
// validator Class, Details and Flags, the wrap stage Metadata and Payload, the
// MAC stage MAC. Reverse, a table yields the header, Metadata, Payload and
// MAC, and the wrap stage Details and Data.
type Record struct {
	Seq        uint64 // place in the archive, from 0 without gap
	Supersedes uint64 // the earlier record that this one replaces, or NoSeq
	Token      uint32 // number of its token, from 1; 0 for the archive itself
	Kind       Kind
	Flags      Flags
	Class      uint32 // CKA_CLASS, or ClassNone
	Size       uint32 // length of the object's own bytes
	Stored     uint32 // length of Payload, which is known before it is there
	Name       Name

	Details Details
	Data    []byte // the object's own bytes

	Metadata []byte   // as stored: details in clear, or a descriptor
	Payload  []byte   // as stored: Data, or wrapped (details ‖ Data)
	MAC      [32]byte // over header, metadata and payload
}

// Kind tells what a record is. Kinds below firstOptionalKind are critical: a
// reader that does not know one refuses the archive; others it skips.
type Kind uint16

// The kinds of version 1.
const (
	KindArchive    Kind = 1 + iota // the archive's descriptor, record 0
	KindToken                      // a token's descriptor, its first record
	KindEndOfToken                 // a token's last record: counts, stable or not
	KindObject                     // a token object
	KindState                      // token state: NVTOK.DAT, MK_SO, a sealed-object row
	KindIndex                      // the token's own list of its objects: OBJ.IDX
	KindForeign                    // what lies with the token and is not of it

	firstOptionalKind Kind = 0x8000
)

func (k Kind) String() string {
	switch k {
	case KindArchive:
		return "archive"
	case KindToken:
		return "token"
	case KindEndOfToken:
		return "end-of-token"
	case KindObject:
		return "object"
	case KindState:
		return "state"
	case KindIndex:
		return "index"
	case KindForeign:
		return "foreign"
	}
	return "unknown"
}

// Skippable says that a reader of version 1 lists and counts a record of this
// kind and does nothing else with it.
func (k Kind) Skippable() bool { return k >= firstOptionalKind }

// Descriptor says whether a record of this kind has metadata only.
func (k Kind) Descriptor() bool { return k >= KindArchive && k <= KindEndOfToken }

// Flags say how a record stands. Unknown ones are refused.
type Flags uint16

// The flags of version 1.
const (
	Wrapped  Flags = 1 << iota // the payload is under the payload key
	Private                    // the token shows it only behind a PIN
	Damaged                    // a validator found it unsound; Details.Findings says how
	Unlisted                   // the token's own index does not name it
	Vanished                   // it was listed but gone when read: no payload
	Refused                    // it could not or must not be read: no payload

	knownFlags = Wrapped | Private | Damaged | Unlisted | Vanished | Refused
)

// HeaderSize is the length of a record's fixed header without its name.
const HeaderSize = 44

// Where in it the entry's size and the payload's length stand.
const (
	sizeAt    = 28
	payloadAt = 40
)

// Reset empties a record for reuse.
func (r *Record) Reset() {
	*r = Record{Supersedes: NoSeq, Class: ClassNone, Details: Details{KeyType: ClassNone}}
}

// Absent says that a record stands for an entry whose bytes are not there.
func (r *Record) Absent() bool { return r.Flags&(Vanished|Refused) != 0 }

// AppendHeader encodes the fixed header and the name: what the MAC and the
// wrap bind. The lengths are those of Metadata and Payload as stored; while
// the payload is being wrapped its length is given instead.
func (r *Record) AppendHeader(b []byte, payloadLen int) []byte {
	b = be.AppendUint64(b, r.Seq)
	b = be.AppendUint64(b, r.Supersedes)
	b = be.AppendUint32(b, r.Token)
	b = be.AppendUint16(b, uint16(r.Kind))
	b = be.AppendUint16(b, uint16(r.Flags))
	b = be.AppendUint32(b, r.Class)
	b = be.AppendUint32(b, r.Size)
	b = be.AppendUint16(b, uint16(len(r.Name)))
	b = be.AppendUint16(b, 0)
	b = be.AppendUint32(b, uint32(len(r.Metadata)))
	b = be.AppendUint32(b, uint32(payloadLen))
	return append(b, r.Name...)
}

// Checksum is a CRC-32C over the record as stored, MAC and all, but for a
// wrapped payload, which has a tag. No archive has it: it shows that what was
// MACed is what was written.
func (r *Record) Checksum() uint32 {
	var room [HeaderSize + 64]byte // for most names
	sum := crc32.Checksum(r.AppendHeader(room[:0], len(r.Payload)), castagnoli)
	sum = crc32.Update(sum, castagnoli, r.MAC[:])
	if r.Flags&Wrapped != 0 {
		return sum
	}
	sum = crc32.Update(sum, castagnoli, r.Metadata)
	return crc32.Update(sum, castagnoli, r.Payload)
}

// recordLengths are the three lengths in a fixed header.
type recordLengths struct{ name, metadata, payload int }

// decodeHeader reads a fixed header and checks what can be checked of one
// record alone.
func (r *Record) decodeHeader(b []byte) (recordLengths, error) {
	r.Reset()
	r.Seq = be.Uint64(b)
	r.Supersedes = be.Uint64(b[8:])
	r.Token = be.Uint32(b[16:])
	r.Kind = Kind(be.Uint16(b[20:]))
	r.Flags = Flags(be.Uint16(b[22:]))
	r.Class = be.Uint32(b[24:])
	r.Size = be.Uint32(b[28:])
	r.Stored = be.Uint32(b[40:])
	n := recordLengths{
		name:     int(be.Uint16(b[32:])),
		metadata: int(be.Uint32(b[36:])),
		payload:  int(r.Stored),
	}
	if be.Uint16(b[34:]) != 0 {
		return n, badf(ErrMalformed, "record %d: reserved bytes are set", r.Seq)
	}
	return n, r.checkHeader(n)
}

func (r *Record) checkHeader(n recordLengths) error {
	bad := func(form string, args ...any) error {
		return badf(ErrMalformed, "record %d: "+form, append([]any{r.Seq}, args...)...)
	}
	descriptor := r.Kind.Descriptor()
	switch {
	case r.Kind == 0 || r.Kind > KindForeign && r.Kind < firstOptionalKind:
		return badf(ErrUnsupported, "record %d: kind %d", r.Seq, r.Kind)
	case r.Flags&^knownFlags != 0:
		return badf(ErrUnsupported, "record %d: flags %#x", r.Seq, uint16(r.Flags))
	case n.name > MaxName || n.metadata > MaxMetadata || n.payload > MaxBody || r.Size > MaxObject:
		return bad("a length is out of bounds")
	case descriptor && (r.Flags != 0 || n.payload != 0 || r.Size != 0 || r.Class != ClassNone):
		return bad("a descriptor with a payload or flags")
	case descriptor != (n.name == 0) && r.Kind != KindToken:
		return bad("a name of %d bytes on kind %s", n.name, r.Kind)
	case (r.Token == 0) != (r.Kind == KindArchive):
		return bad("kind %s in token %d", r.Kind, r.Token)
	case r.Absent() && (n.payload != 0 || r.Size != 0 || r.Flags&Wrapped != 0):
		return bad("an absent entry with a payload")
	case r.Flags&Wrapped != 0 && (n.metadata != 0 || n.payload < int(r.Size)):
		return bad("a wrapped payload of %d bytes for %d", n.payload, r.Size)
	case r.Flags&Wrapped == 0 && n.payload != int(r.Size):
		return bad("a payload of %d bytes for %d", n.payload, r.Size)
	case r.Supersedes != NoSeq && (descriptor || r.Supersedes >= r.Seq):
		return bad("supersedes %d", r.Supersedes)
	}
	return nil
}
