package opencryptoki

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"slices"

	"tokar/format"
	"tokar/format/cryptoki"
)

// pairs knows of each key and certificate with a CKA_ID a digest of its public
// part, by object name: some 100 bytes each.
type pairs map[string]half

// half is a private key, or what is public of one.
type half struct {
	id      string
	keyType uint32
	private bool
	public  [sha256.Size]byte
}

// maxPairs is four times what a token may have of objects, so that an archive
// cannot make us remember more.
const maxPairs = 1 << 14

// pair takes note of an object in clear.
func (v *vault) pair(name format.Name, object []byte, class uint32) {
	if class != cryptoki.CKO_PRIVATE_KEY && class != cryptoki.CKO_PUBLIC_KEY && class != cryptoki.CKO_CERTIFICATE {
		return
	}
	s, err := v.partsOf(object)
	if err != nil || len(s.id.value) == 0 || len(s.id.value) > 1<<10 {
		return
	}
	if v.ofTPM && len(s.opaque.value) > 0 {
		return // CKA_MODULUS of a private key is another number there (3.8.1)
	}
	h := half{id: string(s.id.value), private: class == cryptoki.CKO_PRIVATE_KEY}
	var public []byte
	if class == cryptoki.CKO_CERTIFICATE {
		h.keyType, public = certifiedKey(s.value.value)
	} else {
		h.keyType, _ = s.order.Ulong(s.keyType.value)
		public = s.publicPart(h.keyType, h.private)
	}
	if len(public) == 0 {
		return
	}
	h.public = sha256.Sum256(public)
	v.mu.Lock()
	defer v.mu.Unlock()
	if _, known := v.pairs[string(name)]; known || len(v.pairs) < maxPairs {
		v.pairs[string(name)] = h
	}
}

// publicPart is what tells a key pair from others: the modulus, or a coordinate
// of the point.
func (s *secretParts) publicPart(keyType uint32, private bool) []byte {
	if keyType == cryptoki.CKK_RSA {
		return bytes.TrimLeft(s.modulus.value, "\x00")
	}
	point := s.ecPoint.value
	if len(point) == 0 && private && len(s.opaque.value) == 0 {
		point, _, _ = publicOf(s.ecParams.value, s.value.value)
	}
	return coordinateOf(s.ecParams.value, point)
}

// The algorithms of keys in certificates (RFC 3279, 5480, 8410), with the key
// types that they are.
var certifiedTypes = map[string]uint32{
	"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01": cryptoki.CKK_RSA,
	"\x06\x07\x2a\x86\x48\xce\x3d\x02\x01":         cryptoki.CKK_EC,
	oidEd25519:                                     cryptoki.CKK_EC_EDWARDS,
	oidX25519:                                      cryptoki.CKK_EC_MONTGOMERY,
}

// certifiedKey is the public key in a certificate; nil if it is of another
// type, or there is none.
func certifiedKey(b []byte) (keyType uint32, public []byte) {
	var whole, tbs, e, key, algorithm, name, bits element
	if !take(&b, &whole, derSequence) || !take(&whole.content, &tbs, derSequence) {
		return 0, nil
	}
	rest := tbs.content
	take(&rest, &e, derVersion)
	for _, tag := range []byte{derInteger, derSequence, derSequence, derSequence, derSequence} {
		if !take(&rest, &e, tag) {
			return 0, nil
		}
	}
	if !take(&rest, &key, derSequence) || !take(&key.content, &algorithm, derSequence) ||
		!take(&algorithm.content, &name, derOID) || !take(&key.content, &bits, derBitString) || len(bits.content) == 0 {
		return 0, nil
	}
	keyType, known := certifiedTypes[string(name.whole)]
	public = bits.content[1:]
	switch {
	case !known:
		return 0, nil
	case keyType == cryptoki.CKK_EC:
		return keyType, coordinateOf(algorithm.content, public)
	case keyType != cryptoki.CKK_RSA:
		return keyType, public
	}
	var modulus element
	if !take(&public, &e, derSequence) || !take(&e.content, &modulus, derInteger) {
		return 0, nil
	}
	return keyType, bytes.TrimLeft(modulus.content, "\x00")
}

// judge finds private keys for which public keys or certificates of the same
// CKA_ID and type are there, and none is theirs. Where several keys share a
// CKA_ID, one that fits is enough.
func (p pairs) judge() (found []format.Finding) {
	type group struct {
		id      string
		keyType uint32
	}
	publics := map[group][]string{}
	for name, h := range p {
		if !h.private {
			publics[group{h.id, h.keyType}] = append(publics[group{h.id, h.keyType}], name)
		}
	}
	for name, h := range p {
		others := publics[group{h.id, h.keyType}]
		if !h.private || len(others) == 0 {
			continue
		}
		fits := func(other string) bool { return p[other].public == h.public }
		if !slices.ContainsFunc(others, fits) {
			found = append(found, finding(KeyPair, objectPath([]byte(name)), -1,
				"the public key or certificate with its CKA_ID is of another key: %s", slices.Min(others)))
		}
	}
	slices.SortFunc(found, func(a, b format.Finding) int { return cmp.Compare(a.File, b.File) })
	return found
}
