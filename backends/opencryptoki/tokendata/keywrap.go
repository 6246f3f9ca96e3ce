package tokendata

import (
	"crypto/subtle"
	"encoding/binary"
)

// AES key wrap of RFC 3394, which the standard library does not export. Keys
// here are 32 bytes, wrapped 40.

const wrapIV = 0xA6A6A6A6A6A6A6A6

func wrapKey(kek, key []byte) []byte {
	block := mustCipher(kek)
	out := make([]byte, 8+len(key))
	copy(out[8:], key)
	var b [16]byte
	binary.BigEndian.PutUint64(b[:], wrapIV)
	n := len(key) / 8
	for j := range 6 {
		for i := 1; i <= n; i++ {
			copy(b[8:], out[8*i:])
			block.Encrypt(b[:], b[:])
			copy(out[8*i:8*i+8], b[8:])
			binary.BigEndian.PutUint64(b[:], binary.BigEndian.Uint64(b[:])^uint64(n*j+i))
		}
	}
	copy(out, b[:8])
	clear(b[:])
	return out
}

// unwrapKey opens what wrapKey made; ok is false, and the key nil, for what it
// did not make under kek.
func unwrapKey(kek, wrapped []byte) (key []byte, ok bool) {
	if len(wrapped) < 24 || len(wrapped)%8 != 0 {
		return nil, false
	}
	block := mustCipher(kek)
	key = append([]byte(nil), wrapped[8:]...)
	var b [16]byte
	copy(b[:8], wrapped)
	n := len(key) / 8
	for j := 5; j >= 0; j-- {
		for i := n; i >= 1; i-- {
			binary.BigEndian.PutUint64(b[:], binary.BigEndian.Uint64(b[:])^uint64(n*j+i))
			copy(b[8:], key[8*i-8:])
			block.Decrypt(b[:], b[:])
			copy(key[8*i-8:8*i], b[8:])
		}
	}
	var iv [8]byte
	binary.BigEndian.PutUint64(iv[:], wrapIV)
	ok = subtle.ConstantTimeCompare(b[:8], iv[:]) == 1
	clear(b[:])
	if !ok {
		clear(key)
		return nil, false
	}
	return key, true
}
