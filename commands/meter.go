package commands

import (
	"fmt"
	"time"
)

// A snapshot is a moment of a run.
type snapshot struct {
	at                          time.Time
	entries, bytes, done, total uint64
}

func (p *progress) look(at time.Time) snapshot {
	s := snapshot{at: at, entries: p.entries.Load(), bytes: p.bytes.Load()}
	s.done, s.total = p.where()
	if s.entries == 0 { // frames only: what goes by is the archive's bytes
		s.bytes = s.done
	}
	return s
}

// recent is how much of the past tells the speed.
const recent = 10 * time.Second

// A meter tells speed and time left from the snapshots of the last seconds.
type meter []snapshot

func (m *meter) add(s snapshot) {
	*m = append(*m, s)
	for len(*m) > 2 && s.at.Sub((*m)[1].at) >= recent {
		*m = (*m)[1:]
	}
}

// rate is bytes a second; nothing before there are two moments.
func (m meter) rate() (bytes float64, known bool) {
	first, last := m[0], m[len(m)-1]
	seconds := last.at.Sub(first.at).Seconds()
	if seconds <= 0 {
		return 0, false
	}
	return float64(last.bytes-min(first.bytes, last.bytes)) / seconds, true
}

// part is how much of the whole is done, in per cent, if the whole is known.
func (m meter) part() (percent uint64, known bool) {
	last := m[len(m)-1]
	if last.total == 0 || last.done > last.total {
		return 0, false
	}
	return uint64(float64(last.done) / float64(last.total) * 100), true
}

// left is how long the rest takes at the recent speed.
func (m meter) left() (seconds uint64, known bool) {
	first, last := m[0], m[len(m)-1]
	if _, known := m.part(); !known || last.done <= first.done || !last.at.After(first.at) {
		return 0, false
	}
	each := last.at.Sub(first.at).Seconds() / float64(last.done-first.done)
	return uint64(each*float64(last.total-last.done) + 0.5), true
}

// String is the line that people see.
func (m meter) String() string {
	last := m[len(m)-1]
	line := size(last.bytes)
	if last.entries > 0 {
		line = count(last.entries, "entry") + ", " + line
	}
	if rate, known := m.rate(); known {
		line += ", " + size(uint64(rate)) + "/s"
	}
	if percent, known := m.part(); known {
		line += fmt.Sprintf(", %d%%", percent)
	}
	if seconds, known := m.left(); known {
		line += ", " + duration(seconds) + " left"
	}
	return line
}

// duration is a time in the two units that matter.
func duration(seconds uint64) string {
	switch {
	case seconds < 60:
		return fmt.Sprintf("%d s", seconds)
	case seconds < 3600:
		return fmt.Sprintf("%d min %d s", seconds/60, seconds%60)
	}
	return fmt.Sprintf("%d h %d min", seconds/3600, seconds/60%60)
}

type jsonProgress struct {
	jsonHead
	Entries number  `json:"entries"`
	Bytes   number  `json:"bytes"`
	Percent *number `json:"percent,omitempty"`
	Seconds *number `json:"seconds_left,omitempty"`
}

func (j *jsonLines) progress(m meter) {
	last := m[len(m)-1]
	line := jsonProgress{jsonHead: jsonHead{"progress", schema}, Entries: number(last.entries), Bytes: number(last.bytes)}
	if n, known := m.part(); known {
		line.Percent = (*number)(&n)
	}
	if n, known := m.left(); known {
		line.Seconds = (*number)(&n)
	}
	j.write(line)
	j.out.flush()
}
