package opencryptoki

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"tokar/backends"
)

// The library locks a token (flock) while it reads or writes its objects and
// NVTOK.DAT (utility.c, slotmgr.h): LOCALSTATE/lock/opencryptoki/NAME/LCK..NAME,
// made at the token's first use; of TPM tokens tpm/USER/LCK..tpm.
var defaultLocks = "/var/lock/opencryptoki"

// lockWait is how long a lock is waited for that another program holds.
var lockWait = 10 * time.Second

const (
	lockPrefix = "LCK.."
	maxLocks   = 256 // of users who share one TPM token
)

// lock takes the token's lock for a change. Where there is no lock file no
// library has used the token since the system started, and there is nothing to
// take. It wraps backends.ErrInUse where another program holds it.
func (p place) lock(ctx context.Context) (unlock func(), err error) {
	l, err := p.openLocks()
	if err != nil {
		return nil, err
	}
	if err = l.take(ctx, unix.LOCK_EX); errors.Is(err, backends.ErrLocked) {
		err = fmt.Errorf("%w: %w", backends.ErrInUse, err)
	}
	if err != nil {
		l.close()
		return nil, err
	}
	return l.close, nil
}

// lockFile is the token's lock; none for a directory that no library uses.
func (p place) lockFile() string {
	if p.locks != "" {
		return p.lockBelow(p.locks)
	}
	up := len(p.parts)
	for _, path := range p.paths {
		base := filepath.Join(path, strings.Repeat("../", up))
		if prefix, ok := strings.CutSuffix(base, "/"+baseBelow); ok {
			return p.lockBelow(filepath.Join(prefix, "lock", filepath.Base(baseBelow)))
		}
	}
	// PKCS_APP_STORE moves tokens, not locks. To look at all processes costs
	// more than to read a small token: first whether there is such a lock.
	path := p.lockBelow(defaultLocks)
	if _, err := os.Lstat(filepath.Dir(path)); err != nil {
		return ""
	}
	if use, err := processes(); err == nil && slices.ContainsFunc(use.daemons, func(d daemon) bool { return slices.ContainsFunc(d.bases, p.below) }) {
		return path
	}
	return ""
}

func (p place) lockBelow(locks string) string {
	return filepath.Join(append(append([]string{locks}, p.parts...), lockPrefix+p.parts[0])...)
}

// lockFiles are the token's locks: one, but for the TPM token of releases 3.8 to
// 3.11, which stands in tpm itself and has a lock for each user.
func (p place) lockFiles() []string {
	path := p.lockFile()
	if path == "" || len(p.parts) > 1 || p.parts[0] != tpmBase {
		return slices.DeleteFunc([]string{path}, func(s string) bool { return s == "" })
	}
	paths := []string{path}
	users, _ := os.ReadDir(filepath.Dir(path)) // where there is none, no lock is
	for _, u := range users[:min(len(users), maxLocks)] {
		if u.IsDir() {
			paths = append(paths, filepath.Join(filepath.Dir(path), u.Name(), lockPrefix+tpmBase))
		}
	}
	return paths
}

// unlocked is what to say where the operator said where the locks are and the
// token has none there; else empty.
func (p place) unlocked() string {
	if p.locks == "" || slices.ContainsFunc(p.lockFiles(), isThere) {
		return ""
	}
	return p.lockFile() + " does not exist, so no lock is taken; if programs use the token, its lock is elsewhere: --lock-dir DIR is the directory above " +
		filepath.Join(append(slices.Clone(p.parts), lockPrefix+p.parts[0])...)
}

// locks are a token's lock files, open.
type locks []lockFile

type lockFile struct {
	path string
	fd   int
}

// openLocks opens those that are there.
func (p place) openLocks() (l locks, err error) {
	for _, path := range p.lockFiles() {
		fd, err := openLock(path)
		if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) {
			continue
		}
		if err != nil {
			l.close()
			return nil, fmt.Errorf("cannot open the token's lock %s: %w", path, err)
		}
		l = append(l, lockFile{path, fd})
	}
	return l, nil
}

func openLock(path string) (fd int, err error) {
	for {
		fd, err = unix.Open(path, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
		if err != unix.EINTR {
			return fd, err
		}
	}
}

// take locks all of them, LOCK_SH or LOCK_EX, and waits for each no longer than
// lockWait. It wraps backends.ErrLocked where another program does not give one
// back. On an error none is held.
func (l locks) take(ctx context.Context, how int) error {
	for _, f := range l {
		if err := f.take(ctx, how); err != nil {
			l.release()
			return err
		}
	}
	return nil
}

func (f lockFile) take(ctx context.Context, how int) error {
	pause := time.Millisecond
	for start := time.Now(); ; {
		err := unix.Flock(f.fd, how|unix.LOCK_NB)
		switch {
		case err == nil:
			return nil
		case err == unix.EINTR:
			pause = 0
		case err != unix.EWOULDBLOCK:
			return fmt.Errorf("cannot take the token's lock %s: %w", f.path, err)
		case time.Since(start) > lockWait:
			return fmt.Errorf("%w: %s has held its lock %s for %s", backends.ErrLocked, f.holder(), f.path, lockWait)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
		pause = min(2*pause+time.Millisecond, 10*time.Millisecond)
	}
}

// holder names who holds a lock, as far as the kernel tells it: /proc/locks has
// lines such as
//
//	3: FLOCK  ADVISORY  WRITE 4711 fd:01:1234 0 EOF
//
// with the process that took it, which may have ended and left the lock to its
// children.
func (f lockFile) holder() string {
	const unknown = "another program"
	var st unix.Stat_t
	list, err := os.Open(filepath.Join(procfs, "locks"))
	if err != nil || unix.Fstat(f.fd, &st) != nil {
		return unknown
	}
	defer list.Close()
	file := fmt.Sprintf("%02x:%02x:%d", unix.Major(st.Dev), unix.Minor(st.Dev), st.Ino)
	for lines := bufio.NewScanner(list); lines.Scan(); {
		words := strings.Fields(lines.Text())
		if len(words) < 6 || words[1] != "FLOCK" || words[5] != file {
			continue
		}
		pid, err := strconv.Atoi(words[4])
		if name := commOf(filepath.Join(procfs, words[4])); err == nil && pid > 0 && name != "" {
			return fmt.Sprintf("process %d (%s)", pid, name)
		}
	}
	return unknown
}

// release gives all of them back.
func (l locks) release() {
	for _, f := range l {
		unix.Flock(f.fd, unix.LOCK_UN)
	}
}

func (l locks) close() {
	for _, f := range l {
		unix.Close(f.fd)
	}
}
