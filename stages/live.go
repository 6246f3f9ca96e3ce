package stages

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"sync"

	"tokar/backends"
	"tokar/format"
)

// ErrNoToken: no token stands where one was looked for.
var ErrNoToken = backends.ErrNoToken

// live is a token that stands somewhere, beside the archived one that it is
// compared with. Names from the archive are looked up among its entries and
// make no path; but for the token's own, which must lead without a link to what
// the backend finds there.
type live struct {
	archived *format.Token
	place    Place

	once    sync.Once
	err     error // why this token is not compared
	token   backends.Token
	indexed backends.Indexed // nil if its kind has no index that can be told in words
	safe    *safe            // nil: no PIN opens anything of it
	list    []*liveEntry
	byName  map[string]*liveEntry

	reading sync.RWMutex // held by readers, and to close
	closed  bool

	// What follows is the sink's.
	comparison backends.Comparison // nil if there is none
	unwordable error               // why there is none, where there should be
	touched    bool                // an archived entry was selected
	objects    uint64
	bytes      uint64
	said       map[string]int // entries by kind and name: their places in differing
	differing  [][]Difference
	more       uint64
}

// described is what only the token has, in words.
var described = map[format.Kind]string{
	format.KindObject: "an object", format.KindState: "a state file",
	format.KindIndex: "an index", format.KindForeign: "a foreign file",
}

type liveEntry struct {
	backends.Entry
	met bool // the archive has it
}

// open finds the token, opens it and lists its entries.
func (l *live) open(ctx context.Context, b backends.Backend, x *examiner) error {
	loc, err := l.find(ctx, b)
	if err != nil {
		return err
	}
	if l.token, err = b.Open(ctx, loc); err != nil {
		return err
	}
	l.indexed, _ = b.(backends.Indexed)
	l.byName, l.said = map[string]*liveEntry{}, map[string]int{}
	for e, err := range l.token.Entries(ctx) {
		if err != nil {
			return err
		}
		entry := &liveEntry{Entry: e}
		l.list = append(l.list, entry)
		l.byName[string(e.Name)] = entry
	}
	if err := l.learn(ctx, x, b); err != nil {
		return err
	}
	if c, ok := b.(backends.Comparer); ok {
		l.comparison, l.unwordable = c.Compare(ctx, loc, l.archived)
	}
	return nil
}

// learn reads the state that PINs of today open the token with.
func (l *live) learn(ctx context.Context, x *examiner, b backends.Backend) error {
	if l.safe = x.unlocked(l.archived, l.token.Info(), b); l.safe == nil {
		return nil
	}
	for _, e := range l.list {
		if e.Kind != format.KindState {
			continue
		}
		var r format.Record
		r.Reset()
		r.Kind, r.Flags, r.Name = e.Kind, e.Flags, e.Name
		if err := l.token.Read(ctx, &e.Entry, &r, make([]byte, liveBuffer)); err != nil {
			return err
		}
		l.safe.learn(&r, false)
	}
	return nil
}

// examine opens an object of today: what is wrong with it is a difference.
func (l *live) examine(archived, of *format.Record) (list []Difference) {
	if l.safe == nil || of.Kind != format.KindObject {
		return nil
	}
	_, found := l.safe.look(of)
	for _, f := range found {
		d := between(archived, of)
		d.Kind, d.Name, d.Live = f.Kind, slices.Clone(of.Name), f.Message
		list = append(list, d)
	}
	return list
}

// below is where the token is in its place's directory.
func (l *live) below() string { return filepath.Join(l.place.Name.Components()...) }

func (l *live) path() string { return filepath.Join(l.place.Dir, l.below()) }

// find asks the backend what stands in the place.
func (l *live) find(ctx context.Context, b backends.Backend) (loc backends.Location, err error) {
	if err := l.place.Name.Check(); err != nil {
		return loc, err
	}
	path := l.path()
	found, err := b.Find(ctx, path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return loc, ErrNoToken
	case err != nil:
		return loc, err
	}
	for _, loc := range found.Tokens {
		if loc.Path != path {
			continue // below it
		}
		base, err := filepath.Abs(l.place.Dir)
		if err == nil {
			base, err = filepath.EvalSymlinks(base)
		}
		if err == nil && loc.Real != filepath.Join(base, l.below()) {
			err = errors.New("a symbolic link leads there, which is not followed")
		}
		loc.Name, loc.Reading = l.place.Name, l.place.Reading
		return loc, err
	}
	for _, p := range found.Passed {
		if p.Path == path {
			return loc, fmt.Errorf("%w: %s", ErrNoToken, p.Reason)
		}
	}
	return loc, ErrNoToken
}

// compare reads the entry of today and compares an archived one with it. It is
// safe from many goroutines.
func (l *live) compare(ctx context.Context, archived, of *format.Record, buf []byte) ([]Difference, error) {
	e := l.byName[string(archived.Name)]
	if e == nil {
		return missing(archived), nil
	}
	l.reading.RLock()
	defer l.reading.RUnlock()
	if l.closed {
		return nil, malformed("record %d after the end of its token", archived.Seq)
	}
	of.Reset()
	of.Kind, of.Flags, of.Name = e.Kind, e.Flags, e.Name
	of.Details.Findings = append(of.Details.Findings, e.Findings...)
	if err := l.token.Read(ctx, &e.Entry, of, buf); err != nil {
		return nil, err
	}
	of.Size = uint32(len(of.Data))
	return append(differences(archived, of, l.indexed), l.examine(archived, of)...), nil
}

// take notes what a worker found on an archived entry. It replaces what was
// said of the one that this record supersedes.
func (l *live) take(r *format.Record, found []Difference) {
	l.touched = true
	l.bytes += uint64(r.Size)
	if r.Kind == format.KindObject && !r.Absent() {
		l.objects++
	}
	if e := l.byName[string(r.Name)]; e != nil {
		e.met = r.Flags&format.Vanished == 0
	}
	key := string(rune(r.Kind)) + string(r.Name)
	at, again := l.said[key]
	switch {
	case again:
		l.differing[at] = found
	case len(found) == 0 || l.err != nil:
	case len(l.differing) == maxDiffering:
		l.more++
	default:
		l.said[key] = len(l.differing)
		l.differing = append(l.differing, found)
	}
}

// changed says whether the token changed since it was opened.
func (l *live) changed(ctx context.Context) (bool, error) {
	r, ok := l.token.(backends.Rechecker)
	if !ok {
		return false, nil
	}
	_, stable, err := r.Recheck(ctx)
	return !stable, err
}

// added is what only the token has.
func (l *live) added(wanted func(*format.Record) bool) (list []Difference) {
	for _, e := range l.list {
		if r := (format.Record{Kind: e.Kind, Name: e.Name}); !e.met && wanted(&r) {
			list = append(list, Difference{Kind: Added, Name: e.Name, Entry: e.Kind, Offset: -1, Live: described[e.Kind]})
		}
	}
	return list
}

// directories compares what the descriptors say of the tokens' directories.
func (l *live) directories(wanted func(*format.Record) bool) (list []Difference) {
	there := map[string]format.Attr{}
	for _, d := range l.token.Info().Directories {
		there[string(d.Name)] = d.Attr
	}
	for _, d := range l.archived.Directories {
		if len(d.Name) > 0 && !wanted(&format.Record{Kind: format.KindForeign, Name: d.Name}) {
			continue
		}
		attr, ok := there[string(d.Name)]
		if !ok {
			list = append(list, Difference{Kind: Missing, Name: d.Name, Offset: -1, Archived: "a directory"})
			continue
		}
		list = append(list, attrDifferences(Difference{Name: d.Name}, d.Attr, attr)...)
		delete(there, string(d.Name))
	}
	for _, d := range l.token.Info().Directories {
		if _, only := there[string(d.Name)]; only && len(d.Name) > 0 && wanted(&format.Record{Kind: format.KindForeign, Name: d.Name}) {
			list = append(list, Difference{Kind: Added, Name: d.Name, Offset: -1, Live: "a directory"})
		}
	}
	return list
}

// words are the Comparer's.
func (l *live) words() []string {
	switch {
	case l.comparison != nil:
		return l.comparison.Words()
	case l.unwordable != nil:
		return []string{"whether the PINs are those of the archive cannot be told: " + l.unwordable.Error()}
	}
	return nil
}

// close waits for those who read.
func (l *live) close() {
	l.reading.Lock()
	defer l.reading.Unlock()
	if l.closed {
		return
	}
	l.closed = true
	if l.comparison != nil {
		l.comparison.Close()
	}
	if l.safe != nil {
		l.safe.close()
	}
	if l.token != nil {
		l.token.Close()
	}
}
