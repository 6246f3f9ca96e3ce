package format

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"hash"
	"sync/atomic"
)

// sealOverhead is what sealing adds: a nonce of 12 bytes before, a tag of 16
// after.
const sealOverhead = 28

// Keys are an archive's working keys, derived from tK and mK. A verifier's
// have no tK.
type Keys struct {
	archive [32]byte
	tK, mK  []byte

	commitT, commitM   []byte
	wrapM              *aead // emK: mK under a key from tK
	payload, seal      *aead
	recordMAC, proof   []byte
	slotMACt, slotMACm []byte
}

// NonceSource makes a nonce from what it will be used with. It serves tests
// and vectors, which must be repeatable; everything else draws nonces at
// random.
type NonceSource func(aad []byte) [12]byte

// GenerateKeys draws tK, mK and the archive id.
func GenerateKeys() (*Keys, error) {
	secret := make([]byte, 96)
	rand.Read(secret)
	return NewKeys([32]byte(secret[64:]), secret[:32], secret[32:64], nil)
}

// NewKeys derives the working keys. tK is nil for a verifier. Both are kept
// until Wipe.
func NewKeys(archive [32]byte, tK, mK []byte, nonces NonceSource) (*Keys, error) {
	k := &Keys{archive: archive}
	if tK != nil {
		if err := k.fromT(tK, nonces); err != nil {
			return nil, err
		}
	}
	return k, k.fromM(mK, nonces)
}

func (k *Keys) fromT(tK []byte, nonces NonceSource) error {
	k.tK = tK
	d := deriver{secret: tK, archive: k.archive, nonces: nonces}
	k.commitT = d.key("tK commitment")
	k.wrapM = d.aead("tK emK")
	k.payload = d.aead("tK payload")
	k.proof = d.key("tK restore proof")
	k.slotMACt = d.key("tK slot MAC")
	return d.err
}

func (k *Keys) fromM(mK []byte, nonces NonceSource) error {
	k.mK = mK
	d := deriver{secret: mK, archive: k.archive, nonces: nonces}
	k.commitM = d.key("mK commitment")
	k.seal = d.aead("mK seal")
	k.recordMAC = d.key("mK record MAC")
	k.slotMACm = d.key("mK slot MAC")
	return d.err
}

// Restores says whether tK is known.
func (k *Keys) Restores() bool { return k.tK != nil }

// SlotKey is what a slot of the given role carries.
func (k *Keys) SlotKey(role Role) SlotKey {
	secret := k.tK
	if role == RoleVerify {
		secret = k.mK
	}
	return SlotKey{Role: role, Archive: k.archive, Secret: secret}
}

// Wipe zeroes tK, mK and what was derived from them; the ciphers' own key
// schedules are out of reach.
func (k *Keys) Wipe() {
	for _, b := range [][]byte{k.tK, k.mK, k.commitT, k.commitM, k.recordMAC, k.proof, k.slotMACt, k.slotMACm} {
		clear(b)
	}
}

// deriver makes working keys, one for each purpose, and keeps the first error.
type deriver struct {
	secret  []byte
	archive [32]byte
	nonces  NonceSource
	err     error
}

// key is HKDF-SHA-256 with the archive id as salt and the purpose as info.
func (d *deriver) key(purpose string) []byte {
	if len(d.secret) != 32 {
		d.err = badf(ErrAuthentic, "a key of %d bytes", len(d.secret))
	}
	if d.err != nil {
		return nil
	}
	info := append([]byte("tokar/1\x00"), 0, Suite, byte(len(purpose)))
	key, err := hkdf.Key(sha256.New, d.secret, d.archive[:], string(append(info, purpose...)), 32)
	d.err = err
	return key
}

func (d *deriver) aead(purpose string) *aead {
	key := d.key(purpose)
	if d.err != nil {
		return nil
	}
	defer clear(key) // the cipher has its own schedule
	block, err := aes.NewCipher(key)
	if err != nil {
		d.err = err
		return nil
	}
	a := &aead{nonces: d.nonces}
	if a.random, d.err = cipher.NewGCMWithRandomNonce(block); d.err == nil && d.nonces != nil {
		a.fixed, d.err = cipher.NewGCM(block)
	}
	return a
}

// aead is AES-256-GCM with the nonce stored before the ciphertext. It is safe
// for many goroutines.
type aead struct {
	random cipher.AEAD
	fixed  cipher.AEAD // with nonces, in tests
	nonces NonceSource
	seals  atomic.Uint64
}

var errTooManySeals = errors.New("2^32 blocks or objects under one archive's keys; make several archives")

// seal appends nonce ‖ ciphertext ‖ tag to dst.
func (a *aead) seal(dst, plain, aad []byte) ([]byte, error) {
	if a.seals.Add(1) > MaxSeals {
		return dst, errTooManySeals
	}
	if a.nonces != nil {
		nonce := a.nonces(aad)
		return a.fixed.Seal(append(dst, nonce[:]...), nonce[:], plain, aad), nil
	}
	return a.random.Seal(dst, nil, plain, aad), nil
}

// open appends the plaintext of what seal made.
func (a *aead) open(dst, sealed, aad []byte) ([]byte, error) {
	out, err := a.random.Open(dst, nil, sealed, aad)
	if err != nil {
		return dst, ErrAuthentic
	}
	return out, nil
}

func newHMAC(key []byte) hash.Hash { return hmac.New(sha256.New, key) }

// RecordMAC makes and checks record MACs. It belongs to one goroutine.
type RecordMAC struct {
	h      hash.Hash
	header []byte
	sum    [32]byte // not on the stack: the hash is an interface
}

// RecordMAC gives a worker its own.
func (k *Keys) RecordMAC() *RecordMAC { return &RecordMAC{h: newHMAC(k.recordMAC)} }

// Sum makes the MAC over header, metadata and payload as stored.
func (m *RecordMAC) Sum(r *Record) [32]byte {
	m.header = r.AppendHeader(m.header[:0], len(r.Payload))
	m.h.Reset()
	m.h.Write(m.header)
	m.h.Write(r.Metadata)
	m.h.Write(r.Payload)
	m.h.Sum(m.sum[:0])
	return m.sum
}

// Check compares a record's MAC in constant time.
func (m *RecordMAC) Check(r *Record) error {
	sum := m.Sum(r)
	if !hmac.Equal(sum[:], r.MAC[:]) {
		return badf(ErrAuthentic, "record %d: its MAC does not hold", r.Seq)
	}
	return nil
}
