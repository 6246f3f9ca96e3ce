package stages

import (
	"context"
	"errors"
	"hash/maphash"
	"io"
	"iter"
	"sync"

	"tokar/backends"
	"tokar/format"
)

const (
	batchEntries = 192
	// A token's end comes so many batches after its last entry: by then others
	// have read those entries, and nobody waits. It is a constant, so that the
	// order of records does not depend on the number of workers.
	endLag = 4
	// So many tokens are open at most: each has descriptors of the system's, and
	// a chunk of the index.
	openTokens = 64
)

// Input is a token to archive or to check.
type Input struct {
	Backend backends.Backend
	backends.Location
}

// planned is a record that will be: its place is fixed before it is read, so
// that workers can bind it without waiting for each other.
type planned struct {
	seq, supersedes uint64
	kind            format.Kind
	run             *tokenRun // nil for the archive's descriptor
	entry           backends.Entry
	metadata        []byte // of a descriptor
	awaited         bool   // state that workers may wait for
}

// tokenRun is one token being read.
type tokenRun struct {
	number  uint32
	backend backends.Backend
	token   backends.Token
	info    *format.Token
	safe    *safe // nil: no PIN opens anything of it
	list    func() (backends.Entry, error, bool)
	stop    func()

	planned   uint64   // entries listed so far
	replaced  []uint64 // of them, superseded later
	unread    unread
	last      uint64 // batch of the last entry planned
	rechecks  bool   // it is a Rechecker
	rechecked bool
	listed    []listed // what it may find changed
	seqs      map[uint64]uint64
	changed   []backends.Entry
	stable    bool
}

// listed is an entry's name and kind, hashed, and its sequence number. That is
// a map only once something has changed, which is rare.
type listed struct{ key, seq uint64 }

// entries is the source of every forward run: it lists tokens' entries in order
// and gives each record its sequence number.
type entries struct {
	inputs   []Input
	archive  []byte // metadata of record 0; nil where no archive is made
	skip     func(*format.Token, *backends.Entry) bool
	examiner *examiner

	batch, seq uint64
	tokens     uint32
	current    *tokenRun
	ending     []*tokenRun // listed to the end, waiting for their own
	unstable   []string
	notes      []Problem // after the last batch
}

// Next plans a batch.
func (e *entries) Next(ctx context.Context, b *Batch) error {
	b.planned, b.at, b.notes = b.planned[:0], 0, b.notes[:0]
	b.FrameHeader = format.FrameHeader{Kind: format.DataBlock, Number: e.batch}
	if e.seq == 0 && e.archive != nil {
		e.plan(b, planned{kind: format.KindArchive, metadata: e.archive})
	}
	for len(b.planned) < batchEntries {
		if err := ctx.Err(); err != nil {
			return err
		}
		if done, err := e.step(ctx, b); err != nil {
			return err
		} else if done {
			break
		}
	}
	if len(b.planned) == 0 {
		e.notes = append(e.notes, b.notes...)
		return io.EOF
	}
	e.batch++
	return nil
}

// step plans one more record, or says that the batch is done.
func (e *entries) step(ctx context.Context, b *Batch) (done bool, err error) {
	flush := e.current == nil && (len(e.inputs) == 0 || len(e.ending) == openTokens)
	if len(e.ending) > 0 {
		t := e.ending[0]
		if t.last+endLag <= e.batch || flush && t.last < e.batch {
			return false, e.end(ctx, b, t)
		}
	}
	switch {
	case flush:
		return true, nil
	case e.current == nil:
		return false, e.open(ctx, b)
	}
	return false, e.entry(b)
}

// open begins the next token. One that cannot be opened is a problem, not the
// end of the run: but an archive without a token that was only busy would take
// the place of one that has it.
func (e *entries) open(ctx context.Context, b *Batch) error {
	in := e.inputs[0]
	e.inputs = e.inputs[1:]
	token, err := in.Backend.Open(ctx, in.Location)
	if err != nil && e.archive != nil && errors.Is(err, backends.ErrLocked) {
		return err
	}
	if err != nil {
		b.notes = append(b.notes, Problem{Location: in.Location, Err: err})
		return ctx.Err()
	}
	e.tokens++
	t := &tokenRun{number: e.tokens, backend: in.Backend, token: token, info: token.Info(), stable: true}
	t.safe = e.examiner.of(t.number, t.info, t.backend)
	_, t.rechecks = token.(backends.Rechecker)
	t.list, t.stop = iter.Pull2(token.Entries(ctx))
	t.last = e.batch
	e.current = t
	e.plan(b, planned{kind: format.KindToken, run: t, metadata: t.info.Encode(), entry: backends.Entry{Name: t.info.Name}})
	return nil
}

// entry plans the current token's next entry.
func (e *entries) entry(b *Batch) error {
	t := e.current
	entry, err, ok := t.list()
	if !ok {
		t.stop()
		e.current = nil
		e.ending = append(e.ending, t)
		return nil
	}
	if err != nil {
		return err
	}
	e.planEntry(b, t, entry)
	return nil
}

func (e *entries) planEntry(b *Batch, t *tokenRun, entry backends.Entry) {
	if e.skip != nil && e.skip(t.info, &entry) {
		return
	}
	p := planned{kind: entry.Kind, run: t, entry: entry, supersedes: format.NoSeq}
	if t.safe != nil && entry.Kind == format.KindState && !t.rechecked {
		t.safe.list()
		p.awaited = true
	}
	switch {
	case t.rechecked:
		p.supersedes = t.replace(&entry, e.seq)
	case t.rechecks:
		t.listed = append(t.listed, listed{keyOf(&entry), e.seq})
	}
	t.planned++
	t.last = e.batch
	t.unread.add()
	e.plan(b, p)
}

var entrySeed = maphash.MakeSeed()

func keyOf(e *backends.Entry) uint64 {
	return maphash.Bytes(entrySeed, e.Name) ^ uint64(e.Kind)
}

// replace tells what the entry, read again as seq, supersedes.
func (t *tokenRun) replace(e *backends.Entry, seq uint64) (earlier uint64) {
	if t.seqs == nil {
		t.seqs = make(map[uint64]uint64, len(t.listed))
		for _, l := range t.listed {
			t.seqs[l.key] = l.seq
		}
		t.listed = nil
	}
	earlier, again := t.seqs[keyOf(e)]
	if !again {
		earlier = format.NoSeq
	} else {
		t.replaced = append(t.replaced, earlier)
	}
	t.seqs[keyOf(e)] = seq
	return earlier
}

// end waits until every entry of t is read, asks what changed meanwhile, plans
// that to be read again, and at last plans the token's end.
func (e *entries) end(ctx context.Context, b *Batch, t *tokenRun) error {
	if err := t.unread.wait(ctx); err != nil {
		return err
	}
	if r, ok := t.token.(backends.Rechecker); ok && !t.rechecked {
		var err error
		if t.changed, t.stable, err = r.Recheck(ctx); err != nil {
			return err
		}
		t.rechecked = true
	}
	if len(t.changed) > 0 {
		for len(t.changed) > 0 && len(b.planned) < batchEntries {
			e.planEntry(b, t, t.changed[0])
			t.changed = t.changed[1:]
		}
		return nil
	}
	e.ending = e.ending[1:]
	if !t.stable {
		e.unstable = append(e.unstable, t.info.Name.String())
	}
	for _, seq := range t.replaced { // whether it was there no longer counts
		delete(t.unread.gone, seq)
	}
	live := t.planned - uint64(len(t.replaced)+len(t.unread.gone))
	meta := format.EndOfToken{Live: live, All: t.planned, Stable: t.stable}.Encode()
	e.plan(b, planned{kind: format.KindEndOfToken, run: t, metadata: meta})
	return t.token.Close()
}

func (e *entries) plan(b *Batch, p planned) {
	p.seq = e.seq
	if p.metadata != nil {
		p.supersedes = format.NoSeq
	}
	e.seq++
	b.planned = append(b.planned, p)
}

// close lets go of what a run that failed left open.
func (e *entries) close() {
	e.examiner.close()
	for _, t := range append(e.ending, e.current) {
		if t != nil {
			t.stop()
			t.token.Close()
		}
	}
}

// unread counts a token's entries that are planned and not yet read, and knows
// which were gone when they were.
type unread struct {
	mu   sync.Mutex
	n    int
	none chan struct{}   // closed when n falls to 0, where somebody waits
	gone map[uint64]bool // sequence numbers; nobody's but the source's once n is 0
}

func (u *unread) add() {
	u.mu.Lock()
	u.n++
	u.mu.Unlock()
}

func (u *unread) done(seq uint64, gone bool) {
	u.mu.Lock()
	if gone {
		if u.gone == nil {
			u.gone = map[uint64]bool{}
		}
		u.gone[seq] = true
	}
	if u.n--; u.n == 0 && u.none != nil {
		close(u.none)
		u.none = nil
	}
	u.mu.Unlock()
}

// wait waits until everything is read, or for the end of the run.
func (u *unread) wait(ctx context.Context) error {
	u.mu.Lock()
	if u.n == 0 {
		u.mu.Unlock()
		return nil
	}
	none := make(chan struct{})
	u.none = none
	u.mu.Unlock()
	select {
	case <-none:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
