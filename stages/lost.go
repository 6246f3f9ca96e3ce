package stages

import (
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"sort"
	"strings"

	"tokar/format"
	"tokar/format/signature"
)

// losses are what a damaged archive had and has no more.
type losses struct {
	lost   map[string]*lostEntry // by token, kind and name
	proven *format.Lookup        // the directory, if the end block proves it
}

// lostEntry is an entry that the index still names, and whose record is lost.
type lostEntry struct {
	token    uint32
	seq      uint64 // of the last one that is lost
	kind     format.Kind
	name     format.Name
	vanished bool // and says that the entry vanished
	older    bool // an earlier record of it came back
	back     bool // a later one did
}

// lose finds out what is lost and says so, but for the names of entries: of those
// it is known when all others have come back.
func (s *salvage) lose(ctx context.Context) error {
	if err := s.readDirectory(); err != nil {
		return err
	}
	lost, err := s.readIndex(ctx)
	if err != nil {
		return err
	}
	s.describeOthers()
	s.ending()
	s.gaps(lost)
	s.uncovered()
	if len(s.data) == 0 {
		s.nameLost()
		return fmt.Errorf("%w: no block of records is left in it", format.ErrChecksum)
	}
	for number, c := range s.counts {
		if t := s.tokens.byNumber(number); t != nil {
			t.partly = c.end == nil || c.end.All != c.records
		}
	}
	return nil
}

// readIndex takes the tokens that the index describes, gathers the records that
// it names and that are lost, and gives their numbers in order.
func (s *salvage) readIndex(ctx context.Context) (lost []uint64, err error) {
	s.lost = map[string]*lostEntry{}
	// A record takes 32 bytes at least. Who has mK can name a million in a few
	// KiB, compressed.
	most := s.size/32 + 1<<16
	for _, f := range s.index {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if err := s.again(&f); err != nil {
			return nil, err
		}
		_, recs, err := format.DecodeChunk(nil, s.batch.front)
		if err != nil {
			return nil, err
		}
		if !s.proves(f, sha256.Sum256(s.batch.front)) {
			s.tell("unproved", f.offset, "%s is not the one that the end of the archive proves; what it says is not believed", f.FrameHeader)
			continue
		}
		if most -= int64(len(recs)); most < 0 {
			s.tell("unsound-block", f.offset, "%s and those after it are left out: they name more records than a file of this size holds", f.FrameHeader)
			break
		}
		s.described(recs)
		for i := range recs {
			r := &recs[i]
			if s.counts[r.Token] == nil {
				s.counts[r.Token] = &tokenCount{}
			}
			if s.found(r.Seq) {
				continue
			}
			lost = append(lost, r.Seq)
			if r.Kind.Descriptor() {
				continue
			}
			key := fmt.Sprint(r.Token, entryKey(r))
			if l := s.lost[key]; l == nil || l.seq < r.Seq {
				s.lost[key] = &lostEntry{token: r.Token, seq: r.Seq, kind: r.Kind, name: slices.Clone(r.Name), vanished: r.Flags&format.Vanished != 0}
			}
		}
	}
	slices.Sort(lost)
	return lost, nil
}

// found says whether a frame that was found holds a record.
func (s *survey) found(seq uint64) bool {
	i := sort.Search(len(s.data), func(i int) bool { return s.data[i].first > seq })
	return i > 0 && seq < s.data[i-1].first+s.data[i-1].count
}

// came notes that a record of an entry came back.
func (s *salvage) came(r *format.Record) {
	l := s.lost[fmt.Sprint(r.Token, entryKey(r))]
	switch {
	case l == nil:
	case l.seq < r.Seq:
		l.back = true
	default:
		l.older = !r.Absent()
	}
}

// readDirectory takes the directory if the end block proves it.
func (s *salvage) readDirectory() error {
	if s.end == nil {
		return nil
	}
	limit, err := s.end.DirectorySize(uint64(s.size))
	if err != nil {
		s.tell("lost-directory", -1, "the end block counts more than the archive can hold")
		return nil
	}
	var dir []byte
	for _, f := range s.directory {
		if err := s.again(&f); err != nil {
			return err
		}
		if dir = append(dir, s.batch.front...); uint64(len(dir)) > limit {
			break
		}
	}
	if format.Root(dir) == s.end.Root {
		s.proven, err = format.ParseDirectory(dir, s.end.Counts)
	}
	if s.proven == nil || err != nil {
		s.tell("lost-directory", -1, "the directory is lost, or a part of it: the end of the archive proves nothing of what comes back")
	}
	return nil
}

// proves says whether the end of the archive proves a frame with this D, or
// nothing at all.
func (s *losses) proves(f foundFrame, d [32]byte) bool {
	if s.proven == nil {
		return true
	}
	e, ok := s.proven.Data(f.first)
	if index := s.proven.Index(); f.Kind == format.IndexBlock {
		if ok = f.Number < uint64(len(index)); ok {
			e = index[f.Number]
		}
	}
	return ok && e.FrameHeader == f.FrameHeader && e.D == d
}

// describeOthers gives a name to tokens of which the description is lost.
func (s *salvage) describeOthers() {
	for number, c := range s.counts {
		if number == 0 || s.tokens.byNumber(number) != nil {
			continue
		}
		name := fmt.Sprintf("unknown-token-%d", number)
		for _, taken := s.names[string(format.NameOf(name))]; taken; _, taken = s.names[string(format.NameOf(name))] {
			name += "_"
		}
		info := &format.Token{Name: format.NameOf(name), Kind: s.Unknown.Kind()}
		s.tokens.add(&tokenState{number: number, info: info, backend: s.Unknown})
		if c.records > 0 {
			s.tell("unknown-token", -1, "nothing is left that says what token %d was; the bytes of its entries are put into %s as plain files", number, name)
		}
	}
}

// ending says what is lost at either end of the archive.
func (s *salvage) ending() {
	first := s.size
	for _, list := range [][]foundFrame{s.data, s.index, s.directory, s.ends} {
		for _, f := range list {
			first = min(first, f.offset)
		}
	}
	front, back := false, false
	for _, h := range s.headers {
		if h.whole && h.Archive == s.header.Archive {
			front, back = front || h.offset < first, back || h.offset > first
		}
	}
	if !front {
		s.tell("header", 0, "the header at the beginning is lost or damaged")
	}
	var lost []string
	for _, part := range []struct {
		there bool
		name  string
	}{
		{len(s.directory) > 0, "the directory"}, {len(s.ends) > 0, "the end block"},
		{back, "the second copy of the header"}, {s.footer, "the footer"},
	} {
		if !part.there {
			lost = append(lost, part.name)
		}
	}
	if len(lost) > 0 {
		s.tell("lost-end", -1, "lost or damaged at the end of the archive: %s", strings.Join(lost, ", "))
	}
	switch {
	case s.end != nil:
		s.out.Proof = Good
		s.signed()
	case s.proof != nil:
		s.out.Proof = Bad
		s.tell("proof", -1, "the end block's proof does not hold: who wrote the end did not have the restore key")
	}
}

// signed says whether the end's signature holds, and whose it is.
func (s *salvage) signed() {
	if len(s.end.Signature) == 0 {
		return
	}
	by, err := signature.Verify(s.end.Signature, s.header.Message(s.end))
	if err != nil {
		s.out.Signature = Bad
		s.tell("signature", -1, "%v", err)
		return
	}
	s.out.Signature, s.out.SignedBy = Good, by
}

// gaps names the numbers that are not there.
func (s *salvage) gaps(named []uint64) {
	next, after := uint64(0), ""
	gap := func(end uint64, before string) {
		if next >= end {
			return
		}
		n := sort.Search(len(named), func(i int) bool { return named[i] >= end }) -
			sort.Search(len(named), func(i int) bool { return named[i] >= next })
		where := strings.Join(slices.DeleteFunc([]string{after, before}, func(p string) bool { return p == "" }), " and ")
		if where != "" {
			where = ", " + where
		}
		s.tell("lost-records", -1, "records %d to %d are lost%s; the index names %d of these %d", next, end-1, where, n, end-next)
	}
	for _, f := range s.data {
		gap(f.first, "before "+f.FrameHeader.String())
		next, after = f.first+f.count, "after "+f.FrameHeader.String()
	}
	total := next
	if n := len(named); n > 0 {
		total = max(total, named[n-1]+1)
	}
	chunks := uint64(0)
	if n := len(s.index); n > 0 {
		chunks = s.index[n-1].Number + 1
	}
	if s.end != nil {
		total, chunks = s.end.Records, s.end.Index
	}
	gap(total, "")
	if s.end == nil && total > 0 {
		s.tell("unknown-end", -1, "how many records followed record %d cannot be told", total-1)
	}
	if n := uint64(len(s.index)); n < chunks {
		s.tell("lost-index", -1, "of %d index blocks %d are left; what is lost and stood in the others has no name", chunks, n)
	}
}

// uncovered names the bytes that are nothing of the archive.
func (s *salvage) uncovered() {
	slices.SortFunc(s.covered, func(a, b extent) int { return cmp.Compare(a.from, b.from) })
	at := int64(0)
	for _, e := range append(s.covered, extent{s.size, s.size}) {
		if e.from > at {
			s.tell("damage", at, "%d bytes from byte %d on are no whole part of this archive", e.from-at, at)
		}
		at = max(at, e.to)
	}
}

// nameLost names entries that did not come back, or not as they were last.
func (s *salvage) nameLost() {
	list := make([]*lostEntry, 0, len(s.lost))
	for _, l := range s.lost {
		if !l.back {
			list = append(list, l)
		}
	}
	slices.SortFunc(list, func(a, b *lostEntry) int { return cmp.Compare(a.seq, b.seq) })
	for _, l := range list {
		t := s.tokens.info(l.token)
		r := format.Record{Token: l.token, Kind: l.kind, Name: l.name}
		if !s.restorer.wants(t, &r) || l.vanished && !l.older {
			continue
		}
		f := format.Finding{Kind: "lost", Offset: -1, Message: "its block is damaged or gone; the index still names it"}
		if l.older {
			f.Kind, f.Message = "older", "what came back is an earlier state of it; the later one is lost"
		} else {
			s.out.Left++
		}
		s.out.Findings++
		s.Lost(t, l.name, f)
	}
}
