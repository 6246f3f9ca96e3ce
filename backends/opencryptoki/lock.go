package opencryptoki

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"tokar/backends"
)

// The library locks a token (flock) while it reads or writes its objects and
// NVTOK.DAT (utility.c, slotmgr.h): LOCALSTATE/lock/opencryptoki/NAME/LCK..NAME,
// made at the token's first use; of TPM tokens tpm/USER/LCK..tpm.
var defaultLocks = "/var/lock/opencryptoki"

const lockWait = 10 * time.Second

// lock takes the token's lock. Where there is no lock file no library has used
// the token since the system started, and there is nothing to take.
func (p place) lock(ctx context.Context) (unlock func(), err error) {
	path := p.lockFile()
	if path == "" {
		return func() {}, nil
	}
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ENOENT) {
		return func() {}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot take the token's lock %s: %w", path, err)
	}
	for start := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		err = unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return func() { unix.Close(fd) }, nil
		}
		if err == unix.EWOULDBLOCK && time.Since(start) > lockWait {
			err = fmt.Errorf("another program holds the token's lock %s: %w", path, backends.ErrInUse)
		}
		if err != unix.EWOULDBLOCK && err != unix.EINTR || ctx.Err() != nil {
			unix.Close(fd)
			return nil, errors.Join(ctx.Err(), err)
		}
	}
}

// lockFile is the token's lock; none for a directory that no library uses.
func (p place) lockFile() string {
	up := len(p.parts)
	for _, path := range p.paths {
		base := filepath.Join(path, strings.Repeat("../", up))
		if prefix, ok := strings.CutSuffix(base, "/"+baseBelow); ok {
			return p.lockBelow(filepath.Join(prefix, "lock", filepath.Base(baseBelow)))
		}
	}
	if use, err := processes(); err == nil && slices.ContainsFunc(use.daemons, func(d daemon) bool { return slices.ContainsFunc(d.bases, p.below) }) {
		return p.lockBelow(defaultLocks) // PKCS_APP_STORE moves tokens, not locks
	}
	return ""
}

func (p place) lockBelow(locks string) string {
	return filepath.Join(append(append([]string{locks}, p.parts...), "LCK.."+p.parts[0])...)
}
