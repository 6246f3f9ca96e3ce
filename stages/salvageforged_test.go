package stages

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"tokar/backends"
	"tokar/format"
)

// What a holder of mK alone makes for salvage: blocks that open, beside an end
// that proves others.

// public is a record that no wrap is needed for.
func public(seq uint64, token uint32, name, data string) format.Record {
	return format.Record{
		Seq: seq, Supersedes: format.NoSeq, Token: token, Kind: format.KindObject, Class: format.ClassNone,
		Name: format.Name(name), Size: uint32(len(data)), Stored: uint32(len(data)), Payload: []byte(data),
	}
}

func descriptor(t *testing.T, seq uint64, token uint32, name, kind string) format.Record {
	t.Helper()
	return format.Record{
		Seq: seq, Supersedes: format.NoSeq, Token: token, Kind: format.KindToken, Class: format.ClassNone,
		Name: format.Name(name), Metadata: field(1, []byte(kind)),
	}
}

// forged is a data frame of records.
func (s *resealed) forged(number uint64, part uint32, recs ...format.Record) resealedFrame {
	for i := range recs {
		recs[i].MAC = s.keys.RecordMAC().Sum(&recs[i])
	}
	front, beside := new(format.Packer).Pack(recs, nil)
	return resealedFrame{format.FrameHeader{Kind: format.DataBlock, Number: number, Part: part, Last: true}, bytes.Clone(front), beside}
}

// at gives the first frame of a kind.
func (s *resealed) at(kind format.BlockKind) int {
	return slices.IndexFunc(s.frames, func(f resealedFrame) bool { return f.Kind == kind })
}

func (r *rescued) finding(t *testing.T, kind, says string) {
	t.Helper()
	if !slices.ContainsFunc(r.damage, func(f format.Finding) bool { return f.Kind == kind && strings.Contains(f.Message, says) }) {
		t.Errorf("no finding %s (%s): %+v", kind, says, r.damage)
	}
}

// What the end of the archive does not prove is said to be so.
func TestSalvageUnproved(t *testing.T) {
	s := reseal(t)
	total := uint64(0)
	for _, f := range s.frames {
		if recs, err := format.Unpack(nil, f.front, f.beside); f.Kind == format.DataBlock && err == nil {
			total = recs[len(recs)-1].Seq + 1
		}
	}
	insert := func(at int, f resealedFrame) []byte {
		return s.archive(t, slices.Insert(slices.Clone(s.frames), at, f), false)
	}
	data, index := s.frames[s.at(format.DataBlock)], s.frames[s.at(format.IndexBlock)]
	for _, c := range []struct {
		name    string
		archive []byte
	}{
		{"a block behind the last", insert(len(s.frames), s.forged(1000, 0, public(total, 1, "00000099", "forged")))},
		{"an index block that describes a token", insert(len(s.frames), resealedFrame{
			format.FrameHeader{Kind: format.IndexBlock, Number: 1000, Last: true},
			bytes.Replace(index.front, []byte("memory"), []byte("mem0ry"), 1), nil})},
		{"another block", func() []byte {
			frames := slices.Clone(s.frames)
			recs, err := format.Unpack(nil, data.front, data.beside)
			if err != nil {
				t.Fatal(err)
			}
			i := slices.IndexFunc(recs, func(r format.Record) bool { return r.Kind == format.KindObject && r.Flags&format.Wrapped == 0 })
			recs[i].Payload = bytes.Repeat([]byte{'x'}, len(recs[i].Payload))
			recs[i].MAC = s.keys.RecordMAC().Sum(&recs[i])
			front, beside := new(format.Packer).Pack(recs, bytes.Clone(data.beside[:len(data.beside)-32*len(recs)]))
			frames[s.at(format.DataBlock)].front, frames[s.at(format.DataBlock)].beside = front, beside
			return s.archive(t, frames, false)
		}()},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := rescue(c.archive)
			if err != nil || got.Proof != Good || len(got.entries) == 0 {
				t.Fatal(err, got)
			}
			got.finding(t, "unproved", "")
		})
	}
}

// A record or a block that breaks a rule is left out, named, and all else comes
// back.
func TestSalvageUnsound(t *testing.T) {
	s := reseal(t)
	whole, err := rescue(s.archive(t, s.frames, false))
	if err != nil {
		t.Fatal(err)
	}
	at := s.at(format.DataBlock)
	data := s.frames[at]
	recs, err := format.Unpack(nil, data.front, data.beside)
	if err != nil {
		t.Fatal(err)
	}
	change := func(change func(f *resealedFrame)) []byte {
		frames := slices.Clone(s.frames)
		f := &frames[at]
		f.front, f.beside = bytes.Clone(f.front), bytes.Clone(f.beside)
		change(f)
		return s.archive(t, frames, false)
	}
	insert := func(f resealedFrame) []byte {
		return s.archive(t, append(slices.Clone(s.frames), f), false)
	}
	wrapped, last := map[string]bool{}, 0
	for i, r := range recs {
		if r.Flags&format.Wrapped != 0 {
			wrapped[string(r.Name)] = true
		}
		if r.Kind == format.KindObject {
			last = i
		}
	}
	for _, c := range []struct {
		name       string
		archive    []byte
		kind, says string
		less       int // entries
	}{
		{"a MAC", change(func(f *resealedFrame) { f.beside[len(f.beside)-32*(len(recs)-last)] ^= 1 }), "unsound-record", "its MAC does not hold", 1},
		{"the wrap", change(func(f *resealedFrame) { f.beside[0] ^= 1 }), "unsound-record", "wrap does not open", len(wrapped)},
		{"a table", insert(resealedFrame{format.FrameHeader{Kind: format.DataBlock, Number: 1000, Last: true}, []byte("no table"), nil}), "unsound-block", "is left out", 0},
		{"numbers again", insert(s.forged(1000, 0, public(1, 1, "00000099", "forged"))), "unsound-block", "repeat the numbers", 0},
		{"the highest number", insert(s.forged(1000, 0, public(math.MaxUint64, 1, "00000099", "forged"))), "unsound-block", "no archive has", 0},
		{"a kind of token that nobody knows", insert(s.forged(1000, 0, descriptor(t, 1e6, 9, "nine", "nobody's"), public(1e6+1, 9, "00000099", "forged"))), "unsound-record", "the description of token 9", -1},
		{"a name twice", insert(s.forged(1000, 0, descriptor(t, 1e6, 9, "one", "memory"), public(1e6+1, 9, "00000099", "forged"))), "unsound-record", "the description of token 9", -1},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := rescueEach(c.archive, nil)
			if err != nil || !got.Damaged {
				t.Fatal(err, got)
			}
			got.finding(t, c.kind, c.says)
			if len(got.entries) != len(whole.entries)-c.less {
				t.Errorf("%d entries came back, of %d", len(got.entries), len(whole.entries))
			}
			for name, data := range whole.entries {
				if have, there := got.entries[name]; there && have != data || !there && c.less <= 0 {
					t.Errorf("%s is another: %q", name, have)
				}
			}
		})
	}
}

// A small index can name very many records; they are not all kept.
func TestSalvageManyNames(t *testing.T) {
	s := reseal(t)
	recs := make([]format.Record, 1<<16)
	for i := range recs {
		recs[i] = format.Record{Seq: uint64(1e6 + i), Supersedes: format.NoSeq, Token: 1, Kind: format.KindObject, Flags: format.Refused, Class: format.ClassNone, Name: format.Name(fmt.Sprintf("%08d", i))}
	}
	table, _ := new(format.Packer).Pack(recs, nil)
	frames := slices.Clone(s.frames[:s.at(format.DirectoryBlock)])
	for i := range 4 {
		frames = append(frames, resealedFrame{format.FrameHeader{Kind: format.IndexBlock, Number: uint64(1000 + i), Last: true}, join(u32(1), table), nil})
	}
	got, err := rescue(s.archive(t, frames, false))
	if err != nil || len(got.entries) == 0 || len(got.lost) > 1<<16 {
		t.Fatal(err, len(got.lost))
	}
	got.finding(t, "unsound-block", "name more records")
}

// badSector is a file of which some bytes cannot be read.
type badSector struct {
	*bytes.Reader
	at int64
}

func (b badSector) ReadAt(p []byte, off int64) (int, error) {
	if off <= b.at && b.at < off+int64(len(p)) {
		n, _ := b.Reader.ReadAt(p[:b.at-off], off)
		return n, unix.EIO
	}
	return b.Reader.ReadAt(p, off)
}

// A file that cannot be read is no damaged archive: nothing is restored.
func TestSalvageReadErrors(t *testing.T) {
	a := about100K(t)
	for at := 0; at < len(a.bytes); at += 1000 {
		m := newMemory()
		_, err := Salvage(t.Context(), badSector{bytes.NewReader(a.bytes), int64(at)}, SalvageOptions{
			ExtractOptions: ExtractOptions{
				OpenOptions: opening(restoreKey),
				Backend:     func(string) (backends.Backend, error) { return m, nil },
				Place:       func(*format.Token) Place { return Place{Wanted: true, Whole: true} },
				Select:      func(*format.Token, *format.Record) bool { return true },
			},
			Unknown: m,
			Damage:  func(format.Finding) {},
			Lost:    func(*format.Token, format.Name, format.Finding) {},
		})
		if !errors.Is(err, unix.EIO) || len(m.restored) > 0 || m.stagings > 0 {
			t.Errorf("byte %d: %v, %d tokens", at, err, len(m.restored))
		}
	}
}
