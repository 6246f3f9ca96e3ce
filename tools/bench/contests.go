package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
)

// Names of jobs and sides that the targets speak of.
const (
	yardstick   = "tar, zstd, age"
	tokar       = "tokar"
	create      = "create"
	createCold  = "create, cold"
	extract     = "extract, durable"
	extractTmp  = "extract, durable, on tmpfs"
	verify      = "verify, verifier key"
	verifyBoth  = "verify, restore key"
	list        = "list"
	oneObject   = "one object"
	floorRead   = "floor: read"
	floorSeal   = "floor: read, MAC, compress, seal"
	floorWrite  = "floor: create, write, syncfs"
	floorOpen   = "floor: read, open, unpack, MAC"
	floorBoth   = "floor: and open private objects"
	createSmall = "create, a token of 10 objects"
)

// contests are the jobs on the disk with a warm page cache. The first makes
// the archives that the others read; restores come last, for what they leave
// to write back would disturb the rest.
func (b *bench) contests() []contest {
	peers := b.peers()
	all := []contest{
		{name: create, sides: append(b.create(), b.floor(floorRead, "read", "floor.read"), b.floor(floorSeal, "seal", "floor.seal")),
			then: func() error { return b.said("floor.read", fmt.Sprintf("%d files, %d bytes\n", b.files, b.bytes)) }},
		b.opening(b.verify(verify, "verify.key"), floorOpen),
		b.opening(b.verify(verifyBoth, "restore.key"), floorBoth, "-private"),
		b.list(),
		b.oneObject(),
		{name: createSmall, rounds: 3 * b.runs, sides: []side{
			{who: yardstick, job: b.always(b.packing("small"), "small.age")},
			{who: tokar, job: b.always(pipeline{{b.tokar, "create", "-R", "restore.key.pub", "small"}}, "small.tokar")},
		}},
		b.extract(extract, func(string) (string, error) { return b.fresh("restored") }),
	}
	for i := range all {
		c := &all[i]
		if c.rounds == 0 {
			c.rounds = b.runs
		}
		for _, p := range peers {
			p.enter(c)
		}
	}
	return all
}

// always is a job that is the same in each run.
func (b *bench) always(p pipeline, out string) func() (job, error) {
	return func() (job, error) { return job{steps: []pipeline{p}, out: out}, nil }
}

// packing is the yardstick; into a pipe, because to /dev/null tar does not read.
func (b *bench) packing(tree string) pipeline {
	return pipeline{{"tar", "c", "-C", tree, "."}, {"zstd", "-q", "-3", "-T2"}, {"age", "-r", b.recipient}}
}

// unpacking is its reverse, with tar's own words at the end.
func unpacking(tar ...string) pipeline {
	return pipeline{{"age", "-d", "-i", "restore.key", "yardstick.age"}, {"zstd", "-q", "-dc"}, append(program{"tar"}, tar...)}
}

func (b *bench) create() []side {
	return []side{
		{who: yardstick, job: b.always(b.packing("tree"), "yardstick.age")},
		{who: tokar, job: b.always(pipeline{{b.tokar, "create", "-R", "restore.key.pub", "--verifier-file", "verify.key.pub", "tree"}}, "archive.tokar")},
	}
}

func (b *bench) verify(name, key string) contest {
	reading := b.always(unpacking("t"), "")
	own := b.always(pipeline{{b.tokar, "verify", "-i", key, "-f", "archive.tokar"}}, "")
	return contest{name: name, sides: []side{{who: yardstick, job: reading}, {who: tokar, job: own}},
		then: func() error { return b.refused("archive.tokar", own) }}
}

// opening puts beside a verify the least that it can cost, on what floor sealed
// in the first contest.
func (b *bench) opening(c contest, who string, flags ...string) contest {
	args := append(program{filepath.Join(b.bin, "floor"), "open"}, flags...)
	least := b.always(pipeline{append(args, "floor.seal")}, "floor.open")
	c.sides = append(c.sides, side{who: who, job: least})
	then := c.then
	c.then = func() error {
		if err := b.said("floor.open", fmt.Sprintf("%d files, %d bytes\n", b.files, b.bytes)); err != nil {
			return err
		}
		return errors.Join(b.refused("floor.seal", least), then())
	}
	return c
}

func (b *bench) list() contest {
	return contest{name: list, rounds: 3 * b.runs, sides: []side{
		{who: yardstick, job: b.always(unpacking("t"), "yardstick.list")},
		{who: tokar, job: b.always(pipeline{{b.tokar, "list", "-i", "verify.key", "-f", "archive.tokar"}}, "tokar.list")},
	}, then: func() error { return b.listed("yardstick.list", "tokar.list") }}
}

func (b *bench) oneObject() contest {
	return contest{name: oneObject, rounds: 3 * b.runs, sides: []side{
		{who: yardstick, job: b.always(unpacking("xO", "./"+b.objectFile), "yardstick.object")},
		{who: tokar, job: b.always(pipeline{{b.tokar, "cat", "-i", "restore.key", "-f", "archive.tokar", b.object}}, "tokar.object")},
	}, then: func() error { return b.sameObject("yardstick.object", "tokar.object") }}
}

// extract restores into what fresh makes for each run.
func (b *bench) extract(name string, fresh func(who string) (string, error)) contest {
	last := map[string]string{}
	into := func(who, out string, steps func(dir string) []pipeline) side {
		return side{who: who, job: func() (job, error) {
			dir, err := fresh(who)
			last[who] = dir
			return job{steps: steps(dir), out: out}, err
		}}
	}
	mean := strconv.FormatInt(b.bytes/int64(b.files), 10)
	return contest{name: name, rounds: b.runs, sides: []side{
		into(yardstick, "", func(dir string) []pipeline { return []pipeline{unpacking("x", "-C", dir), {{"sync", "-f", dir}}} }),
		into(tokar, "", func(dir string) []pipeline {
			return []pipeline{{{b.tokar, "extract", "-i", "restore.key", "-f", "archive.tokar", "-C", dir}}}
		}),
		into(floorWrite, "floor.write", func(dir string) []pipeline {
			return []pipeline{{{filepath.Join(b.bin, "floor"), "write", "-size", mean, "tree", dir}}}
		}),
	}, then: func() error {
		if err := b.said("floor.write", fmt.Sprintf("%d files, %d bytes\n", b.files, int64(b.files)*(b.bytes/int64(b.files)))); err != nil {
			return err
		}
		return b.same(last[yardstick], last[tokar])
	}}
}

// floor is the least that create can cost.
func (b *bench) floor(who, what, out string, flags ...string) side {
	args := append(program{filepath.Join(b.bin, "floor"), what}, flags...)
	return side{who: who, job: b.always(pipeline{append(args, "tree")}, out)}
}
