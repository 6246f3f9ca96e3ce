package tokendata

import (
	"bytes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha1"
	"crypto/subtle"
	"encoding/binary"
	"fmt"

	"tokar/format/cryptoki"
)

// Open decrypts and authenticates a private object file: SHA-1 in the old
// format, GCM in the new. The object is the caller's to zero. What is wrong
// wraps ErrDamaged; that is also what an object under another master key is.
func (k *MasterKey) Open(file []byte) (object []byte, err error) {
	h := ParseObject(file, k.format)
	switch {
	case !h.Private || file[AtPrivate] != 1:
		return nil, fmt.Errorf("it is no private object: %w", ErrDamaged)
	case h.Format != k.format:
		return nil, fmt.Errorf("an object in the %s format under a master key of the %s one: %w", h.Format, k.format, ErrDamaged)
	case k.format == Old:
		return k.openOld(file, h)
	}
	return k.openNew(file, h)
}

// openOld: u32 length, object, SHA-1 of the object, PKCS padding.
func (k *MasterKey) openOld(file []byte, h Object) ([]byte, error) {
	if _, ok := OldWord(file); !ok {
		return nil, fmt.Errorf("its length field does not tell its %d bytes: %w", len(file), ErrDamaged)
	}
	size := k.block()
	if len(h.Body) < size || len(h.Body)%size != 0 {
		return nil, fmt.Errorf("an encrypted body of %d bytes, no multiple of %d: %w", len(h.Body), size, ErrDamaged)
	}
	plain := make([]byte, len(h.Body))
	exempt(func() { cipher.NewCBCDecrypter(mustCipher(k.key), k.iv()).CryptBlocks(plain, h.Body) })
	n := int64(h.Order.Uint32(plain))
	end := 4 + n + sha1.Size
	pad := int64(len(plain)) - end
	sound := pad >= 1 && pad <= int64(size) && allPadding(plain[end:]) &&
		subtle.ConstantTimeCompare(sha1Of(plain[4:4+n]), plain[4+n:end]) == 1
	if !sound {
		clear(plain)
		return nil, fmt.Errorf("it does not decrypt to an object and its SHA-1: %w", ErrDamaged)
	}
	object := plain[4 : 4+n : 4+n]
	clear(plain[4+n:])
	return object, nil
}

func allPadding(b []byte) bool {
	return bytes.Count(b, []byte{byte(len(b))}) == len(b)
}

func (k *MasterKey) openNew(file []byte, h Object) ([]byte, error) {
	if len(file) < NewPrivateHeader+NewTag {
		return nil, fmt.Errorf("%d bytes are no private object: %w", len(file), ErrDamaged)
	}
	if n := uint64(binary.BigEndian.Uint32(file[AtPrivateLength:])); n != uint64(len(h.Body)) {
		return nil, fmt.Errorf("its header tells %d bytes and %d are there: %w", n, len(h.Body), ErrDamaged)
	}
	key, ok := unwrapKey(k.key, WrappedKey(file))
	if !ok {
		return nil, fmt.Errorf("its object key does not open: damage, or another master key: %w", ErrDamaged)
	}
	defer clear(key)
	object, err := gcm(key).Open(nil, file[AtIV:AtIV+12], file[NewPrivateHeader:], file[:NewPrivateHeader])
	if err != nil {
		return nil, fmt.Errorf("it does not authenticate: %w", ErrDamaged)
	}
	return object, nil
}

// WrappedKey is a new private object's own key under the master key. It stays
// when the object is changed.
func WrappedKey(file []byte) []byte {
	if len(file) < AtIV {
		return nil
	}
	return file[AtIV-KeyFileNew : AtIV]
}

// Seal makes the file of a private object, whose name stands in the object. In
// the new format it draws an object key, with the counter at 1, as for an object
// just made; order matters to the old format alone. The object must be whole.
func (k *MasterKey) Seal(object []byte, order cryptoki.Order) []byte {
	if k.format == Old {
		return k.sealOld(object, order)
	}
	key := make([]byte, keyAES)
	rand.Read(key)
	defer clear(key)
	file := make([]byte, NewPrivateHeader, NewPrivateHeader+len(object)+NewTag)
	binary.BigEndian.PutUint32(file, Version312)
	file[AtPrivate] = 1
	copy(file[AtIV-KeyFileNew:], wrapKey(k.key, key))
	copy(file[AtIV:], cryptoki.ObjectName(object))
	binary.BigEndian.PutUint32(file[AtIV+8:], 1)
	binary.BigEndian.PutUint32(file[AtPrivateLength:], uint32(len(object)))
	var sealed []byte
	exempt(func() { sealed = gcm(key).Seal(file, file[AtIV:AtIV+12], object, file) })
	return sealed
}

func (k *MasterKey) sealOld(object []byte, order cryptoki.Order) []byte {
	size := k.block()
	plain := order.AppendUint32(make([]byte, 0, 4+len(object)+sha1.Size+size), uint32(len(object)))
	plain = append(append(plain, object...), sha1Of(object)...)
	pad := size - len(plain)%size
	plain = append(plain, bytes.Repeat([]byte{byte(pad)}, pad)...)
	defer clear(plain)
	file := append(order.AppendUint32(nil, uint32(OldHeader+len(plain))), 1)
	file = append(file, plain...)
	exempt(func() {
		cipher.NewCBCEncrypter(mustCipher(k.key), k.iv()).CryptBlocks(file[OldHeader:], plain)
	})
	return file
}

// Public makes the file of a public object in a format. Order matters to the
// old one alone.
func Public(format string, object []byte, order cryptoki.Order) []byte {
	if format == Old {
		return append(append(order.AppendUint32(nil, uint32(OldHeader+len(object))), 0), object...)
	}
	file := make([]byte, NewPublicHeader, NewPublicHeader+len(object))
	binary.BigEndian.PutUint32(file, Version312)
	binary.BigEndian.PutUint32(file[AtPublicLength:], uint32(len(object)))
	return append(file, object...)
}

// block is the cipher's block size in the old format, iv its IV for objects.
func (k *MasterKey) block() int {
	if len(k.key) == keyDES {
		return BlockDES
	}
	return BlockAES
}

func (k *MasterKey) iv() []byte {
	if len(k.key) == keyDES {
		return []byte(objectIV)
	}
	return []byte(objectIVTPM)
}

// gcm takes IVs from the format, which FIPS mode wants random.
func gcm(key []byte) (a cipher.AEAD) {
	var err error
	exempt(func() { a, err = cipher.NewGCM(mustCipher(key)) })
	if err != nil {
		panic("tokendata: " + err.Error())
	}
	return a
}
