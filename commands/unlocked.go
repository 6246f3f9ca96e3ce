package commands

import (
	"encoding/hex"
	"strings"

	"tokar/backends/all"
	"tokar/format"
	"tokar/format/cryptoki"
	"tokar/stages"
)

// wrongPIN is the kind of finding that a PIN is not the token's: the run goes
// on, and ends with the exit code of a refused secret.
const wrongPIN = "wrong-pin"

// unlock is what the stages take, with who is told what the PINs showed.
func (p *pins) unlock(told func(t *format.Token, found []format.Finding, err error)) *stages.Unlock {
	u := &stages.Unlock{Backend: all.ByKind, Told: told}
	if p.given() {
		u.Logins = p.loginsOf
	}
	return u
}

// namesOf are the tokens' names as listings show them.
func namesOf(inputs []stages.Input) []string {
	names := []string{}
	for _, in := range inputs {
		names = append(names, in.Name.String())
	}
	return names
}

// unlocked tells what PINs showed of a token as a whole.
func (s *session) unlocked(t *format.Token, found []format.Finding, err error, advise func(format.Finding) advice) {
	name := t.Name.String()
	for _, f := range found {
		entry, _ := entryOf(f)
		s.report.tell(notice{Finding: f, token: name, entry: entry, advice: advise(f)})
	}
	each := []error{err}
	if all, ok := err.(interface{ Unwrap() []error }); ok {
		each = all.Unwrap()
	}
	for _, err := range each {
		if err != nil {
			s.report.plain(wrongPIN, name, err.Error()+"; what it alone opens was not checked; no try was counted")
		}
	}
}

// entryOf is the entry that a finding on a whole token is about.
func entryOf(f format.Finding) (entry string, kind format.Kind) {
	if name, ok := strings.CutPrefix(f.File, "TOK_OBJ/"); ok {
		return name, format.KindObject
	}
	return f.File, format.KindState
}

// contentOf is what a PIN showed of a private object, after its name.
func contentOf(r *format.Record) string {
	if r.Kind != format.KindObject || r.Flags&format.Private == 0 || r.Class == format.ClassNone {
		return ""
	}
	line := " " + strings.ReplaceAll(cryptoki.ShortClass(r.Class), " ", "-")
	if r.Details.KeyType != format.ClassNone {
		line += " " + cryptoki.ShortKeyType(r.Details.KeyType)
	}
	if len(r.Details.Label) > 0 {
		line += " label=" + quote(string(r.Details.Label))
	}
	if len(r.Details.ID) > 0 {
		line += " id=" + hex.EncodeToString(r.Details.ID)
	}
	return line
}
