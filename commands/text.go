package commands

import (
	"bufio"
	"errors"
	"os"
	"sync"
	"syscall"

	"golang.org/x/term"
)

// A text is lines for people or programs on a stream that may go away.
type text struct {
	w      *bufio.Writer
	lines  bool   // a terminal wants each line at once
	fail   func() // called at the first error
	before func() // called before a line on a terminal

	mu  sync.Mutex // progress comes from another goroutine
	err error
}

func newText(f *os.File) *text {
	return &text{w: bufio.NewWriterSize(f, 64<<10), lines: term.IsTerminal(int(f.Fd()))}
}

// line writes one line; what stands in it is escaped already.
func (t *text) line(s string) { t.row([]byte(s)) }

// row writes a line of a long list.
func (t *text) row(line []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.err != nil {
		return
	}
	if t.lines && t.before != nil {
		t.before()
	}
	t.w.Write(line)
	t.note(t.w.WriteByte('\n'))
	if t.lines {
		t.flushed()
	}
}

func (t *text) flush() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.flushed()
}

func (t *text) flushed() error {
	if t.err == nil {
		t.note(t.w.Flush())
	}
	return t.err
}

func (t *text) note(err error) {
	if err == nil || t.err != nil {
		return
	}
	if errors.Is(err, syscall.EPIPE) {
		err = errPipe
	}
	t.err = err
	if t.fail != nil {
		t.fail()
	}
}
