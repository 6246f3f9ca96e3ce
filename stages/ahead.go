package stages

import (
	"time"

	"golang.org/x/sys/unix"

	"tokar/backends"
)

const (
	// So many entries are asked for together: enough for a disk to merge and
	// order what it reads.
	aheadEntries = 64
	// An entry takes 5 us from the page cache, longer on a busy machine; from a
	// network or a disk that the system does not count, many times that.
	slowEntry = 200 * time.Microsecond
)

// ahead asks the system for entries before they are read, where they turn out
// not to be in memory. Where they are, asking would cost as much as it saves.
type ahead struct {
	slow  bool
	since time.Time
	disk  int64 // blocks that this process had read from disks by then
	n     int   // entries read since then
}

// start begins to measure: what happened since the last part was not reading.
func (a *ahead) start() { a.since, a.disk, a.n = time.Now(), diskBlocks(), 0 }

func diskBlocks() int64 {
	var use unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &use) != nil {
		return 0
	}
	return int64(use.Inblock) // 32 bits wide on some machines
}

// next is called before each entry is read; rest is that one and those after it.
func (a *ahead) next(rest []planned) {
	if a.n == aheadEntries {
		since, disk := a.since, a.disk
		a.start()
		a.slow = a.disk > disk || a.since.Sub(since) > aheadEntries*slowEntry
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
