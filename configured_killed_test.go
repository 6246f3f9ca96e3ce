package main_test

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// configurationFiles are those of a host, and of the archive: one is new.
var configurationFiles = map[string][2]string{
	"opencryptoki.conf": {"version a-1\n# old\nslot 3 { stdll = libpkcs11_sw.so }\n", "version a-1\n# new\nslot 3 { stdll = libpkcs11_sw.so }\nslot 4 { stdll = libpkcs11_ep11.so }\n"},
	"policy.conf":       {"old\n", "new\n"},
	"ep11tok.conf":      {"", "new\n"},
}

// configured is a host, old or new, below a directory.
func configured(t *testing.T, dir string, which int) {
	t.Helper()
	for _, d := range []string{"etc", "base"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, data := range configurationFiles {
		if data[which] == "" {
			continue
		}
		if err := os.WriteFile(filepath.Join(dir, "etc", name), []byte(data[which]), 0o640); err != nil {
			t.Fatal(err)
		}
	}
}

// stands checks that each file is the old or the new one, that nothing of the old
// is lost, and counts the new ones. With done all is new, and nothing else is there.
func stands(t *testing.T, dir string, done bool) (new int) {
	t.Helper()
	etc := filepath.Join(dir, "etc")
	for name, data := range configurationFiles {
		now, _ := os.ReadFile(filepath.Join(etc, name))
		kept, _ := os.ReadFile(filepath.Join(etc, name+".tokar-old"))
		switch s := string(now); {
		case s != data[0] && s != data[1] || done && s != data[1]:
			t.Errorf("%s is %q", name, s)
		case s != data[0] && string(kept) != data[0]:
			t.Errorf("%s is new, and of the old one there is %q", name, kept)
		case s == data[1]:
			new++
		}
	}
	entries, err := os.ReadDir(etc)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if _, ok := configurationFiles[strings.TrimSuffix(e.Name(), ".tokar-old")]; !ok && done {
			t.Errorf("%s is left behind", e.Name())
		}
	}
	return new
}

// TestConfigurationKilled kills extract --configuration at each of its calls below
// the host's directory, or has the call fail: every file is the old or the new one,
// and the next run ends what was begun.
func TestConfigurationKilled(t *testing.T) {
	if testing.Short() {
		t.Skip("runs a tokar of its own, so that -short has nothing new")
	}
	r := newRig(t)
	source, home := t.TempDir(), quickDir(t)
	configured(t, source, 1)
	archive := filepath.Join(source, "archive")
	r.must(t, "create", "-q", "-R", r.key+".pub", "-f", archive, filepath.Join(source, "etc/opencryptoki.conf"))
	failing := func(errno string) []string { return []string{"-calls", steps + "," + unlinks, "-fail", errno} }
	for name, action := range map[string][]string{"killed": {"-kill"}, "EIO": failing("EIO"), "ENOSPC": failing("ENOSPC"), "EACCES": failing("EACCES")} {
		t.Run(name, func(t *testing.T) {
			points := 0
			for n := 1; ; n++ {
				dir := filepath.Join(home, name+strconv.Itoa(n))
				configured(t, dir, 0)
				args := []string{"extract", "-i", r.key, "-f", archive, "--configuration", "--config", filepath.Join(dir, "etc/opencryptoki.conf"), "--base", filepath.Join(dir, "base")}
				o := r.run(t, dir, at(n, action...), args...)
				new := stands(t, dir, !o.Fired)
				if !o.Fired {
					break
				}
				points++
				switch {
				case name == "killed":
				case o.Exit == 0 && new == len(configurationFiles) && (o.Call == "close" || strings.Contains(unlinks, o.Call)):
				case o.Exit == 1 && new == len(configurationFiles): // an owner that is not set, a file that is left
				case o.Exit == 3 && new == 0, o.Exit == 4 && new > 0:
				default:
					t.Errorf("exit code %d, and %d files are new", o.Exit, new)
				}
				if again := r.run(t, dir, nil, args...); again.Exit != 0 {
					t.Errorf("the next run ends with %d: %s", again.Exit, again.stderr)
				}
				stands(t, dir, true)
				if t.Failed() {
					t.Fatalf("at %d, %s %s: exit code %d: %s", n, o.Call, o.Path, o.Exit, o.stderr)
				}
				os.RemoveAll(dir)
			}
			t.Logf("counted: %d points", points)
			if points < 12 {
				t.Error("too few")
			}
		})
	}
}
