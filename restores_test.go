package main_test

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// restores prepares the kinds of restores that tests disturb, or some of them.
// Those that take the longest, and have most in common with another, are not
// disturbed everywhere.
func restores(t *testing.T, r *rig, only ...string) map[string]*restore {
	t.Helper()
	kinds := map[string]func() *restore{
		"swtok over, not kept": func() *restore { return newRestore(t, r, []string{"swtok"}, older, "--no-keep") },
		"two over":             func() *restore { return newRestore(t, r, []string{"swtok", "newtok"}, older) },
		"swtok over, two renames": func() *restore {
			old := *r
			old.plan = []string{"-without", "renameat2"}
			s := newRestore(t, &old, []string{"swtok"}, older)
			s.gap = true
			return s
		},
	}
	for token, from := range restored {
		one := []string{token}
		kinds[token+" new"] = func() *restore { return newRestore(t, r, one, nil) }
		kinds[token+" over"] = func() *restore { return newRestore(t, r, one, older) }
		kinds[token+" single"] = func() *restore {
			return newRestore(t, r, one, lacking, token+"/"+objectNames(t, from)[1])
		}
	}
	kinds["swtok repaired"] = func() *restore { return newRun(t, r, "repair", []string{"swtok"}, spoilt, "swtok") }
	kinds["newtok repaired, state too"] = func() *restore { return newRun(t, r, "repair", []string{"newtok"}, spoiltWhole, "newtok") }
	kinds["swtok into"] = func() *restore {
		return newRun(t, r, "extract", []string{"swtok"}, another, "--into", "swtok", "swtok/00000000")
	}
	all := map[string]*restore{}
	for name, prepare := range kinds {
		if len(only) > 0 && !slices.Contains(only, name) {
			continue
		}
		s := prepare()
		switch name {
		case "swtok into", "swtok repaired", "newtok repaired, state too", "newtok new", "newtok over", "two over", "swtok over, two renames":
			s.each = 3
		case "newtok single", "swtok over, not kept":
			s.each = 2
		}
		all[name] = s
	}
	return all
}

// restored are the tokens that are restored, by name.
var restored = map[string]string{
	"swtok":  "testdata/opencryptoki/swtok-old-small",
	"newtok": "testdata/opencryptoki/swtok-new-small",
}

// few is how many objects they have left: each has its calls, all alike.
const few = 5

// placeFew puts a token where it is archived from: with few objects.
func placeFew(t *testing.T, token, dir string) {
	t.Helper()
	place(t, restored[token], dir)
	keepObjects(t, dir, func(i int) bool { return i < few })
}

// keepObjects removes the others, and from the index.
func keepObjects(t *testing.T, dir string, keep func(i int) bool) {
	t.Helper()
	index := filepath.Join(dir, "TOK_OBJ", "OBJ.IDX")
	info, err := os.Stat(index)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(index)
	if err != nil {
		t.Fatal(err)
	}
	var left []byte
	for i, line := range bytes.SplitAfter(text, []byte("\n")) {
		switch object := strings.TrimSpace(string(line)); {
		case object == "":
		case keep(i):
			left = append(left, line...)
		default:
			if err := os.Remove(filepath.Join(dir, "TOK_OBJ", object)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := os.WriteFile(index, left, 0); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(index, info.ModTime(), info.ModTime()); err != nil {
		t.Fatal(err)
	}
}

// older makes of a token one that has changed since: it lacks an object, has
// another byte in a second, and a file that the archive has not.
func older(t *testing.T, token, dir string) {
	t.Helper()
	lacking(t, token, dir)
	changed := filepath.Join(dir, "TOK_OBJ", objectNames(t, dir)[2])
	body, err := os.ReadFile(changed)
	if err != nil {
		t.Fatal(err)
	}
	body[len(body)-1] ^= 1
	for path, text := range map[string][]byte{changed: body, filepath.Join(dir, "notes"): []byte("kept beside the token\n")} {
		if err := os.WriteFile(path, text, 0o640); err != nil {
			t.Fatal(err)
		}
	}
}

// lacking makes of a token one that lacks the object which single restores; in
// the old format its name is the one that the library will give out next.
func lacking(t *testing.T, token, dir string) {
	t.Helper()
	names := objectNames(t, dir)
	keepObjects(t, dir, func(i int) bool { return i != 1 })
	nvtok := filepath.Join(dir, "NVTOK.DAT")
	state, err := os.ReadFile(nvtok)
	if err != nil {
		t.Fatal(err)
	}
	if next := []byte("H0000000"); bytes.Contains(state, next) {
		if err := os.WriteFile(nvtok, bytes.Replace(state, next, []byte(names[1]), 1), 0); err != nil {
			t.Fatal(err)
		}
	} else if token == "swtok" {
		t.Fatal("NVTOK.DAT has another next name")
	}
}

// another puts a token of the other format in its place. Only public objects go
// into it in these tests: private ones are others each time.
func another(t *testing.T, _, dir string) {
	t.Helper()
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	placeFew(t, "newtok", dir)
}

// spoilt makes of a token one that is damaged: an object is cut, another gone, and
// OBJ.IDX has a line too many.
func spoilt(t *testing.T, token, dir string) {
	t.Helper()
	names := objectNames(t, dir)
	if err := os.Truncate(filepath.Join(dir, "TOK_OBJ", names[2]), 20); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, "TOK_OBJ", names[1])); err != nil {
		t.Fatal(err)
	}
	index := filepath.Join(dir, "TOK_OBJ", "OBJ.IDX")
	text, err := os.ReadFile(index)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(index, append(text, names[0]+"\n"...), 0); err != nil {
		t.Fatal(err)
	}
}

// spoiltWhole takes a master key file from it too.
func spoiltWhole(t *testing.T, token, dir string) {
	t.Helper()
	spoilt(t, token, dir)
	if err := os.Remove(filepath.Join(dir, "MK_USER")); err != nil {
		t.Fatal(err)
	}
}

// objectNames are those in the index.
func objectNames(t *testing.T, dir string) []string {
	t.Helper()
	index, err := os.ReadFile(filepath.Join(dir, "TOK_OBJ", "OBJ.IDX"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.Fields(string(index))
}
