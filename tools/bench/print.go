package main

import (
	"bufio"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

func (b *bench) print(to io.Writer, lines []line) error {
	files, size, err := treeSize(b.tree)
	if err != nil {
		return err
	}
	floor, err := b.run(command{"exec true", ""})
	if err != nil {
		return err
	}
	w := bufio.NewWriter(to)
	fmt.Fprintf(w, "%d tokens × %d objects: %d files, %.1f MB. %d cores, %s, Linux %s, %s, %s. Warm; median of %d interleaved pairs.\n",
		b.tokens, b.objects, files, megabytes(size), runtime.NumCPU(), processor(), kernel(), fileSystem(b.dir), runtime.Version(), b.runs)
	fmt.Fprintf(w, "Yardstick: tar c \\| zstd -3 -T2 \\| age -r, and its reverse. Peak memory is the largest process's; less than %.1f MiB cannot be seen.\n\n",
		mebibytes(floor.peak))
	fmt.Fprintf(w, "| | yardstick | tokar | ratio | min to max | CPU yardstick | CPU tokar | peak yardstick | peak tokar |\n")
	fmt.Fprintf(w, "|---|---|---|---|---|---|---|---|---|\n")
	for _, l := range lines {
		fmt.Fprintf(w, "| %s | %.3f s | %.3f s | **%.2f** | %.2f to %.2f | %.2f s | %.2f s | %.1f MiB | %.1f MiB |\n",
			l.name, l.yardstick.wall.Seconds(), l.tokar.wall.Seconds(),
			l.ratios[len(l.ratios)/2], l.ratios[0], l.ratios[len(l.ratios)-1],
			l.yardstick.cpu.Seconds(), l.tokar.cpu.Seconds(),
			mebibytes(l.yardstick.peak), mebibytes(l.tokar.peak))
	}
	y, err := os.Stat(filepath.Join(b.dir, "yardstick.age"))
	if err != nil {
		return err
	}
	t, err := os.Stat(filepath.Join(b.dir, "archive.tokar"))
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "| archive | %.2f MB | %.2f MB | **%.3f** | | | | | |\n",
		megabytes(y.Size()), megabytes(t.Size()), float64(t.Size())/float64(y.Size()))
	return w.Flush()
}

func treeSize(root string) (files int, size int64, err error) {
	err = filepath.WalkDir(root, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		files++
		size += info.Size()
		return nil
	})
	return files, size, err
}

func megabytes(bytes int64) float64     { return float64(bytes) / 1e6 }
func mebibytes(kibibytes int64) float64 { return float64(kibibytes) / 1024 }

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

func kernel() string {
	b, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return "of unknown release"
	}
	return strings.TrimSpace(string(b))
}

func fileSystem(dir string) string {
	out, err := exec.Command("stat", "-f", "-c", "%T", dir).Output()
	if err != nil {
		return "unknown file system"
	}
	return strings.TrimSpace(string(out))
}
