package stages

import (
	"context"

	"tokar/format"
)

// compress packs a part's records and compresses their front ⇄ the reverse.
type compress struct {
	packer format.Packer
	codec  format.Compressor
	large  *[]byte // reverse: front of the large part whose turn it is, one for all workers
}

func (s *compress) Forward(_ context.Context, b *Batch) (err error) {
	var front []byte
	front, b.beside = s.packer.Pack(b.Records, b.beside)
	b.body, err = s.codec.AppendBody(b.body[:0], front, b.beside)
	if len(front) > largePart {
		*s = compress{codec: format.Compressor{Codec: s.codec.Codec, Level: s.codec.Level}}
	}
	return err
}

// Reverse leaves a block that is no data block as its plaintext, in front.
func (s *compress) Reverse(ctx context.Context, b *Batch) (err error) {
	b.Records = b.Records[:0]
	if b.Kind.Skippable() {
		return nil
	}
	front := &b.front
	if n, beside := format.BodySize(b.body); s.large != nil && n+beside > largePart {
		if err := b.waitTurn(ctx); err != nil {
			return err
		}
		if n > largePart { // else release would leave it with the batch
			front = s.large
		}
	}
	if *front, b.beside, err = s.codec.SplitBody(*front, b.body); err != nil {
		return err
	}
	b.front = *front
	if b.Kind == format.DataBlock {
		b.Records, err = format.Unpack(b.Records, b.front, b.beside)
		return err
	}
	if len(b.beside) > 0 {
		return malformed("%s with %d bytes beside its front", b.FrameHeader, len(b.beside))
	}
	return nil
}
