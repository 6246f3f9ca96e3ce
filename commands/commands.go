// Package commands is the command line: words and flags in, messages, JSON and
// an exit code out. Each command's flags fill an options struct, and a plain
// function does the work. It is the only package that knows the CLI library.
package commands

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"

	"tokar/stages"
)

// command is one word of the command line.
type command struct {
	name, letter string
	hidden       bool   // no word for people
	summary      string // one line
	synopsis     string // what follows the name
	examples     string
	text         string // what else to know
	flags        []cli.Flag
	run          func(s *session, c *cli.Context) error
}

// table lists the commands in the order of help.
func table() []*command {
	return []*command{
		createCommand(), listCommand(), verifyCommand(), extractCommand(), catCommand(),
		diffCommand(), checkCommand(), repairCommand(), migrateCommand(), keygenCommand(), rekeyCommand(), versionCommand(), helpCommand(),
		completionCommand(), manCommand(),
	}
}

// session is one run of a command.
type session struct {
	*line
	name        string // the command's
	ctx         context.Context
	signals     *signals
	report      *report
	stdinFor    string // who reads stdin
	secrets     map[secretSource][]byte
	summary     *jsonSummary
	lastProblem error // why the last token was not opened that was not
	progress    progress
	screen      *screen
	asked       chan os.Signal // USR1: how far is it?
	regular     bool           // --progress
	hush        func()         // ends the telling of progress
}

// Main runs tokar with the arguments of a process and returns its exit code.
func Main(args []string) int {
	if len(args) > 1 && args[1] == completeWord {
		return answerCompletion(args[2:])
	}
	unix.Umask(unix.Umask(0o077) &^ 0o700) // what we make for ourselves we can use
	if os.Getenv("GOGC") == "" {
		// What lives in a long run is buffers that are used again: there is
		// little to collect, and the usual 100 would only double the memory. A
		// short run, of a small token, is over before it needs a collection.
		debug.SetGCPercent(250)
		time.AfterFunc(20*time.Millisecond, func() { debug.SetGCPercent(40) })
	}
	sig := watchSignals()
	code, err := run(sig, args[1:])
	if got := sig.received(); got != nil && err != nil {
		sig.die(got)
	}
	if errors.Is(err, errPipe) && !signal.Ignored(unix.SIGPIPE) {
		sig.die(unix.SIGPIPE)
	}
	return code
}

func run(sig *signals, words []string) (code int, err error) {
	s := &session{ctx: sig.ctx, signals: sig, secrets: map[secretSource][]byte{}, report: newReport(""), hush: func() {}}
	s.screen = newScreen(os.Stderr)
	s.report.log = s.screen
	defer sig.atExit(s.screen.clearAtExit)()
	defer s.forget()
	defer func() {
		if p := recover(); p != nil {
			code, err = s.end(failedf("please report it", "internal error: %v", p))
		}
	}()
	if s.line, err = parse(words, table()); err != nil {
		return s.end(err)
	}
	s.name = s.command.name
	s.report.command = s.name
	if s.help {
		s.line = &line{command: find(table(), "help"), operands: []operand{{text: s.name}}}
	}
	return s.end(s.execute())
}

// execute has the CLI library read the flags, in the order it can read them,
// and runs the command.
func (s *session) execute() error {
	wrong := func(_ *cli.Context, err error, _ bool) error { return usagef(s.name, "%w", err) }
	app := &cli.App{
		Name: "tokar", Writer: io.Discard, ErrWriter: io.Discard,
		HideHelp: true, HideVersion: true, DisableSliceFlagSeparator: true,
		OnUsageError: wrong, ExitErrHandler: func(*cli.Context, error) {},
		Commands: []*cli.Command{{
			Name: s.command.name, Flags: s.command.flags, HideHelp: true, OnUsageError: wrong,
			Action: func(c *cli.Context) error {
				if err := s.begin(c); err != nil {
					return err
				}
				return s.command.run(s, c)
			},
		}},
	}
	return app.RunContext(s.ctx, append([]string{"tokar", s.command.name}, s.flags...))
}

// begin sets up what all commands share.
func (s *session) begin(c *cli.Context) error {
	hideMemory()
	r := s.report
	r.verbose, r.quiet = c.Bool("verbose"), c.Bool("quiet")
	r.namesTo = r.out
	r.out.fail = s.signals.cancel
	r.out.before = s.screen.clear
	s.regular = c.Bool("progress")
	s.asked = make(chan os.Signal, 1)
	signal.Notify(s.asked, unix.SIGUSR1) // in every case: it would end the process
	err := s.openJSON(c)
	switch {
	case err != nil:
		return err
	case s.idle && s.command.name != "help":
		return usagef(s.name, "-C %s stands after the last operand and counts for nothing; put it before the operands", quote(s.dir))
	case r.verbose && r.quiet:
		return usagef(s.name, "-v says more and -q less; give one of them")
	}
	return nil
}

// openJSON sets up --json and --json-fd.
func (s *session) openJSON(c *cli.Context) error {
	fd := c.String("json-fd")
	if fd == "" && !c.Bool("json") {
		return nil
	}
	if fd == "" || fd == "1" {
		s.report.json = &jsonLines{out: s.report.out, fixed: fd == "1"}
		return nil
	}
	n, err := strconv.Atoi(fd)
	if err != nil || n < 2 {
		return usagef(s.name, "--json-fd takes the number of an open descriptor, not %s", quote(fd))
	}
	f, err := duplicate(n)
	if err != nil {
		return usagef(s.name, "--json-fd: %w", err)
	}
	s.report.json = &jsonLines{out: newText(f), shared: n == 2}
	s.report.json.out.fail = s.signals.cancel
	return nil
}

// dataTo tells where a command's data goes. Where it takes stdout, names and
// JSON go to stderr.
func (s *session) dataTo(path string) error {
	if n, numbered := descriptor(path); path != "" && path != "-" && (!numbered || n != 1) {
		return nil
	}
	r := s.report
	r.namesTo = newText(os.Stderr)
	r.namesTo.lines = true // between other messages
	r.namesTo.before = s.screen.clear
	if r.json == nil || r.json.out != r.out {
		return nil
	}
	if r.json.fixed {
		r.json = nil
		return usagef(s.name, "stdout carries the data; give --json-fd another descriptor")
	}
	r.json = &jsonLines{out: r.namesTo, shared: true}
	return nil
}

// end reports how a run ended.
func (s *session) end(err error) (int, error) {
	s.hush()
	switch {
	case errors.Is(err, unix.EPIPE):
		err = fmt.Errorf("%w: %w", errPipe, err)
	case err != nil && s.signals.received() != nil:
		err = stopped(err)
	}
	return s.report.finish(err, s.summary)
}

// note keeps the engine's counts for the summary.
func (s *session) note(sum *stages.Summary) { s.summary = summaryOf(sum) }
