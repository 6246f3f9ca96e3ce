package opencryptoki

import (
	"bytes"
	"crypto/ecdh"
	"crypto/ed25519"
	"crypto/fips140"
	"math/big"
)

// maxRSA bounds the numbers that are reckoned with, to 8192 bits.
const maxRSA = 1 << 10

// judgeRSA checks what an RSA private key has of its parts against each other.
func (s *secretParts) judgeRSA(p *report) {
	for _, a := range []attribute{s.modulus, s.exponent, s.d, s.prime1, s.prime2, s.exp1, s.exp2, s.inverse} {
		if len(a.value) > maxRSA {
			p.add(Key, -1, "an RSA key with a number of %d bytes", len(a.value))
			return
		}
	}
	var numbers []*big.Int
	defer func() {
		for _, n := range numbers {
			clear(n.Bits())
		}
	}()
	number := func(a attribute) *big.Int {
		n := new(big.Int).SetBytes(a.value)
		numbers = append(numbers, n)
		return n
	}
	n, e, d := number(s.modulus), number(s.exponent), number(s.d)
	p1, p2 := number(s.prime1), number(s.prime2)
	one := big.NewInt(1)
	switch {
	case n.Sign() == 0 || n.Bit(0) == 0:
		p.add(Key, -1, "the RSA modulus of %d bytes is missing or even", len(s.modulus.value))
		return
	case d.Sign() == 0 && (p1.Sign() == 0 || p2.Sign() == 0):
		p.add(Key, -1, "an RSA private key without private exponent and primes")
		return
	}
	if p1.Sign() == 0 || p2.Sign() == 0 {
		s.judgeExponent(p, n, e, d)
		return
	}
	product := number(attribute{})
	if product.Mul(p1, p2); product.Cmp(n) != 0 || p1.Cmp(one) == 0 || p2.Cmp(one) == 0 {
		p.add(Key, -1, "the RSA primes do not multiply to the modulus")
		return
	}
	for _, half := range []struct {
		prime *big.Int
		exp   attribute
		name  string
	}{{p1, s.exp1, "CKA_EXPONENT_1"}, {p2, s.exp2, "CKA_EXPONENT_2"}} {
		order, x, exp := number(attribute{}), number(attribute{}), number(half.exp)
		order.Sub(half.prime, one)
		if x.Mod(x.Mul(d, e), order); d.Sign() > 0 && e.Sign() > 0 && x.Cmp(one) != 0 {
			p.add(Key, -1, "the RSA private exponent is not the inverse of the public one")
			return
		}
		if x.Mod(x.Mul(exp, e), order); exp.Sign() > 0 && e.Sign() > 0 && x.Cmp(one) != 0 {
			p.add(Key, -1, "%s does not fit the prime and the public exponent", half.name)
		}
	}
	inverse, x := number(s.inverse), number(attribute{})
	if x.Mod(x.Mul(inverse, p2), p1); inverse.Sign() > 0 && x.Cmp(one) != 0 {
		p.add(Key, -1, "CKA_COEFFICIENT is not the inverse of the second prime")
	}
}

// judgeExponent tries the exponents of a key that has no primes on a number.
func (s *secretParts) judgeExponent(p *report, n, e, d *big.Int) {
	if e.Sign() == 0 {
		return
	}
	x := big.NewInt(2)
	if x.Exp(x.Exp(x, e, n), d, n); x.Cmp(big.NewInt(2)) != 0 {
		p.add(Key, -1, "the RSA private exponent is not the inverse of the public one")
	}
}

// judgeEC checks a private key on the curves that Go multiplies on, and its
// point, if it has one. Of others nothing is said.
func (s *secretParts) judgeEC(p *report) {
	point, known, ok := publicOf(s.ecParams.value, s.value.value)
	told := coordinateOf(s.ecParams.value, s.ecPoint.value)
	switch {
	case !known:
	case !ok:
		p.add(Key, -1, "CKA_VALUE of %d bytes is no private key of the curve that CKA_EC_PARAMS names", len(s.value.value))
	case told != nil && !bytes.Equal(told, coordinateOf(s.ecParams.value, point)):
		p.add(Key, -1, "CKA_EC_POINT is not the public key of CKA_VALUE")
	}
}

// The DER of the names of curves with one coordinate.
const (
	oidEd25519 = "\x06\x03\x2b\x65\x70"
	oidX25519  = "\x06\x03\x2b\x65\x6e"
)

// publicOf multiplies a curve's generator by a private key; known is false for
// curves that Go does not have.
func publicOf(params, value []byte) (point []byte, known, ok bool) {
	size, curve := 32, ecdh.Curve(nil)
	for _, c := range curves {
		if string(params) == c.oid && c.check != nil {
			size, curve = c.size, c.check()
		}
	}
	switch {
	case string(params) == oidX25519:
		curve = ecdh.X25519()
	case string(params) == oidEd25519:
	case curve == nil:
		return nil, false, false
	default:
		value = bytes.TrimLeft(value, "\x00") // a number: leading zeros come and go
	}
	if len(value) > size || curve == nil && len(value) != size {
		return nil, true, false
	}
	scalar := make([]byte, size)
	defer clear(scalar)
	copy(scalar[size-len(value):], value)
	fips140.WithoutEnforcement(func() { // the token has the key, approved or not
		if curve == nil {
			seeded := ed25519.NewKeyFromSeed(scalar)
			point, ok = bytes.Clone(seeded[size:]), true
			clear(seeded)
			return
		}
		key, err := curve.NewPrivateKey(scalar)
		if ok = err == nil; ok {
			point = key.PublicKey().Bytes()
		}
	})
	return point, true, ok
}

// coordinateOf is what tells a CKA_EC_POINT from others: its x, or the one
// coordinate that it has. Nil for curves and forms that are not known.
func coordinateOf(params, point []byte) []byte {
	for _, c := range curves {
		if string(params) != c.oid {
			continue
		}
		if !pointFits(point, c.size, c.plain, nil) {
			e, rest, err := derElement(point)
			if err != nil || len(rest) > 0 {
				return nil
			}
			if point = e.content; e.class() == derBitString && len(point) > 0 {
				point = point[1:]
			}
		}
		switch {
		case !pointFits(point, c.size, c.plain, nil):
			return nil
		case c.plain:
			return point
		}
		return point[1 : 1+c.size]
	}
	return nil
}
