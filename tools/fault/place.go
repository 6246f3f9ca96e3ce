//go:build linux && amd64

package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// places gives the files that a call names. What a descriptor was opened as,
// the kernel says; below that, names are taken as they are written.
func (c call) places(tid int, args [6]uint64) []string {
	var all []string
	for _, o := range c.files {
		all = append(all, o.place(tid, args))
	}
	return all
}

func (o operand) place(tid int, args [6]uint64) string {
	name := ""
	if o.path != none {
		name = text(tid, args[o.path])
	}
	if filepath.IsAbs(name) {
		return filepath.Clean(name)
	}
	from := "cwd"
	if o.dir != none {
		if dir := int32(args[o.dir]); dir != unix.AT_FDCWD {
			from = fmt.Sprintf("fd/%d", dir)
		}
	}
	dir, err := os.Readlink(fmt.Sprintf("/proc/%d/%s", tid, from))
	if err != nil {
		return name // a descriptor that is none: the call will fail
	}
	return filepath.Join(strings.TrimSuffix(dir, " (deleted)"), name)
}

// text reads a C string of the process; "" where there is none, as in
// utimensat(fd, NULL, …).
func text(tid int, addr uint64) string {
	var b [unix.PathMax]byte
	if addr == 0 {
		return ""
	}
	// A page at a time at most: the next one may not be there.
	n := 0
	for n < len(b) {
		page := min(len(b)-n, 4096-int((addr+uint64(n))%4096))
		local := unix.Iovec{Base: &b[n], Len: uint64(page)}
		got, err := unix.ProcessVMReadv(tid, []unix.Iovec{local}, []unix.RemoteIovec{{Base: uintptr(addr) + uintptr(n), Len: page}}, 0)
		if err != nil {
			return ""
		}
		if end := bytes.IndexByte(b[n:n+got], 0); end >= 0 {
			return string(b[:n+end])
		}
		n += got
	}
	return ""
}

// below says whether a place is dir or lies in it.
func below(dir, place string) bool {
	return place == dir || strings.HasPrefix(place, strings.TrimSuffix(dir, "/")+"/")
}
