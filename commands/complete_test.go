package commands

import (
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// hostile is a token's name that has all that a shell would act on.
const hostile = "h $(touch owned) `touch owned` ${x:=1} \"q\" 's' \\ & ; | > < * ? ! # ~ {a,b} [c]"

// TestComplete: what stands on the command line, and what may stand at its end.
// Names come from directories and archives; TestShells has those.
func TestComplete(t *testing.T) {
	t.Setenv("TOKAR_IDENTITY", "")
	for _, c := range []struct {
		line, how string
		at        int
		want      string // candidates, of very many only some
	}{
		{"k", "", 0, "keygen"},
		{"d", "", 0, "diff d"},
		{"m", "", 0, "migrate"}, // man is for make install
		{"__", "", 0, ""},
		{"--v", "", 0, "--version"},
		{"help ver", "", 0, "verify version"},
		{"completion ", "", 0, "bash fish zsh"},
		{"x -", "", 0, "-f --file -i --as --help"},
		{"x --over", "", 0, "--overwrite"},
		{"x --overwrite --over", "", 0, ""},
		{"x -i a -f b --ident", "", 0, "--identity"},
		{"x -f b --fil", "", 0, "--files-from"},
		{"x -- --over", "", 0, ""},
		{"x -f ", "files", 0, ""},
		{"x --file=x", "files", 7, ""},
		{"x -C ", "dirs", 0, ""},
		{"x --jobs ", "", 0, ""},
		{"x --json=", "", 0, ""},
		{"x --nosuch=", "", 0, ""},
		{"nosuch ", "", 0, ""},
		{"xf ", "files", 0, ""},
		{"xvf ", "files", 0, ""},
		{"xfC a ", "dirs", 0, ""},
		{"xCf a ", "files", 0, ""},
		{"xf a --over", "", 0, "--overwrite"},
		{"cvf a -R ", "files", 0, ""},
		{"keygen --hpke=", "", 7, "mlkem768p256 p256"},
		{"keygen --hpke=p", "", 7, "p256"},
		{"keygen --hpke ", "", 0, ""},
		{"keygen --hpke -o ", "files", 0, ""},
		{"c -p --passphrase ", "", 0, "file: fd: env: prompt"},
		{"c --passphrase=file:x", "files", 18, ""},
		{"c ../../testdata/nowhere/", "dirs", 0, ""},
		{"c ../testdata/opencryptoki/swtok-old-s", "", 25, "swtok-old-small"},
		{"check -C ../testdata opencryptoki/swtok-old-s", "", 13, "swtok-old-small"},
		{"c -C .. testd", "", 0, "testdata/"},
		{"c name=../testdata/opencryptoki/swtok-old-s", "", 30, "swtok-old-small"},
	} {
		got := complete(strings.Split(c.line, " "))
		var words []string
		for _, w := range got.words {
			words = append(words, w.text)
		}
		some := strings.HasSuffix(c.line, " -")
		want := strings.Fields(c.want)
		match := slices.Equal(words, want)
		if some {
			match = !slices.ContainsFunc(want, func(w string) bool { return !slices.Contains(words, w) })
		}
		if got.how != c.how || got.at != c.at || !match {
			t.Errorf("%s: %q at %d, %q; want %q at %d, %q", c.line, got.how, got.at, words, c.how, c.at, want)
		}
	}
}

func TestBashWords(t *testing.T) {
	for _, c := range []struct {
		line  string
		want  string // joined by |
		quote rune
	}{
		{"tokar  c a", "tokar|c|a", 0},
		{"tokar ", "tokar|", 0},
		{`tokar a\ b 'c d' "e f"g`, "tokar|a b|c d|e fg", 0},
		{`tokar "a\b\"\$`, `tokar|a\b"$`, '"'},
		{`tokar 'a\`, `tokar|a\`, '\''},
		{`tokar '' ""`, "tokar||", 0},
		{`tokar $(x)`, "tokar|$(x)", 0},
		{`tokar a\`, "", 0},
	} {
		words, quote := bashWords(c.line)
		if got := strings.Join(words, "|"); got != c.want || quote != c.quote {
			t.Errorf("%s: %q, open %q; want %q, open %q", c.line, got, quote, c.want, c.quote)
		}
	}
}

// FuzzQuoteBash: what quoteBash writes, bashWords reads as it was, and as one
// word.
func FuzzQuoteBash(f *testing.F) {
	f.Add(hostile, uint8(0))
	f.Add("it's", uint8(1))
	f.Add(`"!\`, uint8(2))
	f.Fuzz(func(t *testing.T, text string, style uint8) {
		open := []string{"", "'", `"`}[style%3]
		if !utf8.ValidString(text) || strings.ContainsFunc(text, invisible) {
			return // never offered
		}
		quoted, ok := quoteBash(text, []rune{0, '\'', '"'}[style%3])
		if !ok {
			return
		}
		if words, quote := bashWords("tokar " + open + quoted + open + " end"); quote != 0 || !slices.Equal(words, []string{"tokar", text, "end"}) && text != "" {
			t.Errorf("%q in %s is written %s and read %q", text, open, quoted, words)
		}
	})
}
