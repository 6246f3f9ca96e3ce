package commands

import (
	"strings"
	"testing"
)

func TestEscape(t *testing.T) {
	for in, want := range map[string]string{
		"plain":             "plain",
		"two words":         `"two words"`,
		"":                  `""`,
		"\x1b[31mred":       `\x1b[31mred`,
		"a\u202eb":          `a\u202eb`,
		"bad\xff":           `bad\xff`,
		"tab\tnewline\n":    `tab\tnewline\n`,
		`back\slash`:        `back\\slash`,
		"grün":              "grün",
		"a\u00a0b":          `a\u00a0b`,
		`say "no" or leave`: `"say \"no\" or leave"`,
	} {
		if got := quote(in); got != want {
			t.Errorf("%q: %s, want %s", in, got, want)
		}
	}
}

func FuzzEscape(f *testing.F) {
	f.Add("a\x1b\u202e\xff")
	f.Fuzz(func(t *testing.T, s string) {
		for _, r := range escape(s) {
			if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 || r == '\ufeff' {
				t.Fatalf("%q shows %q", s, r)
			}
		}
	})
}

func TestMatch(t *testing.T) {
	for _, c := range []struct {
		pattern, s string
		want       bool
	}{
		{"", "", true}, {"", "a", false}, {"*", "", true}, {"*", "a/b", true},
		{"a", "a", true}, {"a", "b", false}, {"?", "ü", true}, {"?", "", false},
		{"1*", "10000000", true}, {"swtok/1*", "swtok/10000000", true}, {"swtok/1*", "swtok/20000000", false},
		{"*0", "1000", true}, {"*0*1", "0001", true}, {"a*b*c", "abcabc", true}, {"a*b*c", "abcab", false},
		{"[a-c]x", "bx", true}, {"[!a-c]x", "bx", false}, {"[^a-c]x", "dx", true}, {"[]]", "]", true},
		{"[a-]", "-", true}, {"[a", "[a", true}, {`\*`, "*", true}, {`\*`, "a", false}, {`a\`, `a\`, true},
		{"[\xff]", "\xff", true}, {"\xff", "\xff", true}, {"A", "a", false},
	} {
		if got := match(c.pattern, c.s); got != c.want {
			t.Errorf("match(%q, %q) = %v", c.pattern, c.s, got)
		}
	}
}

func FuzzMatch(f *testing.F) {
	f.Add("a*b?[c-d]", "axxbyc")
	f.Fuzz(func(t *testing.T, pattern, s string) {
		match(pattern, s)
		if literal := strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`).Replace(s); !match(literal, s) {
			t.Fatalf("%q does not match itself as %q", s, literal)
		}
	})
}

func TestMatches(t *testing.T) {
	for _, c := range []struct {
		pattern, token, entry string
		want                  bool
	}{
		{"swtok", "swtok", "10000000", true},
		{"swtok", "swtok2", "10000000", false},
		{"10000000", "swtok", "10000000", true},
		{"swtok/1*", "swtok", "10000000", true},
		{"swtok/1*", "icatok", "10000000", false},
		{"tpm", "tpm/root", "1", true},
		{"tpm/root", "tpm/root", "1", true},
		{"root", "tpm/root", "1", true},
		{"tpm/*/1", "tpm/root", "1", true},
		{"OBJ.IDX", "swtok", "TOK_OBJ/OBJ.IDX", true},
		{"TOK_OBJ/OBJ.IDX", "swtok", "TOK_OBJ/OBJ.IDX", true},
		{"swtok/TOK_OBJ", "swtok", "TOK_OBJ/OBJ.IDX", true},
	} {
		if got := matches(c.pattern, c.token, c.entry); got != c.want {
			t.Errorf("%s on %s/%s: %v", c.pattern, c.token, c.entry, got)
		}
	}
}

func TestSize(t *testing.T) {
	for n, want := range map[uint64]string{0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 1536: "1.5 KiB", 1<<20 - 1: "1.0 MiB", 1 << 40: "1.0 TiB"} {
		if got := size(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
}

func TestWorst(t *testing.T) {
	order := []int{exitPartway, exitSecret, exitArchive, exitBusy, exitFailed, exitFindings, exitDone}
	for i, a := range order {
		for _, b := range order[i:] {
			if worst(a, b) != a || worst(b, a) != a {
				t.Errorf("worst(%d, %d) = %d", a, b, worst(a, b))
			}
		}
	}
}

// TestQuoted: what stands in a row is quoted as it is anywhere else.
func TestQuoted(t *testing.T) {
	for _, text := range []string{"plain", "two words", " ", "a \"b\"", `back\slash`, "tab\there", "\x7f", "ä", "ends ", "\"", "with \x00 zero"} {
		if got, want := string(quoted([]byte("row "+text), 4)), "row "+quote(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}
