package opencryptoki

import (
	"bytes"
	"fmt"

	"golang.org/x/sys/unix"

	"tokar/format"
)

// securityLabel is what SELinux knows a file by. The kernel's value ends with a zero
// byte, which archives leave out.
const securityLabel = "security.selinux"

// readLabel reads a label that was there a moment ago; none if it is gone.
func readLabel(fd int, buf []byte) (string, error) {
	b, err := getXattr(fd, securityLabel, buf)
	if err != nil {
		return "", err
	}
	b = bytes.TrimSuffix(b, []byte{0})
	if len(b) > format.MaxSecurity || bytes.IndexByte(b, 0) >= 0 {
		return "", fmt.Errorf("a security label of another form, %d bytes", len(b))
	}
	return string(b), nil
}

// setLabel sets a file's label where it has another.
func setLabel(fd int, want string) error {
	if want == "" {
		return nil
	}
	buf := make([]byte, len(want)+2)
	n, err := unix.Fgetxattr(fd, securityLabel, buf)
	if err == nil && string(bytes.TrimSuffix(buf[:n], []byte{0})) == want {
		return nil
	}
	return unix.Fsetxattr(fd, securityLabel, append([]byte(want), 0), 0)
}
