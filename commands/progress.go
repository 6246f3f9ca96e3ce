package commands

import (
	"context"
	"io"
	"sync"
	"sync/atomic"

	"tokar/format"
	"tokar/stages"
)

// progress is how far a run is. The work only counts; whoever shows it asks.
type progress struct {
	entries, bytes atomic.Uint64
	where          func() (done, total uint64) // of the archive's bytes or the tokens' entries; a total of 0 is not known
}

// counted counts what comes to each.
func (s *session) counted(each func(*format.Token, *format.Record)) func(*format.Token, *format.Record) {
	return func(t *format.Token, r *format.Record) {
		if t != nil && !r.Kind.Descriptor() {
			s.progress.entries.Add(1)
			s.progress.bytes.Add(uint64(r.Size))
		}
		each(t, r)
	}
}

// through is how far an archive is read. Of a file the system knows: asking it
// costs the readers nothing.
func (a *archiveFile) through() (done, total uint64) {
	info, err := a.file.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return a.head.came.Load(), 0
	}
	at, err := a.file.Seek(0, io.SeekCurrent)
	if err != nil || at == 0 { // closed, or read here and there by its index
		return 0, 0
	}
	return uint64(at), uint64(info.Size())
}

// listed is how many of the tokens' entries are through. They are counted once,
// beside the work, and when somebody first asks.
func (s *session) listed(ctx context.Context, inputs []stages.Input, sel selection) func() (done, total uint64) {
	var all atomic.Uint64
	count := sync.OnceFunc(func() { go all.Store(countEntries(ctx, inputs, sel)) })
	return func() (done, total uint64) {
		count()
		return s.progress.entries.Load(), all.Load()
	}
}

// countEntries is how many entries the tokens list, or 0 where one cannot be
// listed.
func countEntries(ctx context.Context, inputs []stages.Input, sel selection) (n uint64) {
	for _, in := range inputs {
		in.Reading.Listing = true
		token, err := in.Backend.Open(ctx, in.Location)
		if err != nil {
			return 0
		}
		for e, eerr := range token.Entries(ctx) {
			if err = eerr; err == nil && !sel.excludes(in.Name.String(), e.Name.String()) {
				n++
			}
		}
		token.Close()
		if err != nil {
			return 0
		}
	}
	return n
}
