package main

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestJob(t *testing.T) {
	b := &bench{dir: t.TempDir()}
	j := job{steps: []pipeline{{{"echo", "one"}, {"tr", "a-z", "A-Z"}, {"cat"}}, {{"echo", "two"}}}, out: "out"}
	if want := "echo one | tr a-z A-Z | cat && echo two"; j.String() != want {
		t.Errorf("%q, want %q", j, want)
	}
	c, err := b.do(j)
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := os.ReadFile(filepath.Join(b.dir, "out")); string(got) != "ONE\ntwo\n" {
		t.Errorf("wrote %q", got)
	}
	if c.wall <= 0 || c.cpu <= 0 || c.peak <= 0 {
		t.Errorf("cost %+v", c)
	}
}

// TestJobFails: a failure anywhere in a pipeline is one of the job, and
// nothing of it is left running.
func TestJobFails(t *testing.T) {
	b := &bench{dir: t.TempDir()}
	for _, p := range []pipeline{
		{{"false"}, {"cat"}}, {{"cat", "/dev/null"}, {"false"}, {"cat"}}, {{"sleep", "60"}, {"tokar-no-such-program"}}, {{"false"}, {"sleep", "60"}},
	} {
		start := time.Now()
		if _, err := b.do(job{steps: []pipeline{p, {{"true"}}}}); err == nil {
			t.Errorf("%v is no error", p)
		}
		if time.Since(start) > 30*time.Second {
			t.Errorf("%v: waited for what still ran", p)
		}
	}
}

// TestMeasure: sides take turns at being first, the round that warms up does
// not count, and slow ones take part in a few rounds only.
func TestMeasure(t *testing.T) {
	b := &bench{dir: t.TempDir(), slowRuns: 1}
	if err := os.Mkdir(filepath.Join(b.dir, "tree"), 0o700); err != nil {
		t.Fatal(err)
	}
	order := ""
	by := func(who string) side {
		return side{who: who, slow: who == "s", job: func() (job, error) {
			order += who
			return job{steps: []pipeline{{{"true"}}}}, nil
		}}
	}
	r, err := b.measure(contest{name: "try", rounds: 3, sides: []side{by("y"), by("t"), by("s")}})
	if err != nil {
		t.Fatal(err)
	}
	if order != "yt"+"tys"+"yt"+"ty" {
		t.Errorf("order %s", order)
	}
	if len(r.wall[0]) != 3 || r.wall[0][0] != 1 || len(r.wall[1]) != 3 || len(r.wall[2]) != 1 {
		t.Errorf("ratios %v", r.wall)
	}
}

// TestRefused: what takes a damaged archive for a good one is found out.
func TestRefused(t *testing.T) {
	b := &bench{dir: t.TempDir()}
	for _, name := range []string{"archive", "copy"} {
		if err := os.WriteFile(filepath.Join(b.dir, name), []byte("archive"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.refused("archive", b.always(pipeline{{"cmp", "archive", "copy"}}, "")); err != nil {
		t.Error(err)
	}
	if err := quietly("cmp", filepath.Join(b.dir, "archive"), filepath.Join(b.dir, "copy")); err != nil {
		t.Errorf("left damaged: %v", err)
	}
	if err := b.refused("archive", b.always(pipeline{{"cat", "archive"}}, "")); err == nil {
		t.Error("cat verifies nothing, and passed")
	}
}
