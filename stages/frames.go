package stages

import (
	"bufio"
	"context"
	"errors"
	"io"

	"tokar/format"
)

// frames is the source of a reading run: frames as they stand in the stream,
// up to the end block.
type frames struct {
	r       io.Reader
	header  *format.Header
	ordinal uint64
	ended   bool
}

func (s *frames) Next(_ context.Context, b *Batch) (err error) {
	if s.ended {
		return io.EOF
	}
	if b.sealed, b.Frame, err = s.header.ReadFrame(s.r, b.Frame); err != nil {
		return err
	}
	b.FrameHeader, b.ordinal = b.sealed.FrameHeader, s.ordinal
	s.ordinal++
	s.ended = b.Kind == format.EndBlock
	return nil
}

// tail reads what follows the end block and compares it with what was seen:
// the same header again, a footer that says what was counted, and nothing
// more.
func tail(r io.Reader, h *format.Header, want format.Footer) error {
	in := bufio.NewReader(r)
	if _, err := in.Peek(1); err == io.EOF {
		return format.ErrTruncated
	}
	again, err := format.ReadHeader(in)
	switch {
	case errors.Is(err, format.ErrNotArchive):
		return malformed("no copy of the header after the end block")
	case err != nil:
		return err
	case !again.Equal(h):
		return malformed("the header's copy at the end differs from the one at the beginning")
	}
	b := make([]byte, format.FooterSize+1)
	n, err := io.ReadFull(in, b)
	switch {
	case err == nil:
		return malformed("bytes after the footer")
	case err != io.ErrUnexpectedEOF && err != io.EOF:
		return err
	case n < format.FooterSize:
		return format.ErrTruncated
	}
	footer, err := format.DecodeFooter(b[:n])
	if err == nil && footer != want {
		err = malformed("the footer does not say what the archive holds")
	}
	return err
}
