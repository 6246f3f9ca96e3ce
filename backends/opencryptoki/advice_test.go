package opencryptoki

import (
	"go/ast"
	"go/parser"
	gotoken "go/token"
	"strconv"
	"strings"
	"testing"

	"tokar/backends"
)

// Every kind of finding comes with what to do about it: a short sentence
// without a full stop, as a part of a line.
func TestAdvice(t *testing.T) {
	file, err := parser.ParseFile(gotoken.NewFileSet(), "finding.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	kinds := 0
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || len(spec.Values) != 1 {
			return true
		}
		if _, named := spec.Values[0].(*ast.SelectorExpr); named { // a kind that the contract names
			kinds++
			return true
		}
		text, ok := spec.Values[0].(*ast.BasicLit)
		if !ok || text.Kind != gotoken.STRING {
			return true
		}
		kind, err := strconv.Unquote(text.Value)
		if err != nil {
			t.Fatal(err)
		}
		kinds++
		switch words := (Backend{}).Advice(kind, backends.Subject{}); {
		case words == "":
			t.Errorf("%s: no advice", kind)
		case strings.Contains(words, backends.PutBack) && !strings.HasSuffix(words, backends.PutBack),
			strings.Contains(words, backends.Repair) && !strings.HasSuffix(words, backends.Repair):
			t.Errorf("%s: a command could not follow %q", kind, words)
		case len(words) > 170 || strings.HasSuffix(words, ".") || strings.ContainsAny(words, "\n\t"):
			t.Errorf("%s: %q", kind, words)
		}
		return true
	})
	if kinds < 30 || kinds != len(advice) {
		t.Errorf("%d kinds of findings, advice on %d", kinds, len(advice))
	}
	if words := (Backend{}).Advice("of another backend", backends.Subject{}); words != "" {
		t.Errorf("%q", words)
	}
}
