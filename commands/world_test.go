package commands

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A world is a directory in which a page runs.
type world struct{ dir string }

// standIns keep what they are given in files of the world.
var standIns = map[string]string{
	"ssh":    `host=$1; shift; cd "$W/$host" && exec sh -c "$*"`,
	"mail":   `{ echo "$*"; cat; } >> "$W/mail"`,
	"sleep":  `echo "$*" >> "$W/slept"`,
	"aws":    "from=$3 to=$4\n" + bucket + `[ "$1 $2" = "s3 cp" ] || [ "$1 $2" = "s3 mv" ] || exit 2; copy; [ "$2" = cp ] || rm "$from"`,
	"rclone": "verb=$1 from=${2#vault:} to=${3#vault:}\ncd \"$W/bucket\" && case $verb in rcat) cat > \"$(basename \"$from\")\" ;; cat) cat \"$(basename \"$from\")\" ;; moveto) mv \"$(basename \"$from\")\" \"$(basename \"$to\")\" ;; *) exit 2 ;; esac",
	"curl":   `while [ $# -gt 1 ]; do case $1 in --upload-file) up=$2; shift ;; --fail|--silent|--show-error) ;; *) exit 2 ;; esac; shift; done; at=$W/bucket/$(basename "$1"); [ -n "$up" ] || exec cat "$at"; [ "$up" != - ] || up=/dev/stdin; cat "$up" > "$at"`,
}

// bucket is aws's: s3:// names lead to files, - to the pipe.
const bucket = `file() { case $1 in -) echo "$2" ;; s3://*) echo "$W/bucket/$(basename "$1")" ;; *) echo "$1" ;; esac; }
from=$(file "$from" /dev/stdin) to=$(file "$to" /dev/stdout)
copy() { cat "$from" > "$to"; }
`

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t.TempDir()}
	for name, script := range standIns {
		path := filepath.Join(w.dir, "bin", name)
		must(t, os.MkdirAll(filepath.Dir(path), 0o700))
		must(t, os.WriteFile(path, []byte("#!/bin/sh\n"+script+"\n"), 0o700))
	}
	base := filepath.Join(w.dir, "var/lib/opencryptoki")
	for _, dir := range []string{base, filepath.Join(w.dir, "var/backups"), filepath.Join(w.dir, "etc/tokar"), filepath.Join(w.dir, "etc/opencryptoki"), filepath.Join(w.dir, "vault"), filepath.Join(w.dir, "bucket")} {
		must(t, os.MkdirAll(dir, 0o700))
	}
	must(t, copyToken(filepath.Join(fixtures, "swtok-old-small"), filepath.Join(base, "swtok")))
	must(t, copyToken(filepath.Join(fixtures, "swtok-new-small"), filepath.Join(base, "newtok")))
	group, err := user.LookupGroupId(strconv.Itoa(os.Getegid()))
	must(t, err)
	must(t, os.WriteFile(filepath.Join(w.dir, "etc/opencryptoki/opencryptoki.conf"), []byte(fmt.Sprintf(`version opencryptoki-3.27
slot 3 { stdll = libpkcs11_sw.so usergroup = %[1]q }
slot 4 { stdll = libpkcs11_sw.so tokname = newtok tokversion = 3.12 usergroup = %[1]q }
`, group.Name)), 0o600))
	return w
}

// absolute is a path of the real host's in a command.
var absolute = regexp.MustCompile(`(^|[\s='"(>])/(var|etc|usr/local|mnt)\b`)

// here is a command or path as it is in the world, there as pages have it.
func (w *world) here(text string) string  { return absolute.ReplaceAllString(text, "${1}"+w.dir+"/$2") }
func (w *world) there(text string) string { return strings.ReplaceAll(text, w.dir, "") }

// run runs the steps in one shell, whose terminal answers each question with a
// passphrase.
func (w *world) run(t *testing.T, p prepared, steps []step) (all []came) {
	t.Helper()
	script := "exec 3>&- 2>&1\ncp -rp $W/var/lib/opencryptoki/swtok .\n" +
		"for k in restore verify; do tokar keygen -q -o $k.key; done\n" +
		"cp restore.key.pub $W/etc/tokar/recipients; cp verify.key.pub $W/etc/tokar/verifiers\n"
	if steps[0].session { // a tour begins with nothing
		script = "exec 3>&- 2>&1\ncp -rp $W/var/lib/opencryptoki/swtok .\n"
	}
	script += p.before + "\n"
	for _, s := range steps {
		for program, typed := range map[string]string{"jq": "| jq ", "ssh-keygen": " --sign "} {
			if _, err := exec.LookPath(program); err != nil && strings.Contains(s.typed, typed) {
				t.Skip(program + " is not here")
			}
		}
		for words, between := range p.at {
			if strings.Contains(s.typed, words) {
				script += between + "\n"
			}
		}
		script += "echo '" + mark + "'\n(exit $code)\n" + w.here(s.typed) + "\ncode=$?\necho \"" + mark + "$code\"\n"
	}
	must(t, os.WriteFile(filepath.Join(w.dir, "page.sh"), []byte(script), 0o600))
	master, tty := pseudoTerminal(t)
	ctx, cancel := context.WithTimeout(t.Context(), 3*hang)
	defer cancel()
	c := exec.CommandContext(ctx, "bash", "../page.sh")
	c.WaitDelay = time.Second
	c.Dir = filepath.Join(w.dir, "work")
	must(t, os.Mkdir(c.Dir, 0o700))
	testdata, err := filepath.Abs("../testdata")
	must(t, err)
	c.Env = append(os.Environ(), "W="+w.dir, "TESTDATA="+testdata, "code=0", "TOKAR_IDENTITY=", "TOKAR_RECIPIENTS_FILE=", "TOKAR_SIGNERS=", "SSH_AUTH_SOCK=",
		"HOME="+w.dir, "PKCS_APP_STORE="+filepath.Join(w.dir, "var/lib/opencryptoki"),
		"PATH="+strings.Join([]string{filepath.Join(w.dir, "bin"), filepath.Join(w.dir, "usr/local/sbin"), os.Getenv("PATH")}, ":"))
	c.ExtraFiles = []*os.File{tty}
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Ctty: 3}
	var printed bytes.Buffer
	c.Stdout, c.Stderr = &printed, &printed
	must(t, c.Start())
	go answer(master)
	err = c.Wait()
	parts := strings.Split(printed.String(), mark)
	if len(parts) != 2*len(steps)+1 {
		t.Fatalf("the page stopped: %v\n%s", err, printed.String())
	}
	for i := range steps {
		code, _, _ := strings.Cut(parts[2*i+2], "\n")
		all = append(all, came{strings.TrimPrefix(parts[2*i+1], "\n"), code})
	}
	return all
}

const mark = "@@@@"

// answer types a passphrase whenever it is asked.
func answer(master *os.File) {
	b := make([]byte, 4096)
	for {
		n, err := master.Read(b)
		if err != nil {
			return
		}
		if bytes.HasSuffix(b[:n], []byte(": ")) {
			fmt.Fprintln(master, "a passphrase")
		}
	}
}
