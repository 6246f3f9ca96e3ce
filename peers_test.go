package main_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestPeerOpenCryptoki lets the real library judge what tokar restores;
// testdata/peers/opencryptoki.sh has the session.
func TestPeerOpenCryptoki(t *testing.T) {
	if testing.Short() {
		t.Skip("runs a tokar of its own, so that -short has nothing new")
	}
	needPeer(t, "pkcsslotd", "pkcsconf", "pkcs11-tool", "openssl", "unshare", "systemd-tmpfiles")
	if os.Getuid() != 0 {
		t.Skip("needs root, for namespaces of its own")
	}
	tokar := buildTokar(t)
	for _, session := range []string{
		"made TOKAR WORK",
		"fixture TOKAR WORK testdata/opencryptoki/swtok-old-small",
		"damaged TOKAR WORK testdata/opencryptoki/swtok-old-small",
	} {
		t.Run(strings.Fields(session)[0], func(t *testing.T) {
			own := "-m -i -p -f --kill-child --mount-proc testdata/peers/opencryptoki.sh "
			args := strings.Fields(own + session)
			for i := range args {
				switch args[i] {
				case "TOKAR":
					args[i] = tokar
				case "WORK":
					args[i] = t.TempDir()
				}
			}
			out, err := exec.Command("unshare", args...).CombinedOutput()
			if err != nil {
				t.Fatalf("opencryptoki.sh %s: %v\n%s", session, err, out)
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
