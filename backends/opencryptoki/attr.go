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

	anyone = format.NoID // an owner that is not known
)

// setAttr sets owner, group, mode, access lists, label and time of an open file
// or directory where they differ, in this order: each clears some of what comes
// after it. What the system refuses is counted, and gives nobody access that
// the archive does not record; only a broken descriptor is an error. keepTime
// says whether the time is known.
func (s *staging) setAttr(fd int, path string, want format.Attr, keepTime bool) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	a := s.accessHere(path, &want, st.Mode&unix.S_IFMT == unix.S_IFDIR)
	chowned, grouped := s.setOwner(fd, path, &st, &want)
	if !grouped {
		a.closeGroup()
	}
	s.setAccess(fd, path, &st, a, chowned)
	if err := setLabel(fd, want.Security); err != nil {
		s.lack(labels, path, err)
	}
	if !keepTime {
		return nil
	}
	if err := setTime(fd, want.MTime); err != nil {
		s.lack(times, path, err)
	}
	return nil
}

// setOwner sets owner and group: the numbers that their names have here, where
// names are recorded. grouped says whether the group is the one wanted.
func (s *staging) setOwner(fd int, path string, st *unix.Stat_t, want *format.Attr) (changed, grouped bool) {
	uid, _ := s.numberHere(users(), owners, path, want.Owner, want.UID, st.Uid)
	gid, grouped := s.numberHere(groups(), owningGroups, path, want.Group, want.GID, st.Gid)
	if uid == st.Uid && gid == st.Gid {
		return false, grouped
	}
	err := unix.Fchown(fd, int(uid), int(gid))
	if err != nil && uid != st.Uid {
		s.lack(owners, path, err)
		// Who is not root may still set a group of their own.
		err = unix.Fchown(fd, -1, int(gid))
	}
	if err != nil && gid != st.Gid {
		s.lack(owningGroups, path, err)
		grouped = false
	}
	return true, grouped
}

// numberHere is the number that a recorded owner or group gets. That may be what
// the file has now: of an owner that is not known, and then it will do, or of
// one that cannot be told here, and then it will not.
func (s *staging) numberHere(n names, what int, path, name string, id, now uint32) (number uint32, ok bool) {
	number, ok, why := n.here(name, id)
	switch {
	case !ok:
		s.lack(what, path, why)
		return now, false
	case why != nil:
		s.lack(unknownNames, path, why)
	case number == anyone:
		return now, true
	}
	return number, true
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
