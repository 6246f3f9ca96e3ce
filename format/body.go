package format

import "slices"

// The body of a block part, inside its seal: codec u8, zero 3, length of the
// front u32, of the front as packed u32, of what stands beside u32, then both.
// The front holds what compresses, beside it stands what does not: wrapped
// payloads and MACs.
const bodyHead = 16

// AppendBody packs front and appends a body to dst.
func (c *Compressor) AppendBody(dst, front, beside []byte) ([]byte, error) {
	start := len(dst)
	dst = slices.Grow(dst, bodyHead+len(front)+len(beside))
	dst = append(dst, make([]byte, bodyHead)...)
	dst, codec, err := c.pack(dst, front)
	if err != nil {
		return nil, err
	}
	head := dst[start:]
	head[0] = byte(codec)
	be.PutUint32(head[4:], uint32(len(front)))
	be.PutUint32(head[8:], uint32(len(head)-bodyHead))
	be.PutUint32(head[12:], uint32(len(beside)))
	return append(dst, beside...), nil
}

// BodySize is how many bytes front and beside of a body take, as it says
// itself: to be asked before SplitBody takes the memory.
func BodySize(body []byte) (front, beside int) {
	if len(body) < bodyHead {
		return 0, 0
	}
	return int(be.Uint32(body[4:])), int(be.Uint32(body[12:]))
}

// SplitBody unpacks a body's front into front, which may be reused; beside is
// part of body.
func (c *Compressor) SplitBody(front, body []byte) (newFront, beside []byte, err error) {
	r := &byteReader{b: body}
	codec := Codec(r.u8())
	reserved := r.bytes(3)
	n, packedLen, besideLen := r.u32(), r.u32(), r.u32()
	if r.err != nil {
		return nil, nil, r.err
	}
	if [3]byte(reserved) != [3]byte{} || uint64(n)+uint64(besideLen) > MaxBody {
		return nil, nil, badf(ErrMalformed, "a block of %d and %d bytes", n, besideLen)
	}
	packed := r.bytes(int(packedLen))
	beside = r.bytes(int(besideLen))
	if err := r.end("a block"); err != nil {
		return nil, nil, err
	}
	newFront, err = c.unpack(front[:0], packed, codec, int(n))
	return newFront, beside, err
}
