package commands

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// maxSecret bounds what is read from a secret's source.
const maxSecret = 1 << 20

// otherSources are where a command takes a passphrase from without a terminal.
func otherSources(command string) string {
	if command == "rekey" {
		return "give the one that opens the archive with --passphrase, a new one with --new-passphrase: file:PATH, fd:N or env:NAME"
	}
	return "give it with --passphrase file:PATH, fd:N or env:NAME"
}

// A secretSource says where a passphrase or a PIN comes from: "prompt", "file:PATH",
// "fd:N" or "env:NAME". Never from the command line itself, which every
// process of the machine can read.
type secretSource string

const fromPrompt secretSource = "prompt"

func (s *session) parseSource(flag, text string) (secretSource, error) {
	kind, value, _ := strings.Cut(text, ":")
	known := kind == "file" || kind == "fd" || kind == "env"
	if text != string(fromPrompt) && (!known || value == "") {
		return "", usagef(s.name, "--%s takes prompt, file:PATH, fd:N or env:NAME, never the passphrase itself", flag)
	}
	src := secretSource(text)
	if secret, ok := os.LookupEnv(value); ok && kind == "env" {
		s.secrets[src] = []byte(secret)
		os.Unsetenv(value) // no child, such as a plugin, shall inherit it
	}
	return src, nil
}

// read gets a passphrase; what names it in prompts. New ones are asked twice.
// The caller zeroes it.
func (src secretSource) read(s *session, what string, fresh bool) ([]byte, error) {
	return src.readAs(s, "the passphrase", what, fresh)
}

// readAs is read of a secret of another kind: two kinds do not share stdin.
func (src secretSource) readAs(s *session, kind, what string, fresh bool) ([]byte, error) {
	secret, known := s.secrets[src]
	if !known {
		var err error
		if secret, err = src.bytes(s, kind, what, fresh); err != nil {
			return nil, err
		}
	}
	line := cutLineEnd(secret)
	if len(line) == 0 {
		return nil, failedf("", "%s is empty", what)
	}
	if src == fromPrompt {
		return line, nil
	}
	s.secrets[src] = secret // a descriptor gives it only once
	return bytes.Clone(line), nil
}

// forget zeroes the secrets that were read.
func (s *session) forget() {
	for _, secret := range s.secrets {
		clear(secret)
	}
}

func (src secretSource) bytes(s *session, kind, what string, fresh bool) ([]byte, error) {
	from, value, _ := strings.Cut(string(src), ":")
	switch from {
	case "file":
		return readSecretFile(s, value, kind)
	case "fd":
		return readDescriptor(s, value, kind)
	case "env":
		return nil, failedf("", "%s: the variable %s is not set", what, quote(value))
	}
	return prompt(s, what, fresh)
}

func readSecretFile(s *session, path, kind string) ([]byte, error) {
	f, err := s.open(path, kind)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	s.warnIfReadable(f, path)
	return readSecret(s.patient(f))
}

// warnIfReadable warns of a file with a secret that others can read too.
func (s *session) warnIfReadable(f *os.File, path string) {
	if info, err := f.Stat(); err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o044 != 0 {
		s.report.warn("%s holds a secret and is readable by others; make it 0600", quote(path))
	}
}

func readDescriptor(s *session, number, kind string) ([]byte, error) {
	n, err := strconv.Atoi(number)
	if err != nil || n < 0 || n == 1 || n == 2 {
		return nil, usagef("", "fd:%s is no descriptor to read from", quote(number))
	}
	f, err := s.open(fmt.Sprintf("/dev/fd/%d", n), kind)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readSecret(s.patient(f))
}

func readSecret(r io.Reader) ([]byte, error) {
	b := make([]byte, maxSecret+1) // whole at once: growing would leave copies behind
	n, err := io.ReadFull(r, b)
	if err == nil {
		clear(b)
		return nil, failedf("", "a secret of more than 1 MiB")
	}
	if err != io.EOF && err != io.ErrUnexpectedEOF {
		clear(b)
		return nil, err
	}
	return b[:n], nil
}

func cutLineEnd(b []byte) []byte {
	if line, ok := bytes.CutSuffix(b, []byte("\n")); ok {
		return bytes.TrimSuffix(line, []byte("\r"))
	}
	return b
}

// prompt asks on the controlling terminal, never on stdin.
func prompt(s *session, what string, fresh bool) ([]byte, error) {
	tty, err := os.OpenFile("/dev/tty", os.O_RDWR, 0)
	if err != nil {
		return nil, &failure{code: exitUsage, err: fmt.Errorf("there is no terminal to ask for %s", what), todo: otherSources(s.name)}
	}
	defer tty.Close()
	secret, err := askHidden(s, tty, "Enter "+what+": ")
	if err != nil || !fresh || len(secret) == 0 {
		return secret, err
	}
	again, err := askHidden(s, tty, "Again: ")
	defer clear(again)
	if err == nil && !bytes.Equal(secret, again) {
		err = failedf("", "the two entries differ")
	}
	if err != nil {
		clear(secret)
		return nil, err
	}
	return secret, nil
}

// askHidden reads a line without echo. A signal puts the echo back.
func askHidden(s *session, tty *os.File, question string) ([]byte, error) {
	fd := int(tty.Fd())
	before, err := term.GetState(fd)
	if err != nil {
		return nil, err
	}
	restore := func() { term.Restore(fd, before) }
	defer s.signals.atExit(restore)()
	defer restore()
	defer s.screen.hold()()
	if err := noEcho(fd); err != nil { // before the question, for those who type fast
		return nil, err
	}
	fmt.Fprint(tty, question)
	type answer struct {
		line []byte
		err  error
	}
	got := make(chan answer, 1)
	go func() {
		line, err := typedLine(tty)
		got <- answer{line, err}
	}()
	select {
	case a := <-got:
		fmt.Fprintln(tty)
		return a.line, a.err
	case <-s.ctx.Done():
		restore()
		fmt.Fprintln(tty)
		return nil, context.Cause(s.ctx)
	}
}

// noEcho has a terminal not show what is typed, and give it by lines. It is
// done here and not by term.ReadPassword, which would do it once more, perhaps
// after a signal had put the echo back.
func noEcho(fd int) error {
	state, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return err
	}
	state.Lflag &^= unix.ECHO
	state.Lflag |= unix.ICANON | unix.ISIG
	state.Iflag |= unix.ICRNL
	return unix.IoctlSetTermios(fd, unix.TCSETS, state)
}

// typedLine reads a line, which a terminal gives at once; what ends without one
// was not answered.
func typedLine(tty io.Reader) ([]byte, error) {
	b := make([]byte, 0, 4096) // more than a terminal takes in one line
	for len(b) < cap(b) {
		n, err := tty.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		if line, ok := bytes.CutSuffix(b, []byte("\n")); ok {
			return line, nil
		}
		if err == io.EOF { // Ctrl-D
			err = failedf("", "nothing was entered")
		}
		if err != nil {
			clear(b)
			return nil, err
		}
	}
	clear(b)
	return nil, failedf("", "a line of more than %d characters", cap(b))
}
