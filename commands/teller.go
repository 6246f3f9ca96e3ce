package commands

import (
	"fmt"
	"os"
	"sync"
	"time"
)

// A teller says how far a run is: on a terminal in a line that it draws over
// and over, elsewhere from time to time if that is wanted, and whenever USR1
// asks, as of tar and dd.
type teller struct {
	session *session
	live    bool // a line on a terminal
	meter   meter
}

const (
	redraw   = 100 * time.Millisecond
	patience = time.Second // what ends sooner needs no progress
	between  = 30 * time.Second
)

// showProgress begins to tell how far the run is. It is called when all flags
// are read and the work begins.
func (s *session) showProgress(where func() (done, total uint64)) {
	s.progress.where = where
	t := &teller{session: s, live: s.report.json == nil && !s.report.quiet && s.screen.redraws()}
	stop, ended := make(chan struct{}), make(chan struct{})
	var ticks <-chan time.Time
	if pace := t.pace(); pace > 0 {
		ticks = time.Tick(pace)
	}
	s.hush = sync.OnceFunc(func() {
		close(stop)
		<-ended
		s.screen.clear()
	})
	go func() {
		defer close(ended)
		t.run(time.Now(), ticks, s.asked, stop)
	}()
}

// pace is how often it tells without being asked; 0 is never.
func (t *teller) pace() time.Duration {
	switch {
	case t.live:
		return redraw
	case t.session.regular && !t.session.report.quiet:
		return between
	}
	return 0
}

// run tells until it is stopped.
func (t *teller) run(began time.Time, ticks <-chan time.Time, asked <-chan os.Signal, stop <-chan struct{}) {
	t.meter.add(snapshot{at: began})
	for {
		select {
		case now := <-ticks:
			t.tick(&began, now)
		case <-asked:
			t.look(time.Now())
			t.tell()
		case <-stop:
			return
		}
	}
}

func (t *teller) look(now time.Time) { t.meter.add(t.session.progress.look(now)) }

func (t *teller) tick(began *time.Time, now time.Time) {
	switch {
	case t.live && t.session.screen.isHeld(): // a question is being asked
		*began, t.meter = now, meter{{at: now}}
	case t.live && now.Sub(*began) < patience:
	case t.live:
		t.look(now)
		t.session.screen.show("tokar: " + t.session.name + ": " + t.meter.String())
	default:
		t.look(now)
		t.tell()
	}
}

// tell says it once.
func (t *teller) tell() {
	if j := t.session.report.json; j != nil {
		j.progress(t.meter)
		return
	}
	fmt.Fprintf(t.session.screen, "tokar: %s: %s\n", t.session.name, t.meter)
}
