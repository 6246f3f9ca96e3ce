package main

import (
	"fmt"
	"slices"
	"time"
)

// contest is one job, done by several sides in turn.
type contest struct {
	name   string
	sides  []side // the yardstick first
	rounds int    // measured ones
	cold   bool   // each run begins with an empty page cache
	once   bool   // without the round that warms up
	then   func() error
}

// side is one contestant. Its job is made afresh for each run; what that
// prepares is not measured.
type side struct {
	who  string
	job  func() (job, error)
	slow bool // takes part in a few rounds only, and may empty the page cache
}

// result is a contest measured; all lists go by side.
type result struct {
	contest
	costs     [][]cost
	wall, cpu [][]float64 // ratios to the yardstick of the same round
}

func (b *bench) measureAll(list []contest) (all []result, err error) {
	for _, c := range list {
		r, err := b.measure(c)
		if err == nil && c.then != nil {
			err = c.then()
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", c.name, err)
		}
		all = append(all, r)
	}
	return all, nil
}

// measure runs the sides in turn, another one first in each round. With a warm
// page cache an unmeasured round goes before, and slow sides come last.
func (b *bench) measure(c contest) (result, error) {
	r := result{contest: c, costs: make([][]cost, len(c.sides)), wall: make([][]float64, len(c.sides)), cpu: make([][]float64, len(c.sides))}
	var quick, slow []int
	for i, s := range c.sides {
		if s.slow {
			slow = append(slow, i)
		} else {
			quick = append(quick, i)
		}
	}
	first := 0 // the round that warms up
	if c.cold || c.once {
		first = 1
	}
	progress("%s: %d rounds", c.name, c.rounds)
	for round := first; round <= c.rounds; round++ {
		order := slices.Clone(quick)
		order = append(order[round%len(order):], order[:round%len(order)]...)
		if 1 <= round && round <= b.slowRuns {
			order = append(order, slow...)
		}
		took := make([]*cost, len(c.sides))
		for _, i := range order {
			one, err := b.once(c, c.sides[i])
			if err != nil {
				return r, fmt.Errorf("%s: %w", c.sides[i].who, err)
			}
			took[i] = &one
		}
		if round == 0 {
			continue
		}
		for i, one := range took {
			if one == nil {
				continue
			}
			r.costs[i] = append(r.costs[i], *one)
			r.wall[i] = append(r.wall[i], one.wall.Seconds()/took[0].wall.Seconds())
			r.cpu[i] = append(r.cpu[i], float64(max(one.cpu, tick))/float64(max(took[0].cpu, tick)))
		}
	}
	for i := range c.sides {
		slices.Sort(r.wall[i])
		slices.Sort(r.cpu[i])
	}
	return r, nil
}

// tick keeps ratios finite where the kernel saw no CPU time.
const tick = 100 * time.Microsecond

func (b *bench) once(c contest, s side) (cost, error) {
	j, err := s.job()
	if err != nil {
		return cost{}, err
	}
	if c.cold {
		if err := b.forget(j); err != nil {
			return cost{}, err
		}
	}
	one, err := b.do(j)
	if err == nil && s.slow { // borg empties the cache of what it reads
		_, err = b.do(job{steps: []pipeline{{{"tar", "c", "-C", "tree", "."}, {"cat"}}}})
	}
	return one, err
}

func medianCost(list []cost) cost {
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
