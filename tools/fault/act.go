//go:build linux && amd64

package main

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// enter is told that a thread enters a call that may count; if it is the one,
// it acts.
func (t *tracer) enter(tid int, th *thread) error {
	var regs syscall.PtraceRegs
	if err := syscall.PtraceGetRegs(tid, &regs); err != nil {
		return err
	}
	args := [6]uint64{regs.Rdi, regs.Rsi, regs.Rdx, regs.R10, regs.R8, regs.R9}
	if regs.Orig_rax == unix.SYS_PRCTL && args[0] == unix.PR_SET_DUMPABLE {
		// A process that is not dumpable shows its descriptors and memory to
		// nobody but root: it is told that it is not, and stays as it was.
		return instead(tid, &regs, 0)
	}
	c, ok := t.rules[regs.Orig_rax]
	if !ok || !c.counts(args) {
		return nil
	}
	places := c.places(tid, args)
	if !t.here(places) {
		return nil
	}
	t.Seen++
	if t.Each != nil {
		t.Each(t.Seen, c.name, strings.Join(places, " "))
	}
	if t.Trace != nil {
		th.leaving = t.step(tid, c.call, args, places)
	}
	if t.At == 0 || t.Seen < t.At || t.Seen > t.At && !t.Ever {
		return nil
	}
	if t.Seen == t.At {
		t.Fired, t.Call, t.Path = true, c.name, strings.Join(places, " ")
	}
	return t.act(tid, th, &regs)
}

// here says whether a call on these places counts.
func (t *tracer) here(places []string) bool {
	return t.Below == "" || slices.ContainsFunc(places, func(p string) bool { return below(t.Below, p) })
}

func (t *tracer) act(tid int, th *thread, regs *syscall.PtraceRegs) error {
	if t.Exec != "" {
		cmd := exec.Command("sh", "-c", t.Exec)
		cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("-exec %s: %w", t.Exec, err)
		}
	}
	switch {
	case t.Kill:
		return syscall.Kill(t.pid, syscall.SIGKILL)
	case t.Short > 0 && regs.Rdx > uint64(t.Short) && movesBytes(regs.Orig_rax):
		asked := regs.Rdx
		th.leaving = func(regs *syscall.PtraceRegs) error {
			regs.Rdx = asked // the program may count on its registers
			return syscall.PtraceSetRegs(tid, regs)
		}
		regs.Rdx = uint64(t.Short)
		return syscall.PtraceSetRegs(tid, regs)
	case t.errno == 0:
		return nil
	case t.errno == syscall.EINTR && t.Ever && th.skipped:
		th.skipped = false
		return nil
	case regs.Orig_rax == unix.SYS_CLOSE:
		// Linux closes the descriptor whatever it then says.
		th.leaving = func(regs *syscall.PtraceRegs) error {
			regs.Rax = uint64(-int64(t.errno))
			return syscall.PtraceSetRegs(tid, regs)
		}
		return nil
	}
	th.skipped, th.leaving = true, nil
	return instead(tid, regs, t.errno)
}

// movesBytes says whether a call's third argument is how many bytes it moves.
func movesBytes(number uint64) bool {
	switch number {
	case unix.SYS_READ, unix.SYS_PREAD64, unix.SYS_WRITE, unix.SYS_PWRITE64:
		return true
	}
	return false
}

// instead has the call that a thread enters not happen.
func instead(tid int, regs *syscall.PtraceRegs, e syscall.Errno) error {
	regs.Orig_rax, regs.Rax = ^uint64(0), uint64(-int64(e))
	return syscall.PtraceSetRegs(tid, regs)
}

// leave is told that a thread leaves the call that it was in.
func (t *tracer) leave(tid int, th *thread) error {
	var regs syscall.PtraceRegs
	if err := syscall.PtraceGetRegs(tid, &regs); err != nil {
		return err
	}
	do := th.leaving
	th.leaving = nil
	return do(&regs)
}

// errnoOf finds an error by its name.
func errnoOf(name string) (syscall.Errno, error) {
	for e := syscall.Errno(1); e < 256; e++ {
		if unix.ErrnoName(e) == name {
			return e, nil
		}
	}
	return 0, fmt.Errorf("-fail: no error is called %q", name)
}
