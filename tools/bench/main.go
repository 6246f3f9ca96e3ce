// Bench measures tokar against tar, zstd and age, against restic and borg, and
// against the least that the work can cost (tools/floor), on made tokens, and
// prints tables in Markdown.
//
//	bench [-record FILE] [-scale 5,50,500 | -profile DIR]
//
//	-scale LIST     measure instead how cost grows, on so many tokens each
//	-profile DIR    write CPU profiles instead, and show what cost most
//	-record FILE    put the tables between their markers in FILE as well
//	-bin DIR        where floor and maketree are (build)
//	-tokar FILE     the binary to measure (./tokar)
//
//	BENCH_TOKENS    token directories (2)
//	BENCH_OBJECTS   objects in each (50)
//	BENCH_RUNS      measured rounds (3); cheap jobs run three times as many
//	BENCH_SLOW_RUNS rounds in which restic and borg take part (1)
//	BENCH_COLD      1 to measure with an empty page cache as well; needs root
//	BENCH_DIR       where trees and archives are written and deleted (TMPDIR)
//	BENCH_KEEP      1 to delete nothing on the disk: for the caller to do, after all runs
//	BENCH_TMPFS     a tmpfs to restore to (/dev/shm)
//
// docs/PERFORMANCE.md says how it measures. Every restore goes into a directory
// that did not exist, and all of them are deleted at the end only, because ext4
// creates files slowly for minutes after a large deletion.
package main

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

func main() {
	tokar := flag.String("tokar", "./tokar", "the binary to measure")
	bin := flag.String("bin", "build", "where floor and maketree are")
	record := flag.String("record", "", "put the tables between their markers in this file")
	scale := flag.String("scale", "", "numbers of tokens, separated by commas: measure how cost grows")
	profile := flag.String("profile", "", "write CPU profiles into this directory, and show what cost most")
	flag.Parse()
	if err := run(*tokar, *bin, *record, *scale, *profile); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(tokar, bin, record, scale, profile string) error {
	sizes, err := numbers(scale)
	if err != nil {
		return err
	}
	for _, p := range []string{"tar", "zstd", "age", "age-keygen", "diff", "cmp", "sync"} {
		if _, err := exec.LookPath(p); err != nil {
			return fmt.Errorf("%s is needed for the comparison (testdata/peers/peers.sh)", p)
		}
	}
	b := &bench{objects: knob("BENCH_OBJECTS", 50), runs: knob("BENCH_RUNS", 3), slowRuns: knob("BENCH_SLOW_RUNS", 1)}
	b.dirs = new([]string)
	defer b.clear() // after the tables: it takes minutes
	if b.tokar, err = filepath.Abs(tokar); err != nil {
		return err
	}
	if b.bin, err = filepath.Abs(bin); err != nil {
		return err
	}
	b.host = look(b.tokar)
	var all []section
	b.tokens = knob("BENCH_TOKENS", 2)
	switch {
	case profile != "":
		all, err = b.profiles(profile)
	case len(sizes) > 0:
		all, err = b.scale(sizes)
	default:
		all, err = b.compare()
	}
	if err != nil {
		return err
	}
	for _, s := range all {
		fmt.Printf("%s\n", s.text)
	}
	if record == "" {
		return nil
	}
	return put(record, all)
}

// bench is one tree and what is made of it.
type bench struct {
	host      *host
	tokar     string
	bin       string
	dir, tree string
	dirs      *[]string // all that were made, for the end
	workspace
	tokens, objects int
	runs, slowRuns  int
}

// compare is the usual run: everything on one tree.
func (b *bench) compare() (all []section, err error) {
	if err := b.prepare(); err != nil {
		return nil, err
	}
	results, err := b.measureAll(b.contests())
	if err != nil {
		return nil, err
	}
	extra, notes, err := b.elsewhere()
	if err != nil {
		return nil, err
	}
	results = append(results, extra...)
	sizes, err := b.sizes()
	if err != nil {
		return nil, err
	}
	conditions, err := b.conditions(notes)
	if err != nil {
		return nil, err
	}
	return []section{
		conditions,
		{"targets", b.targetTable(results, sizes)},
		{"jobs", jobTable(results) + "\n" + sizeTable(sizes)},
	}, nil
}

func knob(name string, usual int) int {
	n, err := strconv.Atoi(os.Getenv(name))
	if err != nil || n < 1 {
		return usual
	}
	return n
}

func numbers(list string) (all []int, err error) {
	if list == "" {
		return nil, nil
	}
	for word := range strings.SplitSeq(list, ",") {
		n, err := strconv.Atoi(word)
		if err != nil || n < 1 {
			return nil, fmt.Errorf("-scale %s: %q is no number of tokens", list, word)
		}
		all = append(all, n)
	}
	return all, nil
}

func progress(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "bench: "+format+"\n", args...)
}
