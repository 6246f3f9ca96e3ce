package commands

import (
	"os"
	"strings"
	"syscall"
	"testing"
)

// Who types, or pastes, as soon as the question stands there is not shown.
func TestNoEchoAtTheQuestion(t *testing.T) {
	_, tokar := begin(t)
	for range 20 {
		master, tty := pseudoTerminal(t)
		c := tokar("keygen", "-p", "-o", "locked.key")
		c.ExtraFiles = []*os.File{tty}
		c.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Ctty: 3}
		must(t, c.Start())
		asked := ""
		for b := make([]byte, 256); !strings.Contains(asked, "Enter"); {
			n, err := master.Read(b)
			must(t, err)
			asked += string(b[:n])
		}
		shown := echoes(t, tty)
		must(t, c.Process.Kill())
		c.Wait()
		if shown {
			t.Fatal("the question is asked while what is typed is shown")
		}
	}
}
