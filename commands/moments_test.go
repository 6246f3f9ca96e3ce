package commands

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const moments = 10

// Each signal at ten moments of a restore from a pipe. INT, TERM, HUP and QUIT
// end it: it dies of the signal, says so in a line or two, and nothing is left.
// PIPE and USR1 do not, and neither does a HUP that nohup had switched off.
func TestSignalsAtTenMoments(t *testing.T) {
	for _, c := range []struct {
		name    string
		sig     syscall.Signal
		ignored string // set so by the shell before it begins
		dies    bool
	}{
		{"INT", unix.SIGINT, "", true},
		{"TERM", unix.SIGTERM, "", true},
		{"HUP", unix.SIGHUP, "", true},
		{"QUIT", unix.SIGQUIT, "", true},
		{"PIPE", unix.SIGPIPE, "", false},
		{"USR1", unix.SIGUSR1, "", false},
		{"HUP under nohup", unix.SIGHUP, "HUP", false},
		{"INT in the background", unix.SIGINT, "INT", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir, tokar := begin(t)
			archive, err := os.ReadFile(filepath.Join(dir, "a.tokar"))
			must(t, err)
			for i := range moments {
				sent := (len(archive) - 1) * i / (moments - 1)
				must(t, os.Mkdir(filepath.Join(dir, "out"), 0o700))
				run := tokar("extract", "-i", "a.key", "-C", "out")
				if c.ignored != "" {
					run = shell(run, "trap '' "+c.ignored+`; exec "$0" "$@"`)
				}
				said, err := signalled(t, run, archive, sent, c.sig, !c.dies)
				switch {
				case bytes.Contains(said, []byte("goroutine ")): // as Go does at QUIT
					t.Errorf("after %d bytes: %s", sent, said)
				case c.dies && !diedOf(err, c.sig):
					t.Fatalf("after %d bytes: %v, want to die of it\n%s", sent, err, said)
				case c.dies:
					empty(t, filepath.Join(dir, "out"))
				case err != nil:
					t.Fatalf("after %d bytes: %v, want to go on\n%s", sent, err, said)
				}
				if _, err := os.Stat(filepath.Join(dir, "out/swtok/NVTOK.DAT")); (err == nil) == c.dies {
					t.Fatalf("after %d bytes: %v", sent, err)
				}
				must(t, os.RemoveAll(filepath.Join(dir, "out")))
			}
		})
	}
}

// shell has c begin through a shell script, in which it is "$0" "$@".
func shell(c *exec.Cmd, script string) *exec.Cmd {
	sh := exec.Command("sh", append([]string{"-c", script, "tokar"}, c.Args[1:]...)...)
	sh.Dir, sh.Env = c.Dir, c.Env
	return sh
}

// signalled runs c, feeds it so many bytes, sends the signal once it has read
// them, and the rest if it is to go on.
func signalled(t *testing.T, c *exec.Cmd, archive []byte, sent int, sig syscall.Signal, goesOn bool) ([]byte, error) {
	t.Helper()
	in, feed, err := os.Pipe()
	must(t, err)
	defer feed.Close()
	var said bytes.Buffer
	c.Stdin, c.Stderr = in, &said
	must(t, c.Start())
	defer time.AfterFunc(hang, func() { c.Process.Kill() }).Stop()
	in.Close()
	_, err = feed.Write(archive[:sent])
	must(t, err)
	reading(t, c.Process.Pid, feed)
	must(t, c.Process.Signal(sig))
	if goesOn {
		_, err = feed.Write(archive[sent:])
		must(t, err)
		feed.Close()
	}
	err = c.Wait()
	return said.Bytes(), err
}

// reading waits until a process has read all that a pipe holds, and catches
// signals.
func reading(t *testing.T, pid int, pipe *os.File) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), hang)
	defer cancel()
	for ctx.Err() == nil {
		waiting, err := unix.IoctlGetInt(int(pipe.Fd()), unix.TIOCINQ)
		must(t, err)
		if waiting == 0 && begun(t, pid) {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Fatal("it does not read")
}

// begun says whether tokar is past the point where it has taken signals over
// and gives up core files, in this order. Where nobody may have core files that
// shows nothing, and it gets a moment.
func begun(t *testing.T, pid int) bool {
	var ours, limit unix.Rlimit
	must(t, unix.Getrlimit(unix.RLIMIT_CORE, &ours))
	if ours.Max == 0 {
		time.Sleep(300 * time.Millisecond)
	}
	return unix.Prlimit(pid, unix.RLIMIT_CORE, nil, &limit) == nil && limit.Max == 0
}

func diedOf(err error, sig syscall.Signal) bool {
	exit, ok := errors.AsType[*exec.ExitError](err)
	if !ok {
		return false
	}
	status := exit.Sys().(syscall.WaitStatus)
	return status.Signaled() && status.Signal() == sig
}

// A second signal does not wait for what the first one waits for: here a reader
// that does not read. It is another, so that one sees of which the run died.
func TestSecondSignal(t *testing.T) {
	dir, tokar := begin(t)
	for i := range 5 { // more than a pipe holds
		must(t, copyToken(filepath.Join(fixtures, "swtok-old-small"), filepath.Join(dir, "many", strconv.Itoa(i))))
	}
	c := tokar("create", "--no-compress", "-R", "a.key.pub", "many")
	out, err := c.StdoutPipe()
	must(t, err)
	must(t, c.Start())
	_, err = io.ReadFull(out, make([]byte, 1))
	must(t, err)
	time.Sleep(300 * time.Millisecond)
	must(t, c.Process.Signal(unix.SIGINT))
	time.Sleep(300 * time.Millisecond)
	must(t, c.Process.Signal(unix.SIGTERM))
	if err := c.Wait(); !diedOf(err, unix.SIGTERM) {
		t.Errorf("%v, want to die of TERM", err)
	}
}

// Ctrl-C at the question for a passphrase: the terminal shows again what is
// typed, the process died of it, and the file in the making, which was nobody
// else's from its first byte, is gone.
func TestEchoAfterInterrupt(t *testing.T) {
	dir, tokar := begin(t)
	for _, sig := range []string{"\x03", "\x1c"} { // the keys for INT and QUIT
		master, tty := pseudoTerminal(t)
		c := shell(tokar("create", "-p", "-f", "p.tokar", "swtok"), `umask 0; exec "$0" "$@"`)
		c.ExtraFiles = []*os.File{tty}
		c.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Ctty: 3}
		must(t, c.Start())
		asked := ""
		for b := make([]byte, 256); !strings.HasSuffix(asked, "archive: "); {
			n, err := master.Read(b)
			must(t, err)
			asked += string(b[:n])
		}
		for began := time.Now(); echoes(t, tty); time.Sleep(time.Millisecond) {
			if time.Since(began) > hang {
				t.Fatal("what is typed is shown")
			}
		}
		making, err := filepath.Glob(filepath.Join(dir, ".p.tokar.part-*"))
		must(t, err)
		if len(making) != 1 {
			t.Fatalf("in the making: %q", making)
		}
		if info, err := os.Stat(making[0]); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%v %v", info.Mode(), err)
		}
		_, err = io.WriteString(master, "half a secr"+sig)
		must(t, err)
		err = c.Wait()
		if !diedOf(err, map[string]syscall.Signal{"\x03": unix.SIGINT, "\x1c": unix.SIGQUIT}[sig]) {
			t.Errorf("%q: %v", sig, err)
		}
		if !echoes(t, tty) {
			t.Errorf("%q: the terminal does not show what is typed", sig)
		}
		if left, _ := filepath.Glob(filepath.Join(dir, "*p.tokar*")); len(left) > 0 {
			t.Errorf("%q: left is %q", sig, left)
		}
	}
}

func echoes(t *testing.T, tty *os.File) bool {
	state, err := unix.IoctlGetTermios(int(tty.Fd()), unix.TCGETS)
	must(t, err)
	return state.Lflag&unix.ECHO != 0
}
