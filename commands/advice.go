package commands

import (
	"cmp"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"unicode"

	"tokar/backends"
	"tokar/format"
)

// An advice is what to do about a finding. In JSON it stands with each; people
// read it once for all findings that it fits, after the last, with one command
// for all entries that were named.
type advice struct {
	text    string
	restore restore
}

// A restore is the tokar extract, or repair, that puts an entry back. It can be typed as it
// is printed, but for key and archive where they are not known.
type restore struct {
	key     string // the flags for the key, as a shell takes them; empty if they are not known
	file    string // the archive; empty if it is not known
	dir     string // the token is in it
	as      string // the token's name there, if it is another in the archive
	config  string // the host's, which is to be written; else empty
	base    string // of its tokens, where that is not the usual
	flag    string
	repair  bool   // tokar repair does it, and touches nothing else
	operand string // empty: no restore
}

// mending is the tokar repair of a token that puts right what a finding is
// about, where there is one: files of objects, and the state that PINs stand in.
// pins are flags: what only they show needs them there too.
func (x restore) mending(token string, kind format.Kind, pins string) restore {
	if kind == format.KindObject || kind == format.KindState {
		return x.repairing(token, pins)
	}
	return x
}

// repairing is the tokar repair of a token.
func (x restore) repairing(token, pins string) restore {
	x.repair, x.operand, x.flag = true, patternOf(token), pins
	return x
}

// of is the restore of an entry. Into a token that is there go single objects;
// everything else comes with the whole token, and with its state the PINs.
func (x restore) of(token, entry string, kind format.Kind) restore {
	switch kind {
	case format.KindObject:
		x.flag, x.operand = "--overwrite", patternOf(token+"/"+entry)
	case format.KindState:
		x.flag, x.operand = "--roll-back-pins", patternOf(token)
	default:
		x.flag, x.operand = "", patternOf(token)
	}
	return x
}

// command is the line to type, for these operands.
func (x restore) command(operands []string) string {
	key, archive := cmp.Or(x.key, "-i KEY"), "ARCHIVE"
	if x.file != "" {
		archive = shellWord(pathWord(x.file))
	}
	words := []string{"tokar", "x", key, "-f", archive}
	if x.repair {
		words = []string{"tokar", "repair", "-f", archive, key}
	}
	if x.dir != "." {
		words = append(words, "-C", shellWord(pathWord(x.dir)))
	}
	if x.as != "" {
		words = append(words, "--as="+shellWord(x.as))
	}
	if x.config != "" {
		words = append(words, "--configuration", "--config="+shellWord(x.config))
	}
	if x.base != "" {
		words = append(words, "--base="+shellWord(x.base))
	}
	if x.flag != "" {
		words = append(words, x.flag) // as a shell takes it
	}
	for _, o := range operands {
		words = append(words, shellWord(o))
	}
	return strings.Join(words, " ")
}

// with says what comes with the entry.
func (x restore) with() string {
	switch {
	case x.repair:
		return ""
	}
	switch x.flag {
	case "--overwrite":
		return ""
	case "--roll-back-pins":
		return ", with the whole token and its PINs of then, which locks out who knows only today's"
	}
	return ", with the whole token, without what was added since"
}

// adviceOf is what a backend advises on a kind of finding, with the command
// where an archive helps: to, or the repair of the token with pins, which are flags.
func adviceOf(b backends.Backend, kind string, about backends.Subject, to restore, pins string) advice {
	a := advice{text: b.Advice(kind, about)}
	switch {
	case strings.HasSuffix(a.text, backends.PutBack):
		a.restore = to
	case strings.HasSuffix(a.text, backends.Repair):
		a.restore = to.repairing(about.Token.Name.String(), pins)
	}
	return a
}

// line is the advice, with the command for these operands.
func (a advice) line(operands []string) string {
	if len(operands) == 0 {
		return a.text
	}
	return a.text + a.restore.with() + ": " + a.restore.command(operands)
}

// one is the advice on one finding.
func (a advice) one() string {
	if a.restore.operand == "" {
		return a.line(nil)
	}
	return a.line([]string{a.restore.operand})
}

// An advised is an advice that fits several findings.
type advised struct {
	kinds    []string
	advice   // without an operand
	operands []string
	more     int // operands beyond those
}

// remember keeps an advice until the end.
func (r *report) remember(kind string, a advice) {
	if a.text == "" {
		return
	}
	operand := a.restore.operand
	a.restore.operand = ""
	i := slices.IndexFunc(r.advised, func(b *advised) bool { return b.advice == a })
	if i < 0 {
		i = len(r.advised)
		r.advised = append(r.advised, &advised{advice: a})
	}
	at := r.advised[i]
	if !slices.Contains(at.kinds, kind) {
		at.kinds = append(at.kinds, kind)
	}
	switch {
	case operand == "" || slices.Contains(at.operands, operand):
	case len(at.operands) == sameFindings:
		at.more++
	default:
		at.operands = append(at.operands, operand)
	}
}

// whole ranks an advice by how much its command changes.
func (a *advised) whole() int {
	switch {
	case len(a.operands) == 0 || a.restore.flag == "--overwrite" || a.restore.repair:
		return 0
	case a.restore.flag == "":
		return 1
	}
	return 2
}

// advise says what to do about what was found. Commands for single objects come
// first: beside the old copy that a whole token leaves they would be refused.
func (r *report) advise() {
	slices.SortStableFunc(r.advised, func(a, b *advised) int { return a.whole() - b.whole() })
	for _, a := range r.advised {
		line := a.line(a.operands)
		if a.more > 0 {
			line += fmt.Sprintf("; and %d more in the same way", a.more)
		}
		r.say("%s: %s", escape(strings.Join(a.kinds, ", ")), line)
	}
}

// restoreTo is the place of a token that is called name and stands at path.
func restoreTo(path string, name format.Name) restore {
	if path = filepath.Clean(path); path == "." || filepath.Base(path) == ".." {
		path = realPath(path)
	}
	below := filepath.Join(name.Components()...)
	switch dir, ok := strings.CutSuffix(path, "/"+below); {
	case path == below:
		return restore{dir: "."}
	case ok:
		return restore{dir: cmp.Or(dir, "/")}
	}
	return restore{dir: filepath.Dir(path), as: filepath.Base(path)}
}

// patternOf is a name as a pattern that matches it alone, and that is no flag.
func patternOf(name string) string {
	name = strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(name)
	if strings.HasPrefix(name, "-") {
		name = `\` + name
	}
	return name
}

// pathWord is a path that is no flag.
func pathWord(path string) string {
	if strings.HasPrefix(path, "-") {
		return "./" + path
	}
	return path
}

// shellWord is a word that a shell takes as it is, whatever is in it, and that
// a terminal shows as it is.
func shellWord(s string) string {
	plain := func(c rune) bool {
		return c < unicode.MaxASCII && (unicode.IsLetter(c) || unicode.IsDigit(c) || strings.ContainsRune("_./:=@%+,-", c))
	}
	switch {
	case s != "" && strings.IndexFunc(s, func(c rune) bool { return !plain(c) }) < 0:
		return s
	case escape(s) == strings.ReplaceAll(s, `\`, `\\`):
		return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
	}
	var b strings.Builder
	for i := range len(s) {
		fmt.Fprintf(&b, `\x%02x`, s[i])
	}
	return "$'" + b.String() + "'"
}
