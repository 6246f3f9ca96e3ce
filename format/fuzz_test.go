package format

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"hash/crc32"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
)

// The fuzz targets of the wire. Each wants: no panic, no more memory than the
// limits allow, exactly one class of error, and, where one encoding is the
// only one, that what decodes encodes to the same bytes. Seeds are cut out of
// the vectors, and those found worth keeping lie in testdata/fuzz.

// vectorDir has the archives that seeds are cut out of.
const vectorDir = "../testdata/format"

// openedVector is a vector with the keys that open it.
type openedVector struct {
	raw    []byte
	header *Header
	keys   *Keys
}

// eachVector calls f with every vector whose header and keys are sound.
func eachVector(f *testing.F, use func(v openedVector)) {
	b, err := os.ReadFile(filepath.Join(vectorDir, "vectors.json"))
	if err != nil {
		f.Fatal(err)
	}
	var file struct {
		Keys    map[string]struct{ TK, MK string }
		Vectors []struct{ Name, Keys string }
	}
	if err := json.Unmarshal(b, &file); err != nil {
		f.Fatal(err)
	}
	for _, v := range file.Vectors {
		raw, err := os.ReadFile(filepath.Join(vectorDir, v.Name+".tokar"))
		if err != nil {
			f.Fatal(err)
		}
		o := openedVector{raw: raw}
		if o.header, err = ReadHeader(bytes.NewReader(raw)); err == nil {
			tK, err := hex.DecodeString(file.Keys[v.Keys].TK)
			if err != nil {
				f.Fatal(err)
			}
			o.keys, _ = o.header.Open(SlotKey{Role: RoleRestore, Archive: o.header.Archive, Secret: tK}, nil)
		}
		use(o)
	}
}

// eachFront calls use with the front and beside of every frame of a kind.
func eachFront(f *testing.F, kind BlockKind, use func(front, beside []byte)) {
	var c Compressor
	eachVector(f, func(v openedVector) {
		if v.keys == nil {
			return
		}
		r := bytes.NewReader(v.raw[len(v.header.Bytes()):])
		for {
			frame, _, err := v.header.ReadFrame(r, nil)
			if err != nil {
				return
			}
			body, err := v.header.OpenFrame(nil, v.keys, &frame)
			if err != nil || frame.Kind != kind {
				continue
			}
			if front, beside, err := c.SplitBody(nil, body); err == nil && len(front) < 64<<10 {
				use(front, beside)
			}
		}
	})
}

var errorClasses = []error{ErrNotArchive, ErrTruncated, ErrChecksum, ErrAuthentic, ErrMalformed, ErrUnsupported, ErrNoKey, ErrSigner}

// oneClass wants an error of exactly one class.
func oneClass(t *testing.T, err error) {
	t.Helper()
	n := 0
	for _, c := range errorClasses {
		if errors.Is(err, c) {
			n++
		}
	}
	if n != 1 {
		t.Fatalf("error of %d classes: %v", n, err)
	}
}

// bounded runs f and wants it to allocate no more than n bytes.
func bounded(t *testing.T, n uint64, f func()) {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	if got := after.TotalAlloc - before.TotalAlloc; got > n {
		t.Fatalf("%d bytes allocated; %d are enough", got, n)
	}
}

func FuzzHeader(f *testing.F) {
	eachVector(f, func(v openedVector) { f.Add(v.raw[:min(len(v.raw), 4096)]) })
	f.Fuzz(func(t *testing.T, b []byte) {
		var h *Header
		var err error
		bounded(t, uint64(8*len(b))+3<<20, func() { h, err = ReadHeader(bytes.NewReader(b)) })
		if err != nil {
			oneClass(t, err)
			return
		}
		if !bytes.Equal(h.Bytes(), b[:len(h.Bytes())]) {
			t.Fatal("another header than was read")
		}
		var secret [32]byte
		if _, err := h.Open(SlotKey{Role: RoleRestore, Archive: h.Archive, Secret: secret[:]}, nil); err == nil {
			t.Fatal("a key of zeros opens it")
		}
	})
}

// FuzzHeaderBody goes past the checksum, which no fuzzer finds.
func FuzzHeaderBody(f *testing.F) {
	eachVector(f, func(v openedVector) {
		if v.header != nil {
			f.Add(v.header.Bytes()[preamble : len(v.header.Bytes())-4])
		}
	})
	f.Fuzz(func(t *testing.T, body []byte) {
		raw := append([]byte(Magic), be.AppendUint32(nil, uint32(len(body)+preamble+4))...)
		raw = append(raw, body...)
		raw = be.AppendUint32(raw, checksum(raw))
		h, err := ReadHeader(bytes.NewReader(raw))
		if err != nil {
			oneClass(t, err)
			return
		}
		if !bytes.HasSuffix(raw[:len(raw)-4-64], h.section.body()) {
			t.Fatal("the slot section encodes to other bytes than it was read from")
		}
	})
}

func checksum(b []byte) uint32 { return crc32.Checksum(b, castagnoli) }

func FuzzSlots(f *testing.F) {
	eachVector(f, func(v openedVector) {
		if v.header != nil {
			f.Add(append(v.header.section.body(), make([]byte, 64)...))
		}
	})
	f.Fuzz(func(t *testing.T, b []byte) {
		r := &byteReader{b: b}
		s, err := decodeSlots(r)
		if err != nil {
			oneClass(t, err)
			return
		}
		again := append(append(s.body(), s.mt[:]...), s.mm[:]...)
		if !bytes.Equal(again, b[:len(b)-len(r.b)]) {
			t.Fatal("slots encode to other bytes than they were read from")
		}
	})
}

func FuzzFrame(f *testing.F) {
	var h *Header
	eachVector(f, func(v openedVector) {
		if v.keys == nil {
			return
		}
		h = v.header
		_, raw, err := v.header.ReadFrame(bytes.NewReader(v.raw[len(v.header.Bytes()):]), nil)
		if err == nil {
			f.Add(raw, true)
			f.Add(raw[:len(raw)/2], false)
		}
	})
	f.Fuzz(func(t *testing.T, b []byte, mend bool) {
		if mend && len(b) > frameHead+16 { // make it whole again, so that what lies behind the checks is reached
			b = bytes.Clone(b)
			copy(b, FrameMagic)
			copy(b[4:], h.Archive[:8])
			be.PutUint32(b[28:], uint32(max(len(b)-frameHead-12-4, 0)))
			be.PutUint32(b[len(b)-4:], checksum(b[:len(b)-4]))
		}
		var frame Frame
		var raw []byte
		var err error
		bounded(t, uint64(16*len(b))+3<<20, func() { frame, raw, err = h.ReadFrame(bytes.NewReader(b), nil) })
		if err != nil {
			oneClass(t, err)
			return
		}
		again := frame.append(nil, h.Archive)
		again = be.AppendUint32(again, uint32(len(frame.Sealed)-12))
		again = append(again, frame.Sealed...)
		again = be.AppendUint32(again, checksum(again))
		if !bytes.Equal(again, raw) {
			t.Fatal("a frame encodes to other bytes than it was read from")
		}
	})
}

func FuzzBody(f *testing.F) {
	eachVector(f, func(v openedVector) {
		if v.keys == nil {
			return
		}
		r := bytes.NewReader(v.raw[len(v.header.Bytes()):])
		for {
			frame, _, err := v.header.ReadFrame(r, nil)
			if err != nil {
				return
			}
			if body, err := v.header.OpenFrame(nil, v.keys, &frame); err == nil && len(body) < 64<<10 {
				f.Add(body)
			}
		}
	})
	var c Compressor
	f.Fuzz(func(t *testing.T, b []byte) {
		front, beside, err := c.SplitBody(nil, b)
		if err != nil {
			oneClass(t, err)
			return
		}
		if n := be.Uint32(b[4:]); len(front) != int(n) || !bytes.HasSuffix(b, beside) {
			t.Fatalf("a front of %d bytes where %d were declared", len(front), n)
		}
	})
}

func FuzzRecordTable(f *testing.F) {
	eachFront(f, DataBlock, func(front, beside []byte) { f.Add(front, beside) })
	f.Fuzz(func(t *testing.T, front, beside []byte) {
		recs, err := Unpack(nil, front, beside)
		if err != nil {
			oneClass(t, err)
			return
		}
		var p Packer
		wrap := bytes.Clone(beside[:len(beside)-len(recs)*macSize])
		f2, b2 := p.Pack(recs, wrap)
		if !bytes.Equal(f2, front) || !bytes.Equal(b2, beside) {
			t.Fatal("a block encodes to other bytes than it was read from")
		}
	})
}

func FuzzChunk(f *testing.F) {
	eachFront(f, IndexBlock, func(front, _ []byte) { f.Add(front) })
	f.Fuzz(func(t *testing.T, b []byte) {
		token, recs, err := DecodeChunk(nil, b)
		if err != nil {
			oneClass(t, err)
			return
		}
		c := openChunk{token: token}
		for i := range recs {
			start := len(c.table.rows)
			c.table.add(&recs[i])
			// Payloads stand elsewhere; their length is in the row alone.
			planes := b[4+12:]
			for j := range 4 {
				c.table.rows[start+40+j] = planes[(40+j)*len(recs)+i]
			}
		}
		if !bytes.Equal(c.table.append(be.AppendUint32(nil, token)), b) {
			t.Fatal("a chunk encodes to other bytes than it was read from")
		}
	})
}

// FuzzDetails: defaults may be left out or repeated, and fields of later
// versions are dropped, so not the bytes but what they say must come again.
func FuzzDetails(f *testing.F) {
	for _, kind := range []BlockKind{DataBlock, IndexBlock} {
		eachFront(f, kind, func(front, beside []byte) {
			if recs, _, err := decodeTable(front, nil); err == nil {
				for i := range recs {
					f.Add(recs[i].Metadata, uint32(0o640))
				}
			}
		})
	}
	usual := aclOf(f, ACLEntry{ACLUser, 6, 5, "joe"})
	f.Fuzz(func(t *testing.T, b []byte, mode uint32) {
		def := Attr{Known: true, Mode: mode & 0o7777, UID: 1, GID: 2, Owner: "root", ACL: usual, Security: "label"}
		var d Details
		if err := d.Decode(b, def); err != nil {
			oneClass(t, err)
			return
		}
		if len(d.Label) > 1<<15 || len(d.ID) > 1<<12 || len(d.Findings) > 64 {
			return // more than writers write
		}
		for _, x := range d.Findings {
			if len(x.Kind) > 64 || len(x.File) > MaxName || len(x.Message) > 1024 {
				return
			}
		}
		once := d.Append(nil, def)
		var again Details
		if err := again.Decode(once, def); err != nil {
			t.Fatal(err)
		}
		if twice := again.Append(nil, def); !bytes.Equal(once, twice) {
			t.Fatalf("details say %x, then %x", once, twice)
		}
		if again.Attr != d.Attr || !bytes.Equal(again.Label, d.Label) || !bytes.Equal(again.ID, d.ID) || len(again.Findings) != len(d.Findings) {
			t.Fatalf("details %+v come again as %+v", d, again)
		}
	})
}

func FuzzDescriptor(f *testing.F) {
	eachFront(f, IndexBlock, func(front, _ []byte) {
		if _, recs, err := DecodeChunk(nil, front); err == nil {
			for i := range recs {
				if recs[i].Kind.Descriptor() {
					f.Add([]byte(recs[i].Name), recs[i].Metadata)
				}
			}
		}
	})
	f.Fuzz(func(t *testing.T, name, b []byte) {
		if a, err := DecodeArchive(b); err != nil {
			oneClass(t, err)
		} else if again, err := DecodeArchive(a.Encode()); err != nil || again.Made != a.Made {
			t.Fatalf("an archive descriptor comes again as %+v, %v", again, err)
		}
		if token, err := DecodeToken(name, b); err != nil {
			oneClass(t, err)
		} else if again, err := DecodeToken(name, token.Encode()); err != nil || again.Defaults != token.Defaults || !slices.EqualFunc(again.Directories, token.Directories, sameDirectory) {
			t.Fatalf("a token descriptor comes again as %+v, %v", again, err)
		}
		if e, err := DecodeEndOfToken(b); err != nil {
			oneClass(t, err)
		} else if !bytes.Equal(e.Encode(), b) {
			t.Fatal("an end of token encodes to other bytes")
		}
	})
}

func sameDirectory(a, b Directory) bool { return a.Attr == b.Attr && bytes.Equal(a.Name, b.Name) }

// FuzzACL: a list has one encoding.
func FuzzACL(f *testing.F) {
	for _, a := range goodACLs(f) {
		f.Add([]byte(a))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := decodeACL(b, false)
		if err != nil {
			oneClass(t, err)
			return
		}
		if len(b) == 0 {
			return
		}
		if again, err := NewACL(a.Entries()); err != nil || again != a || string(again) != string(b) {
			t.Fatalf("%x comes again as %x, %v", b, again, err)
		}
	})
}

func FuzzDirectory(f *testing.F) {
	eachVector(f, func(v openedVector) {
		if v.keys == nil {
			return
		}
		var dir []byte
		var c Compressor
		r := bytes.NewReader(v.raw[len(v.header.Bytes()):])
		for {
			frame, _, err := v.header.ReadFrame(r, nil)
			if err != nil {
				return
			}
			body, err := v.header.OpenFrame(nil, v.keys, &frame)
			if err != nil || frame.Kind != DirectoryBlock && frame.Kind != EndBlock {
				continue
			}
			front, _, err := c.SplitBody(nil, body)
			if err != nil {
				return
			}
			if frame.Kind == DirectoryBlock {
				dir = append(dir, front...)
				continue
			}
			if e, err := v.header.DecodeEnd(v.keys, front); err == nil {
				f.Add(dir, e.Data, e.Index, e.Records, e.Tokens, e.Superseded)
			}
			return
		}
	})
	f.Fuzz(func(t *testing.T, b []byte, data, index, records, tokens, superseded uint64) {
		counts := Counts{data, index, records, tokens, superseded}
		var l *Lookup
		var err error
		bounded(t, uint64(64*len(b))+1<<20, func() { l, err = ParseDirectory(b, counts) })
		if err != nil {
			oneClass(t, err)
			return
		}
		// Everything in it can be asked for.
		for _, e := range l.Candidates(Name("one"), Name("00000001")) {
			if e.Kind != IndexBlock {
				t.Fatal("a candidate that is no chunk")
			}
		}
		for seq := range min(records, 1000) {
			if e, ok := l.Data(seq); !ok || seq < e.First || seq >= e.First+uint64(e.Count) {
				t.Fatalf("record %d is in no frame", seq)
			}
		}
		if _, ok := l.Data(records); ok {
			t.Fatal("a frame for a record that is not there")
		}
		if size, err := counts.DirectorySize(1 << 40); err == nil && records < 1<<30 && uint64(len(b)) > size && !longFilters(b, counts) {
			t.Fatalf("a directory of %d bytes, bound %d", len(b), size)
		}
	})
}

// longFilters says that a directory has filters that no writer makes.
func longFilters(b []byte, c Counts) bool {
	rest := b[dirEntrySize*(c.Data+c.Index):]
	for range c.Index {
		n := be.Uint32(rest[8:])
		if uint64(n) > 2*uint64(be.Uint32(rest[4:]))+1 {
			return true
		}
		rest = rest[chunkTailSize+int(n):]
	}
	return false
}

func FuzzEnd(f *testing.F) {
	eachFront(f, EndBlock, func(front, _ []byte) { f.Add(front) })
	h := &Header{}
	mK := sha256.Sum256([]byte("mK"))
	verifier, err := NewKeys(h.Archive, nil, mK[:], nil)
	if err != nil {
		f.Fatal(err)
	}
	restorer, err := NewKeys(h.Archive, bytes.Repeat([]byte{1}, 32), bytes.Clone(mK[:]), nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := h.DecodeEnd(verifier, b)
		if err != nil {
			oneClass(t, err)
			return
		}
		if !bytes.Equal(e.Encode(), b) {
			t.Fatal("an end block encodes to other bytes than it was read from")
		}
		if _, err := h.DecodeEnd(restorer, b); !errors.Is(err, ErrAuthentic) {
			t.Fatalf("T of nobody: %v", err)
		}
	})
}

func FuzzFooter(f *testing.F) {
	eachVector(f, func(v openedVector) {
		f.Add(v.raw[max(len(v.raw)-FooterSize, 0):], false)
		f.Add(v.raw[max(len(v.raw)-FooterSize, 0):], true)
	})
	f.Fuzz(func(t *testing.T, b []byte, mend bool) {
		if mend && len(b) == FooterSize {
			b = bytes.Clone(b)
			copy(b, FooterMagic)
			be.PutUint32(b[FooterSize-4:], checksum(b[:FooterSize-4]))
		}
		footer, err := DecodeFooter(b)
		if err != nil {
			oneClass(t, err)
			return
		}
		if !bytes.Equal(footer.Encode(), b) {
			t.Fatal("a footer encodes to other bytes than it was read from")
		}
	})
}

func FuzzName(f *testing.F) {
	for _, s := range []string{"one", "a\x00b", "..", "a/b", "", "a\x00", "\x00", "a\x00.\x00b"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		n := Name(b)
		if err := n.Check(); err != nil {
			oneClass(t, err)
			return
		}
		if again, err := ParseName(n.String()); err != nil || !bytes.Equal(again, n) {
			t.Fatalf("%q is read back as %q, %v", n, again, err)
		}
		if clean := filepath.Clean("/x/" + n.String()); clean != "/x/"+n.String() {
			t.Fatalf("%q leads to %q", n, clean)
		}
	})
}
