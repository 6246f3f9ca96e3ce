package stages

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"tokar/backends"
	"tokar/format"
)

// ExtractOptions say what is restored, and where.
type ExtractOptions struct {
	OpenOptions
	Backend func(kind string) (backends.Backend, error) // required
	// Place says where a token goes. It may be called from several workers.
	Place func(t *format.Token) Place
	// Select says which entries of a token that is wanted. Of one that is wanted
	// whole, what it leaves out is left out of the token's index too.
	Select  func(t *format.Token, r *format.Record) bool
	Damaged bool // damaged entries too
	// Existing says what may happen to tokens that are there; its Whole and Note
	// are not used.
	Existing backends.RestoreOptions
	// Logins gives the PINs of the token that stands where one is mended, or where
	// objects are made its own; From those of the archive's token t. Nil if none
	// are given. The caller clears them.
	Logins, From func(t *format.Token) (backends.Logins, error)
	// Mended is told of each token that is mended, when it is, or would be.
	Mended func(t *format.Token, m backends.Mended)
	// There is told how many single objects of a token are there already, and
	// their bytes.
	There func(t *format.Token, objects int, bytes uint64)
	// Note is told what the operator should know of a token.
	Note func(t *format.Token, message string)
	// Left is told of entries that were chosen and not restored, in order.
	Left Each
	// Finding is told what could not be set on what was restored, and what of a
	// token that was there goes or stays.
	Finding func(t *format.Token, f format.Finding)
	// Committed is told of each token that is in its place.
	Committed func(t *format.Token, dir string)
}

// PartError says that some tokens were put in their places and then one could
// not be.
type PartError struct {
	Done []string
	Half string // the one that is not as it was either; its next restore clears up
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
	near := func() []stage { return []stage{&read{restore: s}, &validate{tokens: a.tokens}} }
	err = a.run(ctx, o.Workers, near, s.order)
	if err == nil {
		err = s.commit(ctx)
	}
	return a.sum, s.close(err)
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
	return s.Place(t).Wanted && s.Select(t, r)
}

// give puts records into a token's staging place.
func (s *restorer) give(ctx context.Context, t *tokenState, rs []*format.Record) error {
	staging, err := s.staging(ctx, t)
	if err != nil {
		return err
	}
	if !s.Existing.Into || slices.ContainsFunc(rs, func(r *format.Record) bool { return r.Kind == format.KindObject }) {
		t.touch() // state and index alone move nothing
	}
	return staging.Put(ctx, rs)
}

// staging is a token's staging place; nothing is made before something is put
// there, or at once where the whole token is wanted.
func (s *restorer) staging(ctx context.Context, t *tokenState) (backends.Staging, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.begun {
		return t.staging, nil
	}
	place := s.Place(t.info)
	o := s.Existing
	o.Whole, o.Partly = place.Whole, t.partly
	o.Note = func(message string) {
		if s.Note != nil {
			s.Note(t.info, message)
		}
	}
	o.There = func(objects int, bytes uint64) {
		if s.There != nil {
			s.There(t.info, objects, bytes)
		}
	}
	info := t.info
	if len(place.Name) > 0 {
		renamed := *info
		renamed.Name = place.Name
		info = &renamed
	}
	var err error
	if o.Mend {
		o.Mended = func(m backends.Mended) { s.Mended(t.info, m) }
	}
	if s.From != nil {
		if o.From, err = s.From(t.info); err != nil {
			return nil, err
		}
	}
	if s.Logins != nil {
		if o.Logins, err = s.Logins(t.info); err != nil {
			return nil, err
		}
	}
	t.staging, err = t.backend.Restore(ctx, place.Dir, info, o)
	t.begun = err == nil
	t.touched = t.touched || place.Whole || o.Mend
	return t.staging, err
}

// order is told of every record in archive order.
func (s *restorer) order(b *Batch, t *format.Token, r *format.Record, i int) error {
	if s.Each != nil {
		s.Each(t, r)
	}
	if r.Kind == format.KindArchive || r.Kind == format.KindToken {
		return nil
	}
	place := s.Place(t)
	if !place.Wanted || r.Kind.Skippable() && !s.Select(t, r) {
		return nil
	}
	state := s.tokens.byNumber(r.Token)
	if r.Kind == format.KindEndOfToken {
		return s.ended(state, place)
	}
	left := b.left[i]
	gone := r.Flags&format.Vanished != 0
	wants := s.Select(t, r)
	if wants && left && !gone && !s.Existing.Mend {
		s.sum.Left++
		if s.Left != nil {
			s.Left(t, r)
		}
	}
	if r.Kind.Skippable() {
		return nil
	}
	staging, err := s.staging(context.Background(), state)
	if err != nil {
		return err
	}
	if wants && r.Supersedes != format.NoSeq && (!left || gone) {
		if err := s.give(context.Background(), state, []*format.Record{r}); err != nil {
			return err
		}
	}
	return staging.Order(r, left)
}

// ended makes a token that is wanted whole though it has no entries, and lets
// go of one of which nothing is restored.
func (s *restorer) ended(t *tokenState, place Place) error {
	if (place.Whole || s.Existing.Mend) && !t.partly {
		_, err := s.staging(context.Background(), t)
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.staging == nil || t.touched {
		return nil
	}
	err := t.staging.Close()
	t.staging, t.begun = nil, false
	return err
}

// commit finishes every staging place, then puts one after the other in place.
func (s *restorer) commit(ctx context.Context) error {
	staged := s.tokens.staged()
	for _, t := range staged {
		findings, err := t.staging.Finish(ctx)
		if err != nil {
			return fmt.Errorf("%s: %w", t.info.Name, err)
		}
		s.found(t, findings)
	}
	if s.Existing.DryRun {
		return nil
	}
	var done []string
	for _, t := range staged {
		findings, err := t.staging.Commit(ctx)
		if err != nil {
			part := &PartError{Done: done, Err: fmt.Errorf("%s: %w", t.info.Name, err)}
			if errors.Is(err, backends.ErrPartway) {
				part.Half = t.info.Name.String()
			}
			if len(done) == 0 && part.Half == "" {
				return part.Err
			}
			return part
		}
		done = append(done, t.info.Name.String())
		if s.Committed != nil {
			s.Committed(t.info, s.Place(t.info).Dir)
		}
		s.found(t, findings)
	}
	return nil
}

func (s *restorer) found(t *tokenState, findings []format.Finding) {
	for _, f := range findings {
		s.sum.Findings++
		if s.Finding != nil {
			s.Finding(t.info, f)
		}
	}
}

// close removes what was not committed, and what only building needed. What
// stays of a token that is in its place is a finding.
func (s *restorer) close(err error) error {
	for _, t := range s.tokens.all() {
		if t.staging == nil {
			continue
		}
		switch cerr := t.staging.Close(); {
		case cerr == nil:
		case err == nil:
			s.found(t, []format.Finding{{Kind: "left-behind", Offset: -1, Message: cerr.Error() + "; the next restore of this token removes it"}})
		default:
			err = fmt.Errorf("%w; %w", err, cerr)
		}
	}
	return err
}
