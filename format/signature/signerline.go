package signature

import (
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
)

const blanks = " \t"

// parseSigner reads a line; nil if there is nothing in it.
func parseSigner(line string) (*signer, error) {
	line = strings.TrimLeft(line, blanks)
	if line == "" || line[0] == '#' {
		return nil, nil
	}
	if strings.Contains(line, "\x00") {
		return nil, errors.New("a zero byte")
	}
	if word, _ := cutWord(line); isKeyType(word) {
		return nil, errors.New("it is a key without a name; write whose it is before it, as backup@host7")
	}
	names, rest, err := cutNames(line)
	if err != nil {
		return nil, err
	}
	s := &signer{}
	for name := range strings.SplitSeq(names, ",") {
		if isOption(name) {
			return nil, errors.New("an option where a name belongs; write whose key it is before it, as backup@host7")
		}
		if name != "" && name[0] != '!' {
			s.principals = append(s.principals, name)
		}
	}
	if len(s.principals) == 0 {
		return nil, errors.New("it names nobody")
	}
	if word, _ := cutWord(rest); isKeyType(word) {
		return s, s.setKey(rest)
	}
	options, rest, err := cutOptions(rest)
	if err != nil {
		return nil, err
	}
	// The key first: where there is none this may be a line of anything, which
	// no message repeats.
	if err := s.setKey(rest); err != nil {
		return nil, err
	}
	return s, s.setOptions(options)
}

// isOption says of a name whether it was meant as an option. As a name it would
// restrict nothing, since any name counts: an expired key would be good for ever.
func isOption(name string) bool {
	word, _, _ := strings.Cut(strings.ToLower(name), "=")
	return strings.Contains(name, `"`) || slices.Contains([]string{"cert-authority", "namespaces", "valid-after", "valid-before"}, word)
}

var errOpenQuote = errors.New("a quote is not closed")

// cutNames takes the principals off a line: to the first blank, or between
// double quotes.
func cutNames(line string) (names, rest string, err error) {
	quoted, ok := strings.CutPrefix(line, `"`)
	if !ok {
		names, rest = cutWord(line)
		return names, rest, nil
	}
	names, rest, ok = strings.Cut(quoted, `"`)
	if !ok {
		return "", "", errOpenQuote
	}
	return names, strings.TrimLeft(rest, blanks), nil
}

func cutWord(s string) (word, rest string) {
	end := strings.IndexAny(s, blanks)
	if end < 0 {
		return s, ""
	}
	return s[:end], strings.TrimLeft(s[end:], blanks)
}

// cutOptions takes the options off: to the first blank outside double quotes,
// in which \" is no end.
func cutOptions(s string) (options, rest string, err error) {
	quoted := false
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '\\' && i+1 < len(s) && s[i+1] == '"':
			i++
		case s[i] == '"':
			quoted = !quoted
		case !quoted && strings.IndexByte(blanks, s[i]) >= 0:
			return s[:i], strings.TrimLeft(s[i:], blanks), nil
		}
	}
	if quoted {
		return "", "", errOpenQuote
	}
	return s, "", nil
}

// isKeyType says whether a word names a type of SSH keys, whether it can sign
// archives or not.
func isKeyType(word string) bool {
	for _, prefix := range []string{"ssh-", "ecdsa-sha2-", "sk-", "webauthn-"} {
		if strings.HasPrefix(word, prefix) {
			return true
		}
	}
	return false
}

func (s *signer) setKey(text string) error {
	name, rest := cutWord(text)
	blob, _ := cutWord(rest)
	wire, err := base64.StdEncoding.Strict().DecodeString(blob)
	if err != nil || blob == "" {
		return errors.New("no public key in it")
	}
	if inner, _, ok := cutString(wire); !ok || string(inner) != name {
		return fmt.Errorf("the key is not of type %q", name)
	}
	key, err := parseKey(wire)
	if err == nil {
		s.key = key.Marshal()
	}
	return err
}

// setOptions reads a list of NAME or NAME="VALUE" with commas between; case of
// names does not count.
func (s *signer) setOptions(text string) error {
	text = strings.TrimPrefix(text, ",") // as ssh-keygen takes it
	for first := true; first || text != ""; first = false {
		name, value, rest, err := cutOption(text)
		if err != nil {
			return err
		}
		if err := s.setOption(strings.ToLower(name), value); err != nil {
			return err
		}
		var more bool
		if text, more = strings.CutPrefix(rest, ","); !more && rest != "" || more && text == "" {
			return errors.New("options are NAME or NAME=\"VALUE\" with commas between")
		}
	}
	if !s.after.IsZero() && !s.before.IsZero() && s.before.Before(s.after) {
		return errors.New("valid-before is before valid-after")
	}
	return nil
}

// cutOption takes one option off; value is nil where there is none.
func cutOption(text string) (name string, value *string, rest string, err error) {
	end := strings.IndexAny(text, `=,`)
	if end < 0 {
		return text, nil, "", nil
	}
	name, rest = text[:end], text[end:]
	if rest[0] == ',' {
		return name, nil, rest, nil
	}
	if !strings.HasPrefix(rest, `="`) {
		return "", nil, "", fmt.Errorf("the value of %q stands not in double quotes", name)
	}
	var v strings.Builder
	for i := 2; i < len(rest); i++ {
		switch {
		case rest[i] == '"':
			text := v.String()
			return name, &text, rest[i+1:], nil
		case rest[i] == '\\' && i+1 < len(rest) && rest[i+1] == '"':
			i++
		}
		v.WriteByte(rest[i])
	}
	return "", nil, "", fmt.Errorf("the quote of %q is not closed", name)
}

func (s *signer) setOption(name string, value *string) error {
	if name == "cert-authority" && value == nil {
		return errors.New("authorities of certificates are not taken: list the keys themselves")
	}
	set := map[string]bool{"namespaces": s.namespaces != nil, "valid-after": !s.after.IsZero(), "valid-before": !s.before.IsZero()}
	again, known := set[name]
	switch {
	case !known || value == nil:
		return fmt.Errorf("the option %q is not known", name)
	case again:
		return fmt.Errorf("the option %q stands there twice", name)
	}
	var err error
	switch name {
	case "namespaces":
		s.namespaces = value
	case "valid-after":
		s.after, err = ParseTime(*value)
	case "valid-before":
		s.before, err = ParseTime(*value)
	}
	return err
}
