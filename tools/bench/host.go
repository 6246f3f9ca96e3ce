package main

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// host is where and with what it was measured.
type host struct {
	commit string // of tokar
	began  time.Time
	load   string // of the last minute, before
}

func look(tokar string) *host {
	return &host{commit: version(tokar, "version"), began: time.Now(), load: firstWord("/proc/loadavg")}
}

// conditions is the section that every table of a run is to be read with.
func (b *bench) conditions(notes []string) (section, error) {
	least, err := b.do(job{steps: []pipeline{{{"true"}}}})
	if err != nil {
		return section{}, err
	}
	var t strings.Builder
	fmt.Fprintf(&t, "- %s, with %s; took %s; load when it began %s\n", b.host.began.UTC().Format("2006-01-02 15:04 UTC"), b.host.commit, time.Since(b.host.began).Round(time.Second), b.host.load)
	fmt.Fprintf(&t, "- %s, %d cores, %.1f GiB of memory, Linux %s, %s on %s\n",
		processor(), runtime.NumCPU(), float64(memory("MemTotal"))/(1<<30), firstWord("/proc/sys/kernel/osrelease"), fileSystem(b.dir), device(b.dir))
	fmt.Fprintf(&t, "- %d tokens of %d objects: %d files, %.1f MB\n", b.tokens, b.objects, b.files, megabytes(b.bytes))
	fmt.Fprintf(&t, "- rounds: %d, with restic and borg: %d; a process that needed less than %.1f MiB of memory counts as that much\n", b.runs, min(b.runs, b.slowRuns), mebibytes(least.peak))
	fmt.Fprintf(&t, "- %s\n", strings.Join(versions(), ", "))
	if load, err := strconv.ParseFloat(b.host.load, 64); err == nil && load > float64(runtime.NumCPU())/4 {
		fmt.Fprintf(&t, "- **the machine was busy with other work: wall times and their ratios are of little worth here, CPU times, sizes and memory of more**\n")
	}
	for _, n := range notes {
		fmt.Fprintf(&t, "- %s\n", n)
	}
	return section{"conditions", t.String()}, nil
}

func versions() (all []string) {
	for _, p := range []string{"tar", "zstd", "age", "restic", "borg"} {
		all = append(all, p+": "+version(p, "--version"))
	}
	return append(all, "maketree, floor: "+runtime.Version())
}

// version is the first line of what a program says of itself.
func version(program, flag string) string {
	out, err := exec.Command(program, flag).CombinedOutput()
	if program == "restic" {
		out, err = exec.Command(program, "version").CombinedOutput()
	}
	if err != nil {
		return "not here"
	}
	line, _, _ := strings.Cut(string(out), "\n")
	return strings.Trim(strings.TrimSpace(line), "* ")
}

// processor is its name where the kernel knows one, else the architecture.
func processor() string {
	b, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(b)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}

// memory is a number of /proc/meminfo in bytes; 0 where there is none.
func memory(name string) int64 {
	b, _ := os.ReadFile("/proc/meminfo")
	for line := range strings.Lines(string(b)) {
		var kibibytes int64
		if n, _ := fmt.Sscanf(line, name+": %d", &kibibytes); n == 1 {
			return kibibytes << 10
		}
	}
	return 0
}

func firstWord(path string) string {
	b, _ := os.ReadFile(path)
	word, _, _ := strings.Cut(strings.TrimSpace(string(b)), " ")
	if word == "" {
		return "unknown"
	}
	return word
}

// fileSystem and device are as the mount table has them.
func fileSystem(dir string) string { return mounted(dir, "FSTYPE") }
func device(dir string) string     { return mounted(dir, "SOURCE") }

func mounted(dir, column string) string {
	out, err := exec.Command("findmnt", "-n", "-o", column, "-T", dir).Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(out))
}
