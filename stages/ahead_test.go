package stages

import (
	"math"
	"testing"
	"time"

	"tokar/backends"
	"tokar/format"
)

// asked is a token that notes what it was asked for before it is read.
type asked struct {
	backends.Token
	names []string
}

func (a *asked) Prefetch(e *backends.Entry) { a.names = append(a.names, e.Name.String()) }

// Entries are asked for, a group at a time and descriptors left out, from the
// group on that follows a slow one until one was fast again.
func TestAhead(t *testing.T) {
	token := &asked{}
	run := &tokenRun{token: token}
	all := []planned{{kind: format.KindToken, run: run, metadata: []byte{1}}}
	for range 3 * aheadEntries {
		all = append(all, planned{run: run, entry: backends.Entry{Name: format.Name("x")}})
	}
	var a ahead
	const never, ever = time.Hour, -time.Hour
	for group, c := range []struct {
		took time.Duration // that the group before seems to have taken
		want int
	}{{never, 0}, {ever, aheadEntries - 1}, {ever, 2*aheadEntries - 1}, {never, 2*aheadEntries - 1}} {
		if group == 0 {
			a.start()
		}
		a.since, a.disk = time.Now().Add(c.took), math.MaxInt64
		from := max(group-1, 0) * aheadEntries
		for i := range aheadEntries {
			a.next(all[from+i:])
		}
		if len(token.names) != c.want {
			t.Errorf("group %d: asked for %d, want %d", group, len(token.names), c.want)
		}
	}
	a.since, a.disk = time.Now().Add(never), -1 // a disk was read
	a.next(all[1:])
	if len(token.names) != 3*aheadEntries-1 {
		t.Errorf("after a disk was read, asked for %d", len(token.names))
	}
	token.names = token.names[:2*aheadEntries-1]
	rest := all[len(all)-3:]
	a = ahead{slow: true}
	for i := range rest {
		a.next(rest[i:])
	}
	if len(token.names) != 2*aheadEntries+2 {
		t.Errorf("of the last three entries %d were asked for", len(token.names)-2*aheadEntries+1)
	}
	a = ahead{slow: true}
	a.next([]planned{{run: &tokenRun{token: struct{ backends.Token }{}}}}) // no Prefetcher
}
