package tokendata

import (
	"bytes"
	"crypto/fips140"
	"crypto/pbkdf2"
	"crypto/sha1"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"
)

// ErrPIN: a PIN is not the token's.
var ErrPIN = errors.New("wrong PIN")

// ErrNoPIN: the token has no such PIN yet.
var ErrNoPIN = errors.New("not set")

// ErrDamaged: the PIN is right, or cannot be judged, and the bytes are not what
// the library writes.
var ErrDamaged = errors.New("damaged")

// maxRounds bounds the derivation of a key from a PIN, to some ten seconds. The
// library writes 100,000.
const maxRounds = 10_000_000

// Check says whether a PIN is the role's by NVTOK.DAT alone, as C_Login does,
// but for the counter of wrong PINs: that is a write, and nobody writes here.
// It wraps ErrPIN, ErrNoPIN or ErrDamaged.
func (r Role) Check(nvtok, pin []byte) error {
	n := ParseNVTOK(nvtok)
	switch {
	case n.Format == Unknown:
		return fmt.Errorf("NVTOK.DAT has %d bytes: %w", len(nvtok), ErrDamaged)
	case !r.Set(nvtok):
		return fmt.Errorf("the %s is %w", r.Name, ErrNoPIN)
	case n.Format == Old:
		return r.verdict(sha1Of(pin), nvtok[r.hash:r.hash+sha1.Size])
	}
	got, err := r.derive(nvtok, r.login, pin)
	if err != nil {
		return err
	}
	defer clear(got)
	return r.verdict(got, nvtok[r.login+8+saltSize:r.login+8+saltSize+32])
}

func (r Role) verdict(got, want []byte) error {
	if subtle.ConstantTimeCompare(got, want) != 1 {
		return fmt.Errorf("the %s: %w", r.Name, ErrPIN)
	}
	return nil
}

// saltSize: 32 bytes of purpose, padded with _, and 32 random ones.
const saltSize = 64

// derive is PBKDF2 with the rounds and salt that stand at an offset of a new
// NVTOK.DAT.
func (r Role) derive(nvtok []byte, at int, pin []byte) ([]byte, error) {
	rounds := binary.BigEndian.Uint64(nvtok[at:])
	if rounds == 0 || rounds > maxRounds {
		return nil, fmt.Errorf("NVTOK.DAT, byte %d: PIN derivation of %d rounds: %w", at, rounds, ErrDamaged)
	}
	return deriveKey(pin, nvtok[at+8:at+8+saltSize], int(rounds)), nil
}

// deriveKey is PBKDF2-HMAC-SHA-512 to 32 bytes (new_host.c).
func deriveKey(pin, salt []byte, rounds int) (key []byte) {
	exempt(func() { // PINs are shorter than what FIPS mode takes
		var err error
		if key, err = pbkdf2.Key(sha512.New, string(pin), bytes.Clone(salt), rounds, 32); err != nil {
			panic("tokendata: PBKDF2: " + err.Error()) // cannot be: no length depends on the input
		}
	})
	return key
}

func sha1Of(b []byte) (sum []byte) {
	exempt(func() {
		s := sha1.Sum(b)
		sum = s[:]
	})
	return sum
}

// exempt runs what Go's FIPS mode does not approve and the formats demand: the
// old one is MD5, SHA-1 and 3DES, and to leave it is what sites in FIPS mode
// read it for.
func exempt(f func()) { fips140.WithoutEnforcement(f) }
