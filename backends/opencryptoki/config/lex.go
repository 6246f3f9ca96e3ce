package config

import (
	"bytes"
	"strings"
)

// kind is a token's kind; those of one character are that character.
type kind byte

const (
	end     kind = 0
	blank   kind = ' '  // what means nothing: also comments, and characters that the lexer does not know
	newline kind = '\n' // ends a line, and a comment
	word    kind = 'w'
	number  kind = '0'
	version kind = '.' // major.minor
	text    kind = '"' // in quotes
	first   kind = 'v' // the word "version", as the first of all
)

// token is a piece of a configuration, from, and before, offsets. Tokens follow
// each other without a gap.
type token struct {
	kind     kind
	from, to int
	line     int
}

// lexer cuts a configuration into tokens.
type lexer struct {
	data  []byte
	at    int
	line  int
	begun bool // something other than blanks was there
}

// next is the next token; of kind end, again and again, after the last.
func (l *lexer) next() token {
	t := token{from: l.at, line: l.line}
	t.kind, t.to = l.cut(l.data[l.at:])
	t.to += t.from
	l.line += bytes.Count(l.data[t.from:t.to], []byte("\n"))
	l.at = t.to
	if c := l.data[t.from:t.to]; len(c) > 0 && strings.IndexByte(" \t\n#", c[0]) < 0 {
		l.begun = true
	}
	return t
}

// cut says what b begins with, and how long that is.
func (l *lexer) cut(b []byte) (kind, int) {
	if len(b) == 0 {
		return end, 0
	}
	// Right at the beginning "version" need not even end there.
	if !l.begun && bytes.HasPrefix(b, []byte("version")) {
		return first, len("version")
	}
	switch c := b[0]; {
	case c == '\n':
		return newline, 1
	case c == '#':
		return blank, until(b, '\n')
	case strings.IndexByte("={}(),", c) >= 0:
		return kind(c), 1
	case c == '"':
		n := until(b[1:], '"')
		switch {
		case n+1 == len(b):
			return text, len(b) // never ends: the parser looks
		case n == 0:
			return blank, 2 // an empty text is none
		}
		return text, n + 2
	case letter(c):
		return word, 1 + span(b[1:], wordByte)
	case digit(c):
		return numeral(b)
	}
	return blank, 1
}

// numeral cuts a number: 0x and hexadecimal digits, digits with a dot between, or
// decimal digits, which after a 0 are another number.
func numeral(b []byte) (kind, int) {
	n := span(b, digit)
	if n < len(b) && b[n] == '.' {
		if m := span(b[n+1:], digit); m > 0 {
			return version, n + 1 + m
		}
	}
	if b[0] != '0' {
		return number, n
	}
	if len(b) > 1 && b[1] == 'x' {
		if m := span(b[2:], hexDigit); m > 0 {
			return number, 2 + m
		}
	}
	return number, 1
}

// until is the length of b before the first c.
func until(b []byte, c byte) int {
	if i := bytes.IndexByte(b, c); i >= 0 {
		return i
	}
	return len(b)
}

// span is how many bytes b begins with that are such.
func span(b []byte, such func(byte) bool) int {
	for i, c := range b {
		if !such(c) {
			return i
		}
	}
	return len(b)
}

func letter(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c == '.' || c == '/'
}
func digit(c byte) bool    { return '0' <= c && c <= '9' }
func hexDigit(c byte) bool { return digit(c) || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F' }
func wordByte(c byte) bool { return letter(c) || digit(c) || c == '_' || c == '-' }
