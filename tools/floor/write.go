package main

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// turn is how many files a worker creates before another may. The kernel
// creates files in one directory one at a time, and threads that meet there
// only spin.
const turn = 64

// write makes the tree's files below dir, each of size bytes.
func write(tree, dir string, size int) error {
	list, err := batches(tree)
	if err != nil {
		return err
	}
	for i := range list {
		b := &list[i]
		unix.Close(b.fd)
		path := filepath.Join(dir, b.dir)
		if i > 0 && b.dir == list[i-1].dir {
			b.fd = list[i-1].fd
			continue
		}
		if err := os.MkdirAll(path, 0o770); err != nil {
			return err
		}
		if b.fd, err = unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	var next, files atomic.Int64
	var creating sync.Mutex
	body := make([]byte, size)
	err = workers(3, func() error {
		for {
			i := int(next.Add(1)) - 1
			if i >= len(list) {
				return nil
			}
			for names := list[i].names; len(names) > 0; {
				n := min(turn, len(names))
				if err := list[i].write(names[:n], body, &creating); err != nil {
					return err
				}
				files.Add(int64(n))
				names = names[n:]
			}
		}
	})
	if err != nil {
		return err
	}
	root, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	if err := unix.Syncfs(int(root.Fd())); err != nil {
		return fmt.Errorf("%s: %w", dir, err)
	}
	fmt.Printf("%d files, %d bytes\n", files.Load(), files.Load()*int64(size))
	return nil
}

func (b *batch) write(names []string, body []byte, creating *sync.Mutex) error {
	var fds [turn]int
	creating.Lock()
	for i, name := range names {
		fd, err := unix.Openat(b.fd, name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_CLOEXEC, 0o660)
		if err != nil {
			creating.Unlock()
			return fmt.Errorf("%s/%s: %w", b.dir, name, err)
		}
		fds[i] = fd
	}
	creating.Unlock()
	for i, name := range names {
		if _, err := unix.Write(fds[i], body); err != nil {
			return fmt.Errorf("%s/%s: %w", b.dir, name, err)
		}
		if err := unix.Close(fds[i]); err != nil {
			return fmt.Errorf("%s/%s: %w", b.dir, name, err)
		}
	}
	return nil
}
