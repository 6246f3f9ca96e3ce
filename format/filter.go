package format

// A filter tells that a chunk surely does not hold a name: a Bloom filter of
// ten bits an entry and seven probes, wrong for about one name in a hundred.
type filter []byte

const filterProbes = 7

// nameHash is FNV-1a over the token's name, two zero bytes and the entry's
// own name, so that a name is found without knowing its token's number.
func nameHash(token, name Name) uint64 {
	const start, zero = 14695981039346656037, "\x00\x00"
	return fnv1a(fnv1a(fnv1a(start, token), zero), name)
}

// fnv1a goes on from h; hash/fnv would take an allocation for each name.
func fnv1a[T Name | string](h uint64, b T) uint64 {
	for i := range len(b) {
		h = (h ^ uint64(b[i])) * 1099511628211
	}
	return h
}

func newFilter(hashes []uint64) filter {
	f := make(filter, (10*len(hashes)+7)/8)
	for _, h := range hashes {
		for bit := range f.probes(h) {
			f[bit/8] |= 1 << (bit % 8)
		}
	}
	return f
}

// mayHold says whether a name of this hash can be in the chunk.
func (f filter) mayHold(h uint64) bool {
	for bit := range f.probes(h) {
		if f[bit/8]&(1<<(bit%8)) == 0 {
			return false
		}
	}
	return len(f) > 0
}

// probes gives the bits of a hash: its low half, then steps of its high half
// made odd, each modulo the filter's length in bits.
func (f filter) probes(h uint64) func(func(uint64) bool) {
	return func(yield func(uint64) bool) {
		n := uint64(8 * len(f))
		if n == 0 {
			return
		}
		at, step := h&0xffffffff%n, (h>>32|1)%n
		for range filterProbes {
			if !yield(at) {
				return
			}
			if at += step; at >= n {
				at -= n
			}
		}
	}
}
