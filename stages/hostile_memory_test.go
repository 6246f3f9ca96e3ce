package stages

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
)

// greedy are vectors that say of something that it is large.
var greedy = regexp.MustCompile(`over|long|large|bomb|window|dictionary|segment|huge|count|length|65-slots|cost|17-stanzas`)

// tellPeak is a variable of the environment that has a run of the tests say what
// it took at most. What the kernel counts for a child begins with what its
// parent took, which after all other tests is more than any archive takes.
const tellPeak = "TOKAR_TEST_PEAK"

var peakLine = regexp.MustCompile(`(?m)^VmHWM:\s+(\d+) kB$`)

// TestHostileMemory reads hostile archives of 1 MiB at most, each in a process of
// its own, which is this test binary: none takes 64 MiB more than one takes that
// reads nothing.
func TestHostileMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("starts this test binary again")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	used := func(name string) int64 { // KiB
		t.Helper()
		cmd := exec.Command(self, "-test.run", "^TestVectors$/^"+regexp.QuoteMeta(name)+"$")
		cmd.Env = append(os.Environ(), tellPeak+"=1")
		out, err := cmd.CombinedOutput()
		peak := peakLine.FindSubmatch(out)
		if err != nil || peak == nil {
			t.Fatalf("%s: %v: %s", name, err, out)
		}
		kib, err := strconv.ParseInt(string(peak[1]), 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		return kib
	}
	idle := used("none of this name")
	read, worst := 0, int64(0)
	for i, v := range readVectors(t).Vectors {
		info, err := os.Stat(filepath.Join(vectorDir, v.Name+".tokar"))
		if err != nil {
			t.Fatal(err)
		}
		if v.Expect.Stream == "ok" || info.Size() > 1<<20 || !*long && i%16 != 0 && !greedy.MatchString(v.Name) {
			continue
		}
		read++
		more := used(v.Name) - idle
		worst = max(worst, more)
		if more > 64<<10 {
			t.Errorf("%s: %d KiB more than idle", v.Name, more)
		}
	}
	t.Logf("counted: %d hostile archives read; the most that one took is %d KiB more than idle", read, worst)
	if read < 20 {
		t.Error("too few")
	}
	// That this measures anything: what is large, and good, takes more.
	if large := used("good-parts") - idle; large < 8<<10 {
		t.Errorf("an archive with 9 MiB in one object takes %d KiB only", large)
	}
}
