package stages

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tokar/backends"
	"tokar/format"
)

// classes are the errors that a damaged archive may give.
var classes = []error{
	format.ErrNotArchive, format.ErrTruncated, format.ErrChecksum, format.ErrAuthentic,
	format.ErrMalformed, format.ErrUnsupported, format.ErrNoKey,
}

// refused says that an error is of exactly one class.
func refused(err error) error {
	n := 0
	for _, c := range classes {
		if errors.Is(err, c) {
			n++
		}
	}
	if n != 1 {
		return fmt.Errorf("error of %d classes: %v", n, err)
	}
	return nil
}

// smallArchive is about 4 KiB.
func smallArchive(t *testing.T, codec format.Codec) []byte {
	o := archiveOptions()
	o.Codec = codec
	b := archive(t, newMemory(madeToken("one", 12, 60), madeToken("two", 1, 10)), o, "one", "two")
	t.Logf("%s: %d bytes", codec, len(b))
	return b
}

// everywhere runs check for 0 to n-1 on all processors and reports the first
// complaint, in order. With -short (the race detector's run) it takes a sample.
func everywhere(t *testing.T, n int, check func(i int) error) {
	t.Helper()
	workers, stride := runtime.GOMAXPROCS(0), 1
	if testing.Short() {
		stride = 61
	}
	bad := make([]error, n)
	var g sync.WaitGroup
	for w := range workers {
		g.Go(func() {
			for i := w * stride; i < n; i += workers * stride {
				bad[i] = check(i)
			}
		})
	}
	g.Wait()
	for i, err := range bad {
		if err != nil {
			t.Fatalf("at %d of %d: %v", i, n, err)
		}
	}
	t.Logf("%d cases", (n+stride-1)/stride)
}

// judge reads a damaged archive in every way and wants each refused, with
// nothing restored.
func judge(b []byte) error {
	m := newMemory()
	o := opening(restoreKey)
	o.Workers = 1
	if _, err := Verify(context.Background(), stream(b), o); refused(err) != nil {
		return fmt.Errorf("verify: %w", refused(err))
	}
	if _, err := extractAll(b, m, 1); refused(err) != nil {
		return fmt.Errorf("extract: %w", refused(err))
	}
	if len(m.restored) != 0 || m.stagings != 0 {
		return fmt.Errorf("extract left %d tokens and %d stagings", len(m.restored), m.stagings)
	}
	if _, err := VerifyFrames(context.Background(), stream(b)); refused(err) != nil {
		return fmt.Errorf("verify without a key: %w", refused(err))
	}
	return nil
}

func TestEveryBitFlipped(t *testing.T) {
	for _, codec := range []format.Codec{format.CodecZstd, format.CodecXZ, format.CodecNone} {
		t.Run(codec.String(), func(t *testing.T) {
			b := smallArchive(t, codec)
			everywhere(t, 8*len(b), func(i int) error {
				flipped := bytes.Clone(b)
				flipped[i/8] ^= 1 << (i % 8)
				return judge(flipped)
			})
		})
	}
}

func TestEveryByteReplaced(t *testing.T) {
	b := smallArchive(t, format.CodecZstd)
	everywhere(t, 256*len(b), func(i int) error {
		if b[i/256] == byte(i) {
			return nil
		}
		replaced := bytes.Clone(b)
		replaced[i/256] = byte(i)
		_, err := VerifyFrames(context.Background(), stream(replaced))
		return refused(err)
	})
}

func TestEveryTruncation(t *testing.T) {
	for _, codec := range []format.Codec{format.CodecZstd, format.CodecXZ, format.CodecNone} {
		t.Run(codec.String(), func(t *testing.T) {
			b := smallArchive(t, codec)
			everywhere(t, len(b), func(i int) error { return judge(b[:i]) })
		})
	}
}

func TestBytesAfterTheEnd(t *testing.T) {
	b := smallArchive(t, format.CodecZstd)
	for n := 1; n <= 64; n++ {
		if err := judge(append(bytes.Clone(b), make([]byte, n)...)); err != nil {
			t.Fatalf("%d zero bytes: %v", n, err)
		}
	}
	if err := judge(append(bytes.Clone(b), b...)); err != nil {
		t.Fatalf("a second archive: %v", err)
	}
}

// An archive fails in the same way however many workers read it: that a token is
// described by a later part does not help, whoever is faster.
func TestFailsTheSameWay(t *testing.T) {
	h, keys := oneHeader(t)
	b := bytes.Clone(h.Bytes())
	var c format.Compressor
	var p format.Packer
	for number, token := range []uint32{1, 2, 3, 4, 5, 6} {
		r := format.Record{Seq: uint64(number), Token: token, Supersedes: format.NoSeq, Class: format.ClassNone}
		r.Kind, r.Name, r.Metadata = format.KindToken, format.Name{byte('a' + number)}, (&format.Token{Kind: "memory"}).Encode()
		if number == 0 {
			r.Token, r.Kind, r.Metadata = 6, format.KindObject, nil // the last part describes it
			r.Payload, r.Size = make([]byte, 3<<20), 3<<20          // and is faster
		}
		r.MAC = keys.RecordMAC().Sum(&r)
		front, beside := p.Pack([]format.Record{r}, nil)
		body, err := c.AppendBody(nil, front, beside)
		if err != nil {
			t.Fatal(err)
		}
		frame, err := h.SealFrame(nil, keys, format.FrameHeader{Kind: format.DataBlock, Number: uint64(number), Last: true}, body)
		if err != nil {
			t.Fatal(err)
		}
		b = append(b, frame...)
	}
	for _, workers := range []int{1, 8} {
		for range 50 {
			o := opening(restoreKey)
			o.Workers = workers
			_, err := Verify(t.Context(), stream(b), o)
			if err == nil || !strings.HasSuffix(err.Error(), "record 0 of token 6, which nothing describes") {
				t.Fatalf("%d workers: %v", workers, err)
			}
		}
	}
}

func oneHeader(t *testing.T) (*format.Header, *format.Keys) {
	keys, err := format.GenerateKeys()
	if err != nil {
		t.Fatal(err)
	}
	slots, err := archiveOptions().Slots(t.Context(), keys)
	if err != nil {
		t.Fatal(err)
	}
	h, err := format.NewHeader(keys, slots)
	if err != nil {
		t.Fatal(err)
	}
	return h, keys
}

// What the index says of a record is what the record says of itself: its
// payload's length too, which nothing else of a wrapped record shows.
func TestIndexSaysAnotherLength(t *testing.T) {
	s := reseal(t)
	cat := func(b []byte) error {
		_, err := Cat(t.Context(), bytes.NewReader(b), []string{"one/00000001"}, opening(restoreKey), io.Discard)
		return err
	}
	if err := cat(s.archive(t, s.frames, true)); err != nil {
		t.Fatal(err)
	}
	for i, f := range s.frames {
		if f.Kind != format.IndexBlock || f.Number != 1 {
			continue
		}
		records := int(f.front[7])
		lengths := f.front[4+12+43*records:][:records] // the last byte of each payload's
		for j := range lengths {
			lengths[j]++ // of wrapped ones there may be more than size says
			if _, recs, err := format.DecodeChunk(nil, f.front); err != nil || recs[j].Name.String() != "00000001" {
				lengths[j]--
			}
		}
		s.frames[i] = f
	}
	if err := cat(s.archive(t, s.frames, true)); !errors.Is(err, format.ErrMalformed) {
		t.Fatal(err)
	}
}

var errDisk = errors.New("the disk fails")

// failing is an archive on a disk that fails from one byte on, given with the
// bytes before it, a few at a time.
type failing struct {
	*bytes.Reader
	at int64
}

func (f failing) Read(b []byte) (int, error) {
	have := f.at - (f.Size() - int64(f.Len()))
	if have <= 0 {
		return 0, errDisk
	}
	n, err := f.Reader.Read(b[:min(int64(len(b)), have, 700)])
	if int64(n) == have {
		err = errDisk
	}
	return n, err
}

func (f failing) ReadAt(b []byte, at int64) (int, error) {
	if have := f.at - at; have < int64(len(b)) {
		n, _ := f.Reader.ReadAt(b[:max(have, 0)], at)
		return n, errDisk
	}
	return f.Reader.ReadAt(b, at)
}

// A disk that fails is not a damaged archive, wherever it fails and however it
// is read; and nothing is restored.
func TestDiskFailsAnywhere(t *testing.T) {
	b := smallArchive(t, format.CodecZstd)
	names := []string{"one/00000003"}
	everywhere(t, len(b), func(i int) error {
		disk := func() failing { return failing{bytes.NewReader(b), int64(i)} }
		only := func() io.Reader { return struct{ io.Reader }{disk()} }
		m := newMemory()
		x := ExtractOptions{
			OpenOptions: opening(restoreKey),
			Backend:     func(string) (backends.Backend, error) { return m, nil },
			Place:       func(*format.Token) Place { return Place{Dir: "", Wanted: true, Whole: true} },
			Select:      func(*format.Token, *format.Record) bool { return true },
		}
		var out bytes.Buffer
		for how, read := range map[string]func() error{
			"verify":  func() error { _, err := Verify(t.Context(), only(), opening(restoreKey)); return err },
			"no key":  func() error { _, err := VerifyFrames(t.Context(), only()); return err },
			"extract": func() error { _, err := Extract(t.Context(), only(), x); return err },
			"list": func() error {
				_, err := List(t.Context(), disk(), ListOptions{OpenOptions: opening(restoreKey)})
				return err
			},
			"cat":        func() error { _, err := Cat(t.Context(), disk(), names, opening(restoreKey), &out); return err },
			"cat stream": func() error { _, err := Cat(t.Context(), only(), names, opening(restoreKey), &out); return err },
		} {
			if err := read(); !errors.Is(err, errDisk) || refused(err) == nil {
				return fmt.Errorf("%s: %v", how, err)
			}
		}
		if len(m.restored) != 0 || m.stagings != 0 || out.Len() != 0 {
			return fmt.Errorf("%d tokens, %d stagings, %d bytes left", len(m.restored), m.stagings, out.Len())
		}
		return nil
	})
}

// A run that is stopped at any moment ends, with the reason, leaving neither a
// goroutine nor anything restored.
func TestStoppedAnywhere(t *testing.T) {
	names := []string{"one", "two", "three"}
	m := newMemory(madeToken("one", 700, 300), madeToken("two", 3, 10), madeToken("three", 400, 20))
	b := archive(t, m, archiveOptions(), names...)
	before := runtime.NumGoroutine()
	stopped := 0
	for _, workers := range []int{1, 2, 7} {
		for n, done := 0, false; !done; n++ {
			clear(m.restored)
			ctx, step := stopAfter(t, n*(1+n/4))
			x := ExtractOptions{
				OpenOptions: opening(restoreKey),
				Backend:     func(string) (backends.Backend, error) { return m, nil },
				Place:       func(*format.Token) Place { step(); return Place{Dir: "", Wanted: true, Whole: true} },
				Select:      func(*format.Token, *format.Record) bool { step(); return true },
			}
			x.Workers, x.Each = workers, func(*format.Token, *format.Record) { step() }
			_, read := Extract(ctx, stream(b), x)
			if m.stagings != 0 || read != nil && (!errors.Is(read, context.Canceled) || len(m.restored) != 0) {
				t.Fatalf("extract, %d workers, step %d: %v, %d restored, %d stagings", workers, n, read, len(m.restored), m.stagings)
			}
			ctx, step = stopAfter(t, n*(1+n/4))
			o := archiveOptions()
			o.Workers, o.Each = workers, func(*format.Token, *format.Record) { step() }
			o.Skip = func(*format.Token, *backends.Entry) bool { step(); return false }
			_, written := Archive(ctx, io.Discard, m.inputs(names...), o)
			if m.open != 0 || written != nil && !errors.Is(written, context.Canceled) {
				t.Fatalf("create, %d workers, step %d: %v, %d tokens left open", workers, n, written, m.open)
			}
			done = read == nil && written == nil
			stopped++
		}
	}
	t.Logf("stopped %d times", stopped)
	for range 100 {
		if runtime.NumGoroutine() <= before {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("%d goroutines, where %d were", runtime.NumGoroutine(), before)
}

// stopAfter gives a context that ends with the nth step.
func stopAfter(t *testing.T, n int) (ctx context.Context, step func()) {
	ctx, cancel := context.WithCancel(t.Context())
	left := new(atomic.Int64)
	left.Store(int64(n))
	return ctx, func() {
		if left.Add(-1) < 0 {
			cancel()
		}
	}
}
