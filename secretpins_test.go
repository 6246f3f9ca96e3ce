package main_test

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tokar/backends/opencryptoki/tokendata"
)

// TestPINsStay runs every command that takes PINs, with right and wrong ones,
// and with calls that fail, and looks for them and for what they open in all
// that is written, tokens too.
func TestPINsStay(t *testing.T) {
	if testing.Short() {
		t.Skip("runs a tokar of its own, so that -short has nothing new")
	}
	r := newRig(t)
	home := t.TempDir()
	at1 := func(name string) string { return filepath.Join(home, name) }
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	const user, so, wrong = "01234567", "76543210", "29384756"
	for name, text := range map[string]string{"user": user, "so": so, "wrong": wrong, "two": user + "\n" + so} {
		must(os.WriteFile(at1(name+".pin"), []byte(text+"\n"), 0o600))
	}
	const conf = "version opencryptoki-3.8\nslot 3\n{\nstdll = libpkcs11_sw.so\n}\n"
	must(os.WriteFile(at1("opencryptoki.conf"), []byte(conf), 0o644))
	base := at1("lib")
	source := filepath.Join(base, "swtok")
	must(os.Mkdir(base, 0o755))
	placeFew(t, "swtok", source)
	placeFew(t, "newtok", at1("newtok"))
	must(filepath.WalkDir(home, func(path string, d fs.DirEntry, err error) error {
		if err == nil { // place gives times with the digits of a PIN in them
			err = os.Chtimes(path, time.Unix(1.6e9, 0), time.Unix(1.6e9, 0))
		}
		return err
	}))
	s := secrets{"the user PIN": []byte(user), "the SO PIN": []byte(so), "a wrong PIN": []byte(wrong)}
	for what, object := range insides(t, source, user) {
		s[what] = object
	}
	archive := at1("archive")
	r.must(t, "create", "-q", "-R", r.key+".pub", "-f", archive, source)

	runs, said := 0, 0
	look := func(what string, text []byte) {
		t.Helper()
		said += len(text)
		if found := s.leaks(text); found != nil {
			t.Errorf("%s: shows %q:\n%s", what, found, clip(string(text)))
		}
	}
	run := func(args ...string) {
		t.Helper()
		cmd := exec.Command(r.tokar, args...)
		cmd.Dir, cmd.Stdin = home, strings.NewReader(user+"\n")
		cmd.Env = append(os.Environ(), "USERPIN="+user)
		out, _ := cmd.CombinedOutput()
		runs++
		look(fmt.Sprintf("%q", args), out)
	}
	migrate := []string{"migrate", "fips", "--yes", "--config", "opencryptoki.conf", "--slot", "3", "--datastore", source}
	sources := [][]string{
		{"--pin", "file:user.pin", "--so-pin", "file:so.pin"}, {"--pin", "env:USERPIN"}, {"--pin", "fd:0"}, {"--pin", "swtok=file:user.pin"},
		{"--pin", "file:wrong.pin"}, {"--pin", "file:two.pin"}, {"--pin", user}, {"--so-pin=" + so}, {"--pin", "nobody=file:user.pin"},
	}
	for _, pins := range sources {
		for _, args := range [][]string{
			{"check", "-v", source}, {"check", "--json", source},
			{"create", "-R", r.key + ".pub", "--force", "-f", at1("made"), source},
			{"verify", "-i", r.key, "-f", archive},
			{"list", "-v", "-i", r.key, "-f", archive}, {"list", "-v", "--json", "-i", r.key, "-f", archive},
			{"diff", "-i", r.key, "-f", archive, "-C", base},
			{"repair", "-n", "-i", r.key, "-f", archive, "-C", base, "swtok"},
			append(migrate, "-n"),
		} {
			run(append(args[:len(args):len(args)], pins...)...)
		}
	}
	damaged := filepath.Join(source, "TOK_OBJ", "10000000")
	whole, err := os.ReadFile(damaged)
	must(err)
	must(os.WriteFile(damaged, whole[:len(whole)-8], 0o660))
	for _, args := range [][]string{
		{"check", "--pin", "file:user.pin", base},
		{"repair", "-i", r.key, "-f", archive, "-C", base, "--pin", "file:user.pin", "swtok"},
		{"extract", "-i", r.key, "-f", archive, "--into", "newtok", "--pin", "file:user.pin", "--into-pin", "file:user.pin", "swtok"},
		{"extract", "-i", r.key, "-f", archive, "--into", "newtok", "--pin", "file:wrong.pin", "--into-pin", "file:user.pin", "swtok"},
		append(migrate, "-u", wrong, "-p", so),
		append(migrate, "-u", user, "-p", so, "-v", "devel"),
		{"migrate", "undo", "--yes", "--config", "opencryptoki.conf", "--slot", "3", "--datastore", source},
	} {
		run(args...)
	}
	must(os.RemoveAll(source + "_MIGRATED"))
	for i := 1; i < 400; i += 40 {
		plan := at(i, "-fail", "EIO")
		o := r.run(t, home, plan, append(migrate[:len(migrate):len(migrate)], "--pin", "file:"+at1("user.pin"), "--so-pin", "file:"+at1("so.pin"), "--config", at1("opencryptoki.conf"))...)
		look(fmt.Sprint("migrate, EIO at ", i), []byte(o.stderr))
		runs++
	}
	files := 0
	must(filepath.WalkDir(home, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasSuffix(path, ".pin") {
			return err
		}
		text, err := os.ReadFile(path)
		files++
		look(path, text)
		return err
	}))
	t.Logf("counted: %d runs and %d files, %d bytes looked at for %d secrets", runs, files, said, len(s))
	if runs < 90 || files < 20 || said < 50_000 {
		t.Error("too few")
	}
}

// insides gives some bytes of each private object of a token.
func insides(t *testing.T, dir, pin string) secrets {
	t.Helper()
	read := func(name string) []byte {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	k, err := tokendata.User.Open(read("NVTOK.DAT"), read("MK_USER"), []byte(pin))
	if err != nil {
		t.Fatal(err)
	}
	s := secrets{}
	names, _ := filepath.Glob(filepath.Join(dir, "TOK_OBJ", "????????"))
	for _, path := range names {
		file := read(filepath.Join("TOK_OBJ", filepath.Base(path)))
		if !tokendata.ParseObject(file, k.Format()).Private || len(file) < 1000 {
			continue // of keys, whose values are long
		}
		object, err := k.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		s["private object "+filepath.Base(path)] = object[len(object)/2:][:24]
	}
	if len(s) == 0 {
		t.Fatal("no private object")
	}
	return s
}
