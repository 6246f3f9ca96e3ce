package opencryptoki

import "errors"

// The DER tags that certificates and keys here are made of.
const (
	derInteger         = 0x02
	derBitString       = 0x03
	derOctetString     = 0x04
	derNull            = 0x05
	derOID             = 0x06
	derPrintableString = 0x13
	derUTCTime         = 0x17
	derGeneralizedTime = 0x18
	derSequence        = 0x30
	derVersion         = 0xA0
	derIssuerID        = 0x81
	derSubjectID       = 0x82
	derExtensions      = 0xA3

	maxDERDepth = 32
)

// derFault is where an encoding breaks, from its beginning.
type derFault struct {
	at     int
	reason string
}

var (
	errDERShort = errors.New("an element goes beyond the end")
	errDERForm  = errors.New("a length that DER does not have")
)

// element is one DER element: what it is, where its content begins.
type element struct {
	tag     []byte // one byte but for large tag numbers
	content []byte
	whole   []byte
}

// class is the first byte of the tag: class, form, and number if small.
func (e element) class() byte { return e.tag[0] }

func (e element) constructed() bool { return e.tag[0]&0x20 != 0 }

// derElement splits the first element off b.
func derElement(b []byte) (e element, rest []byte, err error) {
	tag := 1
	if len(b) > 0 && b[0]&0x1f == 0x1f {
		for tag < len(b) && b[tag]&0x80 != 0 {
			tag++
		}
		tag++
	}
	if len(b) < tag+1 {
		return e, nil, errDERShort
	}
	at, n := tag+1, int(b[tag])
	if n >= 0x80 {
		k := n & 0x7f
		if k == 0 || k > 4 {
			return e, nil, errDERForm
		}
		if len(b) < at+k {
			return e, nil, errDERShort
		}
		n = 0
		for _, c := range b[at : at+k] {
			n = n<<8 | int(c)
		}
		at += k
	}
	if n > len(b)-at {
		return e, nil, errDERShort
	}
	return element{b[:tag], b[at : at+n], b[:at+n]}, b[at+n:], nil
}

// take splits an element of the given tag off *b; false, and nothing taken, if
// another is there.
func take(b *[]byte, e *element, tag byte) bool {
	found, rest, err := derElement(*b)
	if err != nil || found.class() != tag {
		return false
	}
	*e, *b = found, rest
	return true
}

// derWalk checks that b is a row of whole elements, also inside those that
// hold others; at is b's offset from the beginning.
func derWalk(b []byte, at, depth int) *derFault {
	if depth > maxDERDepth {
		return &derFault{at, "elements nest too deep"}
	}
	for len(b) > 0 {
		e, rest, err := derElement(b)
		if err != nil {
			return &derFault{at, err.Error()}
		}
		if e.constructed() {
			if fault := derWalk(e.content, at+len(e.whole)-len(e.content), depth+1); fault != nil {
				return fault
			}
		}
		at += len(e.whole)
		b = rest
	}
	return nil
}
