package format

import (
	"bytes"
	"testing"
)

// TestTranspose: in squares of eight and at their edges, and back.
func TestTranspose(t *testing.T) {
	for _, rows := range []int{1, 7, 8, 9, 44} {
		for _, columns := range []int{1, 8, 15, 16, 65} {
			src := make([]byte, rows*columns)
			for i := range src {
				src[i] = byte(i * 7)
			}
			dst, back := make([]byte, len(src)), make([]byte, len(src))
			transpose(dst, rows, src, columns, rows, columns)
			for i := range src {
				if row, column := i/columns, i%columns; dst[column*rows+row] != src[i] {
					t.Fatalf("%d by %d: byte %d of row %d is in another place", rows, columns, column, row)
				}
			}
			if transpose(back, columns, dst, rows, columns, rows); !bytes.Equal(back, src) {
				t.Errorf("%d by %d: does not come back", rows, columns)
			}
		}
	}
}

// TestTransposeNames: of all lengths, more than there is usual room for.
func TestTransposeNames(t *testing.T) {
	for _, count := range []int{0, 1, 3, 300} {
		var names []byte
		var lengths []uint16
		for i := range count {
			lengths = append(lengths, uint16(i%5))
			names = append(names, "abcde"[:i%5]...)
		}
		dst, back := make([]byte, len(names)), make([]byte, len(names))
		transposeNames(dst, names, lengths, false)
		if transposeNames(back, dst, lengths, true); !bytes.Equal(back, names) {
			t.Errorf("%d names: %q", count, back)
		}
	}
	dst := make([]byte, 6)
	if transposeNames(dst, []byte("abcdef"), []uint16{1, 0, 3, 2}, false); string(dst) != "abecfd" {
		t.Errorf("%q", dst)
	}
}
