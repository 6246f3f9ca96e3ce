package tokendata

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/des"
	"crypto/md5"
	"crypto/rand"
	"crypto/sha1"
	"crypto/subtle"
	"fmt"
)

// MasterKey is what a token's private objects are under: 24 bytes for 3DES in
// the old format, 32 for AES in the new one and in old TPM tokens.
type MasterKey struct {
	format string
	key    []byte
}

const (
	keyDES = 24
	keyAES = 32
	keyCCA = 64 // of old CCA tokens; 3DES takes the first 24
)

// IVs of the old format (tok_struct.h).
const (
	keyFileIV   = "12345678"
	objectIV    = "10293847"
	objectIVTPM = ")#%&!*)^!()$&!&N"
)

// Open opens the role's MK file with its PIN. It wraps ErrPIN, ErrNoPIN, or,
// where the PIN is right and the file does not open, ErrDamaged: it is not the
// one that belongs to this NVTOK.DAT, or it is broken.
func (r Role) Open(nvtok, file, pin []byte) (*MasterKey, error) {
	if err := r.Check(nvtok, pin); err != nil {
		return nil, err
	}
	if ParseNVTOK(nvtok).Format == Old {
		return r.openOld(file, pin)
	}
	kek, err := r.derive(nvtok, r.wrap, pin)
	if err != nil {
		return nil, err
	}
	defer clear(kek)
	if len(file) != KeyFileNew {
		return nil, r.damaged("it has %d bytes, not %d", len(file), KeyFileNew)
	}
	key, ok := unwrapKey(kek, file)
	if !ok {
		return nil, r.damaged("it does not open")
	}
	return &MasterKey{New, key}, nil
}

func (r Role) openOld(file, pin []byte) (key *MasterKey, err error) {
	n := keyDES
	switch len(file) {
	case KeyFileOld:
	case KeyFileCCA:
		n = keyCCA
	default:
		return nil, r.damaged("it has %d bytes, not %d", len(file), KeyFileOld)
	}
	plain := make([]byte, len(file))
	exempt(func() {
		sum := md5.Sum(pin)
		kek := append(sum[:], sum[:8]...)
		cipher.NewCBCDecrypter(mustCipher(kek), []byte(keyFileIV)).CryptBlocks(plain, file)
		clear(kek)
		clear(sum[:])
	})
	defer clear(plain)
	if subtle.ConstantTimeCompare(sha1Of(plain[:n]), plain[n:n+sha1.Size]) != 1 {
		return nil, r.damaged("it does not open")
	}
	return &MasterKey{Old, append([]byte(nil), plain[:keyDES]...)}, nil
}

func (r Role) damaged(form string, args ...any) error {
	return fmt.Errorf("the %s is right, but %s is %w: %s", r.Name, r.KeyFile, ErrDamaged, fmt.Sprintf(form, args...))
}

// ZeroKey is what TPM tokens have their private objects under: the shared code
// takes a master key that the TPM token never sets (tpm_specific.c).
func ZeroKey(format string) *MasterKey { return &MasterKey{format, make([]byte, keyAES)} }

// NewMasterKey draws a master key of the new format.
func NewMasterKey() *MasterKey {
	k := &MasterKey{New, make([]byte, keyAES)}
	rand.Read(k.key)
	return k
}

// Format is that of the objects it opens.
func (k *MasterKey) Format() string { return k.format }

// Equal says whether two tokens share a master key.
func (k *MasterKey) Equal(other *MasterKey) bool {
	return k.format == other.format && subtle.ConstantTimeCompare(k.key, other.key) == 1
}

// Clear zeroes the key.
func (k *MasterKey) Clear() { clear(k.key) }

// mustCipher is 3DES or AES by the key's length, which is never the input's.
func mustCipher(key []byte) (b cipher.Block) {
	var err error
	if len(key) == keyDES {
		b, err = des.NewTripleDESCipher(key)
	} else {
		b, err = aes.NewCipher(key)
	}
	if err != nil {
		panic("tokendata: " + err.Error())
	}
	return b
}
