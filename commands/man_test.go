package commands

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestManual has the programs that show manual pages judge all of them.
func TestManual(t *testing.T) {
	defer func(v, r string) { version, released = v, r }(version, released)
	version, released = "v0.1.0", "2026-11-21"
	names, pages := manual(table())
	dir := t.TempDir()
	for _, name := range names {
		must(t, os.WriteFile(filepath.Join(dir, name), []byte(pages[name]), 0o600))
	}
	for _, judge := range []struct{ program, args string }{
		{"mandoc", "-Tlint"},
		{"man", "--warnings -E UTF-8 -Tutf8 -Z -l"},
	} {
		t.Run(judge.program, func(t *testing.T) {
			if _, err := exec.LookPath(judge.program); err != nil {
				t.Skipf("needs %s (testdata/peers/peers.sh names the package)", judge.program)
			}
			for _, name := range names {
				var said strings.Builder
				c := exec.Command(judge.program, append(strings.Fields(judge.args), name)...)
				c.Dir, c.Stderr = dir, &said
				if judge.program == "mandoc" {
					c.Stdout = &said // its findings
				}
				if err := c.Run(); err != nil || said.Len() > 0 {
					t.Errorf("%s: %v\n%s", name, err, said.String())
				}
			}
		})
	}
}

// TestManualIsWhole looks that pages say what the help says.
func TestManualIsWhole(t *testing.T) {
	_, pages := manual(table())
	shown := func(page string) string {
		return strings.NewReplacer(`\-`, "-", `\fB`, "", `\fI`, "", `\fR`, "").Replace(pages[page])
	}
	for _, c := range table() {
		name := "tokar-" + c.name + ".1"
		page := shown(name)
		if c.hidden != (page == "") {
			t.Errorf("%s: hidden %v, and %d bytes", name, c.hidden, len(page))
		}
		if c.hidden {
			continue
		}
		if !strings.Contains(shown("tokar.1"), "\n"+c.name) {
			t.Errorf("tokar.1 lacks %s", c.name)
		}
		for _, f := range c.flags {
			d := describeFlag(f)
			head := strings.TrimSpace(strings.Join(d.names, ", ") + " " + d.value)
			if d.bare {
				head = strings.Join(d.names, ", ") + "[=" + d.value + "]"
			}
			if !strings.Contains(page, ".TP\n"+head+"\n") {
				t.Errorf("%s lacks %s", name, head)
			}
			for _, variable := range regexp.MustCompile(`TOKAR_\w+`).FindAllString(d.usage, -1) {
				if !strings.Contains(shown("tokar.1"), ".B "+variable+"\n") {
					t.Errorf("tokar.1 lacks %s", variable)
				}
			}
		}
	}
	for _, section := range []string{"NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXIT STATUS", "EXAMPLES", "FILES", "SEE ALSO"} {
		if !strings.Contains(shown("tokar-create.1"), ".SH "+section+"\n") {
			t.Errorf("tokar-create.1 lacks %s", section)
		}
	}
	if strings.Contains(strings.Join([]string{pages["tokar.1"], pages["tokar-format.5"], pages["tokar-create.1"]}, ""), "@") {
		t.Error("something was not filled in")
	}
}

func TestRoff(t *testing.T) {
	for text, want := range map[string]string{
		".TH x\n.SH": `\&.TH x` + "\n" + `\&.SH`,
		"'so":        `\(aqso`,
		`\fB-x`:      `\efB\-x`,
		"age1… `a`":  `age1\[u2026] \(gaa\(ga`,
	} {
		if got := roff(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
	if got := fill(strings.Repeat("word ", 15) + ".tokar-new it"); !strings.Contains(got, "\n"+`\&.tokar`) {
		t.Errorf("a line of its own begins with a request: %q", got)
	}
}
