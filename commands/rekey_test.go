package commands

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// A signal ends a rekeying, which dies of it and leaves nothing of the new
// archive.
func TestSignalsRekey(t *testing.T) {
	for _, sig := range []syscall.Signal{unix.SIGINT, unix.SIGTERM, unix.SIGHUP, unix.SIGQUIT} {
		dir, tokar := begin(t)
		archive, err := os.ReadFile(filepath.Join(dir, "a.tokar"))
		must(t, err)
		must(t, os.Mkdir(filepath.Join(dir, "out"), 0o700))
		for i := range moments {
			sent := (len(archive) - 1) * i / (moments - 1)
			run := tokar("rekey", "-i", "a.key", "-R", "a.key.pub", "-o", "out/b.tokar")
			if said, err := signalled(t, run, archive, sent, sig, false); !diedOf(err, sig) {
				t.Errorf("%s after %d bytes: %v\n%s", unix.SignalName(sig), sent, err, said)
			}
			empty(t, filepath.Join(dir, "out"))
		}
	}
}
