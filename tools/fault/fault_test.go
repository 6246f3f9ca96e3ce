//go:build linux && amd64

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// trace runs one of programs in a directory, whose files are old before.
func trace(t *testing.T, p Plan, program string) (dir string, r Report) {
	t.Helper()
	dir = t.TempDir()
	for i := range fileCount {
		if err := os.WriteFile(filepath.Join(dir, "file"+strconv.Itoa(i)), []byte("old"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(dir)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	p.Below = dir
	if p.Calls == nil {
		p.Calls = []string{"changes"}
	}
	r, err = p.Run(self, []string{self}, append(os.Environ(), chosenBy+"="+program), []uintptr{null.Fd(), null.Fd(), null.Fd()})
	if errors.Is(err, syscall.EPERM) {
		t.Skip("ptrace is not permitted here")
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir, r
}

// oldOrNew is what a program that replaces files must keep to, whatever became
// of it: each file is whole; and if it says that it is done, new.
func oldOrNew(dir string, r Report) error {
	var errs []error
	for i := range fileCount {
		name := "file" + strconv.Itoa(i)
		got, err := os.ReadFile(filepath.Join(dir, name))
		switch done := r.Signal == 0 && r.Exit == 0; {
		case err != nil:
			errs = append(errs, err)
		case string(got) != "new" && (done || string(got) != "old"):
			errs = append(errs, fmt.Errorf("%s is %q", name, got))
		}
	}
	return errors.Join(errs...)
}

// everyPoint runs a program stopped at each of its calls, until it is not hit,
// and gives the number of points with what was wrong at them.
func everyPoint(t *testing.T, p Plan, program string) (points int, wrong []error) {
	t.Helper()
	for p.At = 1; ; p.At++ {
		dir, r := trace(t, p, program)
		if err := oldOrNew(dir, r); err != nil {
			wrong = append(wrong, fmt.Errorf("%d, %s %s: %w", p.At, r.Call, r.Path, err))
		}
		if !r.Fired {
			if r.Exit != 0 || r.Seen != p.At-1 {
				t.Errorf("not hit: %+v", r)
			}
			return p.At - 1, wrong
		}
		if p.Kill && (r.Signal != int(syscall.SIGKILL) || r.Seen < p.At) {
			t.Errorf("killed at %d: %+v", p.At, r)
		}
	}
}

// Of all threads' calls each is reached, whatever order they come in.
func TestEveryCallFires(t *testing.T) {
	for _, p := range []Plan{{Kill: true}, {Errno: "EIO"}, {Errno: "ENOSPC", Ever: true}} {
		for range 3 {
			points, wrong := everyPoint(t, p, "replace")
			if points != fileCount*callsEach || len(wrong) > 0 {
				t.Errorf("%+v: %d points, %v", p, points, wrong)
			}
		}
	}
}

// What is done wrongly is seen: the harness can fail.
func TestBrokenIsCaught(t *testing.T) {
	for _, c := range []struct {
		program string
		plan    Plan
	}{
		{"in place", Plan{Kill: true}},
		{"in place", Plan{Errno: "ENOSPC", Ever: true}},
		{"gap", Plan{Kill: true}},
		{"careless", Plan{Errno: "EIO"}},
		{"careless", Plan{Errno: "EIO", Ever: true}},
	} {
		points, wrong := everyPoint(t, c.plan, c.program)
		t.Logf("%s, %+v: wrong at %d of %d points", c.program, c.plan, len(wrong), points)
		if len(wrong) == 0 {
			t.Errorf("%s, %+v: nothing is wrong", c.program, c.plan)
		}
	}
	if points, wrong := everyPoint(t, Plan{Kill: true}, "careless"); points == 0 || len(wrong) > 0 {
		t.Errorf("killed, careless is right: %d, %v", points, wrong)
	}
}

// A close that fails has closed.
func TestCloseHappens(t *testing.T) {
	if _, r := trace(t, Plan{Calls: []string{"close"}, At: 1, Errno: "EIO"}, "closes"); !r.Fired || r.Exit != 0 {
		t.Errorf("%+v", r)
	}
}

func TestSignalsArrive(t *testing.T) {
	for program, want := range map[string]Report{
		"preempted": {},
		"handler":   {},
		"dies":      {Exit: -1, Signal: int(syscall.SIGTERM)},
	} {
		begun := time.Now()
		if _, r := trace(t, Plan{}, program); r != want {
			t.Errorf("%s: %+v", program, r)
		}
		if took := time.Since(begun); took > 5*time.Second {
			t.Errorf("%s took %s", program, took)
		}
	}
}

// A process that hides its memory and descriptors is followed all the same.
func TestHiddenProcess(t *testing.T) {
	var seen []string
	p := Plan{Each: func(_ int, name, path string) { seen = append(seen, name+" "+filepath.Base(path)) }}
	if _, r := trace(t, p, "dumpable"); r.Exit != 0 || !slices.Equal(seen, []string{"fchmodat file0"}) {
		t.Errorf("%+v, %q", r, seen)
	}
}

// Calls count where what they name lies below the directory, however they name
// it; those elsewhere do not.
func TestPlaces(t *testing.T) {
	var seen []string
	p := Plan{Each: func(_ int, name, path string) { seen = append(seen, name+" "+path) }}
	dir, r := trace(t, p, "places")
	want := []string{
		"mkdirat /made", "openat /made/a", "openat /made/b", "utimensat /made/a", "unlinkat /made/a", "write /made/a",
		"renameat2 /made/b /c", "symlinkat /made/link", "close /made", "close /made/a", "close /c",
	}
	for i := range seen {
		seen[i] = strings.ReplaceAll(seen[i], dir, "")
	}
	if r.Exit != 0 || !slices.Equal(seen, want) {
		t.Errorf("exit code %d; seen:\n%q, want\n%q", r.Exit, seen, want)
	}
}

// A command runs before the call, and the call then goes on.
func TestExec(t *testing.T) {
	dir, r := trace(t, Plan{Calls: []string{"renameat"}, At: fileCount, Exec: "cp file*.new kept"}, "replace")
	kept, err := os.ReadFile(filepath.Join(dir, "kept"))
	if err != nil || string(kept) != "new" || r.Exit != 0 || r.Call != "renameat" {
		t.Errorf("%q, %v, %+v", kept, err, r)
	}
	if err := oldOrNew(dir, r); err != nil {
		t.Error(err)
	}
}

// The command writes what became of the program, and gives its exit code.
func TestReport(t *testing.T) {
	for _, c := range []struct {
		args []string
		want Report
	}{
		{[]string{"-calls", "mkdir", "sh", "-c", "exit 3"}, Report{Exit: 3}},
		{[]string{"-calls", "mkdir,mkdirat", "-at", "1", "-kill", "mkdir", "made"}, Report{Seen: 1, Fired: true, Exit: -1, Signal: 9}},
		{[]string{"-calls", "mkdir,mkdirat", "-without", "mkdir,mkdirat", "mkdir", "made"}, Report{Exit: 1}},
		{[]string{"-calls", "mkdir,mkdirat", "-at", "1", "-fail", "EDQUOT", "mkdir", "made"}, Report{Seen: 1, Fired: true, Exit: 1}},
	} {
		t.Chdir(t.TempDir())
		file, err := os.Create("report")
		if err != nil {
			t.Fatal(err)
		}
		number, err := syscall.Dup(int(file.Fd())) // the command closes it
		if err != nil {
			t.Fatal(err)
		}
		r, err := run(append([]string{"-report", strconv.Itoa(number)}, c.args...))
		if errors.Is(err, syscall.EPERM) {
			t.Skip("ptrace is not permitted here")
		}
		var got Report
		text, _ := os.ReadFile("report")
		if err := errors.Join(err, json.Unmarshal(text, &got)); err != nil || got != r {
			t.Fatalf("%q: %v, %+v, %s", c.args, err, r, text)
		}
		if got.Call, got.Path = "", ""; got != c.want {
			t.Errorf("%q: %s", c.args, text)
		}
		if _, err := os.Stat("made"); err == nil {
			t.Errorf("%q: the directory was made", c.args)
		}
	}
}

// What cannot be understood runs nothing.
func TestRefused(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, args := range [][]string{
		{}, {"-at", "x", "touch", "made"}, {"-calls", "write,wriet", "touch", "made"}, {"-fail", "EVIL", "touch", "made"}, {"-without", "wriet", "touch", "made"},
		{"-below", "nowhere", "touch", "made"}, {"-report", "77", "touch", "made"}, {"no-such-program"},
	} {
		if r, err := run(args); err == nil {
			t.Errorf("%q: %+v", args, r)
		}
	}
	if _, err := os.Stat("made"); err == nil {
		t.Error("a program ran")
	}
}

func TestChoose(t *testing.T) {
	const reading, writing = syscall.O_RDONLY, syscall.O_WRONLY
	for names, want := range map[string][2]bool{
		"changes": {false, true}, "reads": {true, false}, "openat": {true, true}, "changes,reads": {true, true}, "reads,write": {true, false},
	} {
		rules, err := choose(strings.Split(names, ","))
		if err != nil {
			t.Fatal(err)
		}
		open := rules[syscall.SYS_OPENAT]
		if got := [2]bool{open.counts([6]uint64{2: reading}), open.counts([6]uint64{2: writing})}; got != want {
			t.Errorf("%s: reading and writing count: %v, want %v", names, got, want)
		}
	}
}
