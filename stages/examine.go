package stages

import (
	"context"
	"errors"
	"slices"
	"sync"

	"tokar/backends"
	"tokar/format"
)

// ErrNotRestoring: PINs are given and the key at hand is a verifier's, which
// does not open what they would open.
var ErrNotRestoring = errors.New("PINs open nothing under a verifier's key")

// Unlock says with which PINs private objects are opened and checked. What they
// show is told, and goes into no archive but as findings.
type Unlock struct {
	// Logins gives a token's PINs, which are zeroed at its end. It may be called
	// from several workers. Nil: none is given, and only what needs none is opened.
	Logins func(t *format.Token) backends.Logins
	// Backend gives the kinds of archived tokens; required for reading runs.
	Backend func(kind string) (backends.Backend, error)
	// Told is told at a token's end what the PINs showed of it as a whole. An
	// error wraps backends.ErrPIN.
	Told func(t *format.Token, found []format.Finding, err error)
}

// examine opens private objects and judges what is in them. Both directions look
// at clear records; neither changes their bytes.
type examine struct {
	*examiner
	tokens *tokens // reverse
}

// examiner is one run's; nil in one that examines nothing. A token's vault is
// opened by the worker that first has a private object of it, and closed by the
// sink.
type examiner struct {
	Unlock

	mu     sync.Mutex
	open   map[uint32]*safe
	passed map[uint64]bool // reverse: parts whose state was learned, from floor on
	floor  uint64
	news   chan struct{} // closed and made anew when floor rises
}

// safe is a token's vault; one without says that there is nothing to open.
type safe struct {
	vault  backends.Vault
	logins backends.Logins

	using  sync.RWMutex // held to examine, and to close
	closed bool

	mu             sync.Mutex
	listed, learnt int           // forward: entries of state
	whole          chan struct{} // closed when the last was learned
}

func newExaminer(u *Unlock) *examiner {
	x := &examiner{open: map[uint32]*safe{}, passed: map[uint64]bool{}, news: make(chan struct{})}
	if u != nil {
		x.Unlock = *u
	}
	return x
}

// of gives the safe of a token; nil where there is none.
func (x *examiner) of(number uint32, t *format.Token, b backends.Backend) *safe {
	if x == nil {
		return nil
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	s, known := x.open[number]
	if !known {
		s = x.unlocked(t, t, b)
		x.open[number] = s
	}
	return s
}

// unlocked makes a safe for a token, with the PINs that are given for the one
// called named.
func (x *examiner) unlocked(named, t *format.Token, b backends.Backend) *safe {
	u, ok := b.(backends.Unlocker)
	if !ok {
		return nil
	}
	var l backends.Logins
	if x.Logins != nil {
		l = x.Logins(named)
	}
	if v := u.Unlock(t, l); v != nil {
		return &safe{vault: v, logins: l}
	}
	l.Clear()
	return nil
}

// end closes a token's safe, and tells.
func (x *examiner) end(number uint32, t *format.Token) {
	if x == nil {
		return
	}
	x.mu.Lock()
	s := x.open[number]
	delete(x.open, number)
	x.mu.Unlock()
	if s == nil {
		return
	}
	found, err := s.close()
	if x.Told != nil && (len(found) > 0 || err != nil) {
		x.Told(t, found, err)
	}
}

// close closes what a run that failed left open.
func (x *examiner) close() {
	if x == nil {
		return
	}
	for _, s := range x.open {
		if s != nil {
			s.close()
		}
	}
}

func (s *safe) close() ([]format.Finding, error) {
	s.using.Lock()
	defer s.using.Unlock()
	if s.closed {
		return nil, nil
	}
	s.closed = true
	defer s.logins.Clear()
	return s.vault.Close()
}

// list counts an entry of state that is to be learned.
func (s *safe) list() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.listed++
	if s.whole == nil {
		s.whole = make(chan struct{})
	}
}

// learn takes an entry of state; listed says whether it was counted.
func (s *safe) learn(r *format.Record, listed bool) {
	s.vault.Learn(r)
	if !listed {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.learnt++; s.learnt == s.listed {
		close(s.whole)
		s.whole = nil
	}
}

// wait waits until all that was listed of the state is learned. State comes
// first in a token's list, so it was listed before any object was, and is read
// in an earlier batch or in this one.
func (s *safe) wait(ctx context.Context) error {
	s.mu.Lock()
	whole := s.whole
	s.mu.Unlock()
	if whole == nil {
		return nil
	}
	select {
	case <-whole:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// look opens an object.
func (s *safe) look(r *format.Record) (c backends.Content, found []format.Finding) {
	s.using.RLock()
	defer s.using.RUnlock()
	if s.closed { // only what breaks the format's rules comes after a token's end
		return c, nil
	}
	return s.vault.Examine(r)
}

// examine opens an object, and marks it if it is unsound; marked says that it
// was not before.
func (s *safe) examine(b *Batch, i int) (marked bool) {
	r := &b.Records[i]
	c, found := s.look(r)
	if c.Opened {
		for len(b.contents) < len(b.Records) {
			b.contents = append(b.contents, backends.Content{})
		}
		b.contents[i] = c
	}
	found = slices.DeleteFunc(found, func(f format.Finding) bool { return slices.Contains(r.Details.Findings, f) })
	if len(found) == 0 { // or the archive says it already
		return false
	}
	marked = r.Flags&format.Damaged == 0
	r.Flags |= format.Damaged
	r.Details.Findings = append(r.Details.Findings, found...)
	return marked
}

func (x *examine) Forward(ctx context.Context, b *Batch) error {
	b.contents = b.contents[:0]
	first := b.at - len(b.Records)
	for i := range b.Records {
		if b.Records[i].Kind != format.KindObject {
			continue
		}
		s := b.planned[first+i].run.safe
		if s == nil {
			continue
		}
		if err := s.wait(ctx); err != nil {
			return err
		}
		s.examine(b, i)
	}
	return nil
}

// Reverse learns the part's state before it waits for that of earlier parts.
func (x *examine) Reverse(ctx context.Context, b *Batch) error {
	b.contents, b.unmarked = b.contents[:0], b.unmarked[:0]
	for i := range b.Records {
		if r := &b.Records[i]; r.Kind == format.KindState {
			if s, err := x.archived(ctx, b, r); err != nil {
				return err
			} else if s != nil {
				s.learn(r, false)
			}
		}
	}
	x.pass(b.ordinal)
	for i := range b.Records {
		r := &b.Records[i]
		if r.Kind != format.KindObject {
			continue
		}
		s, err := x.archived(ctx, b, r)
		if err == nil && s != nil {
			err = x.waitFor(ctx, b.ordinal)
		}
		if err != nil {
			return err
		}
		if s != nil && s.examine(b, i) {
			b.unmarked = append(b.unmarked, i)
		}
	}
	return nil
}

// examining gives what a reading run examines with: nothing under a verifier's
// key.
func (a *opened) examining(u *Unlock) (x *examiner, near func() []stage, err error) {
	x = newExaminer(u)
	switch {
	case u == nil:
		return x, nil, nil
	case a.keys.Restores():
		return x, func() []stage { return []stage{&examine{examiner: x, tokens: a.tokens}} }, nil
	case u.Logins != nil:
		return x, nil, ErrNotRestoring
	}
	return x, nil, nil
}

// archived gives the safe of a record's token.
func (x *examine) archived(ctx context.Context, b *Batch, r *format.Record) (*safe, error) {
	t, err := x.tokens.get(ctx, r, b.ordinal)
	if err != nil {
		return nil, err
	}
	kind, err := x.Backend(t.info.Kind)
	if err != nil {
		return nil, nil // of a kind that this tokar does not know
	}
	return x.of(t.number, t.info, kind), nil
}

// pass says that a part's state was learned.
func (x *examiner) pass(ordinal uint64) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.passed[ordinal] = true
	for x.passed[x.floor] {
		delete(x.passed, x.floor)
		x.floor++
	}
	close(x.news)
	x.news = make(chan struct{})
}

// waitFor waits until the state in all parts up to one was learned.
func (x *examiner) waitFor(ctx context.Context, ordinal uint64) error {
	for {
		x.mu.Lock()
		there, news := x.floor > ordinal, x.news
		x.mu.Unlock()
		if there {
			return nil
		}
		select {
		case <-news:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// shown is a record as people see it: with what a PIN showed. The record itself
// stays as the archive has it.
func (b *Batch) shown(i int) *format.Record {
	if i >= len(b.contents) || !b.contents[i].Opened {
		return &b.Records[i]
	}
	r := b.Records[i]
	b.contents[i].Add(&r)
	return &r
}
