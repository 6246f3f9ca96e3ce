package stages

import (
	"context"

	"tokar/backends"
	"tokar/format"
	"tokar/pipeline"
)

// CheckOptions say what is checked and who hears of it.
type CheckOptions struct {
	Workers int // 0: pipeline.Workers
	// Skip leaves out entries of a token; nil checks all.
	Skip    func(t *format.Token, e *backends.Entry) bool
	Each    Each          // told of every entry, its findings with it
	Problem func(Problem) // told of tokens that cannot be opened; required
	Unlock  *Unlock       // what private objects are opened with; nil: what needs no PIN
}

// Check reads and validates tokens as Archive does, and writes nothing. What is
// wrong with an entry is told to Each; an error means that not all was looked
// at.
func Check(ctx context.Context, inputs []Input, o CheckOptions) (*Summary, error) {
	x := newExaminer(o.Unlock)
	dst := &told{each: o.Each, problem: o.Problem, summary: &Summary{}, examiner: x}
	src := &entries{inputs: inputs, skip: o.Skip, examiner: x}
	defer src.close()
	chain := func() ([]stage, error) { return []stage{&read{}, &validate{}, &examine{examiner: x}}, nil }
	err := pipeline.Forward(ctx, src, chain, dst, o.Workers)
	dst.rest(src)
	return dst.summary, err
}

// told is the sink of a run that only looks, and the part of every forward
// run's that tells what was seen.
type told struct {
	each     Each
	problem  func(Problem)
	summary  *Summary
	examiner *examiner
}

// Put tells of a part.
func (s *told) Put(_ context.Context, b *Batch) error {
	s.notes(b)
	for i := range b.Records {
		s.record(b, i)
	}
	b.release()
	return nil
}

// notes tells what was found wrong before there was a record.
func (s *told) notes(b *Batch) {
	for _, p := range b.notes {
		s.problem(p)
	}
	b.notes = b.notes[:0]
}

// rest tells what the source knows once it has come to its end.
func (s *told) rest(src *entries) {
	for _, p := range src.notes {
		s.problem(p)
	}
	s.summary.Unstable = src.unstable
}

// record counts and tells the i-th record of a part.
func (s *told) record(b *Batch, i int) {
	r := &b.Records[i]
	s.summary.add(r)
	var t *format.Token
	if run := b.planned[b.at-len(b.Records)+i].run; run != nil {
		t = run.info
	}
	if r.Kind == format.KindEndOfToken {
		s.examiner.end(r.Token, t)
	}
	if s.each != nil {
		s.each(t, b.shown(i))
	}
}
