package main

import (
	"fmt"
	"os"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// largest is more than any object of a made tree has.
const largest = 1 << 20

// read reads the tree in two threads; what seal makes of each worker's batches
// goes to stdout, in any order.
func read(tree string, ahead int, seal func() (*sealer, error)) error {
	list, err := batches(tree)
	if err != nil {
		return err
	}
	var next, files, size atomic.Int64
	var out sync.Mutex
	work := func() error {
		buf := make([]byte, largest)
		fds := make([]int, 0, ahead)
		var s *sealer
		if seal != nil {
			var err error
			if s, err = seal(); err != nil {
				return err
			}
		}
		for {
			i := int(next.Add(1)) - 1
			if i >= len(list) {
				return nil
			}
			n, err := list[i].read(buf, fds, s)
			if err != nil {
				return err
			}
			files.Add(int64(len(list[i].names)))
			size.Add(n)
			if s == nil {
				continue
			}
			block := s.block()
			out.Lock()
			_, err = os.Stdout.Write(block)
			out.Unlock()
			if err != nil {
				return err
			}
		}
	}
	if err := workers(2, work); err != nil {
		return err
	}
	if seal == nil {
		fmt.Printf("%d files, %d bytes\n", files.Load(), size.Load())
	}
	return nil
}

func (b *batch) read(buf []byte, fds []int, s *sealer) (size int64, err error) {
	for names := b.names; len(names) > 0; {
		n := min(cap(fds), len(names))
		fds = fds[:0]
		for _, name := range names[:n] {
			fd, err := unix.Openat(b.fd, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
			if err != nil {
				return 0, fmt.Errorf("%s/%s: %w", b.dir, name, err)
			}
			if n > 1 {
				unix.Fadvise(fd, 0, 0, unix.FADV_WILLNEED) // advice; the read tells what is wrong
			}
			fds = append(fds, fd)
		}
		for i, fd := range fds {
			var st unix.Stat_t
			if err := unix.Fstat(fd, &st); err != nil {
				return 0, fmt.Errorf("%s/%s: %w", b.dir, names[i], err)
			}
			got, err := unix.Read(fd, buf)
			if err != nil || int64(got) != st.Size {
				return 0, fmt.Errorf("%s/%s: read %d of %d bytes: %v", b.dir, names[i], got, st.Size, err)
			}
			unix.Close(fd)
			size += int64(got)
			if s != nil {
				s.add(buf[:got])
			}
		}
		names = names[n:]
	}
	return size, nil
}

// workers runs work in n goroutines and waits for all of them.
func workers(n int, work func() error) error {
	errs := make(chan error, n)
	for range n {
		go func() { errs <- work() }()
	}
	var first error
	for range n {
		if err := <-errs; err != nil && first == nil {
			first = err
		}
	}
	return first
}
