package commands

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// The script of docs/CRON.md runs tokar again while it is busy and never else,
// mails all but a clean run, and gives tokar's exit code.
func TestCronScript(t *testing.T) {
	page, err := os.ReadFile("../docs/CRON.md")
	must(t, err)
	for _, c := range []struct {
		codes string // of one run after the other
		runs  int
		mail  string // its subject
	}{
		{"0", 1, ""},
		{"1", 1, "done, with findings"},
		{"2", 1, "failed with exit code 2"},
		{"3", 1, "failed with exit code 3"},
		{"4", 1, "STOPPED PART-WAY"},
		{"5 0", 2, ""},
		{"5 5 6 5", 3, "KEY REFUSED"},
		{"5 5 5 5", 4, "busy, given up"},
		{"6 0", 1, "KEY REFUSED"},
		{"7 0", 1, "failed with exit code 7"},
		{"143 0", 1, "failed with exit code 143"},
	} {
		w := newWorld(t)
		readPage(t, w, string(page))
		codes := filepath.Join(w.dir, "codes")
		must(t, os.WriteFile(codes, []byte(strings.ReplaceAll(c.codes, " ", "\n")+"\n"), 0o600))
		tokar := "#!/bin/sh\necho \"$@\" >> $W/runs\necho said >&2\ncode=$(head -n 1 $W/codes); sed -i 1d $W/codes; exit $code\n"
		must(t, os.WriteFile(filepath.Join(w.dir, "bin/tokar"), []byte(tokar), 0o700))
		run := exec.Command(filepath.Join(w.dir, "usr/local/sbin/tokar-cron"), "create", "a  b")
		run.Env = append(os.Environ(), "W="+w.dir, "PATH="+filepath.Join(w.dir, "bin")+":"+os.Getenv("PATH"))
		out, err := run.CombinedOutput()
		if _, failed := err.(*exec.ExitError); err != nil && !failed {
			t.Fatal(err)
		}
		want := strings.Fields(c.codes)[c.runs-1]
		if got := run.ProcessState.ExitCode(); strconv.Itoa(got) != want {
			t.Errorf("%s: exit code %d\n%s", c.codes, got, out)
		}
		runs, _ := os.ReadFile(filepath.Join(w.dir, "runs"))
		if string(runs) != strings.Repeat("create a  b\n", c.runs) {
			t.Errorf("%s: tokar ran as\n%s", c.codes, runs)
		}
		mail, _ := os.ReadFile(filepath.Join(w.dir, "mail"))
		if (c.mail == "") != (len(mail) == 0) || !strings.Contains(string(mail), c.mail) || c.mail != "" && !strings.HasSuffix(string(mail), "root\nsaid\n") {
			t.Errorf("%s: mail %q", c.codes, mail)
		}
	}
}
