package opencryptoki

import (
	"bytes"

	"tokar/backends"
	"tokar/format/cryptoki"
)

// secretParts are the attributes of a private object that say whether its key
// is one. All point into memory that the caller zeroes.
type secretParts struct {
	content
	valueLen, opaque                       attribute
	d, prime1, prime2, exp1, exp2, inverse attribute
}

func (s *secretParts) place(typ uint32) *attribute {
	switch typ {
	case cryptoki.CKA_VALUE_LEN:
		return &s.valueLen
	case cryptoki.CKA_IBM_OPAQUE:
		return &s.opaque
	case cryptoki.CKA_PRIVATE_EXPONENT:
		return &s.d
	case cryptoki.CKA_PRIME_1:
		return &s.prime1
	case cryptoki.CKA_PRIME_2:
		return &s.prime2
	case cryptoki.CKA_EXPONENT_1:
		return &s.exp1
	case cryptoki.CKA_EXPONENT_2:
		return &s.exp2
	case cryptoki.CKA_COEFFICIENT:
		return &s.inverse
	}
	return s.content.place(typ)
}

// partsOf reads an object in clear. Of an attribute that stands there twice the
// last counts, as it does for the library.
func (v *validator) partsOf(object []byte) (s secretParts, err *cryptoki.SyntaxError) {
	s.order = v.orderOf(object)
	list := cryptoki.ObjectList(object, s.order)
	for list.Next() {
		if a := s.place(list.Type); a != nil {
			*a = attribute{list.Value, list.Offset + cryptoki.AttributeHeader}
		}
	}
	return s, list.Err()
}

// inside judges a private object that was opened, and says what it is. Places
// in it are none of its file, so findings have no offset.
func (v *validator) inside(p *report, object []byte) (c backends.Content) {
	c.Opened, c.Class, c.KeyType = true, p.r.Class, p.r.Details.KeyType
	if own, ok := cryptoki.OrderOf(object); ok && v.orderKnown && own != v.order {
		p.add(ByteOrder, -1, "%s-endian inside, in a token of a %s-endian machine: the library does not load it", own, v.order)
	}
	if len(object) >= cryptoki.ObjectHeader && !bytes.Equal(cryptoki.ObjectName(object), p.r.Name) {
		p.add(Name, -1, "carries the name %s inside: the file was renamed", quote(cryptoki.ObjectName(object)))
	}
	s, err := v.partsOf(object)
	if err != nil {
		p.add(Attributes, -1, "inside: %s", err.Reason)
	}
	if class, ok := s.order.Ulong(s.class.value); ok {
		c.Class = class
	}
	if keyType, ok := s.order.Ulong(s.keyType.value); ok {
		c.KeyType = keyType
	}
	c.Label, c.ID = bytes.Clone(s.label.value), bytes.Clone(s.id.value)
	if err == nil {
		s.judge(p, c.Class, c.KeyType)
	}
	return c
}

// judge says what is wrong with the values.
func (s *secretParts) judge(p *report, class, keyType uint32) {
	switch told, ok := s.order.Ulong(s.class.value); {
	case !s.class.found():
		p.add(Class, -1, "has no CKA_CLASS")
		return
	case !ok || !cryptoki.KnownClass(told):
		p.add(Class, -1, "CKA_CLASS is %x, no class that PKCS#11 has", s.class.value)
		return
	}
	if s.private.found() && !bytes.Equal(s.private.value, []byte{1}) {
		p.add(PrivateFlag, -1, "CKA_PRIVATE is %.4x inside an object that the file's header marks private", s.private.value)
	}
	if len(s.opaque.value) > 0 {
		return // a secure key: its parts are the HSM's
	}
	switch {
	case class == cryptoki.CKO_SECRET_KEY:
		s.judgeSecret(p, keyType)
	case class == cryptoki.CKO_PRIVATE_KEY && keyType == cryptoki.CKK_RSA:
		s.judgeRSA(p)
	case class == cryptoki.CKO_PRIVATE_KEY:
		s.judgeEC(p)
	}
}

// keyLengths are those of keys that have few.
var keyLengths = map[uint32][]int{
	cryptoki.CKK_DES:     {8},
	cryptoki.CKK_DES2:    {16},
	cryptoki.CKK_DES3:    {24},
	cryptoki.CKK_AES:     {16, 24, 32},
	cryptoki.CKK_AES_XTS: {32, 64},
}

// judgeSecret compares lengths; the parity of DES keys nobody asks for. 3.8.1
// writes a CKA_VALUE_LEN of 0 into generic secrets.
func (s *secretParts) judgeSecret(p *report, keyType uint32) {
	n := len(s.value.value)
	if n == 0 {
		p.add(Key, -1, "a secret key without a value")
		return
	}
	if told, ok := s.order.Ulong(s.valueLen.value); s.valueLen.found() && (!ok || told != 0 && int64(told) != int64(n)) {
		p.add(Key, -1, "CKA_VALUE_LEN is %x and the key has %d bytes", s.valueLen.value, n)
	}
	if lengths := keyLengths[keyType]; lengths != nil {
		for _, l := range lengths {
			if n == l {
				return
			}
		}
		p.add(Key, -1, "%d bytes are no key of its type", n)
	}
}
