package commands

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// grace is how long the work may take to clean up after a signal. What it
// waits for then is a reader of its output that does not read.
const grace = 5 * time.Second

// errPipe: the reader of our output went away.
var errPipe = errors.New("the reader of the output went away")

// signals stops a run on INT, TERM, HUP and QUIT, and makes a write to a pipe that
// nobody reads an error rather than the end of the process.
type signals struct {
	ctx    context.Context
	cancel context.CancelFunc
	caught chan os.Signal

	mu   sync.Mutex
	got  os.Signal
	undo []func() // what must not stay when the process dies; see atExit
}

func watchSignals() *signals {
	s := &signals{caught: make(chan os.Signal, 4)}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	for _, sig := range []os.Signal{unix.SIGINT, unix.SIGTERM, unix.SIGHUP, unix.SIGQUIT} {
		// Notify would take even what nohup or a script's background job had
		// switched off.
		if !signal.Ignored(sig) {
			signal.Notify(s.caught, sig)
		}
	}
	signal.Notify(make(chan os.Signal, 1), unix.SIGPIPE)
	go s.watch()
	return s
}

func (s *signals) watch() {
	first := <-s.caught
	s.mu.Lock()
	s.got = first
	s.mu.Unlock()
	s.cancel()
	select {
	case second := <-s.caught:
		s.die(second)
	case <-time.After(grace):
		s.die(first)
	}
}

// atExit has f run when the process dies of a signal before the work could
// clean up. The function it returns takes f back.
func (s *signals) atExit(f func()) (done func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := len(s.undo)
	s.undo = append(s.undo, f)
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.undo[i] = nil
	}
}

// received is the signal that stopped the run, or nil.
func (s *signals) received() os.Signal {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.got
}

// die cleans up and dies of sig, so that shells and supervisors see the truth.
func (s *signals) die(sig os.Signal) {
	s.mu.Lock()
	for _, f := range s.undo {
		if f != nil {
			f()
		}
	}
	defaultAction(sig.(syscall.Signal))
	unix.Kill(os.Getpid(), sig.(syscall.Signal))
	time.Sleep(time.Second) // the signal arrives on another thread
	os.Exit(exitFailed)
}

// defaultAction undoes what the Go runtime does with a signal. Its own way,
// signal.Reset, goes on to ignore PIPE and to print every goroutine at QUIT.
func defaultAction(sig syscall.Signal) {
	var action [64]byte // SIG_DFL, no flags, an empty mask; longer than the kernel reads
	const maskSize = 8
	unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(sig), uintptr(unsafe.Pointer(&action)), 0, maskSize, 0, 0)
}

// hideMemory keeps secrets out of core files and away from other processes of
// this user. It is called before the first secret is read.
func hideMemory() {
	unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{})
	unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0)
}
