package pipeline

import (
	"context"
	"errors"
	"io"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// box is a batch of numbers that may need several rounds.
type box struct {
	n      int
	rounds int
	value  int
}

func (b *box) More() bool { return b.rounds > 0 }

type numbers struct {
	n, limit int
	rounds   func(n int) int
	fail     int // the number at which Next fails, or -1
}

var errNext, errStage, errPut = errors.New("next"), errors.New("stage"), errors.New("put")

func (s *numbers) Next(_ context.Context, b *box) error {
	if s.n == s.limit {
		return io.EOF
	}
	if s.n == s.fail {
		return errNext
	}
	b.n, b.rounds = s.n, 0
	if s.rounds != nil {
		b.rounds = s.rounds(s.n)
	}
	s.n++
	return nil
}

// slow takes longer for some batches than for others, so that they finish out
// of order.
type slow struct {
	fail  int
	alive *atomic.Int64
}

func (s slow) Forward(_ context.Context, b *box) error {
	s.alive.Add(1)
	defer s.alive.Add(-1)
	time.Sleep(time.Duration(b.n*7%13) * time.Millisecond)
	if b.n == s.fail {
		return errStage
	}
	b.rounds--
	b.value = 10 * b.n
	return nil
}

func (s slow) Reverse(ctx context.Context, b *box) error {
	err := s.Forward(ctx, b)
	b.value += 5
	return err
}

type addOne struct{}

func (addOne) Forward(_ context.Context, b *box) error { b.value++; return nil }
func (addOne) Reverse(_ context.Context, b *box) error { b.value++; return nil }

type collect struct {
	got  []int
	fail int
}

func (s *collect) Put(_ context.Context, b *box) error {
	if len(s.got) == s.fail {
		return errPut
	}
	s.got = append(s.got, b.value)
	return nil
}

func chainOf(fail int) Chain[box] {
	return func() ([]Stage[box], error) { return []Stage[box]{slow{fail, new(atomic.Int64)}, addOne{}}, nil }
}

func TestOrder(t *testing.T) {
	for _, workers := range []int{1, 2, 3, 8} {
		synctest.Test(t, func(t *testing.T) {
			var want []int
			for n := range 100 {
				want = append(want, 10*n+1)
			}
			dst := &collect{fail: -1}
			if err := Forward(t.Context(), &numbers{limit: 100, fail: -1}, chainOf(-1), dst, workers); err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(dst.got, want) {
				t.Fatalf("%d workers: %v", workers, dst.got)
			}
		})
	}
}

// Reverse runs the list backwards: the last stage first.
func TestReverse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dst := &collect{fail: -1}
		if err := Reverse(t.Context(), &numbers{limit: 3, fail: -1}, chainOf(-1), dst, 2); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(dst.got, []int{5, 15, 25}) {
			t.Fatal(dst.got)
		}
	})
}

// A batch with more to it comes to the sink once for each part, before the
// next batch.
func TestParts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dst := &collect{fail: -1}
		src := &numbers{limit: 6, fail: -1, rounds: func(n int) int { return 1 + n%3 }}
		if err := Forward(t.Context(), src, chainOf(-1), dst, 3); err != nil {
			t.Fatal(err)
		}
		want := []int{1, 11, 11, 21, 21, 21, 31, 41, 41, 51, 51, 51}
		if !slices.Equal(dst.got, want) {
			t.Fatal(dst.got)
		}
	})
}

// The first error in the order of batches is the one reported, whichever
// worker met its own first; what came before it has reached the sink.
func TestErrors(t *testing.T) {
	for _, c := range []struct {
		name             string
		next, stage, put int
		want             error
		puts             int
	}{
		{"next", 20, -1, -1, errNext, 20},
		{"stage", -1, 12, -1, errStage, 12},
		{"put", -1, -1, 5, errPut, 5},
		{"stage before next", 30, 29, -1, errStage, 29},
	} {
		for _, workers := range []int{1, 4} {
			synctest.Test(t, func(t *testing.T) {
				dst := &collect{fail: c.put}
				err := Forward(t.Context(), &numbers{limit: 100, fail: c.next}, chainOf(c.stage), dst, workers)
				if !errors.Is(err, c.want) || len(dst.got) != c.puts {
					t.Fatalf("%s, %d workers: %v after %d batches", c.name, workers, err, len(dst.got))
				}
			})
		}
	}
}

// A run that is cancelled ends with the reason and leaves no goroutine: the
// bubble would not end.
func TestCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		dst := &collect{fail: -1}
		err := Forward(ctx, &numbers{limit: 1 << 30, fail: -1, rounds: func(int) int { return 3 }}, chainOf(-1), dst, 3)
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
	})
}

// turned is a batch that is had one at a time, by its turn.
type turned struct {
	box
	turn <-chan struct{}
}

func (b *turned) SetTurn(turn <-chan struct{}) { b.turn = turn }

type turning struct{ held *atomic.Int64 }

func (s turning) Forward(ctx context.Context, b *turned) error {
	time.Sleep(time.Duration(b.n*7%13) * time.Millisecond)
	if b.n%3 == 0 {
		select {
		case <-b.turn:
		case <-ctx.Done():
			return ctx.Err()
		}
		if s.held.Add(1) > 1 {
			return errStage
		}
	}
	b.rounds--
	return nil
}

func (s turning) Reverse(ctx context.Context, b *turned) error { return s.Forward(ctx, b) }

type turnedNumbers struct{ numbers }

func (s *turnedNumbers) Next(ctx context.Context, b *turned) error {
	return s.numbers.Next(ctx, &b.box)
}

type letGo struct {
	held *atomic.Int64
	puts int
}

func (s *letGo) Put(_ context.Context, b *turned) error {
	s.puts++
	time.Sleep(time.Millisecond)
	if b.n%3 == 0 {
		s.held.Add(-1)
	}
	return nil
}

// A batch's turn comes when the sink has taken all before it, and lasts
// through all its parts: so there is one at a time, whatever the workers.
func TestTurns(t *testing.T) {
	for _, workers := range []int{1, 2, 3, 8} {
		synctest.Test(t, func(t *testing.T) {
			held := new(atomic.Int64)
			src := &turnedNumbers{numbers{limit: 60, fail: -1, rounds: func(n int) int { return 1 + n%2 }}}
			chain := func() ([]Stage[turned], error) { return []Stage[turned]{turning{held}}, nil }
			dst := &letGo{held: held}
			if err := Forward(t.Context(), src, chain, dst, workers); err != nil || dst.puts != 90 {
				t.Fatalf("%d workers: %v after %d parts", workers, err, dst.puts)
			}
		})
	}
}

// failing is a source that fails, and is not to be asked again. It is so slow
// that its lock goes to who has waited longest.
type failing struct{ n, after int }

func (s *failing) Next(context.Context, *box) error {
	time.Sleep(2 * time.Millisecond)
	if s.n++; s.n >= 20 {
		s.after++
		return errNext
	}
	return nil
}

func TestSourceThatFailedIsNotAskedAgain(t *testing.T) {
	src := &failing{}
	chain := func() ([]Stage[box], error) { return []Stage[box]{addOne{}}, nil }
	if err := Forward(t.Context(), src, chain, &collect{fail: -1}, 8); !errors.Is(err, errNext) {
		t.Fatal(err)
	}
	if src.after != 1 {
		t.Fatalf("it failed %d times", src.after)
	}
}
