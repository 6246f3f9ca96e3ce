package commands

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"tokar/backends"
	"tokar/backends/all"
	"tokar/format"
	"tokar/format/cryptoki"
	"tokar/stages"
)

// wrongPIN is the kind of finding that a PIN is not the token's: the run goes
// on, and ends with the exit code of a refused secret.
const wrongPIN = "wrong-pin"

// unlock is what the stages take, with who is told what the PINs showed.
func (p *pins) unlock(told unlockedFunc) *stages.Unlock {
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
	for _, err := range eachOf(err) {
		s.report.plain(wrongPIN, name, err.Error()+"; what it alone opens was not checked; no try was counted")
	}
}

// eachOf are the errors that were joined.
func eachOf(err error) []error {
	if all, ok := err.(interface{ Unwrap() []error }); ok {
		return all.Unwrap()
	}
	if err == nil {
		return nil
	}
	return []error{err}
}

// try tries the PINs on tokens' state before anything else is done. Those that
// are wrong are noted.
func (p *pins) try(ctx context.Context, inputs []stages.Input) ([]stages.Refused, error) {
	if !p.given() {
		return nil, nil
	}
	refused, err := stages.TryPINs(ctx, inputs, p.unlock(nil))
	for _, r := range refused {
		for _, err := range eachOf(r.Err) {
			if e := (*backends.PINError)(nil); errors.As(err, &e) {
				p.refuse(r.Token.Name.String(), e.SO)
			}
		}
	}
	return refused, err
}

// privates counts private objects that a run was told of.
type privates struct{ opened, closed uint64 }

func (n *privates) count(r *format.Record) {
	switch {
	case r.Kind != format.KindObject || r.Flags&format.Private == 0:
	case r.Class == format.ClassNone:
		n.closed++
	default:
		n.opened++
	}
}

// words are how many were opened.
func (n *privates) words() string {
	return fmt.Sprintf(" (%s opened)", count(n.opened, "private object"))
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
