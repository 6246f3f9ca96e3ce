package main_test

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// outputFaults are what befalls calls that write an archive.
var outputFaults = []fault{
	{"changes", unix.EIO, false, 1},
	{"changes", unix.ENOSPC, false, 1},
	{"changes", unix.EIO, true, 1},
	{"changes", unix.ENOSPC, true, 1},
	{"changes", unix.EDQUOT, false, 1},
	{"changes", unix.EROFS, true, 1},
	{"changes", unix.EACCES, false, 1},
	{"openat,open", unix.EMFILE, false, 1},
}

// spared are calls without which an archive is whole all the same, and has its
// name.
const spared = "close,flock,unlinkat,unlink,openat"

// TestOutputFails makes calls on the archive in the making fail. There is then
// no archive, and no run says that there is; one that stood there stands there.
func TestOutputFails(t *testing.T) {
	if testing.Short() {
		t.Skip("runs a tokar of its own, so that -short has nothing new")
	}
	r := newRig(t)
	for _, over := range []bool{false, true} {
		t.Run(fmt.Sprintf("over %v", over), func(t *testing.T) {
			t.Parallel()
			s := newSource(t, r, "swtok")
			home := quickDir(t)
			s.archive = filepath.Join(home, "archive")
			var old []byte
			if over {
				s.must(t, "create", "-q", "-R", s.key+".pub", "-f", s.archive, s.dir)
				old, _ = os.ReadFile(s.archive)
			}
			points := 0
			for _, f := range outputFaults {
				for n := 1; ; n++ {
					if old != nil {
						if err := os.WriteFile(s.archive, old, 0o600); err != nil {
							t.Fatal(err)
						}
					} else {
						os.Remove(s.archive)
					}
					plan := at(n, "-calls", f.calls, "-fail", unix.ErrnoName(f.errno))
					if f.ever {
						plan = append(plan, "-ever")
					}
					o := s.run(t, home, plan, "create", "-R", s.key+".pub", "-f", s.archive, s.dir)
					if err := s.outputIs(t, o, old, f); err != nil {
						t.Errorf("%s (ever: %v) at %d, %s %s: %v\nexit code %d: %s", unix.ErrnoName(f.errno), f.ever, n, o.Call, o.Path, err, o.Exit, o.stderr)
					}
					if !o.Fired {
						break
					}
					points++
				}
			}
			t.Logf("counted: output failed at %d points", points)
			if points < 60 {
				t.Error("too few")
			}
		})
	}
}

// outputIs judges what stands at the archive's name.
func (s *source) outputIs(t *testing.T, o outcome, old []byte, f fault) error {
	t.Helper()
	now, err := os.ReadFile(s.archive)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(filepath.Dir(s.archive))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Name() == filepath.Base(s.archive) {
			continue
		}
		if unlinks := strings.HasPrefix(o.Call, "unlink") || f.ever && strings.Contains(f.calls, "changes"); !unlinks {
			return fmt.Errorf("%s is left", e.Name())
		}
		os.Remove(filepath.Join(filepath.Dir(s.archive), e.Name()))
	}
	switch {
	case o.Exit == 0 && o.Fired && !slices.Contains(strings.Split(spared, ","), o.Call):
		return fmt.Errorf("exit code 0")
	case o.Exit == 0:
		return s.lies(t, o)
	case o.Exit == 4 && f.ever && o.Call == "fsync":
		// It could not be taken back, either.
		if !strings.Contains(o.stderr, "is new and whole, and a loss of power may undo that") {
			return fmt.Errorf("it is not told what stands there")
		}
		return s.lies(t, outcome{stderr: o.stderr})
	case o.Exit != 3:
		return fmt.Errorf("another exit code than 3")
	case !bytes.Equal(now, old):
		return fmt.Errorf("it failed, and another archive stands there")
	case !strings.Contains(o.stderr, f.errno.Error()):
		return fmt.Errorf("the cause is not told")
	}
	return nil
}

// TestPipeFails makes each write into a pipe fail, or lets its reader leave: no
// run says that it is done.
func TestPipeFails(t *testing.T) {
	if testing.Short() {
		t.Skip("runs a tokar of its own, so that -short has nothing new")
	}
	r := newRig(t)
	s := newSource(t, r, "swtok")
	home := quickDir(t)
	fifo := filepath.Join(home, "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	points := 0
	for _, errno := range []unix.Errno{unix.EIO, unix.ENOSPC, unix.EPIPE} {
		for _, ever := range []bool{false, true} {
			for n := 1; ; n++ {
				reader, err := os.OpenFile(fifo, os.O_RDWR, 0) // so that open does not wait
				if err != nil {
					t.Fatal(err)
				}
				drained := make(chan bool)
				go func() {
					io.Copy(io.Discard, reader)
					close(drained)
				}()
				plan := at(n, "-calls", "write,writev,splice,close", "-fail", unix.ErrnoName(errno))
				if ever {
					plan = append(plan, "-ever")
				}
				o := s.run(t, home, plan, "create", "-R", s.key+".pub", "-f", fifo, s.dir)
				reader.Close()
				<-drained
				if !o.Fired {
					break
				}
				points++
				if left := errno == unix.EPIPE && o.Signal == int(unix.SIGPIPE); !left && o.Exit != 3 {
					t.Errorf("%s (ever: %v) at %d, %s: exit code %d: %s", unix.ErrnoName(errno), ever, n, o.Call, o.Exit, o.stderr)
				}
			}
		}
	}
	t.Logf("counted: a pipe failed at %d points", points)
	if points < 20 {
		t.Error("too few")
	}
}

// TestFullDisk archives onto a disk that is too small by any number of pages.
func TestFullDisk(t *testing.T) {
	if testing.Short() {
		t.Skip("runs a tokar of its own, so that -short has nothing new")
	}
	r := newRig(t)
	source := filepath.Join(t.TempDir(), "swtok")
	place(t, restored["swtok"], source)
	disk := t.TempDir()
	full := 0
	for pages := 1; ; pages++ {
		script := fmt.Sprintf(`mount -t tmpfs -o size=%d none "$0" && cd "$0" || exit 99
			"$@"; code=$?; [ "$(ls -A)" = "" ] || echo there; exit $code`, pages*os.Getpagesize())
		cmd := exec.Command("sh", "-c", script, disk, r.tokar, "create", "-q", "-R", r.key+".pub", "-f", "archive", source)
		cmd.SysProcAttr = &unix.SysProcAttr{Unshareflags: unix.CLONE_NEWNS}
		out, err := cmd.CombinedOutput()
		if cmd.ProcessState == nil || cmd.ProcessState.ExitCode() == 99 {
			t.Skipf("nothing can be mounted: %v: %s", err, out)
		}
		there := strings.HasSuffix(string(out), "there\n")
		switch code := cmd.ProcessState.ExitCode(); {
		case code == 0 && there:
			t.Logf("counted: %d disks were full", full)
			if full < 3 {
				t.Error("too few")
			}
			return
		case code != 3 || there || !strings.Contains(string(out), "no space left"):
			t.Fatalf("%d pages: exit code %d: %s", pages, code, out)
		}
		full++
	}
}
