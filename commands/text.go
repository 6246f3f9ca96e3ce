package commands

import (
	"bufio"
	"errors"
	"os"
	"syscall"

	"golang.org/x/term"
)

// A text is lines for people or programs on a stream that may go away.
type text struct {
	w     *bufio.Writer
	lines bool // a terminal wants each line at once
	err   error
	fail  func() // called at the first error
}

func newText(f *os.File) *text {
	return &text{w: bufio.NewWriterSize(f, 64<<10), lines: term.IsTerminal(int(f.Fd()))}
}

// line writes one line; what stands in it is escaped already.
func (t *text) line(s string) {
	if t.err != nil {
		return
	}
	t.w.WriteString(s)
	t.note(t.w.WriteByte('\n'))
	if t.lines {
		t.flush()
	}
}

func (t *text) flush() error {
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
