package commands

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"unicode"

	"tokar/backends"
	"tokar/format"
	"tokar/stages"
)

// What a token or an archive says of itself, 64 KiB of it, comes to no terminal
// as it is: not in a list, a finding, a difference, an error, a name, or JSON,
// of which each line stays a line and stays JSON.
func TestHostileText(t *testing.T) {
	for i, evil := range []string{"\x1b]0;t\a", "\r\n", "\u202e", "\xff\xfe\xc0\x80", "\x00", "\u009b2J", "\u2028\u2029", "\U000e0041", "\x7f\b"} {
		size := 1 << 10
		if i == 0 {
			size = 64 << 10
		}
		text := strings.Repeat(evil+"a", size/(len(evil)+1)+1)
		tok := &format.Token{Name: format.Name(text), Kind: text, Label: text, Model: text, Manufacturer: text, Serial: text, Notes: []string{text}}
		rec := &format.Record{}
		rec.Reset()
		rec.Kind, rec.Name, rec.Class = format.KindObject, format.Name(text), 3
		rec.Details = format.Details{Label: []byte(text), ID: []byte(text), Attr: format.Attr{Known: true, Owner: text, Group: text, Security: text}}
		rec.Details.Findings = []format.Finding{{Kind: text, File: text, Offset: 1, Message: text}}

		r, out, log := written()
		r.verbose = true
		r.name(quote(text))
		r.note(text, text)
		r.plain(text, text, text)
		r.entry(tok, rec)
		r.finish(fmt.Errorf("%s: %w", text, backends.ErrExists), summaryOf(&stages.Summary{Tokens: 1}))
		r.out.flush()
		shown := out.String() + log.String() + string(appendRow(appendRow(nil, tok, rec, true), tok, rec, false)) + heading(tok) + describe(text, text, rec.Details.Findings[0])
		if len(shown) < 5*size {
			t.Errorf("%q: only %d bytes", evil, len(shown))
		}
		for i, c := range shown {
			if c != '\n' && c != ' ' && !unicode.IsGraphic(c) {
				t.Errorf("%q: %q is shown: %q", evil, c, shown[max(0, i-20):min(len(shown), i+20)])
				break
			}
		}
		if invalid := strings.ToValidUTF8(shown, "\x00"); strings.Contains(invalid, "\x00") {
			t.Errorf("%q: what is shown is no UTF-8", evil)
		}

		r, out, _ = written()
		r.json = &jsonLines{out: r.out}
		r.json.token(tok)
		r.json.object(tok, rec, nil)
		r.finding(text, text, rec.Details.Findings[0])
		r.finish(fmt.Errorf("%s", text), nil)
		r.out.flush()
		lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
		if len(lines) != 4 {
			t.Errorf("%q: %d lines of JSON", evil, len(lines))
		}
		for _, line := range lines {
			var v map[string]any
			if err := json.Unmarshal([]byte(line), &v); err != nil {
				t.Errorf("%q: %v", evil, err)
			}
			if strings.ContainsFunc(line, func(c rune) bool { return !unicode.IsGraphic(c) }) {
				t.Errorf("%q: JSON shows it", evil)
			}
		}
	}
}
