package main_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
	"tokar/format"
	"tokar/format/keyslot"
)

// secrets are what must stand nowhere but where they belong, by what they are.
type secrets map[string][]byte

// leaks names those that are in a text: as they are, in hexadecimal, in base64
// of either alphabet at any of its three places, reversed, or in JSON's \u.
func (s secrets) leaks(text []byte) (found []string) {
	lower := bytes.ToLower(text)
	for what, secret := range s {
		forms := [][]byte{secret, fmt.Appendf(nil, "%q", secret), reversed(secret)}
		for shift := range 3 {
			padded := append(make([]byte, shift), secret...)
			for _, e := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
				b := []byte(e.EncodeToString(padded))
				forms = append(forms, b[(shift*8+5)/6:len(b)-1]) // letters of it alone
			}
		}
		in := bytes.Contains(lower, []byte(hex.EncodeToString(secret)))
		for _, form := range forms {
			in = in || bytes.Contains(text, form)
		}
		if in {
			found = append(found, what)
		}
	}
	return found
}

func reversed(b []byte) []byte {
	r := bytes.Clone(b)
	for i := range len(r) / 2 {
		r[i], r[len(r)-1-i] = r[len(r)-1-i], r[i]
	}
	return r
}

// The harness finds what was planted, and a program that tells its secret.
func TestSecretsAreFound(t *testing.T) {
	s := secrets{"it": []byte("a secret \x00\xff of some bytes")}
	for i, text := range [][]byte{
		s["it"], []byte(hex.EncodeToString(s["it"])), []byte(strings.ToUpper(hex.EncodeToString(s["it"]))),
		[]byte(base64.StdEncoding.EncodeToString(append([]byte("xx"), s["it"]...))),
		[]byte(base64.URLEncoding.EncodeToString(append([]byte("x"), append(s["it"], "yy"...)...))),
		fmt.Appendf(nil, "%q", s["it"]), reversed(s["it"]),
	} {
		if len(s.leaks(append([]byte("before "), append(text, " after"...)...))) == 0 {
			t.Errorf("form %d is not seen", i)
		}
	}
	if found := s.leaks([]byte("a secret of some bytes")); found != nil {
		t.Error(found)
	}
	file := filepath.Join(t.TempDir(), "passphrase")
	if err := os.WriteFile(file, s["it"], 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("sh", "-c", `echo "cannot use: $(base64 -w0 "$0")" >&2; exit 1`, file).CombinedOutput()
	if err == nil || len(s.leaks(out)) == 0 {
		t.Errorf("a program that leaks is not caught: %v, %s", err, out)
	}
}

// spy is a plugin that writes down its environment, its arguments and its
// parent's.
const spy = `#!/bin/sh
{ env; tr '\0' '\n' </proc/$$/cmdline; tr '\0' '\n' </proc/$PPID/cmdline; } >>"$SPIED" 2>/dev/null
exit 1
`

// TestSecretsStay runs every command with secrets, with wrong ones and with
// calls that fail, and looks for them in all that is written, in what a plugin
// can see, and in every file that was made.
func TestSecretsStay(t *testing.T) {
	if testing.Short() {
		t.Skip("runs a tokar of its own, so that -short has nothing new")
	}
	r := newRig(t)
	home := t.TempDir()
	at1 := func(name string) string { return filepath.Join(home, name) }
	write := func(name, text string, mode fs.FileMode) string {
		t.Helper()
		if err := os.WriteFile(at1(name), []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return at1(name)
	}
	const pass, wrong = "canary-passphrase Zürich 7391", "canary-wrong-guess 2648"
	passFile, wrongFile := write("pass", pass+"\n", 0o600), write("wrong", wrong+"\r\n", 0o600)
	source := at1("swtok")
	placeFew(t, "swtok", source)
	private, err := os.ReadFile(filepath.Join(source, "TOK_OBJ", "10000000"))
	if err != nil {
		t.Fatal(err)
	}
	master, err := os.ReadFile(filepath.Join(source, "MK_USER"))
	if err != nil {
		t.Fatal(err)
	}
	identity, err := os.ReadFile(r.key)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Fields(string(identity))
	secret := lines[len(lines)-1]
	hpkeKey, archive := at1("hpke.key"), at1("archive")
	r.must(t, "keygen", "-q", "--hpke=p256", "-o", hpkeKey)
	hpkeFile, err := os.ReadFile(hpkeKey)
	if err != nil {
		t.Fatal(err)
	}
	lines = strings.Fields(string(hpkeFile))
	hpkeSecret := lines[len(lines)-1]
	r.must(t, "create", "-q", "-R", r.key+".pub", "-R", hpkeKey+".pub", "--passphrase", "file:"+passFile, "-f", archive, source)
	s := secrets{
		"the passphrase": []byte(pass), "a wrong one": []byte(wrong), "the identity": []byte(secret), "half of it": []byte(secret[20:45]),
		"the HPKE identity": []byte(hpkeSecret), "half of that": []byte(hpkeSecret[40:65]),
		"a private object": private[len(private)/2:][:24], "MK_USER": master[8:32], "tK": restoreKeyOf(t, archive, pass),
	}
	signing := ed25519.NewKeyFromSeed([]byte("canary signing key, 32 bytes it "))
	s["the signing key"] = signing.Seed()
	open, err := ssh.MarshalPrivateKey(signing, "")
	if err != nil {
		t.Fatal(err)
	}
	locked, err := ssh.MarshalPrivateKeyWithPassphrase(signing, "", []byte(pass))
	if err != nil {
		t.Fatal(err)
	}
	signKey, lockedKey := write("sign.key", string(pem.EncodeToMemory(open)), 0o600), write("locked.key", string(pem.EncodeToMemory(locked)), 0o600)
	cutSignKey := write("cutsign.key", string(pem.EncodeToMemory(open)[:200]), 0o600)
	badKey := write("bad.key", strings.Replace(secret, secret[30:32], "!!", 1)+"\n", 0o600)
	cutKey := write("cut.key", secret[:len(secret)-4]+"\n", 0o600)
	badHPKE := write("badhpke.key", strings.Replace(hpkeSecret, hpkeSecret[60:62], "!!", 1)+"\n", 0o600)
	joined := write("joined.key", "# "+wrong+"\n"+secret+" "+pass+"\n", 0o600)
	damaged, err := os.ReadFile(archive)
	if err != nil {
		t.Fatal(err)
	}
	damaged[len(damaged)/2] ^= 1
	bad := write("damaged", string(damaged), 0o600)
	bin := at1("bin")
	if err := os.Mkdir(bin, 0o700); err != nil {
		t.Fatal(err)
	}
	write("bin/age-plugin-spy", spy, 0o700)
	spied := at1("spied")
	env := append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"), "SPIED="+spied, "HOME="+home)

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
		cmd.Env, cmd.Dir = env, home
		for name, value := range map[string]string{"SECRET": pass, "WRONG": wrong} {
			if strings.Contains(strings.Join(args, " "), "env:"+name) {
				cmd.Env = append(cmd.Env[:len(env):len(env)], name+"="+value)
			}
		}
		cmd.Stdin = strings.NewReader(pass + "\n")
		out, _ := cmd.CombinedOutput()
		runs++
		look(fmt.Sprintf("%q", args), out)
	}
	n := 0
	fresh := func() string { n++; dir := at1("new" + strconv.Itoa(n)); os.Mkdir(dir, 0o700); return dir }
	const plugin = "age1spy10pu8s7rc0pu8s7rc0pu8s7rc0qru86wq"
	for _, key := range [][]string{
		{"-i", r.key}, {"--passphrase", "file:" + passFile}, {"--passphrase", "env:SECRET"}, {"--passphrase", "fd:0"},
		{"--passphrase", "file:" + wrongFile}, {"--passphrase", "env:WRONG"}, {"--passphrase", pass}, {"--passphrase=" + wrong}, {"-p", pass},
		{"-i", badKey}, {"-i", cutKey}, {"-i", hpkeKey}, {"-i", badHPKE}, {"-i", joined}, {"-i", passFile}, {"-i", archive},
	} {
		for _, file := range []string{archive, bad} {
			with := append(append([]string{}, key...), "-f", file)
			run(append([]string{"extract", "-v", "-C", fresh()}, with...)...)
			if file == archive {
				run(append([]string{"list", "--json"}, with...)...)
				run(append([]string{"diff", "-C", home}, with...)...)
			} else {
				run(append([]string{"verify"}, with...)...)
				run(append([]string{"extract", "--salvage", "-C", fresh()}, with...)...)
			}
		}
		if key[0] == "-p" {
			continue // what is no flag's is an operand, and named
		}
		run(append([]string{"create", "-R", r.key + ".pub", "--force", "-f", at1("made"), source}, key...)...)
		run(append([]string{"cat", "-f", archive, "-o", at1("public" + strconv.Itoa(n)), "swtok/00000000"}, key...)...)
	}
	for _, args := range [][]string{
		{"create", "-r", plugin, "--passphrase", "env:SECRET", "-f", at1("p"), source},
		{"create", "-r", plugin, "--passphrase", "file:" + passFile, "-f", at1("p"), source},
		{"create", "-r", secret, "-f", at1("p"), source}, // a secret key for a recipient
		{"create", "-R", r.key, "-f", at1("p"), source},
		{"create", "-r", hpkeSecret, "-f", at1("p"), source},
		{"create", "-R", badHPKE, "-f", at1("p"), source},
		{"create", "-R", passFile, "-f", at1("p"), source},
		{"create", "-R", r.key + ".pub", "-f", at1("p"), source + "/" + "nowhere"},
		{"create", "-R", r.key + ".pub", "--sign", signKey, "-f", at1("signed"), source},
		{"create", "-R", r.key + ".pub", "--sign", cutSignKey, "-f", at1("p"), source},
		{"create", "-R", r.key + ".pub", "--sign", lockedKey, "--sign-passphrase", "file:" + passFile, "--force", "-f", at1("signed"), source},
		{"create", "-R", r.key + ".pub", "--sign", lockedKey, "--sign-passphrase", "fd:0", "--force", "-f", at1("signed"), source},
		{"create", "-R", r.key + ".pub", "--sign", lockedKey, "--sign-passphrase", "env:WRONG", "-f", at1("p"), source},
		{"create", "-R", r.key + ".pub", "--sign", lockedKey, "--sign-passphrase", pass, "-f", at1("p"), source},
		{"verify", "-i", r.key, "--signers", signKey, "-f", archive},
		{"check", source}, {"check", "--json", source},
		{"rekey", "--passphrase", "file:" + passFile, "--new-passphrase", "env:WRONG", "--drop", "passphrase", "-f", archive, "-o", at1("rekeyed")},
		{"rekey", "--passphrase", "file:" + passFile, "--new-passphrase", "file:" + wrongFile, "-f", archive},
		{"rekey", "--passphrase", "file:" + wrongFile, "--new-passphrase", "file:" + passFile, "-f", archive},
		{"rekey", "-i", r.key, "-r", secret, "-f", archive},
		{"rekey", "-i", r.key, "-R", passFile, "--drop", "2", "-f", bad},
		{"keygen", "-o", at1("k1"), "--passphrase", "file:" + passFile},
		{"keygen", "-o", at1("k1"), "--passphrase", "env:WRONG"},
		{"keygen", "--hpke", "-o", at1("k2"), "--passphrase", "file:" + passFile},
		{"keygen", "-o", "/nowhere/k", "--passphrase", "file:" + passFile},
		{"list", "-i", at1("k1"), "--passphrase", "file:" + wrongFile, "-f", archive},
		{"list", "-f", archive, "-i", "file:" + passFile},
		{"verify", "--passphrase", "fd:0", "-f", "-"},
		{"version", "--json"}, {"help", "create"},
	} {
		run(args...)
	}
	if seen, err := os.ReadFile(spied); err != nil || !strings.Contains(string(seen), "age-plugin-spy") {
		t.Errorf("the plugin saw nothing: %v", err)
	} else {
		look("what a plugin sees", seen)
	}
	// Calls that fail or that a kill follows, with temporary files left.
	for i := 1; i < 40; i += 6 {
		o := r.run(t, home, at(i, "-fail", "EIO"), "create", "-R", r.key+".pub", "--passphrase", "file:"+passFile, "--force", "-f", at1("made"), source)
		look(fmt.Sprint("create, EIO at ", i), []byte(o.stderr))
		r.run(t, home, at(i, "-kill"), "create", "-R", r.key+".pub", "--passphrase", "file:"+passFile, "--force", "-f", at1("made"), source)
		o = r.run(t, home, at(4*i, "-calls", "changes,reads", "-fail", "EIO"), "extract", "--passphrase", "file:"+passFile, "-f", archive, "-C", fresh())
		look(fmt.Sprint("extract, EIO at ", 4*i), []byte(o.stderr))
		runs += 3
	}
	files := 0
	err = filepath.WalkDir(home, func(path string, d fs.DirEntry, err error) error {
		rel, _ := filepath.Rel(home, path)
		top, _, _ := strings.Cut(rel, "/")
		switch {
		case err != nil:
			return err
		case d.IsDir() && (rel == "swtok" || strings.HasPrefix(rel, "new")):
			return fs.SkipDir // tokens
		case d.IsDir(), strings.HasSuffix(top, ".key"), top == "pass", top == "wrong", top == "spied":
			return nil
		}
		text, err := os.ReadFile(path)
		files++
		look(rel, text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("counted: %d runs and %d files, %d bytes looked at for %d secrets", runs, files, said, len(s))
	if runs < 80 || files < 5 || said < 10_000 {
		t.Error("too few")
	}
}

// restoreKeyOf opens the passphrase's slot.
func restoreKeyOf(t *testing.T, archive, pass string) []byte {
	t.Helper()
	b, err := os.ReadFile(archive)
	if err != nil {
		t.Fatal(err)
	}
	h, err := format.ReadHeader(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	k, err := keyslot.NewPassphrase(func() ([]byte, error) { return []byte(pass), nil }).Unwrap(t.Context(), h.Archive, h.Slots)
	if err != nil || len(k.Secret) != 32 {
		t.Fatal(err)
	}
	return k.Secret
}

// TestOddSecrets gives passphrases of odd lengths and line ends: each opens what
// it made, or is refused with a reason; none hangs.
func TestOddSecrets(t *testing.T) {
	if testing.Short() {
		t.Skip("runs a tokar of its own, so that -short has nothing new")
	}
	r := newRig(t)
	home := t.TempDir()
	source, archive, file := filepath.Join(home, "swtok"), filepath.Join(home, "archive"), filepath.Join(home, "pass")
	placeFew(t, "swtok", source)
	run := func(secret string, args ...string) (int, string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(secret), 0o600); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(r.tokar, append(args, "--passphrase", "file:"+file)...)
		out, err := cmd.CombinedOutput()
		if cmd.ProcessState == nil {
			t.Fatal(err)
		}
		return cmd.ProcessState.ExitCode(), string(out)
	}
	for what, c := range map[string]struct {
		secret, opens string // the second opens what the first made
		exit          int
	}{
		"CR LF":      {"secret\r\n", "secret", 0},
		"LF":         {"secret\n", "secret\r\n", 0},
		"none":       {"secret", "secret\n", 0},
		"no UTF-8":   {"\xff\xfe\x00\x1b", "\xff\xfe\x00\x1b\n", 0},
		"1 MiB":      {strings.Repeat("x", 1<<20), strings.Repeat("x", 1<<20), 0},
		"more":       {strings.Repeat("x", 1<<20+2), "", 3},
		"empty":      {"", "", 3},
		"a line end": {"\r\n", "", 3},
	} {
		code, said := run(c.secret, "create", "-q", "--force", "-f", archive, source)
		if code != c.exit || code != 0 && !strings.HasPrefix(said, "tokar: ") {
			t.Errorf("%s: exit code %d, want %d: %s", what, code, c.exit, clip(said))
		}
		if code != 0 {
			continue
		}
		if code, said := run(c.opens, "verify", "-q", "-f", archive); code != 0 {
			t.Errorf("%s: exit code %d: %s", what, code, clip(said))
		}
	}
}
