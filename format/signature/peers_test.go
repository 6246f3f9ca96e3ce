package signature

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tokar/format"
)

// The real ssh-keygen: what it signs we accept, what we sign it accepts, and of
// lists of signers both think alike.

func needSSHKeygen(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("ssh-keygen"); err != nil {
		t.Skip("ssh-keygen is not here (testdata/peers/peers.sh names the package)")
	}
}

// keygen runs ssh-keygen in a directory.
func keygen(dir string, stdin []byte, args ...string) (string, error) {
	c := exec.Command("ssh-keygen", args...)
	c.Dir = dir
	c.Stdin = bytes.NewReader(stdin)
	out, err := c.CombinedOutput()
	return string(out), err
}

func mustKeygen(t *testing.T, dir string, stdin []byte, args ...string) {
	t.Helper()
	if out, err := keygen(dir, stdin, args...); err != nil {
		t.Fatalf("ssh-keygen %q: %v\n%s", args, err, out)
	}
}

func armor(blob []byte) []byte {
	return []byte("-----BEGIN SSH SIGNATURE-----\n" + base64.StdEncoding.EncodeToString(blob) + "\n-----END SSH SIGNATURE-----\n")
}

func unarmor(t *testing.T, file string) []byte {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	blob, err := base64.StdEncoding.DecodeString(strings.Join(lines[1:len(lines)-1], ""))
	if err != nil {
		t.Fatal(err)
	}
	return blob
}

func write(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func readKey(t *testing.T, path string, from Source) (*Key, error) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	from.Name = filepath.Base(path)
	return ReadKey(t.Context(), f, from)
}

var keyTypes = map[string][]string{
	"ssh-ed25519":         {"-t", "ed25519"},
	"ecdsa-sha2-nistp256": {"-t", "ecdsa", "-b", "256"},
	"ecdsa-sha2-nistp384": {"-t", "ecdsa", "-b", "384"},
	"ecdsa-sha2-nistp521": {"-t", "ecdsa", "-b", "521"},
	"ssh-rsa":             {"-t", "rsa", "-b", "2048"},
}

func TestSSHKeygen(t *testing.T) {
	needSSHKeygen(t)
	if testing.Short() {
		t.Skip("slow where RSA keys and bcrypt are emulated")
	}
	for name, kind := range keyTypes {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			mustKeygen(t, dir, nil, append([]string{"-q", "-N", "", "-f", "k"}, kind...)...)
			public, err := os.ReadFile(filepath.Join(dir, "k.pub"))
			if err != nil {
				t.Fatal(err)
			}
			write(t, filepath.Join(dir, "signers"), append([]byte("a@b "), public...))

			k, err := readKey(t, filepath.Join(dir, "k"), Source{})
			if err != nil {
				t.Fatal(err)
			}
			blob, err := k.Sign(t.Context(), message)
			if err != nil {
				t.Fatal(err)
			}
			write(t, filepath.Join(dir, "ours.sig"), armor(blob))
			mustKeygen(t, dir, message, "-Y", "check-novalidate", "-n", namespace, "-s", "ours.sig")
			mustKeygen(t, dir, message, "-Y", "verify", "-f", "signers", "-I", "a@b", "-n", namespace, "-s", "ours.sig")
			if out, err := keygen(dir, append(message, 'x'), "-Y", "check-novalidate", "-n", namespace, "-s", "ours.sig"); err == nil {
				t.Errorf("it accepts another message: %s", out)
			}

			signs := func(want error, args ...string) *Signature {
				t.Helper()
				write(t, filepath.Join(dir, "m"), message)
				os.Remove(filepath.Join(dir, "m.sig"))
				mustKeygen(t, dir, nil, append(append([]string{"-Y", "sign", "-f", "k"}, args...), "m")...)
				s, err := Verify(unarmor(t, filepath.Join(dir, "m.sig")), message)
				wantClass(t, err, want)
				return s
			}
			s := signs(nil, "-n", namespace)
			signs(format.ErrAuthentic, "-n", "file")
			signs(format.ErrUnsupported, "-n", namespace, "-O", "hashalg=sha256")
			if s == nil || s.KeyType != name {
				t.Fatalf("made by %v", s)
			}
			if out, _ := keygen(dir, nil, "-l", "-f", "k.pub"); !strings.Contains(out, s.Fingerprint) {
				t.Errorf("the fingerprint is %s, not %s", strings.TrimSpace(out), s.Fingerprint)
			}
			list, skipped := parseList(t, "a@b "+string(public))
			if list == nil || len(skipped) > 0 {
				t.Fatalf("%q", skipped)
			}
			if who, err := list.Principals(s); err != nil || who[0] != "a@b" {
				t.Errorf("%q, %v", who, err)
			}
		})
	}
}

// Certificates sign for ssh-keygen, and for no archive.
func TestCertificates(t *testing.T) {
	needSSHKeygen(t)
	dir := t.TempDir()
	mustKeygen(t, dir, nil, "-q", "-t", "ed25519", "-N", "", "-f", "ca")
	mustKeygen(t, dir, nil, "-q", "-t", "ed25519", "-N", "", "-f", "k")
	mustKeygen(t, dir, nil, "-q", "-s", "ca", "-I", "id", "-n", "a@b", "k.pub")
	write(t, filepath.Join(dir, "m"), message)
	mustKeygen(t, dir, nil, "-Y", "sign", "-f", "k-cert.pub", "-n", namespace, "m")
	_, err := Verify(unarmor(t, filepath.Join(dir, "m.sig")), message)
	wantClass(t, err, format.ErrUnsupported)
	if _, err := readKey(t, filepath.Join(dir, "k-cert.pub"), Source{Agent: "/nowhere"}); err == nil || !strings.Contains(err.Error(), "a certificate") {
		t.Errorf("signs with a certificate: %v", err)
	}
}

// TestSignersLikeSSHKeygen gives both the same lists. They may differ where the
// table says why.
func TestSignersLikeSSHKeygen(t *testing.T) {
	needSSHKeygen(t)
	dir := t.TempDir()
	mustKeygen(t, dir, nil, "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", "k")
	mustKeygen(t, dir, nil, "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", "other")
	write(t, filepath.Join(dir, "m"), message)
	mustKeygen(t, dir, nil, "-Y", "sign", "-f", "k", "-n", namespace, "m")
	s, err := Verify(unarmor(t, filepath.Join(dir, "m.sig")), message)
	if err != nil {
		t.Fatal(err)
	}
	public := func(name string) string {
		b, err := os.ReadFile(filepath.Join(dir, name+".pub"))
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(string(b))
	}
	const same = ""
	k, other := public("k"), public("other")
	blob := strings.Fields(k)[1]
	for _, c := range []struct{ line, at, differs string }{
		{"a@b KEY", "", same},
		{"a@b  KEY", "", same},
		{" \ta@b\tKEY", "", same},
		{"a@b KEY a comment", "", same},
		{"a@b KEY\r", "", same},
		{"# a@b KEY", "", same},
		{"", "", same},
		{"a@b " + other, "", same},
		{"a@b " + other + "\na@b KEY", "", same},
		{"a@b nonsense\na@b KEY", "", same},
		{"a@b nonsense KEY\na@b KEY", "", same},
		{`"a@b" KEY`, "", same},
		{`"a@b,c@d" KEY`, "", same},
		{`"a@b KEY`, "", same},
		{"*@b KEY", "", same},
		{"c@d,a@b KEY", "", same},
		{"!a@b KEY", "", same},
		{"c@d KEY", "", "any principal counts"},
		{"!a@b,*@b KEY", "", "any principal counts: another of b's can have signed"},
		{"KEY", "", same},
		{"a@b ssh-rsa " + blob, "", same},
		{"a@b ssh-ed25519", "", same},
		{"a@b ssh-ed25519 " + blob[:len(blob)-4], "", same},
		{"a@b ssh-ed25519 " + blob + "AAAA", "", same},
		{"a@b cert-authority KEY", "", same},
		{"a@b CERT-AUTHORITY KEY", "", same},
		{"a@b no-cert-authority KEY", "", same},
		{"a@b restrict KEY", "", same},
		{"a@b no-touch-required KEY", "", same},
		{`a@b namespaces="tokar-archive" KEY`, "", same},
		{`a@b NameSpaces="tokar-archive" KEY`, "", same},
		{`a@b namespaces=tokar-archive KEY`, "", same},
		{`a@b namespaces KEY`, "", same},
		{`a@b namespaces="" KEY`, "", same},
		{`a@b namespaces="file" KEY`, "", same},
		{`a@b namespaces="file,tokar-archive" KEY`, "", same},
		{`a@b namespaces="tokar-*" KEY`, "", same},
		{`a@b namespaces="tokar-archiv?" KEY`, "", same},
		{`a@b namespaces="TOKAR-ARCHIVE" KEY`, "", same},
		{`a@b namespaces="!file,*" KEY`, "", same},
		{`a@b namespaces="!tokar-archive,*" KEY`, "", same},
		{`a@b namespaces="*,!tokar-*" KEY`, "", same},
		{`a@b namespaces="!file" KEY`, "", same},
		{`a@b namespaces=" tokar-archive" KEY`, "", same},
		{`a@b namespaces="file, tokar-archive" KEY`, "", same},
		{`a@b namespaces="a\"b,tokar-archive" KEY`, "", same},
		{`a@b namespaces="tokar-archive",namespaces="file" KEY`, "", same},
		{`a@b namespaces="tokar-archive", KEY`, "", same},
		{`a@b ,namespaces="tokar-archive" KEY`, "", same},
		{`a@b ,,namespaces="tokar-archive" KEY`, "", "an option without a name is none that we know"},
		{`a@b namespaces="file"namespaces="tokar-archive" KEY`, "", same},
		{`a@b namespaces="tokar-archive KEY`, "", same},
		{`a@b valid-after="20200101" KEY`, "", same},
		{`a@b valid-after=20200101 KEY`, "", same},
		{`a@b valid-after="20990101" KEY`, "", same},
		{`a@b valid-before="20200101" KEY`, "", same},
		{`a@b valid-before="20990101Z" KEY`, "", same},
		{`a@b valid-after="20200101Z",valid-before="20200102Z" KEY`, "20200101Z", same},
		{`a@b valid-after="20200101Z",valid-before="20200102Z" KEY`, "20200102Z", same},
		{`a@b valid-after="20200101Z",valid-before="20200102Z" KEY`, "20191231235959Z", same},
		{`a@b valid-after="20200101Z",valid-before="20200102Z" KEY`, "20200102000001Z", same},
		{`a@b valid-after="202001011200" KEY`, "202001011200", same},
		{`a@b valid-after="202001011200" KEY`, "202001011159", same},
		{`a@b valid-after="202001011200Z" KEY`, "202001011159Z", same},
		{`a@b valid-after="20200101120005Z" KEY`, "20200101120004Z", same},
		{`a@b valid-after="20200101UTC" KEY`, "", same},
		{`a@b valid-after="20200101z" KEY`, "", same},
		{`a@b valid-before="20200102Z",valid-after="20200103Z" KEY`, "20200102Z", same},
		{`a@b valid-after="20200101",valid-after="20200101" KEY`, "", same},
		{`a@b valid-before="19700101Z" KEY`, "", same},
		{`a@b valid-after="yesterday" KEY`, "", same},
		{`a@b valid-after="" KEY`, "", same},
		{`a@b valid-before="20990231Z" KEY`, "", "the 31st of February is no day for us"},
		{`a@b valid-before="20991231235960Z" KEY`, "", "no leap seconds"},
		{`a@b valid-after="2020 101Z" KEY`, "", "a blank is no digit"},
	} {
		text := strings.ReplaceAll(c.line, "KEY", k)
		write(t, filepath.Join(dir, "signers"), []byte(text+"\n"))
		args := []string{"-Y", "verify", "-f", "signers", "-I", "a@b", "-n", namespace, "-s", "m.sig"}
		if c.at != "" {
			args = append(args, "-O", "verify-time="+c.at)
		}
		out, err := keygen(dir, message, args...)
		theirs := err == nil
		ours := false
		if list, _ := parseList(t, text); list != nil {
			if c.at != "" {
				list.At = moment(t, c.at)
			}
			_, err := list.Principals(s)
			ours = err == nil
		}
		if (ours == theirs) != (c.differs == "") {
			t.Errorf("%q at %q: we say %v, ssh-keygen %v (%s)", c.line, c.at, ours, theirs, strings.TrimSpace(out))
		}
	}
}

// Keys behind a passphrase, in each form that ssh-keygen writes.
func TestLockedKeys(t *testing.T) {
	needSSHKeygen(t)
	if testing.Short() {
		t.Skip("slow where RSA keys and bcrypt are emulated")
	}
	dir := t.TempDir()
	mustKeygen(t, dir, nil, "-q", "-t", "ed25519", "-N", "secret", "-f", "new")
	mustKeygen(t, dir, nil, "-q", "-t", "ecdsa", "-m", "PEM", "-N", "secret", "-f", "old")
	for _, name := range []string{"new", "old"} {
		asked := 0
		with := func(passphrase string) Source {
			return Source{Passphrase: func() ([]byte, error) { asked++; return []byte(passphrase), nil }}
		}
		k, err := readKey(t, filepath.Join(dir, name), with("secret"))
		if err != nil || asked != 1 {
			t.Fatalf("%s: asked %d times, %v", name, asked, err)
		}
		if _, err := k.Sign(t.Context(), message); err != nil {
			t.Error(err)
		}
		if _, err := readKey(t, filepath.Join(dir, name), with("wrong")); !errors.Is(err, ErrPassphrase) {
			t.Errorf("%s with a wrong passphrase: %v", name, err)
		}
		gone := errors.New("nobody answers")
		if _, err := readKey(t, filepath.Join(dir, name), Source{Passphrase: func() ([]byte, error) { return nil, gone }}); !errors.Is(err, gone) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestAgent signs through a real ssh-agent.
func TestAgent(t *testing.T) {
	needSSHKeygen(t)
	if _, err := exec.LookPath("ssh-agent"); err != nil {
		t.Skip("ssh-agent is not here (testdata/peers/peers.sh names the package)")
	}
	dir := t.TempDir()
	socket := filepath.Join(dir, "agent")
	c := exec.Command("ssh-agent", "-D", "-a", socket)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Process.Kill(); c.Wait() })
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if _, err := os.Stat(socket); err == nil {
			break
		} else if time.Now().After(deadline) {
			t.Fatal("ssh-agent makes no socket")
		}
	}
	for name, kind := range keyTypes {
		mustKeygen(t, dir, nil, append([]string{"-q", "-N", "", "-f", name}, kind...)...)
		public := filepath.Join(dir, name+".pub")
		if _, err := readKey(t, public, Source{Agent: socket}); err == nil || !strings.Contains(err.Error(), "does not hold its private key") {
			t.Errorf("%s is not there: %v", name, err)
		}
		add := exec.Command("ssh-add", "-q", filepath.Join(dir, name))
		add.Env = append(os.Environ(), "SSH_AUTH_SOCK="+socket)
		if out, err := add.CombinedOutput(); err != nil {
			t.Fatalf("ssh-add: %v %s", err, out)
		}
		k, err := readKey(t, public, Source{Agent: socket})
		if err != nil {
			t.Fatal(err)
		}
		blob, err := k.Sign(t.Context(), message)
		if err != nil {
			t.Fatal(err)
		}
		if s, err := Verify(blob, message); err != nil || s.KeyType != name {
			t.Errorf("%s: %v, %v", name, s, err)
		}
	}
	public := filepath.Join(dir, "ssh-ed25519.pub")
	if _, err := readKey(t, public, Source{}); err == nil || !strings.Contains(err.Error(), "SSH_AUTH_SOCK is not set") {
		t.Errorf("without an agent: %v", err)
	}
	if _, err := readKey(t, public, Source{Agent: socket + "x"}); err == nil || !strings.Contains(err.Error(), "ssh-agent does not answer") {
		t.Errorf("with another's socket: %v", err)
	}
	f, err := os.Open(public)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("stop")
	cancel(stop)
	if _, err := ReadKey(ctx, f, Source{Name: "k", Agent: socket}); err == nil {
		t.Error("a run that was stopped goes on")
	}
}
