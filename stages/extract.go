package stages

import (
	"context"
	"errors"
	"fmt"
	"io"

	"tokar/backends"
	"tokar/format"
)

// ExtractOptions say what is restored, and where.
type ExtractOptions struct {
	OpenOptions
	Backend func(kind string) (backends.Backend, error) // required
	// Place says below which directory a token goes, whether the whole of it,
	// and whether it is wanted at all. It may be called from several workers.
	Place func(t *format.Token) (dir string, whole, wanted bool)
	// Select says which entries of a token that is wanted. Of one that is wanted
	// whole, what it leaves out is left out of the token's index too.
	Select  func(t *format.Token, r *format.Record) bool
	Damaged bool // damaged entries too
	DryRun  bool // everything but writing
	// Left is told of entries that were chosen and not restored, in order.
	Left Each
	// Finding is told what could not be set on what was restored.
	Finding func(t *format.Token, f format.Finding)
	// Committed is told of each token that is in its place.
	Committed func(t *format.Token, dir string)
}

// PartError says that some tokens were put in their places and then one could
// not be.
type PartError struct {
	Done []string
	Err  error
}

func (e *PartError) Error() string { return e.Err.Error() }
func (e *PartError) Unwrap() error { return e.Err }

// Extract restores tokens. Nothing is in its place before the whole archive
// was read and proved to its end; on any error before, nothing has happened.
func Extract(ctx context.Context, r io.Reader, o ExtractOptions) (*Summary, error) {
	a, err := open(ctx, r, o.OpenOptions, o.Backend)
	if err != nil {
		return nil, err
	}
	defer a.keys.Wipe()
	if !a.keys.Restores() {
		return a.sum, fmt.Errorf("%w: a verifier's key lists and verifies; restoring needs a restore key", format.ErrNoKey)
	}
	s := &restorer{ExtractOptions: o, tokens: a.tokens, sum: a.sum}
	defer s.close()
	near := func() []stage { return []stage{&read{restore: s}, &validate{tokens: a.tokens}} }
	if err := a.run(ctx, o.Workers, near, s.order); err != nil {
		return a.sum, err
	}
	return a.sum, s.commit(ctx)
}

// restorer gives records to their tokens' stagings.
type restorer struct {
	ExtractOptions
	tokens *tokens
	sum    *Summary
}

// put restores a part's records, from its worker. A record that supersedes
// waits for its turn in order: the one it replaces may be in another worker's
// hands.
func (s *restorer) put(ctx context.Context, b *Batch) error {
	b.left = b.left[:0]
	var group []*format.Record
	var to *tokenState
	flush := func() error {
		if len(group) == 0 {
			return nil
		}
		err := s.give(ctx, to, group)
		group = group[:0]
		return err
	}
	for i := range b.Records {
		r := &b.Records[i]
		left := true
		if !r.Kind.Descriptor() {
			t, err := s.tokens.get(ctx, r, b.ordinal)
			if err != nil {
				return err
			}
			if s.wants(t.info, r) {
				left = r.Absent() || r.Kind.Skippable() || r.Flags&format.Damaged != 0 && !s.Damaged
			}
			if t != to {
				if err := flush(); err != nil {
					return err
				}
				to = t
			}
			if !left && r.Supersedes == format.NoSeq {
				group = append(group, r)
			}
		}
		b.left = append(b.left, left)
	}
	return flush()
}

func (s *restorer) wants(t *format.Token, r *format.Record) bool {
	_, _, wanted := s.Place(t)
	return wanted && s.Select(t, r)
}

func (s *restorer) wantsWhole(t *format.Token) bool {
	_, whole, wanted := s.Place(t)
	return whole && wanted
}

// leaveOut tells a token that is otherwise wanted whole of what is not.
func (s *restorer) leaveOut(t *tokenState, r *format.Record) error {
	if !s.wantsWhole(t.info) || r.Kind.Skippable() {
		return nil
	}
	staging, err := s.staging(context.Background(), t)
	if err != nil || s.DryRun {
		return err
	}
	return staging.Order(r, true)
}

// give puts records into a token's staging place, which is made when the first
// arrives.
func (s *restorer) give(ctx context.Context, t *tokenState, rs []*format.Record) error {
	staging, err := s.staging(ctx, t)
	if err != nil || s.DryRun {
		return err
	}
	return staging.Put(ctx, rs)
}

func (s *restorer) staging(ctx context.Context, t *tokenState) (backends.Staging, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.begun {
		return t.staging, nil
	}
	dir, whole, _ := s.Place(t.info)
	var err error
	t.staging, err = t.backend.Restore(ctx, dir, t.info, backends.RestoreOptions{Whole: whole, DryRun: s.DryRun})
	t.begun = err == nil
	return t.staging, err
}

// order is told of every record in archive order.
func (s *restorer) order(b *Batch, t *format.Token, r *format.Record, i int) error {
	if s.Each != nil {
		s.Each(t, r)
	}
	state := s.tokens.byNumber(r.Token)
	switch {
	case r.Kind == format.KindEndOfToken && s.wantsWhole(t): // it is made though it has no entries
		_, err := s.staging(context.Background(), state)
		return err
	case r.Kind.Descriptor():
		return nil
	case !s.wants(t, r):
		return s.leaveOut(state, r)
	}
	left := b.left[i]
	gone := r.Flags&format.Vanished != 0
	if left && !gone {
		s.sum.Left++
		if s.Left != nil {
			s.Left(t, r)
		}
	}
	if r.Kind.Skippable() {
		return nil
	}
	staging, err := s.staging(context.Background(), state)
	if err != nil || s.DryRun {
		return err
	}
	if r.Supersedes != format.NoSeq && (!left || gone) {
		if err := staging.Put(context.Background(), []*format.Record{r}); err != nil {
			return err
		}
	}
	return staging.Order(r, left)
}

// commit finishes every staging place, then puts one after the other in place.
func (s *restorer) commit(ctx context.Context) error {
	if s.DryRun {
		return nil
	}
	staged := s.tokens.staged()
	for _, t := range staged {
		findings, err := t.staging.Finish(ctx)
		if err != nil {
			return fmt.Errorf("%s: %w", t.info.Name, err)
		}
		for _, f := range findings {
			s.sum.Findings++
			if s.Finding != nil {
				s.Finding(t.info, f)
			}
		}
	}
	var done []string
	for _, t := range staged {
		if err := t.staging.Commit(ctx); err != nil {
			err = fmt.Errorf("%s: %w", t.info.Name, err)
			if len(done) > 0 {
				return &PartError{Done: done, Err: err}
			}
			return err
		}
		done = append(done, t.info.Name.String())
		if s.Committed != nil {
			dir, _, _ := s.Place(t.info)
			s.Committed(t.info, dir)
		}
	}
	return nil
}

// close removes what was not committed.
func (s *restorer) close() error {
	var errs []error
	for _, t := range s.tokens.staged() {
		errs = append(errs, t.staging.Close())
	}
	return errors.Join(errs...)
}
