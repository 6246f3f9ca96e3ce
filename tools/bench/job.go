package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// program is a command line, pipeline several with pipes between them, and a
// job pipelines one after the other.
type program []string
type pipeline []program
type job struct {
	steps []pipeline
	in    string // the directory to run in, below bench.dir or absolute
	out   string // where the last programs write, below bench.dir; "" is /dev/null
}

// cost is what one job took.
type cost struct {
	wall time.Duration
	cpu  time.Duration // user and system, of all its processes
	peak int64         // KiB: the largest step, with the peaks of its processes added up
}

// do runs a job to its end. There is no shell: each program is started here,
// so that its own memory can be told, and process start is the same for all.
func (b *bench) do(j job) (c cost, err error) {
	out, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if j.out != "" {
		out, err = os.Create(filepath.Join(b.dir, j.out))
	}
	if err != nil {
		return cost{}, err
	}
	defer out.Close()
	said, err := os.Create(filepath.Join(b.dir, "said"))
	if err != nil {
		return cost{}, err
	}
	defer said.Close()
	start := time.Now()
	for _, p := range j.steps {
		one, err := p.do(b.at(j.in), out, said)
		if err != nil {
			why, _ := os.ReadFile(said.Name())
			return cost{}, fmt.Errorf("%w\n%s", err, bytes.TrimSpace(why))
		}
		c.cpu += one.cpu
		c.peak = max(c.peak, one.peak)
	}
	c.wall = time.Since(start)
	return c, nil
}

func (p pipeline) do(dir string, out, said *os.File) (c cost, err error) {
	var started []*exec.Cmd
	defer func() {
		for _, cmd := range started { // of a pipeline that broke
			cmd.Process.Kill()
			cmd.Wait()
		}
	}()
	var from *os.File
	for i, args := range p {
		cmd := exec.Command(args[0], args[1:]...)
		cmd.Dir, cmd.Stdout, cmd.Stderr = dir, out, said
		if from != nil {
			cmd.Stdin = from
		}
		var next, to *os.File
		if i < len(p)-1 {
			if next, to, err = os.Pipe(); err != nil {
				return cost{}, err
			}
			cmd.Stdout = to
		}
		err := cmd.Start()
		from.Close() // of a nil file it does nothing
		to.Close()
		from = next
		if err != nil {
			return cost{}, err
		}
		started = append(started, cmd)
	}
	for len(started) > 0 {
		cmd := started[0]
		started = started[1:]
		if err := cmd.Wait(); err != nil {
			return cost{}, fmt.Errorf("%s: %w", strings.Join(cmd.Args, " "), err)
		}
		s := cmd.ProcessState
		c.cpu += s.UserTime() + s.SystemTime()
		c.peak += s.SysUsage().(*syscall.Rusage).Maxrss
	}
	return c, nil
}

// String is the job as a user would type it.
func (j job) String() string {
	var steps []string
	for _, p := range j.steps {
		var words []string
		for _, args := range p {
			words = append(words, strings.Join(args, " "))
		}
		steps = append(steps, strings.Join(words, " | "))
	}
	return strings.Join(steps, " && ")
}

// quietly runs a program and shows what it says only if it fails.
func quietly(name string, args ...string) error {
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w\n%s", filepath.Base(name), err, bytes.TrimSpace(out))
	}
	return nil
}
