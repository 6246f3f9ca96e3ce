package stages

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"tokar/format"
)

// maxHeld bounds the sealed blocks that cat keeps of a stream until its end is
// proved.
const maxHeld = 256 << 20

// NotFoundError names what an archive does not hold.
type NotFoundError struct{ Names []string }

func (e *NotFoundError) Error() string {
	return "not in this archive: " + strings.Join(e.Names, ", ")
}

// Cat writes the bytes of the entries named TOKEN/ENTRY to w, in the order
// given, after the end of the archive was proved, and tells Each of them. What
// is not there is a NotFoundError, after the rest was written.
func Cat(ctx context.Context, r io.Reader, names []string, o OpenOptions, w io.Writer) (*Summary, error) {
	if at, size, ok := seekable(r); ok {
		l, err := openLookup(ctx, at, size, o)
		if err != nil {
			return nil, err
		}
		defer l.keys.Wipe()
		return l.sum, l.cat(names, o, w)
	}
	a, err := open(ctx, r, o, nil)
	if err != nil {
		return nil, err
	}
	defer a.keys.Wipe()
	return a.sum, a.cat(ctx, names, o, w)
}

func (l *lookup) cat(names []string, o OpenOptions, w io.Writer) error {
	var missing []string
	for _, name := range names {
		found, err := l.findPath(name)
		if err != nil {
			return err
		}
		if found == nil || found.Absent() {
			missing = append(missing, name)
			continue
		}
		r, err := l.record(found)
		if err != nil {
			return err
		}
		if err := writeEntry(w, name, r); err != nil {
			return err
		}
		if o.Each != nil {
			o.Each(l.infos[r.Token], r)
		}
	}
	return notFound(missing)
}

// findPath tries every place where a path can be cut into token and entry: a
// token's name may have several components.
func (l *lookup) findPath(path string) (*format.Record, error) {
	parts := strings.Split(path, "/")
	for i := 1; i < len(parts); i++ {
		found, ok, err := l.find(format.NameOf(parts[:i]...), format.NameOf(parts[i:]...))
		if err != nil {
			return nil, err
		}
		if ok {
			if _, err := l.token(found.Token); err != nil {
				return nil, err
			}
			return found, nil
		}
	}
	return nil, nil
}

// held is the sealed frame of a record that is wanted, kept until the end is
// proved.
type held struct {
	frame []byte // nil if the entry's bytes are not there
	index int
	depth int // components of its token's name
	kind  format.Kind
	token *format.Token
}

// before says which of two entries a path means, as findPath and better do.
func (h *held) before(o *held) bool {
	return h.depth < o.depth || h.depth == o.depth && h.kind < o.kind
}

func (a *opened) cat(ctx context.Context, names []string, o OpenOptions, w io.Writer) error {
	wanted := map[string]*held{}
	for _, n := range names {
		wanted[n] = nil
	}
	size := 0
	var last []byte // frames are kept once, however many of their records are wanted
	var lastNumber format.FrameHeader
	a.frames = true
	err := a.run(ctx, o.Workers, nil, func(b *Batch, t *format.Token, r *format.Record, i int) error {
		if r.Kind.Descriptor() {
			return nil
		}
		path := t.Name.String() + "/" + r.Name.String()
		have, ok := wanted[path]
		if !ok {
			return nil
		}
		h := &held{index: i, depth: len(t.Name.Components()), kind: r.Kind, token: t}
		if have != nil && have.before(h) {
			return nil
		}
		wanted[path] = h
		if r.Absent() {
			return nil
		}
		if last == nil || lastNumber != b.FrameHeader {
			last, lastNumber = append([]byte(nil), b.Frame...), b.FrameHeader
			if size += len(last); size > maxHeld {
				return errors.New("too much to keep until the end of a stream is known; save the archive to a file, or extract")
			}
		}
		h.frame = last
		return nil
	})
	if err != nil {
		return err
	}
	var missing []string
	for _, name := range names {
		h := wanted[name]
		if h == nil || h.frame == nil {
			missing = append(missing, name)
			continue
		}
		if err := a.release(h, name, o, w); err != nil {
			return err
		}
	}
	return notFound(missing)
}

// release opens a held frame again and writes the record that was wanted.
func (a *opened) release(h *held, name string, o OpenOptions, w io.Writer) error {
	f, err := format.ParseFrame(h.frame)
	if err != nil {
		return err
	}
	b := Batch{FrameHeader: f.FrameHeader, sealed: f}
	if err := (&seal{header: a.header, keys: a.keys}).Reverse(context.Background(), &b); err != nil {
		return err
	}
	if err := (&compress{}).Reverse(context.Background(), &b); err != nil {
		return err
	}
	r := &b.Records[h.index]
	if err := newWrap(a.keys, nil).unwrap(&b); err != nil {
		return err
	}
	if err := splitDetails(r, h.token.Defaults); err != nil {
		return err
	}
	if err := writeEntry(w, name, r); err != nil {
		return err
	}
	if o.Each != nil {
		o.Each(h.token, r)
	}
	return nil
}

func writeEntry(w io.Writer, name string, r *format.Record) error {
	if r.Flags&format.Wrapped != 0 && r.Data == nil && r.Size > 0 {
		return fmt.Errorf("%s: %w: its bytes are wrapped, and a verifier's key does not open them", name, format.ErrNoKey)
	}
	n, err := w.Write(r.Data)
	if err == nil && n < len(r.Data) {
		err = io.ErrShortWrite
	}
	return err
}

func notFound(missing []string) error {
	if len(missing) > 0 {
		return &NotFoundError{Names: missing}
	}
	return nil
}
