// Mutate changes one thing at a time in a package's code, and looks whether its
// tests notice: a comparison the other way, an operator, a bound by one, a
// condition that never holds. Those that survive are named.
//
//	mutate [-one-in N] [-tests "ARGUMENTS OF go test"] DIRECTORY…
//
// It changes no file: go test gets the changed one as an overlay. Every n-th
// mutant is tried (-one-in, 20); the exit code is 1 if fewer than -least percent
// of them are noticed.
package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"go/ast"
	"go/format"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// mutant is a change of one place; do makes it, undo takes it back.
type mutant struct {
	at       token.Pos
	what     string
	do, undo func()
}

// other is what an operator is changed to.
var other = map[token.Token]token.Token{
	token.EQL: token.NEQ, token.NEQ: token.EQL, token.LSS: token.LEQ, token.LEQ: token.LSS,
	token.GTR: token.GEQ, token.GEQ: token.GTR, token.LAND: token.LOR, token.LOR: token.LAND,
	token.ADD: token.SUB, token.SUB: token.ADD, token.AND: token.OR, token.OR: token.AND,
}

// mutants finds what can be changed in a file.
func mutants(file *ast.File) (all []mutant) {
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.BinaryExpr:
			if was, to := n.Op, other[n.Op]; to != token.ILLEGAL {
				all = append(all, mutant{n.OpPos, fmt.Sprintf("%s becomes %s", was, to), func() { n.Op = to }, func() { n.Op = was }})
			}
		case *ast.BasicLit:
			if v, err := strconv.Atoi(n.Value); n.Kind == token.INT && err == nil {
				was := n.Value
				all = append(all, mutant{n.Pos(), fmt.Sprintf("%d becomes %d", v, v+1), func() { n.Value = strconv.Itoa(v + 1) }, func() { n.Value = was }})
			}
		case *ast.IfStmt:
			was := n.Cond
			never := &ast.BinaryExpr{X: &ast.ParenExpr{X: was}, Op: token.LAND, Y: ast.NewIdent("false")}
			all = append(all, mutant{n.Pos(), "a condition that never holds", func() { n.Cond = never }, func() { n.Cond = was }})
		}
		return true
	})
	return all
}

func main() {
	oneIn := flag.Int("one-in", 20, "")
	least := flag.Int("least", 80, "")
	tests := flag.String("tests", "", "")
	flag.Parse()
	killed, survived, n := 0, 0, 0
	for _, dir := range flag.Args() {
		files, err := filepath.Glob(filepath.Join(dir, "*.go"))
		check(err)
		for _, path := range files {
			if strings.HasSuffix(path, "_test.go") {
				continue
			}
			set := token.NewFileSet()
			file, err := parser.ParseFile(set, path, nil, parser.ParseComments)
			check(err)
			for _, m := range mutants(file) {
				if n++; n%*oneIn != 0 {
					continue
				}
				m.do()
				var text bytes.Buffer
				check(format.Node(&text, set, file))
				m.undo()
				switch builds, noticed := try(path, text.Bytes(), strings.Fields(*tests)); {
				case !builds:
				case noticed:
					killed++
				default:
					survived++
					fmt.Printf("survives: %s: %s\n", set.Position(m.at), m.what)
				}
			}
		}
	}
	tried := killed + survived
	if tried == 0 {
		fmt.Println("no mutants")
		os.Exit(1)
	}
	fmt.Printf("counted: %d of %d mutants tried, %d noticed: %d %%\n", tried, n, killed, 100*killed/tried)
	if 100*killed < *least*tried {
		os.Exit(1)
	}
}

// try runs the tests with another text in a file's place.
func try(path string, text []byte, tests []string) (builds, noticed bool) {
	dir, err := os.MkdirTemp("", "mutant")
	check(err)
	defer os.RemoveAll(dir)
	whole, err := filepath.Abs(path)
	check(err)
	changed, overlay := filepath.Join(dir, "changed.go"), filepath.Join(dir, "overlay.json")
	check(os.WriteFile(changed, text, 0o600))
	list, err := json.Marshal(map[string]map[string]string{"Replace": {whole: changed}})
	check(err)
	check(os.WriteFile(overlay, list, 0o600))
	if exec.Command("go", "build", "-overlay", overlay, "./"+filepath.Dir(path)).Run() != nil {
		return false, false
	}
	args := append([]string{"test", "-overlay", overlay, "-count=1", "-failfast", "-timeout", "2m"}, tests...)
	return true, exec.Command("go", args...).Run() != nil
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "mutate:", err)
		os.Exit(2)
	}
}
