package opencryptoki

import (
	"bytes"
	"errors"

	"golang.org/x/sys/unix"

	"tokar/format"
)

// xattrs are the extended attributes of a file or directory that archives keep.
type xattrs struct {
	acl, inherit format.ACL // the access and the default list
	label        string
	lost         error // why something is there and cannot be kept
	lostACL      bool  // the access list is among it
}

// readXattrs asks for the attributes' names, which most files have none of, and
// reads those that archives keep.
func readXattrs(fd int) (x xattrs) {
	var some [256]byte
	list := some[:]
	n, err := unix.Flistxattr(fd, list)
	if err == unix.ERANGE {
		list = make([]byte, 64<<10) // XATTR_LIST_MAX (limits.h)
		n, err = unix.Flistxattr(fd, list)
	}
	if err != nil && err != unix.ENOTSUP {
		x.lost = err
	}
	if n > 0 && err == nil {
		x.read(fd, list[:n])
	}
	return x
}

// read reads those of the attributes listed, each with a zero byte behind it.
func (x *xattrs) read(fd int, list []byte) {
	buf := make([]byte, max(format.MaxSecurity+1, aclHeader+format.MaxACL*aclEntry)+1)
	for len(list) > 0 {
		name, rest, _ := bytes.Cut(list, []byte{0})
		list = rest
		var err error
		switch string(name) {
		case accessACL:
			x.acl, err = readACL(fd, accessACL, buf)
			x.lostACL = err != nil
			if !x.acl.Masked() {
				x.acl = "" // it says what the mode says
			}
		case defaultACL:
			x.inherit, err = readACL(fd, defaultACL, buf)
		case securityLabel:
			x.label, err = readLabel(fd, buf)
		}
		if err != nil {
			x.lost = err
		}
	}
}

// getXattr reads an attribute that was there a moment ago.
func getXattr(fd int, name string, buf []byte) ([]byte, error) {
	n, err := unix.Fgetxattr(fd, name, buf)
	switch {
	case errors.Is(err, unix.ENODATA):
		return nil, nil
	case errors.Is(err, unix.ERANGE):
		return nil, errors.New("the attribute " + name + " is longer than an archive keeps it")
	case err != nil:
		return nil, errors.New("cannot read the attribute " + name + ": " + err.Error())
	}
	return buf[:n], nil
}

// addTo completes what attrOf says. Where an access list is lost, the mode says
// what it allowed together, not whom: the group's bits are left out.
func (x *xattrs) addTo(a *format.Attr) {
	a.ACL, a.DefaultACL, a.Security = x.acl, x.inherit, x.label
	if x.lostACL {
		a.Mode &^= 0o070
	}
}

// finding says what is lost of a file.
func (x *xattrs) finding(path string) format.Finding {
	what := "its label or default access control list is not archived"
	if x.lostACL {
		what = "its access control list is not archived, nor the permissions of its group"
	}
	return finding(NotKept, path, -1, "%s: %v", what, x.lost)
}
