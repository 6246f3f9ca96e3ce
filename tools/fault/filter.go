//go:build linux && amd64

package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"
)

// filter has the kernel run a filter at each call of the program, so that it
// stops at those that may count and at no other: a stop costs some 20 us, and
// Go's runtime alone makes hundreds of calls as it starts. A program can only
// filter its own calls, so it is made to ask for it, before its first
// instruction.
func filter(pid int, instructions []byte) error {
	var before syscall.PtraceRegs
	if err := syscall.PtraceGetRegs(pid, &before); err != nil {
		return err
	}
	var code [2]byte
	pc := uintptr(before.Rip)
	if _, err := syscall.PtracePeekText(pid, pc, code[:]); err != nil {
		return err
	}
	instruction := [...]byte{0x0f, 0x05} // syscall
	if _, err := syscall.PtracePokeText(pid, pc, instruction[:]); err != nil {
		return err
	}
	if err := ask(pid, before, instructions); err != nil {
		return fmt.Errorf("a filter of calls: %w", err)
	}
	_, err := syscall.PtracePokeText(pid, pc, code[:])
	return errors.Join(err, syscall.PtraceSetRegs(pid, &before))
}

// ask makes the two calls, with what they point to below the stack.
func ask(pid int, regs syscall.PtraceRegs, instructions []byte) error {
	place := (regs.Rsp - 8192) &^ 15
	head := binary.LittleEndian.AppendUint64(nil, uint64(len(instructions)/8)) // sock_fprog
	head = binary.LittleEndian.AppendUint64(head, place+16)
	if _, err := syscall.PtracePokeData(pid, uintptr(place), append(head, instructions...)); err != nil {
		return err
	}
	if err := inject(pid, regs, unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1, 0); err != nil {
		return err
	}
	return inject(pid, regs, unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, 0, place)
}

// inject has the program make one call.
func inject(pid int, regs syscall.PtraceRegs, number, a, b, c uint64) error {
	regs.Rax, regs.Orig_rax = number, ^uint64(0)
	regs.Rdi, regs.Rsi, regs.Rdx, regs.R10, regs.R8 = a, b, c, 0, 0
	if err := syscall.PtraceSetRegs(pid, &regs); err != nil {
		return err
	}
	if err := syscall.PtraceSingleStep(pid); err != nil {
		return err
	}
	var status syscall.WaitStatus
	if _, err := syscall.Wait4(pid, &status, unix.WALL, nil); err != nil {
		return err
	}
	if err := syscall.PtraceGetRegs(pid, &regs); err != nil {
		return err
	}
	if result := int64(regs.Rax); result < 0 {
		return syscall.Errno(-result)
	}
	return nil
}

// filterCode is the filter: a comparison and a result for each rule.
func filterCode(rules, without map[uint64]rule) []byte {
	var b []byte
	add := func(code uint16, yes, no byte, k uint32) {
		b = binary.LittleEndian.AppendUint16(b, code)
		b = append(b, yes, no)
		b = binary.LittleEndian.AppendUint32(b, k)
	}
	const (
		load   = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS
		equal  = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
		result = unix.BPF_RET | unix.BPF_K
	)
	add(load, 0, 0, 4) // seccomp_data.arch: calls of 32-bit programs have other numbers
	add(equal, 1, 0, unix.AUDIT_ARCH_X86_64)
	add(result, 0, 0, unix.SECCOMP_RET_ALLOW)
	add(load, 0, 0, 0) // seccomp_data.nr
	add(equal, 0, 1, unix.SYS_PRCTL)
	add(result, 0, 0, unix.SECCOMP_RET_TRACE)
	for number := range without {
		add(equal, 0, 1, uint32(number))
		add(result, 0, 0, unix.SECCOMP_RET_ERRNO|uint32(unix.ENOSYS))
	}
	for number := range rules {
		add(equal, 0, 1, uint32(number))
		add(result, 0, 0, unix.SECCOMP_RET_TRACE)
	}
	add(result, 0, 0, unix.SECCOMP_RET_ALLOW)
	return b
}
