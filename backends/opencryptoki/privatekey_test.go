package opencryptoki

import (
	"bytes"
	"crypto/ecdh"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"strings"
	"testing"
	"time"

	"tokar/backends/opencryptoki/tokendata"
	"tokar/format"
	"tokar/format/cryptoki"
)

// attrs are an object's attributes; makeObject encodes them.
type attrs map[uint32][]byte

func ulong(v uint32) []byte { return cryptoki.LittleEndian.AppendUint32(nil, v) }

func makeObject(name string, a attrs) []byte {
	b := cryptoki.AppendObjectHeader(nil, cryptoki.LittleEndian, uint32(len(a)), [8]byte([]byte(name)))
	for typ := range a {
		b = cryptoki.AppendAttribute(b, cryptoki.LittleEndian, typ, a[typ])
	}
	return b
}

// with gives a copy in which some attributes are others; nil takes one out.
func (a attrs) with(changes attrs) attrs {
	b := attrs{}
	for k, v := range a {
		b[k] = v
	}
	for k, v := range changes {
		if b[k] = v; v == nil {
			delete(b, k)
		}
	}
	return b
}

func rsaAttrs(t testing.TB) attrs {
	k, err := rsa.GenerateKey(rand.Reader, 1024)
	check(t, err)
	k.Precompute()
	return attrs{
		cryptoki.CKA_CLASS: ulong(cryptoki.CKO_PRIVATE_KEY), cryptoki.CKA_KEY_TYPE: ulong(cryptoki.CKK_RSA), cryptoki.CKA_PRIVATE: {1},
		cryptoki.CKA_ID: {7}, cryptoki.CKA_LABEL: []byte("a key"),
		cryptoki.CKA_MODULUS: k.N.Bytes(), cryptoki.CKA_PUBLIC_EXPONENT: big.NewInt(int64(k.E)).Bytes(), cryptoki.CKA_PRIVATE_EXPONENT: k.D.Bytes(),
		cryptoki.CKA_PRIME_1: k.Primes[0].Bytes(), cryptoki.CKA_PRIME_2: k.Primes[1].Bytes(),
		cryptoki.CKA_EXPONENT_1: k.Precomputed.Dp.Bytes(), cryptoki.CKA_EXPONENT_2: k.Precomputed.Dq.Bytes(), cryptoki.CKA_COEFFICIENT: k.Precomputed.Qinv.Bytes(),
	}
}

func oidOf(t testing.TB, size int) []byte {
	for _, c := range curves {
		if c.size == size && c.check != nil {
			return []byte(c.oid)
		}
	}
	t.Fatalf("no curve of %d bytes", size)
	return nil
}

func ecAttrs(t testing.TB, curve ecdh.Curve, params []byte) attrs {
	k, err := curve.GenerateKey(rand.Reader)
	check(t, err)
	return attrs{
		cryptoki.CKA_CLASS: ulong(cryptoki.CKO_PRIVATE_KEY), cryptoki.CKA_KEY_TYPE: ulong(cryptoki.CKK_EC), cryptoki.CKA_PRIVATE: {1}, cryptoki.CKA_ID: {7},
		cryptoki.CKA_EC_PARAMS: params, cryptoki.CKA_VALUE: k.Bytes(), cryptoki.CKA_EC_POINT: k.PublicKey().Bytes(),
	}
}

func edAttrs(t testing.TB) attrs {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	check(t, err)
	return attrs{
		cryptoki.CKA_CLASS: ulong(cryptoki.CKO_PRIVATE_KEY), cryptoki.CKA_KEY_TYPE: ulong(cryptoki.CKK_EC_EDWARDS), cryptoki.CKA_ID: {7},
		cryptoki.CKA_EC_PARAMS: []byte(oidEd25519), cryptoki.CKA_VALUE: private.Seed(), cryptoki.CKA_EC_POINT: public,
	}
}

// derString puts bytes into an OCTET STRING.
func derString(b []byte) []byte { return append([]byte{derOctetString, byte(len(b))}, b...) }

func flipped(b []byte) []byte {
	b = bytes.Clone(b)
	b[len(b)/2] ^= 4
	return b
}

// insideOf judges a private object in clear.
func insideOf(a attrs) []format.Finding {
	v := &validator{format: tokendata.Old, orderKnown: true}
	r := &format.Record{}
	r.Reset()
	r.Kind, r.Name = format.KindObject, format.Name("10000000")
	p := report{r: r}
	v.inside(&p, makeObject("10000000", a))
	return p.all()
}

func TestKeysOfPrivateObjects(t *testing.T) {
	k, p256, p521, x, ed := rsaAttrs(t), ecAttrs(t, ecdh.P256(), oidOf(t, 32)), ecAttrs(t, ecdh.P521(), oidOf(t, 66)), ecAttrs(t, ecdh.X25519(), []byte(oidX25519)), edAttrs(t)
	secret := attrs{cryptoki.CKA_CLASS: ulong(cryptoki.CKO_SECRET_KEY), cryptoki.CKA_KEY_TYPE: ulong(cryptoki.CKK_AES),
		cryptoki.CKA_VALUE: make([]byte, 32), cryptoki.CKA_VALUE_LEN: ulong(32)}
	noPrimes := attrs{cryptoki.CKA_PRIME_1: nil, cryptoki.CKA_PRIME_2: nil, cryptoki.CKA_EXPONENT_1: nil, cryptoki.CKA_EXPONENT_2: nil, cryptoki.CKA_COEFFICIENT: nil}
	minus2 := new(big.Int).Sub(new(big.Int).SetBytes(k[cryptoki.CKA_PRIVATE_EXPONENT]), big.NewInt(2)).Bytes()
	opaque := attrs{cryptoki.CKA_IBM_OPAQUE: []byte("a blob"), cryptoki.CKA_PRIVATE_EXPONENT: nil, cryptoki.CKA_VALUE: nil}
	for name, c := range map[string]struct {
		of   attrs
		kind string // empty: sound
	}{
		"rsa":                        {k, ""},
		"rsa without primes":         {k.with(noPrimes), ""},
		"rsa without exponent":       {k.with(attrs{cryptoki.CKA_PRIVATE_EXPONENT: nil}), ""},
		"rsa with leading zeros":     {k.with(attrs{cryptoki.CKA_MODULUS: append([]byte{0}, k[cryptoki.CKA_MODULUS]...)}), ""},
		"rsa, secure":                {k.with(noPrimes).with(opaque), ""},
		"rsa without anything":       {k.with(noPrimes).with(attrs{cryptoki.CKA_PRIVATE_EXPONENT: nil}), Key},
		"rsa, modulus":               {k.with(attrs{cryptoki.CKA_MODULUS: flipped(k[cryptoki.CKA_MODULUS])}), Key},
		"rsa, no modulus":            {k.with(attrs{cryptoki.CKA_MODULUS: {}}), Key},
		"rsa, prime 1":               {k.with(attrs{cryptoki.CKA_PRIME_1: flipped(k[cryptoki.CKA_PRIME_1])}), Key},
		"rsa, prime of 1":            {k.with(attrs{cryptoki.CKA_PRIME_1: {1}, cryptoki.CKA_PRIME_2: k[cryptoki.CKA_MODULUS]}), Key},
		"rsa, private exponent":      {k.with(attrs{cryptoki.CKA_PRIVATE_EXPONENT: minus2}), Key},
		"rsa, … without primes":      {k.with(noPrimes).with(attrs{cryptoki.CKA_PRIVATE_EXPONENT: minus2}), Key},
		"rsa, exponent 1":            {k.with(attrs{cryptoki.CKA_EXPONENT_1: flipped(k[cryptoki.CKA_EXPONENT_1])}), Key},
		"rsa, exponent 2":            {k.with(attrs{cryptoki.CKA_EXPONENT_2: flipped(k[cryptoki.CKA_EXPONENT_2])}), Key},
		"rsa, coefficient":           {k.with(attrs{cryptoki.CKA_COEFFICIENT: flipped(k[cryptoki.CKA_COEFFICIENT])}), Key},
		"rsa, a huge number":         {k.with(attrs{cryptoki.CKA_PRIME_1: make([]byte, maxRSA+1)}), Key},
		"P-256":                      {p256, ""},
		"P-256, point in DER":        {p256.with(attrs{cryptoki.CKA_EC_POINT: derString(p256[cryptoki.CKA_EC_POINT])}), ""},
		"P-256 without point":        {p256.with(attrs{cryptoki.CKA_EC_POINT: nil}), ""},
		"P-256, zeros before":        {p256.with(attrs{cryptoki.CKA_VALUE: append(make([]byte, 3), p256[cryptoki.CKA_VALUE]...)}), ""},
		"P-256, secure":              {p256.with(opaque), ""},
		"P-256, other value":         {p256.with(attrs{cryptoki.CKA_VALUE: flipped(p256[cryptoki.CKA_VALUE])}), Key},
		"P-256, zero":                {p256.with(attrs{cryptoki.CKA_VALUE: make([]byte, 32)}), Key},
		"P-256, beyond the order":    {p256.with(attrs{cryptoki.CKA_VALUE: bytes.Repeat([]byte{0xff}, 32)}), Key},
		"P-256, too long":            {p256.with(attrs{cryptoki.CKA_VALUE: bytes.Repeat([]byte{1}, 33)}), Key},
		"P-521":                      {p521, ""},
		"P-521, other point":         {p521.with(attrs{cryptoki.CKA_EC_POINT: ecAttrs(t, ecdh.P521(), nil)[cryptoki.CKA_EC_POINT]}), Key},
		"X25519":                     {x, ""},
		"X25519, other":              {x.with(attrs{cryptoki.CKA_VALUE: flipped(x[cryptoki.CKA_VALUE])}), Key},
		"Ed25519":                    {ed, ""},
		"Ed25519, other":             {ed.with(attrs{cryptoki.CKA_VALUE: flipped(ed[cryptoki.CKA_VALUE])}), Key},
		"Ed25519, short":             {ed.with(attrs{cryptoki.CKA_VALUE: ed[cryptoki.CKA_VALUE][1:]}), Key},
		"a curve that Go has not":    {p256.with(attrs{cryptoki.CKA_EC_PARAMS: []byte("\x06\x05\x2b\x81\x04\x00\x0a"), cryptoki.CKA_VALUE: {1, 2, 3}}), ""},
		"aes":                        {secret, ""},
		"aes, no length":             {secret.with(attrs{cryptoki.CKA_VALUE_LEN: nil}), ""},
		"aes, other length":          {secret.with(attrs{cryptoki.CKA_VALUE_LEN: ulong(16)}), Key},
		"aes of 31 bytes":            {secret.with(attrs{cryptoki.CKA_VALUE: make([]byte, 31), cryptoki.CKA_VALUE_LEN: ulong(31)}), Key},
		"aes without value":          {secret.with(attrs{cryptoki.CKA_VALUE: nil}), Key},
		"aes, secure":                {secret.with(attrs{cryptoki.CKA_VALUE: nil, cryptoki.CKA_IBM_OPAQUE: []byte("a blob")}), ""},
		"generic, length 0 of 3.8.1": {secret.with(attrs{cryptoki.CKA_KEY_TYPE: ulong(0x10), cryptoki.CKA_VALUE: make([]byte, 20), cryptoki.CKA_VALUE_LEN: ulong(0)}), ""},
		"public inside":              {secret.with(attrs{cryptoki.CKA_PRIVATE: {0}}), PrivateFlag},
		"no class":                   {secret.with(attrs{cryptoki.CKA_CLASS: nil}), Class},
		"unknown class":              {secret.with(attrs{cryptoki.CKA_CLASS: ulong(0x1234)}), Class},
	} {
		found := insideOf(c.of)
		if c.kind == "" && len(found) > 0 || c.kind != "" && (len(found) != 1 || found[0].Kind != c.kind) {
			t.Errorf("%s: %+v, want %q", name, found, c.kind)
		}
		for _, f := range found {
			if strings.Contains(f.Message, "a blob") || len(f.Message) > 120 {
				t.Errorf("%s: %s", name, f.Message)
			}
		}
	}
}

// TestPairs: a private key and what is public of it find each other by CKA_ID.
func TestPairs(t *testing.T) {
	k, other, ec := rsaAttrs(t), rsaAttrs(t), ecAttrs(t, ecdh.P256(), oidOf(t, 32))
	public := func(of attrs) attrs {
		return attrs{cryptoki.CKA_CLASS: ulong(cryptoki.CKO_PUBLIC_KEY), cryptoki.CKA_KEY_TYPE: of[cryptoki.CKA_KEY_TYPE], cryptoki.CKA_ID: {7},
			cryptoki.CKA_MODULUS: of[cryptoki.CKA_MODULUS], cryptoki.CKA_EC_PARAMS: of[cryptoki.CKA_EC_PARAMS], cryptoki.CKA_EC_POINT: of[cryptoki.CKA_EC_POINT]}
	}
	certificate := func(of attrs) attrs {
		template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "x"}, NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1, 0)}
		signer, err := rsa.GenerateKey(rand.Reader, 1024)
		check(t, err)
		var key any = &rsa.PublicKey{N: new(big.Int).SetBytes(of[cryptoki.CKA_MODULUS]), E: 65537}
		if of[cryptoki.CKA_EC_POINT] != nil {
			p, err := ecdh.P256().NewPublicKey(of[cryptoki.CKA_EC_POINT])
			check(t, err)
			der, err := x509.MarshalPKIXPublicKey(p)
			check(t, err)
			key, err = x509.ParsePKIXPublicKey(der)
			check(t, err)
		}
		der, err := x509.CreateCertificate(rand.Reader, template, template, key, signer)
		check(t, err)
		return attrs{cryptoki.CKA_CLASS: ulong(cryptoki.CKO_CERTIFICATE), cryptoki.CKA_CERTIFICATE_TYPE: ulong(0), cryptoki.CKA_ID: {7}, cryptoki.CKA_VALUE: der}
	}
	for name, c := range map[string]struct {
		objects []attrs
		found   int
	}{
		"a pair":                       {[]attrs{k, public(k)}, 0},
		"with its certificate":         {[]attrs{k, public(k), certificate(k)}, 0},
		"another's public key":         {[]attrs{k, public(other)}, 1},
		"another's certificate":        {[]attrs{k, certificate(other)}, 1},
		"two pairs of one CKA_ID":      {[]attrs{k, other, public(k), public(other)}, 0},
		"of which one has none":        {[]attrs{k, other, public(k)}, 1},
		"alone":                        {[]attrs{k}, 0},
		"another CKA_ID":               {[]attrs{k, public(other).with(attrs{cryptoki.CKA_ID: {8}})}, 0},
		"no CKA_ID":                    {[]attrs{k.with(attrs{cryptoki.CKA_ID: nil}), public(other).with(attrs{cryptoki.CKA_ID: nil})}, 0},
		"another type":                 {[]attrs{k, public(ec)}, 0},
		"EC":                           {[]attrs{ec, public(ec), certificate(ec)}, 0},
		"EC, its point not stored":     {[]attrs{ec.with(attrs{cryptoki.CKA_EC_POINT: nil}), public(ec)}, 0},
		"EC, another's":                {[]attrs{ec.with(attrs{cryptoki.CKA_EC_POINT: nil}), public(ecAttrs(t, ecdh.P256(), oidOf(t, 32)))}, 1},
		"EC, another's certificate":    {[]attrs{ec, certificate(ecAttrs(t, ecdh.P256(), oidOf(t, 32)))}, 1},
		"a secure key, with its point": {[]attrs{ec.with(attrs{cryptoki.CKA_VALUE: nil, cryptoki.CKA_IBM_OPAQUE: []byte("a blob")}), public(ecAttrs(t, ecdh.P256(), oidOf(t, 32)))}, 1},
	} {
		v := &vault{validator: validator{format: tokendata.Old, orderKnown: true}, pairs: pairs{}}
		for i, a := range c.objects {
			for typ, value := range a {
				if value == nil {
					delete(a, typ)
				}
			}
			file := string(rune('1'+i)) + "0000000"
			v.pair(format.Name(file), makeObject(file, a), cryptoki.LittleEndian.Uint32(a[cryptoki.CKA_CLASS]))
		}
		if found := v.pairs.judge(); len(found) != c.found {
			t.Errorf("%s: %+v", name, found)
		}
	}
}

// FuzzInside: whatever an object in clear holds, it is judged, and nothing of it
// is said that the findings of a public one would not.
func FuzzInside(f *testing.F) {
	f.Add(makeObject("10000000", rsaAttrs(f)))
	f.Add(makeObject("10000000", ecAttrs(f, ecdh.P256(), oidOf(f, 32))))
	f.Add(makeObject("10000000", edAttrs(f)))
	f.Fuzz(func(t *testing.T, object []byte) {
		v := &vault{validator: validator{format: tokendata.Old, orderKnown: true}, pairs: pairs{}}
		r := &format.Record{}
		r.Reset()
		r.Kind, r.Name = format.KindObject, format.Name("10000000")
		before := bytes.Clone(object)
		p := report{r: r}
		c := v.inside(&p, object)
		v.pair(r.Name, object, c.Class)
		v.pairs.judge()
		if !c.Opened || !bytes.Equal(before, object) || len(p.all()) > maxFindings+1 {
			t.Error("it changed what it judged, or found too much")
		}
	})
}
