package stages

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"

	"tokar/format"
)

// lookup reads an archive that can be read at any place: it goes by footer,
// end block and directory to index chunks and blocks, each of which it proves
// by the directory's digest, and the directory by the end block.
type lookup struct {
	*opened
	at    io.ReaderAt
	base  int64 // of the first frame
	dir   *format.Lookup
	end   *format.End
	front bool // the header at the beginning is damaged; its copy was used

	codec  format.Compressor
	raw    []byte
	plain  []byte
	table  []byte
	held   format.DirEntry // the data frame whose records are unpacked
	recs   []format.Record
	given  format.Record
	unwrap *wrap
	batch  Batch
	infos  map[uint32]*format.Token // some, for a chunk can be asked again

	examiner *examiner // nil: nothing is opened
}

const maxInfos = 64

// seekable gives r as something to read at any place, if it is such a thing.
func seekable(r io.Reader) (io.ReaderAt, int64, bool) {
	f, ok := r.(interface {
		io.ReaderAt
		io.Seeker
	})
	if !ok {
		return nil, 0, false
	}
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, 0, false
	}
	_, err = f.Seek(0, io.SeekStart)
	return f, size, err == nil
}

func openLookup(ctx context.Context, at io.ReaderAt, size int64, o OpenOptions) (*lookup, error) {
	footer, err := readFooter(at, size)
	if err != nil {
		return nil, err
	}
	l := &lookup{at: at, base: size - format.FooterSize - int64(footer.Header) - int64(footer.Frames), infos: map[uint32]*format.Token{}}
	h, err := l.readHeaders(size - format.FooterSize - int64(footer.Header))
	if err != nil {
		return nil, err
	}
	keys, err := unlock(ctx, h, o)
	if err != nil {
		return nil, err
	}
	l.opened = &opened{
		header: h,
		keys:   keys,
		tokens: newTokens(nil),
		sum:    &Summary{Generation: h.Generation, Restores: keys.Restores()},

		signers: o.Signers,
	}
	l.unwrap = newWrap(keys, nil)
	if err := l.readDirectory(footer); err != nil {
		keys.Wipe()
		return nil, err
	}
	return l, nil
}

func readFooter(at io.ReaderAt, size int64) (format.Footer, error) {
	b := make([]byte, min(size, format.FooterSize))
	if _, err := at.ReadAt(b, size-int64(len(b))); err != nil && err != io.EOF {
		return format.Footer{}, err
	}
	footer, err := format.DecodeFooter(b)
	if err == nil && uint64(size) < format.FooterSize+uint64(footer.Header)+footer.Frames {
		err = format.ErrTruncated
	}
	return footer, err
}

// readHeaders takes the copy at the beginning if its checksum holds, else the
// one at the end; two whole ones that differ are refused.
func (l *lookup) readHeaders(end int64) (*format.Header, error) {
	front, errFront := format.ReadHeader(io.NewSectionReader(l.at, 0, format.MaxHeader))
	back, errBack := format.ReadHeader(io.NewSectionReader(l.at, end, format.MaxHeader))
	switch {
	case errFront != nil && (errBack != nil || whole(errFront)):
		return nil, errFront
	case errFront != nil:
		l.front = true
		return back, nil
	case whole(errBack) && (back == nil || !front.Equal(back)):
		return nil, malformed("the header's copy at the end differs from the one at the beginning")
	case l.base != int64(len(front.Bytes())):
		return nil, malformed("the first block is not where the header ends")
	}
	return front, nil
}

// whole says of a header whose reading ended so that its checksum holds: then
// it is the one that was written, and not to be replaced by the other copy.
func whole(err error) bool {
	return err == nil || errors.Is(err, format.ErrUnsupported) || errors.Is(err, format.ErrMalformed)
}

func (l *lookup) readDirectory(footer format.Footer) error {
	end, err := l.frame(int64(footer.End), format.FrameHeader{Kind: format.EndBlock, Last: true})
	if err != nil {
		return err
	}
	if l.end, err = l.readEnd(end); err != nil {
		return err
	}
	var dir []byte
	limit, err := l.end.DirectorySize(footer.Frames)
	if err != nil {
		return err
	}
	f := format.FrameHeader{Kind: format.DirectoryBlock, Last: true}
	at := int64(footer.Directory)
	for ; at < int64(footer.End); f.Number++ {
		piece, err := l.frame(at, f)
		switch {
		case err != nil:
			return err
		case len(piece) == 0 || len(piece) > format.DirPiece || len(dir)%format.DirPiece != 0:
			return malformed("%s of %d bytes", f, len(piece))
		}
		if dir = append(dir, piece...); uint64(len(dir)) > limit {
			return malformed("a directory of more than %d bytes", limit)
		}
		at += int64(len(l.raw))
	}
	if at != int64(footer.End) {
		return malformed("the end block does not follow the directory")
	}
	if format.Root(dir) != l.end.Root {
		return fmt.Errorf("%w: the directory is not the one that the end block proves", format.ErrAuthentic)
	}
	l.dir, err = format.ParseDirectory(dir, l.end.Counts)
	return err
}

// frame reads and opens the frame at an offset and gives its front, good until
// the next one; beside stays in l.batch.
func (l *lookup) frame(at int64, want format.FrameHeader) ([]byte, error) {
	var f format.Frame
	var err error
	in := io.NewSectionReader(l.at, l.base+at, 1<<62)
	if f, l.raw, err = l.header.ReadFrame(in, l.raw); err != nil {
		return nil, err
	}
	if f.FrameHeader != want {
		return nil, malformed("%s where %s must be", f.FrameHeader, want)
	}
	if l.plain, err = l.header.OpenFrame(l.plain[:0], l.keys, &f); err != nil {
		return nil, err
	}
	l.table, l.batch.beside, err = l.codec.SplitBody(l.table, l.plain)
	if err == nil && f.Kind != format.DataBlock && len(l.batch.beside) > 0 {
		err = malformed("%s with %d bytes beside its front", f.FrameHeader, len(l.batch.beside))
	}
	return l.table, err
}

// listed reads a frame that the directory lists.
func (l *lookup) listed(e format.DirEntry) ([]byte, error) {
	front, err := l.frame(int64(e.Offset), e.FrameHeader)
	if err == nil && len(l.raw) != int(e.Length) {
		err = malformed("%s of %d bytes where the directory lists %d", e.FrameHeader, len(l.raw), e.Length)
	}
	return front, err
}

// chunk reads an index chunk and proves it. Its records are the caller's, in the
// place of those in recs.
func (l *lookup) chunk(e format.DirEntry, recs []format.Record) ([]format.Record, error) {
	recs, err := l.readChunk(e, recs)
	l.table = nil // the records keep it
	if err == nil {
		err = l.describe(recs)
	}
	return recs, err
}

// readChunk is chunk of one that describes nothing yet. The records' metadata
// stay in l.table.
func (l *lookup) readChunk(e format.DirEntry, recs []format.Record) ([]format.Record, error) {
	front, err := l.listed(e)
	if err != nil {
		return nil, err
	}
	if sha256.Sum256(front) != e.D {
		return nil, fmt.Errorf("%w: %s is not the one that the directory lists", format.ErrAuthentic, e.FrameHeader)
	}
	_, recs, err = format.DecodeChunk(recs, front)
	if err != nil {
		return nil, err
	}
	if len(recs) != int(e.Count) || recs[0].Seq != e.First {
		return nil, malformed("%s does not hold what the directory says", e.FrameHeader)
	}
	return recs, nil
}

// describe takes the token that a chunk describes, if it does, and refuses
// descriptors in any other place.
func (l *lookup) describe(recs []format.Record) error {
	for i := range recs {
		r := &recs[i]
		var err error
		switch {
		case r.Kind == format.KindToken && i == 0:
			if len(l.infos) >= maxInfos {
				clear(l.infos)
			}
			l.infos[r.Token], err = format.DecodeToken(r.Name, r.Metadata)
		case r.Kind == format.KindEndOfToken && i == len(recs)-1:
			_, err = format.DecodeEndOfToken(r.Metadata)
		case r.Kind == format.KindToken || r.Kind == format.KindEndOfToken:
			err = malformed("record %d describes its token in the middle of it", r.Seq)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// record fetches the whole of a record that a chunk named, unwrapped as far as
// the key at hand opens it; good until the next call.
func (l *lookup) record(want *format.Record) (*format.Record, error) {
	e, ok := l.dir.Data(want.Seq)
	if !ok {
		return nil, malformed("no block holds record %d", want.Seq)
	}
	if l.recs == nil || e != l.held {
		if err := l.data(e); err != nil {
			return nil, err
		}
	}
	r := &l.recs[want.Seq-e.First]
	if !sameHeader(r, want) {
		return nil, malformed("record %d is not what the index says", want.Seq)
	}
	if err := l.keys.RecordMAC().Check(r); err != nil {
		return nil, err
	}
	info, err := l.token(r.Token)
	if err != nil {
		return nil, err
	}
	l.given = *r // a record can be asked for again
	return &l.given, splitDetails(&l.given, info.Defaults)
}

// data reads a data frame and proves it.
func (l *lookup) data(e format.DirEntry) error {
	l.recs = nil
	l.table, l.batch.front = l.batch.front, l.table // over the block that was held, not beside it
	front, err := l.listed(e)
	l.table, l.batch.front = l.batch.front, l.table
	if err != nil {
		return err
	}
	l.batch.beside = bytes.Clone(l.batch.beside)
	recs, err := format.Unpack(l.batch.Records, front, l.batch.beside)
	if l.batch.Records = recs; err != nil {
		return err
	}
	if len(recs) != int(e.Count) || recs[0].Seq != e.First || format.DataDigest(recs, l.batch.beside) != e.D {
		return fmt.Errorf("%w: %s is not the one that the directory lists", format.ErrAuthentic, e.FrameHeader)
	}
	if err := l.unwrap.unwrap(&l.batch); err != nil {
		return err
	}
	l.held, l.recs = e, recs
	return nil
}

func sameHeader(a, b *format.Record) bool {
	return a.Seq == b.Seq && a.Token == b.Token && a.Kind == b.Kind && a.Flags == b.Flags &&
		a.Class == b.Class && a.Size == b.Size && a.Stored == b.Stored && a.Supersedes == b.Supersedes &&
		string(a.Name) == string(b.Name) && string(a.Metadata) == string(b.Metadata)
}

// token describes the token of a number; its first chunk does.
func (l *lookup) token(number uint32) (*format.Token, error) {
	if t := l.infos[number]; t != nil {
		return t, nil
	}
	e, ok := l.dir.FirstChunk(number)
	if ok {
		if _, err := l.chunk(e, nil); err != nil {
			return nil, err
		}
	}
	if t := l.infos[number]; t != nil {
		return t, nil
	}
	return nil, malformed("nothing describes token %d", number)
}

// find looks for the entry of a token, and says whether it is there.
func (l *lookup) find(token, name format.Name) (*format.Record, bool, error) {
	var found *format.Record
	for _, e := range l.dir.Candidates(token, name) {
		recs, err := l.chunk(e, nil)
		if err != nil {
			return nil, false, err
		}
		if recs[0].Token == 0 {
			continue // the archive's own descriptor: its filter, too, may be wrong
		}
		info, err := l.token(recs[0].Token)
		if err != nil {
			return nil, false, err
		}
		if string(info.Name) != string(token) {
			continue
		}
		for i := range recs {
			r := &recs[i]
			if string(r.Name) == string(name) && !r.Kind.Descriptor() && !l.dir.Superseded(r.Seq) && better(found, r) {
				found = r
			}
		}
	}
	return found, found != nil, nil
}

// better prefers an object to what lies beside the token under the same name.
func better(have, r *format.Record) bool { return have == nil || r.Kind < have.Kind }
