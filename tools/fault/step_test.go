//go:build linux && amd64

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What a run did is told call by call: what was written and where, and of a
// sync what had happened before it began.
func TestTrace(t *testing.T) {
	var steps []Step
	dir, r := trace(t, Plan{Trace: func(s Step) { steps = append(steps, s) }}, "replace")
	if r.Exit != 0 || len(steps) != fileCount*callsEach {
		t.Fatalf("%+v, %d steps", r, len(steps))
	}
	info, err := os.Stat(filepath.Join(dir, "file0"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatal(info, err)
	}
	var seen []string
	wrote := -1
	for i, s := range steps {
		if s.Files[0] != filepath.Join(dir, "file0.new") {
			continue
		}
		seen = append(seen, s.Call)
		switch s.Call {
		case "openat":
			if s.Mode&0o777 != 0o600 || s.Inode == 0 {
				t.Errorf("%+v", s)
			}
		case "write":
			wrote = i
			if string(s.Data) != "new" || s.Offset != 0 {
				t.Errorf("%+v", s)
			}
		case "fsync":
			if s.After <= wrote || s.After > i {
				t.Errorf("step %d came after %d, and the write is step %d", i, s.After, wrote)
			}
		}
	}
	if got := strings.Join(seen, " "); got != "openat write fsync close renameat" {
		t.Error(got)
	}
	steps = nil
	if _, r := trace(t, Plan{At: 1, Errno: "EIO", Ever: true, Trace: func(s Step) { steps = append(steps, s) }}, "careless"); r.Exit != 0 || len(steps) > 0 {
		t.Errorf("calls that failed are told: %+v, %+v", r, steps)
	}
}

// Reads and writes move as many bytes as they may, and say so.
func TestShort(t *testing.T) {
	p := Plan{Calls: []string{"read", "write"}, At: 1, Ever: true, Short: 1}
	if dir, r := trace(t, p, "once"); r.Exit != 0 || r.Seen != 2 || read(dir, "file1") != "o" {
		t.Errorf("%+v, %q", r, read(dir, "file1"))
	}
	if dir, r := trace(t, p, "patient"); r.Exit != 0 || r.Seen != 7 || read(dir, "file1") != "old" {
		t.Errorf("%+v, %q", r, read(dir, "file1"))
	}
}

// A program that asks again when it was interrupted gets through.
func TestInterrupted(t *testing.T) {
	p := Plan{Calls: []string{"read", "write"}, At: 1, Ever: true, Errno: "EINTR"}
	if dir, r := trace(t, p, "patient"); r.Exit != 0 || r.Seen != 6 || read(dir, "file1") != "old" {
		t.Errorf("%+v, %q", r, read(dir, "file1"))
	}
	if _, r := trace(t, p, "once"); r.Exit == 0 || r.Seen != 1 {
		t.Errorf("%+v", r)
	}
}

func read(dir, name string) string {
	b, _ := os.ReadFile(filepath.Join(dir, name))
	return string(b)
}
