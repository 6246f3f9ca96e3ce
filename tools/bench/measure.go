package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"time"
)

// cost is what one command took.
type cost struct {
	wall time.Duration
	cpu  time.Duration // user and system, of all its processes
	peak int64         // KiB, of its largest process
}

// line is one contest measured.
type line struct {
	name             string
	yardstick, tokar cost      // medians, each number for itself
	ratios           []float64 // wall, of each pair, sorted
}

func (b *bench) measure(c contest) (line, error) {
	progress("%s: %d pairs", c.name, b.runs)
	var ys, ts []cost
	var ratios []float64
	for i := range b.runs + 1 {
		var y, t cost
		var err error
		if i%2 == 0 {
			if y, err = b.run(c.yardstick()); err == nil {
				t, err = b.run(c.tokar())
			}
		} else {
			if t, err = b.run(c.tokar()); err == nil {
				y, err = b.run(c.yardstick())
			}
		}
		if err != nil {
			return line{}, err
		}
		if i == 0 {
			continue // warming up
		}
		ys, ts = append(ys, y), append(ts, t)
		ratios = append(ratios, t.wall.Seconds()/y.wall.Seconds())
	}
	slices.Sort(ratios)
	return line{c.name, medians(ys), medians(ts), ratios}, nil
}

// run runs one command to its end. A shell without a pipeline is replaced by
// its program, so that process start is the same for both sides.
func (b *bench) run(c command) (cost, error) {
	cmd := exec.Command("bash", "-c", "set -o pipefail; "+c.shell)
	cmd.Dir = b.dir
	var said bytes.Buffer
	cmd.Stderr = &said
	if c.out != "" {
		f, err := os.Create(filepath.Join(b.dir, c.out))
		if err != nil {
			return cost{}, err
		}
		defer f.Close()
		cmd.Stdout = f
	}
	start := time.Now()
	err := cmd.Run()
	wall := time.Since(start)
	if err != nil {
		return cost{}, fmt.Errorf("%s: %w\n%s", c.shell, err, bytes.TrimSpace(said.Bytes()))
	}
	s := cmd.ProcessState
	return cost{wall, s.UserTime() + s.SystemTime(), s.SysUsage().(*syscall.Rusage).Maxrss}, nil
}

func medians(list []cost) cost {
	return cost{
		median(list, func(c cost) time.Duration { return c.wall }),
		median(list, func(c cost) time.Duration { return c.cpu }),
		median(list, func(c cost) int64 { return c.peak }),
	}
}

func median[T int64 | time.Duration](list []cost, get func(cost) T) T {
	var all []T
	for _, c := range list {
		all = append(all, get(c))
	}
	slices.Sort(all)
	return all[len(all)/2]
}
