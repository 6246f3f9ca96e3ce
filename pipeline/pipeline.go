// Package pipeline runs stages concurrently over batches, in order and in
// bounded memory. It knows nothing of tokens or archives, and is the only
// package that starts goroutines for a run.
package pipeline

import "context"

// Stage is one step with two directions. A stage belongs to one worker and may
// keep buffers, encoders and MACs between batches.
type Stage[B any] interface {
	Forward(ctx context.Context, b *B) error
	Reverse(ctx context.Context, b *B) error // undoes Forward
}

// Chain makes the stages of one worker. Reverse runs the same list backwards.
type Chain[B any] func() ([]Stage[B], error)

// Source fills the next batch; io.EOF ends the run. It is called by one
// goroutine at a time, in order.
type Source[B any] interface {
	Next(ctx context.Context, b *B) error
}

// Sink takes finished batches on one goroutine, in the order of the source.
type Sink[B any] interface {
	Put(ctx context.Context, b *B) error
}
