// Package stages is what happens to a token's entries between a token and an
// archive, one stage a file, forward and reverse side by side:
//
//	read ⇄ restore      backends' bytes into records, records into a staging place
//	compare             records with the entries of a token (reverse only)
//	validate            by the token's kind, either way
//	recode              into another form of the same token (forward only)
//	wrap ⇄ unwrap       everything that is not positively public
//	MAC ⇄ verify MAC    every record
//	pack ⇄ unpack       records into a block's front and beside; compress the front
//	seal ⇄ open         the block
//
// Forward the chain ends in a check that opens again what was sealed. At its
// near end a source lists entries (entries.go) or reads frames (frames.go), at
// its far end a sink writes the archive (write.go) or keeps its books
// (books.go). The pipeline package runs it all; Archive, Check, Verify, List,
// Cat, Extract and Compare put it together.
package stages

import (
	"context"
	"time"

	"tokar/backends"
	"tokar/format"
	"tokar/format/signature"
	"tokar/pipeline"
)

// Batch is what flows: the records of one block part, and the part itself.
// Forward fills Records first and Frame last, reverse the other way round.
type Batch struct {
	format.FrameHeader
	Records []format.Record
	Frame   []byte // the whole frame as stored

	planned []planned // forward: what to read, in order
	at      int       // how much of it was read
	notes   []Problem // forward: what was found wrong before there was a record
	sums    []uint32  // forward: of each record when it was MACed

	ordinal     uint64 // reverse: place among all frames
	sealed      format.Frame
	left        []bool             // reverse: records that were not restored
	unmarked    []int              // reverse: records that are unsound and that the archive does not mark
	differences [][]Difference     // reverse: of each record, and the same entry of a token
	contents    []backends.Content // of the records that a PIN opened, by place; may be short

	arena    []byte // the records' bytes
	metadata []byte // forward: details in clear
	beside   []byte // wrapped payloads and MACs
	front    []byte // reverse: packed records, or an index, directory or end block's plaintext
	body     []byte // what is sealed

	turn <-chan struct{} // closed when all batches before this one are through
}

// largePart is what a part may hold to be one of many in memory. What holds
// more takes turns, and its memory is not kept: a few bytes of archive can
// unpack to 64 MiB, and there may be a batch for each of many processors.
const largePart = 4 << 20

// SetTurn is the pipeline's.
func (b *Batch) SetTurn(turn <-chan struct{}) { b.turn = turn }

// waitTurn waits until the sink has taken all batches before this one.
func (b *Batch) waitTurn(ctx context.Context) error {
	if b.turn == nil {
		return nil
	}
	select {
	case <-b.turn:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// release lets go of a part's records, and of a large one's memory.
func (b *Batch) release() {
	if cap(b.body) > largePart {
		b.beside = nil // which stands in it
	}
	clear(b.Records)
	b.Records, b.sealed = b.Records[:0], format.Frame{}
	for _, p := range []*[]byte{&b.Frame, &b.arena, &b.metadata, &b.beside, &b.front, &b.body} {
		*p = slim(*p)
	}
}

// slim gives b to be used again, but for what a large part needed.
func slim(b []byte) []byte {
	if cap(b) > largePart {
		return nil
	}
	return b
}

// More says that the batch has entries for another part.
func (b *Batch) More() bool { return b.at < len(b.planned) }

type stage = pipeline.Stage[Batch]

// Problem is a finding that belongs to no record: a token that cannot be
// opened.
type Problem struct {
	Location backends.Location
	Err      error
}

// A Place is where an archived token is restored to, or where the token stands
// that it is compared with.
type Place struct {
	Dir     string
	Name    format.Name      // in Dir; empty: the archived token's own
	Reading backends.Reading // of the token that stands there
	Wanted  bool             // it, or perhaps some of it
	Whole   bool             // all of it, but for what Select leaves out
}

// Each is told of every record, in archive order, from one goroutine. The
// record is good until it returns.
type Each func(t *format.Token, r *format.Record)

// Summary is what a run did.
type Summary struct {
	Archive    *format.Archive // its descriptor, where it was read or written
	Generation uint32          // of the slot section
	Restores   bool            // the key at hand restores, and the end's proof was checked
	Tokens     uint64
	Records    uint64
	Objects    uint64 // entries of kind object whose bytes are there
	Bytes      uint64 // of all entries
	Damaged    uint64
	Findings   uint64
	Left       uint64   // entries chosen but not restored
	Unstable   []string // tokens that changed while they were read
	Written    uint64   // bytes of archive
	// SignedBy is whose key signed the archive: nil if it is not signed. Signers
	// are the names that OpenOptions.Signers has for that key, at JudgedAt where
	// that was asked for.
	SignedBy *signature.Signature
	Signers  []string
	JudgedAt time.Time
}

func (s *Summary) add(r *format.Record) {
	s.Records++
	switch r.Kind {
	case format.KindToken:
		s.Tokens++
	case format.KindObject:
		if !r.Absent() {
			s.Objects++
		}
	}
	s.Bytes += uint64(r.Size)
	s.Findings += uint64(len(r.Details.Findings))
	if r.Flags&format.Damaged != 0 {
		s.Damaged++
	}
}
