package commands

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"

	"tokar/format"
)

// sameFindings is how many findings of one kind are named before the rest is
// only counted.
const sameFindings = 10

// A report tells people, or with JSON programs, what a run found and did. It
// belongs to one goroutine.
type report struct {
	command string
	verbose bool
	quiet   bool // names nothing
	out     *text
	log     io.Writer // stderr
	json    *jsonLines
	namesTo *text // -v names: stdout, or stderr where stdout carries data

	findings uint64
	kinds    []string // in order of appearance
	seen     map[string]int
	advised  []*advised
	results  []string
	changed  bool   // something is in its place: an error now is one part-way
	stands   string // … what; else the tokens that were restored
	refused  bool   // a PIN was wrong
	busy     bool   // a token was left out, for programs keep it locked
	survive  bool   // what reads our output may go away; the work goes on
}

func newReport(command string) *report {
	return &report{command: command, out: newText(os.Stdout), log: os.Stderr, seen: map[string]int{}}
}

func (r *report) say(form string, args ...any) {
	if r.json == nil {
		fmt.Fprintf(r.log, "tokar: "+form+"\n", args...)
	}
}

// warn tells of something that is not the archive's or the tokens' fault.
func (r *report) warn(form string, args ...any) {
	switch {
	case r.json != nil && r.json.shared:
		r.json.warning(fmt.Sprintf(form, args...))
	case !r.quiet:
		fmt.Fprintf(r.log, "tokar: warning: "+form+"\n", args...)
	}
}

// detail is said with -v only.
func (r *report) detail(form string, args ...any) {
	if r.verbose && !r.quiet {
		r.say(form, args...)
	}
}

// note tells what an operator must know of a token.
func (r *report) note(token, message string) {
	switch {
	case r.json != nil:
		r.json.note(token, message)
	case !r.quiet:
		r.say("note: %s: %s", quote(token), escape(message))
	}
}

// mended tells of an entry that was put right, or in a dry run would be. Past
// the first few it is shown with -v only.
func (r *report) mended(token, entry, message string, few, would bool) {
	word := "repaired"
	if would {
		word = "would repair"
	}
	switch {
	case r.json != nil:
		r.json.repaired(token, entry, message, would)
	case !r.quiet && (few || r.verbose):
		r.say("%s: %s: %s", word, quote(token+"/"+entry), escape(message))
	}
}

// caution tells what is sound and dangerous all the same.
func (r *report) caution(token, entry string, f format.Finding) {
	switch {
	case r.json != nil:
		r.json.caution(token, entry, f)
	case !r.quiet:
		r.say("note: %s", describe(token, entry, f))
	}
}

// A notice is a finding as it is told: on what, and what to do.
type notice struct {
	format.Finding
	token, entry   string
	archived, live string // of a difference: the archive's and the token's
	advice         advice
}

// finding names what is wrong with an entry or a token and went on.
func (r *report) finding(token, entry string, f format.Finding) {
	r.tell(notice{Finding: f, token: token, entry: entry})
}

func (r *report) tell(n notice) {
	r.findings++
	r.refused = r.refused || n.Kind == wrongPIN
	if r.json != nil {
		r.json.finding(n)
		return
	}
	if r.seen[n.Kind] == 0 {
		r.kinds = append(r.kinds, n.Kind)
	}
	r.seen[n.Kind]++
	if r.quiet {
		return
	}
	r.remember(n.Kind, n.advice)
	if r.seen[n.Kind] <= sameFindings || r.verbose {
		r.say("%s", describe(n.token, n.entry, n.Finding))
	}
}

// plain is a finding about what is no token's: an operand, a pattern.
func (r *report) plain(kind, subject, message string) {
	r.finding(subject, "", format.Finding{Kind: kind, Offset: -1, Message: message})
}

// describe is a finding in one line.
func describe(token, entry string, f format.Finding) string {
	where := quote(token)
	if entry != "" {
		where = quote(token + "/" + entry)
	}
	line := where + ": " + escape(f.Kind) + ": " + escape(f.Message)
	switch {
	case f.File != "" && f.Offset >= 0:
		line += fmt.Sprintf(" (%s, byte %d)", quote(f.File), f.Offset)
	case f.File != "" && f.File != entry:
		line += " (" + quote(f.File) + ")"
	}
	return line
}

// entry reports a record's findings.
func (r *report) entry(t *format.Token, rec *format.Record) {
	for _, f := range rec.Details.Findings {
		entry, _ := about(rec, f)
		r.finding(t.Name.String(), entry, f)
	}
}

// about is the entry that a finding on a record is about, and its kind: an index
// can be right, and an object that it lists be missing; so can NVTOK.DAT, and a
// file that belongs to it.
func about(r *format.Record, f format.Finding) (entry string, kind format.Kind) {
	file := path.Base(f.File)
	switch same := f.File == "" || file == path.Base(r.Name.String()); {
	case r.Kind == format.KindIndex && !same:
		return file, format.KindObject
	case r.Kind == format.KindState && !same:
		return f.File, r.Kind
	}
	return entryName(r), r.Kind
}

// entryName is a record's name below its token; a token's own record has none.
func entryName(r *format.Record) string {
	if r.Kind == format.KindToken || r.Kind.Descriptor() {
		return ""
	}
	return r.Name.String()
}

// name lists an entry under -v.
func (r *report) name(s string) {
	if r.verbose && !r.quiet && r.json == nil {
		r.namesTo.line(s)
	}
}

// result is a last line, said once everything is done.
func (r *report) result(form string, args ...any) {
	r.results = append(r.results, fmt.Sprintf(form, args...))
}

// finish says how it ended and gives the exit code.
func (r *report) finish(err error, sum *jsonSummary) (int, error) {
	err = r.flush(err)
	code := codeOf(err)
	if r.findings > 0 {
		code = worst(code, exitFindings)
	}
	if r.busy {
		code = worst(code, exitBusy)
	}
	if r.refused {
		code = worst(code, exitSecret)
	}
	r.countHidden()
	r.advise()
	if r.json != nil {
		r.json.summary(r.command, code, r.findings, err, sum)
		if werr := r.json.out.flush(); werr != nil && (err == nil || errors.Is(err, context.Canceled)) && !r.spared(werr) {
			err = r.unwritten(werr)
			code = codeOf(err)
		}
	}
	switch {
	case errors.Is(err, errPipe):
	case err != nil && (r.json == nil || !r.json.shared):
		fmt.Fprintf(r.log, "tokar: %s\n", explain(err))
	case err == nil && !r.quiet:
		for _, line := range r.results {
			r.say("%s", line)
		}
	}
	return code, err
}

// printable is an error where stdout is closed, and what a command is run for
// would go there.
func (r *report) printable() error {
	if closedAtStart(os.Stdout) && (r.json == nil || r.json.out == r.out) {
		return failedf("", "stdout is closed")
	}
	return nil
}

// said is an error where what was printed did not arrive: a command that is
// about to make its result final asks first.
func (r *report) said() error {
	err := r.out.flush()
	if r.json != nil && (err == nil || r.spared(err)) {
		err = r.json.out.flush()
	}
	if err != nil && !r.spared(err) {
		return r.unwritten(err)
	}
	return nil
}

// flush makes sure of what went to stdout: success is said only when it is
// there. That its reader went away explains any other error, and that it could
// not be written why the run was cancelled.
func (r *report) flush(err error) error {
	werr := r.out.flush()
	switch {
	case werr == nil || r.spared(werr):
		return err
	case err == nil || errors.Is(werr, errPipe) || errors.Is(err, context.Canceled):
		return r.unwritten(werr)
	}
	return err
}

func (r *report) spared(err error) bool { return r.survive && errors.Is(err, errPipe) }

func (r *report) unwritten(err error) error {
	f := &failure{code: exitFailed, err: fmt.Errorf("the output could not be written: %w", err)}
	if r.changed {
		f.code, f.left = exitPartway, cmp.Or(r.stands, "the tokens were restored")
	}
	return f
}

// countHidden says how many findings were not named.
func (r *report) countHidden() {
	for _, kind := range r.kinds {
		switch n := r.seen[kind]; {
		case r.quiet:
			fmt.Fprintf(r.log, "tokar: %s: %s\n", escape(kind), count(uint64(n), "finding"))
		case n > sameFindings && !r.verbose:
			r.say("%s: %s more; -v names them all", escape(kind), count(uint64(n-sameFindings), "finding"))
		}
	}
}

// withFindings ends a result line with their number.
func (r *report) withFindings() string {
	if r.findings == 0 {
		return ""
	}
	return "; " + count(r.findings, "finding")
}
