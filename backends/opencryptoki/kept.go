package opencryptoki

import (
	"errors"
	"sync"
	"sync/atomic"

	"tokar/backends"
)

const (
	// maxKept bounds what is in memory of all tokens at once that were read
	// while they stood still, with some bytes for each entry.
	maxKept   = 64 << 20
	keptEntry = 512
)

// keeping is how much there is now.
var keeping atomic.Int64

var errFull = errors.New("more than is kept of tokens in memory")

// keptEntries are entries that were read before their turn. Safe from many
// goroutines.
type keptEntries struct {
	mu       sync.Mutex
	byName   map[string]kept
	reserved int64 // reserved
	used     int64 // of it
}

// kept is an entry as it was read.
type kept struct {
	file
	err   error // why it was not
	stamp stamp
	young bool // it may have changed since without another stamp
}

// room reserves memory, if there is so much.
func (k *keptEntries) room(n int64) bool {
	if keeping.Add(n) > maxKept {
		keeping.Add(-n)
		return false
	}
	k.reserved += n
	return true
}

func (k *keptEntries) get(e *backends.Entry) (kept, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	got, ok := k.byName[string(e.Name)]
	return got, ok
}

// current says whether an entry is there as its file now is.
func (k *keptEntries) current(e *backends.Entry, now stamp) bool {
	got, ok := k.get(e)
	return ok && !got.young && got.stamp == now
}

// put keeps an entry, instead of what was kept of it before. It gives errFull if
// there is no room.
func (k *keptEntries) put(e *backends.Entry, f kept) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	before, again := k.byName[string(e.Name)]
	more := int64(len(f.data) - len(before.data))
	if !again {
		more += keptEntry
	}
	if lack := k.used + more - k.reserved; lack > 0 && !k.room(lack) {
		return errFull
	}
	if k.byName == nil {
		k.byName = map[string]kept{}
	}
	k.used += more
	k.byName[string(e.Name)] = f
	return nil
}

// clear gives the memory back.
func (k *keptEntries) clear() {
	k.mu.Lock()
	defer k.mu.Unlock()
	keeping.Add(-k.reserved)
	k.byName, k.reserved, k.used = nil, 0, 0
}
