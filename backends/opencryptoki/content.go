package opencryptoki

import (
	"bytes"

	"tokar/backends/opencryptoki/tokendata"
	"tokar/format/cryptoki"
)

// attribute is a value found in a public object, with its place in the file.
type attribute struct {
	value []byte
	at    int // 0: not there
}

func (a attribute) found() bool { return a.at > 0 }

// content is what a public object says of itself.
type content struct {
	order                           cryptoki.Order
	class, keyType, certificateType attribute
	private, label, id, value       attribute
	modulus, modulusBits, exponent  attribute
	ecParams, ecPoint               attribute
	secret                          bool // it holds what is not public, or may
}

// content checks the inside of a public object; true if all of it is public.
func (v *validator) content(p *report, h tokendata.Object) bool {
	c := content{order: v.orderOf(h.Body)}
	if own, ok := cryptoki.OrderOf(h.Body); ok && v.orderKnown && own != v.order && h.Format == tokendata.New {
		p.add(ByteOrder, h.At+4, "%s-endian in a token of a %s-endian machine: the library does not load it", own, v.order)
	}
	if len(h.Body) >= cryptoki.ObjectHeader && !bytes.Equal(cryptoki.ObjectName(h.Body), p.r.Name) {
		p.add(Name, h.At+8, "carries the name %s inside: the object was renamed or damaged", quote(cryptoki.ObjectName(h.Body)))
	}
	list := cryptoki.ObjectList(h.Body, c.order)
	for list.Next() {
		c.take(&list, h.At)
	}
	if err := list.Err(); err != nil {
		p.add(Attributes, h.At+err.Offset, "%s", err.Reason)
	}
	c.describe(p)
	if list.Err() != nil {
		return false
	}
	return c.check(p, h) && !c.secret
}

// take keeps the current attribute if it is one that matters. Of one that stands
// there twice only the last is checked, so it may hide anything before.
func (c *content) take(l *cryptoki.List, at int) {
	a := c.place(l.Type)
	if a == nil {
		c.secret = c.secret || len(l.Value) > 0 && cryptoki.MaybeSecret(l.Type)
		return
	}
	c.secret = c.secret || a.found()
	*a = attribute{l.Value, at + l.Offset + cryptoki.AttributeHeader}
}

// place is where an attribute of a type is kept, or nil.
func (c *content) place(typ uint32) *attribute {
	switch typ {
	case cryptoki.CKA_CLASS:
		return &c.class
	case cryptoki.CKA_KEY_TYPE:
		return &c.keyType
	case cryptoki.CKA_CERTIFICATE_TYPE:
		return &c.certificateType
	case cryptoki.CKA_PRIVATE:
		return &c.private
	case cryptoki.CKA_LABEL:
		return &c.label
	case cryptoki.CKA_ID:
		return &c.id
	case cryptoki.CKA_VALUE:
		return &c.value
	case cryptoki.CKA_MODULUS:
		return &c.modulus
	case cryptoki.CKA_MODULUS_BITS:
		return &c.modulusBits
	case cryptoki.CKA_PUBLIC_EXPONENT:
		return &c.exponent
	case cryptoki.CKA_EC_PARAMS:
		return &c.ecParams
	case cryptoki.CKA_EC_POINT:
		return &c.ecPoint
	}
	return nil
}

// describe fills in what listings show.
func (c *content) describe(p *report) {
	if class, ok := c.order.Ulong(c.class.value); ok {
		p.r.Class = class
	}
	if keyType, ok := c.order.Ulong(c.keyType.value); ok {
		p.r.Details.KeyType = keyType
	}
	p.r.Details.Label, p.r.Details.ID = c.label.value, c.id.value
}

// check judges the values; true if the object is of a public class.
func (c *content) check(p *report, h tokendata.Object) bool {
	class, ok := c.order.Ulong(c.class.value)
	switch {
	case !c.class.found():
		p.add(Class, h.At, "has no CKA_CLASS")
		return false
	case !ok || !cryptoki.KnownClass(class):
		p.add(Class, c.class.at, "CKA_CLASS is %x, no class that PKCS#11 has", c.class.value)
		return false
	}
	if c.private.found() && !bytes.Equal(c.private.value, []byte{0}) {
		p.add(PrivateFlag, c.private.at, "CKA_PRIVATE is %.4x in an object that the file's header marks public", c.private.value)
	}
	switch class {
	case cryptoki.CKO_CERTIFICATE:
		return c.checkCertificate(p)
	case cryptoki.CKO_PUBLIC_KEY:
		c.checkPublicKey(p, h)
		return true
	}
	return class == cryptoki.CKO_DOMAIN_PARAMETERS && len(c.value.value) == 0 // a secret key's class differs in one bit
}
