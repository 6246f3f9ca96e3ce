package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// elsewhere measures with an empty page cache and on tmpfs, where that can be
// done; notes say where it cannot.
func (b *bench) elsewhere() (all []result, notes []string, err error) {
	var list []contest
	if err := b.cold(); err != nil {
		notes = append(notes, "Cold: not measured: "+err.Error()+".")
	} else {
		sides := append(b.create(), b.floor(floorRead, "read", "floor.read", "-ahead", "64"))
		list = append(list, contest{name: createCold, rounds: b.runs, cold: true, sides: sides})
	}
	dir, err := b.tmpfs()
	if err != nil {
		notes = append(notes, "On tmpfs: not measured: "+err.Error()+".")
	} else {
		defer os.RemoveAll(dir)
		list = append(list, b.extract(extractTmp, func(who string) (string, error) {
			// The one of the round before may go: that costs a tmpfs nothing afterwards.
			dir := filepath.Join(dir, who)
			return dir, errors.Join(os.RemoveAll(dir), os.Mkdir(dir, 0o700))
		}))
	}
	all, err = b.measureAll(list)
	return all, notes, err
}

const dropCaches = "/proc/sys/vm/drop_caches"

// cold says whether the page cache can be emptied, and is to be.
func (b *bench) cold() error {
	if os.Getenv("BENCH_COLD") != "1" {
		return errors.New("BENCH_COLD is not 1")
	}
	if err := os.WriteFile(dropCaches, []byte("3"), 0); err != nil {
		return fmt.Errorf("the page cache cannot be emptied: %w", err)
	}
	return nil
}

// forget empties the page cache and the kernel's caches of names and inodes,
// and then has the job's programs themselves read again.
func (b *bench) forget(j job) error {
	unix.Sync()
	if err := os.WriteFile(dropCaches, []byte("3"), 0); err != nil {
		return err
	}
	for _, p := range j.steps {
		for _, args := range p {
			b.do(job{steps: []pipeline{{{args[0], "--version"}}}}) // whatever it says to that
		}
	}
	return nil
}

// tmpfs makes a directory on one, if it has room for what will be there at a
// time: three restored trees of files in pages of their own.
func (b *bench) tmpfs() (string, error) {
	parent := os.Getenv("BENCH_TMPFS")
	if parent == "" {
		parent = "/dev/shm"
	}
	var st unix.Statfs_t
	if err := unix.Statfs(parent, &st); err != nil {
		return "", fmt.Errorf("%s: %w", parent, err)
	}
	if st.Type != unix.TMPFS_MAGIC {
		return "", fmt.Errorf("%s is not a tmpfs", parent)
	}
	need := 3 * (b.bytes + int64(b.files)*5<<10)
	if free := min(int64(st.Bavail)*st.Bsize, memory("MemAvailable")); need > free {
		return "", fmt.Errorf("it needs %.1f GB, and %.1f are free", float64(need)/1e9, float64(free)/1e9)
	}
	return os.MkdirTemp(parent, "tokar-bench-")
}
