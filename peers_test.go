package main_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestPeerOpenCryptoki lets the real library judge what tokar restores;
// testdata/peers/opencryptoki has the sessions.
func TestPeerOpenCryptoki(t *testing.T) {
	if testing.Short() {
		t.Skip("runs a tokar of its own, so that -short has nothing new")
	}
	needPeer(t, "pkcsslotd", "pkcsconf", "pkcs11-tool", "openssl", "unshare", "systemd-tmpfiles", "ssh", "sshd", "ip", "/usr/bin/python3")
	if os.Getuid() != 0 {
		t.Skip("needs root, for namespaces of its own")
	}
	tokar := buildTokar(t)
	const fixture = "testdata/opencryptoki/swtok-old-small"
	for _, session := range []struct {
		name string
		args []string
		says string // in its output
	}{
		{"made", nil, "done"},
		{"none", nil, "done"},
		{"fixture", []string{fixture}, "done"},
		{"damaged", []string{fixture}, "done"},
		{"salvage", []string{fixture}, "done"},
		{"hidden", []string{fixture}, "done"},
		{"segment", nil, "done"},
		{"same", nil, "done"},
		{"pins", nil, "done"},
		{"other", nil, "done"},
		{"into", nil, "done"},
		{"reinitialised", nil, "done"},
		{"inuse", nil, "done"},
		{"single", nil, "done"},
		{"names", nil, "done"},
		{"writer", nil, "done"},
		{"live", []string{"12", "objects", "pins"}, "done"},
		{"live", []string{"12", "makes", "makes", "makes", "pins"}, "done"},
		{"signs", []string{"01234567", fixture}, "17 1 " + fixture},
	} {
		t.Run(session.name, func(t *testing.T) {
			t.Parallel()
			args := append([]string{session.name, tokar, t.TempDir()}, session.args...)
			out, err := exec.Command("testdata/peers/opencryptoki.sh", args...).CombinedOutput()
			if err != nil || !strings.Contains(string(out), session.says) {
				t.Fatalf("opencryptoki.sh %s: %v\n%s", session.name, err, out)
			}
			t.Logf("%s", out)
		})
	}
}

// buildTokar builds this checkout's tokar once for a test.
func buildTokar(t *testing.T) string {
	t.Helper()
	tokar := filepath.Join(t.TempDir(), "tokar")
	if out, err := exec.Command("go", "build", "-buildvcs=false", "-o", tokar, ".").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return tokar
}

// needPeer skips the test by name of the first program that is not here.
func needPeer(t *testing.T, programs ...string) {
	t.Helper()
	t.Setenv("PATH", os.Getenv("PATH")+":/usr/sbin:/sbin") // where daemons are
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			t.Skipf("needs %s (testdata/peers/peers.sh names the package)", p)
		}
	}
}
