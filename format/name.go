package format

import (
	"bytes"
	"strings"
)

// A Name is the name of a token or of an entry of one: components joined by a
// zero byte, as on the wire. Names are compared byte for byte.
type Name []byte

// NameOf joins components.
func NameOf(parts ...string) Name { return Name(strings.Join(parts, "\x00")) }

// ParseName reads a name as people write it, components joined by slashes.
func ParseName(s string) (Name, error) {
	n := Name(strings.ReplaceAll(s, "/", "\x00"))
	return n, n.Check()
}

// String joins the components with slashes, unescaped.
func (n Name) String() string { return string(bytes.ReplaceAll(n, []byte{0}, []byte{'/'})) }

// Components splits a name.
func (n Name) Components() []string { return strings.Split(string(n), "\x00") }

// Check applies the format's own rule: one to MaxParts components of 1 to
// MaxPart bytes, none of them "." or "..", none with a slash. Each kind of
// token has stricter rules of its own.
func (n Name) Check() error {
	if len(n) > MaxName {
		return badf(ErrMalformed, "a name of %d bytes", len(n))
	}
	parts := 0
	for rest := []byte(n); ; parts++ {
		part, tail, more := bytes.Cut(rest, []byte{0})
		switch {
		case parts == MaxParts:
			return badf(ErrMalformed, "a name of more than %d components", MaxParts)
		case len(part) == 0 || len(part) > MaxPart:
			return badf(ErrMalformed, "a name component of %d bytes", len(part))
		case string(part) == "." || string(part) == ".." || bytes.IndexByte(part, '/') >= 0:
			return badf(ErrMalformed, "the name component %q", part)
		}
		if !more {
			return nil
		}
		rest = tail
	}
}
