package main

import (
	"bufio"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// workspace is the directory of one tree: the tree, keys, archives and
// repositories made of it, and everything restored from them.
type workspace struct {
	recipient  string // for age
	object     string // TOKEN/NAME of one in the middle, for cat
	objectFile string // the same below tree
	files      int
	bytes      int64
	made       map[string]int // how many directories of a name were made
}

// prepare makes the tree and the keys, and lets writing back come to an end.
func (b *bench) prepare() (err error) {
	if b.dir, err = os.MkdirTemp(os.Getenv("BENCH_DIR"), "tokar-bench-"); err != nil {
		return err
	}
	*b.dirs = append(*b.dirs, b.dir)
	b.workspace = workspace{made: map[string]int{}}
	b.tree = filepath.Join(b.dir, "tree")
	progress("making %d tokens of %d objects", b.tokens, b.objects)
	maketree := filepath.Join(b.bin, "maketree")
	if err := quietly(maketree, "-tokens", strconv.Itoa(b.tokens), "-objects", strconv.Itoa(b.objects), b.tree); err != nil {
		return err
	}
	if err := quietly(maketree, "-tokens", "1", "-objects", "10", filepath.Join(b.dir, "small")); err != nil {
		return err
	}
	if err := b.keys(); err != nil {
		return err
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
	if b.files, b.bytes, err = treeSize(b.tree); err != nil {
		return err
	}
	return quietly("sync", "-f", b.dir)
}

func (b *bench) keys() error {
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
	return nil
}

// clear deletes all workspaces, unless another run is to follow at once.
func (b *bench) clear() {
	for _, dir := range *b.dirs {
		if os.Getenv("BENCH_KEEP") == "1" {
			progress("left: %s", dir)
			continue
		}
		progress("deleting %s", dir)
		os.RemoveAll(dir)
	}
}

// fresh makes a directory that was never there before, and names it.
func (b *bench) fresh(name string) (string, error) {
	b.made[name]++
	dir := b.last(name)
	return dir, os.Mkdir(filepath.Join(b.dir, dir), 0o700)
}

// last is the name of the one made last.
func (b *bench) last(name string) string { return fmt.Sprintf("%s-%d", name, b.made[name]) }

// same compares what was restored with the tree.
func (b *bench) same(dirs ...string) error {
	for _, dir := range dirs {
		if err := quietly("diff", "-rq", b.tree, b.at(dir)); err != nil {
			return err
		}
	}
	return nil
}

// at is a path below the workspace; an absolute one stays.
func (b *bench) at(path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(b.dir, path)
}

func (b *bench) sameObject(files ...string) error {
	for _, file := range files {
		if err := quietly("cmp", filepath.Join(b.tree, b.objectFile), b.at(file)); err != nil {
			return err
		}
	}
	return nil
}

// said checks what floor counted.
func (b *bench) said(file, want string) error {
	got, err := os.ReadFile(b.at(file))
	if err == nil && string(got) != want {
		err = fmt.Errorf("%s: %q, want %q", file, got, want)
	}
	return err
}

// listed checks that a listing has a line for each object at least.
func (b *bench) listed(files ...string) error {
	for _, file := range files {
		f, err := os.Open(b.at(file))
		if err != nil {
			return err
		}
		n := 0
		for lines := bufio.NewScanner(f); lines.Scan(); n++ {
		}
		f.Close()
		if n < b.tokens*b.objects {
			return fmt.Errorf("%s: %d lines for %d objects", file, n, b.tokens*b.objects)
		}
	}
	return nil
}

// refused makes sure that each job fails while one byte in the middle of its
// archive is wrong: what passes anything over costs nothing.
func (b *bench) refused(archive string, jobs ...func() (job, error)) error {
	if err := flip(b.at(archive)); err != nil {
		return err
	}
	for _, attempt := range jobs {
		j, err := attempt()
		if err != nil {
			return err
		}
		if _, err := b.do(j); err == nil {
			return fmt.Errorf("%s passes a damaged archive", j)
		}
	}
	return flip(b.at(archive))
}

// flip changes a bit in the middle of a file, or changes it back.
func flip(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	var one [1]byte
	if _, err := f.ReadAt(one[:], info.Size()/2); err != nil {
		return err
	}
	one[0] ^= 1
	_, err = f.WriteAt(one[:], info.Size()/2)
	return err
}

func treeSize(root string) (files int, size int64, err error) {
	err = filepath.WalkDir(root, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		files++
		size += info.Size()
		return nil
	})
	return files, size, err
}
