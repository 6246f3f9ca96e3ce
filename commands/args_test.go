package commands

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"
)

// shown is a line in a form that tests can compare.
func shown(l *line) string {
	if l.help {
		return "help " + l.command.name
	}
	words := append([]string{l.command.name}, l.flags...)
	for _, o := range l.operands {
		w := o.text
		if o.list {
			w = "@" + w
		}
		if o.dir != "" {
			w = o.dir + ":" + w
		}
		words = append(words, w)
	}
	return strings.Join(words, " ")
}

func TestParse(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"create -f a tok", "create --file=a tok"},
		{"create tok -f a", "create --file=a tok"},
		{"c tok --file=a", "create --file=a tok"},
		{"c tok --file a -v", "create --file=a --verbose tok"},
		{"c -vfa tok", "create --verbose --file=a tok"},
		{"c -vf a tok -v", "create --verbose --file=a tok"},
		{"c -f - tok", "create --file=- tok"},
		{"c -- -f tok", "create -f tok"},
		{"c a -- -- b", "create a -- b"},
		{"c -r x,y -r z tok", "create --recipient=x,y --recipient=z tok"},
		{"c --file=--x tok", "create --file=--x tok"},
		{"cf a tok", "create --file=a tok"},
		{"cvf a tok -R k", "create --verbose --file=a --recipients-file=k tok"},
		{"cvJf a tok", "create --verbose --xz --file=a tok"},
		{"vcf a tok", "create --verbose --file=a tok"},
		{"czpWkf a tok", "create --zstd --file=a tok"},
		{"cfC a d tok", "create --file=a d:tok"},
		{"cCf d a tok", "create --file=a d:tok"},
		{"xpf a", "extract --file=a"},
		{"dvpf a -C d tok", "diff --verbose --file=a d:tok"},
		{"xJf a", "extract --file=a"},
		{"xkf a", "extract --file=a"},
		{"xOf a t/o", "extract --to-stdout --file=a t/o"},
		{"tvf a", "list --verbose --file=a"},
		{"t -i k", "list --identity=k"},
		{"x -p", "extract --ask-passphrase"},
		{"-cf a tok", "create --file=a tok"},
		{"-c -f a tok", "create --file=a tok"},
		{"-xvf a", "extract --verbose --file=a"},
		{"c -C d a -C e b", "create d:a d/e:b"},
		{"c -C d a -C /e b", "create d:a /e:b"},
		{"c a -C d b", "create a d:b"},
		{"c -C d -T names -f a", "create --file=a d:@names"},
		{"x -C d -f a", "extract --file=a"},
		{"create --help", "help create"},
		{"c tok -h", "help create"},
		{"--help", "help"},
		{"help create", "help create"},
		{"--version", "version"},
	} {
		l, err := parse(strings.Fields(c.in), table())
		if err != nil {
			t.Errorf("%s: %v", c.in, err)
		} else if got := shown(l); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.in, got, c.want)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"", "no command is given; see: tokar help"},
		{"creat", "unknown command creat, did you mean create; see: tokar help"},
		{"verfiy", "did you mean verify"},
		{"frobnicate", "unknown command frobnicate; see"},
		{"compare", "the command is tokar diff"},
		{"salvage", "it is tokar extract --salvage"},
		{"sign", "it is tokar create --sign KEY"},
		{"--compare -f a", "the command comes first: tokar diff"},
		{"dxf a", "unknown command dxf"},
		{"dOf a", "no flag --to-stdout: extract has it"},
		{"create --as x", "no flag --as: extract and diff have it"},
		{"rf a", "archives are sealed"},
		{"crf a", "archives are sealed"},
		{"uf a", "archives are sealed"},
		{"cjf a", "only zstd and xz"},
		{"cZf a", "only zstd and xz"},
		{"chf a", "no symlink is followed"},
		{"cPf a", "there are no paths"},
		{"xif a", "a damaged archive is refused"},
		{"xmf a", "always kept"},
		{"xof a", "always kept"},
		{"cSf a", "holes"},
		{"xsf a", "own order"},
		{"cgf a", "incremental"},
		{"cQf a", "Q in cQf has no meaning"},
		{"cbf a", "blocks are the archive's own"},
		{"cxf a", "unknown command cxf"},
		{"cf", "f in cf wants a value"},
		{"-cfv a tok", "type tokar cfv"},
		{"-f a", "the command comes before -f"},
		{"--create", "the command comes first: tokar create"},
		{"create --recipent x", "unknown flag --recipent, did you mean --recipient; see: tokar help create"},
		{"create --frobnicate", "unknown flag --frobnicate; see: tokar help create"},
		{"create -i k", "create takes public keys: -R FILE.pub; see: tokar help create"},
		{"create --identity k", "create takes public keys: -R FILE.pub; see: tokar help create"},
		{"create -y", "unknown flag -y"},
		{"create --f a", "unknown flag --f"},
		{"create -j", "only zstd and xz"},
		{"list -J", "an archive says itself how it is compressed"},
		{"extract --strip-components=1", "there are no paths"},
		{"extract --transform s/a/b/", "there are no paths"},
		{"create -f", "-f wants a value"},
		{"create -f -v", "-f wants a value, and -v looks like a flag"},
		{"create -f=a", "-f takes its value without the ="},
		{"create --verbose=yes", "--verbose takes no value"},
		{"create -f a -f b", "-f is given twice"},
		{"create -f ' tok", "-f wants a value; it is empty"},
		{"extract -C ' tok", "-C wants a value; it is empty"},
		{"create --level= tok", "--level wants a value; it is empty"},
		{"cf ' tok", "--file wants a value; it is empty"},
		{"create -C base '", "an operand is empty"},
		{"extract -- '", "an operand is empty"},
	} {
		words := strings.Fields(c.in)
		for i, w := range words {
			words[i] = strings.Trim(w, "'") // ' is an empty word, as of a variable that is not set
		}
		_, err := parse(words, table())
		switch {
		case err == nil:
			t.Errorf("%s: no error", c.in)
		case codeOf(err) != exitUsage || !strings.Contains(err.Error(), c.want):
			t.Errorf("%s: %v\nwant … %s", c.in, err, c.want)
		}
	}
}

// Every flag of tar's that tokar has not is answered in one line that says why,
// with every command, whether it stands there or in the first word.
func TestTarFlags(t *testing.T) {
	refused := func(line string, want string, words ...string) {
		_, err := parse(words, table())
		if err == nil {
			t.Errorf("%s is taken", line)
			return
		}
		if got := err.Error(); strings.Count(got, want) != 1 || strings.Contains(got, "\n") || strings.Contains(got, "unknown") {
			t.Errorf("%s: %s", line, got)
		}
	}
	for _, c := range table() {
		for flag, answer := range longAnswers {
			if f := (&scanner{line: line{command: c}}).lookup(flag); f == nil {
				refused(c.name+" --"+flag, answer, c.name, "--"+flag+"=x")
				refused(c.name+" --"+flag, answer, c.name, "--"+flag)
			}
		}
		for letter, answer := range letterAnswers {
			if f := (&scanner{line: line{command: c}}).lookup(string(letter)); f == nil && letter != 'h' { // -h is help
				refused(c.name+" -"+string(letter), answer, c.name, "-"+string(letter))
			}
		}
	}
	for letter, answer := range letterAnswers {
		for mode := range modeLetters {
			word := string(mode) + string(letter)
			if bundleValues[letter] == "" && bundleFlags[letter] == "" && !always(letter, modeLetters[mode]) {
				refused(word, answer, word)
			}
		}
	}
}

// Wherever flags stand among operands, they mean the same. -C and -T do not
// move: they count from their place.
func TestFlagsMoveFreely(t *testing.T) {
	flags := [][]string{{"-v"}, {"-f", "a"}, {"--recipient=r"}, {"-R", "k"}, {"--level", "3"}, {"--no-compress"}, {"-nq"}}
	operands := []string{"one", "two", "three", "=", "a=b", "-"}
	want := ""
	for range 500 {
		var words []string
		f, o := 0, 0
		for f < len(flags) || o < len(operands) {
			if o == len(operands) || f < len(flags) && rand.IntN(2) == 0 {
				words = append(words, flags[f]...)
				f++
			} else {
				words = append(words, operands[o])
				o++
			}
		}
		l, err := parse(append([]string{"create"}, words...), table())
		if err != nil {
			t.Fatalf("%q: %v", words, err)
		}
		if got := shown(l); want == "" {
			want = got
		} else if got != want {
			t.Fatalf("%q:\n got %s\nwant %s", words, got, want)
		}
	}
}

// No word is lost or made up: every operand is a word of the line, in order,
// and no flag reaches the CLI library without its dashes.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"cvf a tok -R k", "x -C d 'a*'", "create -- -x", "-cf a", "t --json-fd=3 -T -", "cfCTX a b c d"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		words := strings.Split(in, " ")
		l, err := parse(words, table())
		if err != nil {
			if codeOf(err) != exitUsage {
				t.Fatalf("%q: exit code %d", words, codeOf(err))
			}
			return
		}
		rest := words
		for _, o := range l.operands {
			i := slices.IndexFunc(rest, func(w string) bool { return w == o.text || o.list && strings.HasSuffix(w, o.text) })
			if i < 0 {
				t.Fatalf("%q: the operand %q comes from nowhere", words, o.text)
			}
			if !o.list {
				rest = rest[i+1:]
			}
		}
		for _, flag := range l.flags {
			name, _, _ := strings.Cut(strings.TrimPrefix(flag, "--"), "=")
			if !strings.HasPrefix(flag, "--") || !slices.ContainsFunc(l.command.flags, func(f cli.Flag) bool { return f.Names()[0] == name }) {
				t.Fatalf("%q: the flag %q is none of %s", words, flag, l.command.name)
			}
		}
	})
}
