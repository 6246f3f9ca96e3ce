package opencryptoki

import (
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"tokar/format"
)

// Where Linux keeps access control lists (acl(5)), and in which form: a version
// (u32), then entries of tag (u16), permissions (u16) and number (u32), all
// little-endian on every machine (include/uapi/linux/posix_acl_xattr.h).
const (
	accessACL  = "system.posix_acl_access"
	defaultACL = "system.posix_acl_default"

	aclVersion = 2
	aclHeader  = 4
	aclEntry   = 8
)

// readACL reads a list that was there a moment ago; none if it is gone.
func readACL(fd int, attribute string, buf []byte) (format.ACL, error) {
	b, err := getXattr(fd, attribute, buf)
	if len(b) == 0 || err != nil {
		return "", err
	}
	return parseACL(b)
}

// parseACL makes the archive's form of the kernel's.
func parseACL(b []byte) (format.ACL, error) {
	if len(b) < aclHeader || (len(b)-aclHeader)%aclEntry != 0 || binary.LittleEndian.Uint32(b) != aclVersion {
		return "", fmt.Errorf("an access control list of another form, %d bytes", len(b))
	}
	var entries []format.ACLEntry
	for b = b[aclHeader:]; len(b) > 0; b = b[aclEntry:] {
		e := format.ACLEntry{
			Tag:  format.ACLTag(binary.LittleEndian.Uint16(b)),
			Perm: binary.LittleEndian.Uint16(b[2:]),
			ID:   binary.LittleEndian.Uint32(b[4:]),
		}
		switch e.Tag {
		case format.ACLUser:
			e.Name = users().byID[e.ID]
		case format.ACLGroup:
			e.Name = groups().byID[e.ID]
		default:
			e.ID = format.NoID
		}
		entries = append(entries, e)
	}
	return format.NewACL(entries)
}

// kernelACL is the kernel's form of a list; none is no bytes.
func kernelACL(entries []format.ACLEntry) []byte {
	if len(entries) == 0 {
		return nil
	}
	b := binary.LittleEndian.AppendUint32(nil, aclVersion)
	for _, e := range entries {
		b = binary.LittleEndian.AppendUint16(b, uint16(e.Tag))
		b = binary.LittleEndian.AppendUint16(b, e.Perm)
		b = binary.LittleEndian.AppendUint32(b, e.ID)
	}
	return b
}

// setACL gives a file its list, or takes the one away that it inherited when it
// was made. What has none to take away is asked and not changed.
func setACL(fd int, attribute string, entries []format.ACLEntry) error {
	if len(entries) > 0 {
		return unix.Fsetxattr(fd, attribute, kernelACL(entries), 0)
	}
	if !hasXattr(fd, attribute) {
		return nil
	}
	return unix.Fremovexattr(fd, attribute)
}

// hasXattr says whether a file has an attribute, or may have it.
func hasXattr(fd int, attribute string) bool {
	_, err := unix.Fgetxattr(fd, attribute, nil)
	return !errors.Is(err, unix.ENODATA) && !errors.Is(err, unix.ENOTSUP)
}
