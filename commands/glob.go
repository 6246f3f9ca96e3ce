package commands

import (
	"strings"
	"unicode/utf8"
)

// match says whether a shell pattern matches the whole of s: * any text, also
// with slashes as in tar; ? one character; [a-z] and [!a-z] one of a set; a
// backslash takes the next character as it is.
func match(pattern, s string) bool {
	// The last * seen, and where its text would go on: a mismatch goes back to
	// it once and never further, so the work is bounded by both lengths.
	star, from := -1, 0
	p, i := 0, 0
	for i < len(s) {
		if p < len(pattern) && pattern[p] == '*' {
			star, from = p, i
			p++
			continue
		}
		if pn, sn, ok := matchOne(pattern[p:], s[i:]); ok {
			p, i = p+pn, i+sn
			continue
		}
		if star < 0 {
			return false
		}
		_, n := utf8.DecodeRuneInString(s[from:])
		from += n
		p, i = star+1, from
	}
	return strings.Trim(pattern[p:], "*") == ""
}

// matchOne matches the first element of the pattern, no *, with the first
// character of s. It tells how long both are.
func matchOne(pattern, s string) (pn, sn int, ok bool) {
	if pattern == "" {
		return 0, 0, false
	}
	r, sn := utf8.DecodeRuneInString(s)
	switch pattern[0] {
	case '?':
		return 1, sn, true
	case '[':
		if n, in := matchSet(pattern, r); n > 0 {
			return n, sn, in
		}
	case '\\':
		if len(pattern) > 1 {
			n, same := sameChar(pattern[1:], s)
			return 1 + n, n, same
		}
	}
	n, same := sameChar(pattern, s)
	return n, n, same
}

// sameChar compares first characters by their bytes, so that what is no UTF-8
// compares too.
func sameChar(a, b string) (n int, same bool) {
	_, n = utf8.DecodeRuneInString(a)
	return n, strings.HasPrefix(b, a[:n])
}

// matchSet matches a set like [a-z]. It returns 0 where the bracket has no
// end: then it is a character like others.
func matchSet(pattern string, r rune) (n int, in bool) {
	i := 1
	negated := strings.HasPrefix(pattern[i:], "!") || strings.HasPrefix(pattern[i:], "^")
	if negated {
		i++
	}
	for first := true; i < len(pattern); first = false {
		if pattern[i] == ']' && !first {
			return i + 1, in != negated
		}
		low, n := setChar(pattern[i:])
		i += n
		high := low
		if i+1 < len(pattern) && pattern[i] == '-' && pattern[i+1] != ']' {
			high, n = setChar(pattern[i+1:])
			i += 1 + n
		}
		in = in || low <= r && r <= high
	}
	return 0, false
}

func setChar(s string) (rune, int) {
	if s[0] == '\\' && len(s) > 1 {
		r, n := utf8.DecodeRuneInString(s[1:])
		return r, n + 1
	}
	return utf8.DecodeRuneInString(s)
}
