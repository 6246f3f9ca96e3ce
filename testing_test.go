package main_test

import (
	"cmp"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestTestingPage: docs/TESTING.md names tests that are there.
func TestTestingPage(t *testing.T) {
	page, err := os.ReadFile("docs/TESTING.md")
	if err != nil {
		t.Fatal(err)
	}
	var code []byte
	for _, pattern := range []string{"*_test.go", "*/*_test.go", "*/*/*_test.go"} {
		files, _ := filepath.Glob(pattern)
		for _, f := range files {
			text, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			code = append(code, text...)
		}
	}
	names := regexp.MustCompile("`((?:Test|Fuzz)\\w+)`").FindAllStringSubmatch(string(page), -1)
	for _, name := range names {
		if !strings.Contains(string(code), "\nfunc "+name[1]+"(") {
			t.Errorf("%s is named and not there", name[1])
		}
	}
	if len(names) < 50 {
		t.Errorf("%d tests named only", len(names))
	}
}

// least are the versions below which something is known to be wrong: the
// language's os.Root (CVE-2026-39822), and what xz allocates for a header
// (CVE-2025-58058).
var least = map[string]string{"go": "1.26.5", "github.com/ulikunitz/xz": "0.5.15"}

func TestVersions(t *testing.T) {
	text, err := os.ReadFile("go.mod")
	if err != nil {
		t.Fatal(err)
	}
	for module, version := range least {
		found := regexp.MustCompile(`(?m)^\s*` + regexp.QuoteMeta(module) + ` v?([0-9.]+)$`).FindSubmatch(text)
		if found == nil || before(string(found[1]), version) {
			t.Errorf("%s: %q, wanted %s or later", module, found, version)
		}
	}
	for _, file := range []string{"go.mod", "tools/go.mod"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), "replace ") {
			t.Errorf("%s replaces a module", file)
		}
		if _, err := os.Stat(strings.TrimSuffix(file, "mod") + "sum"); err != nil {
			t.Error(err)
		}
	}
	if before("1.26.5", "1.26.5") || !before("0.5.9", "0.5.15") || before("2.0", "1.9.9") {
		t.Error("versions are compared wrongly")
	}
}

// before compares versions number by number.
func before(a, b string) bool {
	numbers := func(v string) (all []int) {
		for _, part := range strings.Split(v, ".") {
			n, _ := strconv.Atoi(part)
			all = append(all, n)
		}
		return all
	}
	return slices.CompareFunc(numbers(a), numbers(b), cmp.Compare[int]) < 0
}
