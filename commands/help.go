package commands

import (
	"crypto/fips140"
	"fmt"
	"runtime"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"tokar/format"
)

// version is set by the linker.
var version = "unknown"

// program is how archives name their writer.
func program() string { return "tokar " + version }

func versionCommand() *command {
	return &command{
		name:    "version",
		summary: "print versions of program, archive format and Go, and the FIPS state",
		run: func(s *session, c *cli.Context) error {
			fips := "off"
			if fips140.Enabled() {
				fips = "on"
			}
			if fips140.Enforced() {
				fips = "only"
			}
			s.report.out.line(fmt.Sprintf("%s, archive format %d, %s %s/%s, FIPS 140-3 %s",
				program(), format.Version, runtime.Version(), runtime.GOOS, runtime.GOARCH, fips))
			return nil
		},
	}
}

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

Commands, and their letters in tar's way (tokar cvf backup.tokar …):
`)
	for _, c := range commands {
		fmt.Fprintf(&b, "  %-9s %-2s %s\n", c.name, c.letter, c.summary)
	}
	b.WriteString(`
Exit codes: 0 done; 1 done, with findings, each named; 2 wrong usage; 3 failed,
nothing changed; 4 stopped part-way, the message says where; 5 busy, try again;
6 key or passphrase refused; 7 archive damaged or not authentic.

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
	doc := f.(cli.DocGenerationFlag)
	placeholder, usage := unquoteUsage(doc.GetUsage())
	names := slices.Clone(f.Names())
	slices.SortFunc(names, func(a, b string) int { return len(a) - len(b) })
	for i, n := range names {
		names[i] = "-" + n
		if len(n) > 1 {
			names[i] = "--" + n
		}
	}
	head := strings.Join(names, ", ")
	if len(names[0]) > 2 {
		head = "    " + head
	}
	if doc.TakesValue() {
		head += " " + placeholder
	}
	return beside(head, usage)
}

// beside puts text, wrapped, in a column of its own.
func beside(head, text string) string {
	const column, width = 30, 80
	var b strings.Builder
	line := fmt.Sprintf("  %-*s", column-3, head)
	if len(line) > column-1 {
		b.WriteString(line + "\n")
		line = strings.Repeat(" ", column-1)
	}
	for word := range strings.FieldsSeq(text) {
		if len([]rune(line))+1+len([]rune(word)) > width {
			b.WriteString(line + "\n")
			line = strings.Repeat(" ", column-1)
		}
		line += " " + word
	}
	b.WriteString(line + "\n")
	return b.String()
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
