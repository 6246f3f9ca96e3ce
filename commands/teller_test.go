package commands

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// told runs a teller by a clock of ours and gives what it wrote.
func told(t *testing.T, live bool, ticks ...time.Duration) string {
	t.Helper()
	s := &session{name: "verify", report: newReport("verify")}
	var out *bytes.Buffer
	s.screen, out = testScreen(80)
	work := uint64(0)
	s.progress.where = func() (done, total uint64) { work++; return work, 1000 }
	clock, stop, ended := make(chan time.Time), make(chan struct{}), make(chan struct{})
	go func() {
		(&teller{session: s, live: live}).run(began, clock, nil, stop)
		close(ended)
	}()
	for _, d := range ticks {
		s.progress.entries.Add(1)
		clock <- began.Add(d)
	}
	stop <- struct{}{}
	<-ended
	return out.String()
}

// A line on a terminal comes after a second, and not before.
func TestTellerIsPatient(t *testing.T) {
	if got := told(t, true, redraw, 5*redraw, 9*redraw); got != "" {
		t.Errorf("%q", got)
	}
	got := told(t, true, redraw, 9*redraw, 10*redraw)
	if got != "\rtokar: verify: 3 entries, 0 B, 0 B/s, 0%, 16 min 39 s left" {
		t.Errorf("%q", got)
	}
}

// How often: ten times a second on a terminal; elsewhere twice a minute with
// --progress, JSON too, and never with -q.
func TestTellerPace(t *testing.T) {
	for _, c := range []struct {
		live, regular, quiet bool
		want                 time.Duration
	}{
		{true, false, false, time.Second / 10},
		{true, true, false, time.Second / 10},
		{false, true, false, 30 * time.Second},
		{false, true, true, 0},
		{false, false, false, 0},
	} {
		s := &session{regular: c.regular, report: newReport("verify")}
		s.report.quiet = c.quiet
		if got := (&teller{session: s, live: c.live}).pace(); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
}

// Where there is no terminal, each tick is a line of its own.
func TestTellerTells(t *testing.T) {
	want := "tokar: verify: 1 entry, 0 B, 0 B/s, 0%, 8 h 19 min left\ntokar: verify: 2 entries, 0 B, 0 B/s, 0%, 8 h 19 min left\n"
	if got := told(t, false, between, 2*between); got != want {
		t.Errorf("%q", got)
	}
}

// While a question is asked the line stays away, and the second begins anew.
func TestTellerWaitsForAnswers(t *testing.T) {
	s := &session{name: "verify", report: newReport("verify")}
	var out *bytes.Buffer
	s.screen, out = testScreen(80)
	s.progress.where = func() (done, total uint64) { return 0, 0 }
	tell, start := &teller{session: s, live: true, meter: meter{{at: began}}}, began
	release := s.screen.hold()
	tell.tick(&start, began.Add(time.Hour))
	release()
	tell.tick(&start, began.Add(time.Hour+patience-1))
	if out.Len() > 0 {
		t.Errorf("%q", out)
	}
	tell.tick(&start, began.Add(time.Hour+patience))
	if out.Len() == 0 {
		t.Error("nothing is shown")
	}
}

// pseudoTerminal gives both ends of a terminal of 80 columns.
func pseudoTerminal(t *testing.T) (master, tty *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	must(t, err)
	t.Cleanup(func() { master.Close() })
	must(t, unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0))
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	must(t, err)
	must(t, unix.IoctlSetWinsize(int(master.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: 80}))
	tty, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	must(t, err)
	t.Cleanup(func() { tty.Close() })
	return master, tty
}

// watched runs c on a terminal with a pipe for its input, feeds it the first
// bytes of the archive, the rest once the terminal shows what is awaited, and
// gives all that the terminal got.
func watched(t *testing.T, c *exec.Cmd, archive []byte, awaited string) string {
	t.Helper()
	master, tty := pseudoTerminal(t)
	stdin, err := c.StdinPipe()
	must(t, err)
	c.Stderr = tty
	must(t, c.Start())
	tty.Close()
	defer time.AfterFunc(hang, func() { c.Process.Kill() }).Stop()
	_, err = stdin.Write(archive[:len(archive)-1])
	must(t, err)
	var got bytes.Buffer
	seen, b := false, make([]byte, 4096)
	for {
		n, err := master.Read(b)
		got.Write(b[:n])
		if !seen && strings.Contains(got.String(), awaited) {
			seen = true
			_, werr := stdin.Write(archive[len(archive)-1:])
			must(t, werr)
			stdin.Close()
		}
		if err != nil { // EIO: nobody has the terminal any more
			break
		}
	}
	must(t, c.Wait())
	return got.String()
}

// A run that waits for its archive shows how far it is, in a line that is gone
// at the end and never wider than the terminal.
func TestProgressOnTerminal(t *testing.T) {
	dir, tokar := begin(t)
	archive, err := os.ReadFile(filepath.Join(dir, "a.tokar"))
	must(t, err)
	for _, c := range []struct{ env, awaited, drawn string }{
		{"COLUMNS=", "entries, ", `\rtokar: verify: 2\d entries, 20\.\d KiB, [^,%]*/s`},
		{"COLUMNS=20", "tokar: verify: 2", `\rtokar: verify: 2\d e\b`},
	} {
		run := tokar("verify", "-i", "a.key")
		run.Env = append(run.Env, "TERM=xterm", c.env)
		got := watched(t, run, archive, c.awaited)
		if !regexp.MustCompile(c.drawn).MatchString(got) {
			t.Errorf("%s: %q lacks %s", c.env, got, c.drawn)
		}
		if lines := rendered(got); len(lines) != 2 || !strings.HasPrefix(lines[0], "tokar: whole and authentic") || lines[1] != "" {
			t.Errorf("%s: the terminal shows %q", c.env, lines)
		}
	}
}

// It is gone at the end of a run that says nothing, too.
func TestProgressIsTakenAway(t *testing.T) {
	dir, tokar := begin(t)
	archive, err := os.ReadFile(filepath.Join(dir, "a.tokar"))
	must(t, err)
	run := tokar("cat", "-i", "a.key", "-o", "bytes", "swtok/MK_SO")
	run.Env = append(run.Env, "TERM=xterm", "COLUMNS=")
	got := watched(t, run, archive, "tokar: cat: ")
	if lines := rendered(got); len(lines) != 1 || lines[0] != "" {
		t.Errorf("the terminal shows %q", lines)
	}
}

// No progress where it was not asked for, or would disturb what is there.
func TestNoProgress(t *testing.T) {
	dir, tokar := begin(t)
	archive, err := os.ReadFile(filepath.Join(dir, "a.tokar"))
	must(t, err)
	for _, c := range []struct {
		env   string
		flags []string
		want  string
	}{
		{"TERM=dumb", nil, `^tokar: whole and authentic.*\r\n$`},
		{"TERM=xterm", []string{"-q"}, "^$"},
		{"TERM=xterm", []string{"--json"}, "^$"},
		{"TERM=xterm", []string{"--json", "--progress"}, "^$"},
	} {
		t.Run(strings.Join(append(c.flags, c.env), " "), func(t *testing.T) {
			t.Parallel()
			run := tokar(append([]string{"verify", "-i", "a.key"}, c.flags...)...)
			run.Env = append(run.Env, c.env)
			master, tty := pseudoTerminal(t)
			in, feed, err := os.Pipe()
			must(t, err)
			run.Stdin, run.Stderr = in, tty
			must(t, run.Start())
			tty.Close()
			in.Close()
			feed.Write(archive[:len(archive)-1])
			time.Sleep(patience + 3*redraw) // a line would have come
			feed.Write(archive[len(archive)-1:])
			feed.Close()
			got, _ := io.ReadAll(master)
			must(t, run.Wait())
			if !regexp.MustCompile(c.want).Match(got) {
				t.Errorf("%q, want %s", got, c.want)
			}
		})
	}
}
