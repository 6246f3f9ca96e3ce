package stages

import (
	"context"

	"tokar/format"
)

// mac ⇄ verify MAC: over every record as stored.
type mac struct{ record *format.RecordMAC }

func (s *mac) Forward(_ context.Context, b *Batch) error {
	b.sums = b.sums[:0]
	for i := range b.Records {
		r := &b.Records[i]
		r.MAC = s.record.Sum(r)
		b.sums = append(b.sums, r.Checksum())
	}
	return nil
}

func (s *mac) Reverse(_ context.Context, b *Batch) error {
	for i := range b.Records {
		if err := s.record.Check(&b.Records[i]); err != nil {
			return err
		}
	}
	return nil
}
