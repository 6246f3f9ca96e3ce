package stages

import (
	"context"
	"fmt"
	"io"
	"sync"

	"tokar/backends"
	"tokar/format"
)

// CompareOptions say what is compared, with which tokens, and who hears of it.
type CompareOptions struct {
	OpenOptions
	Backend func(kind string) (backends.Backend, error) // required
	// Place says where the token stands that one is compared with. It may be
	// called from several workers.
	Place func(t *format.Token) Place
	// Select says which entries of a token that is wanted, on either side.
	Select func(t *format.Token, r *format.Record) bool
	// Compared is told of each token at its end, in archive order. An error ends
	// the run.
	Compared func(c *Compared) error
}

// Compared is what came of comparing one token.
type Compared struct {
	Archived *format.Token
	Path     string // where the token was looked for
	Err      error  // why it was not compared; ErrNoToken if none is there
	Objects  uint64 // archived ones that were selected
	Bytes    uint64 // of all entries that were
	// Differences are in archive order, what only the token has last.
	Differences []Difference
	More        uint64   // entries that differ beyond those
	Words       []string // how the two are related, from a backends.Comparer
	Other       bool     // … and it is another token
	Unstable    bool     // the token changed meanwhile
}

// maxDiffering bounds the entries of one token whose differences are kept until
// its end.
const maxDiffering = 1 << 16

// Compare reads an archive to its end and compares its tokens, entry by entry,
// with those that stand in their places. It writes nothing. A token is told of
// when its last record came: what an error follows was not proved by then. PINs
// are those of today, and open private objects of today.
func Compare(ctx context.Context, r io.Reader, o CompareOptions) (*Summary, error) {
	a, done, err := openTelling(ctx, r, o.OpenOptions, nil)
	if err != nil {
		return nil, err
	}
	defer done()
	if !a.keys.Restores() {
		return a.sum, fmt.Errorf("%w: a verifier's key lists and verifies; comparing needs a restore key", format.ErrNoKey)
	}
	c := &comparer{CompareOptions: o, tokens: a.tokens, byNum: map[uint32]*live{}}
	defer c.close()
	near := func() []stage { return []stage{&compare{comparer: c, buf: make([]byte, liveBuffer)}} }
	err = a.run(ctx, o.Workers, near, func(b *Batch, t *format.Token, r *format.Record, i int) error {
		return c.take(ctx, b, t, r, i)
	})
	return a.sum, err
}

// comparer is one run of Compare.
type comparer struct {
	CompareOptions
	tokens *tokens

	mu    sync.Mutex
	byNum map[uint32]*live
}

// live gives what an archived token is compared with; the first to ask looks
// for it and opens it.
func (c *comparer) live(ctx context.Context, t *tokenState) (*live, error) {
	c.mu.Lock()
	l := c.byNum[t.number]
	if l == nil {
		l = &live{archived: t.info}
		c.byNum[t.number] = l
	}
	c.mu.Unlock()
	l.once.Do(func() { c.openLive(ctx, l) })
	return l, ctx.Err()
}

func (c *comparer) openLive(ctx context.Context, l *live) {
	if l.place = c.Place(l.archived); !l.place.Wanted {
		return
	}
	if len(l.place.Name) == 0 {
		l.place.Name = l.archived.Name
	}
	b, err := c.Backend(l.archived.Kind)
	if err == nil {
		err = l.open(ctx, b, newExaminer(c.Unlock))
	}
	l.err = err
}

// compare is the stage: each archived entry beside the one of today, read by
// the same worker. It has no forward direction.
type compare struct {
	*comparer
	of  format.Record // the entry of today
	buf []byte
}

// liveBuffer holds a usual entry; a larger one gets memory of its own.
const liveBuffer = 64 << 10

func (s *compare) Forward(context.Context, *Batch) error { return nil }

func (s *compare) Reverse(ctx context.Context, b *Batch) error {
	clear(b.differences)
	b.differences = b.differences[:0]
	for i := range b.Records {
		found, err := s.record(ctx, b, &b.Records[i])
		if err != nil {
			return err
		}
		b.differences = append(b.differences, found)
	}
	return nil
}

func (s *compare) record(ctx context.Context, b *Batch, r *format.Record) ([]Difference, error) {
	if r.Kind.Descriptor() || r.Kind.Skippable() || r.Flags&format.Vanished != 0 {
		return nil, nil
	}
	t, err := s.tokens.get(ctx, r, b.ordinal)
	if err != nil {
		return nil, err
	}
	l, err := s.live(ctx, t)
	if err != nil || !l.place.Wanted || l.err != nil || !s.Select(t.info, r) {
		return nil, err
	}
	return l.compare(ctx, r, &s.of, s.buf)
}

// take is told of every record in archive order.
func (c *comparer) take(ctx context.Context, b *Batch, t *format.Token, r *format.Record, i int) error {
	if c.Each != nil {
		c.Each(t, r)
	}
	if t == nil || r.Kind.Skippable() {
		return nil
	}
	l, err := c.live(ctx, c.tokens.byNumber(r.Token))
	if err != nil || !l.place.Wanted {
		return err
	}
	switch r.Kind {
	case format.KindToken:
		return nil
	case format.KindEndOfToken:
		return c.end(ctx, l, r.Token)
	}
	if l.comparison != nil {
		l.comparison.Learn(r)
	}
	if c.Select(t, r) {
		l.take(r, b.differences[i])
	}
	return nil
}

// end tells of a token, and lets go of the one it was compared with.
func (c *comparer) end(ctx context.Context, l *live, number uint32) error {
	said, err := c.said(ctx, l)
	c.mu.Lock()
	delete(c.byNum, number)
	c.mu.Unlock()
	l.close()
	// Of an archive of many tokens, a pattern may mean none of this one's entries.
	if err != nil || !l.place.Whole && !l.touched && len(said.Differences) == 0 {
		return err
	}
	return c.Compared(said)
}

func (c *comparer) said(ctx context.Context, l *live) (*Compared, error) {
	said := &Compared{Archived: l.archived, Path: l.path(), Err: l.err, Objects: l.objects, Bytes: l.bytes}
	if l.err != nil {
		return said, nil
	}
	wanted := func(r *format.Record) bool { return c.Select(l.archived, r) }
	var err error
	if said.Unstable, err = l.changed(ctx); err != nil {
		return nil, err
	}
	if l.place.Whole {
		said.Differences = l.directories(wanted)
	}
	for _, d := range l.differing {
		said.Differences = append(said.Differences, d...)
	}
	said.Differences = append(said.Differences, l.added(wanted)...)
	said.More = l.more
	said.Words = l.words()
	said.Other = l.comparison != nil && l.comparison.Other()
	if l.safe != nil {
		found, err := l.safe.close()
		if c.Unlock != nil && c.Unlock.Told != nil && (len(found) > 0 || err != nil) {
			c.Unlock.Told(l.archived, found, err)
		}
	}
	return said, nil
}

// close lets go of what a run that failed left open.
func (c *comparer) close() {
	for _, l := range c.byNum {
		l.close()
	}
}
