package commands

import (
	"io"
	"os"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/term"
)

// A screen is stderr. Below what is written to it, one line may stand that
// changes: it is taken away before anything else is said. It needs no escape
// sequences: a carriage return, and blanks over what was longer.
type screen struct {
	w     io.Writer
	width func() int // in columns; nil if it is no terminal

	mu    sync.Mutex
	shown string
	held  bool // somebody else writes to the terminal
}

func newScreen(f *os.File) *screen {
	s := &screen{w: f}
	if term.IsTerminal(int(f.Fd())) {
		s.width = func() int { return columns(f) }
	}
	return s
}

// columns is how wide a terminal is: what COLUMNS says, else what it says
// itself.
func columns(f *os.File) int {
	if n, err := strconv.Atoi(os.Getenv("COLUMNS")); err == nil && n > 0 {
		return n
	}
	if n, _, err := term.GetSize(int(f.Fd())); err == nil && n > 0 {
		return n
	}
	return 80
}

// redraws says whether a line can change there.
func (s *screen) redraws() bool { return s.width != nil && os.Getenv("TERM") != "dumb" }

// Write writes what stays.
func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.draw("")
	return s.w.Write(p)
}

// show makes the changing line read so.
func (s *screen) show(line string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.held {
		return
	}
	// The last column stays free: in it some terminals go on to the next line.
	s.draw(line[:min(len(line), max(s.width()-1, 0))])
}

// clear takes the changing line away.
func (s *screen) clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.draw("")
}

// clearAtExit is clear for a process that dies: it does not wait for one whose
// terminal takes nothing.
func (s *screen) clearAtExit() {
	if s.mu.TryLock() {
		defer s.mu.Unlock()
		s.draw("")
	}
}

// hold keeps the line away until release is called: while a question is asked.
func (s *screen) hold() (release func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.draw("")
	s.held = true
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.held = false
	}
}

func (s *screen) isHeld() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.held
}

// draw writes only what changes the line; its text is ASCII.
func (s *screen) draw(line string) {
	if line == s.shown {
		return
	}
	blanks := max(len(s.shown)-len(line), 0)
	out := "\r" + line + strings.Repeat(" ", blanks)
	if blanks > 0 {
		out += strings.Repeat("\b", blanks)
	}
	if line == "" {
		out += "\r"
	}
	s.shown = line
	io.WriteString(s.w, out)
}
