package commands

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestMigrateAsks: on a terminal each PIN is asked for once, unseen, and then there
// is one question, for all that is done. Only a yes goes on.
func TestMigrateAsks(t *testing.T) {
	for _, c := range []struct {
		answer string
		code   int
		says   string
	}{{"n", 3, "the answer was not yes; nothing was changed"}, {"", 3, "the answer was not yes"}, {"y", 0, "17 objects, 20.3 KiB: migrated"}} {
		dir := t.TempDir()
		must(t, copyToken(filepath.Join(fixtures, "swtok-old-small"), filepath.Join(dir, "swtok")))
		must(t, os.WriteFile(filepath.Join(dir, "conf"), []byte("version v\nslot 3 { stdll = libpkcs11_sw.so }\n"), 0o600))
		master, tty := pseudoTerminal(t)
		cmd := exec.CommandContext(t.Context(), "tokar", "migrate", "fips", "--config", "conf", "--slot", "3", "--datastore", "swtok")
		cmd.Dir = dir
		cmd.ExtraFiles = []*os.File{tty}
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Ctty: 3}
		var stderr, asked bytes.Buffer
		cmd.Stderr = &stderr
		must(t, cmd.Start())
		done := make(chan struct{})
		go func() {
			defer close(done)
			answers := map[string]string{"[y/N] ": c.answer, "the SO PIN of swtok: ": "76543210", "the user PIN of swtok: ": "01234567"}
			b := make([]byte, 4096)
			for {
				n, err := master.Read(b)
				if err != nil {
					return
				}
				asked.Write(b[:n])
				for question, answer := range answers {
					if strings.HasSuffix(asked.String(), question) {
						master.WriteString(answer + "\n")
					}
				}
			}
		}()
		_ = cmd.Wait()
		tty.Close()
		master.Close()
		<-done
		if got := cmd.ProcessState.ExitCode(); got != c.code || !strings.Contains(stderr.String(), c.says) {
			t.Errorf("%q: exit code %d, want %d: %s\n%s", c.answer, got, c.code, &stderr, &asked)
		}
		pins, question := strings.LastIndex(asked.String(), "PIN of"), strings.Index(asked.String(), "[y/N]")
		if n := strings.Count(asked.String(), "[y/N]") + strings.Count(asked.String(), "PIN of"); n != 3 || question < pins {
			t.Errorf("%q: %d questions, want 3, the PINs first: %s", c.answer, n, &asked)
		}
		if strings.Contains(asked.String(), "01234567") {
			t.Error("a PIN is shown")
		}
	}
}
