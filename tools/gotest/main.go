// Gotest runs go test and holds its result to one more rule: in CI a test
// that was skipped has failed, because there every peer is installed.
//
//	gotest [-again] [arguments of go test]
//
// It prints what go test prints without -v: a package's closing line, and the
// output of what failed; and what tests that passed say they counted: lines of
// their logs that begin with "counted: ". At the end it names every skipped test with its
// reason. With CI=true a skip is a failure unless allowed-skips.txt has it.
// -again says that the same tests run elsewhere in the same `make test`
// without it (here with the race detector, or as s390x): a skip is all right.
package main

import (
	"bufio"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"strings"
)

//go:embed allowed-skips.txt
var allowedSkips string

func main() {
	args := os.Args[1:]
	again := len(args) > 0 && args[0] == "-again"
	if again {
		args = args[1:]
	}
	cmd := exec.Command("go", append([]string{"test", "-json"}, args...)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "gotest:", err)
		os.Exit(2)
	}
	r := newReport(os.Stdout)
	r.read(out)
	code := 0
	if err := cmd.Wait(); err != nil {
		code = 1
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			fmt.Fprintln(os.Stderr, "gotest:", err)
		}
	}
	if !r.close(parseAllowed(allowedSkips), os.Getenv("CI") == "true" && !again) {
		code = 1
	}
	os.Exit(code)
}

// event is one line of go test -json; see go doc test2json.
type event struct {
	Action     string
	Package    string
	ImportPath string // of build-output
	Test       string
	Output     string
}

// test names one test of one package.
type test struct{ pkg, name string }

// report follows a run: it holds each test's output back until the test has
// failed or been skipped.
type report struct {
	w       *bufio.Writer
	held    map[test]*strings.Builder
	skipped []skip
	passed  int
	failed  int
}

// skip is a skipped test and what it said.
type skip struct {
	test
	reason string
}

func newReport(w io.Writer) *report {
	return &report{w: bufio.NewWriter(w), held: map[test]*strings.Builder{}}
}

func (r *report) read(in io.Reader) {
	lines := bufio.NewReader(in)
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) > 0 {
			r.line(line)
		}
		if err != nil {
			break
		}
		if lines.Buffered() == 0 {
			r.w.Flush()
		}
	}
	r.w.Flush()
}

func (r *report) line(line []byte) {
	var e event
	if json.Unmarshal(line, &e) != nil || e.Action == "" {
		r.w.Write(line) // not from test2json: a message of go itself
		return
	}
	t := test{e.Package, e.Test}
	switch {
	case e.Action == "build-output":
		r.w.WriteString(e.Output)
	case e.Test == "":
		if e.Action == "output" && e.Output != "PASS\n" {
			r.w.WriteString(e.Output)
		}
	case e.Action == "output":
		r.hold(t, e.Output)
	case e.Action == "pass":
		r.passed++
		r.counted(t)
		r.died(t)
		delete(r.held, t)
	case e.Action == "fail":
		r.failed++
		r.w.WriteString(r.release(t))
	case e.Action == "skip":
		r.skipped = append(r.skipped, skip{t, reason(r.release(t))})
	}
}

func (r *report) hold(t test, output string) {
	if strings.HasPrefix(output, "=== ") {
		return // RUN, PAUSE, CONT, NAME
	}
	b := r.held[t]
	if b == nil {
		b = &strings.Builder{}
		r.held[t] = b
	}
	b.WriteString(output)
}

// counted prints how much a test did that passes whatever that is, such as at
// how many points it stopped a program.
func (r *report) counted(t test) {
	b := r.held[t]
	if b == nil {
		return
	}
	for line := range strings.Lines(b.String()) {
		if _, what, found := strings.Cut(line, ": counted: "); found {
			r.w.WriteString(t.name + ": " + what)
		}
	}
}

// died prints what a process said that ended while a test ran: go test may
// call that test passed all the same.
func (r *report) died(t test) {
	if b := r.held[t]; b != nil && strings.Contains("\n"+b.String(), "\npanic: ") {
		r.w.WriteString(b.String())
	}
}

func (r *report) release(t test) string {
	b := r.held[t]
	delete(r.held, t)
	if b == nil {
		return ""
	}
	return b.String()
}

// reason is what a skipped test said, without go test's own lines.
func reason(output string) string {
	var said []string
	for line := range strings.Lines(output) {
		line = strings.TrimSpace(line)
		if line != "" && !strings.HasPrefix(line, "--- SKIP") {
			said = append(said, line)
		}
	}
	return strings.Join(said, " ")
}

// close prints the skipped tests and the count; it says whether the run is
// good as far as skips go.
func (r *report) close(allowed []test, strict bool) bool {
	good := true
	for t := range r.held { // started and never ended: the process died
		r.w.WriteString(r.release(t))
	}
	for _, s := range r.skipped {
		word := "skipped"
		if strict && !isAllowed(allowed, s.test) {
			word, good = "skipped, which CI does not allow", false
		}
		fmt.Fprintf(r.w, "%s: %s %s: %s\n", word, s.pkg, s.name, s.reason)
	}
	fmt.Fprintf(r.w, "tests: %d passed, %d failed, %d skipped\n", r.passed, r.failed, len(r.skipped))
	r.w.Flush()
	return good
}

// parseAllowed reads lines of package, test and reason; the first two are
// patterns of path.Match. Lines with # and empty ones are remarks.
func parseAllowed(text string) []test {
	var list []test
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) >= 3 && !strings.HasPrefix(fields[0], "#") {
			list = append(list, test{fields[0], fields[1]})
		}
	}
	return list
}

func isAllowed(allowed []test, t test) bool {
	for _, a := range allowed {
		pkg, err1 := path.Match(a.pkg, t.pkg)
		name, err2 := path.Match(a.name, t.name)
		if pkg && name && err1 == nil && err2 == nil {
			return true
		}
	}
	return false
}
