package stages

import (
	"bytes"
	"context"
	"io"

	"tokar/format"
)

// indexLevel is zstd's level for the index: it makes a quarter less of it than
// the fastest does, at a hundredth of the time that an archive takes.
const indexLevel = 3

// writer is the sink of an archive run: it writes frames in order, index
// chunks as they are closed, and at the end the directory, the end block, the
// header again and the footer.
type writer struct {
	told
	w      io.Writer
	header *format.Header
	keys   *format.Keys
	codec  format.Compressor
	sign   func(message []byte) ([]byte, error) // nil: not signed

	ledger *format.Ledger
	index  format.Index
	dir    format.FrameDirectory
	chunks uint64
	offset uint64
	buf    []byte
	body   []byte
}

// Put writes a data frame and the index chunks that its records closed.
func (s *writer) Put(_ context.Context, b *Batch) error {
	s.notes(b)
	s.dir.AddData(b.FrameHeader, s.offset, len(b.Frame), b.Records, b.beside)
	if err := s.write(b.Frame); err != nil {
		return err
	}
	for i := range b.Records {
		r := &b.Records[i]
		if err := s.ledger.Add(r); err != nil {
			return err
		}
		s.record(b, i)
		for _, c := range s.index.Add(r) {
			if err := s.writeChunk(&c); err != nil {
				return err
			}
		}
	}
	b.release()
	return nil
}

func (s *writer) writeChunk(c *format.Chunk) error {
	f := format.FrameHeader{Kind: format.IndexBlock, Last: true, Number: s.chunks}
	at := s.offset
	if err := s.block(f, c.Body); err != nil {
		return err
	}
	s.chunks++
	s.dir.AddIndex(f, at, len(s.buf), c)
	return nil
}

// block seals and writes a block that holds no records, after opening it again.
func (s *writer) block(f format.FrameHeader, plain []byte) (err error) {
	if s.body, err = s.codec.AppendBody(s.body[:0], plain, nil); err != nil {
		return err
	}
	if s.buf, err = s.header.SealFrame(s.buf, s.keys, f, s.body); err != nil {
		return err
	}
	again, err := format.ParseFrame(s.buf)
	if err != nil {
		return errSelfCheck
	}
	if s.body, err = s.header.OpenFrame(s.body[:0], s.keys, &again); err != nil {
		return errSelfCheck
	}
	if front, _, err := s.codec.SplitBody(nil, s.body); err != nil || !bytes.Equal(front, plain) {
		return errSelfCheck
	}
	return s.write(s.buf)
}

// close writes what follows the last record.
func (s *writer) close() error {
	if err := s.ledger.Close(); err != nil {
		return err
	}
	footer := format.Footer{Directory: s.offset, Header: uint32(len(s.header.Bytes()))}
	f := format.FrameHeader{Kind: format.DirectoryBlock, Last: true}
	for rest := s.dir.Bytes(); len(rest) > 0; f.Number++ {
		n := min(len(rest), format.DirPiece)
		if err := s.block(f, rest[:n]); err != nil {
			return err
		}
		rest = rest[n:]
	}
	footer.End = s.offset
	end, err := s.header.NewEnd(s.keys, &s.dir, s.sign)
	if err != nil {
		return err
	}
	if err := s.block(format.FrameHeader{Kind: format.EndBlock, Last: true}, end.Encode()); err != nil {
		return err
	}
	footer.Frames = s.offset
	if err := s.write(s.header.Bytes()); err != nil {
		return err
	}
	return s.write(footer.Encode())
}

func (s *writer) write(b []byte) error {
	n, err := s.w.Write(b)
	s.offset += uint64(n)
	s.summary.Written += uint64(n)
	if err == nil && n < len(b) {
		err = io.ErrShortWrite
	}
	return err
}
