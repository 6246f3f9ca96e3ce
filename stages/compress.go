package stages

import (
	"context"

	"tokar/format"
)

// compress packs a part's records and compresses their front ⇄ the reverse.
type compress struct {
	packer format.Packer
	codec  format.Compressor
}

func (s *compress) Forward(_ context.Context, b *Batch) (err error) {
	b.front, b.beside = s.packer.Pack(b.Records)
	b.body, err = s.codec.AppendBody(b.body[:0], b.front, b.beside)
	return err
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
	return nil
}
