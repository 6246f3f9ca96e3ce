package main_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestPeerMigrated lets Debian's 3.8.1, which knows the old format only, open a
// token that was migrated and taken back, and one of a big-endian machine that
// was recoded for this one: all objects are there, and the RSA keys sign.
func TestPeerMigrated(t *testing.T) {
	if testing.Short() {
		t.Skip("runs a tokar of its own, so that -short has nothing new")
	}
	needPeer(t, "pkcsslotd", "pkcsconf", "pkcs11-tool", "openssl", "unshare", "systemd-tmpfiles", "ssh", "sshd", "ip", "/usr/bin/python3")
	if os.Getuid() != 0 {
		t.Skip("needs root, for namespaces of its own")
	}
	tokar := buildTokar(t)
	home := t.TempDir()
	write(t, filepath.Join(home, "conf"), movedConf)
	write(t, filepath.Join(home, "user"), userPIN)
	write(t, filepath.Join(home, "so"), soPIN)
	migrate := func(dir string, args ...string) {
		t.Helper()
		args = append([]string{"migrate"}, args...)
		cmd := exec.Command(tokar, append(args, "--yes", "-c", "conf", "-s", "3", "-d", dir)...)
		cmd.Dir = home
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%q: %v\n%s", args, err, out)
		}
	}
	tokens := map[string]string{"testdata/opencryptoki/swtok-old-small": "17 1", "testdata/opencryptoki/swtok-old-bigendian": "7 1"}
	args := []string{"signs", tokar, filepath.Join(home, "work"), userPIN}
	if err := os.Mkdir(args[2], 0o755); err != nil {
		t.Fatal(err)
	}
	var wanted []string
	for from, says := range tokens {
		dir := filepath.Join(home, filepath.Base(from))
		if err := os.CopyFS(dir, os.DirFS(from)); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(from, "bigendian") {
			migrate(dir, "--byte-order", "little", "--pin", "file:user")
		} else {
			migrate(dir, "fips", "--pin", "file:user", "--so-pin", "file:so")
			migrate(dir, "undo")
		}
		args = append(args, dir)
		wanted = append(wanted, fmt.Sprintf("%s %s\n", says, dir))
	}
	out, err := exec.Command("testdata/peers/opencryptoki.sh", args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, line := range wanted {
		if !strings.Contains(string(out), line) {
			t.Errorf("no line %q in\n%s", line, out)
		}
	}
}
