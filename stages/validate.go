package stages

import (
	"context"

	"tokar/backends"
	"tokar/format"
)

// validate asks the token's kind about every entry, by its bytes alone.
//
// Forward, what is unsound is marked and archived as it is. Reverse, what was
// not marked must still be sound: an archive that carries more than it says
// was not made by a tokar that looked, or by one that knew less, and is not
// passed on in silence.
type validate struct {
	tokens     *tokens // reverse
	validators map[*format.Token]backends.Validator
}

// maxValidators bounds what a worker remembers between tokens.
const maxValidators = 64

func (s *validate) of(b backends.Backend, t *format.Token) (backends.Validator, error) {
	if v := s.validators[t]; v != nil {
		return v, nil
	}
	if s.validators == nil || len(s.validators) >= maxValidators {
		s.validators = map[*format.Token]backends.Validator{}
	}
	v, err := b.Validator(t)
	s.validators[t] = v
	return v, err
}

func (s *validate) Forward(_ context.Context, b *Batch) error {
	first := b.at - len(b.Records)
	for i := range b.Records {
		r := &b.Records[i]
		if r.Kind.Descriptor() || r.Absent() {
			continue
		}
		run := b.planned[first+i].run
		v, err := s.of(run.backend, run.info)
		if err != nil {
			return err
		}
		public, findings := v.Validate(r)
		if len(findings) > 0 {
			r.Flags |= format.Damaged
			r.Details.Findings = append(r.Details.Findings, findings...)
		}
		if !public || r.Flags&format.Damaged != 0 {
			r.Flags |= format.Wrapped
		}
	}
	return nil
}

func (s *validate) Reverse(ctx context.Context, b *Batch) error {
	b.unmarked = b.unmarked[:0]
	for i := range b.Records {
		r := &b.Records[i]
		if r.Kind.Descriptor() || r.Kind.Skippable() || r.Absent() || r.Flags&format.Damaged != 0 {
			continue
		}
		t, err := s.tokens.get(ctx, r, b.ordinal)
		if err != nil {
			return err
		}
		v, err := s.of(t.backend, t.info)
		if err != nil {
			return err
		}
		copied := *r
		copied.Details.Findings = nil
		if _, findings := v.Validate(&copied); len(findings) > 0 {
			b.unmarked = append(b.unmarked, i)
			r.Flags |= format.Damaged
			r.Details.Findings = append(r.Details.Findings, findings...)
		}
	}
	return nil
}
