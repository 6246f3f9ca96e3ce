package stages

import (
	"time"

	"tokar/backends"
)

const (
	// So many entries are asked for together: enough for a disk to merge and
	// order what it reads.
	aheadEntries = 64
	// An entry takes 5 us from the page cache and 50 and more from a disk.
	slowEntry = 20 * time.Microsecond
)

// ahead asks the system for entries before they are read, where reading turns
// out to be slow. Where it is not, asking would cost as much as it saves.
type ahead struct {
	slow  bool
	since time.Time
	n     int // entries read since then
}

// start begins to measure: what happened since the last part was not reading.
func (a *ahead) start() { a.since, a.n = time.Now(), 0 }

// next is called before each entry is read; rest is that one and those after it.
func (a *ahead) next(rest []planned) {
	if a.n == aheadEntries {
		took := time.Since(a.since)
		a.slow = took > aheadEntries*slowEntry
		a.start()
	}
	if a.n == 0 && a.slow {
		for i := range rest[:min(len(rest), aheadEntries)] {
			p := &rest[i]
			if p.metadata != nil {
				continue
			}
			if t, ok := p.run.token.(backends.Prefetcher); ok {
				t.Prefetch(&p.entry)
			}
		}
	}
	a.n++
}
