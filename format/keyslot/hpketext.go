package keyslot

import (
	"crypto/hpke"
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// HPKE keys as text: a prefix that says what it is, then Base32 (RFC 4648,
// without padding) of the key and the first 4 bytes of SHA-256(prefix ‖ key).
// Public keys are in lower case, secret ones in upper, each only so: letters
// and digits survive every way of copying, and the sum finds what was mistyped,
// cut off, or given another prefix.
//
//	tokar-hpke-p256-…                 P-256's point, uncompressed (65 bytes)
//	tokar-hpke-mlkem768p256-…         ML-KEM's key (1,184), P-256's point (65)
//	TOKAR-SECRET-KEY-HPKE-P256-…      the scalar (32)
//	TOKAR-SECRET-KEY-HPKE-MLKEM768P256-…  the seed of both (32)
const (
	hpkePublicPrefix = "tokar-hpke-"
	hpkeSecretPrefix = "TOKAR-SECRET-KEY-HPKE-"
	keySum           = 4
)

var lowerBase32 = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)
var upperBase32 = base32.StdEncoding.WithPadding(base32.NoPadding)

func (s *hpkeSuite) publicPrefix() string { return hpkePublicPrefix + s.name + "-" }
func (s *hpkeSuite) secretPrefix() string {
	return hpkeSecretPrefix + strings.ToUpper(s.name) + "-"
}

// encodeKey makes a text of a key.
func encodeKey(prefix string, e *base32.Encoding, key []byte) string {
	b := append([]byte(prefix), key...)
	defer clear(b)
	sum := sha256.Sum256(b)
	b = append(b, sum[:keySum]...)
	defer clear(b)
	return prefix + e.EncodeToString(b[len(prefix):])
}

// decodeKey undoes encodeKey, for a key of n bytes; no other text is taken.
func decodeKey(text, prefix string, e *base32.Encoding, n int) ([]byte, bool) {
	data := strings.TrimPrefix(text, prefix)
	if len(data) != e.EncodedLen(n+keySum) {
		return nil, false
	}
	b, err := e.DecodeString(data)
	if err != nil || len(b) != n+keySum || encodeKey(prefix, e, b[:n]) != text {
		clear(b)
		return nil, false
	}
	return b[:n], true
}

var errUnknownHPKE = errors.New("an HPKE key of a kind that is not known; mistyped, or made by a newer tokar?")

// parseHPKERecipient reads what begins with hpkePublicPrefix.
func parseHPKERecipient(text string) (*hpkeRecipient, error) {
	if err := refuseHPKE(); err != nil {
		return nil, err
	}
	for _, s := range hpkeSuites {
		if !strings.HasPrefix(text, s.publicPrefix()) {
			continue
		}
		b, ok := decodeKey(text, s.publicPrefix(), lowerBase32, s.public)
		if !ok {
			return nil, errBadRecipient
		}
		to, err := s.kem.NewPublicKey(b)
		if err != nil {
			return nil, errBadRecipient
		}
		return &hpkeRecipient{s, to, text[:len(s.publicPrefix())+8] + "…"}, nil
	}
	return nil, errUnknownHPKE
}

// parseHPKEIdentity reads what begins with hpkeSecretPrefix.
func parseHPKEIdentity(text string) (*hpkeKey, error) {
	if err := refuseHPKE(); err != nil {
		return nil, err
	}
	for _, s := range hpkeSuites {
		if !strings.HasPrefix(text, s.secretPrefix()) {
			continue
		}
		b, ok := decodeKey(text, s.secretPrefix(), upperBase32, hpkeSecret)
		if !ok {
			return nil, errBadIdentity
		}
		defer clear(b)
		key, err := s.kem.NewPrivateKey(b)
		if err != nil {
			return nil, errBadIdentity
		}
		return &hpkeKey{s, key}, nil
	}
	return nil, errUnknownHPKE
}

// GenerateHPKE is GenerateHybrid for an HPKE identity of a kind of HPKESuites.
func GenerateHPKE(now time.Time, kind string) (file []byte, recipient string, err error) {
	i := slices.IndexFunc(hpkeSuites, func(s *hpkeSuite) bool { return s.name == kind })
	if i < 0 {
		return nil, "", fmt.Errorf("no kind of HPKE key: there are %s", strings.Join(HPKESuites(), " and "))
	}
	if err := refuseHPKE(); err != nil {
		return nil, "", err
	}
	key, err := hpkeSuites[i].kem.GenerateKey()
	if err != nil {
		return nil, "", err
	}
	return hpkeSuites[i].file(now, key)
}

func (s *hpkeSuite) file(now time.Time, key hpke.PrivateKey) (file []byte, recipient string, err error) {
	secret, err := key.Bytes()
	if err != nil {
		return nil, "", err
	}
	defer clear(secret)
	recipient = encodeKey(s.publicPrefix(), lowerBase32, key.PublicKey().Bytes())
	return identityFile(now, recipient, encodeKey(s.secretPrefix(), upperBase32, secret)), recipient, nil
}
