package stages

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"tokar/backends"
	"tokar/format"
	"tokar/format/keyslot"
	"tokar/format/signature"
	"tokar/pipeline"
)

// OpenOptions say with what an archive is opened and who hears of it.
type OpenOptions struct {
	Identities []format.Identity // tried in order
	// Signers, if there are any, must have signed the archive: nothing leaves,
	// and nobody is told of a record, before that is proved.
	Signers *signature.Signers
	Workers int     // 0: pipeline.Workers
	Each    Each    // told of every record, before the end is known
	Unlock  *Unlock // what private objects are opened with; nil: nothing
	// Nonces is for tests and vectors only.
	Nonces format.NonceSource
}

// opened is an archive whose header was read and whose keys are known.
type opened struct {
	r      io.Reader
	header *format.Header
	keys   *format.Keys
	tokens *tokens
	sum    *Summary

	frames  bool               // who takes records takes their frames too
	signers *signature.Signers // one of them must have signed it; nil: anybody may, or nobody
	known   *format.Lookup     // what a first reading proved; nil: this is the first
}

// unlock finds the identity that opens a slot: any that restores goes before
// any that only verifies, whatever the order in which they were given.
func unlock(ctx context.Context, h *format.Header, o OpenOptions) (*format.Keys, error) {
	return unlockWith(ctx, h, o, h.Open)
}

// unlockWith is unlock where open proves what a slot yields.
func unlockWith(ctx context.Context, h *format.Header, o OpenOptions, open func(format.SlotKey, format.NonceSource) (*format.Keys, error)) (*format.Keys, error) {
	why := format.ErrNotForMe
	for _, role := range []format.Role{format.RoleRestore, format.RoleVerify} {
		slots := slices.DeleteFunc(slices.Clone(h.Slots), func(s format.Slot) bool { return s.Role != role })
		if len(slots) == 0 {
			continue
		}
		for _, id := range o.Identities {
			key, err := id.Unwrap(ctx, h.Archive, slots)
			switch {
			case errors.Is(err, format.ErrNotForMe):
				why = err
			case err != nil:
				return nil, err
			default:
				keys, err := open(key, o.Nonces)
				if key.Guessed && errors.Is(err, format.ErrNoKey) {
					err = &LockedError{h.Slots, format.ErrWrongPassphrase}
				}
				return keys, err
			}
		}
	}
	return nil, &LockedError{h.Slots, why}
}

// LockedError: nothing at hand opens the archive. It wraps format.ErrNoKey.
type LockedError struct {
	Slots []format.Slot // what would open it
	Why   error         // ErrNotForMe, or why what was tried did not
}

func (e *LockedError) Error() string {
	var slots []string
	for _, slot := range e.Slots {
		if name := fmt.Sprintf("%s (%s)", keyslot.Describe(slot), slot.Role); !slices.Contains(slots, name) {
			slots = append(slots, name)
		}
	}
	reason := ""
	if errors.Is(e.Why, format.ErrWrongPassphrase) {
		reason = ": the passphrase is wrong"
	}
	return fmt.Sprintf("%s%s; its key slots are: %s", format.ErrNoKey, reason, strings.Join(slots, ", "))
}

func (e *LockedError) Unwrap() error { return format.ErrNoKey }

func open(ctx context.Context, r io.Reader, o OpenOptions, backend func(string) (backends.Backend, error)) (*opened, error) {
	in := bufio.NewReader(r) // for what is small; frames are read past it
	h, err := format.ReadHeader(in)
	if err != nil {
		return nil, err
	}
	keys, err := unlock(ctx, h, o)
	if err != nil {
		return nil, err
	}
	return &opened{
		r:      in,
		header: h,
		keys:   keys,
		tokens: newTokens(backend),
		sum:    &Summary{Generation: h.Generation, Restores: keys.Restores()},

		signers: o.Signers,
	}, nil
}

// run reads the whole archive: near is what each worker does with records
// once they are unwrapped, taken what is done with each in order.
func (a *opened) run(ctx context.Context, workers int, near func() []stage, taken func(*Batch, *format.Token, *format.Record, int) error) error {
	dst := newBooks(a)
	dst.taken = taken
	src := &frames{r: a.r, header: a.header}
	large := new([]byte)
	chain := func() ([]stage, error) {
		unwrap := newWrap(a.keys, a.tokens)
		unwrap.frames = a.frames
		far := []stage{
			unwrap,
			&mac{record: a.keys.RecordMAC()},
			&compress{large: large},
			&seal{header: a.header, keys: a.keys},
		}
		if near != nil {
			far = append(near(), far...)
		}
		return far, nil
	}
	if err := pipeline.Reverse(ctx, src, chain, dst, workers); err != nil {
		return err
	}
	if !dst.ended {
		return format.ErrTruncated
	}
	a.sum.Archive = a.tokens.archive
	return tail(a.r, a.header, dst.footer())
}

// Verify reads an archive to its end and checks all that the key at hand can
// check: every seal and MAC, order, index, directory, counts; with tK also the
// end's proof and the wrap of every payload, and with PINs private objects.
func Verify(ctx context.Context, r io.Reader, o OpenOptions) (*Summary, error) {
	a, done, err := openTelling(ctx, r, o, nil)
	if err != nil {
		return nil, err
	}
	defer done()
	x, near, err := a.examining(o.Unlock)
	if err != nil {
		return a.sum, err
	}
	defer x.close()
	err = a.run(ctx, o.Workers, near, func(b *Batch, t *format.Token, r *format.Record, i int) error {
		if r.Kind == format.KindEndOfToken {
			x.end(r.Token, t)
		}
		if o.Each != nil {
			o.Each(t, b.shown(i))
		}
		return nil
	})
	return a.sum, err
}
