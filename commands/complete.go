package commands

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/urfave/cli/v2"

	"tokar/format/keyslot"
)

// Shells ask `tokar __complete` what may stand at the cursor; the scripts of
// `tokar completion` do no more than to ask and to offer. Nothing here asks,
// prints an error, runs another program or takes longer than tabTime.

// completeWord is the first argument of that question.
const completeWord = "__complete"

// tabTime is how long somebody who typed TAB may wait.
const tabTime = time.Second

// A completion is the word at the cursor, and what may stand there.
type completion struct {
	command *command // nil: it is the first word
	given   *scanner // what stands before the word
	typed   string
	at      int    // where in typed the candidates begin
	how     string // "files" or "dirs": the shell knows better what there is
	words   []candidate
}

// A candidate may stand where at is.
type candidate struct{ text, about string }

// answerCompletion answers zsh WORD…, fish WORD… or, as bash splits words its
// own way, bash RAW LINE. The answer's first line says what the shell shall
// offer by itself; then come the candidates.
func answerCompletion(args []string) int {
	time.AfterFunc(tabTime, func() { os.Exit(exitDone) })
	defer func() { recover() }() // a completion that fails completes nothing
	hideMemory()
	switch {
	case len(args) == 3 && args[0] == "bash":
		os.Stdout.WriteString(completeBash(args[1], args[2]))
	case len(args) > 1:
		os.Stdout.WriteString(complete(args[1:]).plainly())
	}
	return exitDone
}

// complete completes the last of the words after the program's name.
func complete(words []string) *completion {
	last := len(words) - 1
	c := &completion{typed: words[last]}
	if last == 0 {
		c.firstWord()
		return c
	}
	flag := c.read(words[0], words[1:])
	switch {
	case c.command == nil:
	case flag != nil:
		c.value(flag)
	case !c.given.plain && strings.HasPrefix(c.typed, "--") && strings.Contains(c.typed, "="):
		name, _, _ := strings.Cut(c.typed[2:], "=")
		if flag := c.given.lookup(name); flag != nil && takesValue(flag) {
			c.at = len(name) + 3
			c.value(flag)
		}
	case !c.given.plain && strings.HasPrefix(c.typed, "-"):
		c.flags()
	default:
		c.operands()
	}
	return c
}

// operands completes what is no flag, for commands where that can be known.
func (c *completion) operands() {
	switch c.command.name {
	case "create", "check":
		c.tokens()
	case "list", "extract", "diff":
		c.patterns()
	case "cat":
		c.objects()
	case "completion":
		c.shells()
	case "help":
		c.topics()
	}
}

// read takes the words before the typed one. It returns the flag whose value
// the typed one is, if it is one.
func (c *completion) read(first string, words []string) cli.Flag {
	if c.command = find(table(), first); c.command == nil {
		return c.readBundle(first, words)
	}
	return c.scan(words)
}

// readBundle does so where the first word is tar's. Words are put after the
// typed one, for letters whose values are not there yet.
func (c *completion) readBundle(first string, words []string) cli.Flag {
	name, flags, _, err := unbundle(first, append(slices.Clone(words), make([]string, len(first))...))
	if err != nil {
		return nil
	}
	c.command = find(table(), name)
	flags = slices.DeleteFunc(flags, func(f string) bool { return !strings.Contains(f, "=") })
	if n := len(words); n <= len(flags) {
		c.scan(append(flags[:n-1:n-1], ""))
		long, _, _ := strings.Cut(flags[n-1][2:], "=")
		return c.given.lookup(long)
	}
	return c.scan(append(flags, words[len(flags):]...))
}

// scan reads words as running the command would, and says nothing of what is
// wrong with them.
func (c *completion) scan(words []string) cli.Flag {
	c.given = newScanner(c.command, words)
	for len(c.given.words) > 1 {
		c.given.next()
	}
	if len(c.given.words) == 0 {
		return c.given.last
	}
	return nil
}

func (c *completion) firstWord() {
	for _, k := range table() {
		if k.hidden {
			continue
		}
		c.offer(k.name, k.summary)
		if k.letter != "" {
			c.offer(k.letter, k.summary)
		}
	}
	if strings.HasPrefix(c.typed, "-") {
		c.offer("--help", "explain tokar")
		c.offer("--version", "print versions")
	}
}

// flags offers those that are not given yet, or may be given again.
func (c *completion) flags() {
	for _, f := range c.command.flags {
		_, repeatable := f.(*cli.StringSliceFlag)
		if c.given.given[f.Names()[0]] && !repeatable {
			continue
		}
		d := describeFlag(f)
		for _, n := range d.names {
			c.offer(n, d.usage)
		}
	}
	c.offer("--help", "explain "+c.command.name)
}

// value offers what the word that help has for a flag's value stands for.
func (c *completion) value(f cli.Flag) {
	switch describeFlag(f).value {
	case "FILE":
		c.how = "files"
	case "DIR":
		c.how = "dirs"
	case "PATTERN":
		c.operands()
	case "SOURCE":
		c.source()
	case "KEM":
		for _, name := range keyslot.HPKESuites() {
			c.offer(name, "")
		}
	}
}

// source offers where a passphrase comes from.
func (c *completion) source() {
	if strings.HasPrefix(c.typed[c.at:], "file:") {
		c.at += len("file:")
		c.how = "files"
		return
	}
	c.offer("file:", "the first line of a file")
	c.offer("fd:", "an open descriptor")
	c.offer("env:", "a variable")
	c.offer(string(fromPrompt), "ask on the terminal")
}

func (c *completion) shells() {
	for _, name := range shellNames {
		c.offer(name, "")
	}
}

func (c *completion) topics() {
	for _, k := range table() {
		if !k.hidden {
			c.offer(k.name, k.summary)
		}
	}
}

// offer adds a candidate that continues what is typed. One with characters
// that no terminal shows is left out: whoever chose it would not see what it
// is.
func (c *completion) offer(text, about string) {
	if strings.HasPrefix(text, c.typed[c.at:]) && utf8.ValidString(text) && !strings.ContainsFunc(text, invisible) {
		c.words = append(c.words, candidate{text, about})
	}
}

func invisible(r rune) bool { return !unicode.IsPrint(r) }

// plainly is the answer for shells that do the quoting: how, how many typed
// characters stay, then candidates, each with what it is about.
func (c *completion) plainly() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %d\n", c.how, utf8.RuneCountInString(c.typed[:c.at]))
	for _, w := range c.words {
		b.WriteString(w.text + "\t" + escape(w.about) + "\n")
	}
	return b.String()
}
