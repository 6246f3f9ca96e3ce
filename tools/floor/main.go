// Floor does to a tree of tokens the least that any implementation must, so
// that a measurement can say how far from it tokar is. It is no archiver: it
// keeps no names and no order, writes no index, and whoever has it has its keys.
//
//	floor read [-ahead N] TREE    open, fstat, read and close every file, in two threads
//	floor seal TREE >FILE         and HMAC-SHA-256 of each, AES-256-GCM of private objects,
//	                              zstd at its fastest of the rest, AES-256-GCM of each block
//	floor open [-private] FILE    the same backwards, in two threads: open each block, unpack it,
//	                              compare the MACs; with -private open private objects too
//	floor write -size N TREE DIR  create, write and close a file of N bytes for each name, then one syncfs
//
// All but seal say on stdout how many files and bytes it was.
package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "floor:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	usage := fmt.Errorf("usage: floor read [-ahead N] TREE | floor seal TREE | floor open [-private] FILE | floor write -size N TREE DIR")
	if len(args) == 0 {
		return usage
	}
	flags := flag.NewFlagSet("floor", flag.ContinueOnError)
	ahead := flags.Int("ahead", 1, "files to open and ask the kernel for before the first of them is read")
	size := flags.Int("size", 0, "bytes in each file written")
	private := flags.Bool("private", false, "open private objects too")
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	switch {
	case args[0] == "read" && flags.NArg() == 1:
		return read(flags.Arg(0), *ahead, nil)
	case args[0] == "seal" && flags.NArg() == 1:
		return read(flags.Arg(0), *ahead, newSealer)
	case args[0] == "open" && flags.NArg() == 1:
		return open(flags.Arg(0), *private)
	case args[0] == "write" && flags.NArg() == 2 && *size > 0:
		return write(flags.Arg(0), flags.Arg(1), *size)
	}
	return usage
}

// batchSize is how many files a worker takes at once.
const batchSize = 256

// batch is some files of one directory.
type batch struct {
	dir   string // below the tree
	fd    int    // the directory, when the tree is read
	names []string
}

// batches lists the tree from its index files, as an archiver would.
func batches(tree string) ([]batch, error) {
	tokens, err := filepath.Glob(filepath.Join(tree, "*", "TOK_OBJ", "OBJ.IDX"))
	if err != nil || len(tokens) == 0 {
		return nil, fmt.Errorf("no tokens below %s: %v", tree, err)
	}
	var all []batch
	for _, path := range tokens {
		objects := filepath.Dir(path)
		index, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		names := []string{"OBJ.IDX"}
		for name := range bytes.FieldsSeq(index) {
			names = append(names, string(name))
		}
		list := []batch{{dir: filepath.Dir(objects), names: []string{"NVTOK.DAT", "MK_SO", "MK_USER"}}}
		for len(names) > 0 {
			n := min(batchSize, len(names))
			list = append(list, batch{dir: objects, names: names[:n]})
			names = names[n:]
		}
		for i := range list {
			if i < 2 {
				if list[i].fd, err = unix.Open(list[i].dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0); err != nil {
					return nil, fmt.Errorf("%s: %w", list[i].dir, err)
				}
			} else {
				list[i].fd = list[1].fd
			}
			if list[i].dir, err = filepath.Rel(tree, list[i].dir); err != nil {
				return nil, err
			}
		}
		all = append(all, list...)
	}
	return all, nil
}
