package commands

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// The scripts in testdata/scripts read like sessions. Each finds in its
// directory the tokens swtok and newtok (a Soft token in the old and in the new
// format) and the keys restore.key (post-quantum), verify.key and other.key
// (X25519).
func TestMain(m *testing.M) {
	os.Setenv("GORACE", noSleep)
	testscript.Main(m, map[string]func(){
		"tokar": func() { os.Exit(Main(os.Args)) },
	})
}

func TestScripts(t *testing.T) {
	heed()
	testscript.Run(t, testscript.Params{
		Dir:                 "../testdata/scripts",
		Setup:               setup,
		RequireUniqueNames:  true,
		Deadline:            time.Now().Add(8 * time.Minute), // a prompt that nobody answers
		RequireExplicitExec: false,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": exits, "only": only, "mode": mode, "same": same, "flip": flip, "cut": cut, "cmpfile": cmpfile,
		},
	})
}

// noSleep spares each tokar with the race detector the second that it sleeps
// before it exits.
const noSleep = "atexit_sleep_ms=0"

const fixtures = "../testdata/opencryptoki"

func setup(env *testscript.Env) error {
	for name, from := range map[string]string{"swtok": "swtok-old-small", "newtok": "swtok-new-small"} {
		if err := copyToken(filepath.Join(fixtures, from), filepath.Join(env.WorkDir, name)); err != nil {
			return err
		}
	}
	real, err := filepath.Abs("../testdata")
	if err != nil {
		return err
	}
	env.Setenv("FIXTURES", real)
	env.Setenv("GORACE", noSleep)
	env.Setenv("TOKAR_RECIPIENTS_FILE", "")
	env.Setenv("TOKAR_IDENTITY", "")
	env.Setenv("TOKAR_SIGNERS", "")
	env.Setenv("SSH_AUTH_SOCK", "")
	env.Setenv("TOKAR_JOBS", "")
	for _, key := range [][]string{{"restore.key"}, {"verify.key", "--x25519"}, {"other.key", "--x25519"}} {
		args := append([]string{"keygen", "-q", "-o", filepath.Join(env.WorkDir, key[0])}, key[1:]...)
		if out, err := exec.Command("tokar", args...).CombinedOutput(); err != nil {
			return fmt.Errorf("keygen: %w: %s", err, out)
		}
	}
	return nil
}

// copyToken copies a fixture, with modes as openCryptoki sets them.
func copyToken(from, to string) error {
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		return err
	}
	return filepath.WalkDir(to, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			return os.Chmod(path, 0o770)
		}
		return errors.Join(err, os.Chmod(path, 0o660))
	})
}

// exits CODE PROGRAM ARGS…
func exits(ts *testscript.TestScript, neg bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if (got == want) == neg {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

// only DIR NAME…: the directory holds these and nothing else.
func only(ts *testscript.TestScript, neg bool, args []string) {
	entries, err := os.ReadDir(ts.MkAbs(args[0]))
	ts.Check(err)
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	want := slices.Sorted(slices.Values(args[1:]))
	if !slices.Equal(got, want) {
		ts.Fatalf("%s holds %q, want %q", args[0], got, want)
	}
}

// mode FILE OCTAL
func mode(ts *testscript.TestScript, neg bool, args []string) {
	info, err := os.Stat(ts.MkAbs(args[0]))
	ts.Check(err)
	if got := fmt.Sprintf("%04o", info.Mode().Perm()); got != args[1] {
		ts.Fatalf("%s has mode %s, want %s", args[0], got, args[1])
	}
}

// same DIR DIR: byte for byte, mode and time too.
func same(ts *testscript.TestScript, neg bool, args []string) {
	a, b := tree(ts, ts.MkAbs(args[0])), tree(ts, ts.MkAbs(args[1]))
	if !slices.Equal(a, b) {
		ts.Fatalf("%s and %s differ:\n%q\n%q", args[0], args[1], a, b)
	}
}

func tree(ts *testscript.TestScript, root string) (all []string) {
	ts.Check(filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		ts.Check(err)
		name, _ := filepath.Rel(root, path)
		content := []byte(nil)
		when := ""
		if !d.IsDir() {
			content, err = os.ReadFile(path)
			when = info.ModTime().String()
		}
		all = append(all, fmt.Sprintf("%s %s %s %x", name, info.Mode(), when, content))
		return err
	}))
	return all
}

// cmpfile FILE FILE: for what is no text.
func cmpfile(ts *testscript.TestScript, neg bool, args []string) {
	a, err := os.ReadFile(ts.MkAbs(args[0]))
	ts.Check(err)
	b, err := os.ReadFile(ts.MkAbs(args[1]))
	ts.Check(err)
	if bytes.Equal(a, b) == neg {
		ts.Fatalf("%s and %s: equal is %v", args[0], args[1], !neg)
	}
}

// flip FILE OFFSET: change one bit; a negative offset counts from the end.
func flip(ts *testscript.TestScript, neg bool, args []string) {
	path := ts.MkAbs(args[0])
	b, err := os.ReadFile(path)
	ts.Check(err)
	b[place(ts, args[1], len(b))] ^= 1
	ts.Check(os.WriteFile(path, b, 0o600))
}

// cut FILE SIZE: what is left; a negative size counts from the end.
func cut(ts *testscript.TestScript, neg bool, args []string) {
	path := ts.MkAbs(args[0])
	info, err := os.Stat(path)
	ts.Check(err)
	ts.Check(os.Truncate(path, int64(place(ts, args[1], int(info.Size())))))
}

func place(ts *testscript.TestScript, text string, size int) int {
	n, err := strconv.Atoi(text)
	ts.Check(err)
	if n < 0 {
		n += size
	}
	return n
}
