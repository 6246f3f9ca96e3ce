package format

import (
	"crypto/sha256"
	"sort"
)

// DirEntry describes one frame of data or index in the directory.
type DirEntry struct {
	FrameHeader
	Offset uint64 // from the first frame
	Length uint32 // of the whole frame
	First  uint64 // first sequence number in it
	Count  uint32 // records in it
	D      [32]byte
}

const (
	dirEntrySize  = 72
	chunkTailSize = 12 // without the filter
)

// DirPiece is how many bytes of the directory one directory block carries at
// most.
const DirPiece = 256 << 10

// FrameDirectory lists every data and index frame in stream order, then, in the
// tail, for each chunk its token, count and name filter, and all superseded
// sequence numbers.
type FrameDirectory struct {
	entries    []byte
	tail       []byte
	superseded []uint64
	counts     Counts
}

// Counts are an archive's sums.
type Counts struct {
	Data       uint64 // data frames
	Index      uint64 // index frames
	Records    uint64
	Tokens     uint64
	Superseded uint64 // records that a later one replaces
}

// AddData lists a data frame; records are those in it, beside is what stands
// beside its front.
func (d *FrameDirectory) AddData(f FrameHeader, offset uint64, length int, recs []Record, beside []byte) {
	for i := range recs {
		r := &recs[i]
		if r.Kind == KindToken {
			d.counts.Tokens++
		}
		if r.Supersedes != NoSeq {
			d.superseded = append(d.superseded, r.Supersedes)
			d.counts.Superseded++
		}
	}
	d.counts.Data++
	d.counts.Records += uint64(len(recs))
	e := DirEntry{FrameHeader: f, Offset: offset, Length: uint32(length), First: recs[0].Seq, Count: uint32(len(recs)), D: DataDigest(recs, beside)}
	d.entries = e.append(d.entries)
}

// AddIndex lists the frame of a chunk.
func (d *FrameDirectory) AddIndex(f FrameHeader, offset uint64, length int, c *Chunk) {
	d.counts.Index++
	e := DirEntry{FrameHeader: f, Offset: offset, Length: uint32(length), First: c.First, Count: uint32(c.Count), D: c.D}
	d.entries = e.append(d.entries)
	d.tail = be.AppendUint32(d.tail, c.Token)
	d.tail = be.AppendUint32(d.tail, uint32(c.Count))
	d.tail = be.AppendUint32(d.tail, uint32(len(c.filter)))
	d.tail = append(d.tail, c.filter...)
}

// Counts gives the sums so far.
func (d *FrameDirectory) Counts() Counts { return d.counts }

// Bytes is the whole directory, entries and tail.
func (d *FrameDirectory) Bytes() []byte {
	b := make([]byte, 0, len(d.entries)+len(d.tail)+8*len(d.superseded))
	b = append(append(b, d.entries...), d.tail...)
	for _, seq := range d.superseded {
		b = be.AppendUint64(b, seq)
	}
	return b
}

// Root is R, over a directory's bytes.
func Root(directory []byte) (r [32]byte) {
	h := sha256.New()
	h.Write([]byte("tokar/1 R\x00"))
	h.Write(directory)
	h.Sum(r[:0])
	return r
}

func (e *DirEntry) append(b []byte) []byte {
	last := byte(0)
	if e.Last {
		last = 1
	}
	b = append(b, byte(e.Kind), last, 0, 0)
	b = be.AppendUint32(b, e.Part)
	b = be.AppendUint64(b, e.Number)
	b = be.AppendUint64(b, e.Offset)
	b = be.AppendUint32(b, e.Length)
	b = be.AppendUint32(b, e.Count)
	b = be.AppendUint64(b, e.First)
	return append(b, e.D[:]...)
}

// Lookup is a directory that was read, to find records by.
type Lookup struct {
	data, index []DirEntry
	chunks      []chunkTail
	superseded  map[uint64]bool
}

type chunkTail struct {
	token, count uint32
	filter
}

// DirectorySize is the most that a directory of these counts takes, in an
// archive whose frames have so many bytes: a bound for who collects it before
// it is proved. Every frame has its overhead, every record its MAC, so counts
// beyond that lie.
func (c Counts) DirectorySize(frames uint64) (uint64, error) {
	if c.Data > frames/FrameOverhead || c.Index > frames/FrameOverhead || c.Records > frames/32 || c.Superseded > c.Records {
		return 0, badf(ErrMalformed, "counts that %d bytes of blocks cannot hold", frames)
	}
	return dirEntrySize*(c.Data+c.Index) + (chunkTailSize+1)*c.Index + 2*c.Records + 8*c.Superseded, nil
}

// ParseDirectory reads a directory's bytes and checks that its sums are the
// end block's counts.
func ParseDirectory(b []byte, c Counts) (*Lookup, error) {
	l := &Lookup{superseded: map[uint64]bool{}}
	r := &byteReader{b: b}
	if c.Data+c.Index > uint64(len(b)/dirEntrySize) || c.Superseded > uint64(len(b)/8) {
		return nil, badf(ErrMalformed, "a directory of %d bytes for %d frames", len(b), c.Data+c.Index)
	}
	var records, indexed, tokens, at, block, chunk uint64
	part := uint32(0)
	for range c.Data + c.Index {
		e, err := decodeDirEntry(r)
		if err != nil {
			return nil, err
		}
		if e.Offset < at || e.Offset > 1<<62 {
			return nil, badf(ErrMalformed, "the directory's %s begins inside the one before", e.FrameHeader)
		}
		at = e.Offset + uint64(e.Length)
		if e.Kind == DataBlock && (e.Number != block || e.Part != part) || e.Kind == IndexBlock && (e.Number != chunk || e.Part != 0 || !e.Last) {
			return nil, badf(ErrMalformed, "the directory lists %s out of order", e.FrameHeader)
		}
		switch {
		case e.Kind == IndexBlock:
			chunk++
		case e.Last:
			block, part = block+1, 0
		default:
			part++
		}
		if e.Kind == DataBlock {
			if e.First != records {
				return nil, badf(ErrMalformed, "the directory leaves records out at %d", e.First)
			}
			records += uint64(e.Count)
			l.data = append(l.data, e)
		} else {
			indexed += uint64(e.Count)
			l.index = append(l.index, e)
		}
	}
	if part > 0 {
		return nil, badf(ErrMalformed, "the directory ends in the middle of a block")
	}
	for _, e := range l.index {
		t := chunkTail{token: r.u32(), count: r.u32()}
		t.filter = filter(r.bytes(int(r.u32())))
		if r.err == nil && t.count != e.Count {
			return nil, badf(ErrMalformed, "the directory gives %s two counts", e.FrameHeader)
		}
		tokens = max(tokens, uint64(t.token))
		l.chunks = append(l.chunks, t)
	}
	for range c.Superseded {
		l.superseded[r.u64()] = true
	}
	if err := r.end("the directory"); err != nil {
		return nil, err
	}
	if uint64(len(l.data)) != c.Data || records != c.Records || indexed != c.Records || tokens != c.Tokens || uint64(len(l.superseded)) != c.Superseded {
		return nil, badf(ErrMalformed, "the end block's counts are not the directory's sums")
	}
	return l, nil
}

func decodeDirEntry(r *byteReader) (DirEntry, error) {
	var e DirEntry
	e.Kind = BlockKind(r.u8())
	last, reserved := r.u8(), r.u16()
	e.Last = last == 1
	e.Part, e.Number, e.Offset = r.u32(), r.u64(), r.u64()
	e.Length, e.Count, e.First = r.u32(), r.u32(), r.u64()
	copy(e.D[:], r.bytes(32))
	switch {
	case r.err != nil:
		return e, r.err
	case e.Kind != DataBlock && e.Kind != IndexBlock || last > 1 || reserved != 0:
		return e, badf(ErrMalformed, "a directory entry of %s", e.FrameHeader)
	case e.Length < FrameOverhead || e.Length > maxSealed+FrameOverhead || e.Count == 0 || e.Count > MaxRecords:
		return e, badf(ErrMalformed, "a directory entry of %d bytes with %d records", e.Length, e.Count)
	}
	return e, nil
}

// Index lists the frames of all chunks, in order.
func (l *Lookup) Index() []DirEntry { return l.index }

// Candidates lists the frames of the chunks that may hold an entry of this
// name.
func (l *Lookup) Candidates(token, name Name) []DirEntry {
	h := nameHash(token, name)
	var found []DirEntry
	for i, c := range l.chunks {
		if c.mayHold(h) {
			found = append(found, l.index[i])
		}
	}
	return found
}

// Data gives the frame that holds a record, and whether there is one.
func (l *Lookup) Data(seq uint64) (DirEntry, bool) {
	i := sort.Search(len(l.data), func(i int) bool { return l.data[i].First > seq })
	if i == 0 || seq >= l.data[i-1].First+uint64(l.data[i-1].Count) {
		return DirEntry{}, false
	}
	return l.data[i-1], true
}

// Superseded says whether a later record replaces this one.
func (l *Lookup) Superseded(seq uint64) bool { return l.superseded[seq] }

// DataDigest is D of a data frame: of nonce and tag of its wrap, and of the
// records' MACs. The MACs hold the ciphertext only, and who has tK can make a
// wrap of the same ciphertext, under another nonce, that opens to other bytes.
func DataDigest(recs []Record, beside []byte) (d [32]byte) {
	h := sha256.New()
	if anyWrapped(recs) {
		wrap := beside[:len(beside)-len(recs)*macSize]
		h.Write(wrap[:nonceSize])
		h.Write(wrap[len(wrap)-(sealOverhead-nonceSize):])
	}
	for i := range recs {
		h.Write(recs[i].MAC[:])
	}
	h.Sum(d[:0])
	return d
}

// FirstChunk gives the frame of the chunk that begins with a token's
// descriptor.
func (l *Lookup) FirstChunk(token uint32) (DirEntry, bool) {
	for i, c := range l.chunks {
		if c.token == token {
			return l.index[i], true
		}
	}
	return DirEntry{}, false
}
