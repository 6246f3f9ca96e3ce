package stages

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"testing"

	"tokar/backends"
	"tokar/format"
)

// opening of an archive by who has mK, as bodies to be changed.
type resealed struct {
	header *format.Header
	keys   *format.Keys
	frames []resealedFrame
	footer []byte
}

type resealedFrame struct {
	format.FrameHeader
	front, beside []byte
}

func reseal(f testing.TB) *resealed {
	keys := func() (*format.Keys, error) {
		secret := sha256.Sum256([]byte("tK"))
		other := sha256.Sum256([]byte("mK"))
		return format.NewKeys(sha256.Sum256([]byte("id")), secret[:], other[:], func(aad []byte) [12]byte {
			sum := sha256.Sum256(aad)
			return [12]byte(sum[:])
		})
	}
	o := archiveOptions()
	o.Keys = keys
	m := newMemory(madeToken("one", 8, 40), madeToken("two", 1, 10))
	m.tokens["one"].changed = []backends.Entry{{Kind: format.KindObject, Name: format.Name("00000003"), Place: 4}}
	var out bytes.Buffer
	if _, err := Archive(context.Background(), &out, m.inputs("one", "two"), o); err != nil {
		f.Fatal(err)
	}
	r := bytes.NewReader(out.Bytes())
	s := &resealed{}
	var err error
	if s.header, err = format.ReadHeader(r); err != nil {
		f.Fatal(err)
	}
	if s.keys, err = keys(); err != nil {
		f.Fatal(err)
	}
	var c format.Compressor
	for {
		frame, _, err := s.header.ReadFrame(r, nil)
		if err != nil {
			f.Fatal(err)
		}
		body, err := s.header.OpenFrame(nil, s.keys, &frame)
		if err != nil {
			f.Fatal(err)
		}
		front, beside, err := c.SplitBody(nil, body)
		if err != nil {
			f.Fatal(err)
		}
		s.frames = append(s.frames, resealedFrame{frame.FrameHeader, front, beside})
		if frame.Kind == format.EndBlock {
			break
		}
	}
	r.Seek(int64(len(s.header.Bytes())), io.SeekCurrent)
	s.footer, _ = io.ReadAll(r)
	return s
}

// archive seals the frames again, and says where they are as a footer should. An
// author has tK as well: he makes directory, R and T fit too.
func (s *resealed) archive(t *testing.T, frames []resealedFrame, author bool) []byte {
	out := bytes.Clone(s.header.Bytes())
	footer := format.Footer{Header: uint32(len(out))}
	c := format.Compressor{Codec: format.CodecZstd}
	index := format.Compressor{Codec: format.CodecZstd, Level: indexLevel}
	var listed, dir []byte
	for _, f := range frames {
		at := uint64(len(out)) - uint64(footer.Header)
		switch {
		case f.Kind == format.DirectoryBlock:
			if f.Number == 0 {
				footer.Directory = at
			}
			if author && len(f.front) >= len(listed) {
				f.front = list(f.front, listed)
			}
			dir = append(dir, f.front...)
		case f.Kind == format.EndBlock:
			footer.End = at
			if author && len(f.front) == 108 {
				f.front = s.prove(f.front, dir)
			}
		}
		packer := &c
		if f.Kind != format.DataBlock {
			packer = &index // as the writer does, so that lengths stay as they are listed
		}
		b, err := packer.AppendBody(nil, f.front, f.beside)
		if err == nil {
			b, err = s.header.SealFrame(nil, s.keys, f.FrameHeader, b)
		}
		if err != nil {
			t.Skip(err)
		}
		out = append(out, b...)
		if f.Kind == format.DataBlock || f.Kind == format.IndexBlock {
			d := make([]byte, 32) // of data: as it was
			if f.Kind == format.IndexBlock {
				sum := sha256.Sum256(f.front)
				d = sum[:]
			}
			listed = append(append(append(listed, u64(at)...), u32(uint32(len(b)))...), d...)
		}
	}
	footer.Frames = uint64(len(out)) - uint64(footer.Header)
	return append(append(out, s.header.Bytes()...), footer.Encode()...)
}

// list puts offset, length and D of each frame into a directory's entries.
func list(dir, listed []byte) []byte {
	dir = bytes.Clone(dir)
	for i := 0; len(listed) > 0 && len(dir) >= 72*(i+1); i, listed = i+1, listed[44:] {
		e := dir[72*i:]
		copy(e[16:28], listed)
		if e[0] == byte(format.IndexBlock) {
			copy(e[40:72], listed[12:44])
		}
	}
	return dir
}

// prove makes R and T of an end block's front without a signature.
func (s *resealed) prove(front, dir []byte) []byte {
	root := format.Root(dir)
	core := sha256.Sum256(s.header.Bytes()[12 : 12+162])
	forge := &forge{id: s.header.Archive}
	key := forge.key(sha256.Sum256([]byte("tK")), "tK restore proof")
	t := hmacOf(key, []byte("tokar/1 end\x00\x00\x01"), core[:], front[:40], root[:], u32(0))
	return join(front[:40], root[:], u32(0), t)
}

// edit applies changes of 6 bytes each: what, which frame, where (u16), with
// what (2).
func edit(frames []resealedFrame, edits []byte) []resealedFrame {
	frames = append([]resealedFrame(nil), frames...)
	for ; len(edits) >= 6 && len(frames) > 1; edits = edits[6:] {
		i := int(edits[1]) % len(frames)
		f := &frames[i]
		side := &f.front
		if edits[0]&0x80 != 0 {
			side = &f.beside
		}
		at := int(binary.BigEndian.Uint16(edits[2:])) % (len(*side) + 1)
		b := append([]byte(nil), *side...)
		switch edits[0] & 0x7f % 9 {
		case 0, 1:
			if at < len(b) {
				b[at] ^= edits[4]
			}
		case 2:
			b = append(append(b[:at:at], edits[4:6]...), b[at:]...)
		case 3:
			b = append(b[:at:at], b[min(at+int(edits[4]), len(b)):]...)
		case 4: // some number
			if at+4 <= len(b) {
				binary.BigEndian.PutUint32(b[at:], uint32(int8(edits[4]))+binary.BigEndian.Uint32(b[at:]))
			}
		case 5:
			frames = append(frames[:i:i], frames[i+1:]...)
			continue
		case 6:
			j := int(edits[2]) % len(frames)
			frames[i], frames[j] = frames[j], frames[i]
			continue
		case 7:
			frames = append(frames[:i:i], append([]resealedFrame{*f}, frames[i:]...)...)
			continue
		case 8: // its place
			f.Number += uint64(int8(edits[2]))
			f.Part += uint32(int8(edits[3]))
			f.Last = f.Last != (edits[4]&1 == 1)
			if edits[5] != 0 {
				f.Kind = format.BlockKind(edits[5])
			}
			continue
		}
		*side = b
	}
	return frames
}

// FuzzResealed is a hostile verifier: he opens an archive with mK, changes what
// he likes, seals it again and makes checksums and footer fit. Whatever he does,
// restorers refuse it in one class and nothing is restored. An author can do
// more; what he makes is refused or whole, by whatever way it is read, and
// nothing panics.
func FuzzResealed(f *testing.F) {
	s := reseal(f)
	for i := range s.frames {
		for op := range byte(9) {
			for _, author := range []bool{false, true} {
				f.Add([]byte{op, byte(i), 0, 20, 1, 0}, author)
				f.Add([]byte{op | 0x80, byte(i), 0, 40, 255, 7}, author)
			}
		}
	}
	f.Fuzz(func(t *testing.T, edits []byte, author bool) {
		whole := s.archive(t, s.frames, author)
		if _, err := Verify(t.Context(), stream(whole), opening(restoreKey)); err != nil {
			t.Fatal(err)
		}
		b := s.archive(t, edit(s.frames, edits), author)
		if bytes.Equal(b, whole) {
			return // nothing was changed
		}
		_, err := Verify(t.Context(), stream(b), opening(restoreKey))
		if refused(err) != nil && (err != nil || !author) {
			t.Fatalf("verify: %v", err)
		}
		m := newMemory()
		if _, again := extractAll(b, m, 1); fmt.Sprint(again) != fmt.Sprint(err) || err != nil && len(m.restored)+m.stagings != 0 {
			t.Fatalf("verify: %v; extract: %v, %d tokens, %d stagings", err, again, len(m.restored), m.stagings)
		}
		for _, id := range []format.Identity{restoreKey, verifyKey} {
			if _, err := Verify(t.Context(), stream(b), opening(id)); err != nil && refused(err) != nil {
				t.Fatalf("%v: %v", id, err)
			}
			o := ListOptions{OpenOptions: opening(id), Full: true}
			if _, again := List(t.Context(), bytes.NewReader(b), o); again != nil && (err == nil || refused(again) != nil) {
				t.Fatalf("verify: %v; list: %v", err, again)
			}
			var out bytes.Buffer
			_, err := Cat(t.Context(), bytes.NewReader(b), []string{"one/00000003", "two/00000000"}, opening(id), &out)
			if _, missing := err.(*NotFoundError); err != nil && !missing && refused(err) != nil {
				t.Fatalf("cat: %v", err)
			}
		}
	})
}
