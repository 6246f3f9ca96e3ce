package commands

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestShells types into real shells on a terminal, presses TAB, and looks at
// the words that the shell then makes of the line.
func TestShells(t *testing.T) {
	for shell, start := range map[string]struct{ args, setup string }{
		"bash": {"--norc --noprofile -i", "set -H; source $SCRIPTS/tokar.bash"},
		"zsh":  {"-f -i", "bindkey -e; unsetopt autoremoveslash; fpath=($SCRIPTS/site $fpath); autoload -U compinit; compinit -u -D"},
		"fish": {"--no-config -i", "source $SCRIPTS/tokar.fish"},
	} {
		t.Run(shell, func(t *testing.T) {
			if _, err := exec.LookPath(shell); err != nil {
				t.Skipf("needs %s (testdata/peers/peers.sh names the package)", shell)
			}
			if testing.Short() {
				t.Skip("starts a shell and many a tokar")
			}
			t.Parallel()
			s := startShell(t, shell, strings.Fields(start.args), start.setup)
			for _, c := range []struct{ typed, want string }{
				{"extr", "extract"},
				{"help key", "help keygen"},
				{"completion fi", "completion fish"},
				{"x --overw", "x --overwrite"},
				{"x -f a.to", "x -f a.tokar"},
				{"xf a.to", "xf a.tokar"},
				{"xfC a.tokar su", "xfC a.tokar sub/"},
				{"create --file=a.to", "create --file=a.tokar"},
				{"create --passphrase=file:a.to", "create --passphrase=file:a.tokar"},
				{"create --passphrase e", "create --passphrase env:"},
				{"create sw", "create swtok"},
				{"create ~/sw", "create HOME/swtok"},
				{"create old=sub/n", "create\nold=sub/new tok"},
				{`create "sub/n`, "create\nsub/new tok"},
				{`create sub/new\ `, "create\nsub/new tok"},
				{"create -C sub n", "create\n-C\nsub\nnew tok"},
				{"create -C sub h", "create\n-C\nsub\n" + hostile},
				{"create sub/h", "create\nsub/" + hostile},
				{"create -C sub c", "create\n-C\nsub\nc"}, // and a line end after it
				{"cat -i restore.key -f a.tokar swtok/E", "cat -i restore.key -f a.tokar swtok/E0000000"},
				{"cat -i restore.key -f a.tokar h", "cat\n-i\nrestore.key\n-f\na.tokar\n" + hostile + "/"},
				{"xf a.tokar -i restore.key h", "xf\na.tokar\n-i\nrestore.key\n" + escapePattern(hostile) + "/"},
				{"xf a.tokar -i restore.key --exclude=ne", "xf\na.tokar\n-i\nrestore.key\n--exclude=new tok/"},
				{"xf a.tokar ne", "xf a.tokar ne"}, // no key, no names
				{"xf a.tokar -i locked.key ne", "xf a.tokar -i locked.key ne"},
				{"xf a.tokar -i plugin.key ne", "xf a.tokar -i plugin.key ne"},
				{"xf a.tokar -i pipe ne", "xf a.tokar -i pipe ne"}, // nor does it wait
			} {
				want := strings.Split(strings.ReplaceAll(c.want, "HOME", s.dir), "\n")
				if len(want) == 1 {
					want = strings.Fields(want[0])
				}
				want = append([]string{"tokar"}, want...)
				got := s.complete("tokar " + c.typed)
				for range 2 { // a machine with much to do may take longer than tabTime
					if !slices.Equal(got, want) {
						got = s.complete("tokar " + c.typed)
					}
				}
				if !slices.Equal(got, want) {
					t.Errorf("tokar %s: completed to %q, want %q", c.typed, got, want)
				}
			}
			if shell != "zsh" { // whose TAB expands what is typed, whatever is completed
				s.press("tokar create $(touch owned)\t\x15tokar create `touch owned`\t\x15tokar create (touch owned)/\t\x15")
				s.complete("tokar ")
			}
			if _, err := os.Stat(filepath.Join(s.dir, "owned")); err == nil {
				t.Error("TAB ran a command")
			}
			if got, err := os.ReadFile(filepath.Join(s.dir, "ran")); err == nil {
				t.Errorf("TAB ran a plugin: %s", got)
			}
		})
	}
}

// A typedShell is a shell on a terminal. Its command show writes the words
// that it is given to a file.
type typedShell struct {
	t      *testing.T
	dir    string
	master io.Writer
}

func startShell(t *testing.T, shell string, args []string, setup string) *typedShell {
	path, err := exec.LookPath("tokar") // of testscript's
	must(t, err)
	s := &typedShell{t: t, dir: completionDir(t)}
	bin := filepath.Join(s.dir, "bin")
	master, tty := pseudoTerminal(t)
	s.master = master
	c := exec.Command(shell, args...)
	c.Dir = s.dir
	c.Env = []string{"HOME=" + s.dir, "TERM=dumb", "LANG=C.UTF-8", "SCRIPTS=" + filepath.Join(s.dir, "scripts"),
		"PATH=" + bin + ":" + filepath.Dir(path) + ":" + os.Getenv("PATH"), noSleep, "OUT=" + filepath.Join(s.dir, "out")}
	c.Stdin, c.Stdout, c.Stderr = tty, tty, tty
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	must(t, c.Start())
	tty.Close()
	t.Cleanup(func() { master.Close(); c.Process.Kill(); c.Wait() })
	go io.Copy(io.Discard, master)
	s.press(setup + "\r")
	s.complete("ready")
	return s
}

func (s *typedShell) press(keys string) {
	_, err := io.WriteString(s.master, keys)
	must(s.t, err)
}

// complete types a line and TAB, and gives the words that the line then has.
func (s *typedShell) complete(line string) []string {
	s.t.Helper()
	out := filepath.Join(s.dir, "out")
	os.Remove(out)
	s.press(line + "\t\x01show \r")
	for range 200 {
		if got, err := os.ReadFile(out); err == nil && strings.HasSuffix(string(got), "\x00end\n") {
			return strings.Split(strings.TrimSuffix(string(got), "\x00end\n"), "\x00")
		}
		time.Sleep(50 * time.Millisecond)
	}
	s.t.Fatalf("%s: the shell says nothing", line)
	return nil
}

// completionDir holds tokens, an archive of them, keys, and what completion
// must keep its hands off.
func completionDir(t *testing.T) string {
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	for _, d := range []string{"sub", "bin", "scripts/site"} {
		must(t, os.MkdirAll(in(d), 0o700))
	}
	for to, from := range map[string]string{"swtok": "swtok-old-small", "sub/new tok": "swtok-new-small",
		"sub/" + hostile: "swtok-old-small", "sub/c\nx": "swtok-old-small"} {
		must(t, copyToken(filepath.Join(fixtures, from), in(to)))
	}
	for _, shell := range shellNames {
		script, err := completionScripts.ReadFile("completion/tokar." + shell)
		must(t, err)
		must(t, os.WriteFile(in("scripts/tokar."+shell), script, 0o600))
	}
	must(t, os.Rename(in("scripts/tokar.zsh"), in("scripts/site/_tokar")))
	must(t, os.WriteFile(in("bin/show"), []byte("#!/bin/sh\nprintf '%s' \"$1\" >$OUT; shift; for a; do printf '\\0%s' \"$a\" >>$OUT; done; printf '\\0end\\n' >>$OUT\n"), 0o700))
	must(t, os.WriteFile(in("bin/age-plugin-test"), []byte("#!/bin/sh\necho x >>"+in("ran")+"\n"), 0o700))
	must(t, os.WriteFile(in("plugin.key"), []byte("AGE-PLUGIN-TEST-10Q32NLXM\n"), 0o600))
	must(t, os.WriteFile(in("words"), []byte("secret\n"), 0o600))
	must(t, syscall.Mkfifo(in("pipe"), 0o600))
	for _, args := range []string{
		"keygen -q -o restore.key", "keygen -q --passphrase file:words -o locked.key",
		"create -q -R restore.key.pub -R locked.key.pub -f a.tokar swtok sub",
	} {
		c := exec.Command("tokar", strings.Fields(args)...)
		c.Dir = dir
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatal(fmt.Errorf("tokar %s: %w: %s", args, err, out))
		}
	}
	return dir
}
