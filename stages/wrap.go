package stages

import (
	"context"
	"slices"

	"tokar/format"
)

// wrap ⇄ unwrap: what is not positively public goes under the payload key,
// details and all; the rest carries its details as metadata.
type wrap struct {
	keys     *format.Keys
	payloads *format.PayloadWrap
	tokens   *tokens // reverse
	plain    []byte
}

func newWrap(k *format.Keys, t *tokens) *wrap {
	return &wrap{keys: k, payloads: k.PayloadWrap(), tokens: t}
}

func (s *wrap) Forward(_ context.Context, b *Batch) error {
	b.beside, b.metadata = grow(b.beside, s.room(b)), b.metadata[:0]
	defer func() {
		clear(s.plain[:cap(s.plain)])
		s.plain = slim(s.plain)
	}()
	first := b.at - len(b.Records)
	for i := range b.Records {
		r := &b.Records[i]
		if r.Kind.Descriptor() {
			continue
		}
		def := b.planned[first+i].run.info.Defaults
		if r.Flags&format.Wrapped == 0 {
			start := len(b.metadata)
			b.metadata = r.Details.Append(b.metadata, def)
			r.Metadata = b.metadata[start:len(b.metadata):len(b.metadata)]
			r.Payload = r.Data
			continue
		}
		s.plain = append(r.Details.Append(s.plain[:0], def), r.Data...)
		start := len(b.beside)
		var err error
		if b.beside, err = s.payloads.Wrap(b.beside, s.plain, r); err != nil {
			return err
		}
		r.Payload = b.beside[start:len(b.beside):len(b.beside)]
	}
	return nil
}

// room is about what a part's wrapped payloads and MACs need. The seal grows
// its destination to the byte, so it must not have to, time and again.
func (s *wrap) room(b *Batch) int {
	const details, nonceTagMAC = 256, 12 + 16 + 32
	n := 0
	for i := range b.Records {
		n += nonceTagMAC
		if r := &b.Records[i]; r.Flags&format.Wrapped != 0 {
			n += len(r.Data) + details
		}
	}
	return n
}

// Reverse takes the descriptors first, so that whoever waits for a token of
// this part need not wait for its payloads.
func (s *wrap) Reverse(ctx context.Context, b *Batch) error {
	need := 0
	for i := range b.Records {
		r := &b.Records[i]
		if r.Flags&format.Wrapped != 0 {
			need += len(r.Payload)
		}
		if err := s.tokens.describe(r, b.ordinal); err != nil {
			return err
		}
	}
	s.tokens.pass(b.ordinal)
	b.arena = grow(b.arena, need)
	for i := range b.Records {
		r := &b.Records[i]
		if r.Kind.Descriptor() {
			continue
		}
		t, err := s.tokens.get(ctx, r, b.ordinal)
		if err != nil {
			return err
		}
		if err := s.unwrap(b, r, t.info.Defaults); err != nil {
			return err
		}
	}
	return nil
}

// unwrap sets a record's details and bytes, as far as the key at hand opens
// them.
func (s *wrap) unwrap(b *Batch, r *format.Record, def format.Attr) error {
	if r.Flags&format.Wrapped == 0 {
		r.Data = r.Payload
		return r.Details.Decode(r.Metadata, def)
	}
	if !s.keys.Restores() {
		return nil
	}
	start := len(b.arena)
	var err error
	if b.arena, err = s.payloads.Unwrap(b.arena, r); err != nil {
		return err
	}
	plain := b.arena[start:len(b.arena):len(b.arena)]
	split := len(plain) - int(r.Size)
	r.Data = plain[split:]
	return r.Details.Decode(plain[:split], def)
}

// grow gives b's memory, emptied, with room for n bytes.
func grow(b []byte, n int) []byte {
	return slices.Grow(b[:0], n)
}
