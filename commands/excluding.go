package commands

import (
	"context"
	"iter"

	"tokar/backends"
	"tokar/format"
)

// excluding is a backend whose tokens leave out the entries that --exclude
// names.
type excluding struct {
	backends.Backend
	sel  *selection
	name format.Name
}

func (b *excluding) Open(ctx context.Context, loc backends.Location) (backends.Token, error) {
	t, err := b.Backend.Open(ctx, loc)
	if err != nil {
		return nil, err
	}
	fewer := &fewerEntries{t, b.sel, b.name.String()}
	if r, ok := t.(backends.Rechecker); ok {
		return &fewerChanges{fewer, r}, nil
	}
	return fewer, nil
}

type fewerEntries struct {
	backends.Token
	sel  *selection
	name string
}

func (t *fewerEntries) Entries(ctx context.Context) iter.Seq2[backends.Entry, error] {
	return func(yield func(backends.Entry, error) bool) {
		for e, err := range t.Token.Entries(ctx) {
			if err == nil && t.sel.excludes(t.name, e.Name.String()) {
				continue
			}
			if !yield(e, err) {
				return
			}
		}
	}
}

// fewerChanges is the same of a token that can change while it is read.
type fewerChanges struct {
	*fewerEntries
	rechecker backends.Rechecker
}

func (t *fewerChanges) Recheck(ctx context.Context) ([]backends.Entry, bool, error) {
	changed, stable, err := t.rechecker.Recheck(ctx)
	kept := changed[:0]
	for _, e := range changed {
		if !t.sel.excludes(t.name, e.Name.String()) {
			kept = append(kept, e)
		}
	}
	return kept, stable, err
}
