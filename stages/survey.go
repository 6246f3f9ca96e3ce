package stages

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"tokar/format"
)

// survey is what stands where in a damaged archive.
type survey struct {
	at   io.ReaderAt
	size int64
	tell func(kind string, offset int64, form string, args ...any)

	headers []foundHeader
	header  *format.Header
	keys    *format.Keys
	tokens  *tokens
	names   map[string]uint32 // of tokens that are described

	data, index, directory []foundFrame // by number and part
	ends                   []foundFrame
	end                    *format.End
	proof                  error // why T does not hold; nil if it does, or there is none
	footer                 bool
	counts                 map[uint32]*tokenCount
	covered                []extent

	batch Batch
	codec compress
	waste int64 // bytes of what looked like frames and was none
}

// foundFrame is a frame that opened, and where.
type foundFrame struct {
	format.FrameHeader
	offset int64
	first  uint64 // of its records' sequence numbers
	count  uint64
}

// tokenCount is what the survey saw of a token.
type tokenCount struct {
	records uint64 // between descriptor and end
	end     *format.EndOfToken
}

// extent is a run of bytes of the file.
type extent struct{ from, to int64 }

func (s *survey) cover(offset, length int64) {
	if n := len(s.covered); n > 0 && s.covered[n-1].to == offset {
		s.covered[n-1].to += length // most follow each other
		return
	}
	s.covered = append(s.covered, extent{offset, offset + length})
}

// scan looks for frames at any offset. One is believed if its length is in
// bounds, its checksum holds and its seal opens; else the next byte is looked
// at. Of several with the same kind, number and part the first counts.
func (s *survey) scan(ctx context.Context) error {
	s.counts, s.names = map[uint32]*tokenCount{}, map[string]uint32{}
	w := window{at: s.at, size: s.size}
	start := s.header.FrameStart()
	seen := map[format.FrameHeader]bool{}
	// Bytes that look like a frame's beginning may be made to stand anywhere by
	// whoever can write to the file, each asking for the checksum of up to 65 MiB.
	limit := 64*s.size + 1<<30
	for from := int64(0); ; {
		at, err := w.find(ctx, from, start)
		if err != nil {
			return err
		}
		if at < 0 {
			break
		}
		f, err := s.frameAt(at)
		if err != nil {
			if !s.ofArchive(err) {
				return err
			}
			if from = at + 1; s.waste > limit {
				s.tell("too-many-marks", at, "so much before this byte looks like blocks and is none that nothing after it was looked at; cut the file here, and salvage both pieces")
				break
			}
			continue
		}
		length := int64(len(s.batch.Frame))
		from = at + length
		s.cover(at, length)
		place := f.FrameHeader
		place.Last = false
		if seen[place] {
			s.tell("doubled", at, "%s is here once more; the first one counts", f.FrameHeader)
			continue
		}
		seen[place] = true
		s.take(f)
	}
	s.sort()
	return s.findFooter()
}

// ofArchive tells what is wrong with the archive from a file that cannot be
// read.
func (s *survey) ofArchive(err error) bool {
	for _, class := range []error{format.ErrTruncated, format.ErrChecksum, format.ErrAuthentic, format.ErrMalformed, format.ErrUnsupported} {
		if errors.Is(err, class) {
			return true
		}
	}
	return false
}

// frameAt reads and opens the frame at an offset into the batch.
func (s *survey) frameAt(at int64) (f foundFrame, err error) {
	b := &s.batch
	b.release()
	head := make([]byte, format.FrameHead)
	if n, err := s.at.ReadAt(head, at); n < len(head) {
		if err == io.EOF {
			err = format.ErrTruncated
		}
		return f, err
	}
	length := format.FrameLength(head)
	if length == 0 || length > s.size-at {
		return f, format.ErrTruncated
	}
	b.sealed, b.Frame, err = s.header.ReadFrame(io.NewSectionReader(s.at, at, length), b.Frame)
	if err == nil {
		b.FrameHeader = b.sealed.FrameHeader
		err = (&seal{header: s.header, keys: s.keys}).Reverse(context.Background(), b)
	}
	if err != nil {
		s.waste += length
	}
	return foundFrame{FrameHeader: b.FrameHeader, offset: at}, err
}

// again opens a frame that was found, and unpacks it.
func (s *survey) again(f *foundFrame) error {
	if _, err := s.frameAt(f.offset); err != nil {
		return err
	}
	return s.codec.Reverse(context.Background(), &s.batch)
}

// take notes what a frame holds that stands in the batch.
func (s *survey) take(f foundFrame) {
	b := &s.batch
	err := s.codec.Reverse(context.Background(), b)
	switch {
	case err != nil:
	case f.Kind == format.DataBlock:
		f.first, f.count = b.Records[0].Seq, uint64(len(b.Records))
		for i := range b.Records {
			s.count(&b.Records[i])
		}
		s.data = append(s.data, f)
	case f.Kind == format.IndexBlock:
		if _, b.Records, err = format.DecodeChunk(b.Records, b.front); err == nil {
			s.index = append(s.index, f)
		}
	case f.Kind == format.DirectoryBlock:
		s.directory = append(s.directory, f)
	case f.Kind == format.EndBlock:
		s.ends = append(s.ends, f)
		end, derr := s.header.DecodeEnd(s.keys, b.front)
		if errors.Is(derr, format.ErrAuthentic) {
			s.proof = derr
		} else if err = derr; err == nil && s.end == nil {
			s.end = end
		}
	}
	if err != nil {
		s.tell("unsound-block", f.offset, "%s opens, and is left out: %v", f.FrameHeader, err)
	}
}

// count keeps the books of a token, to know whether all of it is there.
func (s *survey) count(r *format.Record) {
	c := s.counts[r.Token]
	if c == nil {
		c = &tokenCount{}
		s.counts[r.Token] = c
	}
	switch r.Kind {
	case format.KindToken:
		s.described([]format.Record{*r})
	case format.KindEndOfToken:
		if e, err := format.DecodeEndOfToken(r.Metadata); err == nil {
			c.end = &e
		}
	default:
		c.records++
	}
}

// described takes tokens' descriptors, the first of each; those in data frames
// come before those in chunks.
func (s *survey) described(recs []format.Record) {
	for i := range recs {
		if r := &recs[i]; r.Kind == format.KindToken && s.tokens.byNumber(r.Token) == nil {
			own := format.Record{Kind: r.Kind, Token: r.Token, Name: bytes.Clone(r.Name), Metadata: bytes.Clone(r.Metadata)}
			err := s.tokens.describe(&own, 0)
			if other, again := s.names[string(r.Name)]; err == nil && again {
				s.tokens.drop(r.Token) // one place cannot take two
				err = fmt.Errorf("it has the name of token %d", other)
			}
			if err != nil {
				s.tell("unsound-record", -1, "the description of token %d is left out: %v", r.Token, err)
				continue
			}
			s.names[string(own.Name)] = r.Token
		}
	}
}

// sort puts frames in the order of their numbers, and names what was in another
// one.
func (s *survey) sort() {
	for _, list := range []*[]foundFrame{&s.data, &s.index, &s.directory} {
		byPlace := func(a, b foundFrame) int { return cmp.Or(cmp.Compare(a.Number, b.Number), cmp.Compare(a.Part, b.Part)) }
		for i, f := range *list {
			if i > 0 && byPlace((*list)[i-1], f) > 0 {
				s.tell("moved", f.offset, "%s stands here, after %s", f.FrameHeader, (*list)[i-1].FrameHeader)
			}
		}
		slices.SortStableFunc(*list, byPlace)
	}
	next := uint64(0)
	s.data = slices.DeleteFunc(s.data, func(f foundFrame) bool {
		switch {
		case f.first+f.count < f.first:
			s.tell("unsound-block", f.offset, "%s is left out: its records have numbers that no archive has", f.FrameHeader)
			return true
		case f.first < next:
			s.tell("unsound-block", f.offset, "%s is left out: its records repeat the numbers of others", f.FrameHeader)
			return true
		}
		next = f.first + f.count
		return false
	})
}

// findFooter looks where it must be: after a copy of the header.
func (s *survey) findFooter() error {
	for _, h := range s.headers {
		if !h.whole || h.Archive != s.header.Archive {
			continue
		}
		b := make([]byte, format.FooterSize)
		at := h.offset + int64(len(h.Bytes()))
		n, err := s.at.ReadAt(b, at)
		if err != nil && err != io.EOF {
			return err
		}
		if _, err := format.DecodeFooter(b[:n]); err == nil {
			s.footer = true
			s.cover(at, format.FooterSize)
		}
	}
	return nil
}

// window reads a file piece by piece to find something in it.
type window struct {
	at    io.ReaderAt
	size  int64
	from  int64
	bytes []byte
	buf   []byte
}

// find gives where what begins next, from an offset on; -1: nowhere.
func (w *window) find(ctx context.Context, from int64, what []byte) (int64, error) {
	for from+int64(len(what)) <= w.size {
		if err := ctx.Err(); err != nil {
			return -1, err
		}
		if from < w.from || from+int64(len(what)) > w.from+int64(len(w.bytes)) {
			if w.buf == nil {
				w.buf = make([]byte, 256<<10)
			}
			n, err := w.at.ReadAt(w.buf[:min(int64(len(w.buf)), w.size-from)], from)
			if err != nil && err != io.EOF {
				return -1, err
			}
			if n < len(what) {
				return -1, nil
			}
			w.from, w.bytes = from, w.buf[:n]
		}
		if i := bytes.Index(w.bytes[from-w.from:], what); i >= 0 {
			return from + int64(i), nil
		}
		from = w.from + int64(len(w.bytes)-len(what)+1)
	}
	return -1, nil
}
