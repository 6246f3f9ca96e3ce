package format

import "slices"

// A table is how headers of records stand in data blocks and index chunks:
//
//	count u32, bytes of names u32, bytes of metadata u32,
//	the fixed headers transposed (byte 0 of each, byte 1 of each, …),
//	the names, the metadata
//
// with each sequence number written as the difference from the one before,
// the first from 0. Transposed, what all headers have in common compresses to
// nothing.
type table struct {
	rows, names, metadata []byte
	count                 int
	last                  uint64
}

func (t *table) reset() {
	*t = table{rows: t.rows[:0], names: t.names[:0], metadata: t.metadata[:0]}
}

// add takes a record whose metadata and payload are final.
func (t *table) add(r *Record) {
	start := len(t.rows)
	t.rows = r.AppendHeader(t.rows, len(r.Payload))[:start+HeaderSize]
	be.PutUint64(t.rows[start:], r.Seq-t.last)
	t.last = r.Seq
	t.names = append(t.names, r.Name...)
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
	b = append(b, t.names...)
	return append(b, t.metadata...)
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

// decodeTable reads a table off b into recs, reusing it; names and metadata
// stay in b. It gives what follows the table, too.
func decodeTable(b []byte, recs []Record) ([]Record, []byte, error) {
	recs = recs[:0]
	r := &byteReader{b: b}
	count, nameBytes, metaBytes := int(r.u32()), int(r.u32()), int(r.u32())
	if r.err == nil && (count == 0 || count > MaxRecords) {
		return nil, nil, badf(ErrMalformed, "a table of %d records", count)
	}
	planes := r.bytes(count * HeaderSize)
	names := r.bytes(nameBytes)
	metadata := r.bytes(metaBytes)
	if r.err != nil {
		return nil, nil, r.err
	}
	recs = slices.Grow(recs, count) // whose headers are there
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
		recs = append(recs, Record{})
		rec := &recs[j]
		n, err := rec.decodeHeader(row[:])
		if err != nil {
			return nil, nil, err
		}
		if n.name > len(names) || n.metadata > len(metadata) {
			return nil, nil, badf(ErrMalformed, "record %d: name or metadata is not there", rec.Seq)
		}
		rec.Name, names = Name(names[:n.name:n.name]), names[n.name:]
		rec.Metadata, metadata = metadata[:n.metadata:n.metadata], metadata[n.metadata:]
		if n.name > 0 {
			if err := rec.Name.Check(); err != nil {
				return nil, nil, err
			}
		}
	}
	if len(names)+len(metadata) > 0 {
		return nil, nil, badf(ErrMalformed, "names or metadata of no record")
	}
	return recs, r.b, nil
}

// Packer turns records into the front and the beside of a data block. It
// belongs to one goroutine; what it returns is good until its next use.
type Packer struct {
	table table
	front []byte
}

// Pack encodes records whose metadata, payload and MAC are final. The payloads
// of the wrapped ones stand in beside already, in order; the MACs are added.
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
	for i := range recs {
		copy(recs[i].MAC[:], b.bytes(32))
	}
	if err := f.end("the records"); err != nil {
		return nil, err
	}
	return recs, b.end("the MACs")
}
