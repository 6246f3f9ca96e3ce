package opencryptoki

import (
	"errors"
	"fmt"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"

	"tokar/format"
)

// openFlags: no symbolic link is followed, and a FIFO that takes a file's
// place does not block.
const openFlags = unix.O_RDONLY | unix.O_NOFOLLOW | unix.O_CLOEXEC | unix.O_NONBLOCK

// openat is unix.Openat for a name in bytes, without the two allocations that
// the conversion costs: at 5 us an object they show.
func openat(dir int, name []byte, flags int, mode uint32) (int, error) {
	var path [256]byte
	if len(name) == 0 || len(name) >= len(path) {
		return -1, unix.ENAMETOOLONG
	}
	copy(path[:], name)
	for {
		fd, _, errno := unix.Syscall6(unix.SYS_OPENAT, uintptr(dir), uintptr(unsafe.Pointer(&path[0])),
			uintptr(flags|unix.O_LARGEFILE), uintptr(mode), 0, 0)
		switch errno {
		case 0:
			return int(fd), nil
		case unix.EINTR:
		default:
			return -1, errno
		}
	}
}

// openDir opens a directory that is no symbolic link.
func openDir(dir int, name string) (int, error) {
	return openat(dir, []byte(name), openFlags|unix.O_DIRECTORY, 0)
}

// openPlace opens the directory at an absolute path in which no part is a
// symbolic link.
func openPlace(path string) (int, error) {
	root, err := unix.Open("/", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	defer unix.Close(root)
	parts := strings.Split(strings.TrimPrefix(path, "/"), "/")
	parent, err := openPath(root, parts)
	if err != nil {
		return -1, err
	}
	defer unix.Close(parent)
	return openDir(parent, parts[len(parts)-1])
}

// openPath walks from dir to the directory that holds the last component of
// name; what it gives can be searched, not read. The caller closes it.
func openPath(dir int, parts []string) (int, error) {
	fd, err := unix.FcntlInt(uintptr(dir), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	for _, part := range parts[:len(parts)-1] {
		next, err := openat(fd, []byte(part), openFlags|unix.O_DIRECTORY|unix.O_PATH, 0)
		unix.Close(fd)
		if err != nil {
			return -1, err
		}
		fd = next
	}
	return fd, nil
}

// file is what a read file was.
type file struct {
	data   []byte
	stat   unix.Stat_t
	xattrs xattrs
}

// attr is what the file system says of it, as archives keep it.
func (f *file) attr() format.Attr {
	a := attrOf(&f.stat)
	f.xattrs.addTo(&a)
	return a
}

var (
	errIrregular = errors.New("not a regular file")
	errTooLarge  = fmt.Errorf("larger than %d bytes", format.MaxObject)
	errChanging  = errors.New("it changes while it is read")
)

// readFile reads a whole file, into buf where it fits. One fstat after the
// read tells whether the bytes are the file: its length then, and for the
// caller the time of the last change.
func readFile(dir int, name, buf []byte) (f file, err error) {
	for range 3 {
		if err = f.readOnce(dir, name, buf); err != errChanging {
			break
		}
	}
	return f, err
}

func (f *file) readOnce(dir int, name, buf []byte) error {
	fd, err := openat(dir, name, openFlags, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	n, err := readSome(fd, buf)
	if e := unix.Fstat(fd, &f.stat); e != nil {
		return e
	}
	if f.stat.Mode&unix.S_IFMT != unix.S_IFREG {
		return errIrregular
	}
	if err == nil && f.stat.Size > int64(n) { // larger than buf, or a read that brought less than it could
		if f.stat.Size > format.MaxObject {
			return errTooLarge
		}
		if f.stat.Size > int64(len(buf)) {
			large := make([]byte, f.stat.Size)
			copy(large, buf[:n])
			buf = large
		}
		n, err = f.readRest(fd, buf[:f.stat.Size], n)
	}
	if err != nil {
		return err
	}
	f.data, f.xattrs = buf[:n:n], readXattrs(fd)
	if f.stat.Size != int64(n) {
		return errChanging
	}
	return nil
}

// readRest reads from byte n on until buf is full or the file ends.
func (f *file) readRest(fd int, buf []byte, n int) (int, error) {
	for n < len(buf) {
		m, err := readSome(fd, buf[n:])
		if err != nil {
			return n, err
		}
		if m == 0 {
			break
		}
		n += m
	}
	return n, unix.Fstat(fd, &f.stat)
}

// readSome is one read. It may bring less than there is: a file system in user
// space or on a network may answer so.
func readSome(fd int, buf []byte) (n int, err error) {
	for {
		if n, err = unix.Read(fd, buf); err != unix.EINTR {
			return max(n, 0), err
		}
	}
}

// attrOf is what a file's inode says, as archives keep it.
func attrOf(st *unix.Stat_t) format.Attr {
	return format.Attr{
		Known: true,
		Mode:  uint32(st.Mode) & 0o7777,
		UID:   st.Uid,
		GID:   st.Gid,
		MTime: st.Mtim.Nano(),
		Owner: users().byID[st.Uid],
		Group: groups().byID[st.Gid],
	}
}

// dirEntry is a name in a directory with its type as the kernel gives it (DT_…).
type dirEntry struct {
	name string
	typ  byte
}

func (e dirEntry) regular() bool { return e.typ == unix.DT_REG }
func (e dirEntry) dir() bool     { return e.typ == unix.DT_DIR }

// typeWord names an entry's type for people.
func (e dirEntry) typeWord() string {
	switch e.typ {
	case unix.DT_LNK:
		return "a symbolic link"
	case unix.DT_FIFO:
		return "a FIFO"
	case unix.DT_SOCK:
		return "a socket"
	case unix.DT_CHR, unix.DT_BLK:
		return "a device"
	case unix.DT_DIR:
		return "a directory"
	}
	return "no regular file"
}

// readDir calls yield for everything in a directory but . and .., in no order.
// name is valid during the call only.
func readDir(dir int, yield func(name []byte, typ byte)) error {
	if _, err := unix.Seek(dir, 0, unix.SEEK_SET); err != nil {
		return err
	}
	buf := make([]byte, 32<<10)
	for {
		n, err := unix.Getdents(dir, buf)
		if err == unix.EINTR {
			continue
		}
		if err != nil || n == 0 {
			return err
		}
		for rest := buf[:n]; len(rest) > 0; {
			entry := (*unix.Dirent)(unsafe.Pointer(&rest[0]))
			name := rest[unsafe.Offsetof(entry.Name):entry.Reclen]
			for i, c := range name {
				if c == 0 {
					name = name[:i]
					break
				}
			}
			if s := string(name); s != "." && s != ".." {
				yield(name, typeOf(dir, name, entry.Type))
			}
			rest = rest[entry.Reclen:]
		}
	}
}

// typeOf asks for the type where the file system does not tell it.
func typeOf(dir int, name []byte, typ byte) byte {
	if typ != unix.DT_UNKNOWN {
		return typ
	}
	var st unix.Stat_t
	if unix.Fstatat(dir, string(name), &st, unix.AT_SYMLINK_NOFOLLOW) != nil {
		return unix.DT_UNKNOWN
	}
	return byte(st.Mode & unix.S_IFMT >> 12) // DT_… are the mode's type bits
}
