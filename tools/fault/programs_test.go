//go:build linux && amd64

package main

import (
	"errors"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// The programs that are traced here are this test binary, as TestMain finds the
// name of one in its environment.
var programs = map[string]func() error{
	"replace":   func() error { return everywhere(replace) },
	"in place":  func() error { return everywhere(inPlace) },
	"gap":       func() error { return everywhere(gap) },
	"careless":  func() error { return everywhere(careless) },
	"closes":    closes,
	"preempted": preempted,
	"handler":   handler,
	"dies":      func() error { return errors.Join(syscall.Kill(os.Getpid(), syscall.SIGTERM), block()) },
	"dumpable":  dumpable,
	"places":    places,
	"once":      once,
	"patient":   patient,
}

const chosenBy = "FAULT_TEST_PROGRAM"

func TestMain(m *testing.M) {
	if name := os.Getenv(chosenBy); name != "" {
		if err := programs[name](); err != nil {
			os.Stderr.WriteString(err.Error() + "\n")
			os.Exit(7)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// files of the directory that a program works in, each in a goroutine.
const fileCount = 8

func everywhere(work func(name string) error) error {
	errs := make([]error, fileCount)
	var all sync.WaitGroup
	for i := range errs {
		all.Go(func() { errs[i] = work("file" + strconv.Itoa(i)) })
	}
	all.Wait()
	return errors.Join(errs...)
}

// replace does it right, with callsEach calls.
func replace(name string) error {
	f, err := os.OpenFile(name+".new", os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString("new")
	err = errors.Join(err, f.Sync(), f.Close())
	if err != nil {
		return err
	}
	return os.Rename(name+".new", name)
}

const callsEach = 5

// inPlace leaves a file that is neither old nor new when it is stopped.
func inPlace(name string) error { return os.WriteFile(name, []byte("new"), 0o600) }

// gap leaves no file for a moment.
func gap(name string) error {
	return errors.Join(os.WriteFile(name+".new", []byte("new"), 0o600), os.Remove(name), os.Rename(name+".new", name))
}

// careless does it right, and does not ask whether it went well.
func careless(name string) error {
	replace(name)
	return nil
}

// closes expects its first close to fail, and the descriptor to be free.
func closes() error {
	f, err := os.Open(".")
	if err != nil {
		return err
	}
	fd := f.Fd()
	if err := f.Close(); !errors.Is(err, syscall.EIO) {
		return errors.New("close did not fail")
	}
	if _, err := unix.FcntlInt(fd, unix.F_GETFD, 0); err != unix.EBADF {
		return errors.New("it is still open")
	}
	return nil
}

// preempted ends only if the runtime's own signals arrive.
func preempted() error {
	runtime.GOMAXPROCS(1)
	done := make(chan bool)
	go func() {
		close(done)
	}()
	n := 0
	go func() {
		for {
			n++
		}
	}()
	runtime.Gosched()
	<-done
	runtime.GC()
	return nil
}

// handler ends when it has its own signal.
func handler() error {
	got := make(chan os.Signal, 1)
	signal.Notify(got, syscall.SIGUSR1)
	if err := syscall.Kill(os.Getpid(), syscall.SIGUSR1); err != nil {
		return err
	}
	<-got
	return nil
}

func block() error { select {} }

// dumpable asks to be hidden, then changes a file.
func dumpable() error {
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return err
	}
	wd, err := os.Getwd()
	return errors.Join(err, os.Chmod(filepath.Join(wd, "file0"), 0o640))
}

// places names files in every way there is, and one that is elsewhere.
func places() error {
	var errs []error
	must := func(err error) { errs = append(errs, err) }
	wd, err := os.Getwd()
	must(err)
	must(unix.Mkdir(wd+"/../"+filepath.Base(wd)+"/made", 0o700))
	dir, err := unix.Open("made", unix.O_RDONLY|unix.O_DIRECTORY, 0)
	must(err)
	a, err := unix.Openat(dir, "a", unix.O_WRONLY|unix.O_CREAT, 0o600)
	must(err)
	b, err := unix.Open(wd+"/made/b", unix.O_RDWR|unix.O_CREAT, 0o600)
	must(err)
	elsewhere, err := unix.Open(os.DevNull, unix.O_RDWR, 0)
	must(err)
	must(unix.UtimesNanoAt(a, "", nil, unix.AT_EMPTY_PATH))
	must(unix.Unlinkat(dir, "a", 0))
	_, err = unix.Write(a, []byte("a"))
	must(err)
	_, err = unix.Write(elsewhere, []byte("a"))
	must(err)
	must(unix.Renameat2(dir, "b", unix.AT_FDCWD, "c", unix.RENAME_NOREPLACE))
	must(unix.Symlinkat(os.DevNull, dir, "link"))
	for _, fd := range []int{elsewhere, dir, a, b} {
		must(unix.Close(fd))
	}
	return errors.Join(errs...)
}

// once copies a file with a read and a write, and does not look how much they
// moved.
func once() error {
	from, to, err := open()
	if err != nil {
		return err
	}
	var b [8]byte
	n, err := unix.Read(from, b[:])
	if err != nil {
		return err
	}
	_, err = unix.Write(to, b[:n])
	return errors.Join(err, unix.Ftruncate(to, int64(n)))
}

// patient copies it whole.
func patient() error {
	from, to, err := open()
	if err != nil {
		return err
	}
	again := func(call func() (int, error)) (n int, err error) {
		for n, err = call(); err == unix.EINTR; n, err = call() {
		}
		return n, err
	}
	for {
		var b [8]byte
		n, err := again(func() (int, error) { return unix.Read(from, b[:]) })
		if n == 0 || err != nil {
			return err
		}
		for done := 0; done < n; {
			m, err := again(func() (int, error) { return unix.Write(to, b[done:n]) })
			if err != nil {
				return err
			}
			done += m
		}
	}
}

func open() (from, to int, err error) {
	from, err = unix.Open("file0", unix.O_RDONLY, 0)
	if err == nil {
		to, err = unix.Open("file1", unix.O_WRONLY|unix.O_TRUNC, 0)
	}
	return from, to, err
}
