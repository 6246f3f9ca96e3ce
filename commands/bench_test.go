package commands

import (
	"os"
	"path/filepath"
	"testing"
)

// The whole of a command in this process, for tools/bench -profile: it makes
// the directory BENCH_WORKSPACE with a tree, keys and an archive, and reads the
// profiles. make bench measures the real program.

func BenchmarkCreate(b *testing.B) {
	dir := workspace(b)
	for b.Loop() {
		typed(b, "create", "-q", "-R", dir+"/restore.key.pub", "--verifier-file", dir+"/verify.key.pub", "-f", dir+"/profiled.tokar", dir+"/tree")
	}
}

func BenchmarkVerify(b *testing.B) {
	dir := workspace(b)
	for b.Loop() {
		typed(b, "verify", "-q", "-i", dir+"/verify.key", "-f", dir+"/archive.tokar")
	}
}

func BenchmarkExtract(b *testing.B) {
	dir := workspace(b)
	for b.Loop() {
		// Nothing is deleted before the end: ext4 is slow after that.
		to, err := os.MkdirTemp(dir, "restored-")
		if err != nil {
			b.Fatal(err)
		}
		typed(b, "extract", "-q", "-i", dir+"/restore.key", "-f", dir+"/archive.tokar", "-C", to)
	}
}

func workspace(b *testing.B) string {
	dir := os.Getenv("BENCH_WORKSPACE")
	if dir == "" {
		b.Skip("run by tools/bench -profile")
	}
	return filepath.Clean(dir)
}

func typed(b *testing.B, words ...string) {
	if code := Main(append([]string{"tokar"}, words...)); code != exitDone {
		b.Fatalf("tokar %s: exit code %d", words[0], code)
	}
}
