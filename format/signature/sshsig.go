package signature

import (
	"bytes"
	"crypto/sha512"
	"encoding/binary"
	"errors"
	"fmt"
	"math/big"
	"slices"

	"golang.org/x/crypto/ssh"
	"tokar/format"
)

// The blob of a signature (OpenSSH's PROTOCOL.sshsig, section 2): the magic and
// version, then five strings, each after its length (u32): public key,
// namespace, reserved, hash algorithm, signature.
const (
	magic    = "SSHSIG"
	version  = 1
	hashName = "sha512"
)

// userPresent is the flag that a security key sets when it was touched.
const userPresent = 0x01

// Verify checks a blob over a message and says whose it is. The error is of
// exactly one of format's classes.
func Verify(blob, message []byte) (*Signature, error) {
	key, sig, err := parse(blob)
	if err != nil {
		return nil, err
	}
	if key.Verify(signed(message), sig) != nil {
		return nil, fmt.Errorf("%w: its signature, with %s, does not hold", format.ErrAuthentic, made(key))
	}
	return made(key), nil
}

// signed is what the SSH key signs (PROTOCOL.sshsig, section 3).
func signed(message []byte) []byte {
	hash := sha512.Sum512(message)
	b := appendStrings([]byte(magic), []byte(namespace), nil, []byte(hashName))
	return appendStrings(b, hash[:])
}

// encode makes the blob.
func encode(key ssh.PublicKey, sig *ssh.Signature) []byte {
	b := binary.BigEndian.AppendUint32([]byte(magic), version)
	return appendStrings(b, key.Marshal(), []byte(namespace), nil, []byte(hashName), ssh.Marshal(sig))
}

// parse takes a blob apart. What it gives has one encoding.
func parse(blob []byte) (ssh.PublicKey, *ssh.Signature, error) {
	rest, ok := bytes.CutPrefix(blob, []byte(magic))
	if !ok || len(rest) < 4 {
		return nil, nil, malformed("it does not begin as one")
	}
	if v := binary.BigEndian.Uint32(rest); v != version {
		return nil, nil, fmt.Errorf("%w: a signature of version %d", format.ErrUnsupported, v)
	}
	rest = rest[4:]
	var part [5][]byte
	for i := range part {
		if part[i], rest, ok = cutString(rest); !ok {
			return nil, nil, malformed("it is cut short")
		}
	}
	switch {
	case len(rest) > 0:
		return nil, nil, malformed("%d bytes after it", len(rest))
	case len(part[2]) > 0:
		return nil, nil, malformed("its reserved part is not empty")
	case string(part[3]) != hashName:
		return nil, nil, fmt.Errorf("%w: its signature is over a digest of type %q", format.ErrUnsupported, part[3])
	case string(part[1]) != namespace:
		return nil, nil, fmt.Errorf("%w: its signature was made for %q, and no archive", format.ErrAuthentic, part[1])
	}
	key, err := parseKey(part[0])
	if unfit := (*keyError)(nil); errors.As(err, &unfit) {
		return nil, nil, fmt.Errorf("%w: its signature was made with %s", unfit.class, unfit.what)
	}
	sig, err := parseSignature(key, part[4])
	return key, sig, err
}

// parseSignature reads the innermost part: algorithm, signature, and of
// security keys flags (u8) and a counter (u32).
func parseSignature(key ssh.PublicKey, b []byte) (*ssh.Signature, error) {
	algorithm, b, ok := cutString(b)
	if !ok {
		return nil, malformed("it is cut short")
	}
	switch {
	case slices.Contains(algorithms[key.Type()], string(algorithm)):
	case string(algorithm) == ssh.KeyAlgoRSA:
		return nil, fmt.Errorf("%w: its signature was made with SHA-1", format.ErrAuthentic)
	default:
		return nil, fmt.Errorf("%w: its signature was made with %s and %q", format.ErrUnsupported, key.Type(), algorithm)
	}
	s, rest, ok := cutString(b)
	want := 0
	securityKey := key.Type() == ssh.KeyAlgoSKED25519 || key.Type() == ssh.KeyAlgoSKECDSA256
	if securityKey {
		want = 5
	}
	switch {
	case !ok || len(rest) != want || !wellFormed(key, s):
		return nil, malformed("it is no signature of %s", algorithm)
	case securityKey && rest[0]&userPresent == 0:
		return nil, fmt.Errorf("%w: its signature was made by a security key that nobody touched", format.ErrAuthentic)
	}
	return &ssh.Signature{Format: string(algorithm), Blob: s, Rest: rest}, nil
}

// wellFormed: Ed25519's 64 bytes, as many as an RSA key's modulus, or r and s
// of ECDSA as SSH numbers without leading zeros.
func wellFormed(key ssh.PublicKey, s []byte) bool {
	switch key.Type() {
	case ssh.KeyAlgoED25519, ssh.KeyAlgoSKED25519:
		return len(s) == 64
	case ssh.KeyAlgoRSA:
		return len(s) == (rsaBits(key)+7)/8
	}
	var n struct{ R, S *big.Int }
	return ssh.Unmarshal(s, &n) == nil && n.R.Sign() > 0 && n.S.Sign() > 0 && bytes.Equal(ssh.Marshal(n), s)
}

func malformed(form string, args ...any) error {
	return fmt.Errorf("%w: its signature: %s", format.ErrMalformed, fmt.Sprintf(form, args...))
}

func appendStrings(b []byte, strings ...[]byte) []byte {
	for _, s := range strings {
		b = append(binary.BigEndian.AppendUint32(b, uint32(len(s))), s...)
	}
	return b
}

func cutString(b []byte) (s, rest []byte, ok bool) {
	if len(b) < 4 {
		return nil, nil, false
	}
	n := binary.BigEndian.Uint32(b)
	if uint64(n) > uint64(len(b)-4) {
		return nil, nil, false
	}
	return b[4 : 4+n], b[4+n:], true
}
