package commands

import (
	"fmt"
	"strings"
)

// completeBash completes a line, as bash has it up to the cursor. raw is the
// end of it that bash will replace: what follows an open quote, or the last
// character at which bash breaks words. It is given back as it was typed, and
// only what is new is quoted.
func completeBash(raw, line string) string {
	words, quote := bashWords(line)
	if len(words) < 2 {
		return ""
	}
	c := complete(words[1:])
	var b strings.Builder
	fmt.Fprintln(&b, c.how)
	for _, w := range c.words {
		if text, ok := quoteBash(w.text[len(c.typed)-c.at:], quote); ok {
			b.WriteString(raw + text + "\n")
		}
	}
	return b.String()
}

// bashWords splits a line as bash would, and expands nothing. quote is the mark
// that is still open at its end, or 0.
func bashWords(line string) (words []string, quote rune) {
	var word strings.Builder
	within, escaped := false, false
	for _, r := range line {
		blank := quote == 0 && !escaped && strings.ContainsRune(" \t\n", r)
		switch {
		case escaped:
			if quote == '"' && !strings.ContainsRune("$`\"\\", r) {
				word.WriteByte('\\')
			}
			word.WriteRune(r)
			escaped = false
		case r == '\\' && quote != '\'':
			escaped = true
		case blank && within:
			words = append(words, word.String())
			word.Reset()
		case blank:
		case quote != 0 && r == quote:
			quote = 0
		case quote == 0 && (r == '\'' || r == '"'):
			quote = r
		default:
			word.WriteRune(r)
		}
		within = !blank
	}
	if escaped {
		return nil, 0 // the next character is not typed yet
	}
	return append(words, word.String()), quote
}

// quoteBash writes text so that bash takes it as it is, at a place where quote
// is open. In a few places that cannot be done.
func quoteBash(text string, quote rune) (string, bool) {
	special := "\"'`$\\!~#&|;<>()[]{}*?= \t^:@,%"
	switch quote {
	case '\'':
		return text, !strings.Contains(text, "'")
	case '"':
		if special = "\"$`\\"; strings.Contains(text, "!") {
			return "", false // history expansion keeps the backslash before it
		}
	}
	var b strings.Builder
	for _, r := range text {
		if strings.ContainsRune(special, r) {
			b.WriteByte('\\')
		}
		b.WriteRune(r)
	}
	return b.String(), true
}
