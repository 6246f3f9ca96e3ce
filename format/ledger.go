package format

import "hash/maphash"

// A Ledger keeps the books of an archive's records as they come, in order, and
// refuses what breaks the grammar: sequence without gap; the archive's
// descriptor first; of each token its descriptor first and its end last, once;
// no entry twice, but for one that names what it supersedes. It remembers
// eight bytes and a hash an entry, and only of tokens that are open.
type Ledger struct {
	next   uint64
	tokens uint32
	names  map[string]bool
	open   map[uint32]*openToken
	spare  *openToken // closed: its maps for the next one
	seed   maphash.Seed
}

// spareEntries is how many entries a token may have had whose maps are used
// again: maps do not shrink.
const spareEntries = 1 << 14

type openToken struct {
	entries   map[uint64]uint64 // hash of kind and name → sequence number of what stands
	all, live uint64
	gone      map[uint64]bool // what stands for an entry that vanished
}

// NewLedger opens an empty one.
func NewLedger() *Ledger {
	return &Ledger{names: map[string]bool{}, open: map[uint32]*openToken{}, seed: maphash.MakeSeed()}
}

// Add takes the next record.
func (l *Ledger) Add(r *Record) error {
	if r.Seq != l.next {
		return badf(ErrMalformed, "record %d where %d must be", r.Seq, l.next)
	}
	l.next++
	if (r.Seq == 0) != (r.Kind == KindArchive) {
		return badf(ErrMalformed, "record %d is of kind %s", r.Seq, r.Kind)
	}
	switch r.Kind {
	case KindArchive:
		return nil
	case KindToken:
		return l.openToken(r)
	}
	t := l.open[r.Token]
	if t == nil {
		return badf(ErrMalformed, "record %d of token %d, which is not open", r.Seq, r.Token)
	}
	if r.Kind == KindEndOfToken {
		return l.closeToken(r, t)
	}
	return t.add(r, l.hash(r))
}

func (l *Ledger) openToken(r *Record) error {
	if r.Token != l.tokens+1 {
		return badf(ErrMalformed, "token %d where %d must be", r.Token, l.tokens+1)
	}
	if l.names[string(r.Name)] {
		return badf(ErrMalformed, "two tokens of the name %q", r.Name)
	}
	l.tokens++
	l.names[string(r.Name)] = true
	t := l.spare
	if l.spare = nil; t == nil {
		t = &openToken{entries: map[uint64]uint64{}, gone: map[uint64]bool{}}
	}
	l.open[r.Token] = t
	return nil
}

func (l *Ledger) closeToken(r *Record, t *openToken) error {
	e, err := DecodeEndOfToken(r.Metadata)
	if err != nil {
		return err
	}
	if e.All != t.all || e.Live != t.live {
		return badf(ErrMalformed, "token %d ends with %d of %d entries, not %d of %d", r.Token, t.live, t.all, e.Live, e.All)
	}
	delete(l.open, r.Token)
	if len(t.entries) <= spareEntries {
		clear(t.entries)
		clear(t.gone)
		*t = openToken{entries: t.entries, gone: t.gone}
		l.spare = t
	}
	return nil
}

// hash tells entries apart. The seed is random for each run, so that nobody
// can write an archive in which two names collide. One name of two kinds is two
// entries.
func (l *Ledger) hash(r *Record) uint64 {
	return maphash.Bytes(l.seed, r.Name) ^ uint64(r.Kind)
}

func (t *openToken) add(r *Record, key uint64) error {
	if r.Supersedes == NoSeq {
		n := len(t.entries)
		if t.entries[key] = r.Seq; len(t.entries) == n {
			return badf(ErrMalformed, "record %d repeats %q", r.Seq, r.Name)
		}
	} else {
		earlier, repeated := t.entries[key]
		if !repeated || r.Supersedes != earlier {
			return badf(ErrMalformed, "record %d supersedes %d, which is not what stands for %q", r.Seq, r.Supersedes, r.Name)
		}
		t.entries[key] = r.Seq
		if !t.gone[earlier] {
			t.live--
		}
		delete(t.gone, earlier)
	}
	t.all++
	if r.Flags&Vanished != 0 {
		t.gone[r.Seq] = true
	} else {
		t.live++
	}
	return nil
}

// Close says whether the books are complete.
func (l *Ledger) Close() error {
	switch {
	case l.next == 0:
		return badf(ErrMalformed, "no record at all")
	case len(l.open) > 0:
		return badf(ErrMalformed, "%d tokens without an end", len(l.open))
	}
	return nil
}
