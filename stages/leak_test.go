package stages

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"testing"
	"time"
)

// TestMain looks, when all tests are through, whether a goroutine still runs
// that one of them began. While fuzzing, Go's own does.
func TestMain(m *testing.M) {
	before := runtime.NumGoroutine()
	code := m.Run()
	if flag.Lookup("test.fuzz").Value.String() != "" {
		os.Exit(code)
	}
	if left := leaked(before, 5*time.Second); left != "" && code == 0 {
		fmt.Fprintf(os.Stderr, "goroutines are left:\n%s\n", left)
		code = 1
	}
	if os.Getenv(tellPeak) != "" {
		status, _ := os.ReadFile("/proc/self/status")
		fmt.Printf("%s\n", peakLine.Find(status))
	}
	os.Exit(code)
}

// leaked gives the stacks of all goroutines if for some time there are more
// than before.
func leaked(before int, patience time.Duration) string {
	for end := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		if runtime.NumGoroutine() <= before {
			return ""
		}
		if time.Now().After(end) {
			stacks := make([]byte, 1<<20)
			return string(stacks[:runtime.Stack(stacks, true)])
		}
	}
}

func TestLeakIsFound(t *testing.T) {
	before := runtime.NumGoroutine()
	stop := make(chan bool)
	go func() { <-stop }()
	if leaked(before, 20*time.Millisecond) == "" {
		t.Error("a goroutine that is left is not seen")
	}
	close(stop)
	if leaked(before, 5*time.Second) != "" {
		t.Error("one that ended is seen")
	}
}
