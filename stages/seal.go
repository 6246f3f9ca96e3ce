package stages

import (
	"context"

	"tokar/format"
)

// seal ⇄ open: a part's body into its frame.
type seal struct {
	header *format.Header
	keys   *format.Keys
}

func (s *seal) Forward(_ context.Context, b *Batch) (err error) {
	b.Frame, err = s.header.SealFrame(b.Frame, s.keys, b.FrameHeader, b.body)
	return err
}

func (s *seal) Reverse(_ context.Context, b *Batch) (err error) {
	if n := len(b.sealed.Sealed); cap(b.body) < n {
		b.body = make([]byte, 0, n+n/16) // others of about that size follow
	}
	b.body, err = s.header.OpenFrame(b.body[:0], s.keys, &b.sealed)
	return err
}
