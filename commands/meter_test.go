package commands

import (
	"encoding/json"
	"testing"
	"time"
)

// began is when runs begin whose clock is ours.
var began = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)

func TestMeter(t *testing.T) {
	after := func(d time.Duration, entries, bytes, done, total uint64) snapshot {
		return snapshot{began.Add(d), entries, bytes, done, total}
	}
	for _, c := range []struct {
		name  string
		saw   []snapshot
		want  string
		field string // of JSON, besides type and v
	}{
		{"nothing yet", []snapshot{after(0, 0, 0, 0, 0)}, "0 B", `"entries":0,"bytes":0`},
		{"a stream has no percentage",
			[]snapshot{after(0, 0, 0, 0, 0), after(2*time.Second, 1, 4096, 9000, 0)},
			"1 entry, 4.0 KiB, 2.0 KiB/s", `"entries":1,"bytes":4096`},
		{"a file",
			[]snapshot{after(0, 0, 0, 0, 1000), after(2*time.Second, 10, 2048, 200, 1000)},
			"10 entries, 2.0 KiB, 1.0 KiB/s, 20%, 8 s left", `"entries":10,"bytes":2048,"percent":20,"seconds_left":8`},
		{"more than was listed",
			[]snapshot{after(0, 0, 0, 0, 10), after(time.Second, 11, 1024, 11, 10)},
			"11 entries, 1.0 KiB, 1.0 KiB/s", `"entries":11,"bytes":1024`},
		{"frames only: the archive's bytes",
			[]snapshot{after(0, 0, 0, 0, 4096), after(time.Second, 0, 1024, 1024, 4096)},
			"1.0 KiB, 1.0 KiB/s, 25%, 3 s left", `"entries":0,"bytes":1024,"percent":25,"seconds_left":3`},
		{"the end is near", []snapshot{after(0, 0, 0, 0, 1000), after(time.Second, 1, 1, 999, 1000)},
			"1 entry, 1 B, 1 B/s, 99%, 0 s left", `"entries":1,"bytes":1,"percent":99,"seconds_left":0`},
		{"it stands still",
			[]snapshot{after(0, 5, 1024, 50, 100), after(time.Minute, 5, 1024, 50, 100), after(2*time.Minute, 5, 1024, 50, 100)},
			"5 entries, 1.0 KiB, 0 B/s, 50%", `"entries":5,"bytes":1024,"percent":50`},
		{"hours",
			[]snapshot{after(0, 0, 0, 0, 7201), after(time.Second, 1, 0, 1, 7201)},
			"1 entry, 0 B, 0 B/s, 0%, 2 h 0 min left", `"entries":1,"bytes":0,"percent":0,"seconds_left":7200`},
	} {
		var m meter
		for _, s := range c.saw {
			m.add(s)
		}
		if got := m.String(); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
		r, out, _ := written()
		(&jsonLines{out: r.out}).progress(m)
		if want := `{"type":"progress","v":1,` + c.field + "}\n"; out.String() != want || !json.Valid(out.Bytes()) {
			t.Errorf("%s: %s, want %s", c.name, out, want)
		}
	}
}

// Speed is that of the last ten seconds: a run that was slow an hour ago is not
// slow for ever, and what it remembers does not grow.
func TestMeterForgets(t *testing.T) {
	var m meter
	m.add(snapshot{at: began})
	at, bytes := began, uint64(0)
	for range 36000 {
		at, bytes = at.Add(redraw), bytes+1
		m.add(snapshot{at: at, entries: 1, bytes: bytes})
	}
	for range 100 {
		at, bytes = at.Add(redraw), bytes+1<<20
		m.add(snapshot{at: at, entries: 1, bytes: bytes})
	}
	if rate, known := m.rate(); !known || size(uint64(rate)) != "10.0 MiB" || len(m) > 102 {
		t.Errorf("%s a second, of %d snapshots", size(uint64(rate)), len(m))
	}
}

func TestDuration(t *testing.T) {
	for n, want := range map[uint64]string{0: "0 s", 59: "59 s", 60: "1 min 0 s", 3599: "59 min 59 s", 3600: "1 h 0 min", 90061: "25 h 1 min"} {
		if got := duration(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
}
