// Bench measures tokar against tar, zstd and age on one tree of made tokens
// and prints a table in Markdown.
//
//	bench -tokar ./tokar -maketree build/maketree
//
//	BENCH_TOKENS    token directories (2)
//	BENCH_OBJECTS   objects in each (50)
//	BENCH_RUNS      measured pairs for each line (3)
//	BENCH_DIR       where trees and archives are written and deleted (TMPDIR)
//
// Both sides of a line run in turn, the first of them changing each time; a
// line shows the median of each side and the median of the pairs' ratios. The
// page cache is warm: one unmeasured pair goes before. Every restore goes into
// a directory that did not exist, and all of them are deleted at the end only,
// because ext4 creates files slowly for minutes after a large deletion.
package main

import (
	"bytes"
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
	maketree := flag.String("maketree", "build/maketree", "the program that writes the tree")
	flag.Parse()
	if err := run(*tokar, *maketree); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// bench is one run: its directory, its tree and its archives.
type bench struct {
	dir, tree       string
	tokar           string
	recipient       string // for age
	object          string // TOKEN/NAME of one in the middle, for cat
	objectFile      string // the same below tree
	tokens, objects int
	runs            int
	restores        int
}

func run(tokar, maketree string) (err error) {
	b := &bench{tokens: knob("BENCH_TOKENS", 2), objects: knob("BENCH_OBJECTS", 50), runs: knob("BENCH_RUNS", 3)}
	for _, p := range []string{"tar", "zstd", "age", "age-keygen", "bash"} {
		if _, err := exec.LookPath(p); err != nil {
			return fmt.Errorf("%s is needed for the comparison (testdata/peers/peers.sh)", p)
		}
	}
	if b.tokar, err = filepath.Abs(tokar); err != nil {
		return err
	}
	if b.dir, err = os.MkdirTemp(os.Getenv("BENCH_DIR"), "tokar-bench-"); err != nil {
		return err
	}
	defer os.RemoveAll(b.dir)
	if err := b.prepare(maketree); err != nil {
		return err
	}
	var lines []line
	for _, c := range b.contests() {
		l, err := b.measure(c)
		if err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		lines = append(lines, l)
		if c.then != nil {
			if err := c.then(); err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
		}
	}
	return b.print(os.Stdout, lines)
}

// prepare makes the tree and the keys, and lets writing back come to an end.
func (b *bench) prepare(maketree string) error {
	b.tree = filepath.Join(b.dir, "tree")
	progress("making %d tokens of %d objects", b.tokens, b.objects)
	if err := quietly(maketree, "-tokens", strconv.Itoa(b.tokens), "-objects", strconv.Itoa(b.objects), b.tree); err != nil {
		return err
	}
	if err := quietly(maketree, "-tokens", "1", "-objects", "10", filepath.Join(b.dir, "small")); err != nil {
		return err
	}
	for _, k := range []string{"restore", "verify"} {
		key := filepath.Join(b.dir, k+".key")
		if err := quietly("age-keygen", "-o", key); err != nil {
			return err
		}
		public, err := exec.Command("age-keygen", "-y", key).Output()
		if err != nil {
			return err
		}
		if k == "restore" {
			b.recipient = strings.TrimSpace(string(public))
		}
		if err := os.WriteFile(key+".pub", public, 0o600); err != nil {
			return err
		}
	}
	token := fmt.Sprintf("tok%03d", b.tokens/2)
	index, err := os.ReadFile(filepath.Join(b.tree, token, "TOK_OBJ", "OBJ.IDX"))
	if err != nil {
		return err
	}
	names := strings.Fields(string(index))
	name := names[len(names)/2]
	b.object = token + "/" + name
	b.objectFile = token + "/TOK_OBJ/" + name
	return quietly("sync", "-f", b.dir)
}

// quietly runs a program and shows what it says only if it fails.
func quietly(name string, args ...string) error {
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w\n%s", filepath.Base(name), err, bytes.TrimSpace(out))
	}
	return nil
}

func knob(name string, usual int) int {
	n, err := strconv.Atoi(os.Getenv(name))
	if err != nil || n < 1 {
		return usual
	}
	return n
}

func progress(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "bench: "+format+"\n", args...)
}
