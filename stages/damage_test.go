package stages

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"

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
