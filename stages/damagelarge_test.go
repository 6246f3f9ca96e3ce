package stages

import (
	"bytes"
	"context"
	"fmt"
	"testing"

	"tokar/format"
)

// What is tried on archives of some KiB for every bit and length is tried here
// on a larger one, of many blocks: every byte with two other values, and every
// length, as is, or a sample without -long.
func TestLargeArchiveDamaged(t *testing.T) {
	o := archiveOptions()
	o.Codec = format.CodecZstd
	b := archive(t, newMemory(madeToken("one", 900, 1100), madeToken("two", 300, 1500)), o, "one", "two")
	if len(b) < 1<<20 {
		t.Fatalf("%d bytes", len(b))
	}
	read := func(b []byte) error {
		verify := opening(verifyKey)
		verify.Workers = 1
		if _, err := Verify(context.Background(), stream(b), verify); refused(err) != nil {
			return fmt.Errorf("verify: %w", refused(err))
		}
		_, err := VerifyFrames(context.Background(), stream(b))
		return refused(err)
	}
	t.Run("bytes", func(t *testing.T) {
		cases(t, "values of bytes of a large archive", 2*len(b), 1500, func(i int) error {
			damaged := bytes.Clone(b)
			damaged[i/2] ^= []byte{1, 0xFF}[i%2]
			return read(damaged)
		})
	})
	t.Run("lengths", func(t *testing.T) {
		cases(t, "lengths of a large archive", len(b), 800, func(i int) error { return read(b[:i]) })
	})
}
