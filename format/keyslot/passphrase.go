package keyslot

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"tokar/format"
)

// The body of a passphrase slot, 96 bytes:
//
//	salt (32) ‖ cost (u32) ‖ nonce (12) ‖ sealed secret (32) ‖ tag (16)
//
// The key is PBKDF2-HMAC-SHA-256(passphrase, salt, cost, 32 bytes), the seal
// AES-256-GCM with AAD
//
//	"tokar/1 passphrase" 00 ‖ suite (u16) ‖ archive id ‖ role (u8) ‖ salt ‖ cost
const (
	passphraseText = "tokar/1 passphrase\x00"
	saltSize       = 32
	costEnd        = saltSize + 4
	passphraseBody = costEnd + 12 + 32 + 16
)

// The cost of a passphrase slot: PBKDF2's iterations. Readers refuse others
// before they work.
const (
	DefaultCost = 600_000 // 80 ms in 2026
	MinCost     = 100_000
	MaxCost     = 10_000_000
)

// Passphrase is recipient and identity at once. It belongs to one goroutine.
type Passphrase struct {
	Cost uint32 // of new slots; 0 is DefaultCost

	// Salt and Nonces are for tests and vectors only, which must be
	// repeatable.
	Salt   io.Reader
	Nonces format.NonceSource

	ask    func() ([]byte, error)
	asked  bool
	secret []byte
	err    error
}

// NewPassphrase asks once, when a slot is made or may be opened, and keeps the
// answer until Wipe.
func NewPassphrase(ask func() ([]byte, error)) *Passphrase { return &Passphrase{ask: ask} }

// Wipe zeroes the passphrase. A later use fails; it does not ask again.
func (p *Passphrase) Wipe() {
	clear(p.secret)
	p.asked, p.secret, p.err = true, nil, errors.New("the passphrase is gone")
}

func (p *Passphrase) passphrase() ([]byte, error) {
	if !p.asked {
		p.asked = true
		p.secret, p.err = p.ask()
		if p.err == nil && len(p.secret) == 0 {
			p.err = errors.New("an empty passphrase")
		}
	}
	return p.secret, p.err
}

// Wrap makes a slot.
func (p *Passphrase) Wrap(ctx context.Context, k format.SlotKey) (format.Slot, error) {
	cost := p.Cost
	if cost == 0 {
		cost = DefaultCost
	}
	if cost < MinCost || cost > MaxCost {
		return format.Slot{}, fmt.Errorf("a passphrase cost of %d; from %d to %d are allowed", cost, MinCost, MaxCost)
	}
	if len(k.Secret) != 32 {
		return format.Slot{}, fmt.Errorf("a key of %d bytes for a slot", len(k.Secret))
	}
	body, err := p.salt()
	if err != nil {
		return format.Slot{}, err
	}
	body = binary.BigEndian.AppendUint32(body, cost)
	key, err := p.key(ctx, body)
	if err != nil {
		return format.Slot{}, err
	}
	defer clear(key)
	body, err = p.seal(body, key, k)
	return format.Slot{Type: format.SlotPassphrase, Role: k.Role, Body: body}, err
}

func (p *Passphrase) salt() ([]byte, error) {
	source := p.Salt
	if source == nil {
		source = rand.Reader
	}
	salt := make([]byte, saltSize, passphraseBody)
	_, err := io.ReadFull(source, salt)
	return salt, err
}

// key derives the slot's key from the head of its body: salt and cost.
func (p *Passphrase) key(ctx context.Context, body []byte) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	secret, err := p.passphrase()
	if err != nil {
		return nil, err
	}
	return stretch(secret, body)
}

// stretch makes a key of a passphrase; head begins with salt and cost.
func stretch(passphrase, head []byte) ([]byte, error) {
	cost := int(binary.BigEndian.Uint32(head[saltSize:costEnd]))
	return pbkdf2.Key(sha256.New, string(passphrase), head[:saltSize], cost, 32)
}

// seal appends nonce ‖ ciphertext ‖ tag to the body's head.
func (p *Passphrase) seal(head, key []byte, k format.SlotKey) ([]byte, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	aad := passphraseAAD(head, k.Role, k.Archive)
	if p.Nonces != nil {
		gcm, err := cipher.NewGCM(block)
		if err != nil {
			return nil, err
		}
		nonce := p.Nonces(aad)
		return gcm.Seal(append(head, nonce[:]...), nonce[:], k.Secret, aad), nil
	}
	gcm, err := cipher.NewGCMWithRandomNonce(block) // the only one under fips140=only
	if err != nil {
		return nil, err
	}
	return gcm.Seal(head, nil, k.Secret, aad), nil
}

// openSealed undoes seal.
func openSealed(body, key []byte, role format.Role, archive [32]byte) (format.SlotKey, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return format.SlotKey{}, err
	}
	gcm, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return format.SlotKey{}, err
	}
	secret, err := gcm.Open(nil, nil, body[costEnd:], passphraseAAD(body, role, archive))
	if err != nil {
		return format.SlotKey{}, format.ErrWrongPassphrase
	}
	return format.SlotKey{Role: role, Archive: archive, Secret: secret, Guessed: true}, nil
}

func passphraseAAD(body []byte, role format.Role, archive [32]byte) []byte {
	aad := append([]byte(passphraseText), 0, format.Suite)
	aad = append(append(aad, archive[:]...), byte(role))
	return append(aad, body[:costEnd]...)
}

// Unwrap tries the slot with tK, then the one with mK. All passphrase slots
// are checked before anybody is asked and before any work.
func (p *Passphrase) Unwrap(ctx context.Context, archive [32]byte, all []format.Slot) (format.SlotKey, error) {
	bodies, err := passphraseBodies(all)
	if err != nil {
		return format.SlotKey{}, err
	}
	failed := format.ErrNotForMe
	for _, role := range []format.Role{format.RoleRestore, format.RoleVerify} {
		body, ok := bodies[role]
		if !ok {
			continue
		}
		k, err := p.open(ctx, body, role, archive)
		if !errors.Is(err, format.ErrNotForMe) {
			return k, err
		}
		failed = err
	}
	return format.SlotKey{}, failed
}

func (p *Passphrase) open(ctx context.Context, body []byte, role format.Role, archive [32]byte) (format.SlotKey, error) {
	key, err := p.key(ctx, body)
	if err != nil {
		return format.SlotKey{}, err
	}
	defer clear(key)
	return openSealed(body, key, role, archive)
}

// passphraseBodies finds the one slot of each role and checks every bound.
func passphraseBodies(all []format.Slot) (map[format.Role][]byte, error) {
	bodies := map[format.Role][]byte{}
	for _, s := range all {
		if s.Type != format.SlotPassphrase {
			continue
		}
		if len(s.Body) != passphraseBody {
			return nil, fmt.Errorf("%w: a passphrase slot of %d bytes", format.ErrMalformed, len(s.Body))
		}
		if cost := binary.BigEndian.Uint32(s.Body[saltSize:]); cost < MinCost || cost > MaxCost {
			return nil, fmt.Errorf("%w: a passphrase slot with cost %d", format.ErrMalformed, cost)
		}
		if bodies[s.Role] != nil {
			return nil, fmt.Errorf("%w: two passphrase slots to %s", format.ErrMalformed, s.Role)
		}
		bodies[s.Role] = s.Body
	}
	return bodies, nil
}
