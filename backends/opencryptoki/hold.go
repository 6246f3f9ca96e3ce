package opencryptoki

import (
	"context"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// holdTime bounds how long a token's lock is held for reading without a break:
// programs that start, log in or write wait meanwhile.
var holdTime = 500 * time.Millisecond

// A hold is the time for which a token's lock is held for reading. It is shared:
// it keeps programs off, which take it exclusively even to read, and no other
// tokar. Nothing but reading files happens in it. When its time is up it ends,
// even if a read does not.
type hold struct {
	mu    sync.Mutex
	locks locks
	timer *time.Timer
	over  bool
}

// hold takes the locks, which may be none.
func (l locks) hold(ctx context.Context) (*hold, error) {
	if err := l.take(ctx, unix.LOCK_SH); err != nil {
		return nil, err
	}
	h := &hold{locks: l}
	if len(l) > 0 {
		h.timer = time.AfterFunc(holdTime, func() { h.end() })
	}
	return h, nil
}

// ended says that the lock is not held any more.
func (h *hold) ended() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.over
}

// end gives the lock back. It says whether it had been held until now.
func (h *hold) end() (until bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.over {
		return false
	}
	h.over = true
	if h.timer != nil {
		h.timer.Stop()
	}
	h.locks.release()
	return true
}
