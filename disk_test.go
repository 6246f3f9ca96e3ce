package main_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A disk is what a run did to a directory, as the calls tell that tools/fault
// wrote down: for each moment at which the power may fail it gives the states
// that may then be found. What fsync or syncfs has not made durable may be
// there or not, each write and each name for itself, and a write may be cut.
// No more is taken for granted than that a rename happens whole or not at all,
// and what happened to one name in the order in which it did.
type disk struct {
	root  *inode
	ops   []*op
	steps int
}

// An inode is a file or directory. What is in it when the run begins is durable.
type inode struct {
	number  uint64
	attr    attrs
	data    []byte
	entries map[string]*inode // of a directory, else nil
}

type attrs struct {
	mode     fs.FileMode
	uid, gid int
	mtime    time.Time
}

// An op is one change.
type op struct {
	step    int
	durable int // from which step on, or never
	what    string

	names []name          // given together …
	on    *inode          // … or what changes in this one,
	do    func(of *inode) // by this
	bytes []byte          // a write's
	at    int64
}

// A name is one in a directory, and what has it from then on.
type name struct {
	dir  *inode
	name string
	is   *inode
}

const never = 1 << 30

// step is a line of fault's -trace.
type step struct {
	Call   string
	Files  []string
	Args   [6]uint64
	Data   []byte
	Offset int64
	Inode  uint64
	Mode   uint32
	After  int
}

// traced runs tokar and gives what it did below dir.
func (r *rig) traced(t *testing.T, dir string, args ...string) ([]step, outcome) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "steps")
	o := r.run(t, dir, []string{"-trace", file}, args...)
	if o.Exit != 0 {
		t.Fatalf("%q: exit code %d: %s", args, o.Exit, o.stderr)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var steps []step
	for d := json.NewDecoder(bytes.NewReader(text)); d.More(); {
		var s step
		if err := d.Decode(&s); err != nil {
			t.Fatal(err)
		}
		steps = append(steps, s)
	}
	return steps, o
}

// load takes what stands at a path for durable.
func load(t *testing.T, path string) *inode {
	t.Helper()
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	st := info.Sys().(*syscall.Stat_t)
	n := &inode{number: st.Ino, attr: attrs{info.Mode(), int(st.Uid), int(st.Gid), info.ModTime()}}
	if !info.IsDir() {
		if n.data, err = os.ReadFile(path); err != nil {
			t.Fatal(err)
		}
		return n
	}
	n.entries = map[string]*inode{}
	entries, err := os.ReadDir(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		n.entries[e.Name()] = load(t, filepath.Join(path, e.Name()))
	}
	return n
}

// play goes through what a run did below dir, where before stood. A call that
// it does not know is an error: it would be left out.
func play(before *inode, dir string, steps []step) (*disk, error) {
	now := before.clone(map[*inode]*inode{}) // as a process sees it
	same := map[*inode]*inode{}              // of that, what the disk has
	var pair func(a, b *inode)
	pair = func(a, b *inode) {
		same[a] = b
		for n, e := range a.entries {
			pair(e, b.entries[n])
		}
	}
	pair(now, before)
	d := &disk{root: before, steps: len(steps)}
	for i, s := range steps {
		if err := d.step(now, same, dir, i, s); err != nil {
			return nil, fmt.Errorf("step %d, %s %q: %w", i, s.Call, s.Files, err)
		}
	}
	return d, nil
}

func (n *inode) clone(done map[*inode]*inode) *inode {
	if c := done[n]; c != nil {
		return c
	}
	c := &inode{number: n.number, attr: n.attr, data: slices.Clone(n.data)}
	done[n] = c
	if n.entries != nil {
		c.entries = map[string]*inode{}
		for name, e := range n.entries {
			c.entries[name] = e.clone(done)
		}
	}
	return c
}

// find gives a directory and a name in it, for a path below dir.
func find(now *inode, dir, path string) (*inode, string, error) {
	rel, err := filepath.Rel(dir, path)
	if err != nil || strings.HasPrefix(rel, "..") {
		return nil, "", fmt.Errorf("%s is elsewhere", path)
	}
	parts := strings.Split(rel, "/")
	for _, p := range parts[:len(parts)-1] {
		if now = now.entries[p]; now == nil {
			return nil, "", fmt.Errorf("nothing is at %s", path)
		}
	}
	return now, parts[len(parts)-1], nil
}

func (d *disk) step(now *inode, same map[*inode]*inode, dir string, i int, s step) error {
	// What a call names: in which directory, as what, and what is there now.
	type place struct {
		in   *inode
		name string
		is   *inode
	}
	var at []place
	if slices.Contains([]string{"close", "flock", "fsetxattr", "fremovexattr", "ioctl"}, s.Call) {
		return nil
	}
	for _, f := range s.Files {
		in, name, err := find(now, dir, f)
		if err != nil {
			return err
		}
		is := in.entries[name]
		if name == "." {
			is = now
		}
		at = append(at, place{in, name, is})
	}
	add := func(o op) {
		o.step, o.durable, o.what = i, never, s.Call+" "+strings.Join(s.Files, " ")
		d.ops = append(d.ops, &o)
	}
	give := func(names ...name) {
		var on []name
		for _, n := range names {
			is := n.is
			if n.is == nil {
				delete(n.dir.entries, n.name)
			} else {
				n.dir.entries[n.name] = n.is
				is = same[n.is]
			}
			on = append(on, name{same[n.dir], n.name, is})
		}
		add(op{names: on})
	}
	create := func(directory bool) {
		n := &inode{number: s.Inode, attr: attrs{mode: fs.FileMode(s.Mode & 0o777), uid: os.Geteuid(), gid: os.Getegid()}}
		on := *n
		if directory {
			n.entries, on.entries = map[string]*inode{}, map[string]*inode{}
			on.attr.mode |= fs.ModeDir
		}
		same[n] = &on
		give(name{at[0].in, at[0].name, n})
	}
	durable := func(covers func(*op) bool) {
		for _, o := range d.ops {
			if o.step < s.After && covers(o) {
				o.durable = min(o.durable, i)
			}
		}
	}
	attr := func(change func(a *attrs)) error {
		if at[0].is != nil { // else it has lost its name meanwhile
			add(op{on: same[at[0].is], do: func(of *inode) { change(&of.attr) }})
		}
		return nil
	}
	const exchange = unix.RENAME_EXCHANGE
	switch s.Call {
	case "open", "openat":
		flags := s.Args[1]
		if s.Call == "openat" {
			flags = s.Args[2]
		}
		switch is := at[0].is; {
		case is == nil && flags&unix.O_CREAT != 0:
			create(false)
		case is != nil && flags&unix.O_TRUNC != 0:
			add(op{on: same[is], do: func(of *inode) { of.data = nil }})
		}
	case "mkdir", "mkdirat":
		create(true)
	case "write", "pwrite64":
		if is := at[0].is; is != nil {
			add(op{on: same[is], bytes: s.Data, at: s.Offset})
		}
	case "ftruncate":
		if is := at[0].is; is != nil {
			size := int(s.Args[1])
			add(op{on: same[is], do: func(of *inode) {
				of.data = append(of.data, make([]byte, max(0, size-len(of.data)))...)[:size]
			}})
		}
	case "fchmod", "fchmodat":
		mode := s.Args[1]
		if s.Call == "fchmodat" {
			mode = s.Args[2]
		}
		return attr(func(a *attrs) { a.mode = a.mode&fs.ModeType | fs.FileMode(mode&0o777) })
	case "fchown", "fchownat":
		ids := s.Args[1:3]
		if s.Call == "fchownat" {
			ids = s.Args[2:4]
		}
		return attr(func(a *attrs) {
			for i, id := range []*int{&a.uid, &a.gid} {
				if n := int32(ids[i]); n >= 0 {
					*id = int(n)
				}
			}
		})
	case "utimensat":
		if len(s.Data) != 32 {
			return fmt.Errorf("%d bytes of times", len(s.Data))
		}
		second, nano := binary.LittleEndian.Uint64(s.Data[16:]), binary.LittleEndian.Uint64(s.Data[24:])
		return attr(func(a *attrs) { a.mtime = time.Unix(int64(second), int64(nano)) })
	case "link", "linkat":
		give(name{at[1].in, at[1].name, at[0].is})
	case "unlink", "unlinkat", "rmdir":
		give(name{at[0].in, at[0].name, nil})
	case "rename", "renameat", "renameat2":
		left := (*inode)(nil)
		if s.Call == "renameat2" && s.Args[4]&exchange != 0 {
			left = at[1].is
		}
		give(name{at[0].in, at[0].name, left}, name{at[1].in, at[1].name, at[0].is})
	case "fsync", "fdatasync":
		if at[0].is == nil {
			break
		}
		is := same[at[0].is]
		durable(func(o *op) bool {
			return o.on == is || slices.ContainsFunc(o.names, func(n name) bool { return n.dir == is })
		})
	case "syncfs", "sync":
		durable(func(*op) bool { return true })
	default:
		return fmt.Errorf("not understood")
	}
	return nil
}

// A state is what may be found after a loss of power.
type state struct {
	root *inode
	what []string // was lost
	id   uint64
}

// lost gives a state after the first steps of a run: of what is not durable by
// then, lose is the share that is missing.
func (d *disk) lost(r *rand.Rand, steps int, lose float64) state {
	id := fnv.New64a()
	missing := map[string]bool{} // names of which something is
	var what []string
	copies := map[*inode]*inode{}
	root := d.root.clone(copies)
	on := func(n *inode) *inode {
		if n == nil {
			return nil
		}
		return n.clone(copies)
	}
	key := func(n name) string { return fmt.Sprintf("%p/%s", n.dir, n.name) }
	for _, o := range d.ops {
		if o.step >= steps {
			break
		}
		safe := o.durable < steps
		gone := !safe && r.Float64() < lose
		for _, n := range o.names {
			gone = gone || missing[key(n)]
		}
		data := o.bytes
		if !safe && !gone && len(data) > 0 && r.IntN(4) == 0 {
			data = data[:r.IntN(len(data))]
			what = append(what, fmt.Sprintf("cut to %d: %s", len(data), o.what))
		}
		fmt.Fprint(id, gone, len(data), ";")
		if gone {
			for _, n := range o.names {
				missing[key(n)] = true
			}
			what = append(what, "lost: "+o.what)
			continue
		}
		for _, n := range o.names {
			if n.is == nil {
				delete(on(n.dir).entries, n.name)
			} else {
				on(n.dir).entries[n.name] = on(n.is)
			}
		}
		switch to := on(o.on); {
		case o.do != nil:
			o.do(to)
		case data != nil:
			end := int(o.at) + len(data)
			to.data = append(to.data, make([]byte, max(0, end-len(to.data)))...)
			copy(to.data[o.at:], data)
		}
	}
	return state{root, what, id.Sum64()}
}

// at is what stands at a path, or nil.
func (s state) at(path string) *inode {
	n := s.root
	for _, p := range strings.Split(filepath.Clean(path), "/") {
		if n == nil {
			return nil
		}
		if p != "." {
			n = n.entries[p]
		}
	}
	return n
}

// tree describes a directory as the function of that name does.
func (n *inode) tree() string {
	var b strings.Builder
	var walk func(rel string, n *inode)
	walk = func(rel string, n *inode) {
		fmt.Fprintf(&b, "%s %s %d:%d %s", rel, n.attr.mode, n.attr.uid, n.attr.gid, n.attr.mtime.UTC().Format(time.RFC3339Nano))
		if n.entries == nil {
			fmt.Fprintf(&b, " %x", n.data)
		}
		b.WriteByte('\n')
		names := make([]string, 0, len(n.entries))
		for name := range n.entries {
			names = append(names, name)
		}
		slices.Sort(names)
		for _, name := range names {
			walk(filepath.Join(rel, name), n.entries[name])
		}
	}
	walk(".", n)
	return b.String()
}

// write makes a state a directory. The number of an inode that a journal names
// becomes that which the inode has there.
func (s state) write(t *testing.T, dir string) {
	t.Helper()
	made := map[*inode]string{}
	numbers := map[uint64]uint64{}
	var journals []string
	var put func(path string, n *inode) error
	put = func(path string, n *inode) (err error) {
		switch before := made[n]; {
		case before != "" && n.entries != nil:
			return fmt.Errorf("%s is %s too", path, before)
		case before != "":
			return os.Link(before, path)
		case n.entries == nil:
			err = os.WriteFile(path, n.data, 0o600)
			if journal.Match(n.data) {
				journals = append(journals, path)
			}
		default:
			err = os.Mkdir(path, 0o700)
		}
		made[n] = path
		for name, e := range n.entries {
			if err == nil {
				err = put(filepath.Join(path, name), e)
			}
		}
		if err != nil {
			return err
		}
		if os.Geteuid() == 0 {
			err = os.Lchown(path, n.attr.uid, n.attr.gid)
		}
		if err == nil {
			err = os.Chmod(path, n.attr.mode.Perm())
		}
		if err == nil {
			err = os.Chtimes(path, n.attr.mtime, n.attr.mtime)
		}
		info, e := os.Lstat(path)
		if e == nil {
			numbers[n.number] = info.Sys().(*syscall.Stat_t).Ino
		}
		return err
	}
	err := put(dir, s.root)
	for _, path := range journals {
		text, e := os.ReadFile(path)
		if err = e; err != nil {
			break
		}
		text = journal.ReplaceAllFunc(text, func(line []byte) []byte {
			was, _ := strconv.ParseUint(strings.TrimSpace(string(line[len("\nnew "):])), 10, 64)
			is, ok := numbers[was]
			if !ok {
				is = was | 1<<40 // nobody has it
			}
			return fmt.Appendf(nil, "\nnew %d\n", is)
		})
		err = os.WriteFile(path, text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

var journal = regexp.MustCompile(`\nnew \d+\n`)
