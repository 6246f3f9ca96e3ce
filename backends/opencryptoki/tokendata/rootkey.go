package tokendata

import (
	"bytes"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/subtle"
	"crypto/x509"
	"encoding/binary"
	"encoding/pem"
	"fmt"
	"strings"
)

// A TPM token keeps its two root keys in PEM files too, each under a PIN, so that
// another TPM can take them (tpm_openssl.c): RSA keys in the traditional form,
// AES-256-CBC, the key MD5 of PIN and IV.
const (
	maxRootKey    = 16 << 10 // bytes of such a file; those of the library have 1,766
	maxRootBits   = 8192
	rootKeyCipher = "AES-256-CBC,"
)

// OpenRootKey opens a TPM token's PEM file. It wraps ErrPIN where the PIN does
// not open it: it is another, or the file is of the time before it was changed.
// It wraps ErrDamaged for what is no such file.
func OpenRootKey(file, pin []byte) (key *rsa.PrivateKey, err error) {
	if len(file) > maxRootKey {
		return nil, fmt.Errorf("%w: %d bytes are no PEM file of a key", ErrDamaged, len(file))
	}
	block, _ := pem.Decode(file)
	if block == nil || block.Type != "RSA PRIVATE KEY" || !strings.HasPrefix(block.Headers["DEK-Info"], rootKeyCipher) {
		return nil, fmt.Errorf("%w: it holds no RSA key under AES-256-CBC", ErrDamaged)
	}
	exempt(func() {
		var der []byte
		//lint:ignore SA1019 nothing else reads what the library writes; that it does not authenticate is why the key is compared
		if der, err = x509.DecryptPEMBlock(block, pin); err == nil {
			key, err = x509.ParsePKCS1PrivateKey(der)
		}
		clear(der)
	})
	if err != nil { // wrong padding, or by chance none: both mean another key
		return nil, fmt.Errorf("%w: it does not open the file", ErrPIN)
	}
	if key.N.BitLen() > maxRootBits {
		return nil, fmt.Errorf("%w: a key of %d bits", ErrDamaged, key.N.BitLen())
	}
	return key, nil
}

// A TPM_KEY of version 1.1 ends in the length of its encrypted part (u32) and
// that part, which the parent key opens (OAEP, label TCPA): a TPM_STORE_ASYMKEY,
// whose usage auth, 20 bytes after the payload type 1, is SHA-1 of the PIN of a
// leaf key.
const (
	payloadAsym = 1
	atUsageAuth = 1
	asymKeyHead = 1 + 3*sha1.Size
)

// LeafPIN says whether the PIN is that of a leaf key, whose TPM_KEY this is: the
// one that the TPM checks. ok is false where root does not open it.
func LeafPIN(root *rsa.PrivateKey, tpmKey, pin []byte) (same, ok bool) {
	n := root.Size()
	if len(tpmKey) < n+4 || int64(binary.BigEndian.Uint32(tpmKey[len(tpmKey)-n-4:])) != int64(n) {
		return false, false
	}
	var body []byte
	var err error
	exempt(func() {
		body, err = rsa.DecryptOAEP(sha1.New(), nil, root, bytes.Clone(tpmKey[len(tpmKey)-n:]), []byte("TCPA"))
	})
	defer clear(body)
	if err != nil || len(body) < asymKeyHead || body[0] != payloadAsym {
		return false, false
	}
	want := sha1Of(pin)
	return subtle.ConstantTimeCompare(body[atUsageAuth:atUsageAuth+sha1.Size], want) == 1, true
}
