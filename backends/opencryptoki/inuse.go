package opencryptoki

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"tokar/backends"
)

// defaultBase is where distributions' builds keep tokens; other builds have
// their own prefix before it (LOCALSTATE), and PKCS_APP_STORE in the
// environment replaces it (loadsave.c).
const (
	defaultBase = "/var/lib/opencryptoki"
	baseBelow   = "lib/opencryptoki" // LOCALSTATE
	appStore    = "PKCS_APP_STORE"
	daemonName  = "pkcsslotd"
)

// Home is where programs look for openCryptoki's tokens.
func (Backend) Home() string { return defaultBase }

// procfs and shm are the system's; tests set others.
var (
	procfs = "/proc"
	shm    = "/dev/shm"
)

// place is where a token stands, as those see it who use it.
type place struct {
	base  int      // descriptor of the directory restored into
	parts []string // of the token's name, below it
	paths []string // of the token directory: real, and as named
	locks string   // the directory of all tokens' locks; empty: where the library has it
}

func placeIn(base int, dir string, parts []string) (p place, err error) {
	p = place{base: base, parts: parts}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return p, err
	}
	real, err := filepath.EvalSymlinks(abs)
	if err != nil {
		return p, err
	}
	below := filepath.Join(parts...)
	p.paths = []string{filepath.Join(real, below)}
	for _, other := range []string{abs, defaultBase} {
		path := filepath.Join(other, below)
		if other == defaultBase && !sameDir(base, other) || slices.Contains(p.paths, path) {
			continue
		}
		p.paths = append(p.paths, path)
	}
	return p, nil
}

// inUse names who uses a token, or may begin to at any moment: a running
// pkcsslotd whose base the token lies below, or a process that maps its shared
// memory. It wraps backends.ErrInUse.
func (p place) inUse() error {
	use, err := processes()
	if err != nil {
		return fmt.Errorf("cannot tell whether it is in use: %w", err)
	}
	for _, d := range use.daemons {
		if slices.ContainsFunc(d.bases, p.below) {
			return fmt.Errorf("%w: it lies below the base of %s, which is running as process %d", backends.ErrInUse, daemonName, d.pid)
		}
	}
	if who := p.mappedBy(use); who != "" {
		return fmt.Errorf("%w: its shared memory is mapped by %s", backends.ErrInUse, who)
	}
	return nil
}

// below says whether the token lies below the directory of this inode.
func (p place) below(base fileID) bool {
	for _, up := range []string{".", "..", "../.."} {
		if id, err := idAt(p.base, up); err == nil && id == base {
			return true
		}
	}
	return false
}

// mappedBy names a process that maps the token's shared memory. Where that is
// another user's, whose processes are not for us to see, one may.
func (p place) mappedBy(use *usage) string {
	for _, segment := range p.segments() {
		for name, who := range use.maps {
			if name == segment || len(p.parts) == 1 && p.parts[0] == tpmBase && strings.HasPrefix(name, segment+".") {
				return who
			}
		}
		var st unix.Stat_t
		if use.hidden && unix.Lstat(filepath.Join(shm, segment), &st) == nil && int(st.Uid) != os.Geteuid() {
			return "a program of another user, perhaps (only root can tell)"
		}
	}
	return ""
}

// segments are the names that the token's shared memory may have: the path of
// the token directory, dots for slashes (shared_memory.c).
func (p place) segments() (names []string) {
	for _, path := range p.paths {
		names = append(names, strings.ReplaceAll(strings.TrimPrefix(path, "/"), "/", "."))
	}
	return names
}

// counted names a process that goes on counting objects from the NVTOK.DAT in
// the token's shared memory, whatever the file says: it would give the names of
// restored objects out again, and write over them. It wraps backends.ErrInUse.
func (p place) counted() error {
	use, err := processesNow()
	if err != nil {
		return fmt.Errorf("cannot tell who counts on from it: %w", err)
	}
	if who := p.mappedBy(use); who != "" {
		return fmt.Errorf("%w: %s counts on from the next object's name of today, which a restored object has or comes after; end it first", backends.ErrInUse, who)
	}
	return nil
}

// stale removes the token's shared memory, if it is to, where nobody maps it: a
// new program would still see the list of objects that is in it. It says which
// segment stays, and why.
func (p place) stale(remove bool) (stays string, err error) {
	for _, segment := range p.segments() {
		path := filepath.Join(shm, segment)
		info, err := os.Lstat(path)
		if err != nil || !info.Mode().IsRegular() {
			continue // as with most: no need to look at all processes
		}
		use, err := processesNow()
		if err != nil {
			return "", err
		}
		if who := p.mappedBy(use); who != "" {
			return fmt.Sprintf("%s stays: %s maps it", path, who), nil
		}
		if !remove {
			continue
		}
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return "", err
		}
	}
	return "", nil
}

// usage is what the processes of this system do with openCryptoki.
type usage struct {
	daemons []daemon
	maps    map[string]string // segments in shm, and one process that maps it
	hidden  bool              // some processes' maps are not for us to see
}

type daemon struct {
	pid   int
	bases []fileID
}

type fileID struct{ dev, ino uint64 }

func idAt(dir int, name string) (fileID, error) {
	var st unix.Stat_t
	err := unix.Fstatat(dir, name, &st, 0)
	return fileID{st.Dev, st.Ino}, err
}

func sameDir(dir int, path string) bool {
	a, err := idAt(dir, ".")
	b, err2 := idAt(unix.AT_FDCWD, path)
	return err == nil && err2 == nil && a == b
}

// A look at all processes costs some 10 ms; with many tokens it is good for a
// second.
var lastLook struct {
	sync.Mutex
	at  time.Time
	use *usage
}

func processes() (*usage, error) {
	lastLook.Lock()
	defer lastLook.Unlock()
	if lastLook.use != nil && time.Since(lastLook.at) < time.Second {
		return lastLook.use, nil
	}
	use, err := processesNow()
	if err == nil {
		lastLook.use, lastLook.at = use, time.Now()
	}
	return use, err
}

func processesNow() (*usage, error) {
	entries, err := os.ReadDir(procfs)
	if err != nil {
		return nil, err
	}
	use := &usage{maps: map[string]string{}}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		use.look(pid)
	}
	return use, nil
}

func (u *usage) look(pid int) {
	dir := filepath.Join(procfs, strconv.Itoa(pid))
	line, err := os.ReadFile(filepath.Join(dir, "cmdline"))
	if err != nil {
		return // it has just ended
	}
	program, _, _ := bytes.Cut(line, []byte{0})
	if bytes.Contains(program, []byte(daemonName)) {
		u.daemons = append(u.daemons, daemon{pid, bases(dir)})
	}
	maps, err := os.Open(filepath.Join(dir, "maps"))
	u.hidden = u.hidden || errors.Is(err, os.ErrPermission)
	if err != nil {
		return
	}
	defer maps.Close()
	for lines := bufio.NewScanner(maps); lines.Scan(); {
		_, path, found := strings.Cut(lines.Text(), " /dev/shm/")
		if path = strings.TrimSuffix(path, " (deleted)"); found && u.maps[path] == "" {
			u.maps[path] = fmt.Sprintf("process %d (%s)", pid, commOf(dir))
		}
	}
}

// bases are the directories that may be a daemon's base, as it sees them: in a
// container they are others than here.
func bases(proc string) (ids []fileID) {
	root := filepath.Join(proc, "root")
	if _, err := os.Stat(root); err != nil {
		root = "/" // not ours to look into
	}
	paths := []string{defaultBase}
	if exe, err := os.Readlink(filepath.Join(proc, "exe")); err == nil {
		prefix := filepath.Dir(filepath.Dir(exe))
		paths = append(paths, filepath.Join(prefix, "var", baseBelow))
	}
	if environ, err := os.ReadFile(filepath.Join(proc, "environ")); err == nil {
		for v := range strings.SplitSeq(string(environ), "\x00") {
			if path, ok := strings.CutPrefix(v, appStore+"="); ok {
				paths = append(paths, path)
			}
		}
	}
	for _, p := range paths {
		if id, err := idAt(unix.AT_FDCWD, filepath.Join(root, p)); err == nil {
			ids = append(ids, id)
		}
	}
	return ids
}

func commOf(proc string) string {
	name, _ := os.ReadFile(filepath.Join(proc, "comm"))
	return strings.TrimSpace(string(name))
}
