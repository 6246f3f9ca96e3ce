package stages

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"iter"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tokar/backends"
	"tokar/format"
)

// made is a backend whose tokens hold any number of objects and no memory.
type made struct {
	*memory
	objects int
	read    func(i uint64) // called before entry i is read
}

type madeOpen struct {
	made
	info *format.Token
}

func (m made) Open(_ context.Context, loc backends.Location) (backends.Token, error) {
	return &madeOpen{m, &format.Token{Name: loc.Name, Kind: "memory"}}, nil
}

func (o *madeOpen) Info() *format.Token { return o.info }
func (o *madeOpen) Close() error        { return nil }

func (o *madeOpen) Entries(context.Context) iter.Seq2[backends.Entry, error] {
	return func(yield func(backends.Entry, error) bool) {
		for i := range o.objects {
			e := backends.Entry{Kind: format.KindObject, Name: fmt.Appendf(nil, "%08d", i), Place: uint64(i)}
			if !yield(e, nil) {
				return
			}
		}
	}
}

func (o *madeOpen) Read(_ context.Context, e *backends.Entry, r *format.Record, buf []byte) error {
	if o.read != nil {
		o.read(e.Place)
	}
	r.Data = append(buf[:0:len(buf)], bytes.Repeat(e.Name, 128)...)
	return nil
}

func (m made) inputs(names ...string) []Input {
	in := m.memory.inputs(names...)
	for i := range in {
		in[i].Backend = m
	}
	return in
}

// The first bytes leave before the last object is read: the last read waits
// for the first frame to be written, and would wait for ever.
func TestFirstBytesLeaveFirst(t *testing.T) {
	const objects = 20_000
	left := make(chan struct{})
	m := made{memory: newMemory(), objects: objects, read: func(i uint64) {
		if i == objects-1 {
			select {
			case <-left:
			case <-time.After(time.Minute):
				t.Error("nothing had left when the last object was read")
			}
		}
	}}
	out := &writes{after: 2, reached: left} // the header, then the first frame
	if _, err := Archive(t.Context(), out, m.inputs("one"), archiveOptions()); err != nil {
		t.Fatal(err)
	}
}

// writes closes reached at the nth write.
type writes struct {
	n, after int
	reached  chan struct{}
}

func (w *writes) Write(b []byte) (int, error) {
	if w.n++; w.n == w.after {
		close(w.reached)
	}
	return len(b), nil
}

// Memory does not grow with the number of objects: ten times as many in as
// many more tokens need no more of it, writing and reading.
func TestConstantMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("the race detector has its own memory")
	}
	small, large := peakHeap(t, 5), peakHeap(t, 50)
	t.Logf("peak heap: %d MiB for 10,000 objects, %d MiB for 100,000", small>>20, large>>20)
	if large > small+small/2+8<<20 {
		t.Fatalf("100,000 objects take %d MiB where 10,000 took %d", large>>20, small>>20)
	}
}

// peakHeap archives so many tokens of 2,000 objects into a pipe that is
// verified at its other end, and gives the most memory seen in use.
func peakHeap(t *testing.T, tokens int) uint64 {
	var names []string
	for i := range tokens {
		names = append(names, fmt.Sprintf("token%03d", i))
	}
	runtime.GC()
	var peak atomic.Uint64
	m := made{memory: newMemory(), objects: 2000, read: func(i uint64) {
		if i%500 == 0 {
			var s runtime.MemStats
			runtime.ReadMemStats(&s)
			peak.Store(max(peak.Load(), s.HeapInuse))
		}
	}}
	r, w := io.Pipe()
	go func() {
		_, err := Archive(context.Background(), w, m.inputs(names...), archiveOptions())
		w.CloseWithError(err)
	}()
	s, err := Verify(t.Context(), r, opening(restoreKey))
	if err != nil || s.Objects != uint64(2000*tokens) {
		t.Fatalf("%+v: %v", s, err)
	}
	return peak.Load()
}

// A part that is large beside its front does not leave the shared buffer with
// its batch, which would write into it when it is another's turn.
func TestSharedBufferStaysWithItsTurn(t *testing.T) {
	var c format.Compressor
	for _, sizes := range [][2]int{{100, largePart}, {largePart + 1, 0}, {largePart + 1, largePart}, {100, 100}} {
		body, err := c.AppendBody(nil, make([]byte, sizes[0]), make([]byte, sizes[1]))
		if err != nil {
			t.Fatal(err)
		}
		s := &compress{large: new([]byte)}
		b := &Batch{body: body, FrameHeader: format.FrameHeader{Kind: format.DataBlock}}
		_ = s.Reverse(t.Context(), b) // no records, but it was unpacked
		b.release()
		if mine, shared := b.front[:cap(b.front)], (*s.large)[:cap(*s.large)]; len(mine) > 0 && len(shared) > 0 && &mine[0] == &shared[0] {
			t.Errorf("%d and %d bytes: the batch keeps it", sizes[0], sizes[1])
		}
	}
}

// largeNow counts the large objects that are between reading and writing.
type largeNow struct {
	*memory
	now, most atomic.Int64
}

func (l *largeNow) Validator(*format.Token) (backends.Validator, error) { return l, nil }

func (l *largeNow) Validate(r *format.Record) (bool, []format.Finding) {
	if len(r.Data) > largePart {
		l.most.Store(max(l.most.Load(), l.now.Add(1)))
		time.Sleep(10 * time.Millisecond)
	}
	return false, nil
}

func TestLargeEntriesTakeTurns(t *testing.T) {
	tok := madeToken("one", 8*batchEntries, 10)
	large := make([]byte, largePart+1)
	for i := range 8 {
		tok.entries[i*batchEntries+20].data = large
	}
	l := &largeNow{memory: newMemory(tok)}
	in := l.inputs("one")
	in[0].Backend = l
	o := archiveOptions()
	o.Workers = 4
	o.Each = func(_ *format.Token, r *format.Record) {
		if len(r.Data) > largePart {
			l.now.Add(-1)
		}
	}
	if _, err := Archive(t.Context(), io.Discard, in, o); err != nil {
		t.Fatal(err)
	}
	if l.most.Load() != 1 || l.now.Load() != 0 {
		t.Fatalf("%d at once, %d in the end", l.most.Load(), l.now.Load())
	}
}

// What a reader knows of tokens does not grow with them: it forgets those that
// ended.
func TestTokensAreForgotten(t *testing.T) {
	const tokens = 500
	m := newMemory()
	var names []string
	for i := range tokens {
		names = append(names, fmt.Sprintf("token%03d", i))
		m.tokens[names[i]] = madeToken(names[i], 1, 10)
	}
	b := archive(t, m, archiveOptions(), names...)
	l, err := openLookup(t.Context(), bytes.NewReader(b), int64(len(b)), opening(restoreKey))
	if err != nil {
		t.Fatal(err)
	}
	most, objects := 0, 0
	each := func(_ *format.Token, r *format.Record) {
		most = max(most, len(l.infos))
		if r.Kind == format.KindObject {
			objects++
		}
	}
	if err := l.list(t.Context(), ListOptions{OpenOptions: OpenOptions{Each: each}, Full: true}); err != nil || objects != tokens {
		t.Fatalf("%d objects: %v", objects, err)
	}
	if most > maxInfos {
		t.Errorf("by the index: %d tokens known at once", most)
	}
	a, err := open(t.Context(), stream(b), opening(restoreKey), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.run(t.Context(), 2, nil, nil); err != nil {
		t.Fatal(err)
	}
	if n := len(a.tokens.byNum); n != 0 {
		t.Errorf("a stream: %d tokens known in the end", n)
	}
}

// counted is an archive that can be read at any place and tells how much was.
type counted struct {
	*bytes.Reader
	places []string
	bytes  int64
}

func (c *counted) ReadAt(b []byte, at int64) (int, error) {
	n, err := c.Reader.ReadAt(b, at)
	c.places = append(c.places, fmt.Sprintf("%d+%d", at, n))
	c.bytes += int64(n)
	return n, err
}

// One object is fetched and proved by footer, end block, directory, one chunk
// and one block.
func TestOneObjectFromALargeArchive(t *testing.T) {
	m := made{memory: newMemory(), objects: 60_000}
	var out bytes.Buffer
	if _, err := Archive(t.Context(), &out, m.inputs("one", "two"), archiveOptions()); err != nil {
		t.Fatal(err)
	}
	in := &counted{Reader: bytes.NewReader(out.Bytes())}
	var got bytes.Buffer
	if _, err := Cat(t.Context(), in, []string{"two/00054321"}, opening(restoreKey), &got); err != nil {
		t.Fatal(err)
	}
	if got.String() != strings.Repeat("00054321", 128) {
		t.Fatalf("got %d other bytes", got.Len())
	}
	t.Logf("%d of %d bytes in %d reads", in.bytes, out.Len(), len(in.places))
	if in.bytes > 2<<20 {
		t.Errorf("read %d bytes for one object: %v", in.bytes, in.places)
	}
}

// Large parts take turns and share one buffer: how many of them there are, and
// how many workers, costs no more memory. Here 24 KiB unpack to 96 MiB.
func TestLargePartsTakeTurns(t *testing.T) {
	const objects, size = 12, 2 * largePart
	tok := &memToken{name: "one"}
	zeros := make([]byte, size)
	for i := range objects {
		tok.entries = append(tok.entries, memEntry{name: fmt.Sprintf("%07d0", i), kind: format.KindObject, data: zeros})
	}
	o := archiveOptions()
	o.Workers = 1
	b := archive(t, newMemory(tok), o, "one")
	few := func(what string, read func() error) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		err := read()
		runtime.ReadMemStats(&after)
		if err != nil {
			t.Fatal(err)
		}
		got := after.TotalAlloc - before.TotalAlloc
		t.Logf("%s: %d KiB allocated for %d KiB", what, got>>10, len(b)>>10)
		if got > 3*size {
			t.Errorf("%s: %d MiB allocated", what, got>>20)
		}
	}
	for _, workers := range []int{1, 8} {
		open := opening(restoreKey)
		open.Workers = workers
		few(fmt.Sprint("verify with ", workers), func() error {
			_, err := Verify(t.Context(), stream(b), open)
			return err
		})
	}
	few("list", func() error {
		_, err := List(t.Context(), bytes.NewReader(b), ListOptions{OpenOptions: opening(restoreKey), Full: true})
		return err
	})
}
