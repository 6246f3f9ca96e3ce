package stages

import (
	"bufio"
	"context"
	"io"

	"tokar/format"
)

// VerifyFrames reads an archive to its end without any key: checksums, the
// numbers of blocks, the header's copy, the footer. It finds bit rot and cuts;
// against people it proves nothing.
func VerifyFrames(ctx context.Context, r io.Reader) (*Summary, error) {
	in := bufio.NewReaderSize(r, 64<<10)
	h, err := format.ReadHeader(in)
	if err != nil {
		return nil, err
	}
	s := &Summary{Generation: h.Generation}
	footer, err := eachFrame(ctx, in, h, func(*Batch) error { return nil })
	if err != nil {
		return s, err
	}
	s.Written = sizeOf(footer)
	return s, tail(in, h, footer)
}

// sizeOf is the length of an archive with this footer.
func sizeOf(f format.Footer) uint64 { return f.Frames + 2*uint64(f.Header) + format.FooterSize }

// eachFrame reads the frames up to the end block and checks what needs no key.
// It gives the footer that belongs behind them.
func eachFrame(ctx context.Context, in io.Reader, h *format.Header, each func(*Batch) error) (format.Footer, error) {
	b := &Batch{}
	src := &frames{r: in, header: h}
	order := frameOrder{next: map[format.BlockKind]uint64{}}
	footer := format.Footer{Header: uint32(len(h.Bytes()))}
	for {
		if err := ctx.Err(); err != nil {
			return footer, err
		}
		if err := src.Next(ctx, b); err == io.EOF {
			return footer, nil
		} else if err != nil {
			return footer, err
		}
		if err := order.take(b.FrameHeader); err != nil {
			return footer, err
		}
		if err := each(b); err != nil {
			return footer, err
		}
		switch {
		case b.Kind == format.EndBlock:
			footer.End = footer.Frames
		case b.Kind == format.DirectoryBlock && b.Number == 0:
			footer.Directory = footer.Frames
		}
		footer.Frames += uint64(len(b.Frame))
	}
}

// frameOrder is what frames say of their order in clear: per kind, numbers
// from 0 without gap; per data block, parts from 0; the directory right after
// the last index chunk, the end block right after the directory.
type frameOrder struct {
	next map[format.BlockKind]uint64
	part uint32
	last format.BlockKind
}

func (o *frameOrder) take(f format.FrameHeader) error {
	want := uint32(0)
	if f.Kind == format.DataBlock {
		want = o.part
	}
	switch {
	case f.Number != o.next[f.Kind] || f.Part != want:
		return malformed("%s where block %d part %d must be", f, o.next[f.Kind], want)
	case o.last == format.DirectoryBlock && f.Kind != format.DirectoryBlock && f.Kind != format.EndBlock:
		return malformed("%s after the directory", f)
	case f.Kind == format.EndBlock && o.last != format.DirectoryBlock:
		return malformed("%s before the directory", f)
	case f.Kind == format.DirectoryBlock && f.Number == 0 && (o.last != format.IndexBlock || o.part > 0):
		// A block that is passed over stands before one that the directory
		// lists: it cannot be taken out without moving that.
		return malformed("%s where an index chunk must come first", f)
	}
	o.last = f.Kind
	if f.Kind == format.DataBlock {
		o.part++
	}
	if f.Last {
		o.next[f.Kind]++
		if f.Kind == format.DataBlock {
			o.part = 0
		}
	}
	return nil
}
