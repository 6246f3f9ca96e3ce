package stages

import (
	"bytes"
	"context"
	"errors"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"

	"tokar/format"
)

// nthRead is a file of which one read is special: do is called before it, and
// may make it fail.
type nthRead struct {
	io.ReaderAt
	left int
	do   func() error
}

func (r *nthRead) ReadAt(b []byte, at int64) (int, error) {
	if r.left--; r.left == 0 {
		if err := r.do(); err != nil {
			return 0, err
		}
	}
	return r.ReaderAt.ReadAt(b, at)
}

// eachRead salvages a with each of its reads special, until none is.
func eachRead(t *testing.T, a *mapped, do func(n int) (context.Context, func() error), check func(n int, r *rescued, err error)) {
	t.Helper()
	for n := 1; ; n++ {
		ctx, special := do(n)
		at := &nthRead{ReaderAt: bytes.NewReader(a.bytes), left: n, do: special}
		r, err := rescueFrom(ctx, at, len(a.bytes), restoreKey, nil)
		if at.left > 0 {
			t.Logf("counted: %d reads", n-1)
			if err != nil || n < 30 {
				t.Errorf("%d reads: %v", n-1, err)
			}
			return
		}
		check(n, r, err)
	}
}

// few has one token changed at work in eight blocks.
func few(t *testing.T) *mapped {
	one := madeToken("one", 20, 100)
	return smallBlocks(t, newMemory(one, madeToken("two", 9, 100)), 5, "one", "two")
}

// A read that fails, even once, is no damage of the archive: salvage ends with
// the disk's error and restores nothing, for what it would leave out may be
// there.
func TestSalvageDiskFailsAnywhere(t *testing.T) {
	a := few(t)
	eachRead(t, a, func(int) (context.Context, func() error) {
		return t.Context(), func() error { return errDisk }
	}, func(n int, r *rescued, err error) {
		if !errors.Is(err, errDisk) || refused(err) == nil || len(r.entries) > 0 {
			t.Errorf("read %d: %v, %d entries came back", n, err, len(r.entries))
		}
	})
}

// A salvage that is stopped at any read restores nothing.
func TestSalvageStoppedAnywhere(t *testing.T) {
	a := few(t)
	whole := 0
	eachRead(t, a, func(int) (context.Context, func() error) {
		ctx, cancel := context.WithCancel(t.Context())
		return ctx, func() error { cancel(); return nil }
	}, func(n int, r *rescued, err error) {
		switch {
		case err == nil && len(r.entries) == 31:
			whole++ // stopped in the last block, which was not waited for
		case !errors.Is(err, context.Canceled) || len(r.entries) > 0:
			t.Errorf("read %d: %v, %d entries came back", n, err, len(r.entries))
		}
	})
	if whole > 3 {
		t.Errorf("%d runs went on to their ends", whole)
	}
}

// A file that is shorter than it was said to be is one that was cut there.
func TestSalvageShorterThanSaid(t *testing.T) {
	a := few(t)
	f := a.frames[3]
	start := len(format.FrameMagic)
	for _, n := range []int{a.header + 10, f.from, f.from + start, f.from + 20, f.from + 40, f.from + 60, f.to - 1, f.to, a.end, a.end + 10} {
		want, wantErr := rescue(a.bytes[:n])
		got, err := rescueFrom(t.Context(), bytes.NewReader(a.bytes[:n]), len(a.bytes), restoreKey, nil)
		if className(err) != className(wantErr) || !maps.Equal(got.entries, want.entries) {
			t.Errorf("at %d: %v, %d entries; cut there %v, %d entries", n, err, len(got.entries), wantErr, len(want.entries))
		}
		if err == nil && !got.Damaged {
			t.Errorf("at %d: nothing is said", n)
		}
	}
}

// Of an archive that is sound everything comes back and nothing is said. Of one
// that breaks a rule nothing comes back that is not in the sound one it was made
// from, or a finding says so; where none does, its author had the restore key.
func TestSalvageVectors(t *testing.T) {
	f := readVectors(t)
	var base map[string]string
	says := maps.Clone(saysOf)
	for _, v := range f.Vectors {
		b := readVector(t, vectorDir, v.Name)
		got, err := rescueFrom(t.Context(), bytes.NewReader(b), len(b), f.identity(t, &v, "restore"), nil)
		if v.Name == "good-base" {
			base = got.entries
		}
		switch {
		case v.Expect.Stream == "ok":
			x := extracting(newMemory())
			x.OpenOptions = f.options(t, &v, "restore", 1)
			if _, err := x.of(t, b); err != nil {
				t.Fatalf("%s: %v", v.Name, err)
			}
			want := map[string]string{}
			for token, entries := range x.m.restored {
				for name, data := range entries {
					want[token+"/"+name] = string(data)
				}
			}
			if err != nil || got.Damaged || len(got.lost) > 0 || !maps.Equal(got.entries, want) {
				t.Errorf("%s: %v, %+v, %d entries, want %d", v.Name, err, got.damage, len(got.entries), len(want))
			}
			continue
		case err != nil:
			if refused(err) != nil || len(got.entries) > 0 {
				t.Errorf("%s: %v, %d entries came back", v.Name, err, len(got.entries))
			}
			continue
		}
		foreign := 0
		for name, data := range got.entries {
			if was, ok := base[name]; !ok || was != data {
				foreign++
			}
		}
		if foreign > 0 && !got.Damaged && !(strings.HasPrefix(v.Name, "order-") && got.Proof == Good) {
			t.Errorf("%s: %d entries that are not the archive's came back, and nothing is said", v.Name, foreign)
		}
		var kinds []string
		for _, f := range got.damage {
			kinds = append(kinds, f.Kind)
		}
		if bad := strings.HasPrefix(v.Name, "signature-") || v.Name == "signer-weak"; bad && (got.Signature != Bad || got.SignedBy != nil || !slices.Equal(kinds, []string{"signature"})) {
			t.Errorf("%s: signature %s, findings %q", v.Name, got.Signature, kinds)
		}
		if want, ok := says[v.Name]; ok && !slices.Equal(kinds, strings.Fields(want)) {
			t.Errorf("%s: findings %q, want %q", v.Name, kinds, want)
		}
		delete(says, v.Name)
	}
	if len(says) > 0 {
		t.Errorf("no vectors: %v", says)
	}
}

// saysOf is what a salvage says of some vectors, one for each kind of finding
// that no damage, but only somebody with a key can bring about.
var saysOf = map[string]string{
	"frames-spliced-same-core": "unproved",
	"header-mt":                "key-slots",
	"header-copy-differs":      "key-slots",
	"end-proof":                "proof unknown-end",
	"end-count-huge":           "lost-directory lost-index",
	"frames-doubled":           "doubled",
	"body-zstd-bomb":           "unsound-block lost-records",
}

// What fails where entries are put ends a salvage as it ends an extract: with
// the reason, and nothing restored.
func TestSalvageFails(t *testing.T) {
	a := few(t)
	for _, step := range []string{"restore two", "put two", "order two", "finish two", "commit one"} {
		m := newMemory()
		m.fails = map[string]error{step: errDisk}
		o := SalvageOptions{ExtractOptions: extracting(m).ExtractOptions, Unknown: m, Damage: func(format.Finding) {}}
		_, err := Salvage(t.Context(), bytes.NewReader(a.bytes), o)
		if !errors.Is(err, errDisk) || refused(err) == nil || len(m.restored) != 0 || m.stagings != 0 {
			t.Errorf("%s: %v, %d tokens restored, %d stagings", step, err, len(m.restored), m.stagings)
		}
	}
}

// Where only descriptors are left, nothing is made, and the answer is not that
// all went well.
func TestSalvageOfDescriptorsOnly(t *testing.T) {
	a := smallBlocks(t, newMemory(madeToken("one", 20, 100)), 2, "one")
	n := slices.IndexFunc(a.frames, func(f mappedFrame) bool {
		return slices.ContainsFunc(f.records, func(r mappedRecord) bool { return !r.kind.Descriptor() })
	})
	if n == 0 {
		t.Fatal("no block of descriptors only")
	}
	got, err := rescue(a.bytes[:a.frames[n].from])
	if !errors.Is(err, format.ErrChecksum) || !strings.Contains(err.Error(), "no entry of a token is left") || len(got.partly)+len(got.entries) > 0 {
		t.Errorf("%v, %+v", err, got)
	}
}
