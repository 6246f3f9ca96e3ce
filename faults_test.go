package main_test

import (
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// A fault is what calls give from a point on.
type fault struct {
	calls string
	errno unix.Errno
	ever  bool
	each  int // try every so many points
}

const (
	unlinks = "unlink,unlinkat,rmdir"
	steps   = "write,pwrite64,fsync,fdatasync,syncfs,close,mkdir,mkdirat,link,linkat,rename,renameat,renameat2"
)

// faults are tried on each restore. Of the errors of the second group, few
// points show whether they are treated as those of the first are.
var faults = []fault{
	{steps + "," + unlinks, unix.EIO, false, 1},
	{steps + "," + unlinks, unix.ENOSPC, false, 2},
	{steps, unix.EIO, true, 2},
	{steps + "," + unlinks, unix.ENOSPC, true, 2},

	{steps + "," + unlinks, unix.EDQUOT, false, 7},
	{steps + "," + unlinks, unix.EROFS, true, 7},
	{steps + "," + unlinks, unix.EACCES, false, 7},
	{"openat,open", unix.EMFILE, false, 1},
}

// TestFaults makes calls on the directory that tokar restores into fail. No run
// says then that it is done unless it is; a run that fails leaves what was
// there, and says what it could not remove.
func TestFaults(t *testing.T) {
	if testing.Short() {
		t.Skip("runs a tokar of its own, so that -short has nothing new")
	}
	r := newRig(t)
	for name, s := range restores(t, r) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			all := 0
			for _, f := range faults {
				if *long {
					f.each, s.each = 1, 1
				}
				points, n := 0, 1
				for s.fails(t, f, n) {
					points++
					n += f.each * s.each
				}
				if points < 3 {
					t.Errorf("%s at %d points only", unix.ErrnoName(f.errno), points)
				}
				all += points
			}
			t.Logf("counted: calls failed at %d points", all)
		})
	}
}

// fails has a run's n-th call fail; false if it makes fewer.
func (s *restore) fails(t *testing.T, f fault, n int) bool {
	dir := s.fresh(t)
	defer os.RemoveAll(dir)
	plan := at(n, "-calls", f.calls, "-fail", unix.ErrnoName(f.errno))
	if f.ever {
		plan = append(plan, "-ever")
	}
	o := s.run(t, dir, plan, s.into(dir)...)
	switch {
	case !o.Fired:
		s.done(t, dir, o)
	case o.Exit == 0:
		s.saysDone(t, dir, o)
	default:
		s.saysFailed(t, dir, f, o)
	}
	if _, new := s.stand(t, dir); o.Exit != 0 && (new > 0 || len(s.beside(t, dir)) > 0) && !t.Failed() {
		s.recovers(t, dir)
	}
	if t.Failed() {
		t.Fatalf("%s (ever: %v) at %d, %s %s: exit code %d: %s", unix.ErrnoName(f.errno), f.ever, n, o.Call, o.Path, o.Exit, o.stderr)
	}
	return o.Fired
}

// saysDone judges an exit code 0 though a call failed: only of one can that be
// that does not make the new state, or for which there is another way.
func (s *restore) saysDone(t *testing.T, dir string, o outcome) {
	t.Helper()
	if !slices.Contains(strings.Split("close,openat,"+unlinks, ","), o.Call) {
		t.Error("exit code 0")
	}
	s.done(t, dir, o)
}

// saysFailed judges what a run says that failed, and what it leaves.
func (s *restore) saysFailed(t *testing.T, dir string, f fault, o outcome) {
	t.Helper()
	const left, failed, partway = 1, 3, 4
	old, new := s.stand(t, dir)
	switch {
	case o.Exit == left && old == 0 && strings.Contains(o.stderr, "left-behind"):
	case o.Exit != failed && o.Exit != partway:
		t.Error("another exit code than 3 or 4")
	case o.Exit == failed && s.gap && s.looks(t, dir, s.tokens[0]) == "":
		t.Error("exit code 3, and nothing stands there")
	case o.Exit == failed && new > 0:
		t.Errorf("exit code 3, and %d tokens are new", new)
	case !strings.Contains(o.stderr, f.errno.Error()):
		t.Errorf("the cause is not told: %s", f.errno)
	}
	// What is left lies where a call failed that removes, or looks for what to remove.
	removing := strings.Contains(unlinks+",openat", o.Call) || f.ever && strings.Contains(f.calls, unlinks)
	for _, name := range s.beside(t, dir) {
		switch {
		case o.Exit == partway, o.Exit == left && strings.HasSuffix(name, oldSuffix):
			// the next run has to do with it
		case !removing:
			t.Errorf("%s is left", name)
		case !strings.Contains(o.stderr, name):
			t.Errorf("%s is left and not named", name)
		}
	}
}
