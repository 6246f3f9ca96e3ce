package main_test

import (
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "tokar"

// layers says which of our packages each package may import. The first
// pattern that matches the importer decides; * stands for one path element.
// Imports run one way: main → commands → stages → backends → format; the
// kinds of token know the contract, and only backends/all knows the kinds.
var layers = []struct {
	pkg string
	may []string
}{
	{".", []string{"commands"}},
	{"commands", []string{"stages", "pipeline", "backends", "backends/all", "format", "format/*"}},
	{"stages", []string{"pipeline", "backends", "format", "format/*"}},
	{"pipeline", nil},
	{"backends", []string{"format", "format/*"}},
	{"backends/all", []string{"backends", "backends/*"}},
	{"backends/swap", []string{"backends"}},
	{"backends/opencryptoki", []string{"backends", "backends/swap", "backends/opencryptoki/*", "format", "format/*"}},
	{"backends/opencryptoki/*", []string{"format", "format/*"}},
	{"backends/*", []string{"backends", "backends/swap", "format", "format/*"}},
	{"format", nil},
	{"format/*", []string{"format", "format/cryptoki"}},
}

// foreign lists packages of others that one place of ours keeps to itself.
var foreign = []struct{ prefix, only string }{
	{"github.com/urfave/cli", "commands"},
}

// banned names say nothing about what a package holds.
var banned = []string{"util", "utils", "common", "helper", "helpers"}

// edge is one import: from and to are directories of this module, or to is
// the path of a foreign package.
type edge struct{ from, to string }

// wrong says what is wrong with an import; empty if nothing is.
func (e edge) wrong() string {
	if own, ok := strings.CutPrefix(e.to, module+"/"); ok {
		for _, l := range layers {
			if !matches(l.pkg, e.from) {
				continue
			}
			if slices.ContainsFunc(l.may, func(p string) bool { return matches(p, own) }) {
				return ""
			}
			return fmt.Sprintf("%s imports %s; it may import of ours only %v", e.from, own, l.may)
		}
		return fmt.Sprintf("%s is in no layer of imports_test.go", e.from)
	}
	for _, f := range foreign {
		if strings.HasPrefix(e.to, f.prefix) && e.from != f.only {
			return fmt.Sprintf("%s imports %s, which only %s may", e.from, e.to, f.only)
		}
	}
	return ""
}

func matches(pattern, name string) bool {
	ok, err := path.Match(pattern, name)
	return ok && err == nil
}

// edges lists the imports of all Go files that are not tests, on whatever
// system they build.
func edges(root string) ([]edge, error) {
	var list []edge
	err := filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			skip := d.Name() == "testdata" || d.Name() == "tools" || d.Name() == "build" || strings.HasPrefix(d.Name(), ".")
			if skip && file != root {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(file, ".go") || strings.HasSuffix(file, "_test.go") {
			return nil
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		from, err := filepath.Rel(root, filepath.Dir(file))
		if err != nil {
			return err
		}
		for _, i := range parsed.Imports {
			to, err := strconv.Unquote(i.Path.Value)
			if err != nil {
				return err
			}
			list = append(list, edge{filepath.ToSlash(from), to})
		}
		return nil
	})
	return list, err
}

func TestImports(t *testing.T) {
	list, err := edges(".")
	if err != nil {
		t.Fatal(err)
	}
	ours := 0
	for _, e := range list {
		if strings.HasPrefix(e.to, module+"/") {
			ours++
		}
		if w := e.wrong(); w != "" {
			t.Error(w)
		}
		if slices.Contains(banned, path.Base(e.from)) {
			t.Errorf("%s: a package's name says what it holds", e.from)
		}
	}
	if ours == 0 {
		t.Error("no import of ours was seen: the check looks at the wrong place")
	}
}

// TestImportRules shows that the check can fail.
func TestImportRules(t *testing.T) {
	for _, c := range []struct {
		from, to string
		good     bool
	}{
		{".", "tokar/commands", true},
		{".", "tokar/format", false},
		{"commands", "tokar/pipeline", true},
		{"commands", "tokar/backends/all", true},
		{"commands", "tokar/backends/opencryptoki", false},
		{"stages", "tokar/pipeline", true},
		{"stages", "tokar/backends", true},
		{"stages", "tokar/backends/opencryptoki", false},
		{"stages", "tokar/commands", false},
		{"pipeline", "tokar/format", false},
		{"pipeline", "tokar/stages", false},
		{"backends", "tokar/backends/opencryptoki", false},
		{"backends", "tokar/format/cryptoki", true},
		{"backends/all", "tokar/backends/opencryptoki", true},
		{"backends/opencryptoki", "tokar/backends", true},
		{"backends/opencryptoki", "tokar/backends/softhsm2", false},
		{"backends/opencryptoki", "tokar/backends/swap", true},
		{"backends/swap", "tokar/format", false},
		{"backends/opencryptoki", "tokar/stages", false},
		{"format", "tokar/format/cryptoki", false},
		{"format", "tokar/backends", false},
		{"format/keyslot", "tokar/format", true},
		{"format/keyslot", "tokar/backends", false},
		{"helpers", "tokar/format", false},
		{"commands", "github.com/urfave/cli/v2", true},
		{"stages", "github.com/urfave/cli/v2", false},
		{"format", "crypto/sha256", true},
	} {
		w := edge{c.from, c.to}.wrong()
		if (w == "") != c.good {
			t.Errorf("%s → %s: %q, want good %v", c.from, c.to, w, c.good)
		}
	}
}
