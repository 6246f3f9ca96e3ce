package main_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// A restore is one that tests stop, or make fail, at each of its steps: every
// time from the same beginning, to one of two ends.
type restore struct {
	*rig
	tokens   []string
	args     []string          // of tokar
	home     string            // all that this restore needs
	begin    string            // what is restored into, as it is before
	old, new map[string]string // tokens by name, as tree tells of them; "" is none
	runs     int
	command  string
	single   bool // one object into a token that is there, or a repair
	other    bool // … or objects into another token
	gap      bool // for a moment nothing may stand there
	each     int  // disturb it at every so many points
}

func isObject(operand string) bool { return strings.Contains(operand, "/") }

// looks tells of what stands at a path; "" if nothing does.
func (s *restore) looks(t *testing.T, path ...string) string {
	t.Helper()
	if _, err := os.Lstat(filepath.Join(path...)); err != nil {
		return ""
	}
	return s.masked(tree(t, filepath.Join(path...)))
}

// masked takes from a token's text the times that a single object changes.
func (s *restore) masked(text string) string {
	if s.single {
		return touched.ReplaceAllString(text, "$1 now")
	}
	return text
}

// touched are what a single object changes in a token, with the time of it.
var touched = regexp.MustCompile(`(?m)^((?:\.|TOK_OBJ|TOK_OBJ/OBJ\.IDX|NVTOK\.DAT) \S+ \S+) \S+`)

// newRestore prepares one: it archives the tokens, puts what live makes of them
// where they are restored to, and restores them once undisturbed, to learn what
// is new.
func newRestore(t *testing.T, r *rig, tokens []string, live func(t *testing.T, token, dir string), flags ...string) *restore {
	t.Helper()
	return newRun(t, r, "extract", tokens, live, flags...)
}

func newRun(t *testing.T, r *rig, command string, tokens []string, live func(t *testing.T, token, dir string), flags ...string) *restore {
	t.Helper()
	home := quickDir(t)
	source, archive := filepath.Join(home, "source"), filepath.Join(home, "archive")
	s := &restore{
		rig: r, tokens: tokens, home: home, begin: filepath.Join(home, "begin"),
		args:    append([]string{"-i", r.key, "-f", archive}, flags...),
		command: command, each: 1, old: map[string]string{}, new: map[string]string{},
		other:  slices.Contains(flags, "--into"),
		single: live != nil && (command == "repair" || slices.ContainsFunc(flags, isObject)),
	}
	if err := os.Mkdir(s.begin, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, token := range tokens {
		placeFew(t, token, filepath.Join(source, token))
		if live != nil {
			cloneTree(t, filepath.Join(source, token), filepath.Join(s.begin, token))
			live(t, token, filepath.Join(s.begin, token))
		}
		s.old[token] = s.looks(t, s.begin, token)
	}
	r.must(t, "create", "-q", "-R", r.key+".pub", "-f", archive, source)
	dir := s.fresh(t)
	r.must(t, s.into(dir)...)
	for _, token := range tokens {
		s.new[token] = s.looks(t, dir, token)
		switch was := s.looks(t, source, token); {
		case s.new[token] == s.old[token]:
			t.Fatalf("%s: the restore changes nothing", token)
		case s.other:
		case nvtok.ReplaceAllString(s.new[token], "") != nvtok.ReplaceAllString(was, ""), !s.single && s.new[token] != was:
			t.Fatalf("%s came back otherwise:\n%s", token, difference(s.new[token], was))
		}
	}
	return s
}

// fresh makes a directory to restore into.
func (s *restore) fresh(t *testing.T) string {
	t.Helper()
	s.runs++
	dir := filepath.Join(s.home, strconv.Itoa(s.runs))
	cloneTree(t, s.begin, dir)
	return dir
}

// into is tokar's command line.
func (s *restore) into(dir string) []string {
	return append([]string{s.command, "-C", dir}, s.args...)
}

// stand counts the tokens in dir that are old, and those that are new. One that
// is neither fails the test.
func (s *restore) stand(t *testing.T, dir string) (old, new int) {
	t.Helper()
	for _, token := range s.tokens {
		switch got := s.looks(t, dir, token); {
		case got == s.old[token], got == s.raised(token), got == "" && s.gap:
			old++
		case got == s.new[token]:
			new++
		default:
			t.Errorf("%s is neither old nor new:\n%s", token, difference(got, s.old[token], s.new[token]))
		}
	}
	return old, new
}

// raised is the old token with the new NVTOK.DAT: a single object's name is in
// it no longer the next one that the library gives out. That is done just
// before the object comes, and shows nowhere.
func (s *restore) raised(token string) string {
	if !s.single {
		return s.old[token]
	}
	return nvtok.ReplaceAllLiteralString(s.old[token], nvtok.FindString(s.new[token]))
}

var nvtok = regexp.MustCompile(`(?m)^NVTOK\.DAT .*$`)

// difference shows the lines of got that what was wanted has not, or none of
// it, and those that got lacks; of the files' bytes the first.
func difference(got string, wanted ...string) string {
	var b strings.Builder
	show := func(word, line string) {
		line = strings.TrimSuffix(line, "\n")
		fmt.Fprintf(&b, "%s %s\n", word, line[:min(len(line), 160)])
	}
	has := func(text, line string) bool { return strings.Contains("\n"+text, "\n"+line) }
	for line := range strings.Lines(got) {
		if !slices.ContainsFunc(wanted, func(text string) bool { return has(text, line) }) {
			show("has  ", line)
		}
	}
	for _, text := range wanted {
		for line := range strings.Lines(text) {
			if !has(got, line) {
				show("lacks", line)
			}
		}
	}
	return b.String()
}

// beside lists what stands in dir beside the tokens.
func (s *restore) beside(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !slices.Contains(s.tokens, e.Name()) {
			names = append(names, e.Name())
		}
	}
	return names
}

const oldSuffix = ".tokar-old"

// keeps says whether an old token is to stay beside the new one.
func (s *restore) keeps(token string) bool {
	return s.old[token] != "" && !s.single && !slices.Contains(s.args, "--no-keep")
}

// done checks what a run leaves that has gone through.
func (s *restore) done(t *testing.T, dir string, o outcome) {
	t.Helper()
	if o.Exit != 0 {
		t.Errorf("exit code %d: %s", o.Exit, o.stderr)
	}
	if old, _ := s.stand(t, dir); old > 0 {
		t.Errorf("%d tokens are old", old)
	}
	want := 0
	for _, token := range s.tokens {
		if s.keeps(token) {
			want++
			if got := s.looks(t, dir, token+oldSuffix); got != s.old[token] {
				t.Errorf("%s%s is not the old token:\n%s", token, oldSuffix, difference(got, s.old[token]))
			}
		}
	}
	if names := s.beside(t, dir); len(names) != want {
		t.Errorf("beside the tokens stand %q", names)
	}
}

// undisturbed restores once more.
func (s *restore) undisturbed(t *testing.T, dir string) outcome {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), s.tokar, s.into(dir)...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	err := cmd.Run()
	if cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return outcome{Exit: cmd.ProcessState.ExitCode(), stderr: stderr.String()}
}
