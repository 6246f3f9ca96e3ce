package stages

import (
	"context"
	"errors"
	"io"

	"tokar/format"
)

// ListOptions say how much a list tells.
type ListOptions struct {
	OpenOptions
	// Full opens every wrapped payload that the key at hand opens: mode, owner
	// and time of wrapped entries lie inside the wrap. Without it only what has
	// a label to show is opened.
	Full bool
	// FrontDamaged is told that the header at the beginning is damaged and its
	// copy at the end was used.
	FrontDamaged func()
}

// List tells Each of every record. An archive that can be read at any place is
// listed by its index; a stream, and one whose index does not hold, from front
// to back, so that the error that comes with it is the one that verify gives.
func List(ctx context.Context, r io.Reader, o ListOptions) (*Summary, error) {
	at, size, ok := seekable(r)
	if !ok {
		return Verify(ctx, r, o.OpenOptions)
	}
	l, err := openLookup(ctx, at, size, o.OpenOptions)
	switch {
	case err == nil:
	case errors.Is(err, format.ErrNoKey) || errors.Is(err, format.ErrSigner) || ctx.Err() != nil:
		return nil, err
	case errors.Is(err, format.ErrNotArchive):
		return nil, err
	default:
		return Verify(ctx, r, o.OpenOptions)
	}
	defer l.keys.Wipe()
	x, near, err := l.examining(o.Unlock)
	if err != nil {
		return nil, err
	}
	defer x.close()
	if near != nil && o.Full { // else the bytes are not there
		l.examiner = x
	}
	if l.front && o.FrontDamaged != nil {
		o.FrontDamaged()
	}
	return l.sum, l.list(ctx, o)
}

// list tells of one chunk while the next is read. Of several faults the one of
// the first chunk is the error, whoever finds his first.
func (l *lookup) list(ctx context.Context, o ListOptions) error {
	ctx, cancel := context.WithCancel(ctx)
	type chunk struct {
		recs  []format.Record
		table []byte // where their metadata stand
		err   error
	}
	ready, spare := make(chan chunk), make(chan chunk, 2)
	ahead := &lookup{opened: l.opened, at: l.at, base: l.base}
	go func() {
		defer close(ready)
		for _, e := range l.dir.Index() {
			var c chunk
			select {
			case c = <-spare:
			default:
			}
			if c.err = ctx.Err(); c.err == nil {
				ahead.table = c.table
				c.recs, c.err = ahead.readChunk(e, c.recs)
				c.table = ahead.table
			}
			select {
			case ready <- c:
			case <-ctx.Done():
			}
			if c.err != nil || ctx.Err() != nil {
				return
			}
		}
	}()
	defer func() { // no reading goes on behind the caller's back
		cancel()
		for range ready {
		}
	}()
	for c := range ready {
		if c.err != nil {
			return c.err
		}
		if err := l.listChunk(c.recs, o); err != nil {
			return err
		}
		spare <- c
	}
	return ctx.Err()
}

func (l *lookup) listChunk(recs []format.Record, o ListOptions) error {
	if err := l.describe(recs); err != nil {
		return err
	}
	for i := range recs {
		r := &recs[i]
		if r.Kind == format.KindArchive {
			var err error
			if l.sum.Archive, err = format.DecodeArchive(r.Metadata); err != nil {
				return err
			}
		}
		if l.dir.Superseded(r.Seq) {
			continue
		}
		info, err := l.details(r, o.Full)
		if err != nil {
			return err
		}
		shown := l.examine(r, info)
		l.sum.add(shown)
		if o.Each != nil {
			o.Each(info, shown)
		}
	}
	return nil
}

// examine opens a private object, where there are PINs: the index has a token's
// state before its objects. It gives what is to be shown.
func (l *lookup) examine(r *format.Record, info *format.Token) *format.Record {
	if l.examiner == nil || info == nil {
		return r
	}
	kind, err := l.examiner.Backend(info.Kind)
	if err != nil {
		return r
	}
	switch s := l.examiner.of(r.Token, info, kind); {
	case r.Kind == format.KindEndOfToken:
		l.examiner.end(r.Token, info)
	case s == nil:
	case r.Kind == format.KindState:
		s.vault.Learn(r)
	case r.Kind == format.KindObject:
		b := Batch{Records: []format.Record{*r}}
		s.examine(&b, 0)
		return b.shown(0)
	}
	return r
}

// details fills in what the index alone does not say of an entry.
func (l *lookup) details(r *format.Record, full bool) (*format.Token, error) {
	if r.Kind == format.KindArchive {
		return nil, nil
	}
	info, err := l.token(r.Token)
	if err != nil || r.Kind.Descriptor() {
		return info, err
	}
	labelled := r.Kind == format.KindObject && r.Flags&format.Private == 0
	switch {
	case r.Flags&format.Wrapped == 0:
		if full {
			return info, l.fetch(r)
		}
		return info, r.Details.Decode(r.Metadata, info.Defaults)
	case l.keys.Restores() && (full || labelled || r.Flags&format.Damaged != 0):
		return info, l.fetch(r)
	}
	return info, nil
}

// fetch completes a record of a chunk from its block.
func (l *lookup) fetch(r *format.Record) error {
	whole, err := l.record(r)
	if err == nil {
		r.Details, r.Data = whole.Details, whole.Data
	}
	return err
}
