package commands

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The pages for operators are run as they are written. What is indented by four
// blanks is typed, or is a session: where a block begins with "$ ", the lines
// without it are what the terminal shows. A fenced block of sh is a file of the
// name that stands before it. Each page runs in a world of its own, where the
// absolute paths lead into a scratch directory, and ssh, aws and the like are
// stand-ins that keep files there.

// prepared is what a page takes for granted, and what happens on the host
// between its lines.
type prepared struct {
	before string            // a script
	at     map[string]string // scripts, each to run before every command with these words
}

var pages = map[string]prepared{
	"README.md": {at: map[string]string{
		"tokar check": "truncate -s 100 $W/var/lib/opencryptoki/swtok/TOK_OBJ/10000000",
	}},
	"docs/BACKUP.md": {at: map[string]string{
		"mkdir trial": "cp $W/vault/host7.tokar .",
	}},
	"docs/CHECK.md": {before: "echo 01234567 >user.pin; echo 76543210 >so.pin; chmod 600 *.pin\n"},
	"docs/CONFIGURATION.md": {at: map[string]string{
		"tokar x --configuration": "echo '# changed since' >>$W/etc/opencryptoki/opencryptoki.conf; cp -r $W/var/lib/opencryptoki kept; rm -r $W/var/lib/opencryptoki/*",
	}},
	"docs/CRON.md": {},
	"docs/FIPS.md": {before: "rm -f *.key *.pub $W/etc/tokar/*"},
	"docs/JSON.md": {before: archived},
	"docs/KEYS.md": {before: "rm -f *.key *.pub $W/etc/tokar/*"},
	"docs/MIGRATE.md": {before: migratable, at: map[string]string{
		"--byte-order": "rm -rf $W/var/lib/opencryptoki/*_MIGRATED",
	}},
	"docs/LIVE.md": {before: "mkdir -p $W/var/lock/opencryptoki/swtok; : >$W/var/lock/opencryptoki/swtok/LCK..swtok"},
	"docs/TPM.md": {before: "echo 01234567 >user.pin; echo 76543210 >so.pin; chmod 600 *.pin; mkdir -p $W/mnt/pems/root $W/mnt/restored; cp -r " + tpmFixture +
		" $W/var/lib/opencryptoki/tpm; chmod -R u+w $W/var/lib/opencryptoki/tpm; mv $W/var/lib/opencryptoki/tpm/root/*.pem $W/mnt/pems/root"},
	"docs/OBJECT-STORAGE.md": {},
	"docs/REKEY.md":          {before: archived},
	"docs/INTO.md":           {before: archived + "; cp host7.tokar backup.tokar; printf 01234567 | tee new.pin >user.pin"},
	"docs/REPAIR.md": {before: archived + "; cp host7.tokar backup.tokar; printf 01234567 >user.pin; cd $W/var/lib/opencryptoki/swtok; " +
		"truncate -s 100 TOK_OBJ/10000000; rm MK_USER TOK_OBJ/20000000; printf '00000000\n' >>TOK_OBJ/OBJ.IDX; cd $OLDPWD", at: map[string]string{
		"tokar check": "truncate -s 100 $W/var/lib/opencryptoki/swtok/TOK_OBJ/10000000",
	}},
	"docs/RESTORE-OBJECT.md": {before: archived + "; cp host7.tokar backup.tokar", at: map[string]string{
		"tokar x": "rm $W/var/lib/opencryptoki/swtok/TOK_OBJ/10000000",
	}},
	"docs/RESTORE.md": {before: archived + "; cp host7.tokar backup.tokar; rm -r $W/var/lib/opencryptoki/newtok", at: map[string]string{
		"tokar x": "rm -rf $W/var/lib/opencryptoki/swtok.tokar-old",
	}},
	"docs/SALVAGE.md": {before: grown},
	"docs/SIGN.md":    {},
	"docs/VERIFY.md":  {before: archived + "; cp host7.tokar monday.tokar; cp host7.tokar tuesday.tokar"},
}

var tpmFixture, _ = filepath.Abs(fixtures + "/tpmtok-old")

// archived makes the archive that pages speak of.
const archived = "tokar create -q -R restore.key.pub --verifier-file verify.key.pub -f host7.tokar swtok; cp host7.tokar $W/vault"

// migratable makes the configuration that the page speaks of; one token has been
// migrated by the real pkcstok_migrate.
const migratable = `export PKCS_APP_STORE=$W/var/lib/opencryptoki
mkdir -p $W/etc/opencryptoki
printf 'version v\nslot 3 {\n  stdll = libpkcs11_sw.so\n}\nslot 5 {\n  stdll = libpkcs11_sw.so\n  tokname = migrated\n  tokversion = 3.12\n}\n' >$W/etc/opencryptoki/opencryptoki.conf
cp -r $TESTDATA/migrated/swtok-old-small-migrated $W/var/lib/opencryptoki/migrated
chmod -R u+w $W/var/lib/opencryptoki/migrated
printf 01234567 >user.pin; printf 76543210 >so.pin; chmod 600 *.pin`

// grown makes an archive of a token of several blocks, of which one is damaged, and
// one of the token before it grew.
const grown = `tokar keygen -q -o restore.key
tokar create -q -R restore.key.pub -f older.tokar swtok
for n in $(seq 1000001 1000400); do
	name=ZZ${n#1}
	{ head -c 13 swtok/TOK_OBJ/00000000; printf %s $name; tail -c +22 swtok/TOK_OBJ/00000000; } >swtok/TOK_OBJ/$name
	echo $name >>swtok/TOK_OBJ/OBJ.IDX
done
tokar create -q -R restore.key.pub -f host7.tokar swtok
set -- $(LC_ALL=C grep -obaP '\xf7TKB' host7.tokar | cut -d: -f1)
printf XXXX | dd of=host7.tokar bs=1 seek=$((($3 + $4) / 2)) conv=notrunc status=none
mv swtok then`

// reference are pages without anything for operators to type.
var reference = []string{"docs/DESIGN.md", "docs/FORMAT.md", "docs/PERFORMANCE.md", "docs/SECURITY.md", "docs/TESTING.md"}

func TestPages(t *testing.T) {
	if testing.Short() {
		t.Skip("many a tokar, with passphrases at their full cost")
	}
	found, err := filepath.Glob("../docs/*.md")
	must(t, err)
	for _, path := range append(found, "../README.md") {
		name := strings.TrimPrefix(path, "../")
		p, ok := pages[name]
		if slices.Contains(reference, name) {
			continue
		}
		if !ok {
			t.Errorf("%s: say in pages or reference what it is", name)
			continue
		}
		t.Run(filepath.Base(name), func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(path)
			must(t, err)
			world := newWorld(t)
			steps := readPage(t, world, string(text))
			if len(steps) == 0 {
				t.Fatal("there is nothing to type on this page")
			}
			all := world.run(t, p, steps)
			for i, s := range steps {
				s.judge(t, world, all[i], i+1 < len(steps) && steps[i+1].typed == "echo $?")
			}
		})
	}
}

// Commands and flags that stand in the text are not run, but tokar must take
// them for its own.
func TestCommandsInText(t *testing.T) {
	known := map[string]bool{"--help": true, "--version": true, "--expected-size": true} // the last is aws's
	for _, c := range table() {
		for _, f := range c.flags {
			for _, n := range f.Names() {
				known["--"+n] = len(n) > 1
			}
		}
	}
	for name := range pages {
		text, err := os.ReadFile(filepath.Join("..", name))
		must(t, err)
		for _, span := range regexp.MustCompile("`([^`\n]*)`").FindAllStringSubmatch(string(text), -1) {
			words := strings.Fields(span[1][strings.LastIndex(span[1], "| ")+1:])
			switch {
			case len(words) > 0 && strings.HasPrefix(words[0], "--"):
				if flag, _, _ := strings.Cut(words[0], "="); !known[flag] {
					t.Errorf("%s: %s: no command has that flag", name, span[1])
				}
			case len(words) > 1 && words[0] == "tokar":
				if _, err := parse(words[1:], table()); err != nil {
					t.Errorf("%s: %s: %v", name, span[1], err)
				}
			}
		}
	}
}

// A step is a command of a page, and what the page says that it shows.
type step struct {
	typed   string
	shown   []string
	session bool // what is shown is all that comes
}

var cronLine = regexp.MustCompile(`^[0-9*]+ [0-9*]+ \* \* \* `)

// readPage takes a page apart, and makes the files that it shows.
func readPage(t *testing.T, world *world, text string) (steps []step) {
	session, file, block := false, "", ""
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		typed, indented := strings.CutPrefix(line, "    ")
		switch {
		case file != "" && line == "```":
			must(t, os.MkdirAll(filepath.Dir(file), 0o700))
			must(t, os.WriteFile(file, []byte(world.here(block)), 0o755))
			file, block = "", ""
		case file != "":
			block += line + "\n"
		case line == "```sh":
			named := regexp.MustCompile("`(/[^`]*)`").FindAllStringSubmatch(text[:strings.Index(text, "```sh")], -1)
			file = world.here(named[len(named)-1][1])
		case !indented:
			session = false
		case strings.HasPrefix(typed, "make "):
			areTargets(t, typed)
		case strings.HasPrefix(typed, "$ "):
			session = true
			steps = append(steps, step{typed: typed[2:], session: true})
		case session:
			last := &steps[len(steps)-1]
			last.shown = append(last.shown, typed)
		default:
			steps = append(steps, step{typed: cronLine.ReplaceAllString(typed, "")})
		}
	}
	return steps
}

// areTargets looks for targets of make, which CI runs.
func areTargets(t *testing.T, typed string) {
	makefile, err := os.ReadFile("../Makefile")
	must(t, err)
	typed, _, _ = strings.Cut(typed, "#")
	for _, m := range regexp.MustCompile(`\bmake ([a-z]+)`).FindAllStringSubmatch(typed, -1) {
		if !regexp.MustCompile(`(?m)^` + m[1] + `:.* ## `).Match(makefile) {
			t.Errorf("make has no target %s", m[1])
		}
	}
}

// came is what came of a step.
type came struct {
	text string
	code string
}

// judge compares what came with what the page says. A command succeeds; in
// a session it may have findings, or fail where the exit code is asked for next.
func (s step) judge(t *testing.T, w *world, got came, asked bool) {
	t.Helper()
	shown := strings.Join(s.shown, "\n")
	if found := got.code == "1" && s.session && strings.Contains(got.text, " finding"); got.code != "0" && !found && !asked {
		t.Errorf("$ %s\n%sexit code %s", s.typed, got.text, got.code)
		return
	}
	if !s.session {
		return
	}
	want := strings.ReplaceAll(regexp.QuoteMeta(constant(shown)), "\n…", `(?s:\n.*)?`)
	want = strings.ReplaceAll(strings.TrimPrefix(want, "…"), "…", ".*")
	if s.shown == nil || regexp.MustCompile(`^…$`).MatchString(shown) {
		want = `(?s:.*)`
	}
	if text := constant(w.there(strings.TrimSuffix(got.text, "\n"))); !regexp.MustCompile(`^` + want + `$`).MatchString(text) {
		t.Errorf("$ %s\n%s\nthe page shows\n%s", s.typed, text, shown)
	}
}

// constant is a terminal's text without what is another each time.
func constant(text string) string {
	for _, v := range []struct{ varies, name string }{
		{`\b20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ`, "TIME"},
		{`\bage1[0-9a-z]+`, "KEY"},
		{`made on \S+ by ("[^"]*"|\S+);`, "made on HOST;"},
		{`whole: [0-9.]+ KiB,`, "whole: SIZE,"},
	} {
		text = regexp.MustCompile(v.varies).ReplaceAllString(text, v.name)
	}
	return text
}
