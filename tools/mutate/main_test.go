package main

import (
	"bytes"
	"go/format"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const code = `package p

func f(a, b int) int {
	if a < b && b != 3 {
		return a + 1
	}
	return b
}
`

// Each place is changed alone, and put back.
func TestMutants(t *testing.T) {
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, "p.go", code, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	text := func() string {
		var b bytes.Buffer
		if err := format.Node(&b, set, file); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	var seen []string
	for _, m := range mutants(file) {
		m.do()
		for i, line := range strings.Split(text(), "\n") {
			if line != strings.Split(code, "\n")[i] {
				seen = append(seen, strings.TrimSpace(line))
			}
		}
		m.undo()
	}
	want := []string{
		"if (a < b && b != 3) && false {", "if a < b || b != 3 {", "if a <= b && b != 3 {", "if a < b && b == 3 {", "if a < b && b != 4 {",
		"return a - 1", "return a + 2",
	}
	if got := strings.Join(seen, "\n"); got != strings.Join(want, "\n") || text() != code {
		t.Errorf("%s\nand in the end:\n%s", got, text())
	}
}

// A test that looks notices a mutant, one that does not does not.
func TestTry(t *testing.T) {
	t.Chdir(t.TempDir())
	for name, text := range map[string]string{
		"go.mod": "module p\n\ngo 1.26\n", "p/p.go": code,
		"p/p_test.go": "package p\n\nimport \"testing\"\n\nfunc TestSum(t *testing.T) {\n\tif f(1, 2) != 2 {\n\t\tt.Fatal()\n\t}\n}\n\nfunc TestNothing(t *testing.T) {}\n",
	} {
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	changed := []byte(strings.Replace(code, "a + 1", "a - 1", 1))
	for run, want := range map[string]bool{"TestSum": true, "TestNothing": false} {
		if builds, noticed := try("p/p.go", changed, []string{"-run", run, "./p"}); !builds || noticed != want {
			t.Errorf("%s: %v, %v", run, builds, noticed)
		}
	}
	if builds, _ := try("p/p.go", []byte("package p\n\nfunc f() {"), []string{"./p"}); builds {
		t.Error("what is no program builds")
	}
}
