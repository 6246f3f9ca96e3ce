package format

// byteReader takes fixed-width numbers and byte strings off a slice. After the
// first shortage everything it gives is zero and err says so.
type byteReader struct {
	b   []byte
	err error
}

func (r *byteReader) bytes(n int) []byte {
	if r.err != nil || n > len(r.b) {
		if r.err == nil {
			r.err = badf(ErrMalformed, "a structure of %d bytes where %d are left", n, len(r.b))
		}
		return nil
	}
	v := r.b[:n:n]
	r.b = r.b[n:]
	return v
}

func (r *byteReader) u8() byte {
	if v := r.bytes(1); v != nil {
		return v[0]
	}
	return 0
}

func (r *byteReader) u16() uint16 {
	if v := r.bytes(2); v != nil {
		return be.Uint16(v)
	}
	return 0
}

func (r *byteReader) u32() uint32 {
	if v := r.bytes(4); v != nil {
		return be.Uint32(v)
	}
	return 0
}

func (r *byteReader) u64() uint64 {
	if v := r.bytes(8); v != nil {
		return be.Uint64(v)
	}
	return 0
}

// end says that nothing may be left.
func (r *byteReader) end(what string) error {
	if r.err == nil && len(r.b) > 0 {
		r.err = badf(ErrMalformed, "%d bytes after %s", len(r.b), what)
	}
	return r.err
}
