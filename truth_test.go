package main_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// A source is a token that runs archive while something goes wrong.
type source struct {
	*rig
	token, dir string
	files      map[string][][]byte // by path below dir: what may be archived of each, or nothing if it came later
	archive    string              // where it goes
}

func newSource(t *testing.T, r *rig, token string) *source {
	t.Helper()
	home := quickDir(t)
	s := &source{rig: r, token: token, dir: filepath.Join(home, token), archive: filepath.Join(home, "archive")}
	placeFew(t, token, s.dir)
	s.files = contents(t, s.dir)
	return s
}

// contents reads all files below a directory.
func contents(t *testing.T, dir string) map[string][][]byte {
	t.Helper()
	files := map[string][][]byte{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, _ := filepath.Rel(dir, path)
		text, err := os.ReadFile(path)
		files[rel] = [][]byte{text}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// create archives the token by a plan of tools/fault that counts the calls
// below a directory.
func (s *source) create(t *testing.T, below string, plan []string) outcome {
	t.Helper()
	os.Remove(s.archive)
	return s.run(t, below, plan, "create", "-R", s.key+".pub", "-f", s.archive, s.dir)
}

// lies says what is untrue of what a create told by its exit code. 0: every file
// is in the archive, whole. 1: what is not was named. Else there is no archive,
// and it was told why. It does not believe the run: tokar restores the archive.
func (s *source) lies(t *testing.T, o outcome) error {
	t.Helper()
	home, name := filepath.Split(s.archive)
	entries, err := os.ReadDir(home)
	if err != nil {
		t.Fatal(err)
	}
	there := false
	for _, e := range entries {
		switch {
		case e.Name() == name:
			there = true
		case strings.Contains(e.Name(), ".part-"):
			return fmt.Errorf("%s is left", e.Name())
		}
	}
	switch {
	case o.Exit < 0 || o.Signal != 0:
		return fmt.Errorf("it died of signal %d", o.Signal)
	case o.Exit > 1 && there:
		return errors.New("it failed, and there is an archive")
	case o.Exit > 1 && !strings.HasPrefix(o.stderr, "tokar: "):
		return fmt.Errorf("it failed and said %q", o.stderr)
	case o.Exit > 1:
		return nil
	case !there:
		return errors.New("there is no archive")
	}
	return s.missing(t, s.restored(t), o)
}

// restored extracts the archive and gives the files that came.
func (s *source) restored(t *testing.T) map[string][][]byte {
	t.Helper()
	dir, err := os.MkdirTemp(filepath.Dir(s.archive), "restored")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	var stderr strings.Builder
	cmd := exec.Command(s.tokar, "extract", "-i", s.key, "-f", s.archive, "-C", dir)
	cmd.Stderr = &stderr
	if err := cmd.Run(); cmd.ProcessState == nil || cmd.ProcessState.ExitCode() > 1 {
		t.Errorf("the archive does not restore: %v: %s", err, &stderr)
	}
	return contents(t, filepath.Join(dir, s.token))
}

// missing compares what came back with what was there.
func (s *source) missing(t *testing.T, came map[string][][]byte, o outcome) error {
	t.Helper()
	var unsaid []string
	named := false
	for path, may := range s.files {
		if filepath.Base(path) == "OBJ.IDX" { // restored as it was, or without what did not come
			may = [][]byte{may[0], listed(may[0], came)}
		}
		whole := len(came[path]) > 0 && slices.ContainsFunc(may, func(text []byte) bool { return bytes.Equal(text, came[path][0]) })
		said := strings.Contains(o.stderr, s.token+"/"+filepath.Base(path)+":") || strings.Contains(o.stderr, s.token+"/"+path+":")
		named = named || said
		if !whole && !said {
			unsaid = append(unsaid, path)
		}
		if !whole && o.Exit == 0 {
			return fmt.Errorf("exit code 0, and %s is not archived", path)
		}
	}
	switch {
	case len(unsaid) > 0:
		return fmt.Errorf("not archived and not named: %q", unsaid)
	case o.Exit == 1 && !named && !strings.Contains(o.stderr, "finding"):
		return fmt.Errorf("exit code 1, and nothing was found: %s", o.stderr)
	}
	return nil
}

// listed leaves in an index the objects that came.
func listed(index []byte, came map[string][][]byte) (left []byte) {
	for line := range bytes.Lines(index) {
		if came[filepath.Join("TOK_OBJ", string(bytes.TrimSpace(line)))] != nil {
			left = append(left, line...)
		}
	}
	return left
}

// TestLiesAreFound tells the judge of what is not so.
func TestLiesAreFound(t *testing.T) {
	if testing.Short() {
		t.Skip("runs a tokar of its own, so that -short has nothing new")
	}
	s := newSource(t, newRig(t), "swtok")
	good := s.create(t, s.dir, nil)
	if err := s.lies(t, good); err != nil || good.Exit != 0 {
		t.Fatalf("exit code %d, %v", good.Exit, err)
	}
	judge := func(want string, o outcome) {
		t.Helper()
		if err := s.lies(t, o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", o, err, want)
		}
	}
	judge("nothing was found", outcome{Exit: 1})
	judge("there is an archive", outcome{Exit: 3, stderr: "tokar: failed"})
	judge("signal", outcome{Exit: -1, Signal: 9})
	s.files["TOK_OBJ/ghost"] = [][]byte{[]byte("nobody has it")}
	judge("is not archived", outcome{Exit: 0})
	judge("not named", outcome{Exit: 1, stderr: "tokar: swtok/another: unreadable"})
	part := filepath.Join(filepath.Dir(s.archive), ".archive.part-X")
	if err := os.WriteFile(part, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	judge("is left", outcome{Exit: 3, stderr: "tokar: failed"})
	if err := os.Remove(part); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(s.archive); err != nil {
		t.Fatal(err)
	}
	judge("there is no archive", outcome{Exit: 0})
	judge("it failed and said", outcome{Exit: 3})
}
