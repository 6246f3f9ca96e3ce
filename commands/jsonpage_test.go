package commands

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// docs/JSON.md tells every type of line and every field of it, and nothing
// else.
func TestJSONPage(t *testing.T) {
	written, told := jsonLinesInSource(t), jsonLinesOnPage(t)
	for name, fields := range written {
		if !slices.Equal(fields, told[name]) {
			t.Errorf("%s has the fields\n%q, docs/JSON.md tells\n%q", name, fields, told[name])
		}
	}
	for name := range told {
		if written[name] == nil {
			t.Errorf("docs/JSON.md tells of %s, which nobody writes", name)
		}
	}
}

// jsonLinesOnPage reads the headings and the first columns of their tables.
func jsonLinesOnPage(t *testing.T) map[string][]string {
	page, err := os.ReadFile("../docs/JSON.md")
	must(t, err)
	told := map[string][]string{}
	for _, section := range strings.Split(string(page), "\n## ")[1:] {
		name, text, _ := strings.Cut(section, "\n")
		for _, row := range regexp.MustCompile("(?m)^\\| (`[^|]*) \\|").FindAllStringSubmatch(text, -1) {
			for _, field := range regexp.MustCompile("`([^`]*)`").FindAllStringSubmatch(row[1], -1) {
				told[name] = append(told[name], field[1])
			}
		}
		slices.Sort(told[name])
	}
	return told
}

// jsonLinesInSource finds the structs that are lines, by their first part, the
// type that each gives itself, and their fields.
func jsonLinesInSource(t *testing.T) map[string][]string {
	structs := map[string]*ast.StructType{}
	types := map[string]string{} // of each struct
	files, err := filepath.Glob("*.go")
	must(t, err)
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		must(t, err)
		for _, d := range file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok {
				noteTypes(f, types)
				continue
			}
			ast.Inspect(d, func(n ast.Node) bool {
				if s, ok := n.(*ast.TypeSpec); ok {
					if st, ok := s.Type.(*ast.StructType); ok {
						structs[s.Name.Name] = st
					}
				}
				return true
			})
		}
	}
	lines := map[string][]string{}
	for name, st := range structs {
		if first := st.Fields.List; len(first) > 0 && first[0].Names == nil && nameIn(first[0].Type) == "jsonHead" {
			fields := jsonFields(st, structs)
			lines[types[name]] = slices.Sorted(maps.Keys(fields))
		}
	}
	return lines
}

// noteTypes notes which struct a function gives which type: both stand in it.
func noteTypes(f *ast.FuncDecl, types map[string]string) {
	kind, of := "", []string{}
	ast.Inspect(f, func(n ast.Node) bool {
		if l, ok := n.(*ast.CompositeLit); ok {
			name := nameIn(l.Type)
			if name == "jsonHead" {
				kind = strings.Trim(l.Elts[0].(*ast.BasicLit).Value, `"`)
			} else if strings.HasPrefix(name, "json") {
				of = append(of, name)
			}
		}
		return true
	})
	for _, name := range of {
		if kind != "" {
			types[name] = kind
		}
	}
}

func nameIn(e ast.Expr) string {
	if id, ok := e.(*ast.Ident); ok {
		return id.Name
	}
	return ""
}

// jsonFields are the tags of a struct and of those in it, without type and v.
func jsonFields(st *ast.StructType, structs map[string]*ast.StructType) map[string]bool {
	fields := map[string]bool{}
	for _, f := range st.Fields.List {
		switch name := nameIn(f.Type); {
		case f.Names == nil && name != "jsonHead":
			maps.Copy(fields, jsonFields(structs[name], structs))
		case f.Tag != nil:
			tag, _, _ := strings.Cut(reflect.StructTag(strings.Trim(f.Tag.Value, "`")).Get("json"), ",")
			fields[tag] = true
		}
	}
	return fields
}
