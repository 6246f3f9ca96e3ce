package keyslot

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"fmt"

	"tokar/format"
)

// A locked file of HPKE keys is a PEM block of
//
//	salt (32) ‖ cost (u32) ‖ nonce (12) ‖ sealed identity file ‖ tag (16)
//
// with the key of a passphrase slot (passphrase.go) and AAD
//
//	"tokar/1 locked key" 00 ‖ salt ‖ cost
//
// age's locked files need scrypt and ChaCha20-Poly1305, which are not
// FIPS-approved.
const (
	hpkeLockType   = "TOKAR LOCKED KEY"
	hpkeLockHeader = "-----BEGIN " + hpkeLockType + "-----"
	hpkeLockText   = "tokar/1 locked key\x00"
)

// LockHPKE encrypts an identity file with a passphrase, by what FIPS mode
// allows; ParseIdentities opens it. It zeroes neither.
func LockHPKE(identityFile, passphrase []byte) ([]byte, error) {
	return lockHPKE(identityFile, passphrase, DefaultCost)
}

func lockHPKE(file, passphrase []byte, cost uint32) ([]byte, error) {
	if len(passphrase) == 0 {
		return nil, errors.New("an empty passphrase")
	}
	head := make([]byte, saltSize, costEnd)
	rand.Read(head)
	head = binary.BigEndian.AppendUint32(head, cost)
	gcm, err := lockCipher(passphrase, head)
	if err != nil {
		return nil, err
	}
	sealed := gcm.Seal(nil, nil, file, lockAAD(head))
	return pem.EncodeToMemory(&pem.Block{Type: hpkeLockType, Bytes: append(head, sealed...)}), nil
}

func lockCipher(passphrase, head []byte) (cipher.AEAD, error) {
	key, err := stretch(passphrase, head)
	if err != nil {
		return nil, err
	}
	defer clear(key)
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

func lockAAD(head []byte) []byte { return append([]byte(hpkeLockText), head[:costEnd]...) }

// lockedHPKE reads what lockHPKE made, without asking for anything.
func lockedHPKE(text []byte, name string, ui *UI) (identities, error) {
	block, rest := pem.Decode(text)
	if block == nil || block.Type != hpkeLockType || len(block.Headers) > 0 || len(bytes.TrimSpace(rest)) > 0 ||
		len(block.Bytes) < costEnd+12+16 {
		return nil, errors.New("a damaged locked identity file")
	}
	if cost := binary.BigEndian.Uint32(block.Bytes[saltSize:]); cost < MinCost || cost > MaxCost {
		return nil, fmt.Errorf("a locked identity file with cost %d; from %d to %d are allowed", cost, MinCost, MaxCost)
	}
	unlock := func(passphrase []byte) (identities, error) { return unlockHPKE(block.Bytes, passphrase, ui) }
	return identities{&locked{name: name, ui: ui, mayBe: isHPKE, unlock: unlock}}, nil
}

func isHPKE(slot format.Slot) bool { return suiteOfBody(slot) != nil }

func unlockHPKE(b, passphrase []byte, ui *UI) (identities, error) {
	gcm, err := lockCipher(passphrase, b)
	if err != nil {
		return nil, err
	}
	plain, err := gcm.Open(nil, nil, b[costEnd:], lockAAD(b))
	if err != nil {
		return nil, ErrPassphrase
	}
	defer clear(plain)
	return identityLines(plain, ui)
}
