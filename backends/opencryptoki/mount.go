package opencryptoki

import (
	"fmt"

	"golang.org/x/sys/unix"

	"tokar/backends"
)

// movable refuses what lies on another mount than the directory restored into:
// the kernel moves nothing from one to another, and no mount point. parent is
// the token's directory.
func (s *staging) movable(parent int) error {
	moved := parent
	if s.live != nil {
		moved = s.live.dir
	}
	if s.merge != nil && s.live.objects >= 0 {
		moved = s.live.objects
	}
	a, errA := mountOf(s.base)
	b, errB := mountOf(moved)
	if errA != nil || errB != nil || a == b { // what cannot be told here, Commit will
		return nil
	}
	return fmt.Errorf("%w as a mount point or below one, where nothing can be exchanged in one step", backends.ErrExists)
}

// mountOf is the number of the mount that a file is seen through (Linux 5.8).
func mountOf(fd int) (uint64, error) {
	var st unix.Statx_t
	err := unix.Statx(fd, "", unix.AT_EMPTY_PATH, unix.STATX_MNT_ID, &st)
	if err == nil && st.Mask&unix.STATX_MNT_ID == 0 {
		err = unix.ENOSYS
	}
	return st.Mnt_id, err
}
