package stages

import (
	"context"
	"errors"

	"tokar/backends"
	"tokar/format"
)

// Refused is a token that has other PINs than those given.
type Refused struct {
	Token *format.Token
	Err   error // as Vault.Close gives it
}

// TryPINs opens the state of tokens with the PINs that u gives, before anything
// else is done, and returns the tokens that have others. What is wrong with a
// token besides is not told: the run itself tells.
func TryPINs(ctx context.Context, inputs []Input, u *Unlock) (refused []Refused, err error) {
	if u == nil || u.Logins == nil {
		return nil, nil
	}
	x := newExaminer(u)
	for _, in := range inputs {
		quick := in
		quick.Reading.NoLock = true
		r, err := x.try(ctx, quick)
		if err == nil && r.Err != nil { // a change of the PIN may have been caught half-way
			r, err = x.try(ctx, in)
		}
		if err := ctx.Err(); err != nil {
			return refused, err
		}
		if err == nil && r.Err != nil {
			refused = append(refused, r)
		}
	}
	return refused, nil
}

// try opens one token's state.
func (x *examiner) try(ctx context.Context, in Input) (r Refused, err error) {
	token, err := in.Backend.Open(ctx, in.Location)
	if err != nil {
		return r, err
	}
	defer token.Close()
	s := x.unlocked(token.Info(), token.Info(), in.Backend)
	if s == nil {
		return r, nil
	}
	err = s.learnAll(ctx, token)
	_, wrong := s.close()
	if err != nil || !errors.Is(wrong, backends.ErrPIN) {
		return r, err
	}
	return Refused{token.Info(), wrong}, nil
}

// learnAll learns all state of a token.
func (s *safe) learnAll(ctx context.Context, token backends.Token) error {
	var r format.Record
	buf := make([]byte, usualEntry)
	for e, err := range token.Entries(ctx) {
		if err != nil {
			return err
		}
		if e.Kind != format.KindState {
			continue
		}
		r.Reset()
		r.Kind, r.Flags, r.Name, r.Supersedes = e.Kind, e.Flags, e.Name, format.NoSeq
		r.Details.Findings = append(r.Details.Findings, e.Findings...)
		if err := token.Read(ctx, &e, &r, buf); err != nil {
			return err
		}
		s.vault.Learn(&r)
	}
	clear(buf)
	return nil
}
