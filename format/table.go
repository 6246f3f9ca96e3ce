package format

import "slices"

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

// append encodes the table.
func (t *table) append(b []byte) []byte {
	b = be.AppendUint32(b, uint32(t.count))
	b = be.AppendUint32(b, uint32(len(t.names)))
	b = be.AppendUint32(b, uint32(len(t.metadata)))
	start := len(b)
	b = append(b, t.rows...) // for the room
	transpose(b[start:], t.rows, HeaderSize)
	start = len(b)
	b = append(b, t.names...)
	transposeNames(b[start:], t.names, t.lengths, false)
	return append(b, t.metadata...)
}

// transposeNames writes to dst byte 0 of every name that has one, then byte 1 of
// every name that has one, and so on; or back.
func transposeNames(dst, src []byte, lengths []uint16, back bool) {
	type name struct{ at, end int }
	left := make([]name, len(lengths))
	at := 0
	for i, n := range lengths {
		left[i] = name{at, at + int(n)}
		at += int(n)
	}
	for k := 0; len(left) > 0; {
		longer := left[:0]
		for _, l := range left {
			if l.at == l.end {
				continue
			}
			if back {
				dst[l.at] = src[k]
			} else {
				dst[k] = src[l.at]
			}
			k++
			l.at++
			longer = append(longer, l)
		}
		left = longer
	}
}

// transpose writes byte i of every row, for each i, to dst.
func transpose(dst, rows []byte, width int) {
	n := len(rows) / width
	for i := range width {
		plane := dst[i*n : (i+1)*n]
		for j := range plane {
			plane[j] = rows[j*width+i]
		}
	}
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
	recs = slices.Grow(recs, count) // whose headers are there
	lengths := make([]uint16, count)
	total := 0
	var row [HeaderSize]byte
	last := uint64(0)
	for j := range count {
		for i := range HeaderSize {
			row[i] = planes[i*count+j]
		}
		delta := be.Uint64(row[:])
		if j > 0 && delta == 0 || last+delta < last {
			return nil, nil, badf(ErrMalformed, "sequence numbers that do not ascend")
		}
		last += delta
		be.PutUint64(row[:], last)
		be.PutUint32(row[payloadAt:], be.Uint32(row[payloadAt:])+be.Uint32(row[sizeAt:]))
		recs = append(recs, Record{})
		rec := &recs[j]
		n, err := rec.decodeHeader(row[:])
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
