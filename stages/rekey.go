package stages

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"tokar/format"
)

// RekeyOptions say with what an archive is opened and which key slots it gets.
type RekeyOptions struct {
	OpenOptions
	// Slots makes the slots that the archive shall have, of those that it has
	// and new ones. It is called once the archive's keys are known.
	Slots func(ctx context.Context, keys *format.Keys, now []format.Slot) ([]format.Slot, error)
}

// Rekeyed is what Rekey did.
type Rekeyed struct {
	Summary
	// LockedOut: the identities that opened the archive do not restore it any
	// more.
	LockedOut bool

	header *format.Header
}

// verifierError: only a verifier's key was given. It is a format.ErrNoKey.
type verifierError struct{}

func (verifierError) Error() string {
	return "a verifier's key opens this archive, and does not change who may"
}
func (verifierError) Unwrap() error { return format.ErrNoKey }

// Rekey copies an archive from r to w with other key slots. No frame is sealed
// again, or changed. On the way it checks what VerifyFrames checks, and that the
// end was written by who had the restore key; it opens no record. What it has
// written when it fails ends without its footer and is no archive.
func Rekey(ctx context.Context, r io.Reader, w io.Writer, o RekeyOptions) (*Rekeyed, error) {
	in := bufio.NewReaderSize(r, 64<<10)
	h, err := format.ReadHeader(in)
	if err != nil {
		return nil, err
	}
	keys, err := unlock(ctx, h, o.OpenOptions)
	if err != nil {
		return nil, err
	}
	defer keys.Wipe()
	done := &Rekeyed{Summary: Summary{Generation: h.Generation, Restores: keys.Restores()}}
	if !keys.Restores() {
		return done, verifierError{}
	}
	slots, err := o.Slots(ctx, keys, h.Slots)
	if err != nil {
		return done, err
	}
	if done.header, err = h.Rekey(keys, slots); err != nil {
		return done, err
	}
	done.Generation = done.header.Generation
	if done.LockedOut, err = lockedOut(ctx, h, done.header, o.OpenOptions); err != nil {
		return done, err
	}
	footer, err := copyArchive(ctx, w, in, h, done.header, keys)
	if err != nil {
		return done, err
	}
	done.Written = sizeOf(footer)
	return done, nil
}

// copyArchive writes next, the frames that stand behind h, next again, and a
// footer, which it gives. The last three come when the whole archive was read
// and its end held.
func copyArchive(ctx context.Context, w io.Writer, in io.Reader, h, next *format.Header, keys *format.Keys) (format.Footer, error) {
	out := bufio.NewWriterSize(w, 256<<10)
	out.Write(next.Bytes()) // a bufio.Writer keeps its error
	footer, err := eachFrame(ctx, in, h, func(b *Batch) error {
		if b.Kind == format.EndBlock {
			if err := checkEnd(ctx, b, h, keys); err != nil {
				return err
			}
		}
		_, err := out.Write(b.Frame)
		return err
	})
	if err == nil {
		err = tail(in, h, footer)
	}
	if err != nil {
		return footer, err
	}
	footer.Header = uint32(len(next.Bytes()))
	out.Write(next.Bytes())
	out.Write(footer.Encode())
	return footer, out.Flush()
}

// checkEnd opens the end block and has its proof and signature checked.
func checkEnd(ctx context.Context, b *Batch, h *format.Header, keys *format.Keys) error {
	for _, s := range []stage{&seal{header: h, keys: keys}, &compress{}} {
		if err := s.Reverse(ctx, b); err != nil {
			return err
		}
	}
	_, err := (&opened{header: h, keys: keys, sum: &Summary{}}).readEnd(b.front)
	return err
}

// lockedOut says whether what opened the old header does not restore by the new
// one. Where no slot was dropped nobody is asked again.
func lockedOut(ctx context.Context, old, next *format.Header, o OpenOptions) (bool, error) {
	stays := func(s format.Slot) bool {
		return slices.ContainsFunc(next.Slots, func(n format.Slot) bool {
			return n.Type == s.Type && n.Role == s.Role && bytes.Equal(n.Body, s.Body)
		})
	}
	if !slices.ContainsFunc(old.Slots, func(s format.Slot) bool { return !stays(s) }) {
		return false, nil
	}
	keys, err := unlock(ctx, next, o)
	if errors.Is(err, format.ErrNoKey) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	defer keys.Wipe()
	return !keys.Restores(), nil
}

// VerifyWritten reads what Rekey wrote, from where it was written to: it is
// whole, and both its headers are the new one.
func (k *Rekeyed) VerifyWritten(ctx context.Context, r io.Reader) error {
	in := bufio.NewReaderSize(r, 64<<10)
	h, err := format.ReadHeader(in)
	if err != nil {
		return err
	}
	if !h.Equal(k.header) {
		return fmt.Errorf("%w: another header than was written", format.ErrChecksum)
	}
	footer, err := eachFrame(ctx, in, h, func(*Batch) error { return nil })
	if err != nil {
		return err
	}
	if sizeOf(footer) != k.Written {
		return fmt.Errorf("%w: %d bytes where %d were written", format.ErrChecksum, sizeOf(footer), k.Written)
	}
	return tail(in, h, footer)
}
