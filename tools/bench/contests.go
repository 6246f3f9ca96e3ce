package main

import (
	"fmt"
	"os"
	"path/filepath"
)

// contest is one line of the table: a job, done by tokar and by the yardstick.
// Each command is a shell line; its standard output goes to the file out.
type contest struct {
	name      string
	yardstick func() command
	tokar     func() command
	then      func() error // checks what the two have made
}

type command struct {
	shell string
	out   string // "" is /dev/null
}

// contests lists the lines. Paths below are relative to b.dir, where all
// commands run; the first line writes the archives that the others read.
func (b *bench) contests() []contest {
	const unpacked = "age -d -i restore.key yardstick.age | zstd -dc | "
	fixed := func(shell, out string) func() command {
		return func() command { return command{shell, out} }
	}
	reading := fixed(unpacked+"tar t", "")
	verify := func(key string) func() command {
		return fixed("exec "+b.tokar+" verify -i "+key+" -f archive.tokar", "")
	}
	return []contest{
		{
			name:      "create",
			yardstick: fixed("tar c -C tree . | zstd -q -3 -T2 | age -r "+b.recipient, "yardstick.age"),
			tokar:     fixed("exec "+b.tokar+" create -R restore.key.pub --verifier-file verify.key.pub tree", "archive.tokar"),
		},
		{
			name: "extract, durable",
			yardstick: func() command {
				dir := b.fresh("yardstick")
				return command{unpacked + "tar x -C " + dir + " && sync -f " + dir, ""}
			},
			tokar: func() command {
				return command{"exec " + b.tokar + " extract -i restore.key -f archive.tokar -C " + b.fresh("tokar"), ""}
			},
			then: b.sameTrees,
		},
		{name: "verify, verifier key", yardstick: reading, tokar: verify("verify.key")},
		{name: "verify, restore key", yardstick: reading, tokar: verify("restore.key")},
		{
			name:      "list",
			yardstick: reading,
			tokar:     fixed("exec "+b.tokar+" list -i verify.key -f archive.tokar", ""),
		},
		{
			name:      "one object",
			yardstick: fixed(unpacked+"tar xO ./"+b.objectFile, "yardstick.object"),
			tokar:     fixed("exec "+b.tokar+" cat -i restore.key -f archive.tokar "+b.object, "tokar.object"),
			then:      b.sameObject,
		},
		{
			name:      "create, a token of 10",
			yardstick: fixed("tar c -C small . | zstd -q -3 -T2 | age -r "+b.recipient, "small.age"),
			tokar:     fixed("exec "+b.tokar+" create -R restore.key.pub small", "small.tokar"),
		},
	}
}

// fresh is a directory that was never there before.
func (b *bench) fresh(who string) string {
	b.restores++
	dir := fmt.Sprintf("restored-%s-%d", who, b.restores)
	if err := os.Mkdir(filepath.Join(b.dir, dir), 0o700); err != nil {
		panic(err) // b.dir is ours alone
	}
	return dir
}

// sameTrees compares the last restore of each side with the tree.
func (b *bench) sameTrees() error {
	for _, who := range []string{"yardstick", "tokar"} {
		list, err := filepath.Glob(filepath.Join(b.dir, "restored-"+who+"-*"))
		if err != nil || len(list) == 0 {
			return fmt.Errorf("no restore by %s: %v", who, err)
		}
		if err := quietly("diff", "-rq", b.tree, list[0]); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) sameObject() error {
	for _, who := range []string{"yardstick.object", "tokar.object"} {
		if err := quietly("cmp", filepath.Join(b.tree, b.objectFile), filepath.Join(b.dir, who)); err != nil {
			return err
		}
	}
	return nil
}
