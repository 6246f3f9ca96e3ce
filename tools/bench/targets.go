package main

import (
	"fmt"
	"slices"
	"strings"
)

// target is a line of docs/PERFORMANCE.md: what tokar is to reach.
type target struct {
	what  string
	limit float64
	unit  string // "" is a ratio to the yardstick
	of    string // the contest
	take  func(r result, i int) float64
}

func wallRatio(r result, i int) float64    { return middle(r.wall[i]) }
func milliseconds(r result, i int) float64 { return medianCost(r.costs[i]).wall.Seconds() * 1e3 }

// peak is the largest of all rounds: a limit is kept always or not at all.
func peak(r result, i int) float64 {
	return mebibytes(slices.MaxFunc(r.costs[i], func(a, b cost) int { return int(a.peak - b.peak) }).peak)
}

// targets are for 100,000 objects, largeTargets for a million.
var targets = []target{
	{"create, warm", 0.50, "", create, wallRatio},
	{"create, cold", 0.35, "", createCold, wallRatio},
	{"create, a token of 10 objects", 10, " ms", createSmall, milliseconds},
	{"extract, durable and atomic", 0.75, "", extract, wallRatio},
	{"the same on tmpfs", 0.75, "", extractTmp, wallRatio},
	{"verify, verifier key", 0.55, "", verify, wallRatio},
	{"verify, restore key", 0.55, "", verifyBoth, wallRatio},
	{"list", 0.15, "", list, wallRatio},
	{"one object of 100,000", 0.10, "", oneObject, wallRatio},
}

var largeTargets = []target{
	{"one object of 1,000,000", 0.03, "", oneObject, wallRatio},
	{"create, peak memory at 1,000,000", 64, " MiB", create, peak},
	{"extract, peak memory at 1,000,000", 64, " MiB", extract, peak},
	{"verify, peak memory at 1,000,000", 32, " MiB", verify, peak},
	{"verify with the restore key, peak memory at 1,000,000", 32, " MiB", verifyBoth, peak},
}

const targetHead = "| target | at most | measured | |\n|---|---:|---:|---|\n"

func (b *bench) targetTable(results []result, sizes []made) string {
	t := targetHead + targetLines(targets, results)
	if n := b.tokens * b.objects; n < 100_000 {
		t = fmt.Sprintf("The targets are for 100,000 objects; this is a try with %d.\n\n", n) + t
	}
	return t + targetLine("archive, of the yardstick's size", 1.05, "", float64(sizes[1].size)/float64(sizes[0].size))
}

func targetLines(list []target, results []result) string {
	var t strings.Builder
	for _, goal := range list {
		at := slices.IndexFunc(results, func(r result) bool { return r.name == goal.of })
		if at < 0 {
			fmt.Fprintf(&t, "| %s | %s%s | | not measured |\n", goal.what, short(goal.limit), goal.unit)
			continue
		}
		r := results[at]
		i := slices.IndexFunc(r.sides, func(s side) bool { return s.who == tokar })
		t.WriteString(targetLine(goal.what, goal.limit, goal.unit, goal.take(r, i)))
	}
	return t.String()
}

func targetLine(what string, limit float64, unit string, got float64) string {
	met := "met"
	if got > limit {
		met = "**not met**"
	}
	return fmt.Sprintf("| %s | %s%s | %s%s | %s |\n", what, short(limit), unit, short(got), unit, met)
}

// short shows what a limit has digits for.
func short(f float64) string {
	if f >= 2 {
		return fmt.Sprintf("%.1f", f)
	}
	return fmt.Sprintf("%.3f", f)
}
