package keyslot

import (
	"context"
	"crypto/ecdh"
	"crypto/fips140"
	"crypto/hpke"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"tokar/format"
)

// The body of an HPKE slot (RFC 9180, mode base) is
//
//	KEM (u16) ‖ enc ‖ sealed secret (32) ‖ tag (16)
//
// with HKDF-SHA-256 and AES-256-GCM. Info and AAD repeat the slot's place, so
// that it opens in no other:
//
//	info = "tokar/1 HPKE" 00 ‖ suite (u16) ‖ archive id (32)
//	aad  = slot type (u16) ‖ role (u8)
const (
	hpkeText   = "tokar/1 HPKE\x00"
	hpkeSealed = 32 + 16
)

// hpkeSuite is a KEM that slots may use, and its lengths in bytes.
type hpkeSuite struct {
	name        string // in key texts and on command lines
	title       string // for people
	kem         hpke.KEM
	public, enc int
	quantum     bool
}

// hpkeSuites are all of version 1. docs/FORMAT.md specifies both: the hybrid
// is of draft-ietf-hpke-pq, and archives must not change with a draft.
var hpkeSuites = []*hpkeSuite{
	{name: "mlkem768p256", title: "HPKE post-quantum", kem: hpke.MLKEM768P256(), public: 1184 + 65, enc: 1088 + 65, quantum: true},
	{name: "p256", title: "HPKE P-256", kem: hpke.DHKEM(ecdh.P256()), public: 65, enc: 65},
}

// hpkeSecret is the length of secret keys: P-256's scalar, the hybrid's seed.
const hpkeSecret = 32

// HPKESuites are the names of the kinds of HPKE key, the default first.
func HPKESuites() (names []string) {
	for _, s := range hpkeSuites {
		names = append(names, s.name)
	}
	return names
}

func (s *hpkeSuite) bodySize() int { return 2 + s.enc + hpkeSealed }

// suiteOfBody is the suite that a slot names; nil if it is none that is known.
func suiteOfBody(slot format.Slot) *hpkeSuite {
	if slot.Type != format.SlotHPKE || len(slot.Body) < 2 {
		return nil
	}
	id := binary.BigEndian.Uint16(slot.Body)
	i := slices.IndexFunc(hpkeSuites, func(s *hpkeSuite) bool { return s.kem.ID() == id })
	if i < 0 {
		return nil
	}
	return hpkeSuites[i]
}

// hpkePlace is what a seal is bound to.
func hpkePlace(role format.Role, archive [32]byte) (info, aad []byte) {
	info = binary.BigEndian.AppendUint16([]byte(hpkeText), format.Suite)
	aad = binary.BigEndian.AppendUint16(nil, uint16(format.SlotHPKE))
	return append(info, archive[:]...), append(aad, byte(role))
}

// sealHPKE returns what was encapsulated and what was sealed.
func sealHPKE(to hpke.PublicKey, aead hpke.AEAD, info, aad, plain []byte) (enc, sealed []byte, err error) {
	enc, sender, err := hpke.NewSender(to, hpke.HKDFSHA256(), aead, info)
	if err != nil {
		return nil, nil, err
	}
	sealed, err = sender.Seal(aad, plain)
	return enc, sealed, err
}

// openHPKE undoes sealHPKE.
func openHPKE(key hpke.PrivateKey, aead hpke.AEAD, enc, info, aad, sealed []byte) ([]byte, error) {
	recipient, err := hpke.NewRecipient(enc, key, hpke.HKDFSHA256(), aead, info)
	if err != nil {
		return nil, err
	}
	return recipient.Open(aad, sealed)
}

// hpkeRecipient is an HPKE public key.
type hpkeRecipient struct {
	suite *hpkeSuite
	to    hpke.PublicKey
	short string // for messages
}

func (r *hpkeRecipient) Wrap(ctx context.Context, k format.SlotKey) (format.Slot, error) {
	slot, _, err := r.wrap(ctx, k)
	return slot, err
}

// wrap says too whether the recipient is post-quantum.
func (r *hpkeRecipient) wrap(ctx context.Context, k format.SlotKey) (slot format.Slot, quantum bool, err error) {
	if err := ctx.Err(); err != nil {
		return slot, false, err
	}
	if len(k.Secret) != 32 {
		return slot, false, fmt.Errorf("a key of %d bytes for a slot", len(k.Secret))
	}
	info, aad := hpkePlace(k.Role, k.Archive)
	enc, sealed, err := sealHPKE(r.to, hpke.AES256GCM(), info, aad, k.Secret)
	if err != nil {
		return slot, false, fmt.Errorf("recipient %s: %w", r.short, err)
	}
	body := binary.BigEndian.AppendUint16(make([]byte, 0, r.suite.bodySize()), r.suite.kem.ID())
	body = append(append(body, enc...), sealed...)
	return format.Slot{Type: format.SlotHPKE, Role: k.Role, Body: body}, r.suite.quantum, nil
}

func (r *hpkeRecipient) name() string { return r.short }

// hpkeKey is an HPKE secret key.
type hpkeKey struct {
	suite *hpkeSuite
	key   hpke.PrivateKey
}

// open tries a slot of the key's KEM. There is no hint whom a slot is for, so
// what does not open may be somebody else's.
func (k *hpkeKey) open(_ context.Context, archive [32]byte, slot format.Slot) (format.SlotKey, error) {
	if suiteOfBody(slot) != k.suite {
		return format.SlotKey{}, format.ErrNotForMe
	}
	if len(slot.Body) != k.suite.bodySize() {
		return format.SlotKey{}, fmt.Errorf("%w: an HPKE slot of %d bytes", format.ErrMalformed, len(slot.Body))
	}
	info, aad := hpkePlace(slot.Role, archive)
	enc, sealed := slot.Body[2:2+k.suite.enc], slot.Body[2+k.suite.enc:]
	secret, err := openHPKE(k.key, hpke.AES256GCM(), enc, info, aad, sealed)
	if err != nil {
		return format.SlotKey{}, format.ErrNotForMe
	}
	return format.SlotKey{Role: slot.Role, Archive: archive, Secret: secret}, nil
}

// refuseHPKE comes before every call of HPKE: the frozen module v1.0.0 lacks
// the GCM that HPKE needs, so that with fips140=only every call fails there.
func refuseHPKE() error {
	if !fips140.Enforced() || fips140.Version() != "v1.0.0" {
		return nil
	}
	return errors.New("HPKE needs Go's cryptographic module v1.26.0 or later with fips140=only, " +
		"and this tokar was built with GOFIPS140=v1.0.0; use a passphrase")
}
