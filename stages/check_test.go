package stages

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"tokar/backends"
	"tokar/format"
)

// check gives every entry that a check named, with its findings' kinds.
func check(t *testing.T, m *memory, workers int, names ...string) (seen []string, sum *Summary) {
	t.Helper()
	sum, err := Check(t.Context(), m.inputs(names...), CheckOptions{
		Workers: workers,
		Each: func(tok *format.Token, r *format.Record) {
			line := fmt.Sprint(tok.Name, " ", r.Kind, " ", r.Name)
			for _, f := range r.Details.Findings {
				line += " " + f.Kind
			}
			seen = append(seen, line)
		},
		Problem: func(p Problem) { seen = append(seen, "problem "+p.Location.Name.String()) },
	})
	if err != nil {
		t.Fatal(err)
	}
	return seen, sum
}

func TestCheck(t *testing.T) {
	one, two := madeToken("one", 2, 50), madeToken("two", 1, 50)
	two.entries[1].data = []byte("damaged")
	want := []string{
		"one token one", "one state NVTOK.DAT", "one object 00000000", "one object 00000001",
		"problem none",
		"two token two", "two state NVTOK.DAT", "two object 00000000 damaged",
		"one end-of-token ", "two end-of-token ",
	}
	for _, workers := range []int{1, 3} {
		m := newMemory(one, two)
		seen, sum := check(t, m, workers, "one", "none", "two")
		// What cannot be opened is told with the batch in which it was tried.
		slices.Sort(seen)
		if !slices.Equal(seen, slices.Sorted(slices.Values(want))) {
			t.Errorf("%d workers: %q", workers, seen)
		}
		if sum.Tokens != 2 || sum.Objects != 3 || sum.Damaged != 1 || sum.Findings != 1 || sum.Unstable != nil || m.open != 0 {
			t.Errorf("%d workers: %+v, %d tokens left open", workers, sum, m.open)
		}
	}
}

// A token that changes while it is checked is read again, and said to be
// unstable.
func TestCheckedWhileItChanges(t *testing.T) {
	tok := madeToken("one", 700, 20)
	tok.changed = []backends.Entry{{Kind: format.KindObject, Name: format.Name("00000003"), Place: 4}}
	tok.again = map[string][]byte{"00000003": []byte("damaged")}
	seen, sum := check(t, newMemory(tok), 2, "one")
	if !slices.Equal(sum.Unstable, []string{"one"}) || sum.Damaged != 1 || !slices.Contains(seen, "one object 00000003 damaged") {
		t.Errorf("%+v", sum)
	}
}

func TestCheckFails(t *testing.T) {
	tok := madeToken("one", 3000, 20)
	tok.failAt = "00001500"
	m := newMemory(tok)
	_, err := Check(t.Context(), m.inputs("one"), CheckOptions{})
	if err == nil || err.Error() != "one/00001500: made to fail" || m.open != 0 {
		t.Errorf("%v, %d tokens left open", err, m.open)
	}
	tok.failAt = ""
	ctx, step := stopAfter(t, 2)
	_, err = Check(ctx, m.inputs("one"), CheckOptions{Each: func(*format.Token, *format.Record) { step() }})
	if err == nil || !errors.Is(err, ctx.Err()) {
		t.Errorf("stopped: %v", err)
	}
}
