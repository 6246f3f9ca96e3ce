//go:build linux && amd64

package main

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// A call is a system call that can be counted.
type call struct {
	name   string
	number uint64
	files  []operand
	reads  bool // changes nothing
	flags  int  // 1 + the argument that holds open's flags, or 0
}

// An operand says which of a call's arguments name a file: a descriptor (dir
// alone), a path, or a path from a descriptor on.
type operand struct{ dir, path int }

const none = -1

func fd(i int) operand         { return operand{i, none} }
func path(i int) operand       { return operand{none, i} }
func at(dir, path int) operand { return operand{dir, path} }

func files(o ...operand) []operand { return o }

// table lists the calls by what they do.
var table = []call{
	{name: "open", number: unix.SYS_OPEN, files: files(path(0)), flags: 1 + 1},
	{name: "openat", number: unix.SYS_OPENAT, files: files(at(0, 1)), flags: 1 + 2},
	{name: "openat2", number: unix.SYS_OPENAT2, files: files(at(0, 1))},
	{name: "creat", number: unix.SYS_CREAT, files: files(path(0))},
	{name: "close", number: unix.SYS_CLOSE, files: files(fd(0))},
	{name: "flock", number: unix.SYS_FLOCK, files: files(fd(0))},

	{name: "write", number: unix.SYS_WRITE, files: files(fd(0))},
	{name: "writev", number: unix.SYS_WRITEV, files: files(fd(0))},
	{name: "pwrite64", number: unix.SYS_PWRITE64, files: files(fd(0))},
	{name: "pwritev", number: unix.SYS_PWRITEV, files: files(fd(0))},
	{name: "pwritev2", number: unix.SYS_PWRITEV2, files: files(fd(0))},
	{name: "copy_file_range", number: unix.SYS_COPY_FILE_RANGE, files: files(fd(2))},
	{name: "sendfile", number: unix.SYS_SENDFILE, files: files(fd(0))},
	{name: "splice", number: unix.SYS_SPLICE, files: files(fd(2))},
	{name: "fallocate", number: unix.SYS_FALLOCATE, files: files(fd(0))},
	{name: "truncate", number: unix.SYS_TRUNCATE, files: files(path(0))},
	{name: "ftruncate", number: unix.SYS_FTRUNCATE, files: files(fd(0))},

	{name: "fsync", number: unix.SYS_FSYNC, files: files(fd(0))},
	{name: "fdatasync", number: unix.SYS_FDATASYNC, files: files(fd(0))},
	{name: "syncfs", number: unix.SYS_SYNCFS, files: files(fd(0))},
	{name: "sync_file_range", number: unix.SYS_SYNC_FILE_RANGE, files: files(fd(0))},
	{name: "sync", number: unix.SYS_SYNC},

	{name: "rename", number: unix.SYS_RENAME, files: files(path(0), path(1))},
	{name: "renameat", number: unix.SYS_RENAMEAT, files: files(at(0, 1), at(2, 3))},
	{name: "renameat2", number: unix.SYS_RENAMEAT2, files: files(at(0, 1), at(2, 3))},
	{name: "unlink", number: unix.SYS_UNLINK, files: files(path(0))},
	{name: "unlinkat", number: unix.SYS_UNLINKAT, files: files(at(0, 1))},
	{name: "rmdir", number: unix.SYS_RMDIR, files: files(path(0))},
	{name: "mkdir", number: unix.SYS_MKDIR, files: files(path(0))},
	{name: "mkdirat", number: unix.SYS_MKDIRAT, files: files(at(0, 1))},
	{name: "mknod", number: unix.SYS_MKNOD, files: files(path(0))},
	{name: "mknodat", number: unix.SYS_MKNODAT, files: files(at(0, 1))},
	{name: "link", number: unix.SYS_LINK, files: files(path(0), path(1))},
	{name: "linkat", number: unix.SYS_LINKAT, files: files(at(0, 1), at(2, 3))},
	{name: "symlink", number: unix.SYS_SYMLINK, files: files(path(1))},
	{name: "symlinkat", number: unix.SYS_SYMLINKAT, files: files(at(1, 2))},

	{name: "chmod", number: unix.SYS_CHMOD, files: files(path(0))},
	{name: "fchmod", number: unix.SYS_FCHMOD, files: files(fd(0))},
	{name: "fchmodat", number: unix.SYS_FCHMODAT, files: files(at(0, 1))},
	{name: "fchmodat2", number: unix.SYS_FCHMODAT2, files: files(at(0, 1))},
	{name: "chown", number: unix.SYS_CHOWN, files: files(path(0))},
	{name: "lchown", number: unix.SYS_LCHOWN, files: files(path(0))},
	{name: "fchown", number: unix.SYS_FCHOWN, files: files(fd(0))},
	{name: "fchownat", number: unix.SYS_FCHOWNAT, files: files(at(0, 1))},
	{name: "utime", number: unix.SYS_UTIME, files: files(path(0))},
	{name: "utimes", number: unix.SYS_UTIMES, files: files(path(0))},
	{name: "futimesat", number: unix.SYS_FUTIMESAT, files: files(at(0, 1))},
	{name: "utimensat", number: unix.SYS_UTIMENSAT, files: files(at(0, 1))},
	{name: "setxattr", number: unix.SYS_SETXATTR, files: files(path(0))},
	{name: "lsetxattr", number: unix.SYS_LSETXATTR, files: files(path(0))},
	{name: "fsetxattr", number: unix.SYS_FSETXATTR, files: files(fd(0))},
	{name: "removexattr", number: unix.SYS_REMOVEXATTR, files: files(path(0))},
	{name: "lremovexattr", number: unix.SYS_LREMOVEXATTR, files: files(path(0))},
	{name: "fremovexattr", number: unix.SYS_FREMOVEXATTR, files: files(fd(0))},
	{name: "ioctl", number: unix.SYS_IOCTL, files: files(fd(0))},

	{name: "read", number: unix.SYS_READ, files: files(fd(0)), reads: true},
	{name: "readv", number: unix.SYS_READV, files: files(fd(0)), reads: true},
	{name: "pread64", number: unix.SYS_PREAD64, files: files(fd(0)), reads: true},
	{name: "getdents64", number: unix.SYS_GETDENTS64, files: files(fd(0)), reads: true},
	{name: "fstat", number: unix.SYS_FSTAT, files: files(fd(0)), reads: true},
	{name: "newfstatat", number: unix.SYS_NEWFSTATAT, files: files(at(0, 1)), reads: true},
	{name: "statx", number: unix.SYS_STATX, files: files(at(0, 1)), reads: true},
	{name: "readlinkat", number: unix.SYS_READLINKAT, files: files(at(0, 1)), reads: true},
	{name: "faccessat2", number: unix.SYS_FACCESSAT2, files: files(at(0, 1)), reads: true},
	{name: "flistxattr", number: unix.SYS_FLISTXATTR, files: files(fd(0)), reads: true},
	{name: "fgetxattr", number: unix.SYS_FGETXATTR, files: files(fd(0)), reads: true},
}

// A rule is a call that counts. Of opens, either kind may.
type rule struct {
	call
	writing, reading bool
}

// choose gives the rules by number. The group changes takes, of opens, those
// that may write, and reads the others; one named takes all.
func choose(names []string) (map[uint64]rule, error) {
	rules := map[uint64]rule{}
	for _, name := range names {
		found := false
		for _, c := range table {
			r := rules[c.number]
			r.call = c
			switch {
			case name == c.name:
				r.writing, r.reading = true, true
			case name == "changes" && !c.reads:
				r.writing = true
			case name == "reads" && (c.reads || c.flags > 0):
				r.reading = true
			default:
				continue
			}
			rules[c.number] = r
			found = true
		}
		if !found {
			return nil, fmt.Errorf("no call is called %q", name)
		}
	}
	return rules, nil
}

// counts says whether a call with these arguments is one.
func (r rule) counts(args [6]uint64) bool {
	if r.flags == 0 {
		return true
	}
	const mayWrite = unix.O_WRONLY | unix.O_RDWR | unix.O_CREAT | unix.O_TRUNC
	if args[r.flags-1]&mayWrite != 0 {
		return r.writing
	}
	return r.reading
}
