package main

import (
	"crypto/hmac"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"

	"github.com/klauspost/compress/zstd"
)

// open reads in two threads what seal wrote, and with private opens the
// private files too.
func open(path string, private bool) error {
	in, err := os.Open(path)
	if err != nil {
		return err
	}
	defer in.Close()
	var reading sync.Mutex
	var files, size atomic.Int64
	err = workers(2, func() error {
		o, err := newOpener(private)
		if err != nil {
			return err
		}
		for {
			reading.Lock()
			err := o.next(in)
			reading.Unlock()
			if err == io.EOF {
				return nil
			}
			if err == nil {
				err = o.open()
			}
			if err != nil {
				return fmt.Errorf("%s: %w", path, err)
			}
			files.Add(o.files)
			size.Add(o.bytes)
		}
	})
	if err == nil {
		fmt.Printf("%d files, %d bytes\n", files.Load(), size.Load())
	}
	return err
}

// opener opens blocks.
type opener struct {
	keys
	zstd         *zstd.Decoder
	openPrivate  bool
	sealed       []byte
	body         []byte
	front        []byte
	private      []byte
	sum          []byte
	files, bytes int64 // of the last block
}

func newOpener(private bool) (*opener, error) {
	k, err := newKeys()
	if err != nil {
		return nil, err
	}
	o := &opener{keys: k, openPrivate: private}
	o.zstd, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1))
	return o, err
}

// next reads the next block; io.EOF after the last.
func (o *opener) next(r io.Reader) error {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return err
	}
	n := int(be.Uint32(head[:]))
	if n < sealOverhead+blockHead || n > 2*batchSize*largest {
		return errBlock
	}
	o.sealed = room(o.sealed, n)[:n]
	if _, err := io.ReadFull(r, o.sealed); err != nil {
		return fmt.Errorf("a block is cut: %v", err)
	}
	return nil
}

var errBlock = errors.New("a block is not what seal wrote")

// open opens what next read.
func (o *opener) open() (err error) {
	o.body = room(o.body, len(o.sealed))
	if o.body, err = o.outer.Open(o.body, o.sealed[:nonceSize], o.sealed[nonceSize:], nil); err != nil {
		return err
	}
	files, front, packed, private := be.Uint32(o.body), int(be.Uint32(o.body[4:])), int(be.Uint32(o.body[8:])), int(be.Uint32(o.body[12:]))
	rest := o.body[blockHead:]
	if len(rest) != packed+private+sealOverhead+int(files)*macSize || front < 4*int(files) {
		return errBlock
	}
	o.front = room(o.front, front+16) // for the decoder's copies by 16 bytes
	if o.front, err = o.zstd.DecodeAll(rest[:packed], o.front); err != nil || len(o.front) != front {
		return errBlock
	}
	wrapped := rest[packed:][:private+sealOverhead]
	lengths, public := o.front[:4*files], o.front[4*files:]
	o.sum = o.sums(o.sum[:0], lengths, public, wrapped[nonceSize:])
	if !hmac.Equal(o.sum, rest[packed+len(wrapped):]) {
		return errBlock
	}
	if o.openPrivate {
		o.private = room(o.private, private)
		if o.private, err = o.wrap.Open(o.private, wrapped[:nonceSize], wrapped[nonceSize:], nil); err != nil {
			return err
		}
	}
	o.files, o.bytes = int64(files), int64(len(public)+private)
	return nil
}

// room gives b, emptied, with room for n bytes; others of about that size
// follow.
func room(b []byte, n int) []byte {
	if cap(b) < n {
		b = make([]byte, 0, n+n/16)
	}
	return b[:0]
}
