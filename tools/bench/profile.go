package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// profiles runs create, verify and extract inside commands' test binary, where
// Go can write a CPU profile of each into dir, and shows what cost most. They
// are the same code as the program's; only the process is another.
func (b *bench) profiles(dir string) ([]section, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	if err := b.prepare(); err != nil {
		return nil, err
	}
	making, err := b.create()[1].job()
	if err != nil {
		return nil, err
	}
	if _, err := b.do(making); err != nil {
		return nil, err
	}
	os.Setenv("BENCH_WORKSPACE", b.dir)
	var t strings.Builder
	binary := filepath.Join(dir, "commands.test")
	for _, name := range []string{"Create", "Verify", "Extract"} {
		progress("profile of %s", strings.ToLower(name))
		profile := filepath.Join(dir, strings.ToLower(name)+".prof")
		if err := quietly("go", "test", "-run", "^$", "-bench", "^Benchmark"+name+"$", "-benchtime", strconv.Itoa(b.runs)+"x",
			"-cpuprofile", profile, "-o", binary, "./commands"); err != nil {
			return nil, err
		}
		top, err := exec.Command("go", "tool", "pprof", "-top", "-nodecount", "15", binary, profile).Output()
		if err != nil {
			return nil, fmt.Errorf("go tool pprof: %w", err)
		}
		_, shown, _ := strings.Cut(string(top), "Duration: ") // before it stand paths of this machine
		fmt.Fprintf(&t, "%s, %d times: duration %s\n", name, b.runs, indented(shown))
	}
	conditions, err := b.conditions(nil)
	return []section{{"profile conditions", conditions.text}, {"profile", t.String()}}, err
}

// indented puts a blank line after the first and makes the rest a block.
func indented(text string) string {
	first, rest, _ := strings.Cut(strings.TrimSpace(text), "\n")
	return first + "\n\n    " + strings.ReplaceAll(rest, "\n", "\n    ") + "\n"
}
