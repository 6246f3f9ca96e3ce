package stages

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tokar/backends"
	"tokar/format"
)

var long = flag.Bool("long", false, "salvage at every cut and with every sector lost")

// A mapped archive knows where each of its frames stands and what is in it.
type mapped struct {
	bytes  []byte
	header int // length of the header
	end    int // where the second copy begins
	frames []mappedFrame
	total  uint64 // records
	tK     []byte
}

type mappedFrame struct {
	format.FrameHeader
	from, to int
	records  []mappedRecord
}

type mappedRecord struct {
	seq, supersedes uint64
	token           uint32
	kind            format.Kind
	gone            bool
	of, name        string // token and entry
	data            string
}

// smallBlocks packs an archive's records anew, so many a block, in parts of at
// most two blocks' worth.
func smallBlocks(t testing.TB, m *memory, per int, names ...string) *mapped {
	t.Helper()
	keys, err := format.GenerateKeys()
	if err != nil {
		t.Fatal(err)
	}
	defer keys.Wipe()
	o := archiveOptions()
	secretT, secretM := bytes.Clone(keys.SlotKey(format.RoleRestore).Secret), bytes.Clone(keys.SlotKey(format.RoleVerify).Secret)
	id := keys.SlotKey(format.RoleRestore).Archive
	o.Keys = func() (*format.Keys, error) {
		return format.NewKeys(id, bytes.Clone(secretT), bytes.Clone(secretM), nil)
	}
	var out bytes.Buffer
	if _, err := Archive(t.Context(), &out, m.inputs(names...), o); err != nil {
		t.Fatal(err)
	}
	r := bytes.NewReader(out.Bytes())
	h, err := format.ReadHeader(r)
	if err != nil {
		t.Fatal(err)
	}
	var records []format.Record
	unwrap := newWrap(keys, nil)
	plain := map[uint64][]byte{} // details and bytes of what is wrapped
	for {
		f, _, err := h.ReadFrame(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		if f.Kind == format.EndBlock {
			break
		}
		if f.Kind != format.DataBlock {
			continue
		}
		b := &Batch{sealed: f, FrameHeader: f.FrameHeader}
		chain := []stage{&compress{}, &seal{header: h, keys: keys}}
		for _, s := range slices.Backward(chain) {
			if err := s.Reverse(t.Context(), b); err != nil {
				t.Fatal(err)
			}
		}
		if err := unwrap.unwrap(b); err != nil {
			t.Fatal(err)
		}
		for i := range b.Records {
			r := &b.Records[i]
			if !r.Kind.Descriptor() {
				plain[r.Seq] = r.Data
				if err := splitDetails(r, format.Attr{}); err != nil {
					t.Fatal(err)
				}
			}
		}
		records = append(records, b.Records...)
	}
	a := &mapped{bytes: bytes.Clone(h.Bytes()), header: len(h.Bytes()), total: uint64(len(records)), tK: secretT}
	tokens := map[uint32]string{}
	var c format.Compressor
	add := func(f format.FrameHeader, front, beside []byte, of ...mappedRecord) int {
		body, err := c.AppendBody(nil, front, beside)
		if err != nil {
			t.Fatal(err)
		}
		frame, err := h.SealFrame(nil, keys, f, body)
		if err != nil {
			t.Fatal(err)
		}
		a.frames = append(a.frames, mappedFrame{f, len(a.bytes), len(a.bytes) + len(frame), of})
		a.bytes = append(a.bytes, frame...)
		return len(frame)
	}
	var index format.Index
	var dir format.FrameDirectory
	var p format.Packer
	at := func() uint64 { return uint64(len(a.bytes) - a.header) }
	chunks, place := uint64(0), format.FrameHeader{Kind: format.DataBlock}
	done := 0
	for part := range slices.Chunk(records, per) {
		done += len(part)
		var wrapped []byte
		for _, r := range part {
			if r.Flags&format.Wrapped != 0 {
				wrapped = append(wrapped, plain[r.Seq]...)
			}
		}
		beside, err := keys.PayloadWrap().Wrap(nil, wrapped, part)
		if err != nil {
			t.Fatal(err)
		}
		var of []mappedRecord
		for i := range part {
			r := &part[i]
			r.MAC = keys.RecordMAC().Sum(r)
			if r.Kind == format.KindToken {
				tokens[r.Token] = r.Name.String()
			}
			of = append(of, mappedRecord{r.Seq, r.Supersedes, r.Token, r.Kind, r.Absent(), tokens[r.Token], r.Name.String(), string(r.Data)})
		}
		place.Last = place.Part == 1 || done == len(records) // blocks of two parts
		front, beside := p.Pack(part, beside)
		start := at()
		dir.AddData(place, start, add(place, front, beside, of...), part, beside)
		if place.Part++; place.Last {
			place = format.FrameHeader{Kind: format.DataBlock, Number: place.Number + 1}
		}
		for i := range part {
			for _, chunk := range index.Add(&part[i]) {
				_, recs, err := format.DecodeChunk(nil, chunk.Body)
				if err != nil {
					t.Fatal(err)
				}
				var of []mappedRecord
				for _, r := range recs {
					of = append(of, mappedRecord{seq: r.Seq, supersedes: r.Supersedes, token: r.Token, kind: r.Kind, gone: r.Absent(), of: tokens[r.Token], name: r.Name.String()})
				}
				f := format.FrameHeader{Kind: format.IndexBlock, Number: chunks, Last: true}
				start := at()
				dir.AddIndex(f, start, add(f, chunk.Body, nil, of...), &chunk)
				chunks++
			}
		}
	}
	footer := format.Footer{Directory: at(), Header: uint32(a.header)}
	n := uint64(0)
	for piece := range slices.Chunk(dir.Bytes(), format.DirPiece) {
		add(format.FrameHeader{Kind: format.DirectoryBlock, Number: n, Last: true}, piece, nil)
		n++
	}
	footer.End = at()
	end, err := h.NewEnd(keys, &dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	add(format.FrameHeader{Kind: format.EndBlock, Last: true}, end.Encode(), nil)
	footer.Frames = at()
	a.end = len(a.bytes)
	a.bytes = append(append(a.bytes, h.Bytes()...), footer.Encode()...)
	if s, err := Verify(t.Context(), stream(a.bytes), opening(restoreKey)); err != nil || s.Records != a.total {
		t.Fatal(s, err)
	}
	return a
}

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

// about100K has three tokens in some 20 blocks, one of them changed while it was
// read.
func about100K(t testing.TB) *mapped {
	one := madeToken("one", 120, 300)
	one.changed = []backends.Entry{{Kind: format.KindObject, Name: format.Name("00000003"), Place: 4}}
	one.again = map[string][]byte{"00000003": []byte("new content")}
	a := smallBlocks(t, newMemory(one, madeToken("two", 60, 700), madeToken("three", 9, 100)), 7, "one", "two", "three")
	t.Logf("%d bytes, %d frames", len(a.bytes), len(a.frames))
	return a
}

func about1M(t testing.TB) *mapped {
	a := smallBlocks(t, newMemory(madeToken("one", 500, 1000), madeToken("two", 300, 1500), madeToken("three", 2, 9)), 8, "one", "two", "three")
	t.Logf("%d bytes, %d frames", len(a.bytes), len(a.frames))
	return a
}

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
