package format

import (
	"encoding/binary"
	"slices"
)

var le = binary.LittleEndian // of words in which bytes change places

// A table is how headers of records stand in data blocks and index chunks:
//
//	count u32, bytes of names u32, bytes of metadata u32,
//	the fixed headers transposed (byte 0 of each, byte 1 of each, …),
//	the names transposed (byte 0 of each that has one, …), the metadata
//
// with each sequence number written as the difference from the one before,
// the first from 0, and each payload's length as the difference from the
// entry's own size. Transposed, what all headers have in common compresses to
// nothing.
type table struct {
	rows, names, metadata []byte
	lengths               []uint16 // of names
	count                 int
	last                  uint64
}

// tableHead is what stands before the headers.
const tableHead = 12

func (t *table) reset() {
	*t = table{rows: t.rows[:0], names: t.names[:0], metadata: t.metadata[:0], lengths: t.lengths[:0]}
}

// add takes a record whose metadata and payload are final.
func (t *table) add(r *Record) {
	start := len(t.rows)
	t.rows = r.AppendHeader(t.rows, len(r.Payload))[:start+HeaderSize]
	row := t.rows[start:]
	be.PutUint64(row, r.Seq-t.last)
	be.PutUint32(row[payloadAt:], uint32(len(r.Payload))-r.Size)
	t.last = r.Seq
	t.names = append(t.names, r.Name...)
	t.lengths = append(t.lengths, uint16(len(r.Name)))
	t.metadata = append(t.metadata, r.Metadata...)
	t.count++
}

// size is how many bytes append adds.
func (t *table) size() int { return tableHead + len(t.rows) + len(t.names) + len(t.metadata) }

// append encodes the table.
func (t *table) append(b []byte) []byte {
	b = be.AppendUint32(b, uint32(t.count))
	b = be.AppendUint32(b, uint32(len(t.names)))
	b = be.AppendUint32(b, uint32(len(t.metadata)))
	start := len(b)
	b = append(b, t.rows...) // for the room
	transpose(b[start:], t.count, t.rows, HeaderSize, t.count, HeaderSize)
	start = len(b)
	b = append(b, t.names...)
	transposeNames(b[start:], t.names, t.lengths, false)
	return append(b, t.metadata...)
}

// transposeNames writes to dst byte 0 of every name that has one, then byte 1 of
// every name that has one, and so on; or back.
func transposeNames(dst, src []byte, lengths []uint16, back bool) {
	type name struct{ at, end uint32 }
	var room [256]name // for the usual block
	left := slices.Grow(room[:0], len(lengths))
	at := uint32(0)
	for _, n := range lengths {
		if n > 0 {
			left = append(left, name{at, at + uint32(n)})
		}
		at += uint32(n)
	}
	for k := 0; len(left) > 0; {
		ended := false
		for i := range left {
			l := &left[i]
			if back {
				dst[l.at] = src[k]
			} else {
				dst[k] = src[l.at]
			}
			k++
			l.at++
			ended = ended || l.at == l.end
		}
		if ended {
			left = slices.DeleteFunc(left, func(l name) bool { return l.at == l.end })
		}
	}
}

// transpose writes byte j of each row in src to row j of dst. Both have their
// rows so many bytes apart.
func transpose(dst []byte, dstWidth int, src []byte, srcWidth, rows, columns int) {
	for i := 0; i < rows; i += 8 {
		for j := 0; j < columns; j += 8 {
			if i+8 <= rows && j+8 <= columns {
				transpose8(dst[j*dstWidth+i:], dstWidth, src[i*srcWidth+j:], srcWidth)
				continue
			}
			for k := i; k < min(i+8, rows); k++ {
				for l := j; l < min(j+8, columns); l++ {
					dst[l*dstWidth+k] = src[k*srcWidth+l]
				}
			}
		}
	}
}

// transpose8 is transpose of 8 by 8 bytes: it exchanges the quarters of the
// square that are not on its diagonal, then those of each quarter, and theirs.
func transpose8(dst []byte, dstWidth int, src []byte, srcWidth int) {
	row := func(i int) uint64 { return le.Uint64(src[i*srcWidth:]) }
	a, b, c, d, e, f, g, h := row(0), row(1), row(2), row(3), row(4), row(5), row(6), row(7)
	const four, two, one = 0xffffffff, 0xffff0000ffff, 0xff00ff00ff00ff
	a, e = exchange(a, e, 32, four)
	b, f = exchange(b, f, 32, four)
	c, g = exchange(c, g, 32, four)
	d, h = exchange(d, h, 32, four)
	a, c = exchange(a, c, 16, two)
	b, d = exchange(b, d, 16, two)
	e, g = exchange(e, g, 16, two)
	f, h = exchange(f, h, 16, two)
	a, b = exchange(a, b, 8, one)
	c, d = exchange(c, d, 8, one)
	e, f = exchange(e, f, 8, one)
	g, h = exchange(g, h, 8, one)
	for i, x := range [...]uint64{a, b, c, d, e, f, g, h} {
		le.PutUint64(dst[i*dstWidth:], x)
	}
}

// exchange gives x and y with the upper bytes of x, as mask has them after the
// shift, and the lower ones of y in each other's place.
func exchange(x, y uint64, shift int, mask uint64) (uint64, uint64) {
	t := (x>>shift ^ y) & mask
	return x ^ t<<shift, y ^ t
}

// decodeTable reads a table off b into recs, reusing it; metadata stay in b. It
// gives what follows the table, too.
func decodeTable(b []byte, recs []Record) ([]Record, []byte, error) {
	recs = recs[:0]
	r := &byteReader{b: b}
	count, nameBytes, metaBytes := int(r.u32()), int(r.u32()), int(r.u32())
	if r.err == nil && (count == 0 || count > MaxRecords) {
		return nil, nil, badf(ErrMalformed, "a table of %d records", count)
	}
	planes := r.bytes(count * HeaderSize)
	transposed := r.bytes(nameBytes)
	metadata := r.bytes(metaBytes)
	if r.err != nil {
		return nil, nil, r.err
	}
	recs = slices.Grow(recs, count)[:count] // whose headers are there
	lengths := make([]uint16, count)
	total := 0
	const some = 64
	var rows [some * HeaderSize]byte
	last := uint64(0)
	for j := range count {
		if j%some == 0 {
			transpose(rows[:], HeaderSize, planes[j:], count, HeaderSize, min(some, count-j))
		}
		row := rows[j%some*HeaderSize:][:HeaderSize]
		delta := be.Uint64(row)
		if j > 0 && delta == 0 || last+delta < last {
			return nil, nil, badf(ErrMalformed, "sequence numbers that do not ascend")
		}
		last += delta
		be.PutUint64(row, last)
		be.PutUint32(row[payloadAt:], be.Uint32(row[payloadAt:])+be.Uint32(row[sizeAt:]))
		rec := &recs[j]
		n, err := rec.decodeHeader(row)
		if err != nil {
			return nil, nil, err
		}
		total += n.name
		if total > nameBytes || n.metadata > len(metadata) {
			return nil, nil, badf(ErrMalformed, "record %d: name or metadata is not there", rec.Seq)
		}
		lengths[j] = uint16(n.name)
		rec.Metadata, metadata = metadata[:n.metadata:n.metadata], metadata[n.metadata:]
	}
	if total < nameBytes || len(metadata) > 0 {
		return nil, nil, badf(ErrMalformed, "names or metadata of no record")
	}
	names := make([]byte, nameBytes)
	transposeNames(names, transposed, lengths, true)
	for j, n := range lengths {
		if n == 0 {
			continue
		}
		recs[j].Name, names = Name(names[:n:n]), names[n:]
		if err := recs[j].Name.Check(); err != nil {
			return nil, nil, err
		}
	}
	return recs, r.b, nil
}

// Packer turns records into the front and the beside of a data block. It
// belongs to one goroutine; what it returns is good until its next use.
type Packer struct {
	table table
	front []byte
}

// Pack encodes records whose metadata, payload and MAC are final. Beside holds
// what Wrap made of the wrapped ones' payloads; the MACs are added.
func (p *Packer) Pack(recs []Record, beside []byte) (front, newBeside []byte) {
	p.table.reset()
	for i := range recs {
		p.table.add(&recs[i])
	}
	p.front = p.table.append(p.front[:0])
	for i := range recs {
		if r := &recs[i]; r.Flags&Wrapped == 0 {
			p.front = append(p.front, r.Payload...)
		}
		beside = append(beside, recs[i].MAC[:]...)
	}
	return p.front, beside
}

// Unpack decodes a data block into recs, which may be reused; the records'
// bytes stay in front and beside.
func Unpack(recs []Record, front, beside []byte) ([]Record, error) {
	recs, rest, err := decodeTable(front, recs)
	if err != nil {
		return nil, err
	}
	if len(recs) > 1 && len(front)+len(beside) > MaxBlock {
		return nil, badf(ErrMalformed, "a block of %d bytes with several records", len(front)+len(beside))
	}
	f, b := &byteReader{b: rest}, &byteReader{b: beside}
	wrapped := anyWrapped(recs)
	if wrapped {
		b.bytes(nonceSize)
	}
	for i := range recs {
		if recs[i].Flags&Wrapped != 0 {
			recs[i].Payload = b.bytes(int(recs[i].Stored))
		} else {
			recs[i].Payload = f.bytes(int(recs[i].Stored))
		}
		if i > 0 && recs[i].Seq != recs[i-1].Seq+1 {
			return nil, badf(ErrMalformed, "record %d follows %d", recs[i].Seq, recs[i-1].Seq)
		}
	}
	if wrapped {
		b.bytes(sealOverhead - nonceSize)
	}
	for i := range recs {
		copy(recs[i].MAC[:], b.bytes(macSize))
	}
	if err := f.end("the records"); err != nil {
		return nil, err
	}
	return recs, b.end("the MACs")
}
