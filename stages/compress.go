package stages

import (
	"context"
	"slices"

	"tokar/format"
)

// compress packs a part's records and compresses their front ⇄ the reverse.
type compress struct {
	packer format.Packer
	codec  format.Compressor
}

func (s *compress) Forward(_ context.Context, b *Batch) (err error) {
	var front []byte
	front, b.beside = s.packer.Pack(b.Records, b.beside)
	b.Frame, err = s.codec.AppendBody(frameRoom(b.Frame), front, b.beside)
	return err
}

// frameRoom empties b but for what a frame needs before its body.
func frameRoom(b []byte) []byte {
	return slices.Grow(b[:0], format.FrameRoom)[:format.FrameRoom]
}

// Reverse leaves a block that is no data block as its plaintext, in front.
func (s *compress) Reverse(_ context.Context, b *Batch) (err error) {
	b.Records = b.Records[:0]
	if b.Kind.Skippable() {
		return nil
	}
	if b.front, b.beside, err = s.codec.SplitBody(b.front, b.body); err != nil {
		return err
	}
	if b.Kind == format.DataBlock {
		recs, err := s.packer.Unpack(b.front, b.beside)
		b.Records = append(b.Records, recs...)
		return err
	}
	if len(b.beside) > 0 {
		return malformed("%s with %d bytes beside its front", b.FrameHeader, len(b.beside))
	}
	return nil
}
