package config

import (
	"bytes"
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// mark ends a line that SetTokversion added.
const mark = "# added by tokar"

// SetTokversion gives the configuration in which this slot has this tokversion,
// such as "3.12": the value is replaced where there is one, else a line is added at
// the end of the slot. With "" the slot has none: the line goes, or where more is
// on it only the setting. Every other byte stays.
func (f *File) SetTokversion(slot int, value string) ([]byte, error) {
	s := f.Slot(slot)
	if s == nil {
		return nil, fmt.Errorf("there is no slot %d", slot)
	}
	want, ok := parseVersion(value)
	if !ok && value != "" {
		return nil, fmt.Errorf("%s is no version such as 3.12", shown(value))
	}
	var data []byte
	switch {
	case value == "":
		data = f.without(s.tokversions)
	case len(s.tokversions) > 0:
		last := s.tokversions[len(s.tokversions)-1]
		data = splice(f.data, last.value, last.end, value)
	default:
		data = f.appended(s, "tokversion = "+value)
	}
	if err := f.changedOnly(data, slot, want); err != nil {
		return nil, err
	}
	return data, nil
}

// Added says whether a slot's tokversion is one that SetTokversion has added, by
// the mark that ends its line.
func (f *File) Added(slot int) bool {
	s := f.Slot(slot)
	if s == nil || len(s.tokversions) == 0 {
		return false
	}
	e := s.tokversions[len(s.tokversions)-1]
	tail := f.data[e.end : e.end+until(f.data[e.end:], '\n')]
	return strings.Trim(string(tail), " \t\r") == mark
}

// appended adds a setting behind the last of a slot: on a line of its own if there
// is one to be had before the slot ends.
func (f *File) appended(s *Slot, setting string) []byte {
	after, indent := s.open, "  "
	if s.last.end > 0 {
		after = s.last.end
		if lead := f.data[f.lineOf(s.last.key):s.last.key]; len(bytes.Trim(lead, " \t")) == 0 {
			indent = string(lead)
		}
	}
	rest := f.data[after:s.close]
	if i := bytes.IndexByte(rest, '\n'); i >= 0 {
		eol := "\n"
		if bytes.HasSuffix(rest[:i], []byte("\r")) {
			eol = "\r\n"
		}
		at := after + i + 1
		return splice(f.data, at, at, indent+setting+" "+mark+eol)
	}
	setting = " " + setting
	if len(rest) == 0 {
		setting += " "
	}
	return splice(f.data, after, after, setting)
}

// without takes settings out.
func (f *File) without(settings []element) []byte {
	data := bytes.Clone(f.data)
	for i := len(settings) - 1; i >= 0; i-- {
		e := settings[i]
		from, to := f.lineOf(e.key), e.end+until(f.data[e.end:], '\n')
		tail := strings.Trim(string(f.data[e.end:to]), " \t\r")
		if len(bytes.Trim(f.data[from:e.key], " \t")) == 0 && to < len(f.data) && (tail == "" || tail == mark) {
			data = splice(data, from, to+1, "")
			continue
		}
		for from = e.key; f.data[from-1] == ' ' || f.data[from-1] == '\t'; {
			from--
		}
		gap := ""
		if c := f.data[e.end]; wordByte(c) || c == '"' {
			gap = " " // so that its neighbours stay two
		}
		data = splice(data, from, e.end, gap)
	}
	return data
}

// lineOf is where the line of an offset begins.
func (f *File) lineOf(at int) int { return bytes.LastIndexByte(f.data[:at], '\n') + 1 }

// splice puts s in the place of data[from:to].
func splice(data []byte, from, to int, s string) []byte {
	made := make([]byte, 0, len(data)-(to-from)+len(s))
	made = append(made, data[:from]...)
	made = append(made, s...)
	return append(made, data[to:]...)
}

// changedOnly reads the new configuration: it says what the old one says, but for
// the tokversion of one slot.
func (f *File) changedOnly(data []byte, slot int, want Version) error {
	g, err := Parse(data)
	if err != nil {
		return fmt.Errorf("slot %d cannot be changed: %w", slot, err)
	}
	for i := range f.Slots {
		if i < len(g.Slots) {
			was, is := f.Slots[i].said(), g.Slots[i].said()
			if was.Number == slot {
				was.TokVersion = want
			}
			if reflect.DeepEqual(was, is) {
				continue
			}
		}
		return fmt.Errorf("slot %d cannot be changed without changing slot %d too; do it with an editor", slot, f.Slots[i].Number)
	}
	return nil
}

// SaysAs says whether two configurations say the same, in all but blanks and
// ends of lines: in their comments too.
func (f *File) SaysAs(g *File) bool {
	same := func(x, y Slot) bool { return reflect.DeepEqual(x.said(), y.said()) }
	return slices.EqualFunc(f.Slots, g.Slots, same) && bytes.Equal(withoutBlanks(f.data), withoutBlanks(g.data))
}

func withoutBlanks(data []byte) []byte { return bytes.Join(bytes.Fields(data), nil) }

// said is the slot without where it stands.
func (s *Slot) said() Slot {
	c := *s
	c.Line, c.open, c.close, c.tokversions, c.last = 0, 0, 0, nil, element{}
	return c
}
