package signature

import (
	"bytes"
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
	case s.namespaces != nil && !matchList(namespace, *s.namespaces):
		return fmt.Sprintf("line %d allows that key for other namespaces than %s", s.line, namespace), false
	case !s.after.IsZero() && at.Before(s.after):
		return fmt.Sprintf("line %d allows that key from %s on only", s.line, s.after.UTC().Format(form)), true
	case !s.before.IsZero() && at.After(s.before):
		return fmt.Sprintf("line %d allowed that key until %s", s.line, s.before.UTC().Format(form)), true
	}
	return "", false
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
