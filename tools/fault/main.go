// Fault runs a program and, at the n-th of the system calls that it is to
// count, kills it, makes that call fail, or runs a command before the call goes
// on. So a test can stop a program at each of its steps, one run after another:
//
//	fault [flags] PROGRAM [ARGUMENT…]
//
//	-calls LIST   count these, separated by commas; "changes" (the default) are
//	              all that change files, sync or close them, "reads" those that
//	              look at them
//	-below DIR    count only calls on what lies in or below DIR, as the call
//	              names it or as its descriptor was opened
//	-at N         act at the N-th; without it, or when the program makes fewer
//	              calls, they are only counted
//	-kill         kill the program as it enters the call
//	-fail ERRNO   make the call fail, with EIO for one
//	-ever         … and all that it counts from then on; with EINTR every other
//	              one, since a program that asks again would never end
//	-short BYTES  have a read or write move no more than so many bytes
//	-trace FILE   write each counted call that succeeds there, as a line of JSON,
//	              with what it wrote (see Step)
//	-exec CMD     run CMD with sh, then let the call go on
//	-without LIST these calls are none that the system has (ENOSYS), and not counted
//	-report FD    write a Report, as JSON, to this descriptor
//	-list         name each counted call on stderr
//
// One counter stands over all threads, and over the processes that the program
// starts: strace's inject=…:when=N counts for each thread by itself, so that of
// a program with many threads it never reaches most calls.
//
// The exit code is the program's, or 128 and the signal that it died of; 125
// with a message when nothing could be run. A loop over n ends with the first
// run that was not hit, which says nothing of the program.
//
// What the program starts dies with its first process. It gains no rights by
// what it executes (PR_SET_NO_NEW_PRIVS), and stays dumpable.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
)

// exitOurs: the fault is fault's own.
const exitOurs = 125

// Plan is what to count, and what to do when.
type Plan struct {
	Calls   []string
	Without []string
	Below   string // an absolute path without links, or nothing
	At      int
	Kill    bool
	Errno   string
	Ever    bool
	Short   int // bytes that a read or write moves at most; 0 for as many as it asks
	Exec    string
	Each    func(n int, name, path string) // told of each counted call; or nil
	Trace   func(Step)                     // told of each that has succeeded; or nil
}

// Report is what became of a run.
type Report struct {
	Seen   int    `json:"seen"`           // calls counted
	Fired  bool   `json:"fired"`          // whether there was an N-th
	Call   string `json:"call,omitempty"` // its name
	Path   string `json:"path,omitempty"` // and its files
	Exit   int    `json:"exit"`           // exit code, -1 if a signal ended it
	Signal int    `json:"signal,omitempty"`
}

// Step is a call that changed files. Calls of several threads overlap: After
// says how many had returned when it began, and so what a sync covers.
type Step struct {
	Call   string    `json:"call"`
	Files  []string  `json:"files"` // that it names, as they were called when it began
	Args   [6]uint64 `json:"args"`
	Data   []byte    `json:"data,omitempty"`   // what a write wrote, or utimensat's times
	Offset int64     `json:"offset,omitempty"` // of a write
	Inode  uint64    `json:"inode,omitempty"`  // of what open or mkdir gave …
	Mode   uint32    `json:"mode,omitempty"`   // … and its mode
	After  int       `json:"after"`
}

func main() {
	report, err := run(os.Args[1:])
	switch {
	case errors.Is(err, flag.ErrHelp):
		os.Exit(exitOurs)
	case err != nil:
		fmt.Fprintln(os.Stderr, "fault:", err)
		os.Exit(exitOurs)
	case report.Signal != 0:
		os.Exit(128 + report.Signal)
	}
	os.Exit(report.Exit)
}

func run(args []string) (r Report, err error) {
	var p Plan
	flags := flag.NewFlagSet("fault", flag.ContinueOnError)
	calls := flags.String("calls", "changes", "")
	without := flags.String("without", "", "")
	flags.StringVar(&p.Below, "below", "", "")
	flags.IntVar(&p.At, "at", 0, "")
	flags.BoolVar(&p.Kill, "kill", false, "")
	flags.StringVar(&p.Errno, "fail", "", "")
	flags.BoolVar(&p.Ever, "ever", false, "")
	flags.StringVar(&p.Exec, "exec", "", "")
	flags.IntVar(&p.Short, "short", 0, "")
	steps := flags.String("trace", "", "")
	number := flags.Int("report", -1, "")
	list := flags.Bool("list", false, "")
	flags.Usage = func() {
		fmt.Fprintln(os.Stderr, "usage: fault [flags] PROGRAM [ARGUMENT…]; see: go doc tokar/tools/fault")
	}
	if err := flags.Parse(args); err != nil {
		return r, err
	}
	if flags.NArg() == 0 {
		return r, errors.New("no program")
	}
	p.Calls = strings.Split(*calls, ",")
	if *without != "" {
		p.Without = strings.Split(*without, ",")
	}
	if *list {
		p.Each = func(n int, name, path string) { fmt.Fprintln(os.Stderr, n, name, path) }
	}
	program, err := exec.LookPath(flags.Arg(0))
	if err != nil {
		return r, err
	}
	if *steps != "" {
		file, e := os.Create(*steps)
		if e != nil {
			return r, e
		}
		defer func() { err = errors.Join(err, file.Close()) }()
		line := json.NewEncoder(file)
		p.Trace = func(s Step) { err = errors.Join(err, line.Encode(s)) }
	}
	to, err := descriptor(*number)
	if err != nil {
		return r, err
	}
	if r, err = p.Run(program, flags.Args(), os.Environ(), []uintptr{0, 1, 2}); err != nil || to == nil {
		return r, err
	}
	return r, errors.Join(json.NewEncoder(to).Encode(r), to.Close())
}

// descriptor opens one that was given to us and that the program shall not see.
func descriptor(number int) (*os.File, error) {
	if number < 0 {
		return nil, nil
	}
	syscall.CloseOnExec(number)
	f := os.NewFile(uintptr(number), "report")
	if _, err := f.Stat(); err != nil {
		return nil, fmt.Errorf("-report %d: %w", number, err)
	}
	return f, nil
}
