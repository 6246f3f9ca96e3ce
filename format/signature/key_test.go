package signature

import (
	"bytes"
	"crypto/ed25519"
	"crypto/fips140"
	"encoding/pem"
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
	"tokar/format"
)

func pemOf(t testing.TB, private any, passphrase string) []byte {
	t.Helper()
	block, err := ssh.MarshalPrivateKey(private, "")
	if passphrase != "" {
		block, err = ssh.MarshalPrivateKeyWithPassphrase(private, "", []byte(passphrase))
	}
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(block)
}

// openSSHFile is a private key's file in OpenSSH's form, without what is
// private.
func openSSHFile(keyType string) []byte {
	public := appendStrings(nil, []byte(keyType))
	b := appendStrings([]byte("openssh-key-v1\x00"), []byte("none"), []byte("none"), nil)
	b = append(b, 0, 0, 0, 1)
	return pem.EncodeToMemory(&pem.Block{Type: "OPENSSH PRIVATE KEY", Bytes: appendStrings(b, public, make([]byte, 64))})
}

func TestReadKeyRefuses(t *testing.T) {
	rsa1024, err := os.ReadFile("testdata/rsa1024.pem")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		text []byte
		want string
	}{
		"nothing":      {nil, "not an SSH key"},
		"text":         {[]byte("AGE-SECRET-KEY-1"), "not an SSH key"},
		"cut":          {pemOf(t, ed25519Key("k"), "")[:200], "not a usable SSH private key"},
		"RSA 1024":     {rsa1024, "an RSA key of 1024 bits"},
		"security key": {openSSHFile("sk-ssh-ed25519@openssh.com"), "signs through ssh-agent: add it there with ssh-add"},
		"unknown":      {openSSHFile("ssh-ed448"), "not a usable SSH private key"},
		"long":         {bytes.Repeat([]byte("x"), maxKey+1), "more than 64 KiB"},
		"public":       {[]byte(listed(t, "k")), "a public key; give the file with the private one"},
	} {
		_, err := ReadKey(t.Context(), bytes.NewReader(c.text), Source{Name: "k"})
		if err == nil || !strings.HasPrefix(err.Error(), "k: ") || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

// A signature that does not hold, or is another key's, is not given away.
func TestSignChecksItself(t *testing.T) {
	k, err := ReadKey(t.Context(), bytes.NewReader(pemOf(t, ed25519Key("k"), "")), Source{Name: "k"})
	if err != nil {
		t.Fatal(err)
	}
	blob, err := k.Sign(t.Context(), message)
	if err != nil {
		t.Fatal(err)
	}
	if s, err := Verify(blob, message); err != nil || s.Fingerprint != k.Public().Fingerprint {
		t.Errorf("%v, %v", s, err)
	}
	k.public, err = ssh.NewPublicKey(ed25519Key("other").Public())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := k.Sign(t.Context(), message); err == nil || !strings.Contains(err.Error(), "does not hold") {
		t.Errorf("a signature that does not hold: %v", err)
	}
}

// TestFIPSOnly runs itself again under fips140=only: what signs there, and that
// keys behind a passphrase are refused, which Go itself does not do.
func TestFIPSOnly(t *testing.T) {
	if !fips140.Enforced() {
		if testing.Short() {
			t.Skip("starts this test again")
		}
		c := exec.Command(os.Args[0], "-test.run", "^TestFIPSOnly$", "-test.v")
		c.Env = append(os.Environ(), "GODEBUG=fips140=only")
		if out, err := c.CombinedOutput(); err != nil || !bytes.Contains(out, []byte("signed under fips140=only")) {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	rsa2048, err := os.ReadFile("testdata/rsa2048.pem")
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range [][]byte{pemOf(t, ed25519Key("k"), ""), rsa2048} {
		k, err := ReadKey(t.Context(), bytes.NewReader(text), Source{Name: "k"})
		if err != nil {
			t.Fatal(err)
		}
		blob, err := k.Sign(t.Context(), message)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Verify(blob, message); err != nil {
			t.Error(err)
		}
	}
	if _, err := Verify(signSK(t, userPresent), message); err != nil {
		t.Error(err)
	}
	if _, err := Verify(signSKECDSA(t, userPresent), message); err != nil {
		t.Error(err)
	}
	asked := false
	from := Source{Name: "k", Passphrase: func() ([]byte, error) { asked = true; return []byte("secret"), nil }}
	_, err = ReadKey(t.Context(), bytes.NewReader(lockedKey), from)
	if err == nil || asked || !strings.Contains(err.Error(), "not FIPS-approved") {
		t.Errorf("a key behind a passphrase: %v, asked %v", err, asked)
	}
	t.Log("signed under fips140=only")
}

// lockedKey says that it is locked, and holds nothing.
var lockedKey = func() []byte {
	b := appendStrings([]byte("openssh-key-v1\x00"), []byte("aes256-ctr"), []byte("bcrypt"), appendStrings(nil, make([]byte, 16), nil)[:24])
	b = append(b, 0, 0, 0, 1)
	seed := ed25519Key("locked")
	public := appendStrings(nil, []byte("ssh-ed25519"), seed.Public().(ed25519.PublicKey))
	return pem.EncodeToMemory(&pem.Block{Type: "OPENSSH PRIVATE KEY", Bytes: appendStrings(b, public, make([]byte, 64))})
}()

func FuzzVerify(f *testing.F) {
	for _, blob := range [][]byte{
		good(f).make(sha512Of(message)), signSK(f, userPresent), signSK(f, 0), signSKECDSA(f, userPresent),
		signRSA(f, "rsa2048", "rsa-sha2-512"), signRSA(f, "rsa2048", "ssh-rsa"), signRSA(f, "rsa1024", "rsa-sha2-256"), nil, []byte(magic),
	} {
		f.Add(blob)
	}
	f.Fuzz(func(t *testing.T, blob []byte) {
		s, err := Verify(blob, message)
		n := 0
		for _, c := range []error{format.ErrAuthentic, format.ErrMalformed, format.ErrUnsupported} {
			if errors.Is(err, c) {
				n++
			}
		}
		if (err == nil) != (n == 0) || n > 1 {
			t.Fatalf("an error of %d classes: %v", n, err)
		}
		if err != nil {
			return
		}
		key, sig, err := parse(blob)
		if err != nil || !bytes.Equal(encode(key, sig), blob) {
			t.Fatalf("a signature of %s in another encoding", s)
		}
	})
}

func FuzzSigners(f *testing.F) {
	me := listed(f, "me")
	for _, text := range []string{
		"a@b " + me, `"a b" namespaces="x\"y,tokar-*",valid-after="20200101Z" ` + me + " comment\r\n# x\n",
		`a valid-before="20200101",cert-authority ` + me, "a@b ,x=\"" + me, "!a " + me, "a\x00b " + me,
	} {
		f.Add(text)
	}
	s := signatureOf(f, "me")
	f.Fuzz(func(t *testing.T, text string) {
		skipped := 0
		list, err := ParseSigners(strings.NewReader(text), "list", func(int, error) { skipped++ })
		if err != nil {
			return
		}
		lines := strings.Count(text, "\n") + 1
		if len(list.list)+skipped > lines || len(list.list) == 0 {
			t.Fatalf("%d signers, %d lines skipped of %d", len(list.list), skipped, lines)
		}
		for _, one := range list.list {
			if len(one.principals) == 0 || !strings.Contains(text, one.principals[0]) {
				t.Fatalf("principals %q", one.principals)
			}
		}
		if who, err := list.Principals(s); (err == nil) != (len(who) > 0) {
			t.Fatalf("%q, %v", who, err)
		}
	})
}
