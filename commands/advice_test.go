package commands

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"tokar/backends"
	"tokar/format"
)

// The command of an advice works as it is printed: a shell splits it into these
// words.
func TestRestoreCommand(t *testing.T) {
	for _, c := range []struct {
		path  string
		token format.Name
		entry string
		kind  format.Kind
		want  string
	}{
		{"swtok", format.NameOf("swtok"), "10000000", format.KindObject, "--overwrite|swtok/10000000"},
		{"base/swtok/", format.NameOf("swtok"), "10000000", format.KindObject, "-C|base|--overwrite|swtok/10000000"},
		{"/swtok", format.NameOf("swtok"), "10000000", format.KindObject, "-C|/|--overwrite|swtok/10000000"},
		{"/a b/it's", format.NameOf("it's"), "x", format.KindObject, "-C|/a b|--overwrite|it's/x"},
		{"b/tpm/anna", format.NameOf("tpm", "anna"), "x", format.KindObject, "-C|b|--overwrite|tpm/anna/x"},
		{"tpm/anna", format.NameOf("tpm", "anna"), "x", format.KindObject, "--overwrite|tpm/anna/x"},
		{"/mnt/swtok", format.NameOf("old"), "x", format.KindObject, "-C|/mnt|--as=swtok|--overwrite|old/x"},
		{"swtok", format.NameOf("swtok"), "MK_USER", format.KindState, "--roll-back-pins|swtok"},
		{"swtok", format.NameOf("swtok"), "TOK_OBJ/OBJ.IDX", format.KindIndex, "swtok"},
		{"-d/-t", format.NameOf("-t"), "x", format.KindObject, `-C|./-d|--overwrite|\-t/x`},
		{"d\x1b/t*", format.NameOf("t*"), `[\?`, format.KindObject, `-C|d` + "\x1b" + `|--overwrite|t\*/\[\\\?`},
		{"\u202ed/t\xff", format.NameOf("t\xff"), "$(x)", format.KindObject, "-C|\u202ed|--overwrite|t\xff/$(x)"},
	} {
		r := restoreTo(c.path, c.token).of(c.token.String(), c.entry, c.kind)
		line := r.command([]string{r.operand})
		if escape(line) != strings.ReplaceAll(line, `\`, `\\`) {
			t.Errorf("%q shows a terminal what it could obey", line)
		}
		words, err := exec.Command("bash", "-c", "printf '%s|' "+strings.TrimPrefix(line, "tokar x ")).Output()
		if want := "-i|KEY|-f|ARCHIVE|" + c.want + "|"; err != nil || string(words) != want {
			t.Errorf("%s: %q, want %q: %v", line, words, want, err)
		}
		// The operand is a pattern for this entry, or its token.
		parts := strings.Split(c.want, "|")
		if operand := parts[len(parts)-1]; !matches(trimPattern(operand), c.token.String(), c.entry) || matches(operand, "swtok1", "1000000x") {
			t.Errorf("%s does not match %s/%s alone", operand, c.token, c.entry)
		}
	}
}

// Advice comes once for all findings that it fits, in JSON with each.
func TestAdvice(t *testing.T) {
	tell := func(r *report) {
		for i := range 12 {
			entry := fmt.Sprintf("%08d", i)
			a := advice{"as it is, " + backends.PutBack, restore{dir: "."}.of("tok", entry, format.KindObject)}
			r.tell(notice{Finding: format.Finding{Kind: "cut", Offset: -1, Message: "short"}, token: "tok", entry: entry, advice: a})
			r.tell(notice{Finding: format.Finding{Kind: "odd", Offset: -1, Message: "odd"}, token: "tok", entry: entry, advice: advice{text: "look"}})
			r.tell(notice{Finding: format.Finding{Kind: "own", Offset: -1, Message: "no advice"}, token: "tok", entry: entry})
		}
	}
	r, _, log := written()
	tell(r)
	r.finish(nil, nil)
	lines := strings.Split(strings.TrimSpace(log.String()), "\n")
	want := []string{
		"tokar: own: 2 findings more; -v names them all",
		"tokar: cut: as it is, put it back from an archive: tokar x -i KEY -f ARCHIVE --overwrite tok/00000000 tok/00000001 tok/00000002 tok/00000003 tok/00000004 tok/00000005 tok/00000006 tok/00000007 tok/00000008 tok/00000009; and 2 more in the same way",
		"tokar: odd: look",
	}
	if got := lines[len(lines)-3:]; strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("%q", got)
	}

	r, _, log = written()
	r.quiet = true
	tell(r)
	r.finish(nil, nil)
	if strings.Contains(log.String(), "tok/") || strings.Contains(log.String(), "look") {
		t.Errorf("-q: %s", log)
	}

	r, out, _ := written()
	r.json = &jsonLines{out: r.out}
	r.tell(notice{
		Finding: format.Finding{Kind: "mode", File: "x", Offset: 3, Message: "m"}, token: "tok", entry: "x", archived: "0660", live: "0600",
		advice: advice{backends.PutBack, restore{file: "a b", dir: "d"}.of("tok", "x", format.KindState)},
	})
	r.out.flush()
	wantJSON := `{"type":"finding","v":1,"token":"tok","name":"x","kind":"mode","file":"x","offset":3,"message":"m","archived":"0660","live":"0600","advice":"put it back from an archive, with the whole token and its PINs of then, which locks out who knows only today's: tokar x -i KEY -f 'a b' -C d --roll-back-pins tok"}` + "\n"
	if out.String() != wantJSON {
		t.Errorf("%s", out)
	}
}
