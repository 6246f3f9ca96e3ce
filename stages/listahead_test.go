package stages

import (
	"bytes"
	"context"
	"errors"
	"runtime"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tokar/format"
)

// Of two faults the one that comes first in the index is told, though the second
// may be found earlier; rows before it are told, none after it.
func TestListFirstFault(t *testing.T) {
	s := reseal(t)
	frames := slices.Clone(s.frames)
	at := s.at(format.IndexBlock) + 1
	for frames[at].Kind != format.IndexBlock { // token 1's
		at++
	}
	f := &frames[at]
	f.front = bytes.Clone(f.front)
	f.front[len(f.front)-1] = 7 // stable: neither 0 nor 1
	b := s.archive(t, frames, true)
	second := bytes.LastIndex(b, append(s.header.FrameStart(), byte(format.IndexBlock)))
	for range 100 {
		rows := 0
		_, err := List(t.Context(), sectorFile{badSector{bytes.NewReader(b), int64(second) + 40}}, ListOptions{
			OpenOptions: OpenOptions{Identities: opening(restoreKey).Identities, Each: func(*format.Token, *format.Record) { rows++ }},
		})
		if !errors.Is(err, format.ErrMalformed) || rows != 1 {
			t.Fatalf("%v after %d rows", err, rows)
		}
	}
}

// sectorFile can be read at any place.
type sectorFile struct{ badSector }

func (f sectorFile) Read(p []byte) (int, error) { return f.Reader.Read(p) }

// Who cancels a listing, or whose archive cannot be read on, has no goroutine
// left that reads.
func TestListStops(t *testing.T) {
	a := about100K(t)
	before := runtime.NumGoroutine()
	for stop := range 6 {
		ctx, cancel := context.WithCancel(t.Context())
		rows := 0
		_, err := List(ctx, bytes.NewReader(a.bytes), ListOptions{
			OpenOptions: OpenOptions{Identities: opening(restoreKey).Identities, Each: func(*format.Token, *format.Record) {
				if rows++; rows == 1+stop*30 {
					cancel()
				}
			}},
		})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled at row %d: %v", rows, err)
		}
		cancel()
	}
	var chunks []int
	for _, f := range a.frames {
		if f.Kind == format.IndexBlock {
			chunks = append(chunks, f.from)
		}
	}
	for _, at := range chunks {
		if _, err := List(t.Context(), sectorFile{badSector{bytes.NewReader(a.bytes), int64(at) + 40}}, ListOptions{OpenOptions: opening(restoreKey)}); !errors.Is(err, unix.EIO) {
			t.Errorf("byte %d: %v", at, err)
		}
	}
	for range 100 {
		if runtime.NumGoroutine() <= before {
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Errorf("%d goroutines, %d before", runtime.NumGoroutine(), before)
}
