//go:build linux && amd64

package main

import (
	"bufio"
	"fmt"
	"os"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// step remembers a call as a thread enters it, and gives what tells of it once
// it has succeeded.
func (t *tracer) step(tid int, c call, args [6]uint64, places []string) func(*syscall.PtraceRegs) error {
	s := Step{Call: c.name, Files: places, Args: args, After: t.steps}
	switch c.number {
	case unix.SYS_WRITE:
		s.Offset = position(tid, args[0])
		s.Data = memory(tid, args[1], args[2])
	case unix.SYS_PWRITE64:
		s.Offset = int64(args[3])
		s.Data = memory(tid, args[1], args[2])
	case unix.SYS_UTIMENSAT:
		s.Data = memory(tid, args[2], 32) // two timespecs
	}
	return func(regs *syscall.PtraceRegs) error {
		result := int64(regs.Rax)
		if result < 0 {
			return nil
		}
		if c.number == unix.SYS_WRITE || c.number == unix.SYS_PWRITE64 {
			s.Data = s.Data[:result]
		}
		var st unix.Stat_t
		if makes := c.flags > 0 || strings.HasPrefix(c.name, "mkdir"); makes && unix.Lstat(places[0], &st) == nil {
			s.Inode, s.Mode = st.Ino, st.Mode
		}
		t.steps++
		t.Trace(s)
		return nil
	}
}

// position is where a descriptor of the process stands in its file.
func position(tid int, fd uint64) (at int64) {
	f, err := os.Open(fmt.Sprintf("/proc/%d/fdinfo/%d", tid, fd))
	if err != nil {
		return 0
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if _, err := fmt.Sscanf(lines.Text(), "pos: %d", &at); err == nil {
			break
		}
	}
	return at
}

// memory reads bytes of the process.
func memory(tid int, addr, length uint64) []byte {
	b := make([]byte, length)
	if addr == 0 || length == 0 {
		return nil
	}
	local := unix.Iovec{Base: &b[0], Len: length}
	n, err := unix.ProcessVMReadv(tid, []unix.Iovec{local}, []unix.RemoteIovec{{Base: uintptr(addr), Len: int(length)}}, 0)
	if err != nil {
		return nil
	}
	return b[:n]
}
