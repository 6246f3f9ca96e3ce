package signature

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/big"
	"os"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
	"tokar/format"
)

var message = []byte("tokar/1 end\x00 of a test")

var classes = []error{format.ErrNotArchive, format.ErrTruncated, format.ErrChecksum, format.ErrAuthentic, format.ErrMalformed, format.ErrUnsupported, format.ErrNoKey, format.ErrSigner}

// wantClass wants exactly one of format's classes.
func wantClass(t *testing.T, err, want error) {
	t.Helper()
	for _, c := range classes {
		if errors.Is(err, c) != (c == want) {
			t.Errorf("%v is of class %v, want %v", err, c, want)
		}
	}
}

// blobOf is a blob that says what it is told, signed as it says.
type blobOf struct {
	magic, namespace, reserved, hash string
	version                          uint32
	key                              []byte
	sign                             func(data []byte) []byte
	after                            string
}

func (b blobOf) make(digest []byte) []byte {
	data := appendStrings([]byte("SSHSIG"), []byte(b.namespace), []byte(b.reserved), []byte(b.hash), digest)
	head := append([]byte(b.magic), byte(b.version>>24), byte(b.version>>16), byte(b.version>>8), byte(b.version))
	return append(appendStrings(head, b.key, []byte(b.namespace), []byte(b.reserved), []byte(b.hash), b.sign(data)), b.after...)
}

func ed25519Key(name string) ed25519.PrivateKey {
	seed := sha256.Sum256([]byte(name))
	return ed25519.NewKeyFromSeed(seed[:])
}

func wire(t testing.TB, public crypto.PublicKey) []byte {
	t.Helper()
	k, err := ssh.NewPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	return k.Marshal()
}

// good is a blob of an Ed25519 key that holds over message.
func good(t testing.TB) blobOf {
	k := ed25519Key("good")
	return blobOf{"SSHSIG", namespace, "", "sha512", 1, wire(t, k.Public()), func(data []byte) []byte {
		return appendStrings(nil, []byte("ssh-ed25519"), ed25519.Sign(k, data))
	}, ""}
}

func sha512Of(b []byte) []byte {
	h := crypto.SHA512.New()
	h.Write(b)
	return h.Sum(nil)
}

func TestVerify(t *testing.T) {
	for name, c := range map[string]struct {
		change func(b *blobOf)
		want   error
	}{
		"good":              {func(*blobOf) {}, nil},
		"magic":             {func(b *blobOf) { b.magic = "SSHSIH" }, format.ErrMalformed},
		"version 2":         {func(b *blobOf) { b.version = 2 }, format.ErrUnsupported},
		"version 0":         {func(b *blobOf) { b.version = 0 }, format.ErrUnsupported},
		"namespace":         {func(b *blobOf) { b.namespace = "file" }, format.ErrAuthentic},
		"no namespace":      {func(b *blobOf) { b.namespace = "" }, format.ErrAuthentic},
		"reserved":          {func(b *blobOf) { b.reserved = "x" }, format.ErrMalformed},
		"sha256":            {func(b *blobOf) { b.hash = "sha256" }, format.ErrUnsupported},
		"sha1":              {func(b *blobOf) { b.hash = "sha1" }, format.ErrUnsupported},
		"after":             {func(b *blobOf) { b.after = "\x00" }, format.ErrMalformed},
		"no key":            {func(b *blobOf) { b.key = nil }, format.ErrMalformed},
		"key cut":           {func(b *blobOf) { b.key = b.key[:len(b.key)-1] }, format.ErrMalformed},
		"key and more":      {func(b *blobOf) { b.key = append(b.key, 0) }, format.ErrMalformed},
		"key of other type": {func(b *blobOf) { b.key = appendStrings(nil, []byte("ssh-ed448"), make([]byte, 57)) }, format.ErrUnsupported},
		"DSA":               {func(b *blobOf) { b.key = appendStrings(nil, []byte("ssh-dss"), nil) }, format.ErrUnsupported},
		"certificate":       {func(b *blobOf) { b.key = appendStrings(nil, []byte("ssh-ed25519-cert-v01@openssh.com"), nil) }, format.ErrUnsupported},
		"another's key":     {func(b *blobOf) { b.key = wire(t, ed25519Key("other").Public()) }, format.ErrAuthentic},
		"algorithm": {func(b *blobOf) {
			b.sign = func([]byte) []byte { return appendStrings(nil, []byte("ssh-ed448"), make([]byte, 64)) }
		}, format.ErrUnsupported},
		"signature of zeros": {func(b *blobOf) {
			b.sign = func([]byte) []byte { return appendStrings(nil, []byte("ssh-ed25519"), make([]byte, 64)) }
		}, format.ErrAuthentic},
		"signature short": {func(b *blobOf) {
			b.sign = func([]byte) []byte { return appendStrings(nil, []byte("ssh-ed25519"), make([]byte, 63)) }
		}, format.ErrMalformed},
		"signature and more": {func(b *blobOf) {
			sign := b.sign
			b.sign = func(data []byte) []byte { return append(sign(data), 0) }
		}, format.ErrMalformed},
		"signature empty": {func(b *blobOf) { b.sign = func([]byte) []byte { return nil } }, format.ErrMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			b := good(t)
			c.change(&b)
			s, err := Verify(b.make(sha512Of(message)), message)
			wantClass(t, err, c.want)
			if err == nil && (s.KeyType != "ssh-ed25519" || s.Fingerprint == "") {
				t.Errorf("made by %s", s)
			}
		})
	}
	b := good(t).make(sha512Of(message))
	_, err := Verify(b, append(message, 'x'))
	wantClass(t, err, format.ErrAuthentic)
}

// Nothing in a blob can be changed so that it still holds.
func TestVerifyOneEncoding(t *testing.T) {
	for name, b := range map[string][]byte{
		"ed25519": good(t).make(sha512Of(message)), "p256": signECDSA(t, elliptic.P256()), "p521": signECDSA(t, elliptic.P521()),
		"rsa": signRSA(t, "rsa2048", "rsa-sha2-256"), "sk": signSK(t, userPresent),
	} {
		if _, err := Verify(b, message); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if testing.Short() && name != "ed25519" {
			continue
		}
		for i := range b {
			for _, flip := range []byte{1, 0x80} {
				changed := bytes.Clone(b)
				changed[i] ^= flip
				if _, err := Verify(changed, message); err == nil {
					t.Errorf("%s: byte %d can be another", name, i)
				}
			}
			if _, err := Verify(b[:i], message); err == nil {
				t.Errorf("%s: %d bytes are enough", name, i)
			}
		}
	}
}

func signECDSA(t testing.TB, curve elliptic.Curve) []byte {
	t.Helper()
	k, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return signedBy(t, k)
}

// signedBy makes a blob as tokar does.
func signedBy(t testing.TB, private any) []byte {
	t.Helper()
	s, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	sig, err := signWith(s, signed(message))
	if err != nil {
		t.Fatal(err)
	}
	return encode(s.PublicKey(), sig)
}

func rsaSigner(t testing.TB, name string) ssh.Signer {
	t.Helper()
	text, err := os.ReadFile("testdata/" + name + ".pem")
	if err != nil {
		t.Fatal(err)
	}
	s, err := ssh.ParsePrivateKey(text)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func signRSA(t testing.TB, name, algorithm string) []byte {
	t.Helper()
	s := rsaSigner(t, name)
	sig, err := s.(ssh.AlgorithmSigner).SignWithAlgorithm(rand.Reader, signed(message), algorithm)
	if err != nil {
		t.Fatal(err)
	}
	return encode(s.PublicKey(), sig)
}

func TestVerifyRSA(t *testing.T) {
	for _, c := range []struct {
		key, algorithm string
		want           error
	}{
		{"rsa2048", "rsa-sha2-512", nil},
		{"rsa2048", "rsa-sha2-256", nil},
		{"rsa2048", "ssh-rsa", format.ErrAuthentic}, // SHA-1
		{"rsa1024", "rsa-sha2-512", format.ErrAuthentic},
	} {
		_, err := Verify(signRSA(t, c.key, c.algorithm), message)
		wantClass(t, err, c.want)
	}
}

// skBlob is what a security key answers, flags and counter behind it.
func skBlob(application string, flags byte, data []byte) []byte {
	app, digest := sha256.Sum256([]byte(application)), sha256.Sum256(data)
	return bytes.Join([][]byte{app[:], {flags, 0, 0, 0, 7}, digest[:]}, nil)
}

func signSK(t testing.TB, flags byte) []byte {
	k := ed25519Key("sk")
	b := good(t)
	b.key = appendStrings(nil, []byte("sk-ssh-ed25519@openssh.com"), k.Public().(ed25519.PublicKey), []byte("ssh:"))
	b.sign = func(data []byte) []byte {
		s := appendStrings(nil, []byte("sk-ssh-ed25519@openssh.com"), ed25519.Sign(k, skBlob("ssh:", flags, data)))
		return append(s, flags, 0, 0, 0, 7)
	}
	return b.make(sha512Of(message))
}

func signSKECDSA(t testing.TB, flags byte) []byte {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	point, err := k.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	b := good(t)
	b.key = appendStrings(nil, []byte("sk-ecdsa-sha2-nistp256@openssh.com"), []byte("nistp256"), point, []byte("ssh:"))
	b.sign = func(data []byte) []byte {
		digest := sha256.Sum256(skBlob("ssh:", flags, data))
		r, s, err := ecdsa.Sign(rand.Reader, k, digest[:])
		if err != nil {
			t.Fatal(err)
		}
		inner := ssh.Marshal(struct{ R, S *big.Int }{r, s})
		return append(appendStrings(nil, []byte("sk-ecdsa-sha2-nistp256@openssh.com"), inner), flags, 0, 0, 0, 7)
	}
	return b.make(sha512Of(message))
}

// Of security keys a signature counts only if somebody touched them.
func TestVerifySecurityKeys(t *testing.T) {
	for name, sign := range map[string]func(testing.TB, byte) []byte{"ed25519": signSK, "ecdsa": signSKECDSA} {
		for flags, want := range map[byte]error{0x01: nil, 0x05: nil, 0x00: format.ErrAuthentic, 0x04: format.ErrAuthentic} {
			_, err := Verify(sign(t, flags), message)
			if (err == nil) != (want == nil) {
				t.Errorf("%s with flags %#x: %v", name, flags, err)
			}
			wantClass(t, err, want)
			if want != nil && !strings.Contains(fmt.Sprint(err), "nobody touched") {
				t.Errorf("%s with flags %#x: %v", name, flags, err)
			}
		}
	}
}

// A SHA-1 digest as the outer hash is refused whatever signs it.
func TestVerifySHA1Digest(t *testing.T) {
	b := good(t)
	b.hash = "sha1"
	digest := sha1.Sum(message)
	_, err := Verify(b.make(digest[:]), message)
	wantClass(t, err, format.ErrUnsupported)
}
