package opencryptoki

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"

	"tokar/format"
)

// No set-id bit from an archive is ever set on a file; directories may keep
// the one that makes new files inherit the group, and the sticky bit.
const (
	fileMode = 0o0777
	dirMode  = 0o3777

	anyone = ^uint32(0) // an owner that is not known
)

// What may not be settable.
const (
	ownership = iota
	modeBits
	times
)

// notSet counts what could not be set, for one finding each.
type notSet [3]struct {
	first string
	why   error
	n     int
}

func (s *staging) lack(what int, path string, why error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := &s.notSet[what]
	if l.n++; l.n == 1 {
		l.first, l.why = path, why
	}
}

// setAttr sets owner, mode and time of an open file or directory where they
// differ. What the system refuses is counted; only a broken descriptor is an
// error. keepTime says whether the time is known.
func (s *staging) setAttr(fd int, path string, want format.Attr, keepTime bool) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	chown := want.UID != anyone && (want.UID != st.Uid || want.GID != st.Gid)
	if chown {
		if err := unix.Fchown(fd, int(want.UID), int(want.GID)); err != nil {
			s.lack(ownership, path, err)
			// Who is not root may still set a group of their own.
			_ = unix.Fchown(fd, -1, int(want.GID))
		}
	}
	if chown || st.Mode&0o7777 != want.Mode { // fchown clears bits
		if err := unix.Fchmod(fd, want.Mode); err != nil {
			s.lack(modeBits, path, err)
		}
	}
	if !keepTime {
		return nil
	}
	if err := setTime(fd, want.MTime); err != nil {
		s.lack(times, path, err)
	}
	return nil
}

// setTime sets the time of the last change of an open file (futimens).
func setTime(fd int, ns int64) error {
	times := [2]unix.Timespec{{Nsec: unix.UTIME_OMIT}, unix.NsecToTimespec(ns)}
	_, _, errno := unix.Syscall6(unix.SYS_UTIMENSAT, uintptr(fd), 0, uintptr(unsafe.Pointer(&times)), 0, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// findings tells what could not be set.
func (n *notSet) findings() (list []format.Finding) {
	words := [...]string{ownership: "owner and group", modeBits: "mode", times: "time"}
	for what, l := range n {
		if l.n == 0 {
			continue
		}
		reason := "set-user-id, set-group-id and sticky bits are not restored"
		if l.why != nil {
			reason = l.why.Error()
		}
		list = append(list, finding(NotSet, l.first, -1, "the %s of %d files could not be set, of this one first: %s", words[what], l.n, reason))
	}
	return list
}
