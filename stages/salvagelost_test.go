package stages

import (
	"bytes"
	"flag"
	"strings"
	"testing"

	"tokar/format"
)

var long = flag.Bool("long", false, "salvage at every cut and with every sector lost")

func TestSalvageCutAnywhere(t *testing.T) {
	a := about100K(t)
	cases(t, "cuts", len(a.bytes), 800, func(n int) error {
		return a.judge(a.bytes[:n], n >= a.header, func(_, to int) bool { return to <= n })
	})
}

// Inside the first header every byte is another field.
func TestSalvageCutHeader(t *testing.T) {
	a := about100K(t)
	everyNth(t, a.header+60, 1, func(n int) error {
		return a.judge(a.bytes[:n], n >= a.header, func(_, to int) bool { return to <= n })
	})
}

func TestSalvageLostBeginning(t *testing.T) {
	a := about100K(t)
	cases(t, "lost beginnings", len(a.bytes), 800, func(n int) error {
		n++
		return a.judge(a.bytes[n:], n <= a.end, func(from, _ int) bool { return from >= n })
	})
}

// Where all data blocks are lost and an index block is left, what it names is
// named.
func TestSalvageIndexAlone(t *testing.T) {
	a, named := about100K(t), 0
	for n := len(a.bytes) - 16; n > len(a.bytes)-16<<10; n -= 16 {
		r, err := rescue(a.bytes[n:])
		if err == nil || !strings.Contains(err.Error(), "no block of records is left") {
			continue
		}
		if len(r.lost) > 0 {
			named++
		}
		for _, f := range r.damage {
			if strings.Contains(f.Message, "lost, ;") {
				t.Fatalf("from byte %d: %s", n, f.Message)
			}
		}
	}
	if named == 0 {
		t.Error("no lost entry is named")
	}
}

const sector = 512

func TestSalvageSectors(t *testing.T) {
	a := about1M(t)
	n := (len(a.bytes) + sector - 1) / sector
	for what, spoil := range map[string]func([]byte){
		"zeroed":  func(b []byte) { clear(b) },
		"flipped": func(b []byte) { b[len(b)/2] ^= 1 },
		"cut":     nil,
	} {
		t.Run(what, func(t *testing.T) {
			cases(t, "sectors "+what, n, 80, func(i int) error {
				from, to := i*sector, min((i+1)*sector, len(a.bytes))
				if spoil == nil {
					return a.judge(a.bytes[:from], from >= a.header, func(_, to int) bool { return to <= from })
				}
				b := bytes.Clone(a.bytes)
				spoil(b[from:to])
				if what == "flipped" {
					from = from + (to-from)/2
					to = from + 1
				}
				return a.judge(b, true, func(f, l int) bool { return l <= from || f >= to })
			})
		})
	}
}

// Any block of records lost, and any one of the index with it: what the index
// of the others says is named, and a token that nothing describes any more has
// its entries all the same.
func TestSalvageTwoBlocks(t *testing.T) {
	a := about100K(t)
	older, unknown, n := 0, 0, 0
	for _, f := range a.frames {
		for _, g := range a.frames {
			if f.Kind != format.DataBlock || g.Kind != format.IndexBlock && g.from != f.from {
				continue
			}
			b := bytes.Clone(a.bytes)
			b[f.to-1] ^= 1
			b[g.from] ^= 0x80
			whole := func(from, _ int) bool { return from != f.from && from != g.from }
			if err := a.judge(b, true, whole); err != nil {
				t.Fatalf("%s and %s lost: %v", f.FrameHeader, g.FrameHeader, err)
			}
			got, err := rescue(b)
			if err != nil {
				t.Fatal(err)
			}
			n++
			for _, kind := range got.lost {
				if kind == "older" {
					older++
				}
			}
			if got.said("unknown-token") {
				unknown++
			}
		}
	}
	if older == 0 || unknown == 0 {
		t.Errorf("an older record came back %d times, of an unknown token %d times", older, unknown)
	}
	t.Logf("counted: %d pairs of blocks lost", n)
}
