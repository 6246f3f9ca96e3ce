package stages

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"tokar/format"
)

// selfCheck opens what was sealed and compares it with what was read, so that
// a bug in a compressor or a bad memory cell is found now and not at restore
// time. It shares nothing with the stages before it but the keys. The checksums
// show what changed after the MAC was made in memory that both sides of the
// comparison share: then the archive would not open either.
type selfCheck struct {
	header   *format.Header
	keys     *format.Keys
	payloads *format.PayloadWrap

	body, front []byte
	recs        []format.Record
	codec       format.Compressor
	plain       []byte // of the wrapped payloads
	have, want  []byte
}

var errSelfCheck = errors.New("what was written does not open to what was read: faulty memory, or a bug in tokar; the archive is not usable")

func (s *selfCheck) Forward(_ context.Context, b *Batch) error {
	err := s.check(b)
	if max(cap(s.front), cap(s.body), cap(s.plain)) > largePart {
		*s = selfCheck{header: s.header, keys: s.keys, payloads: s.payloads}
	}
	return err
}

func (s *selfCheck) check(b *Batch) error {
	f, err := format.ParseFrame(b.Frame)
	if err != nil {
		return errSelfCheck
	}
	if s.body, err = s.header.OpenFrame(s.body[:0], s.keys, &f); err != nil {
		return errSelfCheck
	}
	var beside []byte
	if s.front, beside, err = s.codec.SplitBody(s.front, s.body); err != nil {
		return errSelfCheck
	}
	recs, err := format.Unpack(s.recs, s.front, beside)
	if err != nil || len(recs) != len(b.Records) {
		return errSelfCheck
	}
	s.recs = recs
	defer func() { clear(s.plain) }()
	if s.plain, err = s.payloads.Unwrap(s.plain[:0], recs, beside); err != nil {
		return errSelfCheck
	}
	first, plain := b.at-len(b.Records), s.plain
	for i := range recs {
		r := &recs[i]
		r.Data = r.Payload
		if r.Flags&format.Wrapped != 0 {
			r.Data, plain = plain[:r.Stored], plain[r.Stored:]
		}
		if r.Checksum() != b.sums[i] || !s.same(r, &b.Records[i], b.planned[first+i].run) {
			return fmt.Errorf("record %d (%s): %w", r.Seq, b.Records[i].Name, errSelfCheck)
		}
	}
	return nil
}

// Reverse has nothing to check: the stages before it do.
func (s *selfCheck) Reverse(context.Context, *Batch) error { return nil }

// same compares a record that was opened with the one that was read.
func (s *selfCheck) same(got, want *format.Record, run *tokenRun) bool {
	s.have = got.AppendHeader(s.have[:0], len(got.Payload))
	s.want = want.AppendHeader(s.want[:0], len(want.Payload))
	if !bytes.Equal(s.have, s.want) || !bytes.Equal(got.Metadata, want.Metadata) || got.MAC != want.MAC {
		return false
	}
	data := got.Data
	if want.Flags&format.Wrapped != 0 {
		s.want = want.Details.Append(s.want[:0], run.info.Defaults)
		rest, same := bytes.CutPrefix(data, s.want)
		clear(s.want)
		if !same {
			return false
		}
		data = rest
	}
	return bytes.Equal(data, want.Data)
}
