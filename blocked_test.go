package main_test

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestBlockedOutput lets nobody read an archive in the making. Whoever wants the
// token's lock then has it, and the archive is whole when it is read at last.
func TestBlockedOutput(t *testing.T) {
	if testing.Short() {
		t.Skip("runs a tokar of its own, so that -short has nothing new")
	}
	tokar := buildTokar(t)
	home := t.TempDir()
	key, token := filepath.Join(home, "restore.key"), filepath.Join(home, "lib/opencryptoki/swtok")
	lock := filepath.Join(home, "lock/opencryptoki/swtok/LCK..swtok")
	for _, dir := range []string{filepath.Dir(token), filepath.Dir(lock)} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	cloneTree(t, "testdata/opencryptoki/swtok-old-small", token)
	noise := make([]byte, 12<<20) // more than pipes and batches hold, so that create must wait
	state := uint32(1)
	for i := range noise {
		state = state*1664525 + 1013904223
		noise[i] = byte(state >> 24)
	}
	for n := range 12 {
		if err := os.WriteFile(filepath.Join(token, fmt.Sprint("noise", n)), noise[n<<20:(n+1)<<20], 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(lock, nil, 0o440); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(tokar, "keygen", "-q", "--x25519", "-o", key).CombinedOutput(); err != nil {
		t.Fatalf("%s", out)
	}
	cmd := exec.Command(tokar, "create", "-q", "-R", key+".pub", token)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	first := make([]byte, 1)
	if _, err := io.ReadFull(pipe, first); err != nil { // it has begun, and is at the token
		t.Fatalf("%v: %s", err, &stderr)
	}
	f, err := os.Open(lock)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	free, busy := 0, 0
	for ; free < 50; time.Sleep(20 * time.Millisecond) { // also when it has read the token and can only wait
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		unix.Flock(int(f.Fd()), unix.LOCK_UN)
		if err == nil {
			free++
		} else if busy++; err != unix.EWOULDBLOCK || busy > 1000 {
			t.Fatalf("it waits for its output and holds the lock: %v", err)
		}
	}
	archive, err := io.ReadAll(pipe)
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v: %s", err, &stderr)
	}
	t.Logf("counted: the lock was to be had %d times while nobody read the archive, and not %d times", free, busy)
	if len(archive) < len(noise) {
		t.Errorf("an archive of %d bytes: it did not wait for its reader", len(archive))
	}
	verify := exec.Command(tokar, "verify", "-q", "-i", key)
	verify.Stdin = io.MultiReader(bytes.NewReader(first), bytes.NewReader(archive))
	if out, err := verify.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}
