package main

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"hash"

	"github.com/klauspost/compress/zstd"
)

// sealer makes blocks out of files: what is private wrapped by itself, the
// rest compressed, MACs beside them, all of it sealed. Its keys are random and
// thrown away.
type sealer struct {
	mac    hash.Hash
	aead   cipher.AEAD
	zstd   *zstd.Encoder
	nonce  [12]byte
	count  uint64
	public []byte
	beside []byte
	out    []byte
}

func newSealer() (*sealer, error) {
	key := make([]byte, 32)
	rand.Read(key)
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	s := &sealer{mac: hmac.New(sha256.New, key)}
	if s.aead, err = cipher.NewGCM(block); err != nil {
		return nil, err
	}
	s.zstd, err = zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1))
	return s, err
}

// add takes one file in.
func (s *sealer) add(b []byte) {
	s.mac.Reset()
	s.mac.Write(b)
	s.beside = s.mac.Sum(s.beside)
	if private := len(b) > 4 && b[4] == 1; private { // in both formats of openCryptoki
		s.beside = s.seal(s.beside, b)
	} else {
		s.public = append(s.public, b...)
	}
}

// block is what has been added, sealed; valid until the next call.
func (s *sealer) block() []byte {
	s.out = s.zstd.EncodeAll(s.public, s.out[:0])
	s.out = append(s.out, s.beside...)
	s.public = s.seal(s.public[:0], s.out)
	sealed := s.public
	s.public, s.beside = s.out[:0], s.beside[:0]
	s.out = sealed
	return sealed
}

func (s *sealer) seal(to, b []byte) []byte {
	s.count++
	binary.BigEndian.PutUint64(s.nonce[4:], s.count)
	return s.aead.Seal(to, s.nonce[:], b, nil)
}
