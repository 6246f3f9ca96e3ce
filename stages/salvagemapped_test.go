package stages

import (
	"bytes"
	"slices"
	"testing"

	"tokar/backends"
	"tokar/format"
)

// A mapped archive knows where each of its frames stands and what is in it.
type mapped struct {
	bytes  []byte
	header int // length of the header
	end    int // where the second copy begins
	frames []mappedFrame
	total  uint64 // records
	tK     []byte
}

type mappedFrame struct {
	format.FrameHeader
	from, to int
	records  []mappedRecord
}

type mappedRecord struct {
	seq, supersedes uint64
	token           uint32
	kind            format.Kind
	gone            bool
	of, name        string // token and entry
	data            string
}

// smallBlocks packs an archive's records anew, so many a block, in parts of at
// most two blocks' worth.
func smallBlocks(t testing.TB, m *memory, per int, names ...string) *mapped {
	t.Helper()
	keys, err := format.GenerateKeys()
	if err != nil {
		t.Fatal(err)
	}
	defer keys.Wipe()
	o := archiveOptions()
	secretT, secretM := bytes.Clone(keys.SlotKey(format.RoleRestore).Secret), bytes.Clone(keys.SlotKey(format.RoleVerify).Secret)
	id := keys.SlotKey(format.RoleRestore).Archive
	o.Keys = func() (*format.Keys, error) {
		return format.NewKeys(id, bytes.Clone(secretT), bytes.Clone(secretM), nil)
	}
	var out bytes.Buffer
	if _, err := Archive(t.Context(), &out, m.inputs(names...), o); err != nil {
		t.Fatal(err)
	}
	r := bytes.NewReader(out.Bytes())
	h, err := format.ReadHeader(r)
	if err != nil {
		t.Fatal(err)
	}
	var records []format.Record
	unwrap := newWrap(keys, nil)
	plain := map[uint64][]byte{} // details and bytes of what is wrapped
	for {
		f, _, err := h.ReadFrame(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		if f.Kind == format.EndBlock {
			break
		}
		if f.Kind != format.DataBlock {
			continue
		}
		b := &Batch{sealed: f, FrameHeader: f.FrameHeader}
		chain := []stage{&compress{}, &seal{header: h, keys: keys}}
		for _, s := range slices.Backward(chain) {
			if err := s.Reverse(t.Context(), b); err != nil {
				t.Fatal(err)
			}
		}
		if err := unwrap.unwrap(b); err != nil {
			t.Fatal(err)
		}
		for i := range b.Records {
			r := &b.Records[i]
			if !r.Kind.Descriptor() {
				plain[r.Seq] = r.Data
				if err := splitDetails(r, format.Attr{}); err != nil {
					t.Fatal(err)
				}
			}
		}
		records = append(records, b.Records...)
	}
	a := &mapped{bytes: bytes.Clone(h.Bytes()), header: len(h.Bytes()), total: uint64(len(records)), tK: secretT}
	tokens := map[uint32]string{}
	var c format.Compressor
	add := func(f format.FrameHeader, front, beside []byte, of ...mappedRecord) int {
		body, err := c.AppendBody(nil, front, beside)
		if err != nil {
			t.Fatal(err)
		}
		frame, err := h.SealFrame(nil, keys, f, body)
		if err != nil {
			t.Fatal(err)
		}
		a.frames = append(a.frames, mappedFrame{f, len(a.bytes), len(a.bytes) + len(frame), of})
		a.bytes = append(a.bytes, frame...)
		return len(frame)
	}
	var index format.Index
	var dir format.FrameDirectory
	var p format.Packer
	at := func() uint64 { return uint64(len(a.bytes) - a.header) }
	chunks, place := uint64(0), format.FrameHeader{Kind: format.DataBlock}
	done := 0
	for part := range slices.Chunk(records, per) {
		done += len(part)
		var wrapped []byte
		for _, r := range part {
			if r.Flags&format.Wrapped != 0 {
				wrapped = append(wrapped, plain[r.Seq]...)
			}
		}
		beside, err := keys.PayloadWrap().Wrap(nil, wrapped, part)
		if err != nil {
			t.Fatal(err)
		}
		var of []mappedRecord
		for i := range part {
			r := &part[i]
			r.MAC = keys.RecordMAC().Sum(r)
			if r.Kind == format.KindToken {
				tokens[r.Token] = r.Name.String()
			}
			of = append(of, mappedRecord{r.Seq, r.Supersedes, r.Token, r.Kind, r.Absent(), tokens[r.Token], r.Name.String(), string(r.Data)})
		}
		place.Last = place.Part == 1 || done == len(records) // blocks of two parts
		front, beside := p.Pack(part, beside)
		start := at()
		dir.AddData(place, start, add(place, front, beside, of...), part, beside)
		if place.Part++; place.Last {
			place = format.FrameHeader{Kind: format.DataBlock, Number: place.Number + 1}
		}
		for i := range part {
			for _, chunk := range index.Add(&part[i]) {
				_, recs, err := format.DecodeChunk(nil, chunk.Body)
				if err != nil {
					t.Fatal(err)
				}
				var of []mappedRecord
				for _, r := range recs {
					of = append(of, mappedRecord{seq: r.Seq, supersedes: r.Supersedes, token: r.Token, kind: r.Kind, gone: r.Absent(), of: tokens[r.Token], name: r.Name.String()})
				}
				f := format.FrameHeader{Kind: format.IndexBlock, Number: chunks, Last: true}
				start := at()
				dir.AddIndex(f, start, add(f, chunk.Body, nil, of...), &chunk)
				chunks++
			}
		}
	}
	footer := format.Footer{Directory: at(), Header: uint32(a.header)}
	n := uint64(0)
	for piece := range slices.Chunk(dir.Bytes(), format.DirPiece) {
		add(format.FrameHeader{Kind: format.DirectoryBlock, Number: n, Last: true}, piece, nil)
		n++
	}
	footer.End = at()
	end, err := h.NewEnd(keys, &dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	add(format.FrameHeader{Kind: format.EndBlock, Last: true}, end.Encode(), nil)
	footer.Frames = at()
	a.end = len(a.bytes)
	a.bytes = append(append(a.bytes, h.Bytes()...), footer.Encode()...)
	if s, err := Verify(t.Context(), stream(a.bytes), opening(restoreKey)); err != nil || s.Records != a.total {
		t.Fatal(s, err)
	}
	return a
}

// about100K has three tokens in some 20 blocks, one of them changed while it was
// read.
func about100K(t testing.TB) *mapped {
	one := madeToken("one", 120, 300)
	one.changed = []backends.Entry{{Kind: format.KindObject, Name: format.Name("00000003"), Place: 4}}
	one.again = map[string][]byte{"00000003": []byte("new content")}
	a := smallBlocks(t, newMemory(one, madeToken("two", 60, 700), madeToken("three", 9, 100)), 7, "one", "two", "three")
	t.Logf("%d bytes, %d frames", len(a.bytes), len(a.frames))
	return a
}

func about1M(t testing.TB) *mapped {
	a := smallBlocks(t, newMemory(madeToken("one", 500, 1000), madeToken("two", 300, 1500), madeToken("three", 2, 9)), 8, "one", "two", "three")
	t.Logf("%d bytes, %d frames", len(a.bytes), len(a.frames))
	return a
}
