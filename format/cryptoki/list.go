package cryptoki

import (
	"encoding/binary"
	"fmt"
)

// An object as openCryptoki stores it, the same in both file formats
// (object.c, template.c; facts proved on tokens of both byte orders):
//
//	class word (u32, unused)  attribute count (u32)  name (8 bytes)
//	then each attribute: type (u32)  zero (u32)  length (u32)  value
//
// Numbers are in the byte order of the machine that wrote the object, and
// nothing is aligned. The values of template attributes are such attributes
// in their turn.
const (
	// ObjectHeader is the length of what stands before the first attribute.
	ObjectHeader = 16
	// AttributeHeader is the length of what stands before a value.
	AttributeHeader = 12

	maxDepth = 4 // templates within templates; PKCS#11 itself needs two
)

// Order is the byte order in which a list is written.
type Order uint8

// The byte orders.
const (
	LittleEndian Order = iota
	BigEndian
)

// Host is the order of this machine.
func Host() Order {
	if binary.NativeEndian.Uint16([]byte{0, 1}) == 1 {
		return BigEndian
	}
	return LittleEndian
}

func (o Order) String() string {
	if o == BigEndian {
		return "big"
	}
	return "little"
}

// NativeOrder is this machine's.
func NativeOrder() Order {
	if binary.NativeEndian.Uint16([]byte{0, 1}) == 1 {
		return BigEndian
	}
	return LittleEndian
}

// Uint32 reads the first four bytes of b.
func (o Order) Uint32(b []byte) uint32 {
	if o == BigEndian {
		return binary.BigEndian.Uint32(b)
	}
	return binary.LittleEndian.Uint32(b)
}

// AppendUint32 appends v to b.
func (o Order) AppendUint32(b []byte, v uint32) []byte {
	if o == BigEndian {
		return binary.BigEndian.AppendUint32(b, v)
	}
	return binary.LittleEndian.AppendUint32(b, v)
}

// Ulong reads a CK_ULONG that stands in 4 bytes or in the machine's 8. ok is
// false for other lengths and for what exceeds 32 bits.
func (o Order) Ulong(b []byte) (v uint32, ok bool) {
	switch {
	case len(b) == 4:
		return o.Uint32(b), true
	case len(b) == 8 && o == BigEndian:
		return o.Uint32(b[4:]), o.Uint32(b) == 0
	case len(b) == 8:
		return o.Uint32(b), o.Uint32(b[4:]) == 0
	}
	return 0, false
}

// OrderOf tells the byte order of an object from its attribute count, which
// fits into the object's length in one order only. ok is false if it fits in
// both or neither; then the order is that of the rest of the token.
func OrderOf(object []byte) (o Order, ok bool) {
	if len(object) < ObjectHeader {
		return LittleEndian, false
	}
	most := uint32(len(object)-ObjectHeader) / AttributeHeader
	little := LittleEndian.Uint32(object[4:]) <= most
	big := BigEndian.Uint32(object[4:]) <= most
	if big {
		o = BigEndian
	}
	return o, little != big
}

// SyntaxError says where a list breaks the encoding.
type SyntaxError struct {
	Offset int // byte in the object
	Reason string
}

func (e *SyntaxError) Error() string { return fmt.Sprintf("byte %d: %s", e.Offset, e.Reason) }

// List walks the attributes of an object, or of a template within one, in
// place:
//
//	l := ObjectList(object, order)
//	for l.Next() {
//		… l.Type, l.Value …
//	}
//	if err := l.Err(); err != nil { … }
//
// The walk is strict: every attribute lies within the object, the zero words
// are zero, the count consumes the object exactly, and templates hold whole
// attributes. It allocates only for an error.
type List struct {
	Type   uint32
	Value  []byte // aliases the object
	Offset int    // of the attribute's header in the object

	order   Order
	counted bool // left counts down; else the bytes alone end the list
	left    uint32
	depth   uint8
	data    []byte
	next    int
	err     *SyntaxError
}

// ObjectList walks a whole object.
func ObjectList(object []byte, order Order) List {
	l := List{data: object, order: order, counted: true, next: ObjectHeader}
	if len(object) < ObjectHeader {
		l.fail(len(object), "object of %d bytes is shorter than its header of %d", len(object), ObjectHeader)
		return l
	}
	l.left = order.Uint32(object[4:])
	return l
}

// ObjectName is the name that an object carries inside: 8 bytes at offset 8.
func ObjectName(object []byte) []byte { return object[8:ObjectHeader] }

// Next goes to the next attribute; false at the end or at the first error.
func (l *List) Next() bool {
	if l.err != nil || l.ends() {
		return false
	}
	at, rest := l.next, len(l.data)-l.next
	if rest < AttributeHeader {
		return l.fail(at, "attribute header of %d bytes, %d are left", AttributeHeader, rest)
	}
	length := l.order.Uint32(l.data[at+8:])
	if zero := l.order.Uint32(l.data[at+4:]); zero != 0 {
		return l.fail(at+4, "the word between type and length is %#x, not zero", zero)
	}
	if length > uint32(rest-AttributeHeader) {
		return l.fail(at+8, "value of %d bytes, %d are left", length, rest-AttributeHeader)
	}
	l.Type, l.Offset = l.order.Uint32(l.data[at:]), at
	l.next = at + AttributeHeader + int(length)
	l.Value = l.data[at+AttributeHeader : l.next : l.next]
	l.left--
	return !l.nests() || l.checkNested()
}

// Err is what stopped the walk, or nil at the regular end.
func (l *List) Err() *SyntaxError { return l.err }

// Nested walks the attributes within the current one; ok is false if the
// current one is no template.
func (l *List) Nested() (inner List, ok bool) {
	if !l.nests() {
		return List{}, false
	}
	return List{data: l.data[:l.next], order: l.order, next: l.Offset + AttributeHeader, depth: l.depth + 1}, true
}

// ends says whether the list is over, and checks that it ends where the
// object does.
func (l *List) ends() bool {
	if !l.counted {
		return l.next == len(l.data)
	}
	if l.left > 0 {
		return false
	}
	if l.next != len(l.data) {
		l.fail(l.next, "%d bytes after the last attribute counted", len(l.data)-l.next)
	}
	return true
}

func (l *List) nests() bool {
	switch l.Type {
	case CKA_WRAP_TEMPLATE, CKA_UNWRAP_TEMPLATE, CKA_DERIVE_TEMPLATE,
		CKA_ENCAPSULATE_TEMPLATE, CKA_DECAPSULATE_TEMPLATE:
		return true
	}
	return false
}

func (l *List) checkNested() bool {
	if l.depth == maxDepth {
		return l.fail(l.Offset, "templates nest deeper than %d", maxDepth)
	}
	inner, _ := l.Nested()
	for inner.Next() {
	}
	l.err = inner.err
	return l.err == nil
}

// fail keeps the error and returns false.
func (l *List) fail(offset int, form string, args ...any) bool {
	l.err = &SyntaxError{offset, fmt.Sprintf(form, args...)}
	return false
}

// AppendObjectHeader begins an object of count attributes.
func AppendObjectHeader(b []byte, order Order, count uint32, name [8]byte) []byte {
	b = order.AppendUint32(b, 0)
	b = order.AppendUint32(b, count)
	return append(b, name[:]...)
}

// AppendAttribute adds an attribute to a list; the value of a template is a
// list made in the same way.
func AppendAttribute(b []byte, order Order, typ uint32, value []byte) []byte {
	b = order.AppendUint32(b, typ)
	b = order.AppendUint32(b, 0)
	b = order.AppendUint32(b, uint32(len(value)))
	return append(b, value...)
}
