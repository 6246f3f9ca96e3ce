//go:build linux && amd64

package main

import (
	"fmt"
	"path/filepath"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// Run runs a program by its plan, until its first process ends. It keeps to one
// thread of the operating system: only that one may speak to what it traces.
func (p Plan) Run(program string, argv, env []string, files []uintptr) (Report, error) {
	t, err := p.tracer()
	if err != nil {
		return Report{}, err
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	t.pid, err = syscall.ForkExec(program, argv, &syscall.ProcAttr{
		Env: env, Files: files, Sys: &syscall.SysProcAttr{Ptrace: true},
	})
	if err == nil {
		err = t.follow()
	}
	if err != nil {
		return Report{}, fmt.Errorf("cannot trace %s: %w", program, err)
	}
	return t.Report, nil
}

// A tracer is a run.
type tracer struct {
	Plan
	Report
	rules   map[uint64]rule
	without map[uint64]rule
	errno   syscall.Errno
	steps   int // told of
	pid     int
	threads map[int]*thread
}

// A thread is one that was seen.
type thread struct {
	leaving func(*syscall.PtraceRegs) error // what to do as the call that it is in returns; or nil
	skipped bool                            // its last call was told EINTR
}

func (p Plan) tracer() (t *tracer, err error) {
	t = &tracer{Plan: p, threads: map[int]*thread{}}
	if t.rules, err = choose(p.Calls); err != nil {
		return nil, err
	}
	if t.without, err = choose(p.Without); err != nil {
		return nil, err
	}
	if p.Errno != "" {
		if t.errno, err = errnoOf(p.Errno); err != nil {
			return nil, err
		}
	}
	if p.Below != "" {
		if t.Below, err = filepath.EvalSymlinks(p.Below); err == nil {
			t.Below, err = filepath.Abs(t.Below)
		}
	}
	return t, err
}

const (
	options = unix.PTRACE_O_EXITKILL | unix.PTRACE_O_TRACESECCOMP | unix.PTRACE_O_TRACESYSGOOD | unix.PTRACE_O_TRACEEXEC |
		unix.PTRACE_O_TRACECLONE | unix.PTRACE_O_TRACEFORK | unix.PTRACE_O_TRACEVFORK

	// callStop is a stop as a call returns, with TRACESYSGOOD.
	callStop = unix.SIGTRAP | 0x80
)

// follow goes from stop to stop. The first is at the program's first
// instruction.
func (t *tracer) follow() error {
	for {
		var status syscall.WaitStatus
		tid, err := syscall.Wait4(-1, &status, unix.WALL|unix.WNOTHREAD, nil)
		switch {
		case err == syscall.EINTR:
		case err != nil:
			return fmt.Errorf("waiting: %w", err)
		case status.Stopped():
			if err := t.stopped(tid, status); err != nil && err != syscall.ESRCH { // ESRCH: it was killed meanwhile
				return err
			}
		case tid == t.pid:
			t.Exit = status.ExitStatus()
			if status.Signaled() {
				t.Signal = int(status.Signal())
			}
			return nil
		default:
			delete(t.threads, tid)
		}
	}
}

// stopped deals with a thread that stands still, and lets it go on.
func (t *tracer) stopped(tid int, status syscall.WaitStatus) (err error) {
	th := t.threads[tid]
	deliver := 0
	switch sig := status.StopSignal(); {
	case th == nil:
		// Born, and stopped by SIGSTOP; the first by SIGTRAP, at exec.
		th = &thread{}
		t.threads[tid] = th
		if tid == t.pid {
			err = t.begin()
		}
	case status>>16 == unix.PTRACE_EVENT_SECCOMP:
		err = t.enter(tid, th)
	case sig == callStop:
		err = t.leave(tid, th)
	case status>>16 != 0:
		// a thread was born, or a program executed
	default:
		deliver = int(sig) // Go's own SIGURG among them
	}
	switch {
	case err != nil:
		return err
	case th.leaving != nil:
		return syscall.PtraceSyscall(tid, deliver)
	}
	return syscall.PtraceCont(tid, deliver)
}

// begin makes ready to trace; all that the program starts inherits it.
func (t *tracer) begin() error {
	if err := syscall.PtraceSetOptions(t.pid, options); err != nil {
		return err
	}
	return filter(t.pid, filterCode(t.rules, t.without))
}
