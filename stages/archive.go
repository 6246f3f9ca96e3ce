package stages

import (
	"context"
	"io"
	"time"

	"tokar/backends"
	"tokar/format"
	"tokar/format/signature"
	"tokar/pipeline"
)

// ArchiveOptions say who may open an archive and how it is made.
type ArchiveOptions struct {
	// Slots makes the key slots of the new archive; keyslot.Recipients.Wrap is
	// one. It is called before anything is written.
	Slots   func(context.Context, *format.Keys) ([]format.Slot, error)
	Codec   format.Codec
	Level   int            // zstd's; 0 is the default
	Workers int            // 0: pipeline.Workers
	Sign    *signature.Key // nil: not signed
	Made    time.Time
	Host    string
	Writer  string // program and version

	// Skip leaves out entries of a token; nil archives all.
	Skip    func(t *format.Token, e *backends.Entry) bool
	Each    Each          // told of every record
	Problem func(Problem) // told of tokens that cannot be opened; required

	Unlock *Unlock // what private objects are opened with; nil: what needs no PIN

	// Keys replaces random keys and nonces, for tests and vectors only.
	Keys func() (*format.Keys, error)

	between func([]stage) []stage // tests put stages of their own into a worker's chain
}

// Archive writes the tokens to w as one archive, in one pass. What is wrong
// with objects is told to Each and written with them; an error means that what
// was written is no archive. A token that programs keep locked is one
// (backends.ErrLocked).
func Archive(ctx context.Context, w io.Writer, inputs []Input, o ArchiveOptions) (*Summary, error) {
	generate := o.Keys
	if generate == nil {
		generate = format.GenerateKeys
	}
	keys, err := generate()
	if err != nil {
		return nil, err
	}
	defer keys.Wipe()
	slots, err := o.Slots(ctx, keys)
	if err != nil {
		return nil, err
	}
	header, err := format.NewHeader(keys, slots)
	if err != nil {
		return nil, err
	}
	about := &format.Archive{Made: o.Made.Unix(), Host: o.Host, Writer: o.Writer, Options: []string{"codec=" + o.Codec.String()}}
	sum := &Summary{Archive: about, Restores: true}
	x := newExaminer(o.Unlock)
	dst := &writer{
		told:   told{each: o.Each, problem: o.Problem, summary: sum, examiner: x},
		w:      w,
		header: header,
		keys:   keys,
		codec:  format.Compressor{Codec: o.Codec, Level: max(o.Level, indexLevel)},
		ledger: format.NewLedger(),
	}
	if o.Sign != nil {
		sum.SignedBy = o.Sign.Public()
		dst.sign = func(message []byte) ([]byte, error) { return o.Sign.Sign(ctx, message) }
	}
	if err := dst.write(header.Bytes()); err != nil {
		return sum, err
	}
	dst.offset = 0 // offsets count from the first frame
	src := &entries{inputs: inputs, archive: about.Encode(), skip: o.Skip, examiner: x}
	defer src.close()
	chain := func() ([]stage, error) {
		all := []stage{
			&read{},
			&validate{},
			&examine{examiner: x},
			newWrap(keys, nil),
			&mac{record: keys.RecordMAC()},
			&compress{codec: format.Compressor{Codec: o.Codec, Level: o.Level}},
			&seal{header: header, keys: keys},
			&selfCheck{header: header, keys: keys, payloads: keys.PayloadWrap()},
		}
		if o.between != nil {
			all = o.between(all)
		}
		return all, nil
	}
	if err := pipeline.Forward(ctx, src, chain, dst, o.Workers); err != nil {
		return sum, err
	}
	dst.rest(src)
	return sum, dst.close()
}
