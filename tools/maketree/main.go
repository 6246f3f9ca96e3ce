// Maketree writes openCryptoki token directories to measure with: synthetic,
// but every object parses and every file has the shape the library gives it.
//
//	maketree [-tokens N] [-objects N] [-seed N] [-fixtures DIR] DIR
//
// Odd tokens have the format of 3.12, even ones the old one. Of the objects,
// 60 % are private (random bodies behind true headers, so incompressible, as
// ciphertext is), 25 % public RSA keys, 15 % certificates; 1.3 KB on average.
// Real tokens from testdata/opencryptoki are the templates of public objects
// and of the state files. The same seed gives the same bytes.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
)

// Options are the flags.
type Options struct {
	Tokens, Objects int
	Seed            uint64
	Fixtures        string
}

func main() {
	var o Options
	flag.IntVar(&o.Tokens, "tokens", 2, "token directories")
	flag.IntVar(&o.Objects, "objects", 50, "objects in each")
	flag.Uint64Var(&o.Seed, "seed", 1, "the same seed gives the same bytes")
	flag.StringVar(&o.Fixtures, "fixtures", "testdata/opencryptoki", "where the template tokens are")
	flag.Parse()
	if flag.NArg() != 1 {
		fmt.Fprintln(os.Stderr, "usage: maketree [flags] DIR")
		os.Exit(2)
	}
	if err := Make(flag.Arg(0), o); err != nil {
		fmt.Fprintln(os.Stderr, "maketree:", err)
		os.Exit(1)
	}
}

// Make writes the tokens below dir, several at once: signing certificates is
// what takes time.
func Make(dir string, o Options) error {
	old, err := readTemplate(filepath.Join(o.Fixtures, "swtok-old-small"), false)
	if err != nil {
		return err
	}
	since312, err := readTemplate(filepath.Join(o.Fixtures, "swtok-new-small"), true)
	if err != nil {
		return err
	}
	ca := newAuthority(o.Seed)
	syscall.Umask(0o007)
	errs := make([]error, o.Tokens)
	next := make(chan int)
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for i := range next {
				t := old
				if i%2 == 1 {
					t = since312
				}
				g := newGenerator(t, ca, o.Seed, i)
				errs[i] = g.token(filepath.Join(dir, fmt.Sprintf("tok%03d", i)), o.Objects)
			}
		})
	}
	for i := range o.Tokens {
		next <- i
	}
	close(next)
	workers.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
