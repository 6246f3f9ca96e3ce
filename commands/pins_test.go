package commands

import (
	"context"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/urfave/cli/v2"
)

// pinsFor reads PIN flags as a command does.
func pinsFor(t *testing.T, words ...string) (*session, *pins, error) {
	t.Helper()
	s := &session{line: &line{}, name: "check", ctx: context.Background(), secrets: map[secretSource][]byte{}, report: newReport("check")}
	set := flag.NewFlagSet("", flag.ContinueOnError)
	for _, f := range pinFlags() {
		must(t, f.Apply(set))
	}
	must(t, set.Parse(words))
	p, err := pinsOf(s, cli.NewContext(nil, set, nil))
	return s, p, err
}

func TestPINSources(t *testing.T) {
	file := filepath.Join(t.TempDir(), "a=b")
	must(t, os.WriteFile(file, []byte("11112222\r\n"), 0o600))
	t.Setenv("TOKAR_TEST_PIN", "33334444")
	_, p, err := pinsFor(t, "--pin", "file:"+file, "--pin", "a=b=env:TOKAR_TEST_PIN", "--so-pin", "swtok=env:TOKAR_TEST_PIN")
	must(t, err)
	if _, there := os.LookupEnv("TOKAR_TEST_PIN"); there {
		t.Error("a child would inherit the PIN")
	}
	for token, want := range map[string][2]string{"a=b": {"", "33334444"}, "swtok": {"33334444", "11112222"}, "other": {"", "11112222"}} {
		for range 2 {
			l, err := p.of(token)
			if err != nil || string(l.SO) != want[0] || string(l.User) != want[1] {
				t.Errorf("%s: %q %q, %v", token, l.SO, l.User, err)
			}
			l.Clear() // what others get is theirs
		}
	}
	if err := p.check([]string{"a=b", "swtok"}); err != nil {
		t.Error(err)
	}
	if err := p.check([]string{"a=b"}); codeOf(err) != exitUsage || !strings.Contains(err.Error(), "swtok") {
		t.Error(err)
	}
	kept := p.from[0].pin
	p.forget()
	if string(kept) != strings.Repeat("\x00", len(kept)) {
		t.Error("PINs stay in memory")
	}
}

// TestBarePIN: what is no source is refused, and not repeated.
func TestBarePIN(t *testing.T) {
	for _, words := range [][]string{
		{"--pin", "48151623"}, {"--so-pin", "48151623"}, {"--pin", "swtok=48151623"}, {"--pin", "file:"}, {"--pin", "swtok=prompt48151623"},
		{"--pin", "cmd:48151623"}, {"--pin", "prompt", "--pin", "prompt"}, {"--pin", "swtok=prompt", "--pin", "swtok=fd:3"},
		{"--pin", "fd:3", "--so-pin", "fd:3"}, {"--pin", "a=fd:0", "--pin", "b=fd:0"},
	} {
		_, _, err := pinsFor(t, words...)
		if codeOf(err) != exitUsage || strings.Contains(err.Error(), "48151623") {
			t.Errorf("%v: %v", words, err)
		}
	}
}

func TestEmptyPIN(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pin")
	for _, text := range []string{"", "\n", "\r\n", strings.Repeat("1", maxSecret+1)} {
		must(t, os.WriteFile(file, []byte(text), 0o600))
		_, p, err := pinsFor(t, "--pin", "file:"+file)
		must(t, err)
		if l, err := p.of("swtok"); codeOf(err) != exitFailed || l.Given() {
			t.Errorf("%d bytes: %v", len(text), err)
		}
	}
}

// TestPINPrompt: each flag is asked for once, before the work, and what is typed
// is not shown.
func TestPINPrompt(t *testing.T) {
	dir, tokar := begin(t)
	master, tty := pseudoTerminal(t)
	for _, name := range []string{"one", "two"} {
		must(t, copyToken(filepath.Join(fixtures, "swtok-old-small"), filepath.Join(dir, name)))
	}
	c := tokar("check", "--pin", "prompt", "--so-pin", "two=prompt", "one", "two")
	c.ExtraFiles = []*os.File{tty}
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Ctty: 3}
	var told strings.Builder
	c.Stderr = &told
	must(t, c.Start())
	shown := ""
	for _, answer := range []struct{ question, typed string }{
		{"Enter the SO PIN of two: ", "76543210\n"}, {"Enter the user PIN: ", "01234567\n"},
	} {
		for b := make([]byte, 256); !strings.HasSuffix(shown, answer.question); {
			n, err := master.Read(b)
			must(t, err)
			shown += string(b[:n])
		}
		_, err := master.WriteString(answer.typed)
		must(t, err)
	}
	if err := c.Wait(); err != nil || !strings.Contains(told.String(), "(20 private objects opened)") {
		t.Errorf("%v, %s", err, told.String())
	}
	if text := shown + told.String(); strings.Contains(text, "01234567") || strings.Contains(text, "76543210") {
		t.Errorf("PINs are shown: %s", text)
	}
}

// extract --into asks for the PINs of the archive's token first, and each prompt
// names its token.
func TestPINsOfInto(t *testing.T) {
	for _, c := range []struct {
		operands []operand
		token    string
		want     []string
	}{
		{[]operand{{text: "swtok/1*"}}, "", []string{"the user PIN of the archive's swtok", "the user PIN of newtok, which takes the objects"}},
		{[]operand{{text: "a"}, {text: "b"}}, "", []string{"the user PIN of the archive's token", "the user PIN of newtok, which takes the objects"}},
		{nil, "old", []string{"the user PIN of the archive's old", "the user PIN of newtok, which takes the objects"}},
	} {
		p := &pins{s: &session{}, from: []*pinSource{
			{flag: "pin", token: c.token, source: "env:NO_SUCH_PIN"}, {flag: "into-pin", source: "env:NO_SUCH_PIN"},
		}}
		p.call("newtok", c.operands)
		for i, want := range c.want {
			if err := p.from[i].read(p.s); err == nil || !strings.HasPrefix(err.Error(), want+": ") {
				t.Errorf("%v %q: %v, want %q", c.operands, c.token, err, want)
			}
		}
	}
}
