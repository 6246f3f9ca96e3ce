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

// A block is its length (u32) and then, sealed, a nonce before and a tag
// behind it:
//
//	files u32, front u32, front as packed u32, private files u32,
//	the front: each file's length, its highest bit set if it is private, and
//	the public files' bytes; compressed,
//	the private files' bytes, sealed by themselves, and each file's MAC
//
// MACs are over what stands there: of a private file, its sealed bytes.
const (
	blockHead    = 16
	nonceSize    = 12
	sealOverhead = nonceSize + 16
	macSize      = sha256.Size
	privateBit   = 1 << 31
)

var be = binary.BigEndian

// keys are the same in each run: any others would cost as much.
type keys struct {
	outer, wrap cipher.AEAD // of blocks, of private files
	mac         hash.Hash
}

func newKeys() (k keys, err error) {
	if k.outer, err = aead(1); err == nil {
		k.wrap, err = aead(2)
	}
	k.mac = hmac.New(sha256.New, []byte{3})
	return k, err
}

func aead(which byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(append(make([]byte, 31), which))
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

func (k *keys) sum(to, b []byte) []byte {
	k.mac.Reset()
	k.mac.Write(b)
	return k.mac.Sum(to)
}

// sealer makes blocks out of files.
type sealer struct {
	keys
	zstd    *zstd.Encoder
	nonce   [nonceSize]byte // counts up
	lengths []byte
	public  []byte
	private []byte
	front   []byte
	body    []byte
	out     []byte
}

func newSealer() (*sealer, error) {
	k, err := newKeys()
	if err != nil {
		return nil, err
	}
	s := &sealer{keys: k}
	rand.Read(s.nonce[:4])
	s.zstd, err = zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(1<<19),
		zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderCRC(false))
	return s, err
}

// add takes one file in.
func (s *sealer) add(b []byte) {
	length := uint32(len(b))
	if private := len(b) > 4 && b[4] == 1; private { // in both formats of openCryptoki
		length |= privateBit
		s.private = append(s.private, b...)
	} else {
		s.public = append(s.public, b...)
	}
	s.lengths = be.AppendUint32(s.lengths, length)
}

// block is what has been added, sealed; valid until the next call.
func (s *sealer) block() []byte {
	s.front = append(append(s.front[:0], s.lengths...), s.public...)
	s.body = s.zstd.EncodeAll(s.front, append(s.body[:0], make([]byte, blockHead)...))
	be.PutUint32(s.body, uint32(len(s.lengths)/4))
	be.PutUint32(s.body[4:], uint32(len(s.front)))
	be.PutUint32(s.body[8:], uint32(len(s.body)-blockHead))
	be.PutUint32(s.body[12:], uint32(len(s.private)))
	private := len(s.body) + nonceSize
	s.body = s.seal(s.body, s.wrap, s.private)
	s.body = s.sums(s.body, s.lengths, s.public, s.body[private:])
	s.out = be.AppendUint32(s.out[:0], uint32(len(s.body)+sealOverhead))
	s.out = s.seal(s.out, s.outer, s.body)
	s.lengths, s.public, s.private = s.lengths[:0], s.public[:0], s.private[:0]
	return s.out
}

func (s *sealer) seal(to []byte, a cipher.AEAD, b []byte) []byte {
	be.PutUint64(s.nonce[4:], be.Uint64(s.nonce[4:])+1)
	return a.Seal(append(to, s.nonce[:]...), s.nonce[:], b, nil)
}

// sums appends the files' MACs.
func (k *keys) sums(to, lengths, public, private []byte) []byte {
	for ; len(lengths) > 0; lengths = lengths[4:] {
		from, n := &public, be.Uint32(lengths)
		if n&privateBit != 0 {
			from, n = &private, n&^privateBit
		}
		to, *from = k.sum(to, (*from)[:n]), (*from)[n:]
	}
	return to
}
