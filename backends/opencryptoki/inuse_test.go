package opencryptoki

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tokar/backends"
	"tokar/backends/opencryptoki/tokendata"
	"tokar/format"
)

// aSystem gives the test processes and shared memory of its own.
func aSystem(t *testing.T) {
	t.Helper()
	was, wasShm, wasLocks := procfs, shm, defaultLocks
	procfs, shm, defaultLocks = t.TempDir(), t.TempDir(), t.TempDir()
	lastLook.use = nil
	t.Cleanup(func() { procfs, shm, defaultLocks, lastLook.use = was, wasShm, wasLocks, nil })
}

// process makes one: its command line, environment, root and mapped files.
func process(t *testing.T, pid, command, environ, root string, maps ...string) {
	t.Helper()
	dir := filepath.Join(procfs, pid)
	check(t, os.Mkdir(dir, 0o755))
	write := func(name, content string) { check(t, os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600)) }
	write("cmdline", strings.ReplaceAll(command, " ", "\x00"))
	write("comm", filepath.Base(strings.Fields(command)[0])+"\n")
	write("environ", "PATH=/bin\x00"+environ)
	var b strings.Builder
	for _, m := range maps {
		b.WriteString("7f0000000000-7f0000001000 rw-s 00000000 00:17 42                         " + m + "\n")
	}
	write("maps", b.String())
	check(t, os.Symlink(root, filepath.Join(dir, "root")))
	check(t, os.Symlink("/usr/sbin/"+filepath.Base(strings.Fields(command)[0]), filepath.Join(dir, "exe")))
	lastLook.use = nil
}

func TestInUse(t *testing.T) {
	const tok = fixtureDir + "/swtok-old-small"
	info, records := readToken(t, tok)
	segmentOf := func(base string) string {
		return strings.ReplaceAll(strings.TrimPrefix(base, "/"), "/", ".") + ".swtok"
	}
	whole := backends.RestoreOptions{Whole: true}
	for _, c := range []struct {
		name    string
		there   bool
		process func(t *testing.T, base string)
		o       backends.RestoreOptions
		busy    string
		found   string
		stays   bool // the segment
	}{
		{"nobody", true, func(*testing.T, string) {}, whole, "", "", false},
		{"nobody, nothing there", false, func(*testing.T, string) {}, whole, "", "", false},
		{"daemon elsewhere", true, func(t *testing.T, base string) {
			process(t, "17", "/usr/sbin/pkcsslotd", "PKCS_APP_STORE="+t.TempDir(), "/")
		}, whole, "", "", false},
		{"daemon", true, func(t *testing.T, base string) {
			process(t, "17", "/usr/sbin/pkcsslotd", "PKCS_APP_STORE="+base, "/")
		}, whole, "which is running as process 17", "", true},
		{"daemon, nothing there", false, func(t *testing.T, base string) {
			process(t, "17", "/usr/sbin/pkcsslotd", "PKCS_APP_STORE="+base, "/")
		}, whole, "which is running as process 17", "", true},
		{"daemon in a container", true, func(t *testing.T, base string) {
			root := t.TempDir()
			check(t, os.MkdirAll(root+"/var/lib", 0o755))
			check(t, os.Symlink(base, root+defaultBase)) // stands for a bind mount
			process(t, "17", "pkcsslotd", "", root)
		}, whole, "which is running as process 17", "", true},
		{"mapped", true, func(t *testing.T, base string) {
			process(t, "23", "/usr/bin/apache2 -k start", "", "/", "/dev/shm/"+segmentOf(base))
		}, whole, "its shared memory is mapped by process 23 (apache2)", "", true},
		{"mapped and deleted", true, func(t *testing.T, base string) {
			process(t, "23", "apache2", "", "/", "/dev/shm/"+segmentOf(base)+" (deleted)")
		}, whole, "its shared memory is mapped by process 23 (apache2)", "", true},
		{"another's mapped", true, func(t *testing.T, base string) {
			process(t, "23", "apache2", "", "/", "/dev/shm/"+segmentOf(base)+"2")
		}, whole, "", "", false},
		{"whole, in use all the same", true, func(t *testing.T, base string) {
			process(t, "17", "pkcsslotd", "PKCS_APP_STORE="+base, "/")
		}, backends.RestoreOptions{Whole: true, InUse: true}, "which is running as process 17", "", true},
		{"one object, daemon", true, func(t *testing.T, base string) {
			process(t, "17", "pkcsslotd", "PKCS_APP_STORE="+base, "/")
		}, backends.RestoreOptions{}, "which is running as process 17", "", true},
		{"one object, daemon, in use", true, func(t *testing.T, base string) {
			process(t, "17", "pkcsslotd", "PKCS_APP_STORE="+base, "/")
		}, backends.RestoreOptions{InUse: true}, "", "", false},
		{"one object, mapped, in use", true, func(t *testing.T, base string) {
			process(t, "23", "apache2", "", "/", "/dev/shm/"+segmentOf(base))
		}, backends.RestoreOptions{InUse: true}, "", Segment, true},
		{"one object, mapped, in use, next name behind", true, func(t *testing.T, base string) {
			process(t, "23", "apache2", "", "/", "/dev/shm/"+segmentOf(base))
			rewrite(t, base+"/swtok/NVTOK.DAT", func(b []byte) []byte { copy(b[tokendata.AtNextName:], "00000000"); return b })
		}, backends.RestoreOptions{InUse: true}, "process 23 (apache2) counts on from", "", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			aSystem(t)
			base := stand(t, tok)
			check(t, os.Remove(base+"/swtok/TOK_OBJ/"+single))
			if !c.there {
				check(t, os.RemoveAll(base+"/swtok"))
			}
			segment := filepath.Join(shm, segmentOf(base))
			check(t, os.WriteFile(segment, []byte("stale"), 0o600))
			c.process(t, base)
			before := files(t, base)
			info.Name = format.NameOf("swtok")
			dry := c.o
			dry.DryRun = true
			would, _, refused := put(t, base, info, records, dry)
			found, _, err := put(t, base, info, records, c.o)
			if errors.Is(refused, backends.ErrInUse) != errors.Is(err, backends.ErrInUse) || count(would, Segment) != count(found, Segment) {
				t.Errorf("a dry run: %v, %v", refused, would)
			}
			switch {
			case c.busy == "":
				check(t, err)
			case !errors.Is(err, backends.ErrInUse) || !strings.Contains(err.Error(), c.busy):
				t.Errorf("%v, want %q", err, c.busy)
			case len(files(t, base)) != len(before):
				t.Error("something changed")
			}
			if count(found, Segment) != strings.Count(c.found, Segment) {
				t.Errorf("findings %v", found)
			}
			if _, err := os.Stat(segment); (err == nil) != c.stays {
				t.Errorf("the segment: %v", err)
			}
		})
	}
}

// Somebody begins to use the token while it is restored.
func TestInUseMeanwhile(t *testing.T) {
	aSystem(t)
	info, records := readToken(t, fixtureDir+"/swtok-old-small")
	info.Name = format.NameOf("swtok")
	base := stand(t, fixtureDir+"/swtok-old-small")
	ctx := context.Background()
	s, err := Backend{}.Restore(ctx, base, info, backends.RestoreOptions{Whole: true})
	check(t, err)
	check(t, s.Put(ctx, records))
	for _, r := range records {
		check(t, s.Order(r, false))
	}
	_, err = s.Finish(ctx)
	check(t, err)
	process(t, "17", "pkcsslotd", "PKCS_APP_STORE="+base, "/")
	before := files(t, base+"/swtok")
	if _, err := s.Commit(ctx); !errors.Is(err, backends.ErrInUse) {
		t.Error(err)
	}
	check(t, os.RemoveAll(filepath.Join(procfs, "17")))
	lastLook.use = nil
	rewrite(t, base+"/swtok/NVTOK.DAT", func(b []byte) []byte { b[0] = 'x'; return b })
	if _, err := s.Commit(ctx); !errors.Is(err, backends.ErrInUse) || !strings.Contains(err.Error(), "it changed meanwhile") {
		t.Error(err)
	}
	check(t, s.Close())
	if got := list(t, base); len(got) != 1 || len(files(t, base+"/swtok")) != len(before) {
		t.Errorf("left: %q", got)
	}
}

// The library writes NVTOK.DAT in place, under the token's lock: half of it is
// no reason to refuse.
func TestReadUnderLock(t *testing.T) {
	aSystem(t)
	info, records := readToken(t, fixtureDir+"/swtok-old-small")
	info.Name = format.NameOf("swtok")
	base := stand(t, fixtureDir+"/swtok-old-small")
	check(t, os.RemoveAll(base+"/swtok/TOK_OBJ")) // an object in common would tell as well
	process(t, "17", "pkcsslotd", "PKCS_APP_STORE="+base, "/")
	check(t, os.Mkdir(defaultLocks+"/swtok", 0o755))
	lock, err := os.Create(defaultLocks + "/swtok/LCK..swtok")
	check(t, err)
	check(t, unix.Flock(int(lock.Fd()), unix.LOCK_EX))
	nvtok := read(t, base+"/swtok", nvtokName)
	check(t, os.Truncate(base+"/swtok/NVTOK.DAT", 0))
	written := make(chan error)
	go func() {
		time.Sleep(50 * time.Millisecond)
		err := os.WriteFile(base+"/swtok/NVTOK.DAT", nvtok, 0o600)
		written <- errors.Join(err, lock.Close())
	}()
	_, _, err = put(t, base, info, records, backends.RestoreOptions{InUse: true})
	check(t, errors.Join(err, <-written))
}

// The token's lock is waited for, and held while directories are swapped.
func TestTokenLock(t *testing.T) {
	aSystem(t)
	base := t.TempDir()
	fd, err := unix.Open(base, unix.O_RDONLY, 0)
	check(t, err)
	defer unix.Close(fd)
	p, err := placeIn(fd, base, []string{"swtok"})
	check(t, err)
	if file := p.lockFile(); file != "" {
		t.Errorf("a directory that no library uses has the lock %s", file)
	}
	process(t, "17", "pkcsslotd", "PKCS_APP_STORE="+base, "/")
	for _, c := range []struct{ dir, file string }{
		{base, defaultLocks + "/swtok/LCK..swtok"},
		{"", ""},
	} {
		if c.dir == "" { // LOCALSTATE of another prefix
			prefix := t.TempDir()
			c.dir, c.file = prefix+"/"+baseBelow, prefix+"/lock/opencryptoki/swtok/LCK..swtok"
			check(t, os.MkdirAll(c.dir, 0o755))
		}
		p, err := placeIn(fd, c.dir, []string{"swtok"})
		check(t, err)
		unlock, err := p.lock(t.Context())
		check(t, err) // nobody used it yet
		unlock()
		check(t, os.MkdirAll(filepath.Dir(c.file), 0o755))
		check(t, os.WriteFile(c.file, nil, 0o440))
		unlock, err = p.lock(t.Context())
		check(t, err)
		other, err := os.Open(c.file)
		check(t, err)
		if err := unix.Flock(int(other.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != unix.EWOULDBLOCK {
			t.Errorf("%s is not locked: %v", c.file, err)
		}
		unlock()
		check(t, unix.Flock(int(other.Fd()), unix.LOCK_EX|unix.LOCK_NB))
		stopped, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := p.lock(stopped); !errors.Is(err, context.Canceled) {
			t.Errorf("a lock that another holds: %v", err)
		}
		other.Close()
	}
	p = place{parts: []string{"tpm", "alice"}, paths: []string{"/x/lib/opencryptoki/tpm/alice"}}
	if got := p.lockFile(); got != "/x/lock/opencryptoki/tpm/alice/LCK..tpm" {
		t.Error(got)
	}
}
