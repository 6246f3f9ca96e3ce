package stages

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"tokar/backends"
	"tokar/format"
	"tokar/format/signature"
)

// readEnd reads the end block's front: T, with a restore key, then the
// signature, and whose it is where that is asked for.
func (a *opened) readEnd(front []byte) (*format.End, error) {
	e, err := a.header.DecodeEnd(a.keys, front)
	if err != nil {
		return nil, err
	}
	if len(e.Signature) > 0 {
		if a.sum.SignedBy, err = signature.Verify(e.Signature, a.header.Message(e)); err != nil {
			return nil, err
		}
	}
	if a.signers != nil {
		a.sum.Signers, err = a.signers.Principals(a.sum.SignedBy)
		a.sum.JudgedAt = a.signers.At
	}
	return e, err
}

// openTelling opens an archive whose records are told of as they come. Where it
// must be signed it is read twice: first its end and directory, and if they
// prove who made it the whole, each block of which must be the one that the
// directory lists. What comes through a pipe is kept for that, sealed as it is,
// in a file without a name. The function it returns lets go of keys and file.
func openTelling(ctx context.Context, r io.Reader, o OpenOptions, backend func(string) (backends.Backend, error)) (*opened, func(), error) {
	if o.Signers == nil {
		a, err := open(ctx, r, o, backend)
		if err != nil {
			return nil, nil, err
		}
		return a, a.keys.Wipe, nil
	}
	done := func() {}
	at, size, ok := seekable(r)
	if !ok {
		var head bytes.Buffer
		if _, err := format.ReadHeader(io.TeeReader(r, &head)); err != nil { // what is no archive is not copied
			return nil, nil, err
		}
		file, err := keep(io.MultiReader(&head, r), "until its signature is proved")
		if err != nil {
			return nil, nil, err
		}
		done = func() { file.Close() }
		r = file
		at, size, _ = seekable(r)
	}
	l, err := openLookup(ctx, at, size, o)
	if err != nil {
		err = whatStreamSays(ctx, r, o, err)
		done()
		return nil, nil, err
	}
	free := func() { l.keys.Wipe(); done() }
	in := bufio.NewReaderSize(r, 64<<10)
	h, err := format.ReadHeader(in)
	if err == nil && !h.Equal(l.header) {
		err = errChanged
	}
	if err != nil {
		free()
		return nil, nil, err
	}
	l.opened.r, l.opened.known, l.tokens = in, l.dir, newTokens(backend)
	return l.opened, free, nil
}

var errChanged = fmt.Errorf("%w: it changed while it was read", format.ErrAuthentic)

// whatStreamSays reads an archive whose end could not be proved from front to
// back, so that the error is the one that every reader of it gives. Nobody is
// told of its records.
func whatStreamSays(ctx context.Context, r io.Reader, o OpenOptions, why error) error {
	for _, final := range []error{format.ErrNoKey, format.ErrNotArchive, format.ErrSigner} {
		if errors.Is(why, final) {
			return why
		}
	}
	if _, err := r.(io.Seeker).Seek(0, io.SeekStart); err != nil || ctx.Err() != nil {
		return why
	}
	a, err := open(ctx, r, o, nil)
	if err == nil {
		err = a.run(ctx, o.Workers, nil, nil)
		a.keys.Wipe()
	}
	if err != nil {
		return err
	}
	return why
}
