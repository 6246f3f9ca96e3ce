package commands

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// escape makes text from a token, an archive or the command line safe for a
// terminal: control characters, invalid UTF-8, direction marks and the
// backslash itself become escapes.
func escape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			b.WriteString(`\x` + hexByte(s[i]))
		case r == '\\':
			b.WriteString(`\\`)
		case unicode.IsGraphic(r) && (r == ' ' || !unicode.IsSpace(r)):
			b.WriteRune(r)
		default:
			q := strconv.QuoteRuneToASCII(r)
			b.WriteString(q[1 : len(q)-1])
		}
		i += n
	}
	return b.String()
}

// quote is escape, in quotation marks where the text has blanks or is empty.
func quote(s string) string {
	if e := escape(s); e != "" && !strings.ContainsAny(e, ` "`) {
		return e
	}
	return `"` + strings.ReplaceAll(escape(s), `"`, `\"`) + `"`
}

func quoteAll(list []string) string {
	quoted := make([]string, len(list))
	for i, s := range list {
		quoted[i] = quote(s)
	}
	return strings.Join(quoted, ", ")
}

func hexByte(c byte) string {
	const digits = "0123456789abcdef"
	return string([]byte{digits[c>>4], digits[c&15]})
}
