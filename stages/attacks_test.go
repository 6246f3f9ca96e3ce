package stages

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"testing"

	"tokar/format"
)

// pieces cuts an archive into header, frames, header and footer.
func pieces(t *testing.T, b []byte) (all [][]byte) {
	t.Helper()
	cut := func(n int) {
		if n <= 0 || n > len(b) {
			t.Fatalf("a piece of %d bytes, where %d are", n, len(b))
		}
		all = append(all, b[:n:n])
		b = b[n:]
	}
	header := int(binary.BigEndian.Uint32(b[len(format.Magic):]))
	cut(header)
	for !bytes.HasPrefix(b, []byte(format.Magic)) {
		cut(48 + int(binary.BigEndian.Uint32(b[28:])))
	}
	cut(header)
	return append(all, b)
}

// judgeKeyed reads an archive as those do who have a key of it: who has none
// sees neither where an index chunk belongs nor whose seal it is. Each refuses
// it, with nothing restored.
func judgeKeyed(b []byte) error {
	m := newMemory()
	for _, id := range []plainSlot{restoreKey, verifyKey} {
		o := opening(id)
		o.Workers = 1
		if _, err := Verify(context.Background(), stream(b), o); refused(err) != nil {
			return fmt.Errorf("verify, %s: %w", id.role, refused(err))
		}
	}
	if _, err := extractAll(b, m, 1); refused(err) != nil {
		return fmt.Errorf("extract: %w", refused(err))
	}
	if len(m.restored)+m.stagings != 0 {
		return fmt.Errorf("extract left %d tokens and %d stagings", len(m.restored), m.stagings)
	}
	return nil
}

// blocksArchive has nine data blocks.
func blocksArchive(t *testing.T, id [32]byte, keys string) []byte {
	o := archiveOptions()
	o.Codec = format.CodecNone
	o.Keys = func() (*format.Keys, error) {
		_, tK, mK, _ := fixedKeys(keys)
		return format.NewKeys(id, tK[:], mK[:], nil)
	}
	return archive(t, newMemory(madeToken("one", 8*256, 5)), o, "one")
}

// Whoever swaps, doubles, drops or moves any piece of an archive, or puts one
// of another archive there, even of one with the same keys, is found out.
func TestPieces(t *testing.T) {
	id, _, _, _ := fixedKeys("pieces")
	p := pieces(t, blocksArchive(t, id, "pieces"))
	data := 0
	for _, f := range p[1:] {
		if f[12] == byte(format.DataBlock) && !bytes.HasPrefix(f, []byte(format.Magic)) {
			data++
		}
	}
	if data < 8 {
		t.Fatalf("%d data blocks only", data)
	}
	var tries [][][]byte
	try := func(parts ...[][]byte) {
		var all [][]byte
		for _, q := range parts {
			all = append(all, q...)
		}
		tries = append(tries, all)
	}
	n := len(p)
	for i := range n {
		try(p[:i], p[i+1:])
		for j := range n + 1 {
			try(p[:j], p[i:i+1], p[j:]) // doubled, to stand anywhere
			if j < i {                  // moved
				try(p[:j], p[i:i+1], p[j:i], p[i+1:])
			} else if j > i+1 {
				try(p[:i], p[i+1:j], p[i:i+1], p[j:])
			}
			if i < j && j < n {
				try(p[:i], p[j:j+1], p[i+1:j], p[i:i+1], p[j+1:])
			}
		}
	}
	here := len(tries)
	other, _, _, _ := fixedKeys("another id")
	for _, b := range [][]byte{
		blocksArchive(t, id, "pieces"), // the same id and keys, another time
		blocksArchive(t, other, "pieces"),
		blocksArchive(t, other, "other keys"),
	} {
		q := pieces(t, b)
		for i := range min(n, len(q)) {
			try(p[:i], q[i:i+1], p[i+1:])
			try(p[:i], q[i:i+1], p[i:])
			if i > 0 {
				try(p[:i], q[i:])
			}
		}
		try(q[:1], p[1:n-2], q[len(q)-2:len(q)-1], p[n-1:]) // both its headers
	}
	whole := bytes.Join(p, nil)
	stride := 5 // of those within this archive
	if *long {
		stride = 1
	}
	chosen := tries[:0:0]
	for i, all := range tries {
		if i >= here || i%stride == 0 {
			chosen = append(chosen, all)
		}
	}
	everywhere(t, len(chosen), func(i int) error {
		b := bytes.Join(chosen[i], nil)
		if bytes.Equal(b, whole) {
			return nil
		}
		return judgeKeyed(b)
	})
	t.Logf("counted: pieces put otherwise in %d of %d ways, %d of them of another archive", len(chosen), len(tries), len(tries)-here)
}

// Every number that stands in clear is changed to every other that is defined,
// and to some that are not, with the checksum made to fit. What is unknown is
// refused as that, what is defined by what it breaks.
func TestDowngrades(t *testing.T) {
	b := smallArchive(t, format.CodecZstd)
	p := pieces(t, b)
	header := p[0]
	slot := 12 + 2 + 2 + 32 + 60 + 64 + 2 + 4 + 2 // the first slot's type; the core has no fields
	if got := format.SlotType(binary.BigEndian.Uint16(header[slot:])); got != 0x7777 {
		t.Fatalf("a slot of type %s", got)
	}
	tried := 0
	refuse := func(what string, b []byte) {
		t.Helper()
		tried++
		if err := judge(b); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	keyed := func(what string, b []byte) { // who has no key cannot know
		t.Helper()
		tried++
		if err := judgeKeyed(b); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	for _, n := range []struct {
		what   string
		at     int
		values []uint16
	}{
		{"version", 12, []uint16{0, 2, 3, 0xffff}},
		{"suite", 14, []uint16{0, 2, 3, 0xffff}},
		{"length of fields", 12 + 4 + 32 + 60 + 64, []uint16{1, 3, 0xffff}},
		{"slots", slot - 2, []uint16{0, 1, 3, 65, 0xffff}},
	} {
		for _, v := range n.values {
			h := bytes.Clone(header)
			binary.BigEndian.PutUint16(h[n.at:], v)
			refuse(fmt.Sprint(n.what, " ", v), withHeader(p, h))
		}
	}
	for _, v := range []uint16{1, 2, 3, 4, 5, 0, 6, 0xffff} {
		h := bytes.Clone(header)
		binary.BigEndian.PutUint16(h[slot:], v)
		keyed(fmt.Sprint("slot type ", v), withHeader(p, h))
	}
	for _, v := range []byte{0, 2, 3, 255} {
		h := bytes.Clone(header)
		h[slot+2] = v
		keyed(fmt.Sprint("slot role ", v), withHeader(p, h))
		h = bytes.Clone(header)
		h[slot-3] = v | 1
		keyed(fmt.Sprint("generation ", v|1), withHeader(p, h))
	}
	for i := 1; i < len(p)-2; i++ {
		for _, n := range []struct {
			what   string
			at     int
			values []byte
		}{
			{"kind", 12, []byte{0, 1, 2, 3, 4, 5, 6, 127, 128, 255}},
			{"last", 13, []byte{0, 1, 2, 255}},
			{"zero", 15, []byte{1, 255}},
			{"number", 23, []byte{0, 1, 2, 3, 255}},
			{"part", 27, []byte{0, 1, 2, 255}},
		} {
			for _, v := range n.values {
				if p[i][n.at] == v {
					continue
				}
				f := bytes.Clone(p[i])
				f[n.at] = v
				copy(f[len(f)-4:], crc(f[:len(f)-4]))
				q := bytes.Join(append(append(append([][]byte{}, p[:i]...), f), p[i+1:]...), nil)
				keyed(fmt.Sprintf("%s %d of frame %d", n.what, v, i), q)
			}
		}
	}
	// Who has mK can put another codec on a body, and seal it again.
	s := reseal(t)
	for i := range s.frames {
		f := &s.frames[i]
		var c format.Compressor
		c.Codec = format.CodecZstd
		body, err := c.AppendBody(nil, f.front, f.beside)
		if err != nil {
			t.Fatal(err)
		}
		for _, codec := range []byte{0, 1, 2, 3, 4, 255} {
			b := bytes.Clone(body)
			if b[0] == codec {
				continue
			}
			b[0] = codec
			frame, err := s.header.SealFrame(nil, s.keys, f.FrameHeader, b)
			if err != nil {
				t.Fatal(err)
			}
			q := pieces(t, s.archive(t, s.frames, true))
			q[1+i] = frame
			keyed(fmt.Sprintf("codec %d of frame %d", codec, i), bytes.Join(q, nil))
		}
	}
	t.Logf("counted: %d numbers changed", tried)
}

// withHeader puts another header there, twice, with a checksum that fits.
func withHeader(p [][]byte, h []byte) []byte {
	copy(h[len(h)-4:], crc(h[:len(h)-4]))
	all := append([][]byte{h}, p[1:len(p)-2]...)
	return bytes.Join(append(all, h, p[len(p)-1]), nil)
}

// Nothing may follow an archive, whatever it is.
func TestAnythingAfterTheEnd(t *testing.T) {
	b := smallArchive(t, format.CodecNone)
	p := pieces(t, b)
	tails := map[string][]byte{
		"an age file":        []byte("age-encryption.org/v1\n-> X25519 x\n"),
		"itself":             b,
		"an empty header":    p[0],
		"a footer":           p[len(p)-1],
		"its frames":         bytes.Join(p[1:len(p)-2], nil),
		"a page of zeros":    make([]byte, 4096),
		"what tar ends with": make([]byte, 10240),
		"a line end":         []byte("\n"),
	}
	for n := 1; n <= 64; n++ {
		tails[fmt.Sprint(n, " zeros")] = make([]byte, n)
		tails[fmt.Sprint(n, " bytes")] = bytes.Repeat([]byte{0xa5, byte(n)}, n)[:n]
		tails[fmt.Sprint(n, " bytes of itself")] = b[:n]
	}
	for what, tail := range tails {
		if err := judge(append(bytes.Clone(b), tail...)); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	t.Logf("counted: %d things after the end", len(tails))
}
