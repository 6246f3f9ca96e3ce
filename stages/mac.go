package stages

import (
	"context"

	"tokar/format"
)

// mac ⇄ verify MAC: over every record as stored.
type mac struct{ record *format.RecordMAC }

func (s *mac) Forward(_ context.Context, b *Batch) error {
	for i := range b.Records {
		b.Records[i].MAC = s.record.Sum(&b.Records[i])
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
