package stages

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"

	"tokar/backends"
	"tokar/format"
)

// tokens is what a reading run knows of an archive's tokens. Workers describe
// them as descriptors come along and wait for those that an earlier part, still
// in another worker's hands, will describe.
type tokens struct {
	backend func(kind string) (backends.Backend, error) // nil where tokens are only listed

	mu      sync.Mutex
	news    chan struct{} // closed and made anew at each change
	byNum   map[uint32]*tokenState
	archive *format.Archive
	passed  map[uint64]bool // parts whose descriptors were taken, from floor on
	floor   uint64          // all parts before it were
}

type tokenState struct {
	number  uint32
	part    uint64 // that describes it
	info    *format.Token
	backend backends.Backend
	partly  bool // some of it is lost: salvage

	mu      sync.Mutex
	begun   bool // Restore was called
	touched bool // something of it is restored
	staging backends.Staging
}

func newTokens(backend func(string) (backends.Backend, error)) *tokens {
	return &tokens{
		backend: backend,
		news:    make(chan struct{}),
		byNum:   map[uint32]*tokenState{},
		passed:  map[uint64]bool{},
	}
}

// describe takes a descriptor record; others are not its business.
func (s *tokens) describe(r *format.Record, ordinal uint64) error {
	switch r.Kind {
	case format.KindArchive:
		a, err := format.DecodeArchive(r.Metadata)
		s.mu.Lock()
		s.archive = a
		s.mu.Unlock()
		return err
	case format.KindToken:
	default:
		return nil
	}
	info, err := format.DecodeToken(r.Name, r.Metadata)
	if err != nil {
		return err
	}
	t := &tokenState{number: r.Token, part: ordinal, info: info}
	if s.backend != nil {
		if t.backend, err = s.backend(info.Kind); err != nil {
			return fmt.Errorf("%s: %w", info.Name, err)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.byNum[r.Token] != nil {
		return fmt.Errorf("%w: token %d is described twice", format.ErrMalformed, r.Token)
	}
	s.byNum[r.Token] = t
	s.wake()
	return nil
}

// add takes a token that nothing describes.
func (s *tokens) add(t *tokenState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.byNum[t.number] = t
}

// drop forgets a token.
func (s *tokens) drop(number uint32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.byNum, number)
}

// pass says that a part's descriptors were all taken.
func (s *tokens) pass(ordinal uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.passed[ordinal] = true
	for s.passed[s.floor] {
		delete(s.passed, s.floor)
		s.floor++
	}
	s.wake()
}

func (s *tokens) wake() {
	close(s.news)
	s.news = make(chan struct{})
}

// get gives the token of a record in the given part. It waits while an earlier
// part may still describe it; what a later one says, which may be known already,
// does not count.
func (s *tokens) get(ctx context.Context, r *format.Record, ordinal uint64) (*tokenState, error) {
	for {
		s.mu.Lock()
		t, settled, news := s.byNum[r.Token], s.floor > ordinal, s.news
		s.mu.Unlock()
		switch {
		case t != nil && t.part <= ordinal:
			return t, nil
		case settled:
			return nil, fmt.Errorf("%w: record %d of token %d, which nothing describes", format.ErrMalformed, r.Seq, r.Token)
		}
		select {
		case <-news:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// byNumber gives a token once its part was worked on; nil for the archive
// itself.
func (s *tokens) byNumber(number uint32) *tokenState {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.byNum[number]
}

// forget lets go of a token that ended, where tokens are only listed: a staging
// place is known to the end.
func (s *tokens) forget(number uint32) {
	if s.backend == nil {
		s.drop(number)
	}
}

func (s *tokens) info(number uint32) *format.Token {
	if t := s.byNumber(number); t != nil {
		return t.info
	}
	return nil
}

// staged lists the tokens of which something is restored, in archive order.
func (s *tokens) staged() []*tokenState {
	return slices.DeleteFunc(s.all(), func(t *tokenState) bool { return !t.touched })
}

// all lists the tokens that are known, in archive order.
func (s *tokens) all() []*tokenState {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := slices.Collect(maps.Values(s.byNum))
	slices.SortFunc(list, func(a, b *tokenState) int { return cmp.Compare(a.number, b.number) })
	return list
}

// touch notes that something of the token is restored.
func (t *tokenState) touch() {
	t.mu.Lock()
	t.touched = true
	t.mu.Unlock()
}
