package opencryptoki

import (
	"context"
	"os"
	"testing"
	"time"

	"tokar/backends"
	"tokar/format"
)

// What changed just before it was looked at may have changed again, unseen.
func TestTick(t *testing.T) {
	base := stand(t, fixtureDir+"/swtok-old-small")
	info, records := readToken(t, fixtureDir+"/swtok-old-small")
	info.Name = format.NameOf("swtok")
	check(t, os.Remove(base+"/swtok/TOK_OBJ/"+single))
	begun, err := Backend{}.Restore(context.Background(), base, info, backends.RestoreOptions{})
	check(t, err)
	s := begun.(*staging)
	defer func() { check(t, s.Close()) }()
	for _, r := range records {
		chosen := string(r.Name) == single
		if chosen {
			check(t, s.Put(context.Background(), []*format.Record{r}))
		}
		check(t, s.Order(r, !chosen))
	}
	for _, c := range []struct {
		wait time.Duration
		want bool
	}{{0, true}, {3 * tick, false}} {
		check(t, os.WriteFile(base+"/swtok/TOK_OBJ/x", nil, 0o600))
		check(t, os.Remove(base+"/swtok/TOK_OBJ/x"))
		time.Sleep(c.wait)
		check(t, s.live.rescan())
		if changed, err := s.merge.changed(); changed != c.want || err != nil {
			t.Errorf("%s after a change: %v, %v", c.wait, changed, err)
		}
	}
}
