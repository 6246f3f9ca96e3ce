package stages

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tokar/format"
)

// Everything that is there is found, wherever it stands.
func TestSalvageMoved(t *testing.T) {
	a := about100K(t)
	whole, err := rescue(a.bytes)
	if err != nil || whole.Damaged || whole.Proof != Good || len(whole.damage) > 0 {
		t.Fatalf("a whole archive: %v, %+v", err, whole.damage)
	}
	cut := func(f mappedFrame) []byte { return a.bytes[f.from:f.to] }
	at := func(f mappedFrame, ins ...[]byte) []byte {
		return slices.Concat(a.bytes[:f.from], slices.Concat(ins...), a.bytes[f.from:])
	}
	f, g := a.frames[3], a.frames[4]
	garbage := bytes.Repeat([]byte(format.FrameMagic), 1000)
	fake := slices.Concat(cut(f)[:28], []byte{0, 0, 1, 0}, make([]byte, 100))
	other := about100K(t)
	header := a.bytes[:a.header]
	for _, c := range []struct {
		name   string
		bytes  []byte
		kinds  []string
		errand error
	}{
		{"doubled", at(a.frames[6], cut(f)), []string{"doubled"}, nil},
		{"end doubled", append(bytes.Clone(a.bytes), cut(a.frames[len(a.frames)-1])...), []string{"doubled"}, nil},
		{"swapped", slices.Concat(a.bytes[:f.from], cut(g), cut(f), a.bytes[g.to:]), []string{"moved"}, nil},
		{"moved", slices.Concat(a.bytes[:f.from], a.bytes[f.to:], cut(f)), []string{"moved"}, nil},
		{"garbage", at(g, garbage), []string{"damage"}, nil},
		{"garbage before", append(bytes.Clone(garbage), a.bytes...), []string{"damage"}, nil},
		{"fake", at(g, fake), []string{"damage"}, nil},
		{"inside fake", at(g, fake[:60], cut(f)), []string{"damage", "doubled"}, nil},
		{"other frames", at(g, other.bytes[other.frames[3].from:other.frames[9].to]), []string{"damage"}, nil},
		{"other archive after", append(bytes.Clone(a.bytes), other.bytes...), []string{"damage", "other-archive"}, nil},
		{"itself after", append(bytes.Clone(a.bytes), a.bytes...), []string{"doubled"}, nil},
		{"header in the middle", at(g, header), nil, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := rescue(c.bytes)
			if err != nil {
				t.Fatal(err)
			}
			if !maps.Equal(got.entries, whole.entries) || len(got.lost) > 0 {
				t.Errorf("%d entries came back, %d are lost", len(got.entries), len(got.lost))
			}
			for _, k := range c.kinds {
				if !got.said(k) {
					t.Errorf("no finding %s: %+v", k, got.damage)
				}
			}
			for _, f := range got.damage {
				if !slices.Contains(c.kinds, f.Kind) {
					t.Errorf("finding %+v", f)
				}
			}
		})
	}
}

// One header that is damaged still opens what a slot and the commitments prove.
func TestSalvageHeader(t *testing.T) {
	a := about100K(t)
	whole, err := rescue(a.bytes)
	if err != nil {
		t.Fatal(err)
	}
	end := a.end
	for _, c := range []struct {
		name   string
		at     []int // bytes flipped, in both copies
		opened bool
	}{
		{"length", []int{9}, true},
		{"checksum", []int{a.header - 1}, true},
		{"slot section's MAC", []int{a.header - 10}, true},
		{"generation", []int{8 + 4 + 162 + 1}, true},
		{"the other slot's body", []int{a.header - 4 - 64 - 3}, true},
		{"magic", []int{0}, false},
		{"archive id", []int{20}, false},
		{"emK", []int{60}, false},
		{"C_t", []int{8 + 4 + 4 + 32 + 60 + 1}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := bytes.Clone(a.bytes)
			for _, i := range c.at {
				b[i] ^= 1
				b[end+i] ^= 1
			}
			got, err := rescue(b)
			switch {
			case c.opened && (err != nil || !maps.Equal(got.entries, whole.entries) || !got.said("header")):
				t.Errorf("%v, %+v", err, got)
			case !c.opened && (refused(err) != nil || got.Salvaged != nil):
				t.Errorf("%v, %+v", err, got)
			}
		})
	}
}

// A verifier can make blocks and an end; the end's proof shows it, and what
// they hold comes back all the same.
func TestSalvageBadProof(t *testing.T) {
	s := reseal(t)
	frames := slices.Clone(s.frames)
	last := &frames[len(frames)-1]
	last.front = bytes.Clone(last.front)
	last.front[len(last.front)-1] ^= 1
	got, err := rescue(s.archive(t, frames, false))
	if err != nil || got.Proof != Bad || !got.said("proof") || len(got.entries) == 0 {
		t.Fatalf("%v %+v", err, got)
	}
}

// The independent reader, written from docs/FORMAT.md, brings back the same.
func TestSalvagePython(t *testing.T) {
	needPython(t)
	a := about100K(t)
	n := len(a.bytes)
	garbled := func(b []byte, at ...int) []byte {
		b = bytes.Clone(b)
		for _, i := range at {
			b[i] ^= 4
		}
		return b
	}
	end := a.end
	last := a.header - 4 - 64 - 3 // in the last slot's body
	f, g := a.frames[5], a.frames[8]
	for i, b := range [][]byte{
		a.bytes, a.bytes[:n/2], a.bytes[n/3:], a.bytes[:a.header+10], a.bytes[a.header:end],
		garbled(a.bytes, 20), garbled(a.bytes, 9, end+9), garbled(a.bytes, last, end+last), garbled(a.bytes, 20, end+20),
		garbled(a.bytes, n/5, n/4, n/2), garbled(a.bytes, f.from+14, g.from+29),
		slices.Concat(a.bytes[:f.from], a.bytes[g.from:g.to], a.bytes[f.from:]),
		slices.Concat(a.bytes[g.from:], a.bytes[:g.from]),
		slices.Concat(a.bytes[:f.from+40], a.bytes[g.from:]),
	} {
		var want []string
		_, err := rescueEach(b, func(_ *format.Token, r *format.Record) {
			line := fmt.Sprint(r.Seq, " -")
			if !r.Kind.Descriptor() {
				line = fmt.Sprintf("%d %x", r.Seq, sha256.Sum256(r.Data))
			}
			want = append(want, line)
		})
		file := filepath.Join(t.TempDir(), "damaged.tokar")
		if err := os.WriteFile(file, b, 0o600); err != nil {
			t.Fatal(err)
		}
		out, perr := exec.Command(python, "-B", vectorDir+"/reader.py", "salvage", file, fmt.Sprintf("tK:%x", a.tK)).Output()
		if perr != nil && (err == nil || len(out) > 0) {
			t.Errorf("case %d: reader.py: %v, %s; tokar: %v", i, perr, perr.(*exec.ExitError).Stderr, err)
		}
		var got []string
		for line := range strings.Lines(string(out)) {
			words := strings.Fields(line)
			got = append(got, words[0]+" "+strings.TrimPrefix(words[len(words)-1], "sha256="))
		}
		if !slices.Equal(got, want) && (err == nil || len(want) > 0) {
			t.Errorf("case %d: %d records, reader.py has %d", i, len(want), len(got))
		}
		t.Logf("case %d: %d records, %v", i, len(got), err)
	}
}

// Who has the file can fill it with what looks like blocks.
func TestSalvageManyMarks(t *testing.T) {
	a := about100K(t)
	mark := slices.Concat(a.bytes[a.header:a.header+28], []byte{0, 8, 0, 0})
	b := slices.Concat(a.bytes, bytes.Repeat(mark, 1<<20/len(mark)))
	got, err := rescue(b)
	if err != nil || !got.said("too-many-marks") || len(got.entries) == 0 {
		t.Fatalf("%v %+v", err, got)
	}
	if offset := got.damage[0].Offset; !strings.HasPrefix(got.damage[0].Kind, "too-many") || offset < int64(len(a.bytes)) {
		t.Errorf("stopped at %d of %d", offset, len(a.bytes))
	}
}

// … or like headers; what needs a newer tokar is said to.
func TestSalvageManyHeaders(t *testing.T) {
	a := about100K(t)
	for _, n := range []int{8, 16, 100, 250} {
		b := slices.Concat(bytes.Repeat(a.bytes[:n], 1<<20/n), a.bytes)
		if got, err := rescue(b); err != nil || len(got.entries) == 0 {
			t.Errorf("%d bytes again and again: %v", n, err)
		}
	}
	b, err := format.ReadHeader(bytes.NewReader(a.bytes))
	if err != nil {
		t.Fatal(err)
	}
	newer := bytes.Clone(b.Bytes())
	newer[13] = 2
	newer = binary.BigEndian.AppendUint32(newer[:len(newer)-4], crc32.Checksum(newer[:len(newer)-4], crc32.MakeTable(crc32.Castagnoli)))
	if _, err := rescue(slices.Concat(newer, a.bytes[a.header:a.end], newer)); !errors.Is(err, format.ErrUnsupported) {
		t.Error(err)
	}
}

func FuzzSalvage(f *testing.F) {
	a := smallBlocks(f, newMemory(madeToken("one", 20, 30), madeToken("two", 3, 30)), 4, "one", "two")
	f.Add([]byte{}, uint16(0))
	f.Add([]byte("\x00\x00"), uint16(300))
	f.Add(a.bytes[:100], uint16(1000))
	f.Add(a.bytes[a.frames[1].from:a.frames[2].to], uint16(a.frames[3].from))
	f.Fuzz(func(t *testing.T, b []byte, at uint16) {
		i := min(int(at), len(a.bytes))
		for _, c := range [][]byte{
			b, slices.Concat(a.bytes[:i], b, a.bytes[i:]),
			slices.Concat(a.bytes[:i], b, a.bytes[min(i+len(b), len(a.bytes)):]),
		} {
			if _, err := rescue(c); err != nil && refused(err) != nil {
				t.Fatal(err)
			}
		}
	})
}
