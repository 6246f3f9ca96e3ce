package stages

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	"tokar/format"
)

// books is the sink of a reading run. It sees frames in order and holds the
// archive to its own account: numbers without gap, records by the ledger's
// rules, index chunks and directory as the records make them, counts and root
// as the end block proves them.
type books struct {
	*opened
	taken func(b *Batch, t *format.Token, r *format.Record, i int) error // for every record, in order

	ledger *format.Ledger
	index  format.Index
	dir    format.FrameDirectory
	due    []format.Chunk // closed, their frames not seen yet

	order    frameOrder
	offset   uint64
	dirBytes []byte // what is left of the directory to compare
	root     [32]byte
	dirAt    uint64 // where it begins
	endAt    uint64
	ended    bool
}

func malformed(form string, args ...any) error {
	return fmt.Errorf("%w: %s", format.ErrMalformed, fmt.Sprintf(form, args...))
}

func newBooks(a *opened) *books {
	return &books{opened: a, ledger: format.NewLedger(), order: frameOrder{next: map[format.BlockKind]uint64{}}}
}

// Put takes the next frame.
func (s *books) Put(_ context.Context, b *Batch) error {
	err := s.order.take(b.FrameHeader)
	if err != nil {
		return err
	}
	switch b.Kind {
	case format.DataBlock:
		err = s.data(b)
	case format.IndexBlock:
		err = s.chunk(b)
	case format.DirectoryBlock:
		err = s.directory(b)
	case format.EndBlock:
		err = s.end(b)
	}
	s.offset += uint64(len(b.Frame))
	b.release()
	return err
}

func (s *books) data(b *Batch) error {
	if len(s.due) > 0 {
		return malformed("%s where an index chunk must be", b.FrameHeader)
	}
	if s.known != nil {
		if e, ok := s.known.Data(b.Records[0].Seq); !ok || e.D != format.DataDigest(b.Records, b.beside) {
			return errChanged
		}
	}
	s.dir.AddData(b.FrameHeader, s.offset, len(b.Frame), b.Records, b.beside)
	var info *format.Token
	for i := range b.Records {
		r := &b.Records[i]
		if err := s.ledger.Add(r); err != nil {
			return err
		}
		if i == 0 || r.Token != b.Records[i-1].Token {
			info = s.tokens.info(r.Token)
		}
		s.due = append(s.due, s.index.Add(asArchived(b, i))...)
		s.sum.add(r)
		if s.taken != nil {
			if err := s.taken(b, info, r, i); err != nil {
				return err
			}
		}
		if r.Kind == format.KindEndOfToken {
			s.tokens.forget(r.Token)
		}
	}
	return nil
}

// asArchived is a record as the index has it: without the mark that reading it
// brought.
func asArchived(b *Batch, i int) *format.Record {
	r := &b.Records[i]
	if _, marked := slices.BinarySearch(b.unmarked, i); !marked {
		return r
	}
	archived := *r
	archived.Flags &^= format.Damaged
	return &archived
}

func (s *books) chunk(b *Batch) error {
	if len(s.due) == 0 || !bytes.Equal(s.due[0].Body, b.front) {
		return malformed("%s does not hold what the records before it make", b.FrameHeader)
	}
	s.dir.AddIndex(b.FrameHeader, s.offset, len(b.Frame), &s.due[0])
	s.due = s.due[1:]
	return nil
}

func (s *books) directory(b *Batch) error {
	if s.dirBytes == nil {
		if err := s.closeRecords(); err != nil {
			return err
		}
		s.dirBytes, s.dirAt = s.dir.Bytes(), s.offset
		s.root = format.Root(s.dirBytes)
	}
	if len(b.front) == 0 || len(b.front) != min(len(s.dirBytes), format.DirPiece) || !bytes.HasPrefix(s.dirBytes, b.front) {
		return malformed("%s does not list what stands before it", b.FrameHeader)
	}
	s.dirBytes = s.dirBytes[len(b.front):]
	return nil
}

func (s *books) closeRecords() error {
	if s.order.part > 0 || len(s.due) > 0 {
		return malformed("the records end in the middle of a block")
	}
	return s.ledger.Close()
}

func (s *books) end(b *Batch) error {
	if s.dirBytes == nil || len(s.dirBytes) > 0 {
		return malformed("the end block stands before the whole directory")
	}
	e, err := s.readEnd(b.front)
	if err != nil {
		return err
	}
	if e.Counts != s.dir.Counts() {
		return malformed("the end block counts other blocks than stand before it")
	}
	if e.Root != s.root {
		return fmt.Errorf("%w: the end block proves other blocks than stand before it", format.ErrAuthentic)
	}
	s.endAt, s.ended = s.offset, true
	return nil
}

// footer is what the footer must say.
func (s *books) footer() format.Footer {
	return format.Footer{
		Frames:    s.offset,
		Directory: s.dirAt,
		End:       s.endAt,
		Header:    uint32(len(s.header.Bytes())),
	}
}
