package commands

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestFIPSBuilds builds tokar with the frozen modules that Go has, and takes
// each through FIPS mode. v1.0.0 has not what HPKE needs: it is refused in all
// its forms, and passphrases are left.
func TestFIPSBuilds(t *testing.T) {
	if testing.Short() {
		t.Skip("builds tokar twice")
	}
	for _, c := range []struct {
		module string
		hpke   bool // under fips140=only
	}{{"v1.0.0", false}, {"v1.26.0", true}} {
		t.Run(c.module, func(t *testing.T) {
			f := &fipsBuild{t: t, dir: t.TempDir(), program: buildFrozen(t, c.module)}
			must(t, copyToken(fixtures+"/swtok-old-small", filepath.Join(f.dir, "swtok")))
			must(t, os.WriteFile(filepath.Join(f.dir, "words"), []byte("correct horse"), 0o600))

			// Such a build is in FIPS mode by itself, and there all works.
			f.want("", 0, "FIPS 140-3 on (module "+c.module+")", "version")
			f.want("", 0, "", "keygen", "--hpke", "-o", "h.key")
			f.want("", 0, "", "create", "-R", "h.key.pub", "-f", "h.tokar", "swtok")
			f.want("", 0, "authentic", "verify", "-i", "h.key", "-f", "h.tokar")

			const only = "fips140=only"
			f.want(only, 0, "FIPS 140-3 only (module "+c.module+")", "version")
			f.want(only, 0, "archived", "create", "--passphrase", "file:words", "-f", "p.tokar", "swtok")
			f.want(only, 0, "", "list", "--passphrase", "file:words", "-f", "p.tokar")
			f.want(only, 0, "authentic", "verify", "--passphrase", "file:words", "-f", "p.tokar")
			f.want(only, 0, "", "extract", "--passphrase", "file:words", "-f", "p.tokar", "-C", ".", "--as", "again", "swtok")
			f.want(only, 0, "", "diff", "--passphrase", "file:words", "-f", "p.tokar")
			// A token of the old format, whose own means are not approved, gets into the new one.
			for name, text := range map[string]string{"conf": "version v\nslot 3 { stdll = libpkcs11_sw.so }\n", "user": "01234567", "so": "76543210"} {
				must(t, os.WriteFile(filepath.Join(f.dir, name), []byte(text), 0o600))
			}
			slot := []string{"--config", "conf", "--slot", "3", "--datastore", "swtok"}
			f.want(only, 0, "17 objects, 20.3 KiB: migrated", append([]string{"migrate", "fips", "--yes", "--pin", "file:user", "--so-pin", "file:so"}, slot...)...)
			f.want(only, 0, "again as it was before", append([]string{"migrate", "undo", "--yes"}, slot...)...)
			f.want(only, 2, "not FIPS-approved", "create", "-r", "age1pq1qqq", "-f", "x.tokar", "swtok")
			if c.hpke {
				f.want(only, 0, "authentic", "verify", "-i", "h.key", "-f", "h.tokar")
				f.want(only, 0, "", "keygen", "--hpke=p256", "-o", "only.key")
				return
			}
			const reason = "this tokar was built with GOFIPS140=v1.0.0; use a passphrase"
			f.want(only, 3, reason, "keygen", "--hpke", "-o", "x.key")
			f.want(only, 3, reason, "keygen", "--hpke=p256", "-o", "x.key")
			f.want(only, 2, reason, "create", "-R", "h.key.pub", "-f", "x.tokar", "swtok")
			f.want(only, 2, reason, "verify", "-i", "h.key", "-f", "h.tokar")
			f.want(only, 6, "HPKE post-quantum (restore)", "verify", "--passphrase", "file:words", "-f", "h.tokar")
			for _, name := range []string{"x.key", "x.key.pub", "x.tokar"} {
				if _, err := os.Lstat(filepath.Join(f.dir, name)); err == nil {
					t.Errorf("%s was made", name)
				}
			}
		})
	}
}

// buildFrozen builds tokar with a frozen cryptographic module.
func buildFrozen(t *testing.T, module string) string {
	t.Helper()
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Skip("needs go")
	}
	pattern := filepath.Join(string(bytes.TrimSpace(root)), "lib/fips140", module+"*.zip")
	if zips, _ := filepath.Glob(pattern); len(zips) == 0 {
		t.Skip("needs Go's frozen cryptographic module " + module + " (" + pattern + ")")
	}
	program := filepath.Join(t.TempDir(), "tokar")
	cmd := exec.Command("go", "build", "-o", program, "..")
	cmd.Env = append(os.Environ(), "GOFIPS140="+module, "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return program
}

type fipsBuild struct {
	t            *testing.T
	dir, program string
}

// want runs tokar with GODEBUG, and wants an exit code and a text.
func (f *fipsBuild) want(debug string, code int, text string, args ...string) {
	f.t.Helper()
	cmd := exec.Command(f.program, args...)
	cmd.Dir = f.dir
	cmd.Env = append(os.Environ(), "GODEBUG="+debug, "TOKAR_IDENTITY=", "TOKAR_RECIPIENTS_FILE=")
	out, _ := cmd.CombinedOutput()
	if got := cmd.ProcessState.ExitCode(); got != code || !strings.Contains(string(out), text) {
		f.t.Errorf("GODEBUG=%s tokar %s: exit code %d, want %d and %q\n%s", debug, strings.Join(args, " "), got, code, text, out)
	}
}
