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
	frames   bool    // reverse: frames are wanted when they were opened
	plain    []byte
}

func newWrap(k *format.Keys, t *tokens) *wrap {
	return &wrap{keys: k, payloads: k.PayloadWrap(), tokens: t}
}

func (s *wrap) Forward(_ context.Context, b *Batch) (err error) {
	b.metadata, s.plain = b.metadata[:0], grow(s.plain, room(b.Records))
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
		start := len(s.plain)
		s.plain = append(r.Details.Append(s.plain, def), r.Data...)
		r.Stored = uint32(len(s.plain) - start)
	}
	// The seal grows its destination to the byte, and the MACs come behind it.
	const nonceAndTag, mac = 12 + 16, 32
	b.beside = grow(b.beside, nonceAndTag+len(s.plain)+mac*len(b.Records))
	b.beside, err = s.payloads.Wrap(b.beside, s.plain, b.Records)
	return err
}

// room is about what the wrapped records' details and bytes need: a buffer that
// had to grow would leave copies of them behind, which nobody zeroes.
func room(recs []format.Record) (n int) {
	const details = 256
	for i := range recs {
		if r := &recs[i]; r.Flags&format.Wrapped != 0 {
			n += details + len(r.Data)
		}
	}
	return n
}

// Reverse takes the descriptors first, so that whoever waits for a token of
// this part need not wait for its payloads.
func (s *wrap) Reverse(ctx context.Context, b *Batch) error {
	for i := range b.Records {
		if err := s.tokens.describe(&b.Records[i], b.ordinal); err != nil {
			return err
		}
	}
	s.tokens.pass(b.ordinal)
	if err := s.unwrap(b); err != nil {
		return err
	}
	var t *tokenState
	for i := range b.Records {
		r := &b.Records[i]
		if r.Kind.Descriptor() {
			continue
		}
		if t == nil || t.number != r.Token {
			var err error
			if t, err = s.tokens.get(ctx, r, b.ordinal); err != nil {
				return err
			}
		}
		if err := splitDetails(r, t.info.Defaults); err != nil {
			return err
		}
	}
	return nil
}

// unwrap sets the records' bytes, as far as the key at hand opens them; what
// was wrapped has its details before them. It goes over the frame, which was
// opened and is in the processor's cache.
func (s *wrap) unwrap(b *Batch) (err error) {
	var plain []byte
	if s.keys.Restores() {
		room := b.Frame[:0]
		if s.frames || cap(room) < len(b.beside) {
			b.arena = grow(b.arena, len(b.beside))
			room = b.arena
		}
		plain, err = s.payloads.Unwrap(room, b.Records, b.beside)
	}
	for i := range b.Records {
		switch r := &b.Records[i]; {
		case r.Flags&format.Wrapped == 0:
			r.Data = r.Payload
		case err == nil && s.keys.Restores():
			r.Data, plain = plain[:r.Stored:r.Stored], plain[r.Stored:]
		}
	}
	return err
}

// splitDetails takes the details off what unwrap gave, or reads the metadata.
func splitDetails(r *format.Record, def format.Attr) error {
	switch {
	case r.Flags&format.Wrapped == 0:
		return r.Details.Decode(r.Metadata, def)
	case r.Data == nil: // a verifier's key
		return nil
	}
	split := len(r.Data) - int(r.Size)
	plain := r.Data
	r.Data = plain[split:]
	return r.Details.Decode(plain[:split], def)
}

// grow gives b's memory, emptied, with room for n bytes.
func grow(b []byte, n int) []byte {
	return slices.Grow(b[:0], n)
}
