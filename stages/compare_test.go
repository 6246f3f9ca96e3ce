package stages

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"tokar/backends"
	"tokar/format"
)

// compareAll compares an archive with the tokens of m, and gives a line for
// each token and each difference.
func compareAll(r io.Reader, m *memory, change ...func(*CompareOptions)) (lines []string, err error) {
	o := CompareOptions{
		OpenOptions: opening(restoreKey),
		Backend:     func(string) (backends.Backend, error) { return m, nil },
		Place:       func(t *format.Token) Place { return Place{Wanted: true, Whole: true} },
		Select:      func(*format.Token, *format.Record) bool { return true },
		Compared: func(c *Compared) error {
			line := c.Archived.Name.String()
			if c.Err != nil {
				line += " " + c.Err.Error()
			}
			if c.Unstable {
				line += " unstable"
			}
			if c.More > 0 {
				line += fmt.Sprintf(" and %d more", c.More)
			}
			lines = append(lines, line)
			for _, d := range c.Differences {
				lines = append(lines, strings.TrimSpace(fmt.Sprintf("%s %s@%d %s|%s %s", d.Kind, d.Name, d.Offset, d.Archived, d.Live, d.Words)))
			}
			return nil
		},
	}
	for _, c := range change {
		c(&o)
	}
	_, err = Compare(context.Background(), r, o)
	return lines, err
}

func TestCompareEqual(t *testing.T) {
	for _, workers := range []int{1, 2, 5} {
		m := newMemory(madeToken("one", 700, 300), madeToken("two", 0, 0), madeToken("big", 3, 20<<20))
		b := archive(t, m, archiveOptions(), "one", "two", "big")
		lines, err := compareAll(stream(b), m, func(o *CompareOptions) { o.Workers = workers })
		if want := []string{"one", "two", "big"}; err != nil || !slices.Equal(lines, want) {
			t.Fatalf("%d workers: %q, %v", workers, lines, err)
		}
		if m.open != 0 {
			t.Fatalf("%d tokens left open", m.open)
		}
	}
}

// Each difference by itself, against a token of three objects and an index.
func TestCompareDifferences(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(t *memToken)
		want   []string
	}{
		{"first byte", func(t *memToken) { t.entries[2].data[0] ^= 1 }, []string{"differs 00000001@0 51 bytes|51 bytes"}},
		{"last byte", func(t *memToken) { t.entries[2].data[50] ^= 1 }, []string{"differs 00000001@50 51 bytes|51 bytes"}},
		{"shorter", func(t *memToken) { t.entries[2].data = t.entries[2].data[:1] }, []string{"differs 00000001@1 51 bytes|1 byte"}},
		{"empty", func(t *memToken) { t.entries[2].data = []byte{} }, []string{"differs 00000001@0 51 bytes|0 bytes"}},
		{"longer", func(t *memToken) { t.entries[2].data = append(t.entries[2].data, 0) }, []string{"differs 00000001@51 51 bytes|52 bytes"}},
		{"missing", func(t *memToken) { t.entries = t.entries[:4] }, []string{"missing idx@-1 3 bytes|"}},
		{"gone when read", func(t *memToken) { t.entries[2].gone = true }, []string{"missing 00000001@-1 51 bytes|"}},
		{"added", func(t *memToken) {
			t.entries = append(t.entries, memEntry{name: "new", kind: format.KindForeign, data: []byte("x")})
		}, []string{"added new@-1 |a foreign file"}},
		{"kind", func(t *memToken) { t.entries[2].kind = format.KindForeign }, []string{"kind 00000001@-1 object|foreign"}},
		{"refused", func(t *memToken) { t.entries[2].refused = true }, []string{"link 00000001@-1 51 bytes|a link"}},
		{"attributes", func(t *memToken) {
			t.entries[2].attr = format.Attr{Known: true, Mode: 0o4600, UID: 7, GID: 0, MTime: 1e9 + 5}
		}, []string{
			"mode 00000001@-1 0640|4600", "owner 00000001@-1 1|7", "group 00000001@-1 2|0",
			"time 00000001@-1 1970-01-01T00:00:00.000000002Z|1970-01-01T00:00:01.000000005Z",
		}},
		{"names", func(t *memToken) {
			t.entries[2].attr = format.Attr{Known: true, Mode: 0o640, UID: 9, Owner: "joe", GID: 2, Group: "staff", MTime: 2}
		}, []string{"owner 00000001@-1 1|joe (9)"}}, // the group has no name in the archive
		{"lists and label", func(t *memToken) {
			t.entries[2].attr = format.Attr{Known: true, Mode: 0o640, UID: 1, GID: 2, MTime: 2, ACL: acl("joe", 9), DefaultACL: acl("", 7), Security: "x:y"}
		}, []string{
			"acl 00000001@-1 none|g::r--,m::r--,o::---,u::rw-,u:joe:r--",
			"default-acl 00000001@-1 none|g::r--,m::r--,o::---,u:7:r--,u::rw-",
			"label 00000001@-1 none|x:y",
		}},
		{"index order", func(t *memToken) { t.entries[4].data = []byte("321") }, []string{"differs idx@0 3 bytes|3 bytes the same names in another order"}},
		{"index names", func(t *memToken) { t.entries[4].data = []byte("145") },
			[]string{"differs idx@1 3 bytes|3 bytes only the archive's lists 2, 3; only the token's lists 4, 5"}},
		{"index repeated", func(t *memToken) { t.entries[4].data = []byte("1233") },
			[]string{"differs idx@3 3 bytes|4 bytes the same names, some of them listed more than once"}},
		{"many names", func(t *memToken) { t.entries[4].data = []byte("123abcdefgh") },
			[]string{"differs idx@3 3 bytes|11 bytes only the token's lists a, b, c, d, e and 3 more"}},
		{"directory", func(t *memToken) { t.dirs[1].Attr.Mode = 0o700 }, []string{"mode sub@-1 0750|0700"}},
		{"the token's directory", func(t *memToken) { t.dirs[0].Attr.GID = 3 }, []string{"group @-1 0|3"}},
		{"directory added", func(t *memToken) { t.dirs[1].Name = format.Name("other") },
			[]string{"missing sub@-1 a directory|", "added other@-1 |a directory"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			made := func() *memToken {
				tok := madeToken("one", 3, 50)
				tok.entries = append(tok.entries, memEntry{name: "idx", kind: format.KindIndex, data: []byte("123")})
				tok.dirs = []format.Directory{
					{Attr: format.Attr{Known: true, Mode: 0o770}},
					{Name: format.Name("sub"), Attr: format.Attr{Known: true, Mode: 0o750}},
				}
				return tok
			}
			b := archive(t, newMemory(made()), archiveOptions(), "one")
			tok := made()
			c.change(tok)
			lines, err := compareAll(stream(b), newMemory(tok))
			if want := append([]string{"one"}, c.want...); err != nil || !slices.Equal(lines, want) {
				t.Errorf("%q, want %q: %v", lines, want, err)
			}
			// What does not change and stands elsewhere is equal.
			if lines, err := compareAll(stream(b), newMemory(made())); err != nil || len(lines) != 1 {
				t.Errorf("equal: %q, %v", lines, err)
			}
		})
	}
}

// acl gives somebody access.
func acl(name string, id uint32) format.ACL {
	a, err := format.NewACL([]format.ACLEntry{
		{Tag: format.ACLUserObj, Perm: 6, ID: format.NoID}, {Tag: format.ACLUser, Perm: 4, ID: id, Name: name},
		{Tag: format.ACLGroupObj, Perm: 4, ID: format.NoID}, {Tag: format.ACLMask, Perm: 4, ID: format.NoID},
		{Tag: format.ACLOther, ID: format.NoID},
	})
	if err != nil {
		panic(err)
	}
	return a
}

// Users and groups are compared by name where both have one: the number is each
// host's own.
func TestCompareNames(t *testing.T) {
	for _, c := range []struct {
		archived, live format.Attr
		want           []string
	}{
		{format.Attr{UID: 5, Owner: "joe"}, format.Attr{UID: 6, Owner: "joe"}, nil},
		{format.Attr{UID: 5, Owner: "joe"}, format.Attr{UID: 5, Owner: "ann"}, []string{"owner joe (5)|ann (5)"}},
		{format.Attr{UID: 5, Owner: "joe"}, format.Attr{UID: 5}, nil},
		{format.Attr{UID: 5}, format.Attr{UID: 6, Owner: "joe"}, []string{"owner 5|joe (6)"}},
		{format.Attr{GID: 5, Group: "a"}, format.Attr{GID: 5, Group: "b"}, []string{"group a (5)|b (5)"}},
		{format.Attr{ACL: acl("joe", 5)}, format.Attr{ACL: acl("joe", 6)}, nil},
		{format.Attr{ACL: acl("joe", 5)}, format.Attr{ACL: acl("ann", 5)}, []string{"acl g::r--,m::r--,o::---,u::rw-,u:joe:r--|g::r--,m::r--,o::---,u::rw-,u:ann:r--"}},
	} {
		c.archived.Known, c.live.Known = true, true
		var got []string
		for _, d := range attrDifferences(Difference{}, c.archived, c.live) {
			got = append(got, fmt.Sprintf("%s %s|%s", d.Kind, d.Archived, d.Live))
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%+v: %q, want %q", c, got, c.want)
		}
	}
	if attrDifferences(Difference{}, format.Attr{}, format.Attr{Known: true, Mode: 1}) != nil {
		t.Error("what is not known differs")
	}
}

// What was read twice is compared as it stood at last: neither the first state
// of an object nor its absence is told.
func TestCompareSuperseded(t *testing.T) {
	tok := madeToken("one", 600, 100)
	tok.entries[8].data = nil // gone when it is read first
	tok.changed = []backends.Entry{
		{Kind: format.KindObject, Name: format.Name("00000003"), Place: 4},
		{Kind: format.KindObject, Name: format.Name("00000005"), Place: 6},
		{Kind: format.KindObject, Name: format.Name("00000007"), Place: 8},
	}
	tok.again = map[string][]byte{"00000003": []byte("new"), "00000005": nil, "00000007": []byte("back")}
	b := archive(t, newMemory(tok), archiveOptions(), "one")

	same := madeToken("one", 600, 100)
	same.entries[4].data, same.entries[8].data = []byte("new"), []byte("back")
	same.entries = slices.Delete(same.entries, 6, 7)
	for i := range same.entries { // the time of a made entry is its place
		same.entries[i].attr = format.Attr{Known: true, Mode: 0o640, UID: 1, GID: 2, MTime: int64(i)}
		if i >= 6 {
			same.entries[i].attr.MTime++
		}
	}
	if lines, err := compareAll(stream(b), newMemory(same)); err != nil || !slices.Equal(lines, []string{"one"}) {
		t.Errorf("%q, %v", lines, err)
	}
	want := []string{"one", "differs 00000003@0 3 bytes|103 bytes", "missing 00000007@-1 4 bytes|", "added 00000005@-1 |an object"}
	old := madeToken("one", 600, 100)
	old.entries[8].gone = true
	if lines, err := compareAll(stream(b), newMemory(old)); err != nil || !slices.Equal(lines, want) {
		t.Errorf("%q, %v", lines, err)
	}
}

func TestCompareSome(t *testing.T) {
	one, two := madeToken("one", 10, 50), madeToken("two", 10, 50)
	b := archive(t, newMemory(one, two), archiveOptions(), "one", "two")
	only := func(names ...string) func(*CompareOptions) {
		return func(o *CompareOptions) {
			o.Place = func(*format.Token) Place { return Place{Wanted: true} }
			o.Select = func(t *format.Token, r *format.Record) bool {
				return slices.Contains(names, t.Name.String()+"/"+r.Name.String())
			}
		}
	}
	changed := madeToken("one", 11, 50)
	changed.entries[3].data[0] ^= 1
	changed.entries[4].data[0] ^= 1
	m := newMemory(changed)
	for _, c := range []struct {
		names []string
		want  []string
	}{
		{[]string{"one/00000001"}, []string{"one"}},
		{[]string{"one/00000002", "one/00000001"}, []string{"one", "differs 00000002@0 52 bytes|52 bytes"}},
		{[]string{"one/00000010"}, []string{"one", "added 00000010@-1 |an object"}},
		{[]string{"one/nosuch"}, nil},
		{[]string{"two/00000001"}, []string{"two no token is there"}},
	} {
		if lines, err := compareAll(stream(b), m, only(c.names...)); err != nil || !slices.Equal(lines, c.want) {
			t.Errorf("%q: %q, %v", c.names, lines, err)
		}
	}
}

// With what a token is compared: one of another name, one that is not there,
// one that cannot be opened, and the places that an archive's name must not
// lead to.
func TestComparePlace(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := errors.Join(os.Mkdir("sub", 0o700), os.Symlink("sub", "link")); err != nil {
		t.Fatal(err)
	}
	m := newMemory(madeToken("one", 3, 50), madeToken("other", 3, 50), madeToken("sub/one", 3, 50), madeToken("link/one", 3, 50))
	b := archive(t, m, archiveOptions(), "one")
	at := func(dir, name string) func(*CompareOptions) {
		return func(o *CompareOptions) {
			o.Place = func(*format.Token) Place {
				return Place{Dir: dir, Name: format.NameOf(strings.Split(name, ":")...), Wanted: true, Whole: true}
			}
		}
	}
	for _, c := range []struct{ dir, name, want string }{
		{"", "one", "one"},
		{".", "one", "one"},
		{"", "other", "one"},
		{"sub", "one", "one"},
		{"link", "one", "one"},
		{"", "sub:one", "one"},
		{"", "link:one", "one a symbolic link leads there, which is not followed"},
		{"", "none", "one no token is there"},
		{"", "..", `one archive breaks the format's rules: the name component ".."`},
		{"", "../one", `one archive breaks the format's rules: the name component "../one"`},
	} {
		lines, err := compareAll(stream(b), m, at(c.dir, c.name))
		if err != nil || len(lines) == 0 || lines[0] != c.want {
			t.Errorf("%s in %q: %q, %v", c.name, c.dir, lines, err)
		}
	}
	refusing := errors.New("no more of it")
	_, err := compareAll(stream(b), m, func(o *CompareOptions) {
		o.Compared = func(*Compared) error { return refusing }
	})
	if !errors.Is(err, refusing) {
		t.Errorf("%v", err)
	}
}

func TestCompareChangedMeanwhile(t *testing.T) {
	tok := madeToken("one", 3, 50)
	b := archive(t, newMemory(tok), archiveOptions(), "one")
	tok.changed = []backends.Entry{{Kind: format.KindObject, Name: format.Name("00000001"), Place: 2}}
	if lines, err := compareAll(stream(b), newMemory(tok)); err != nil || !slices.Equal(lines, []string{"one unstable"}) {
		t.Errorf("%q, %v", lines, err)
	}
}

// What could not be read then or cannot be read now is said, and is no
// difference if it is both.
func TestCompareUnread(t *testing.T) {
	tokens := func(refused bool) *memory {
		one := madeToken("one", 2, 50)
		one.entries[2].refused = refused
		return newMemory(one)
	}
	for _, c := range []struct {
		then, now bool
		want      []string
	}{
		{true, true, []string{"one"}},
		{true, false, []string{"one", "unread 00000001@-1 not read|51 bytes"}},
		{false, true, []string{"one", "link 00000001@-1 51 bytes|a link"}},
	} {
		o := archiveOptions()
		o.Problem = func(Problem) {}
		lines, err := compareAll(stream(archive(t, tokens(c.then), o, "one")), tokens(c.now))
		if err != nil || !slices.Equal(lines, c.want) {
			t.Errorf("%t, %t: %q, %v", c.then, c.now, lines, err)
		}
	}
}

// A token that cannot be looked at is told of with the reason, and the others
// are compared; one that changes too much at work ends the comparison.
func TestCompareFails(t *testing.T) {
	tokens := func() *memory { return newMemory(madeToken("one", 3, 50), madeToken("two", 3, 50)) }
	b := archive(t, tokens(), archiveOptions(), "one", "two")
	for _, step := range []string{"find one", "open one", "list one"} {
		m := tokens()
		m.fails = map[string]error{step: errDisk}
		lines, err := compareAll(stream(b), m)
		if err != nil || !slices.Equal(lines, []string{"one the disk fails", "two"}) || m.open != 0 {
			t.Errorf("%s: %q, %v, %d tokens left open", step, lines, err, m.open)
		}
	}
	m := tokens()
	m.fails = map[string]error{"find one": fs.ErrNotExist}
	if lines, err := compareAll(stream(b), m); err != nil || !slices.Equal(lines, []string{"one " + ErrNoToken.Error(), "two"}) {
		t.Errorf("gone: %q, %v", lines, err)
	}
	m = tokens()
	m.tokens["one"].failAt = "00000001"
	if lines, err := compareAll(stream(b), m); err == nil || err.Error() != "one/00000001: made to fail" || len(lines) > 0 || m.open != 0 {
		t.Errorf("an entry: %q, %v, %d tokens left open", lines, err, m.open)
	}
	m = tokens()
	m.fails = map[string]error{"recheck one": errDisk}
	if lines, err := compareAll(stream(b), m); !errors.Is(err, errDisk) || slices.Contains(lines, "one") || m.open != 0 {
		t.Errorf("the last look: %q, %v, %d tokens left open", lines, err, m.open)
	}
	lines, err := compareAll(stream(b), tokens(), func(o *CompareOptions) {
		o.Backend = func(string) (backends.Backend, error) { return nil, errors.New("a token of no known kind") }
	})
	if want := []string{"one a token of no known kind", "two a token of no known kind"}; err != nil || !slices.Equal(lines, want) {
		t.Errorf("an unknown kind: %q, %v", lines, err)
	}
}

func TestCompareWantsARestoreKey(t *testing.T) {
	m := newMemory(madeToken("one", 3, 50))
	b := archive(t, m, archiveOptions(), "one")
	lines, err := compareAll(stream(b), m, func(o *CompareOptions) { o.OpenOptions = opening(verifyKey) })
	if !errors.Is(err, format.ErrNoKey) || !strings.Contains(err.Error(), "comparing needs a restore key") || lines != nil {
		t.Errorf("%q, %v", lines, err)
	}
}

// A damaged archive is refused as by verify, and no token is left open.
func TestCompareDamagedArchive(t *testing.T) {
	m := newMemory(madeToken("one", 12, 60), madeToken("two", 1, 10))
	b := archive(t, m, archiveOptions(), "one", "two")
	everywhere(t, len(b), func(i int) error {
		m := newMemory(madeToken("one", 12, 60), madeToken("two", 1, 10))
		for _, bad := range [][]byte{b[:i], append(append(bytes.Clone(b[:i]), b[i]^1), b[i+1:]...)} {
			lines, err := compareAll(stream(bad), m)
			if err := refused(err); err != nil {
				return err
			}
			for _, l := range lines {
				if l != "one" && l != "two" {
					return fmt.Errorf("a difference that is none: %q", lines)
				}
			}
		}
		if m.open != 0 {
			return fmt.Errorf("%d tokens left open", m.open)
		}
		return nil
	})
}

// Differences kept until a token's end are bounded; the rest is counted.
func TestCompareManyDifferences(t *testing.T) {
	b := archive(t, newMemory(madeToken("one", maxDiffering+10, 1)), archiveOptions(), "one")
	lines, err := compareAll(stream(b), newMemory(madeToken("one", 5, 1)))
	if err != nil || len(lines) != maxDiffering+1 || lines[0] != "one and 5 more" {
		t.Errorf("%d lines, the first %.60q, %v", len(lines), lines, err)
	}
}

// related is a memory whose tokens can be told apart.
type related struct {
	*memory
	learned []string
	closed  int
	err     error
}

func (m *related) Compare(context.Context, backends.Location, *format.Token) (backends.Comparison, error) {
	if m.err != nil {
		return nil, m.err
	}
	return m, nil
}

func (m *related) Learn(r *format.Record) {
	m.learned = append(m.learned, fmt.Sprintf("%s %d", r.Name, len(r.Data)))
}
func (m *related) Words() []string { return []string{"the same", "as ever"} }
func (m *related) Other() bool     { return m.err == nil }
func (m *related) Close() error    { m.closed++; return nil }

// The comparison learns every entry, also one that is not selected and one that
// was read twice.
func TestCompareWords(t *testing.T) {
	tok := madeToken("one", 2, 50)
	tok.changed = []backends.Entry{{Kind: format.KindObject, Name: format.Name("00000001"), Place: 2}}
	tok.again = map[string][]byte{"00000001": []byte("new")}
	b := archive(t, newMemory(tok), archiveOptions(), "one")
	for _, c := range []struct{ err, want string }{
		{"", "[the same as ever]"},
		{"no such file", "[whether the PINs are those of the archive cannot be told: no such file]"},
	} {
		m := &related{memory: newMemory(madeToken("one", 2, 50))}
		if c.err != "" {
			m.err = errors.New(c.err)
		}
		var words []string
		_, err := compareAll(stream(b), m.memory, func(o *CompareOptions) {
			o.Backend = func(string) (backends.Backend, error) { return m, nil }
			o.Select = func(_ *format.Token, r *format.Record) bool { return r.Name.String() == "00000000" }
			o.Compared = func(c *Compared) error {
				words = c.Words
				if c.Other != (m.err == nil) {
					t.Errorf("another token: %t", c.Other)
				}
				return nil
			}
		})
		if err != nil || fmt.Sprint(words) != c.want {
			t.Errorf("%q: %q, %v", c.err, words, err)
		}
		if want := []string{"NVTOK.DAT 12", "00000000 50", "00000001 51", "00000001 3"}; c.err == "" && (!reflect.DeepEqual(m.learned, want) || m.closed != 1) {
			t.Errorf("learned %q, closed %d times", m.learned, m.closed)
		}
	}
}

// Every vector is judged as by verify, with tokens there that the hostile ones
// name; none is left open.
func TestCompareVectors(t *testing.T) {
	f := readVectors(t)
	for _, v := range f.Vectors {
		b := readVector(t, vectorDir, v.Name)
		for _, workers := range []int{1, 3} {
			m := newMemory(madeToken("one", 12, 60), madeToken("two", 1, 10), madeToken("three", 3, 10))
			_, err := compareAll(stream(b), m, func(o *CompareOptions) {
				o.OpenOptions = f.options(t, &v, "restore", workers)
			})
			if got := className(err); got != v.Expect.Stream || m.open != 0 {
				t.Errorf("%s: %s, want %s; %d tokens left open: %v", v.Name, got, v.Expect.Stream, m.open, err)
			}
		}
	}
}

// A comparison that is stopped at any moment ends with the reason and leaves no
// token open.
func TestCompareStoppedAnywhere(t *testing.T) {
	m := newMemory(madeToken("one", 700, 30), madeToken("two", 400, 20))
	b := archive(t, m, archiveOptions(), "one", "two")
	for n := range 20 {
		ctx, step := stopAfter(t, n*50)
		o := CompareOptions{
			OpenOptions: opening(restoreKey),
			Backend:     func(string) (backends.Backend, error) { return m, nil },
			Place:       func(*format.Token) Place { return Place{Wanted: true, Whole: true} },
			Select:      func(*format.Token, *format.Record) bool { step(); return true },
			Compared:    func(*Compared) error { return nil },
		}
		if _, err := Compare(ctx, stream(b), o); !errors.Is(err, context.Canceled) || m.open != 0 {
			t.Fatalf("after %d steps: %v, %d tokens left open", n*50, err, m.open)
		}
	}
}
