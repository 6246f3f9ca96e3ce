package stages

import (
	"context"
	"io"
	"time"

	"tokar/format"
	"tokar/pipeline"
)

// ArchiveOptions say who may open an archive and how it is made.
type ArchiveOptions struct {
	Restore []format.Recipient // get tK
	Verify  []format.Recipient // get mK: they list and verify
	Codec   format.Codec
	Level   int // zstd's; 0 is the default
	Workers int // 0: pipeline.Workers
	Made    time.Time
	Host    string
	Writer  string // program and version

	Each    Each          // told of every record
	Problem func(Problem) // told of tokens that cannot be opened; required

	// Keys replaces random keys and nonces, for tests and vectors only.
	Keys func() (*format.Keys, error)
}

// Archive writes the tokens to w as one archive, in one pass. What is wrong
// with objects is told to Each and written with them; an error means that what
// was written is no archive.
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
	header, err := newHeader(ctx, keys, o)
	if err != nil {
		return nil, err
	}
	about := &format.Archive{Made: o.Made.Unix(), Host: o.Host, Writer: o.Writer, Options: []string{"codec=" + o.Codec.String()}}
	sum := &Summary{Archive: about, Restores: true}
	dst := &writer{
		w:       w,
		header:  header,
		keys:    keys,
		codec:   format.Compressor{Codec: o.Codec, Level: o.Level},
		each:    o.Each,
		problem: o.Problem,
		summary: sum,
		ledger:  format.NewLedger(),
	}
	if err := dst.write(header.Bytes()); err != nil {
		return sum, err
	}
	dst.offset = 0 // offsets count from the first frame
	src := &entries{inputs: inputs, archive: about.Encode()}
	defer src.close()
	chain := func() ([]stage, error) {
		return []stage{
			&read{},
			&validate{},
			newWrap(keys, nil),
			&mac{record: keys.RecordMAC()},
			&compress{codec: format.Compressor{Codec: o.Codec, Level: o.Level}},
			&seal{header: header, keys: keys},
			&selfCheck{header: header, keys: keys, payloads: keys.PayloadWrap()},
		}, nil
	}
	if err := pipeline.Forward(ctx, src, chain, dst, o.Workers); err != nil {
		return sum, err
	}
	sum.Unstable = src.unstable
	return sum, dst.close()
}

// newHeader makes a slot for each recipient.
func newHeader(ctx context.Context, keys *format.Keys, o ArchiveOptions) (*format.Header, error) {
	var slots []format.Slot
	wrap := func(role format.Role, recipients []format.Recipient) error {
		for _, r := range recipients {
			slot, err := r.Wrap(ctx, keys.SlotKey(role))
			if err != nil {
				return err
			}
			slots = append(slots, slot)
		}
		return nil
	}
	if err := wrap(format.RoleRestore, o.Restore); err != nil {
		return nil, err
	}
	if err := wrap(format.RoleVerify, o.Verify); err != nil {
		return nil, err
	}
	return format.NewHeader(keys, slots)
}
