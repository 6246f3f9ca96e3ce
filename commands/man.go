package commands

import (
	"cmp"
	_ "embed"
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
)

// Manual pages come from the table that help prints; only tokar(1) and
// tokar-format(5) have text of their own.

//go:embed man/tokar.1
var overviewPage string

//go:embed man/tokar-format.5
var formatPage string

func manCommand() *command {
	return &command{
		name:     "man",
		hidden:   true, // make install asks; people have man
		summary:  "print a manual page, or the names of all",
		synopsis: "[PAGE]",
		run: func(s *session, c *cli.Context) error {
			names, pages := manual(table())
			if len(s.operands) == 0 {
				s.report.out.line(strings.Join(names, "\n"))
				return nil
			}
			page, ok := pages[s.operands[0].text]
			if !ok {
				return usagef(s.name, "no page %s; without a name, man prints all there are", quote(s.operands[0].text))
			}
			s.report.out.line(strings.TrimSuffix(page, "\n"))
			return nil
		},
	}
}

// manual is every page by its file's name.
func manual(commands []*command) (names []string, pages map[string]string) {
	commands = slices.DeleteFunc(slices.Clone(commands), func(c *command) bool { return c.hidden })
	pages = map[string]string{
		"tokar.1":        fillIn(overviewPage, commands),
		"tokar-format.5": fillIn(formatPage, commands),
	}
	names = []string{"tokar.1", "tokar-format.5"}
	for _, c := range commands {
		name := "tokar-" + c.name + ".1"
		names, pages[name] = append(names, name), c.page(commands)
	}
	return names, pages
}

// fillIn completes a page with what the code knows.
func fillIn(page string, commands []*command) string {
	return strings.NewReplacer(
		"@TITLE@", `"`+cmp.Or(released, "undated")+`" "`+roff(program())+`"`,
		"@COMMANDS@\n", commandList(commands),
		"@EXIT@\n", exitList(),
		"@PAGES@\n", seeAlso(commands, "tokar"),
	).Replace(page)
}

// page is a command's.
func (c *command) page(commands []*command) string {
	var b strings.Builder
	fmt.Fprintf(&b, ".TH TOKAR-%s 1 @TITLE@\n", strings.ToUpper(c.name))
	fmt.Fprintf(&b, ".SH NAME\ntokar-%s \\- %s\n", c.name, roff(c.summary))
	b.WriteString(".SH SYNOPSIS\n" + c.usage(c.name))
	if c.letter != "" {
		b.WriteString(".br\n" + c.usage(c.letter))
	}
	b.WriteString(".SH DESCRIPTION\n" + paragraphs(cmp.Or(c.text, sentence(c.summary))))
	if len(c.flags) > 0 {
		b.WriteString(".SH OPTIONS\nFlags stand anywhere after the command, \\fB\\-\\-\\fR ends them.\n")
	}
	for _, f := range c.flags {
		b.WriteString(option(describeFlag(f)))
	}
	b.WriteString(".SH EXIT STATUS\n" + exitList())
	if c.examples != "" {
		b.WriteString(".SH EXAMPLES\n.EX\n" + roff(c.examples) + "\n.EE\n")
	}
	if files := filesOf[c.name]; len(files) > 0 {
		b.WriteString(".SH FILES\n" + definitions(files))
	}
	b.WriteString(".SH SEE ALSO\n" + seeAlso(commands, "tokar-"+c.name))
	return fillIn(b.String(), commands)
}

// usage is a line of the synopsis.
func (c *command) usage(name string) string {
	return strings.TrimSpace(`.B "tokar `+name+`"`) + "\n" + roff(c.synopsis) + "\n"
}

// filesOf are the files that a command makes beside what it is told to write.
var filesOf = map[string][]definition{
	"create": {
		{".FILE.part-*", "the archive in the making, beside FILE; removed, or what a killed run left is, by the next"},
	},
	"extract": {
		{"TOKEN.tokar-old", "the token that was replaced, until you remove it"},
		{".TOKEN.tokar-new", "the token in the making, beside its place; the next restore of the token clears up what a killed one left"},
	},
	"keygen": {
		{"FILE", "the key, mode 0600"},
		{"FILE.pub", "its public half, for everybody"},
	},
}

// A definition is a term and what it means.
type definition struct{ term, meaning string }

func definitions(list []definition) string {
	var b strings.Builder
	for _, d := range list {
		fmt.Fprintf(&b, ".TP\n\\fB%s\\fR\n%s", roff(d.term), fill(d.meaning))
	}
	return b.String()
}

func option(d flagDescription) string {
	value := ""
	switch {
	case d.bare:
		value = `[=\fI` + roff(d.value) + `\fR]`
	case d.value != "":
		value = ` \fI` + roff(d.value) + `\fR`
	}
	return fmt.Sprintf(".TP\n\\fB%s\\fR%s\n%s", roff(strings.Join(d.names, ", ")), value, fill(d.usage))
}

func commandList(commands []*command) string {
	var list []definition
	for _, c := range commands {
		list = append(list, definition{strings.TrimSuffix(c.name+", "+c.letter, ", "), c.summary})
	}
	return definitions(list)
}

func exitList() string {
	var list []definition
	for code, meaning := range exitMeanings {
		list = append(list, definition{fmt.Sprint(code), meaning})
	}
	return definitions(append(list, definition{"128+N", "stopped by signal N; nothing was made or restored"}))
}

// seeAlso names all pages but one.
func seeAlso(commands []*command, but string) string {
	pages := []string{"tokar 1", "tokar-format 5"}
	for _, c := range commands {
		pages = append(pages, "tokar-"+c.name+" 1")
	}
	pages = slices.DeleteFunc(pages, func(p string) bool { return strings.HasPrefix(p, but+" ") })
	var b strings.Builder
	for i, p := range pages {
		name, section, _ := strings.Cut(p, " ")
		comma := ","
		if i == len(pages)-1 {
			comma = ""
		}
		fmt.Fprintf(&b, ".BR %s (%s)%s\n", roff(name), section, comma)
	}
	return b.String()
}

// sentence is what a summary becomes where a page has nothing else to say.
func sentence(summary string) string {
	return strings.ToUpper(summary[:1]) + summary[1:] + "."
}

// paragraphs are text as the help has it, for man to fill.
func paragraphs(text string) string {
	var all []string
	for p := range strings.SplitSeq(text, "\n\n") {
		all = append(all, fill(p))
	}
	return strings.Join(all, ".PP\n")
}

// fill writes text in lines that are short in the source too.
func fill(text string) string {
	words := strings.Fields(roff(text))
	for i, w := range words {
		if w[0] == '.' {
			words[i] = `\&` + w // wherever the lines break
		}
	}
	return wrap("", strings.Join(words, " "), 0)
}

// roff writes text so that troff prints it as it is: what it would take for a
// request, an escape or a typographic quote is escaped.
func roff(text string) string {
	var b strings.Builder
	start := true // of a line
	for _, r := range text {
		if start && r == '.' {
			b.WriteString(`\&`)
		}
		switch {
		case special[r] != "":
			b.WriteString(special[r])
		case r >= 0x80:
			fmt.Fprintf(&b, `\[u%04X]`, r)
		default:
			b.WriteRune(r)
		}
		start = r == '\n'
	}
	return b.String()
}

// special are the characters that troff changes.
var special = map[rune]string{
	'\\': `\e`, '-': `\-`, '\'': `\(aq`, '`': `\(ga`, '^': `\(ha`, '~': `\(ti`, '"': `\(dq`,
}
