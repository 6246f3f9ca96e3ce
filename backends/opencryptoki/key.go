package opencryptoki

import (
	"bytes"
	"crypto/ecdh"
	"math/bits"

	"tokar/backends/opencryptoki/tokendata"
	"tokar/format/cryptoki"
)

// checkPublicKey checks the public parts of RSA and elliptic-curve keys.
func (c *content) checkPublicKey(p *report, h tokendata.Object) {
	keyType, ok := c.order.Ulong(c.keyType.value)
	if !ok {
		p.add(Key, max(c.keyType.at, h.At), "a public key without a sound CKA_KEY_TYPE")
		return
	}
	switch keyType {
	case cryptoki.CKK_RSA:
		c.checkRSA(p, h)
	case cryptoki.CKK_EC, cryptoki.CKK_EC_EDWARDS, cryptoki.CKK_EC_MONTGOMERY:
		c.checkEC(p, h)
	default:
		return
	}
	// These have no CKA_VALUE; a private EC key's is the key.
	c.secret = c.secret || len(c.value.value) > 0
}

func (c *content) checkRSA(p *report, h tokendata.Object) {
	n, e := bytes.TrimLeft(c.modulus.value, "\x00"), bytes.TrimLeft(c.exponent.value, "\x00")
	switch {
	case len(n) == 0 || n[len(n)-1]&1 == 0:
		p.add(Key, max(c.modulus.at, h.At), "the RSA modulus of %d bytes is missing or even", len(c.modulus.value))
		return
	case len(e) == 0 || e[len(e)-1]&1 == 0 || len(e) == 1 && e[0] == 1 || len(e) > len(n):
		p.add(Key, max(c.exponent.at, h.At), "the RSA public exponent of %d bytes is missing, even or out of range", len(c.exponent.value))
	}
	length := 8*(len(n)-1) + bits.Len8(n[0])
	if told, ok := c.order.Ulong(c.modulusBits.value); c.modulusBits.found() && (!ok || int64(told) != int64(length)) {
		p.add(Key, c.modulusBits.at, "CKA_MODULUS_BITS is %x and the modulus has %d bits", c.modulusBits.value, length)
	}
}

// curves whose points have a known length: object identifiers as DER has them
// (usr/include/ec_curves.h), and the length of a coordinate. check is nil where
// Go cannot tell whether a point is on the curve.
var curves = [...]struct {
	oid   string
	size  int
	plain bool // Edwards and Montgomery curves: the point is one coordinate
	check func() ecdh.Curve
}{
	{"\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x01", 24, false, nil},       // P-192
	{"\x06\x05\x2b\x81\x04\x00\x21", 28, false, nil},                   // P-224
	{"\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07", 32, false, ecdh.P256}, // P-256
	{"\x06\x05\x2b\x81\x04\x00\x22", 48, false, ecdh.P384},             // P-384
	{"\x06\x05\x2b\x81\x04\x00\x23", 66, false, ecdh.P521},             // P-521
	{"\x06\x05\x2b\x81\x04\x00\x0a", 32, false, nil},                   // secp256k1
	{"\x06\x09\x2b\x24\x03\x03\x02\x08\x01\x01\x07", 32, false, nil},   // brainpoolP256r1
	{"\x06\x09\x2b\x24\x03\x03\x02\x08\x01\x01\x0b", 48, false, nil},   // brainpoolP384r1
	{"\x06\x09\x2b\x24\x03\x03\x02\x08\x01\x01\x0d", 64, false, nil},   // brainpoolP512r1
	{"\x06\x03\x2b\x65\x70", 32, true, nil},                            // Ed25519
	{"\x06\x03\x2b\x65\x71", 57, true, nil},                            // Ed448
	{"\x06\x03\x2b\x65\x6e", 32, true, nil},                            // X25519
	{"\x06\x03\x2b\x65\x6f", 56, true, nil},                            // X448
}

func (c *content) checkEC(p *report, h tokendata.Object) {
	params, point := c.ecParams.value, c.ecPoint.value
	if e, rest, err := derElement(params); err != nil || len(rest) > 0 || !namesCurve(e.class()) {
		p.add(Key, max(c.ecParams.at, h.At), "CKA_EC_PARAMS of %d bytes names no curve", len(params))
		return
	}
	if len(point) == 0 {
		p.add(Key, max(c.ecPoint.at, h.At), "a public key without a point")
		return
	}
	for _, curve := range curves {
		if string(params) != curve.oid {
			continue
		}
		ok := pointFits(point, curve.size, curve.plain, curve.check)
		if e, rest, err := derElement(point); !ok && err == nil && len(rest) == 0 {
			inner := e.content
			if e.class() == derBitString && len(inner) > 0 {
				inner = inner[1:]
			}
			ok = pointFits(inner, curve.size, curve.plain, curve.check)
		}
		if !ok {
			p.add(Key, c.ecPoint.at, "CKA_EC_POINT of %d bytes is no point of the curve that CKA_EC_PARAMS names", len(point))
		}
	}
}

// pointFits says whether b has the form of a point with coordinates of size
// bytes, and lies on the curve where that can be told.
func pointFits(b []byte, size int, plain bool, curve func() ecdh.Curve) bool {
	switch {
	case plain:
		return len(b) == size
	case len(b) == 1+size:
		return b[0] == 2 || b[0] == 3
	case len(b) != 1+2*size || b[0] != 4:
		return false
	case curve == nil:
		return true
	}
	_, err := curve().NewPublicKey(b)
	return err == nil
}

// namesCurve: an object identifier, a curve's name, explicit parameters, or the
// NULL of inherited ones.
func namesCurve(tag byte) bool {
	return tag == derOID || tag == derPrintableString || tag == derSequence || tag == derNull
}
