package keyslot

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"strings"
	"testing"

	"filippo.io/age/plugin"
	"golang.org/x/crypto/ssh"
)

// authorized is a key's line in authorized_keys.
func authorized(t testing.TB, pub any) string {
	t.Helper()
	key, err := ssh.NewPublicKey(pub)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key)))
}

func rsaKey(t testing.TB, bits int) *rsa.PrivateKey {
	t.Helper()
	t.Setenv("GODEBUG", "rsa1024min=0")
	k, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestParseRecipients(t *testing.T) {
	_, x, _ := GenerateX25519(epoch)
	_, pq, _ := GenerateHybrid(epoch)
	secret, _, _ := GenerateX25519(epoch)
	_, secretLine, _ := strings.Cut(string(secret), "AGE-SECRET-KEY-1")
	secretLine = "AGE-SECRET-KEY-1" + strings.TrimSpace(secretLine)
	edPub, _, _ := ed25519.GenerateKey(rand.Reader)
	ed := authorized(t, edPub)
	rsa2048 := authorized(t, &rsaKey(t, 2048).PublicKey)
	weak := authorized(t, &rsaKey(t, 1024).PublicKey)
	ecKey, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	ec := authorized(t, &ecKey.PublicKey)
	plug := plugin.EncodeRecipient("yubikey", []byte("abc"))

	for name, c := range map[string]struct {
		text string
		n    int    // recipients
		want string // or error
	}{
		"all kinds":       {strings.Join([]string{x, pq, ed, rsa2048, plug}, "\n"), 5, ""},
		"comments, CRLF":  {"# a\r\n\r\n  " + x + "  \r\n#b", 1, ""},
		"authorized_keys": {`from="10.0.0.1",no-pty ` + ed + " ann@example.org", 1, ""},
		"empty":           {"", 0, "f: no recipient in it"},
		"only comments":   {"# age1\n", 0, "f: no recipient in it"},
		"identity":        {x + "\n\n" + secretLine, 0, "f: line 3: this is a secret key"},
		"pq identity":     {"AGE-SECRET-KEY-PQ-1XYZ", 0, "f: line 1: this is a secret key"},
		"plugin identity": {plugin.EncodeIdentity("x", nil), 0, "f: line 1: this is a secret key"},
		"SSH private key": {"-----BEGIN OPENSSH PRIVATE KEY-----\nabc", 0, "f: line 1: this is a secret key"},
		"mistyped":        {x[:20] + "q" + x[20:], 0, "f: line 1: malformed recipient"},
		"cut off":         {"#\n" + pq[:100], 0, "f: line 2: malformed recipient"},
		"not one":         {x + "\n" + "s3cret", 0, "f: line 2: not a recipient"},
		"weak RSA":        {weak, 0, "below 2048 bits"},
		"other SSH key":   {ec, 0, "ecdsa-sha2-nistp256 cannot be recipients"},
		"cut SSH key":     {ed[:40], 0, "malformed recipient"},
		"CA":              {"cert-authority " + ed, 0, "certificate authority"},
		"too long":        {strings.Repeat("#\n", maxFile/2+1), 0, "f: too long"},
		"binary":          {"\x00\xff\xfe", 0, "line 1: not a recipient"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := ParseRecipients(strings.NewReader(c.text), "f", nil)
			if c.want == "" {
				if err != nil || len(got) != c.n {
					t.Fatalf("%d recipients, %v", len(got), err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("got %v, want %q", err, c.want)
			}
			for line := range strings.Lines(c.text) {
				if line = strings.TrimSpace(line); len(line) > 5 && strings.Contains(err.Error(), line[len(line)-6:]) {
					t.Fatalf("the error repeats the line: %v", err)
				}
			}
		})
	}
	if _, err := ParseRecipient(x+"\n"+ed, nil); err == nil {
		t.Error("two lines were one recipient")
	}
}

func TestRecipientNames(t *testing.T) {
	_, x, _ := GenerateX25519(epoch)
	pub, _, _ := ed25519.GenerateKey(rand.Reader)
	ed := authorized(t, pub)
	for text, want := range map[string]string{
		x: x[:12] + "…", ed + " ann@host": `ssh-ed25519 "ann@host"`, ed: "ssh-ed25519 SHA256:",
	} {
		if r := mustRecipient(t, text, nil).(publicKey); !strings.HasPrefix(r.name(), want) {
			t.Errorf("got %s, want %s", r.name(), want)
		}
	}
}
