package commands

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// begin makes a directory with a token and a key, and gives a way to run
// tokar in it.
func begin(t *testing.T) (dir string, tokar func(args ...string) *exec.Cmd) {
	t.Helper()
	heed()
	dir = t.TempDir()
	if err := copyToken(filepath.Join(fixtures, "swtok-old-small"), filepath.Join(dir, "swtok")); err != nil {
		t.Fatal(err)
	}
	tokar = func(args ...string) *exec.Cmd {
		c := exec.Command("tokar", args...)
		c.Dir = dir
		c.Env = append(os.Environ(), "TOKAR_IDENTITY=", "TOKAR_RECIPIENTS_FILE=")
		return c
	}
	runOK(t, tokar("keygen", "--x25519", "-o", "a.key"))
	runOK(t, tokar("create", "-R", "a.key.pub", "-f", "a.tokar", "swtok"))
	return dir, tokar
}

// heed makes what the tests start obey signals that the tests themselves were
// told to ignore, as by nohup: what is caught here is as usual there.
var heed = sync.OnceFunc(func() {
	for _, sig := range []os.Signal{unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGTERM} {
		if signal.Ignored(sig) {
			signal.Notify(make(chan os.Signal, 1), sig)
		}
	}
})

func runOK(t *testing.T, c *exec.Cmd) {
	t.Helper()
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%q: %v\n%s", c.Args, err, out)
	}
}

// hang is more than anything here takes.
const hang = 20 * time.Second

// A signal that was ignored when tokar began, as nohup does, stays ignored.
func TestIgnoredSignal(t *testing.T) {
	dir, tokar := begin(t)
	c := tokar()
	c.Path, c.Args = "/bin/sh", []string{"sh", "-c", "trap '' HUP INT; exec tokar list -i a.key"}
	stdin, err := c.StdinPipe()
	must(t, err)
	var out bytes.Buffer
	c.Stdout = &out
	must(t, c.Start())
	time.Sleep(300 * time.Millisecond)
	must(t, c.Process.Signal(unix.SIGHUP))
	must(t, c.Process.Signal(unix.SIGINT))
	archive, err := os.ReadFile(filepath.Join(dir, "a.tokar"))
	must(t, err)
	stdin.Write(archive)
	stdin.Close()
	if err := c.Wait(); err != nil || !bytes.Contains(out.Bytes(), []byte("swtok/NVTOK.DAT")) {
		t.Fatalf("%v\n%s", err, out.String())
	}
}

// create, list, cat and rekey die quietly when their reader goes; extract goes on.
func TestBrokenPipe(t *testing.T) {
	dir, tokar := begin(t)
	for _, args := range [][]string{
		{"create", "-R", "a.key.pub", "swtok"},
		{"create", "-v", "-R", "a.key.pub", "-f", "out/b.tokar", "swtok"},
		{"list", "-i", "a.key", "-f", "a.tokar"},
		{"list", "--json", "-i", "a.key", "-f", "a.tokar"},
		{"cat", "-i", "a.key", "-f", "a.tokar", "swtok/10000000"},
		{"rekey", "-i", "a.key", "-R", "a.key.pub", "-f", "a.tokar", "-o", "-"},
		{"rekey", "-v", "-i", "a.key", "-R", "a.key.pub", "-f", "a.tokar", "-o", "out/b.tokar"},
	} {
		os.Mkdir(filepath.Join(dir, "out"), 0o700)
		c := tokar(args...)
		var said bytes.Buffer
		c.Stdout, c.Stderr = closedPipe(t), &said
		err := c.Run()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != unix.SIGPIPE || said.Len() > 0 {
			t.Errorf("%q: %v, want to die of SIGPIPE, quietly\n%s", args, err, said.String())
		}
		empty(t, filepath.Join(dir, "out"))
	}
	c := tokar("extract", "-v", "-i", "a.key", "-f", "a.tokar", "-C", "out")
	c.Stdout, c.Stderr = closedPipe(t), closedPipe(t)
	if err := c.Run(); err != nil {
		t.Errorf("extract: %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "out/swtok/NVTOK.DAT")); err != nil {
		t.Error(err)
	}
}

// closedPipe is a pipe that nobody reads.
func closedPipe(t *testing.T) *os.File {
	r, w, err := os.Pipe()
	must(t, err)
	r.Close()
	t.Cleanup(func() { w.Close() })
	return w
}

// What a killed run left is removed by the next, but not what a live one
// writes.
func TestSweep(t *testing.T) {
	dir, tokar := begin(t)
	old := time.Now().Add(-time.Hour)
	for _, name := range []string{".a.tokar.part-1", ".a.tokar.part-2"} {
		path := filepath.Join(dir, name)
		must(t, os.WriteFile(path, nil, 0o600))
		must(t, os.Chtimes(path, old, old))
	}
	live, err := os.Open(filepath.Join(dir, ".a.tokar.part-2"))
	must(t, err)
	defer live.Close()
	must(t, unix.Flock(int(live.Fd()), unix.LOCK_EX))
	runOK(t, tokar("create", "-R", "a.key.pub", "-f", "a.tokar", "swtok"))
	left, _ := filepath.Glob(filepath.Join(dir, ".a.tokar.part-*"))
	if len(left) != 1 || filepath.Base(left[0]) != ".a.tokar.part-2" {
		t.Errorf("left: %q", left)
	}
}

// Two runs of one process number, as in containers that share a directory or
// one that restarts after a kill, do not meet in the name of the file in the
// making.
func TestSameProcessNumber(t *testing.T) {
	s := &session{signals: &signals{}}
	path := filepath.Join(t.TempDir(), "a.tokar")
	for range 2 {
		out, err := s.create(path, archiveOutput(false))
		must(t, err)
		defer out.abandon()
	}
}

// USR1 asks how far a run is, and does not disturb it: not with -q either,
// since somebody asked; with JSON the answer is JSON.
func TestProgress(t *testing.T) {
	dir, tokar := begin(t)
	archive, err := os.ReadFile(filepath.Join(dir, "a.tokar"))
	must(t, err)
	for flag, want := range map[string]string{
		"-v":          `(?m)^tokar: verify: 2\d entries, 20\.\d KiB, .*/s$`,
		"-q":          `^tokar: verify: 2\d entries, 20\.\d KiB, .*/s\n$`,
		"--json-fd=2": `(?m)^{"type":"progress","v":1,"entries":2\d,"bytes":20\d\d\d}$`,
	} {
		c := tokar("verify", "-i", "a.key", flag)
		stdin, err := c.StdinPipe()
		must(t, err)
		said := &awaiting{word: "entries", came: make(chan struct{})}
		c.Stderr = said
		must(t, c.Start())
		stdin.Write(archive[:len(archive)-1])
		time.Sleep(300 * time.Millisecond)
		must(t, c.Process.Signal(unix.SIGUSR1))
		select {
		case <-said.came:
		case <-time.After(hang):
			t.Errorf("%s: no answer", flag)
		}
		stdin.Write(archive[len(archive)-1:])
		stdin.Close()
		must(t, c.Wait())
		if !regexp.MustCompile(want).Match(said.got) {
			t.Errorf("%s: %s", flag, said.got)
		}
	}
}

// awaiting keeps what is written, and tells when a word has come.
type awaiting struct {
	got  []byte
	word string
	came chan struct{}
	once sync.Once
}

func (a *awaiting) Write(p []byte) (int, error) {
	a.got = append(a.got, p...)
	if bytes.Contains(a.got, []byte(a.word)) {
		a.once.Do(func() { close(a.came) })
	}
	return len(p), nil
}

// Memory is hidden before a secret is read: no core file, and no other process
// of this user looks into it.
func TestNotDumpable(t *testing.T) {
	_, tokar := begin(t)
	c := tokar("list", "-i", "a.key")
	stdin, err := c.StdinPipe()
	must(t, err)
	must(t, c.Start())
	time.Sleep(300 * time.Millisecond)
	var limit unix.Rlimit
	must(t, unix.Prlimit(c.Process.Pid, unix.RLIMIT_CORE, nil, &limit))
	if limit.Max != 0 {
		t.Errorf("the core limit is %d", limit.Max)
	}
	info, err := os.Stat(fmt.Sprintf("/proc/%d", c.Process.Pid))
	must(t, err)
	if info.Sys().(*syscall.Stat_t).Uid != 0 { // root's own processes are root's in any case
		t.Error("other processes of this user may look into it")
	}
	stdin.Close()
	c.Wait()
}

// The same where root runs the tests, who sees it of itself only.
func TestHideMemory(t *testing.T) {
	var limit unix.Rlimit
	must(t, unix.Getrlimit(unix.RLIMIT_CORE, &limit))
	hideMemory()
	dumpable, err := unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0)
	must(t, err)
	if dumpable != 0 {
		t.Error("the process is dumpable")
	}
	must(t, unix.Prctl(unix.PR_SET_DUMPABLE, 1, 0, 0, 0))
	unix.Setrlimit(unix.RLIMIT_CORE, &limit) // which root may raise again
}

func empty(t *testing.T, dir string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) > 0 {
		t.Fatalf("%s: %v %v, want nothing", dir, entries, err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
