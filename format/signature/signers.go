package signature

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// Signers is a list of those whose signatures count, as ssh-keygen(1) has it
// under ALLOWED SIGNERS. Of each line
//
//	PRINCIPALS [OPTIONS] KEYTYPE BASE64 [COMMENT]
//
// any principal counts: an archive has no name to ask for.
type Signers struct {
	Name string    // of the file, for messages
	At   time.Time // the moment at which a key must be valid; zero: now
	list []signer
}

// signer is one line.
type signer struct {
	line          int
	principals    []string  // patterns, without those that exclude
	key           []byte    // in wire form
	namespaces    *string   // pattern list; nil: all
	after, before time.Time // zero: no bound; both belong to it
}

// maxSigners bounds the file, in bytes.
const maxSigners = 1 << 20

// ParseSigners reads a list. A line that cannot be read, or with an option that
// is not known, makes nobody a signer: skipped is told of it. A list without
// any signer is an error.
func ParseSigners(r io.Reader, name string, skipped func(line int, why error)) (*Signers, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxSigners+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s: %w", name, err)
	case len(text) > maxSigners:
		return nil, fmt.Errorf("%s: a list of signers of more than 1 MiB", name)
	}
	s := &Signers{Name: name}
	for n, line := range strings.Split(string(text), "\n") {
		one, err := parseSigner(strings.TrimSuffix(line, "\r"))
		switch {
		case err != nil:
			skipped(n+1, err)
		case one != nil:
			one.line = n + 1
			s.list = append(s.list, *one)
		}
	}
	if len(s.list) == 0 {
		return nil, fmt.Errorf("%s: no signer in it; a line is a name and a public key, as \"backup@host7 ssh-ed25519 AAAA…\"", name)
	}
	return s, nil
}

// Principals says who made a signature, as the list calls them; an UnknownError
// if it is nobody whose signature counts. s may be nil: there is none.
func (l *Signers) Principals(s *Signature) ([]string, error) {
	unknown := &UnknownError{Signature: s, List: l.Name}
	if s == nil {
		return nil, unknown
	}
	at := l.At
	if at.IsZero() {
		at = time.Now()
	}
	var who []string
	for _, one := range l.list {
		if !bytes.Equal(one.key, s.key) {
			continue
		}
		if why, untimely := one.excluded(at); why != "" {
			unknown.Why, unknown.Untimely = why, untimely
			continue
		}
		who = append(who, one.principals...)
	}
	if who == nil {
		return nil, unknown
	}
	return who, nil
}

// excluded says why a line does not count at some time, and whether it does at
// another.
func (s *signer) excluded(at time.Time) (why string, untimely bool) {
	const form = "2006-01-02T15:04:05Z"
	switch {
	case s.namespaces != nil && !matchList(Namespace, *s.namespaces):
		return fmt.Sprintf("line %d allows that key for other namespaces than %s", s.line, Namespace), false
	case !s.after.IsZero() && at.Before(s.after):
		return fmt.Sprintf("line %d allows that key from %s on only", s.line, s.after.UTC().Format(form)), true
	case !s.before.IsZero() && at.After(s.before):
		return fmt.Sprintf("line %d allowed that key until %s", s.line, s.before.UTC().Format(form)), true
	}
	return "", false
}

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

// ParseTime reads a moment as allowed_signers files have it: YYYYMMDD,
// YYYYMMDDHHMM or YYYYMMDDHHMMSS, in the local time zone or, with Z after it,
// UTC.
func ParseTime(text string) (time.Time, error) {
	zone, digits := time.Local, text
	for _, suffix := range []string{"UTC", "Z"} {
		if n := len(text) - len(suffix); n > 0 && strings.EqualFold(text[n:], suffix) {
			zone, digits = time.UTC, text[:n]
			break
		}
	}
	form := map[int]string{8: "20060102", 12: "200601021504", 14: "20060102150405"}[len(digits)]
	t, err := time.ParseInLocation(form, digits, zone)
	if form == "" || err != nil || t.Unix() <= 0 || strings.Trim(digits, "0123456789") != "" {
		return time.Time{}, fmt.Errorf("%q is no time; write YYYYMMDD or YYYYMMDDHHMM[SS], with Z for UTC", text)
	}
	return t, nil
}

// matchList says whether a name matches a list of patterns with commas between,
// as in ssh_config(5): * is any text, ? any byte, and one that begins with !
// and matches excludes the name.
func matchList(name, list string) bool {
	found := false
	for pattern := range strings.SplitSeq(list, ",") {
		pattern, excludes := strings.CutPrefix(pattern, "!")
		if !match(name, pattern) {
			continue
		}
		if excludes {
			return false
		}
		found = true
	}
	return found
}

// match goes back to the last star only, so its work is bounded by the product
// of the lengths.
func match(name, pattern string) bool {
	n, p, star, from := 0, 0, -1, 0
	for n < len(name) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, from = p, n
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == name[n]):
			n, p = n+1, p+1
		case star >= 0:
			from++
			n, p = from, star+1
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}
