package main_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"tokar/backends/opencryptoki/config"
)

// judged are configurations of which the real pkcsslotd 3.8.1 is asked. tokar reads
// what 3.27 does; why says where that differs from 3.8.1, which reads one setting a
// line and no more between braces.
var judged = []struct {
	name, conf  string
	taken, real bool
	why         string
}{
	{"empty", "", true, true, ""},
	{"version only", "version a-1\n", true, true, ""},
	{"lines", "version a-1\n\nslot 3\n{\nstdll = libpkcs11_sw.so\n}\n", true, true, ""},
	{"brace behind the number", "slot 3 {\nstdll = libpkcs11_sw.so\n}\n", true, true, ""},
	{"quotes", "slot 3\n{\nstdll = \"libpkcs11_sw.so\"\ndescription = \"a b\"\n}\n", true, true, ""},
	{"no blanks", "slot 3\n{\nstdll=libpkcs11_sw.so\n}\n", true, true, ""},
	{"trailing comment", "slot 3\n{\nstdll = libpkcs11_sw.so # c\n}\n", true, true, ""},
	{"all keys", "slot 3\n{\nstdll = libpkcs11_sw.so\ndescription = d\nmanufacturer = m\nhwversion = \"1.2\"\nfirmwareversion = \"3.4\"\nconfname = c\ntokname = swtok\n}\n", true, true, ""},
	{"two slots", "slot 3\n{\nstdll = libpkcs11_sw.so\n}\nslot 4\n{\nstdll = libpkcs11_ica.so\n}\n", true, true, ""},
	{"unknown key", "slot 3\n{\nstdll = libpkcs11_sw.so\nnonsense = x\n}\n", false, false, ""},
	{"no value", "slot 3\n{\nstdll =\n}\n", false, false, ""},
	{"no equals sign", "slot 3\n{\nstdll libpkcs11_sw.so\n}\n", false, false, ""},
	{"value in the next line", "slot 3\n{\nstdll =\nlibpkcs11_sw.so\n}\n", false, false, ""},
	{"no slot number", "slot\n{\nstdll = libpkcs11_sw.so\n}\n", false, false, ""},
	{"no brace", "slot 3\nstdll = libpkcs11_sw.so\n}\n", false, false, ""},
	{"a brace too many", "slot 3\n{\nstdll = libpkcs11_sw.so\n}\n}\n", false, false, ""},
	{"no closing brace", "slot 3\n{\nstdll = libpkcs11_sw.so\n", false, false, ""},
	{"version without a word", "version\nslot 3\n{\nstdll = libpkcs11_sw.so\n}\n", false, false, ""},
	{"global value", "stdll = libpkcs11_sw.so\n", false, false, ""},
	{"text without end", "slot 3\n{\nstdll = \"libpkcs11_sw.so\n}\n", false, false, ""},
	{"description too long", "slot 3\n{\nstdll = libpkcs11_sw.so\ndescription = " + strings.Repeat("x", 65) + "\n}\n", false, false, ""},
	{"tokversion", "slot 3\n{\nstdll = libpkcs11_sw.so\ntokversion = 3.12\n}\n", true, false, "3.12 brought it"},
	{"usergroup", "slot 3\n{\nstdll = libpkcs11_sw.so\nusergroup = pkcs11\n}\n", true, false, "3.16 brought it"},
	{"statistics", "statistics (on)\n", true, false, "3.17 brought it"},
	{"comment in braces", "slot 3\n{\n# c\nstdll = libpkcs11_sw.so\n}\n", true, false, "one setting a line, and nothing else"},
	{"blank line in braces", "slot 3\n{\nstdll = libpkcs11_sw.so\n\n}\n", true, false, "one setting a line, and nothing else"},
	{"one line", "slot 3 { stdll = libpkcs11_sw.so }\n", true, false, "one setting a line, and nothing else"},
	{"bare version", "slot 3\n{\nstdll = libpkcs11_sw.so\nhwversion = 1.2\n}\n", true, true, ""},
	{"hexadecimal number", "slot 0x3\n{\nstdll = libpkcs11_sw.so\n}\n", true, false, "decimal numbers only"},
	{"leading zero", "slot 03\n{\nstdll = libpkcs11_sw.so\n}\n", false, true, "3.27 reads 0, and then 3"},
	{"twice", "slot 3\n{\nstdll = libpkcs11_sw.so\n}\nslot 3\n{\nstdll = libpkcs11_ica.so\n}\n", false, false, ""},
}

// TestPeerConfigurations compares what is taken for a configuration with what the
// real daemon takes, and has it take what SetTokversion left as it was.
func TestPeerConfigurations(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a daemon for each")
	}
	needPeer(t, "pkcsslotd", "unshare", "systemd-tmpfiles")
	if os.Getuid() != 0 {
		t.Skip("needs root, for namespaces of its own")
	}
	dir := t.TempDir()
	want := map[string]bool{}
	add := func(name, conf string, taken bool) {
		file := fmt.Sprintf("%02d-%s", len(want), strings.ReplaceAll(name, " ", "-"))
		if err := os.WriteFile(filepath.Join(dir, file), []byte(conf), 0o644); err != nil {
			t.Fatal(err)
		}
		want[file] = taken
	}
	for _, c := range judged {
		if _, err := config.Parse([]byte(c.conf)); (err == nil) != c.taken {
			t.Errorf("%s: %v, want taken %v", c.name, err, c.taken)
		}
		if (c.taken != c.real) != (c.why != "") {
			t.Errorf("%s: it is not said why", c.name)
		}
		add(c.name, c.conf, c.real)
	}
	shipped, err := os.ReadFile("/etc/opencryptoki/opencryptoki.conf")
	if err != nil {
		t.Fatal(err)
	}
	f, err := config.Parse(shipped)
	if err != nil {
		t.Fatalf("Debian's own: %v", err)
	}
	add("shipped", string(shipped), true)
	made, err := f.SetTokversion(3, "3.12")
	if err != nil {
		t.Fatal(err)
	}
	add("with a tokversion", string(made), false)
	if f, err = config.Parse(made); err != nil {
		t.Fatal(err)
	}
	if made, err = f.SetTokversion(3, ""); err != nil || string(made) != string(shipped) {
		t.Errorf("undone it is not what it was: %v", err)
	}
	add("and without", string(made), true)

	out, err := exec.Command("testdata/peers/opencryptoki.sh", "configured", buildTokar(t), t.TempDir(), dir).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	n := 0
	for line := range strings.Lines(string(out)) {
		words := strings.Fields(line)
		if len(words) < 3 || words[0] != "judged" {
			continue
		}
		n++
		if taken, known := want[words[1]]; !known || taken != (words[2] == "taken") {
			t.Errorf("want taken %v: %s", taken, line)
		}
	}
	if n != len(want) {
		t.Errorf("%d configurations were judged, not %d\n%s", n, len(want), out)
	}
}
