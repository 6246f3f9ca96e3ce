package opencryptoki

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"tokar/backends"
	"tokar/format"
)

// Fixtures committed with the repository; PINs and contents: see the JSON
// files beside them.
const fixtureDir = "../../testdata/opencryptoki"

// sharedDirs hold more tokens on the machines of the project.
var sharedDirs = []string{"../../../shared/fixtures/opencryptoki", "../../../shared/fixtures/ep11"}

// fixtures are the directories of all fixture tokens at hand.
func fixtures(t testing.TB) []string {
	t.Helper()
	var tokens []string
	for _, dir := range append([]string{fixtureDir}, sharedDirs...) {
		found, _ := filepath.Glob(filepath.Join(dir, "*", nvtokName))
		for _, f := range found {
			tokens = append(tokens, filepath.Dir(f))
		}
	}
	if len(tokens) == 0 {
		t.Fatal("no fixture tokens")
	}
	return tokens
}

// copyToken copies a fixture to a place where a test may change it, with modes
// as openCryptoki sets them.
func copyToken(t testing.TB, from, to string) string {
	t.Helper()
	check(t, os.CopyFS(to, os.DirFS(from)))
	check(t, filepath.WalkDir(to, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			return os.Chmod(path, 0o770)
		}
		return os.Chmod(path, 0o660)
	}))
	return to
}

// readToken reads every entry of the only token at path, validated.
func readToken(t testing.TB, path string) (*format.Token, []*format.Record) {
	t.Helper()
	tok := openToken(t, path)
	defer tok.Close()
	v, err := Backend{}.Validator(tok.Info())
	check(t, err)
	var records []*format.Record
	for e, err := range tok.Entries(context.Background()) {
		check(t, err)
		r := newRecord(&e)
		check(t, tok.Read(context.Background(), &e, r, make([]byte, 2000)))
		if !r.Absent() {
			_, found := v.Validate(r)
			r.Details.Findings = append(r.Details.Findings, found...)
		}
		records = append(records, r)
	}
	return tok.Info(), records
}

func openToken(t testing.TB, path string) backends.Token {
	t.Helper()
	found, err := Backend{}.Find(context.Background(), path)
	check(t, err)
	if len(found.Tokens) == 0 {
		t.Fatalf("%s: no token", path)
	}
	tok, err := Backend{}.Open(context.Background(), found.Tokens[0])
	check(t, err)
	return tok
}

func newRecord(e *backends.Entry) *format.Record {
	r := &format.Record{}
	r.Reset()
	r.Kind, r.Flags, r.Name = e.Kind, e.Flags, e.Name
	r.Details.Findings = append(r.Details.Findings, e.Findings...)
	return r
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// asNobody has the file system take the test for nobody's, until it ends: root
// may look and write everywhere.
func asNobody(t *testing.T) {
	if os.Geteuid() != 0 {
		return
	}
	runtime.LockOSThread()
	check(t, unix.Setfsuid(65534))
	t.Cleanup(func() {
		check(t, unix.Setfsuid(0))
		runtime.UnlockOSThread()
	})
}
