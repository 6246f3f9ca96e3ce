package stages

import (
	"context"
	"fmt"

	"tokar/format"
)

const (
	partBytes  = 1 << 20             // a part is closed when it holds so much
	usualEntry = 16 << 10            // room that must be left for one more
	maxPart    = format.MaxBlock / 2 // of own bytes: labels stand in the details once more
)

// read ⇄ restore: a backend's bytes into records.
type read struct {
	restore *restorer
	ahead   ahead
}

// Forward reads planned entries until the part is full.
func (s *read) Forward(ctx context.Context, b *Batch) error {
	if b.at == 0 {
		b.Part = 0
	} else {
		b.Part++
	}
	if b.arena == nil {
		b.arena = make([]byte, partBytes+usualEntry)
	}
	b.Records = b.Records[:0]
	free, total := b.arena, 0
	s.ahead.start()
	for b.More() && total < partBytes && len(b.Records) < format.MaxRecords {
		s.ahead.next(b.planned[b.at:])
		p := &b.planned[b.at]
		b.Records = append(b.Records, format.Record{})
		r := &b.Records[len(b.Records)-1]
		if err := p.record(ctx, r, free); err != nil {
			return err
		}
		if n := len(r.Data); n > 0 && n <= len(free) && &r.Data[0] == &free[0] {
			free = free[n:]
		}
		total += len(r.Data) + len(r.Details.Attr.ACL) + len(r.Details.Attr.Security)
		if total > maxPart && len(b.Records) > 1 {
			// Too large beside the others: read again into a part of its own.
			b.Records = b.Records[:len(b.Records)-1]
			break
		}
		p.done(r)
		b.at++
		if len(free) < usualEntry {
			break
		}
	}
	b.Last = !b.More()
	if total > largePart {
		return b.waitTurn(ctx)
	}
	return nil
}

// record makes the record of a planned entry; its bytes are in buf if they
// fit.
func (p *planned) record(ctx context.Context, r *format.Record, buf []byte) error {
	r.Reset()
	r.Seq, r.Supersedes, r.Kind = p.seq, p.supersedes, p.kind
	if p.run != nil {
		r.Token = p.run.number
	}
	if p.metadata != nil {
		r.Metadata = p.metadata
		r.Name = p.entry.Name
		return nil
	}
	r.Flags, r.Name = p.entry.Flags, p.entry.Name
	r.Details.Findings = append(r.Details.Findings, p.entry.Findings...)
	if err := p.run.token.Read(ctx, &p.entry, r, buf); err != nil {
		return err
	}
	if len(r.Data) > format.MaxObject {
		r.Data = nil
		r.Flags |= format.Refused
		r.Details.Findings = append(r.Details.Findings, format.Finding{
			Kind: "too-large", File: r.Name.String(), Offset: -1,
			Message: fmt.Sprintf("larger than the %d bytes that an archive can hold of one entry; left out", format.MaxObject),
		})
	}
	r.Size = uint32(len(r.Data))
	if p.run.safe != nil && p.kind == format.KindState {
		p.run.safe.learn(r, p.awaited)
		p.awaited = false // it may be read again, into a part of its own
	}
	return nil
}

// done counts an entry as read.
func (p *planned) done(r *format.Record) {
	if p.metadata != nil {
		return
	}
	p.run.unread.done(p.seq, r.Flags&format.Vanished != 0)
}

// Reverse restores.
func (s *read) Reverse(ctx context.Context, b *Batch) error {
	return s.restore.put(ctx, b)
}
