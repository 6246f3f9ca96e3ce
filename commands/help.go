package commands

import (
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
)

func helpCommand() *command {
	return &command{
		name:     "help",
		summary:  "explain tokar, or one command",
		synopsis: "[COMMAND]",
		run: func(s *session, c *cli.Context) error {
			commands := table()
			if len(s.operands) == 0 {
				s.report.out.line(overview(commands))
				return nil
			}
			word := s.operands[0].text
			for _, c := range commands {
				if word == c.name || word == c.letter {
					s.report.out.line(c.help())
					return nil
				}
			}
			return unknownCommand(commands, word, usagef("", "unknown command %s", quote(word)))
		},
	}
}

func overview(commands []*command) string {
	var b strings.Builder
	b.WriteString(`tokar is tar for cryptographic tokens: it archives them into one encrypted,
checked stream, and puts them back.

  tokar keygen -o restore.key
  tokar create -R restore.key.pub -f backup.tokar /var/lib/opencryptoki
  tokar verify -i restore.key -f backup.tokar
  tokar extract -i restore.key -f backup.tokar -C dir

Something is wrong with a token? These look, and write nothing; the first two
print the commands that mend it:

  tokar check /var/lib/opencryptoki
  tokar diff -i restore.key -f backup.tokar -C /var/lib/opencryptoki
  tokar extract -n -i restore.key -f backup.tokar -C /var/lib/opencryptoki swtok

The archive itself is damaged, and no whole one is left?

  tokar extract --salvage -i restore.key -f backup.tokar -C new

Commands, and their letters in tar's way (tokar cvf backup.tokar …):
`)
	for _, c := range commands {
		if !c.hidden {
			fmt.Fprintf(&b, "  %-10s %-2s %s\n", c.name, c.letter, c.summary)
		}
	}
	var codes []string
	for code, meaning := range exitMeanings {
		codes = append(codes, fmt.Sprintf("%d %s", code, meaning))
	}
	b.WriteString("\n" + wrap("", "Exit codes: "+strings.Join(codes, "; ")+"; 128+N stopped by signal N.", 0) + `
"tokar help COMMAND" tells more.`)
	return b.String()
}

// help is a command's page, examples first.
func (c *command) help() string {
	var b strings.Builder
	name := c.name
	if c.letter != "" {
		name += ", " + c.letter
	}
	fmt.Fprintf(&b, "tokar %s: %s\n\n", name, c.summary)
	for line := range strings.Lines(c.examples) {
		fmt.Fprintf(&b, "  %s", line)
	}
	if c.examples != "" {
		b.WriteString("\n\n")
	}
	fmt.Fprintf(&b, "usage: %s\n", strings.TrimSpace("tokar "+c.name+" "+c.synopsis))
	if c.text != "" {
		fmt.Fprintf(&b, "\n%s\n", c.text)
	}
	if len(c.flags) > 0 {
		b.WriteString("\n")
	}
	for _, f := range c.flags {
		b.WriteString(flagHelp(f))
	}
	return strings.TrimRight(b.String(), "\n")
}

// flagHelp is a flag's entry: its names, and what it does, wrapped beside
// them.
func flagHelp(f cli.Flag) string {
	d := describeFlag(f)
	head := strings.Join(d.names, ", ")
	if len(d.names[0]) > 2 {
		head = "    " + head
	}
	switch {
	case d.bare:
		head += "[=" + d.value + "]"
	case d.value != "":
		head += " " + d.value
	}
	return beside(head, d.usage)
}

// A flagDescription is what help, manual pages and completion say of a flag.
type flagDescription struct {
	names []string // with their dashes, the short one first
	value string   // a word for its value; empty if it takes none
	bare  bool     // it may stand without one
	usage string
}

func describeFlag(f cli.Flag) (d flagDescription) {
	doc := f.(cli.DocGenerationFlag)
	if d.value, d.usage = unquoteUsage(doc.GetUsage()); !doc.TakesValue() {
		d.value = ""
	}
	d.bare = withoutValue[f.Names()[0]] != ""
	for _, n := range slices.SortedFunc(slices.Values(f.Names()), func(a, b string) int { return len(a) - len(b) }) {
		if len(n) > 1 {
			n = "-" + n
		}
		d.names = append(d.names, "-"+n)
	}
	return d
}

// beside puts text, wrapped, in a column of its own.
func beside(head, text string) string {
	const column = 30
	line := fmt.Sprintf("  %-*s", column-3, head)
	if len(line) > column-1 {
		return line + "\n" + wrap(strings.Repeat(" ", column-1), text, column)
	}
	return wrap(line, text, column)
}

// wrap breaks text into lines: the first follows head, the others begin at a
// column.
func wrap(head, text string, column int) string {
	const width = 80
	var b strings.Builder
	for word := range strings.FieldsSeq(text) {
		if len([]rune(head))+1+len([]rune(word)) > width {
			b.WriteString(head + "\n")
			head = strings.Repeat(" ", max(column-1, 0))
		}
		if head != "" || column > 0 {
			head += " "
		}
		head += word
	}
	return b.String() + head + "\n"
}

// unquoteUsage takes the placeholder, in backquotes, out of a flag's usage.
func unquoteUsage(usage string) (placeholder, text string) {
	before, rest, ok := strings.Cut(usage, "`")
	name, after, closed := strings.Cut(rest, "`")
	if !ok || !closed {
		return "VALUE", usage
	}
	return name, before + name + after
}

func join(groups ...[]cli.Flag) []cli.Flag { return slices.Concat(groups...) }
