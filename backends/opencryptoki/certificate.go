package opencryptoki

import (
	"bytes"

	"tokar/format/cryptoki"
)

// checkCertificate checks CKA_VALUE of an X.509 certificate; true if it is one.
// Package x509 is not asked: it refuses sound certificates for what it does not
// support (old curves, odd extensions), and costs more than reading the file.
func (c *content) checkCertificate(p *report) bool {
	value := c.value.value
	kind, ok := c.order.Ulong(c.certificateType.value)
	if c.certificateType.found() && (!ok || kind != cryptoki.CKC_X_509) {
		return false
	}
	if len(value) == 0 {
		return c.value.found() // a certificate given by its URL alone has no value
	}
	fault := certificateFault(value)
	if fault != nil {
		p.add(Certificate, c.value.at+fault.at, "no X.509 certificate: %s", fault.reason)
	}
	return fault == nil
}

// certificateFault checks that b is one DER element through and through, and
// has the frame of a certificate (RFC 5280, section 4.1); nil if so.
func certificateFault(b []byte) *derFault {
	if fault := derWalk(b, 0, 0); fault != nil {
		return fault
	}
	var whole, tbs, algorithm, signature element
	// Elements are slices of b up to its end: what is left of it tells where
	// they begin.
	at := func(e element) int { return cap(whole.whole) - cap(e.whole) }
	if !take(&b, &whole, derSequence) || len(b) > 0 {
		return &derFault{0, "not one sequence"}
	}
	rest := whole.content
	switch {
	case !take(&rest, &tbs, derSequence), !take(&rest, &algorithm, derSequence), !take(&rest, &signature, derBitString), len(rest) > 0:
		return &derFault{0, "not a body, an algorithm and a signature"}
	}
	var version, serial, inner, issuer, validity, subject, key element
	rest = tbs.content
	take(&rest, &version, derVersion)
	switch {
	case !take(&rest, &serial, derInteger), !take(&rest, &inner, derSequence), !take(&rest, &issuer, derSequence),
		!take(&rest, &validity, derSequence), !take(&rest, &subject, derSequence), !take(&rest, &key, derSequence):
		return &derFault{at(tbs), "the body lacks a field, or has it out of order"}
	case !bytes.Equal(inner.whole, algorithm.whole):
		return &derFault{at(algorithm), "two different signature algorithms"}
	case !isValidity(validity.content):
		return &derFault{at(validity), "no sound time of validity"}
	case !isPublicKeyInfo(key.content):
		return &derFault{at(key), "no algorithm and public key"}
	}
	var e element
	for _, tag := range []byte{derIssuerID, derSubjectID, derExtensions} {
		take(&rest, &e, tag)
	}
	if len(rest) > 0 {
		return &derFault{at(tbs) + len(tbs.whole) - len(rest), "the body goes on after its last field"}
	}
	return nil
}

// isPublicKeyInfo: an algorithm, which an object identifier names, and a key.
func isPublicKeyInfo(b []byte) bool {
	var algorithm, name, key element
	return take(&b, &algorithm, derSequence) && take(&algorithm.content, &name, derOID) &&
		take(&b, &key, derBitString) && len(b) == 0
}

// isValidity: two times made of digits.
func isValidity(b []byte) bool {
	for range 2 {
		var t element
		if !take(&b, &t, derUTCTime) && !take(&b, &t, derGeneralizedTime) {
			return false
		}
		digits := bytes.TrimRight(t.content, "Z")
		if len(digits) < 10 {
			return false
		}
		for _, c := range digits[:10] {
			if c < '0' || c > '9' {
				return false
			}
		}
	}
	return len(b) == 0
}
