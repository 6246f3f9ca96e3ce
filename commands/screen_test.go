package commands

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"
)

// rendered is what a terminal shows of text that draws over itself: its lines,
// without the blanks at their ends.
func rendered(text string) []string {
	lines, at := []string{""}, 0
	for _, c := range []byte(text) {
		line := &lines[len(lines)-1]
		switch c {
		case '\r':
			at = 0
		case '\b':
			at = max(at-1, 0)
		case '\n':
			lines, at = append(lines, ""), 0
		default:
			for len(*line) <= at {
				*line += " "
			}
			*line = (*line)[:at] + string(c) + (*line)[at+1:]
			at++
		}
	}
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " ")
	}
	return lines
}

func testScreen(width int) (*screen, *bytes.Buffer) {
	var out bytes.Buffer
	return &screen{w: &out, width: func() int { return width }}, &out
}

func TestScreen(t *testing.T) {
	s, out := testScreen(20)
	s.show("one of many")
	once := out.Len()
	s.show("one of many")
	if out.Len() != once {
		t.Errorf("what has not changed was drawn again: %q", out)
	}
	s.show("two")
	if got := rendered(out.String()); got[0] != "two" {
		t.Errorf("%q", got)
	}
	s.Write([]byte("said\n"))
	s.show("a line that is longer than the terminal is wide")
	if got := rendered(out.String()); len(got) != 2 || got[0] != "said" || got[1] != "a line that is long" {
		t.Errorf("%q", got)
	}
	release := s.hold()
	s.show("not over a question")
	if got := rendered(out.String()); got[1] != "" || !s.isHeld() {
		t.Errorf("%q", got)
	}
	release()
	s.show("three")
	s.clear()
	s.clearAtExit()
	if got := rendered(out.String()); len(got) != 2 || got[1] != "" {
		t.Errorf("%q", got)
	}
	if strings.Contains(out.String(), "\x1b") {
		t.Errorf("an escape sequence, which not every terminal knows: %q", out)
	}
}

// A process that dies does not wait for a terminal that takes nothing.
func TestScreenAtExit(t *testing.T) {
	s, out := testScreen(80)
	s.show("x")
	before := out.Len()
	s.mu.Lock()
	s.clearAtExit()
	if out.Len() != before {
		t.Errorf("%q", out)
	}
}

// Whatever is shown and said, in any width, the terminal has what was said,
// and below it the last line shown, cut.
func TestScreenShowsTheLast(t *testing.T) {
	for range 200 {
		width := 1 + rand.IntN(30)
		s, out := testScreen(width)
		var said []string
		shown := ""
		for range 50 {
			text := strings.Repeat("0123456789", 4)[:rand.IntN(40)]
			if rand.IntN(3) == 0 {
				s.Write([]byte("said." + text + "\n"))
				said, shown = append(said, "said."+text), ""
				continue
			}
			s.show(text)
			shown = text[:min(len(text), width-1)]
		}
		want := strings.Join(append(said, shown), "|")
		if got := strings.Join(rendered(out.String()), "|"); got != want {
			t.Fatalf("width %d: %s\nwant %s", width, got, want)
		}
	}
}
