package commands

import (
	"fmt"
	"os"
	"os/signal"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"tokar/format"
)

// progress is how far a run is: what USR1 asks for, as of tar and dd.
type progress struct{ entries, bytes atomic.Uint64 }

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

// tellProgress answers USR1 with one line on stderr.
func (s *session) tellProgress() {
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, unix.SIGUSR1)
	go func() {
		for range asked {
			fmt.Fprintf(os.Stderr, "tokar: %s: %s, %s so far\n", s.name,
				count(s.progress.entries.Load(), "entry"), size(s.progress.bytes.Load()))
		}
	}()
}
