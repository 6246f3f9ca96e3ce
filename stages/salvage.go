package stages

import (
	"context"
	"errors"
	"fmt"
	"io"

	"tokar/backends"
	"tokar/format"
)

// SalvageOptions say what is brought back of a damaged archive, and who hears of
// what is lost. Of ExtractOptions, Workers is not used, and Existing's Fresh is
// taken for granted.
type SalvageOptions struct {
	ExtractOptions
	// Unknown takes the entries of tokens whose descriptor is lost; required.
	Unknown backends.Backend
	// Damage is told what is wrong with the archive as a whole. Offsets are
	// bytes of the file. Required.
	Damage func(format.Finding)
	// Lost is told of entries that were chosen and are lost, or are older than
	// what the archive had. Required.
	Lost func(t *format.Token, name format.Name, f format.Finding)
}

// Salvaged is what a salvage did, and what proofs were left.
type Salvaged struct {
	Summary
	Damaged   bool   // something is wrong with the archive
	Proof     string // T: Good, Bad or Absent
	Signature string // that it holds, whoever made it: Good, Bad or Absent
}

// What became of T and of the signature.
const (
	Good   = "good"
	Bad    = "bad"
	Absent = "absent"
)

// Salvage brings back what is whole of a damaged archive: every record of every data frame that is there and opens, wherever it
// stands. Nothing is in its place before all of it was read. A *Salvaged comes
// with an error, too, once a header was opened.
//
// It reads the file three times, in one goroutine: first it looks for headers
// (headers.go) and frames (survey.go), then it names what is lost (lost.go), and
// then it restores frame by frame, in the order of their numbers. What comes
// through a pipe is kept for that: the header may be at the end of it.
func Salvage(ctx context.Context, r io.Reader, o SalvageOptions) (*Salvaged, error) {
	at, size, ok := seekable(r)
	if !ok {
		file, err := keep(r, "while it is salvaged")
		if err != nil {
			return nil, err
		}
		defer file.Close()
		at, size, _ = seekable(file)
	}
	s := &salvage{SalvageOptions: o, survey: survey{at: at, size: size}, out: &Salvaged{Proof: Absent, Signature: Absent}}
	s.tell = s.damage
	if err := s.unlock(ctx, o.OpenOptions); err != nil {
		return nil, err
	}
	defer s.keys.Wipe()
	s.out.Generation, s.out.Restores = s.header.Generation, s.keys.Restores()
	if !s.keys.Restores() {
		return s.out, fmt.Errorf("%w: a verifier's key lists and verifies; salvage needs a restore key", format.ErrNoKey)
	}
	s.tokens = newTokens(o.Backend)
	if err := s.scan(ctx); err != nil {
		return s.out, err
	}
	s.Existing.Fresh = true
	s.restorer = restorer{ExtractOptions: s.ExtractOptions, tokens: s.tokens, sum: &s.out.Summary}
	if err := s.lose(ctx); err != nil {
		return s.out, err
	}
	err := s.restore(ctx)
	if err == nil && s.returned == 0 && s.out.Damaged {
		s.nameLost()
		err = fmt.Errorf("%w: no entry of a token is left in it", format.ErrChecksum)
	}
	if err == nil {
		err = s.commit(ctx)
	}
	return s.out, s.close(err)
}

// salvage is one run.
type salvage struct {
	SalvageOptions
	survey
	losses
	restorer restorer
	out      *Salvaged

	returned uint64 // entries that came back, wanted or not
	books    map[uint32]map[string]uint64
	mac      mac
	wrap     *wrap
	validate validate
}

func (s *salvage) damage(kind string, offset int64, form string, args ...any) {
	s.out.Damaged = true
	s.out.Findings++
	s.Damage(format.Finding{Kind: kind, Offset: offset, Message: fmt.Sprintf(form, args...)})
}

func (s *salvage) commit(ctx context.Context) error {
	s.nameLost()
	return s.restorer.commit(ctx)
}

func (s *salvage) close(err error) error {
	s.out.Archive = s.tokens.archive
	return s.restorer.close(err)
}

// restore takes the data frames that were found, in order.
func (s *salvage) restore(ctx context.Context) error {
	s.books = map[uint32]map[string]uint64{}
	s.mac = mac{record: s.keys.RecordMAC()}
	s.wrap = newWrap(s.keys, s.tokens)
	s.validate = validate{tokens: s.tokens}
	for _, f := range s.data {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := s.again(&f); err != nil {
			return err
		}
		if !s.proves(f, format.DataDigest(s.batch.Records, s.batch.beside)) {
			s.damage("unproved", f.offset, "%s is not the one that the end of the archive proves; who made it had a key of the archive, and what it holds is brought back", f.FrameHeader)
		}
		if err := s.records(ctx, &s.batch); err != nil {
			return err
		}
	}
	return nil
}

// records restores a frame's records. One that is not authentic is left out,
// and named.
func (s *salvage) records(ctx context.Context, b *Batch) error {
	wrapped := s.wrap.unwrap(b)
	good := b.Records[:0]
	for _, r := range b.Records {
		if err := s.open(&r, wrapped); err != nil {
			s.damage("unsound-record", -1, "record %d is left out: %v", r.Seq, err)
			continue
		}
		s.supersede(&r)
		good = append(good, r)
	}
	clear(b.Records[len(good):])
	b.Records = good
	if err := s.validate.Reverse(ctx, b); err != nil {
		return err
	}
	if err := s.restorer.put(ctx, b); err != nil {
		return err
	}
	for i := range b.Records {
		r := &b.Records[i]
		s.out.add(r)
		if !r.Kind.Descriptor() {
			s.returned++
		}
		if err := s.restorer.order(b, s.tokens.info(r.Token), r, i); err != nil {
			return err
		}
	}
	return nil
}

// open checks a record's MAC and reads its details; wrapped is why the wrap of
// its part does not open, if it does not.
func (s *salvage) open(r *format.Record, wrapped error) error {
	if err := s.mac.record.Check(r); err != nil {
		return err
	}
	switch r.Kind {
	case format.KindArchive:
		return s.tokens.describe(r, 0)
	case format.KindToken:
		return nil // the survey took it
	case format.KindEndOfToken:
		_, err := format.DecodeEndOfToken(r.Metadata)
		return err
	}
	t := s.tokens.byNumber(r.Token)
	if t == nil { // its descriptor, in the same frame, is not sound
		return errors.New("its token is not known")
	}
	if r.Flags&format.Wrapped != 0 && wrapped != nil {
		return wrapped
	}
	return splitDetails(r, t.info.Defaults)
}

// supersede has a record supersede what came back of its entry, whatever the
// archive had.
func (s *salvage) supersede(r *format.Record) {
	if r.Kind == format.KindEndOfToken {
		delete(s.books, r.Token)
	}
	if r.Kind.Descriptor() {
		return
	}
	s.came(r)
	book := s.books[r.Token]
	if book == nil {
		book = map[string]uint64{}
		s.books[r.Token] = book
	}
	key := entryKey(r)
	earlier, again := book[key]
	r.Supersedes = format.NoSeq
	if again {
		r.Supersedes = earlier
	}
	book[key] = r.Seq
}

// entryKey tells the entries of a token apart.
func entryKey(r *format.Record) string { return string(rune(r.Kind)) + string(r.Name) }
