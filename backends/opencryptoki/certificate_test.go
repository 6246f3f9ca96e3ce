package opencryptoki

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/asn1"
	"math/big"
	"slices"
	"testing"
	"time"
)

// TestCertificateFault takes a certificate's body apart and puts it together
// wrongly.
func TestCertificateFault(t *testing.T) {
	seed := make([]byte, ed25519.SeedSize)
	key := ed25519.NewKeyFromSeed(seed)
	template := &x509.Certificate{SerialNumber: big.NewInt(7), NotAfter: time.Unix(1<<31, 0), DNSNames: []string{"a"}}
	der, err := x509.CreateCertificate(nil, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	raw := func(tag byte, content ...[]byte) []byte {
		b, err := asn1.Marshal(asn1.RawValue{Class: int(tag >> 6), Tag: int(tag & 31), IsCompound: tag&32 != 0, Bytes: slices.Concat(content...)})
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	parts := func(b []byte) (all [][]byte) {
		for len(b) > 0 {
			e, rest, err := derElement(b)
			if err != nil {
				t.Fatal(err)
			}
			all, b = append(all, e.whole), rest
		}
		return all
	}
	whole, _, _ := derElement(der)
	outer := parts(whole.content)
	tbs, _, _ := derElement(outer[0])
	fields := parts(tbs.content) // version, serial, algorithm, issuer, validity, subject, key, extensions
	const keyAt = 6
	oid, bits := raw(derOID, []byte{42}), raw(derBitString, []byte{0, 1})
	with := func(change func(f [][]byte) [][]byte) []byte {
		f := change(slices.Clone(fields))
		return raw(derSequence, raw(derSequence, f...), outer[1], outer[2])
	}
	replaced := func(at int, by []byte) []byte {
		return with(func(f [][]byte) [][]byte { f[at] = by; return f })
	}
	for _, c := range []struct {
		name   string
		der    []byte
		reason string
	}{
		{"as it is", der, ""},
		{"put together again", with(func(f [][]byte) [][]byte { return f }), ""},
		{"a curve that nobody knows", replaced(keyAt, raw(derSequence, raw(derSequence, oid), bits)), ""},
		{"unique identifiers", with(func(f [][]byte) [][]byte {
			return slices.Insert(f, 7, raw(derIssuerID, []byte{0, 1}), raw(derSubjectID, []byte{0, 1}))
		}), ""},
		{"no extensions", with(func(f [][]byte) [][]byte { return f[:7] }), ""},
		{"a key without an algorithm", replaced(keyAt, raw(derSequence, bits)), "no algorithm and public key"},
		{"an algorithm without a name", replaced(keyAt, raw(derSequence, raw(derSequence), bits)), "no algorithm and public key"},
		{"an algorithm without a key", replaced(keyAt, raw(derSequence, raw(derSequence, oid))), "no algorithm and public key"},
		{"two keys", replaced(keyAt, raw(derSequence, raw(derSequence, oid), bits, bits)), "no algorithm and public key"},
		{"more after the extensions", with(func(f [][]byte) [][]byte { return append(f, bits) }), "the body goes on after its last field"},
		{"no key", with(func(f [][]byte) [][]byte { return f[:keyAt] }), "the body lacks a field, or has it out of order"},
		{"two algorithms", replaced(2, raw(derSequence, oid)), "two different signature algorithms"},
		{"no time", replaced(4, raw(derSequence)), "no sound time of validity"},
		{"no signature", raw(derSequence, outer[0], outer[1]), "not a body, an algorithm and a signature"},
	} {
		got := ""
		if fault := certificateFault(c.der); fault != nil {
			got = fault.reason
		}
		if got != c.reason {
			t.Errorf("%s: %q, want %q", c.name, got, c.reason)
		}
	}
}
