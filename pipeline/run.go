package pipeline

import (
	"context"
	"io"
	"runtime"
	"sync"

	"golang.org/x/sync/errgroup"
)

// Partial is a batch that can turn out too large to be worked on at once: the
// sink takes what is done, then the same worker runs the chain on it again,
// until there is no more. Memory is bounded by batches, whatever they hold.
type Partial interface {
	More() bool
}

// Turned is a batch that may wait until the sink has taken all before it, so
// that what is too large to have many of at once is had one at a time. It is
// given a channel that is closed then. Whoever waits must not hold up those
// before it.
type Turned interface {
	SetTurn(turn <-chan struct{})
}

// Workers is how many workers a run has when nobody says: one more than there
// are processors, so that one may wait for the disk.
func Workers() int { return runtime.GOMAXPROCS(0) + 1 }

// Forward runs the chain over all batches of src, each through every stage on
// one worker while it is in that core's cache, and gives them to dst in order.
// The error reported is that of the first batch, in order, that failed.
func Forward[B any](ctx context.Context, src Source[B], chain Chain[B], dst Sink[B], workers int) error {
	return run(ctx, src, dst, workers, func() (step[B], error) {
		stages, err := chain()
		return func(ctx context.Context, b *B) error {
			for _, s := range stages {
				if err := s.Forward(ctx, b); err != nil {
					return err
				}
			}
			return nil
		}, err
	})
}

// Reverse is Forward with the list of stages run backwards.
func Reverse[B any](ctx context.Context, src Source[B], chain Chain[B], dst Sink[B], workers int) error {
	return run(ctx, src, dst, workers, func() (step[B], error) {
		stages, err := chain()
		return func(ctx context.Context, b *B) error {
			for i := len(stages) - 1; i >= 0; i-- {
				if err := stages[i].Reverse(ctx, b); err != nil {
					return err
				}
			}
			return nil
		}, err
	})
}

type step[B any] func(ctx context.Context, b *B) error

// job is a batch on its way. done and again are the hand-over between its
// worker and the sink.
type job[B any] struct {
	batch B
	err   error
	done  chan struct{} // the worker has finished with it, or with a part of it
	again chan struct{} // the sink has taken that part
	turn  chan struct{} // closed when the sink has taken all before it
}

// engine is one run. A worker takes a free batch *before* it asks the source
// for work, so the lowest batch under way always has its memory and the ring
// cannot lock up.
type engine[B any] struct {
	src   Source[B]
	mu    sync.Mutex // over src, ended and the order of queue
	ended bool
	free  chan *job[B]
	queue chan *job[B] // in the order of the source
}

func run[B any](ctx context.Context, src Source[B], dst Sink[B], workers int, newStep func() (step[B], error)) error {
	if workers <= 0 {
		workers = Workers()
	}
	parent := ctx
	ctx, cancel := context.WithCancel(parent)
	defer cancel()
	ring := 2 * workers
	e := &engine[B]{src: src, free: make(chan *job[B], ring), queue: make(chan *job[B], ring)}
	for range ring {
		e.free <- &job[B]{done: make(chan struct{}, 1), again: make(chan struct{}, 1)}
	}
	var g errgroup.Group
	for range workers {
		work, err := newStep()
		if err != nil {
			cancel()
			_ = g.Wait()
			return err
		}
		g.Go(func() error { e.work(ctx, work); return nil })
	}
	go func() {
		_ = g.Wait()
		close(e.queue)
	}()
	err := e.drain(ctx, dst)
	cancel()
	for range e.queue { // until the last worker is gone
	}
	if err == nil && !e.ended {
		err = context.Cause(parent)
	}
	return err
}

// work is a worker's life.
func (e *engine[B]) work(ctx context.Context, work step[B]) {
	for {
		var j *job[B]
		select {
		case j = <-e.free:
		case <-ctx.Done():
			return
		}
		if !e.next(ctx, j) {
			return
		}
		for {
			if j.err == nil {
				j.err = work(ctx, &j.batch)
			}
			more := j.err == nil && hasMore(&j.batch)
			failed := j.err != nil
			j.done <- struct{}{}
			if failed {
				e.end()
				return
			}
			if !more {
				break
			}
			select {
			case <-j.again:
			case <-ctx.Done():
				return
			}
		}
	}
}

// next asks the source, and puts the job in line.
func (e *engine[B]) next(ctx context.Context, j *job[B]) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.ended || ctx.Err() != nil {
		return false
	}
	j.turn = make(chan struct{})
	if b, ok := any(&j.batch).(Turned); ok {
		b.SetTurn(j.turn)
	}
	j.err = e.src.Next(ctx, &j.batch)
	e.ended = j.err != nil
	if j.err == io.EOF {
		return false
	}
	e.queue <- j
	return true
}

func (e *engine[B]) end() {
	e.mu.Lock()
	e.ended = true
	e.mu.Unlock()
}

// drain gives finished batches to the sink, in order.
func (e *engine[B]) drain(ctx context.Context, dst Sink[B]) error {
	for j := range e.queue {
		close(j.turn)
		for {
			select {
			case <-j.done:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
			if j.err != nil {
				return j.err
			}
			more := hasMore(&j.batch)
			if err := dst.Put(ctx, &j.batch); err != nil {
				return err
			}
			if !more {
				break
			}
			j.again <- struct{}{}
		}
		e.free <- j
	}
	return nil
}

func hasMore[B any](b *B) bool {
	p, ok := any(b).(Partial)
	return ok && p.More()
}
