package commands

import (
	"os"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/urfave/cli/v2"

	"tokar/format/keyslot"
)

// A line is a command line, read. The CLI library stops at the first operand,
// so the order is made here, before it sees anything.
type line struct {
	command  *command
	flags    []string // each as --name or --name=value
	operands []operand
	dir      string // of the last -C
	idle     bool   // that -C has operands before it and none after it
	help     bool
}

// An operand is what stands on the command line besides flags, or, with list
// set, a file that names more of them.
type operand struct {
	dir  string // the -C before it; empty without one
	text string
	list bool // text is the FILE of -T
}

// parse reads the words after the program's name.
func parse(words []string, table []*command) (*line, error) {
	if len(words) == 0 {
		return nil, usagef("", "no command is given")
	}
	first, rest := words[0], words[1:]
	if c := find(table, first); c != nil {
		return scan(c, rest)
	}
	switch first {
	case "-h", "--help":
		return scan(find(table, "help"), rest)
	case "--version":
		return scan(find(table, "version"), rest)
	}
	name, flags, rest, err := unbundle(first, rest)
	if err != nil {
		return nil, unknownCommand(table, first, err)
	}
	return scan(find(table, name), append(flags, rest...))
}

func find(table []*command, name string) *command {
	for _, c := range table {
		if name == c.name || name == c.letter && name != "" {
			return c
		}
	}
	return nil
}

// unknownCommand prefers what was nearly typed to what a bundle of tar's
// letters lacks: "creat" is no bundle.
func unknownCommand(table []*command, word string, bundle error) error {
	if later, ok := laterCommands[word]; ok {
		return usagef("", "%s: %s", word, later)
	}
	var names []string
	for _, c := range table {
		if !c.hidden {
			names = append(names, c.name)
		}
	}
	if near := nearest(word, names); near != "" && !bundleLike(word) && word[0] != '-' {
		return usagef("", "unknown command %s, did you mean %s", quote(word), near)
	}
	return bundle
}

// laterCommands are words that tokar will know, or knows by another name.
var laterCommands = map[string]string{
	"backup":  "the command is tokar create",
	"compare": "the command is tokar diff",
	"fsck":    "the command is tokar check",
	"ls":      "the command is tokar list",
	"restore": "the command is tokar extract",
	"salvage": "it is tokar extract --salvage",
	"sign":    "it is tokar create --sign KEY",
	"test":    "the command is tokar verify",
}

// scan reads what follows the command: flags anywhere, "--" ends them.
func scan(c *command, words []string) (*line, error) {
	s := newScanner(c, words)
	for len(s.words) > 0 {
		if err := s.next(); err != nil {
			return nil, err
		}
	}
	return &s.line, nil
}

type scanner struct {
	line
	words []string // still to be read
	given map[string]bool
	last  cli.Flag // that was read
	plain bool     // after "--" everything is an operand
}

func newScanner(c *command, words []string) *scanner {
	return &scanner{line: line{command: c}, words: words, given: map[string]bool{}}
}

// next reads a word, and the one after it if that is its value.
func (s *scanner) next() error {
	w := s.words[0]
	s.words = s.words[1:]
	switch {
	case w == "":
		return usagef(s.command.name, "an operand is empty")
	case s.plain || w == "-" || !strings.HasPrefix(w, "-"):
		s.operand(w, false)
	case w == "--":
		s.plain = true
	case strings.HasPrefix(w, "--"):
		return s.long(w[2:])
	default:
		return s.short(w[1:])
	}
	return nil
}

func (s *scanner) operand(text string, list bool) {
	s.operands = append(s.operands, operand{s.dir, text, list})
	s.idle = false
}

func (s *scanner) long(w string) error {
	name, value, attached := strings.Cut(w, "=")
	if name == "help" {
		s.help = true
		return nil
	}
	f := s.lookup(name)
	switch {
	case f == nil || len(name) == 1:
		return s.unknown("--"+name, longAnswers[name])
	case !takesValue(f) && attached:
		return usagef(s.command.name, "--%s takes no value", name)
	case !takesValue(f):
		return s.take(f, "--"+name, "")
	case attached:
		return s.take(f, "--"+name, value)
	case withoutValue[name] != "":
		return s.take(f, "--"+name, withoutValue[name])
	}
	return s.takeNext(f, "--"+name)
}

// withoutValue is what long flags mean that take a value after = only, where
// none is given.
var withoutValue = map[string]string{"hpke": keyslot.HPKESuites()[0]}

func (s *scanner) short(letters string) error {
	for letters != "" {
		l, n := utf8.DecodeRuneInString(letters)
		letter, after := letters[:n], letters[n:]
		letters = after
		if l == 'h' {
			s.help = true
			continue
		}
		f := s.lookup(letter)
		switch {
		case l == 'p' && (f == nil || !takesValue(f)) && s.pinFollows(after):
			return usagef(s.command.name, "what follows -p looks like a PIN, and no PIN is given on the command line: --pin SOURCE takes it from prompt, file:PATH, fd:N or env:NAME")
		case f == nil:
			return s.unknown("-"+letter, letterAnswers[l])
		case takesValue(f) && strings.HasPrefix(after, "="):
			return usagef(s.command.name, "-%s takes its value without the =", letter)
		case takesValue(f) && after != "":
			return s.take(f, "-"+letter, after)
		case takesValue(f):
			return s.takeNext(f, "-"+letter)
		}
		if err := s.take(f, "-"+letter, ""); err != nil {
			return err
		}
	}
	return nil
}

// pinFollows says whether a PIN seems to be given after -p, to a command whose
// operands are paths. It is not to be repeated in a message.
func (s *scanner) pinFollows(after string) bool {
	if after == "" && len(s.words) > 0 {
		after = s.words[0]
	}
	if len(after) < 4 || len(after) > 8 || strings.Trim(after, "0123456789") != "" || s.command.name != "create" && s.command.name != "check" {
		return false
	}
	_, err := os.Lstat(joinDir(s.dir, after))
	return err != nil
}

// takeNext takes the next word as the flag's value, unless it looks like
// another flag: then a value was forgotten.
func (s *scanner) takeNext(f cli.Flag, shown string) error {
	if len(s.words) == 0 || s.words[0] == "--" {
		return usagef(s.command.name, "%s wants a value", shown)
	}
	value := s.words[0]
	if strings.HasPrefix(value, "-") && value != "-" {
		return usagef(s.command.name, "%s wants a value, and %s looks like a flag; if it is the value, write --%s=%s",
			shown, quote(value), f.Names()[0], quote(value))
	}
	s.words = s.words[1:]
	return s.take(f, shown, value)
}

// take notes a flag. -C and -T count from their place, so they stay here.
func (s *scanner) take(f cli.Flag, shown, value string) error {
	s.last = f
	name := f.Names()[0]
	_, repeatable := f.(*cli.StringSliceFlag)
	switch {
	case takesValue(f) && value == "":
		return usagef(s.command.name, "%s wants a value; it is empty", shown)
	case name == "directory":
		s.dir = joinDir(s.dir, value)
		s.idle = len(s.operands) > 0
	case name == "files-from":
		s.operand(value, true)
	case takesValue(f) && !repeatable && s.given[name]:
		return usagef(s.command.name, "%s is given twice", shown)
	case takesValue(f):
		s.flags = append(s.flags, "--"+name+"="+value)
	case !s.given[name]:
		s.flags = append(s.flags, "--"+name)
	}
	s.given[name] = true
	return nil
}

func (s *scanner) lookup(name string) cli.Flag {
	for _, f := range s.command.flags {
		if slices.Contains(f.Names(), name) {
			return f
		}
	}
	return nil
}

func (s *scanner) unknown(shown, answer string) error {
	if answer != "" {
		return usagef(s.command.name, "no flag %s: %s", shown, answer)
	}
	var names []string
	for _, f := range s.command.flags {
		for _, n := range f.Names() {
			if len(n) > 1 {
				names = append(names, n)
			}
		}
	}
	if near := nearest(strings.TrimLeft(shown, "-"), names); near != "" {
		return usagef(s.command.name, "unknown flag %s, did you mean --%s", quote(shown), near)
	}
	return usagef(s.command.name, "unknown flag %s", quote(shown))
}

func takesValue(f cli.Flag) bool {
	d, ok := f.(cli.DocGenerationFlag)
	return ok && d.TakesValue()
}

// nearest finds the name that word was probably meant to be, or nothing.
func nearest(word string, names []string) string {
	best, most := "", min(len(word)/3, 2)
	for _, n := range names {
		if len(word) > 2 && strings.HasPrefix(n, word) {
			return n
		}
		if d := distance(word, n); d <= most {
			best, most = n, d-1
		}
	}
	return best
}

// distance counts the letters to insert, delete, replace or swap between a
// and b.
func distance(a, b string) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(row[j-1]+1, last[j]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
