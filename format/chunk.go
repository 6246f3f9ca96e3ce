package format

import "crypto/sha256"

// A Chunk is a piece of the index: the headers, names and metadata of some of
// one token's records. Its plaintext is the token's number (u32) and a table.
type Chunk struct {
	Token uint32
	First uint64 // first sequence number
	Count int
	Body  []byte
	D     [32]byte // SHA-256 of Body
	filter
}

// Index cuts chunks out of a run of records. Which records a chunk holds
// depends on nothing but the records: it is closed by the record that makes it
// full, by its token's end, and, for the archive's own descriptor, at once.
// Writer and reader run the same Index and compare.
type Index struct {
	open   map[uint32]*openChunk
	closed []Chunk
	spare  []*openChunk
}

type openChunk struct {
	token  uint32
	name   Name // of the token, for the filter
	first  uint64
	table  table
	hashes []uint64
}

// Add takes the next record, and gives the chunks that it closed; they are
// good until the next Add.
func (x *Index) Add(r *Record) []Chunk {
	x.closed = x.closed[:0]
	if x.open == nil {
		x.open = map[uint32]*openChunk{}
	}
	c := x.open[r.Token]
	if c == nil {
		c = x.take()
		c.token, c.name = r.Token, append(c.name[:0], r.Name...)
		x.open[r.Token] = c
	}
	if c.table.count == 0 {
		c.first = r.Seq
	}
	c.table.add(r)
	c.hashes = append(c.hashes, nameHash(c.name, r.Name))
	end := r.Kind == KindEndOfToken || r.Kind == KindArchive
	if end || c.table.count == ChunkRecords || len(c.table.names)+len(c.table.metadata) >= ChunkBytes {
		x.closed = append(x.closed, c.close())
	}
	if end {
		delete(x.open, r.Token)
		x.spare = append(x.spare, c)
	}
	return x.closed
}

func (x *Index) take() *openChunk {
	if n := len(x.spare); n > 0 {
		c := x.spare[n-1]
		x.spare = x.spare[:n-1]
		return c
	}
	return &openChunk{}
}

// close encodes a chunk and makes room for the token's next one.
func (c *openChunk) close() Chunk {
	body := be.AppendUint32(make([]byte, 0, 4+c.table.size()), c.token)
	body = c.table.append(body)
	chunk := Chunk{
		Token:  c.token,
		First:  c.first,
		Count:  c.table.count,
		Body:   body,
		D:      sha256.Sum256(body),
		filter: newFilter(c.hashes),
	}
	if cap(c.table.names)+cap(c.table.metadata) > ChunkBytes {
		c.table = table{} // many tokens may be open
	} else {
		c.table.reset()
	}
	c.hashes = c.hashes[:0]
	return chunk
}

// DecodeChunk reads a chunk's records into recs, which may be reused: everything
// but their bytes and MACs. Metadata stay in body.
func DecodeChunk(recs []Record, body []byte) (token uint32, _ []Record, err error) {
	r := &byteReader{b: body}
	token = r.u32()
	if r.err != nil {
		return 0, nil, r.err
	}
	recs, rest, err := decodeTable(r.b, recs)
	if err != nil {
		return 0, nil, err
	}
	for i := range recs {
		if recs[i].Token != token {
			return 0, nil, badf(ErrMalformed, "record %d of token %d in a chunk of token %d", recs[i].Seq, recs[i].Token, token)
		}
	}
	return token, recs, (&byteReader{b: rest}).end("an index chunk")
}
