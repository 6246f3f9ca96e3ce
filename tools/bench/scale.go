package main

import (
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// scale measures on trees of different numbers of tokens, one after the other,
// the smallest first. Restores are measured in one round without a warm-up: a
// million files take minutes and gigabytes.
func (b *bench) scale(sizes []int) ([]section, error) {
	var rows strings.Builder
	rows.WriteString("| objects | job | yardstick | tokar | of the yardstick (min to max) | an object by tokar | CPU of it | peak memory, yardstick | peak memory, tokar |\n|---:|---|---:|---:|---:|---:|---:|---:|---:|\n")
	var conditions section
	var results []result
	for _, n := range sizes {
		one := *b
		one.tokens = n
		if err := one.room(); err != nil {
			return nil, err
		}
		if err := one.prepare(); err != nil {
			return nil, err
		}
		var err error
		if results, err = one.measureAll(one.growing()); err != nil {
			return nil, err
		}
		one.growthRows(&rows, results)
		if conditions, err = one.conditions([]string{fmt.Sprintf("the line on the tree is of the last of several: %v tokens", sizes)}); err != nil {
			return nil, err
		}
	}
	largest := "The largest tree has fewer than 1,000,000 objects.\n"
	if sizes[len(sizes)-1]*b.objects >= 1_000_000 {
		largest = targetHead + targetLines(largeTargets, results)
	}
	return []section{
		{"scale conditions", conditions.text}, {"scale targets", largest}, {"scale", rows.String()},
	}, nil
}

// growing are the contests on each size.
func (b *bench) growing() []contest {
	first := contest{name: create, sides: b.create(), rounds: b.runs, then: func() error { return nil }}
	all := []contest{first, b.verify(verify, "verify.key"), b.verify(verifyBoth, "restore.key"), b.list(), b.oneObject()}
	for i := range all {
		all[i].rounds = b.runs
	}
	last := b.extract(extract, func(string) (string, error) { return b.fresh("restored") })
	last.rounds, last.once = 1, true
	last.sides = last.sides[:2]
	last.then = func() error { return b.same("restored-1", "restored-2") }
	return append(all, last)
}

// room makes sure that tree, archives and two restored trees find place on the
// disk, a file in a block and an inode.
func (b *bench) room() error {
	dir := os.Getenv("BENCH_DIR")
	if dir == "" {
		dir = os.TempDir()
	}
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return fmt.Errorf("%s: %w", dir, err)
	}
	objects := int64(b.tokens) * int64(b.objects)
	if need, free := objects*(3*4500+2*1300), int64(st.Bavail)*st.Bsize; need > free {
		return fmt.Errorf("%s: %d objects need %.1f GB, and %.1f are free", dir, objects, float64(need)/1e9, float64(free)/1e9)
	}
	return nil
}

func (b *bench) growthRows(t *strings.Builder, results []result) {
	n := b.tokens * b.objects
	head := fmt.Sprintf("%d", n)
	for _, r := range results {
		y, k := medianCost(r.costs[0]), medianCost(r.costs[1])
		wall, cpu := each(k.wall, n), each(k.cpu, n)
		if r.name == oneObject {
			wall, cpu = "", ""
		}
		fmt.Fprintf(t, "| %s | %s | %s | %s | %s | %s | %s | %.1f MiB | %.1f MiB |\n", head, r.name,
			seconds(y.wall.Seconds()), seconds(k.wall.Seconds()), ratio(r, r.wall, 1), wall, cpu, mebibytes(y.peak), mebibytes(k.peak))
		head = ""
	}
}

func each(d time.Duration, n int) string {
	return fmt.Sprintf("%.2f µs", d.Seconds()*1e6/float64(n))
}
