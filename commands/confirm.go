package commands

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"strings"
)

const noAnswer = "there is no terminal to ask whether it shall be done; --yes does it, -n tries it and changes nothing"

// asks says whether there is a terminal to ask on, or a stdin that may answer.
func (s *session) asks() bool {
	if s.answers() {
		return true
	}
	tty, err := os.OpenFile("/dev/tty", os.O_RDWR, 0)
	if err == nil {
		tty.Close()
	}
	return err == nil
}

// answers says whether stdin is a pipe or a file that nothing else is read from,
// such as that of echo y. Terminals are asked by their own name.
func (s *session) answers() bool {
	info, err := os.Stdin.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice == 0 && s.stdinFor == ""
}

// confirm asks whether to go on, and takes the answer from a stdin that is no
// terminal, else from the terminal. Only y and yes go on.
func (s *session) confirm(question string) error {
	if s.answers() {
		if !s.report.quiet && s.report.json == nil {
			s.report.say("%s [y/N]", question)
		}
		line, err := s.answer(func() ([]byte, error) {
			line, err := bufio.NewReader(io.LimitReader(os.Stdin, 4096)).ReadBytes('\n')
			if err == io.EOF {
				err = nil
			}
			return line, err
		})
		if err != nil {
			return err
		}
		if len(line) > 0 {
			return agreed(line)
		}
	}
	tty, err := os.OpenFile("/dev/tty", os.O_RDWR, 0)
	if err != nil {
		return usagef(s.name, noAnswer)
	}
	defer tty.Close()
	defer s.screen.hold()()
	fmt.Fprintf(tty, "%s [y/N] ", question)
	line, err := s.answer(func() ([]byte, error) { return typedLine(tty) })
	if err != nil {
		if s.ctx.Err() != nil {
			fmt.Fprintln(tty)
		}
		return err
	}
	return agreed(line)
}

func agreed(line []byte) error {
	if word := strings.ToLower(strings.TrimSpace(string(line))); word != "y" && word != "yes" {
		return failedf("", "the answer was not yes")
	}
	return nil
}

// answer waits for what read reads, or for a signal.
func (s *session) answer(read func() ([]byte, error)) ([]byte, error) {
	type answer struct {
		line []byte
		err  error
	}
	got := make(chan answer, 1)
	go func() {
		line, err := read()
		got <- answer{line, err}
	}()
	select {
	case a := <-got:
		return a.line, a.err
	case <-s.ctx.Done():
		return nil, context.Cause(s.ctx)
	}
}
