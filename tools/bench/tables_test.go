package main

import (
	"os"
	"strings"
	"testing"
	"time"
)

func TestPut(t *testing.T) {
	text := "before\n<!-- bench: a -->\nold\n<!-- end of a -->\nafter\n<!-- bench: b -->\n<!-- end of b -->\n"
	want := "before\n<!-- bench: a -->\n\nnew\n\n<!-- end of a -->\nafter\n<!-- bench: b -->\n<!-- end of b -->\n"
	for range 2 { // again is the same
		var err error
		if text, err = (section{"a", "new\n"}).put(text); err != nil || text != want {
			t.Fatalf("%v:\n%s", err, text)
		}
	}
	for _, broken := range []string{"", "<!-- bench: a -->\n", "<!-- end of a -->"} {
		if got, err := (section{"a", "new"}).put(broken); err == nil {
			t.Errorf("%q becomes %q", broken, got)
		}
	}
}

// TestPlaces: the document has a place for every section.
func TestPlaces(t *testing.T) {
	b, err := os.ReadFile("../../docs/PERFORMANCE.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"conditions", "targets", "jobs", "scale conditions", "scale targets", "scale", "profile conditions", "profile"} {
		if _, err := (section{name, "new"}).put(string(b)); err != nil {
			t.Error(err)
		}
	}
}

// TestTargets: at the limit is met, above it is not, and what was not measured
// is not passed over.
func TestTargets(t *testing.T) {
	sides := []side{{who: yardstick}, {who: tokar}}
	at := func(name string, tokars float64) result {
		return result{contest: contest{name: name, sides: sides}, wall: [][]float64{{1}, {tokars}}}
	}
	list := []target{{"a", 0.5, "", "one", wallRatio}, {"b", 0.5, "", "two", wallRatio}, {"c", 0.5, "", "three", wallRatio}}
	got := targetLines(list, []result{at("one", 0.5), at("two", 0.501)})
	want := "| a | 0.500 | 0.500 | met |\n| b | 0.500 | 0.501 | **not met** |\n| c | 0.500 | | not measured |\n"
	if got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	memory := result{contest: contest{name: "four", sides: sides}, costs: [][]cost{{{}}, {{peak: 10 << 10}, {peak: 65 << 10}, {peak: 20 << 10}}}}
	if got := targetLines([]target{{"d", 64, " MiB", "four", peak}}, []result{memory}); !strings.Contains(got, "| 65.0 MiB | **not met** |") {
		t.Errorf("one round above the limit: %s", got)
	}
}

func TestMedian(t *testing.T) {
	c := medianCost([]cost{{3 * time.Second, 1, 9}, {1 * time.Second, 2, 7}, {2 * time.Second, 3, 8}})
	if c != (cost{2 * time.Second, 2, 8}) {
		t.Errorf("%+v", c)
	}
}
