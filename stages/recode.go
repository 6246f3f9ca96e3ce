package stages

import (
	"context"
	"errors"
	"fmt"

	"tokar/backends"
	"tokar/format"
)

// recode brings the entries that read brought into their token's new form, and
// puts them into its staging place.
type recode struct {
	moves map[string]*move
	group []*format.Record
}

func (s *recode) Forward(ctx context.Context, b *Batch) error {
	b.left = b.left[:0]
	first := b.at - len(b.Records)
	var to *move
	flush := func() (err error) {
		if len(s.group) > 0 {
			err = to.staging.Put(ctx, s.group)
			s.group = s.group[:0]
		}
		return err
	}
	for i := range b.Records {
		r := &b.Records[i]
		keep := false
		if !r.Kind.Descriptor() {
			m := s.moves[b.planned[first+i].run.info.Name.String()]
			var err error
			if keep, err = m.recode(r); err != nil {
				return fmt.Errorf("%s/%s cannot be converted: %w", m.info.Name, r.Name, err)
			}
			if m != to {
				if err := flush(); err != nil {
					return err
				}
				to = m
			}
			if keep {
				s.group = append(s.group, r)
			}
		}
		b.left = append(b.left, !keep)
	}
	return flush()
}

var errBackwards = errors.New("stages: no token is recoded backwards")

func (s *recode) Reverse(context.Context, *Batch) error { return errBackwards }

// recode brings one entry into the new form. A token that changes while it is
// read is left alone: what was read first may be in the staging place already.
func (m *move) recode(r *format.Record) (bool, error) {
	if r.Supersedes != format.NoSeq {
		return false, fmt.Errorf("%w: it changed while it was read", backends.ErrInUse)
	}
	return m.recoder.Recode(r)
}
