package opencryptoki

import (
	"fmt"

	"golang.org/x/sys/unix"

	"tokar/backends"
)

// movable refuses what cannot be exchanged: what lies on another mount than the
// directory restored into, mount points too, and what chattr made immutable.
// parent is the token's directory.
func (s *staging) movable(parent int) error {
	moved := parent
	if s.live != nil {
		moved = s.live.dir
	}
	if s.merge != nil && s.live.objects >= 0 {
		moved = s.live.objects
	}
	var base, there unix.Statx_t
	for fd, st := range map[int]*unix.Statx_t{s.base: &base, moved: &there} {
		if unix.Statx(fd, "", unix.AT_EMPTY_PATH, unix.STATX_MNT_ID, st) != nil {
			return nil // Commit will tell
		}
	}
	if there.Attributes&(unix.STATX_ATTR_IMMUTABLE|unix.STATX_ATTR_APPEND) != 0 {
		return fmt.Errorf("%w and is immutable; chattr -i -a makes it changeable", backends.ErrExists)
	}
	if base.Mask&there.Mask&unix.STATX_MNT_ID != 0 && base.Mnt_id != there.Mnt_id { // known since Linux 5.8
		return fmt.Errorf("%w as a mount point or below one, where nothing can be exchanged in one step", backends.ErrExists)
	}
	return nil
}
