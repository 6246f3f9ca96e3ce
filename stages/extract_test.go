package stages

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"tokar/backends"
	"tokar/format"
)

// extraction is an extract into a memory, and what was told of it.
type extraction struct {
	ExtractOptions
	m     *memory
	told  []string // notes, findings and entries left out
	there []string // tokens that are said to be in their places
}

func extracting(m *memory) *extraction {
	x := &extraction{m: m}
	tell := func(form string, args ...any) { x.told = append(x.told, fmt.Sprintf(form, args...)) }
	x.ExtractOptions = ExtractOptions{
		OpenOptions: opening(restoreKey),
		Backend:     func(string) (backends.Backend, error) { return m, nil },
		Place:       func(*format.Token) Place { return Place{Dir: "here", Wanted: true, Whole: true} },
		Select:      func(*format.Token, *format.Record) bool { return true },
		Note:        func(t *format.Token, message string) { tell("note %s: %s", t.Name, message) },
		Left:        func(t *format.Token, r *format.Record) { tell("left %s/%s", t.Name, r.Name) },
		Finding:     func(t *format.Token, f format.Finding) { tell("%s %s: %s", f.Kind, t.Name, f.Message) },
		Committed:   func(t *format.Token, dir string) { x.there = append(x.there, dir+"/"+t.Name.String()) },
	}
	x.Workers = 1 // notes come from the workers
	return x
}

func (x *extraction) of(t *testing.T, b []byte) (*Summary, error) {
	t.Helper()
	sum, err := Extract(t.Context(), stream(b), x.ExtractOptions)
	if x.m.stagings != 0 {
		t.Errorf("%d stagings are left", x.m.stagings)
	}
	return sum, err
}

func (x *extraction) restored() []string { return slices.Sorted(maps.Keys(x.m.restored)) }

// A step that fails before all tokens are built leaves every token as it was;
// one that fails after that says which are in their places.
func TestExtractFails(t *testing.T) {
	b := archive(t, newMemory(madeToken("one", 5, 50), madeToken("two", 5, 50), madeToken("zoo", 5, 50)), archiveOptions(), "one", "two", "zoo")
	half := fmt.Errorf("%w: %w", backends.ErrPartway, errDisk)
	for _, c := range []struct {
		step string
		err  error
		want string     // what is said
		part *PartError // of which Err is not compared
		done []string
	}{
		{step: "restore two", want: "the disk fails"},
		{step: "put two", want: "the disk fails"},
		{step: "order two", want: "the disk fails"},
		{step: "finish zoo", want: "zoo: the disk fails"},
		{step: "commit one", want: "one: the disk fails"},
		{step: "commit one", err: half, want: "one: " + half.Error(), part: &PartError{Half: "one"}},
		{step: "commit two", want: "two: the disk fails", part: &PartError{Done: []string{"one"}}, done: []string{"one"}},
		{step: "commit zoo", err: half, want: "zoo: " + half.Error(), part: &PartError{Done: []string{"one", "two"}, Half: "zoo"}, done: []string{"one", "two"}},
	} {
		m := newMemory()
		m.fails = map[string]error{c.step: errDisk}
		if c.err != nil {
			m.fails[c.step] = c.err
		}
		x := extracting(m)
		_, err := x.of(t, b)
		if !errors.Is(err, errDisk) || err.Error() != c.want {
			t.Errorf("%s: %v, want %q", c.step, err, c.want)
		}
		var part *PartError
		if errors.As(err, &part) {
			part = &PartError{Done: part.Done, Half: part.Half}
		}
		if !reflect.DeepEqual(part, c.part) {
			t.Errorf("%s: %+v, want %+v", c.step, part, c.part)
		}
		var dirs []string
		for _, name := range c.done {
			dirs = append(dirs, "here/"+name)
		}
		if !slices.Equal(x.restored(), c.done) || !slices.Equal(x.there, dirs) {
			t.Errorf("%s: restored %q, and says %q", c.step, x.restored(), x.there)
		}
	}
}

// What cannot be cleared away is a finding of a restore that went well, and
// stands beside the reason of one that did not.
func TestExtractLeavesBehind(t *testing.T) {
	b := archive(t, newMemory(madeToken("one", 5, 50), madeToken("two", 5, 50)), archiveOptions(), "one", "two")
	busy := errors.New("a busy directory")
	m := newMemory()
	m.fails = map[string]error{"close one": busy}
	x := extracting(m)
	x.Note = nil
	sum, err := x.of(t, b)
	if err != nil || !slices.Equal(x.restored(), []string{"one", "two"}) || sum.Findings != 1 {
		t.Errorf("%v, restored %q, %d findings", err, x.restored(), sum.Findings)
	}
	if want := []string{"left-behind one: a busy directory; the next restore of this token removes it"}; !slices.Equal(x.told, want) {
		t.Errorf("told %q", x.told)
	}
	m = newMemory()
	m.fails = map[string]error{"close one": busy, "finish two": errDisk}
	x = extracting(m)
	if _, err := x.of(t, b); !errors.Is(err, errDisk) || !errors.Is(err, busy) || len(m.restored) != 0 {
		t.Errorf("%v, restored %q", err, x.restored())
	}
}

// A trial builds every token, tells what building found, and puts none in its
// place.
func TestExtractDryRun(t *testing.T) {
	b := archive(t, newMemory(madeToken("one", 5, 50), madeToken("two", 5, 50)), archiveOptions(), "one", "two")
	m := newMemory()
	m.says = map[string][]format.Finding{
		"finish two": {{Kind: "owner", Message: "nobody has the number 7"}},
		"commit two": {{Kind: "mode", Message: "not said"}},
	}
	x := extracting(m)
	x.Existing.DryRun = true
	sum, err := x.of(t, b)
	if err != nil || len(m.restored) != 0 || len(x.there) != 0 || sum.Findings != 1 {
		t.Errorf("%v, restored %q, says %q, %d findings", err, x.restored(), x.there, sum.Findings)
	}
	want := []string{"note one: restored to one", "note two: restored to two", "owner two: nobody has the number 7"}
	if !slices.Equal(x.told, want) {
		t.Errorf("told %q", x.told)
	}
	x = extracting(m)
	if sum, err = x.of(t, b); err != nil || sum.Findings != 2 || !slices.Contains(x.told, "mode two: not said") {
		t.Errorf("in earnest: %v, %d findings, told %q", err, sum.Findings, x.told)
	}
}

// A token goes under the name that its place has; the archive's own is the one
// in all that is told. What nobody wants is not even begun.
func TestExtractUnderAnotherName(t *testing.T) {
	one, two := madeToken("one", 3, 50), madeToken("two", 5, 50)
	one.entries[2].data = []byte("damaged")
	o := archiveOptions()
	o.Problem = func(Problem) {}
	b := archive(t, newMemory(one, two), o, "one", "two")
	m := newMemory()
	m.fails = map[string]error{"restore two": errDisk}
	x := extracting(m)
	x.Place = func(t *format.Token) Place {
		return Place{Dir: "there", Name: format.Name("copy"), Wanted: t.Name.String() == "one", Whole: true}
	}
	sum, err := x.of(t, b)
	if err != nil || !slices.Equal(x.restored(), []string{"copy"}) || !slices.Equal(x.there, []string{"there/one"}) {
		t.Errorf("%v, restored %q, says %q", err, x.restored(), x.there)
	}
	if got := slices.Sorted(maps.Keys(m.restored["copy"])); !slices.Equal(got, []string{"00000000", "00000002", "NVTOK.DAT"}) {
		t.Errorf("restored %q", got)
	}
	if want := []string{"note one: restored to copy", "left one/00000001"}; sum.Left != 1 || !slices.Equal(x.told, want) {
		t.Errorf("%d left, told %q", sum.Left, x.told)
	}
}

// A token of which a pattern means no entry is left alone, and what was begun
// for it is cleared away; if that cannot be, nothing is put in place.
func TestExtractOfNothing(t *testing.T) {
	b := archive(t, newMemory(madeToken("one", 5, 50), madeToken("two", 5, 50)), archiveOptions(), "one", "two")
	for _, c := range []struct {
		fails error
		want  []string
	}{{nil, []string{"two"}}, {errDisk, nil}} {
		m := newMemory()
		m.fails = map[string]error{"close one": c.fails}
		x := extracting(m)
		x.Place = func(*format.Token) Place { return Place{Wanted: true} }
		x.Select = func(t *format.Token, r *format.Record) bool {
			return t.Name.String() == "two" && r.Name.String() == "00000001"
		}
		if _, err := x.of(t, b); !errors.Is(err, c.fails) || !slices.Equal(x.restored(), c.want) {
			t.Errorf("%v, restored %q, want %q", err, x.restored(), c.want)
		}
		if c.fails == nil && len(m.restored["two"]) != 1 {
			t.Errorf("restored %d entries", len(m.restored["two"]))
		}
	}
}

// With a verifier's key nothing is begun, and the answer says what is needed.
func TestRestoringWantsARestoreKey(t *testing.T) {
	b := archive(t, newMemory(madeToken("one", 5, 50)), archiveOptions(), "one")
	m := newMemory()
	x := extracting(m)
	x.OpenOptions = opening(verifyKey)
	x.Place = func(*format.Token) Place { t.Error("asks for a place"); return Place{} }
	if _, err := x.of(t, b); !errors.Is(err, format.ErrNoKey) || !strings.Contains(err.Error(), "restoring needs a restore key") {
		t.Errorf("extract: %v", err)
	}
	r, err := rescueFrom(t.Context(), bytes.NewReader(b), len(b), verifyKey, nil)
	if !errors.Is(err, format.ErrNoKey) || !strings.Contains(err.Error(), "salvage needs a restore key") || len(r.entries) != 0 || r.Restores {
		t.Errorf("salvage: %v, %+v", err, r)
	}
}

// Tokens of a kind that this tokar does not know stop a restore before
// anything is built.
func TestExtractOfAnUnknownKind(t *testing.T) {
	b := archive(t, newMemory(madeToken("one", 5, 50), madeToken("two", 5, 50)), archiveOptions(), "one", "two")
	m := newMemory()
	x := extracting(m)
	unknown := errors.New("a token of no known kind")
	x.Backend = func(string) (backends.Backend, error) { return nil, unknown }
	if _, err := x.of(t, b); !errors.Is(err, unknown) || err.Error() != "one: a token of no known kind" || len(m.restored) != 0 {
		t.Errorf("%v, restored %q", err, x.restored())
	}
}

// blind is a memory that finds no fault with any entry.
type blind struct{ *memory }

func (blind) Validator(*format.Token) (backends.Validator, error) { return blind{}, nil }

func (blind) Validate(*format.Record) (bool, []format.Finding) { return true, nil }

// An entry that is unsound and not marked as that was not archived by a tokar
// that looked: it is left out as a marked one is, and a finding says why.
func TestExtractOfUnmarkedDamage(t *testing.T) {
	one := madeToken("one", 3, 50)
	one.entries[2].data = []byte("damaged")
	in := newMemory(one).inputs("one")
	in[0].Backend = blind{newMemory(one)}
	var out bytes.Buffer
	if _, err := Archive(t.Context(), &out, in, archiveOptions()); err != nil {
		t.Fatal(err)
	}
	for _, damaged := range []bool{false, true} {
		x := extracting(newMemory())
		x.Damaged = damaged
		said := ""
		x.Each = func(_ *format.Token, r *format.Record) {
			for _, f := range r.Details.Findings {
				said += r.Name.String() + ": " + f.Message
			}
		}
		sum, err := x.of(t, out.Bytes())
		_, there := x.m.restored["one"]["00000001"]
		if err != nil || there != damaged || sum.Damaged != 1 || said != "00000001: made so" {
			t.Errorf("%v, restored %t, %+v, said %q", err, there, sum, said)
		}
	}
}
