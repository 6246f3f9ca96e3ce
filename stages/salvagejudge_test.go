package stages

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"

	"tokar/backends"
	"tokar/format"
)

// rescued is what a salvage came to.
type rescued struct {
	*Salvaged
	entries map[string]string // TOKEN/ENTRY to bytes
	damage  []format.Finding
	lost    map[string]string // TOKEN/ENTRY to the kind of finding
	partly  map[string]bool   // tokens that are said to be incomplete
}

func (r *rescued) said(kind string) bool {
	return slices.ContainsFunc(r.damage, func(f format.Finding) bool { return f.Kind == kind })
}

func rescue(b []byte) (*rescued, error) { return rescueEach(b, nil) }

func rescueEach(b []byte, each Each) (*rescued, error) {
	return rescueFrom(context.Background(), bytes.NewReader(b), len(b), restoreKey, each)
}

// rescueFrom salvages what is said to be of size bytes.
func rescueFrom(ctx context.Context, at io.ReaderAt, size int, id format.Identity, each Each) (*rescued, error) {
	m, plain := newMemory(), newMemory()
	out := &rescued{entries: map[string]string{}, lost: map[string]string{}}
	o := SalvageOptions{
		ExtractOptions: ExtractOptions{
			OpenOptions: opening(id),
			Backend: func(kind string) (backends.Backend, error) {
				if kind == "nobody's" {
					return nil, format.ErrUnsupported
				}
				return m, nil
			},
			Place:  func(*format.Token) Place { return Place{Wanted: true, Whole: true} },
			Select: func(*format.Token, *format.Record) bool { return true },
		},
		Unknown: plain,
		Damage:  func(f format.Finding) { out.damage = append(out.damage, f) },
		Lost: func(t *format.Token, name format.Name, f format.Finding) {
			out.lost[t.Name.String()+"/"+name.String()] = f.Kind
		},
	}
	o.Each = each
	var err error
	out.Salvaged, err = Salvage(ctx, io.NewSectionReader(at, 0, int64(size)), o)
	if m.stagings+plain.stagings != 0 {
		return nil, fmt.Errorf("%d stagings are left", m.stagings+plain.stagings)
	}
	out.partly = m.partly
	maps.Copy(out.partly, plain.partly)
	for _, from := range []*memory{m, plain} {
		for token, entries := range from.restored {
			for name, data := range entries {
				out.entries[token+"/"+name] = string(data)
			}
		}
	}
	return out, err
}

// judge salvages what is left of a: whole says which frames are. It knows nothing
// of how salvage looks for them.
func (a *mapped) judge(b []byte, header bool, whole func(from, to int) bool) error {
	came, order := map[string]uint64{}, error(nil)
	got, err := rescueEach(b, func(t *format.Token, r *format.Record) {
		if r.Kind.Descriptor() {
			return
		}
		entry := t.Name.String() + "/" + r.Name.String()
		if seq, again := came[entry]; again != (r.Supersedes != format.NoSeq) || again && seq != r.Supersedes {
			order = fmt.Errorf("record %d is given as superseding %d", r.Seq, r.Supersedes)
		}
		came[entry] = r.Seq
	})
	want, lost, names := map[string]string{}, map[string]string{}, map[uint32]string{}
	there, last, gone := map[uint64]bool{}, map[string]uint64{}, map[string]uint64{}
	top := uint64(0)
	ended := false
	index := false
	for _, f := range a.frames {
		if !whole(f.from, f.to) {
			index = index || f.Kind == format.IndexBlock
			continue
		}
		ended = ended || f.Kind == format.EndBlock
		for _, r := range f.records {
			top = max(top, r.seq+1)
			if f.Kind == format.DataBlock {
				there[r.seq] = true
			}
			if r.kind == format.KindToken {
				names[r.token] = r.of
			}
		}
	}
	name := func(r mappedRecord) string {
		token := names[r.token]
		if token == "" {
			token = fmt.Sprintf("unknown-token-%d", r.token)
		}
		return token + "/" + r.name
	}
	for _, f := range a.frames {
		for _, r := range f.records {
			if r.kind.Descriptor() || !whole(f.from, f.to) {
				continue
			}
			switch {
			case f.Kind == format.DataBlock && r.gone:
				delete(want, name(r))
			case f.Kind == format.DataBlock:
				want[name(r)], last[name(r)] = r.data, r.seq
			case !there[r.seq]:
				lost[name(r)], gone[name(r)] = "lost", r.seq
			}
		}
	}
	for n, seq := range gone {
		came, back := last[n]
		switch {
		case back && came > seq:
			delete(lost, n)
		case back:
			lost[n] = "older"
		}
	}
	partly := map[string]bool{} // of those of which something came back
	for _, f := range a.frames {
		for _, r := range f.records {
			if r.kind != format.KindToken && r.kind != format.KindArchive && f.Kind == format.DataBlock && !there[r.seq] {
				partly[strings.TrimSuffix(name(mappedRecord{token: r.token}), "/")] = true
			}
		}
	}
	maps.DeleteFunc(partly, func(token string, _ bool) bool {
		return !slices.ContainsFunc(slices.Collect(maps.Keys(want)), func(n string) bool { return strings.HasPrefix(n, token+"/") })
	})
	if len(want) == 0 || !header {
		if !errors.Is(err, format.ErrChecksum) || len(got.entries) > 0 {
			return fmt.Errorf("nothing is left, but: %v, %d entries", err, len(got.entries))
		}
		return nil
	}
	switch {
	case err != nil || order != nil:
		return errors.Join(err, order)
	case ended && got.said("lost-index") != index:
		return fmt.Errorf("an index block is lost: %v, or so it is said", index)
	case !maps.Equal(got.entries, want):
		return fmt.Errorf("%d entries came back, want %d", len(got.entries), len(want))
	case !got.Damaged || len(got.damage) == 0:
		return errors.New("it says that nothing is lost")
	case !maps.Equal(got.lost, lost):
		return fmt.Errorf("named as lost: %d, want %d: %v and %v", len(got.lost), len(lost), got.lost, lost)
	case !maps.Equal(got.partly, partly):
		return fmt.Errorf("incomplete are %v, want %v", got.partly, partly)
	case (got.Proof == Good) != ended:
		return fmt.Errorf("proof %s", got.Proof)
	}
	if ended {
		top = a.total
	}
	for _, f := range got.damage {
		var from, to uint64
		if n, _ := fmt.Sscanf(f.Message, "records %d to %d are lost", &from, &to); n == 2 && f.Kind == "lost-records" {
			for seq := from; seq <= to; seq++ {
				if there[seq] {
					return fmt.Errorf("record %d is said to be lost, or twice", seq)
				}
				there[seq] = true
			}
		}
	}
	if uint64(len(there)) != top {
		return fmt.Errorf("%d records came back or were named as lost, of %d", len(there), top)
	}
	return nil
}

// cases runs check for a sample of n cases, with -long for all.
func cases(t *testing.T, what string, n, sample int, check func(i int) error) {
	t.Helper()
	stride := max(1, n/sample)
	if *long {
		stride = 1
	}
	if testing.Short() {
		stride *= 10
	}
	everyNth(t, n, stride, check)
	t.Logf("counted: %d of %d %s", (n+stride-1)/stride, n, what)
}

func everyNth(t *testing.T, n, stride int, check func(i int) error) {
	t.Helper()
	done := make(chan error)
	const workers = 2
	for w := range workers {
		go func() {
			for i := w * stride; i < n; i += workers * stride {
				if err := check(i); err != nil {
					done <- fmt.Errorf("at %d of %d: %w", i, n, err)
					return
				}
			}
			done <- nil
		}()
	}
	var errs []error
	for range workers {
		errs = append(errs, <-done)
	}
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}
