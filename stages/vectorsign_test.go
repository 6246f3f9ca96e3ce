package stages

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"encoding/pem"
	"math/big"
	"os"
	"testing"

	"tokar/format"
	"tokar/format/signature"
)

// Signed archives. Like the forge, what makes their signatures shares nothing
// with package signature: it follows docs/FORMAT.md, section 13.4.

// A forgedSigner signs, each time with the same result.
type forgedSigner struct {
	public []byte                   // in wire form
	sign   func(data []byte) []byte // algorithm, signature and what follows
}

// forgedSSHSIG is a signature before it is encoded; what is empty is as it
// should be.
type forgedSSHSIG struct {
	forgedSigner
	magic, namespace, reserved, hash, after string
	version                                 uint32
	digest                                  func([]byte) []byte
}

func sshString(parts ...[]byte) (b []byte) {
	for _, p := range parts {
		b = join(b, u32(uint32(len(p))), p)
	}
	return b
}

func (s forgedSSHSIG) over(m []byte) []byte {
	str := func(text, usual string) []byte { return []byte(or(nonEmpty(text), usual)) }
	digest := sha512.Sum512(m)
	hashed := digest[:]
	if s.digest != nil {
		hashed = s.digest(m)
	}
	namespace, hash := str(s.namespace, "tokar-archive"), str(s.hash, "sha512")
	data := join([]byte("SSHSIG"), sshString(namespace, []byte(s.reserved), hash, hashed))
	return join(str(s.magic, "SSHSIG"), u32(max(s.version, 1)),
		sshString(s.public, namespace, []byte(s.reserved), hash, s.sign(data)), []byte(s.after))
}

func nonEmpty(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func forgedEd25519(name string) forgedSigner {
	seed := sha256.Sum256([]byte("tokar vector signer " + name))
	k := ed25519.NewKeyFromSeed(seed[:])
	return forgedSigner{sshString([]byte("ssh-ed25519"), k.Public().(ed25519.PublicKey)), func(data []byte) []byte {
		return sshString([]byte("ssh-ed25519"), ed25519.Sign(k, data))
	}}
}

// numbers are r and s of an ECDSA signature that depends on key and digest only
// (RFC 6979).
func numbers(k *ecdsa.PrivateKey, hash crypto.Hash, data []byte) []byte {
	h := hash.New()
	h.Write(data)
	der, err := k.Sign(nil, h.Sum(nil), hash)
	var n struct{ R, S *big.Int }
	if err == nil {
		_, err = asn1.Unmarshal(der, &n)
	}
	if err != nil {
		panic(err)
	}
	return sshString(mpint(n.R), mpint(n.S))
}

// mpint is RFC 4251's, of a number above 0.
func mpint(n *big.Int) []byte {
	b := n.Bytes()
	if b[0]&0x80 != 0 {
		b = append([]byte{0}, b...)
	}
	return b
}

func forgedECDSAKey(curve elliptic.Curve) (*ecdsa.PrivateKey, []byte) {
	seed := sha512.Sum512([]byte("tokar vector signer " + curve.Params().Name))
	n := (curve.Params().BitSize + 7) / 8
	scalar := make([]byte, n)
	copy(scalar[n-min(n, 64):], seed[:])
	k, err := ecdsa.ParseRawPrivateKey(curve, scalar)
	if err != nil {
		panic(err)
	}
	point, err := k.PublicKey.Bytes()
	if err != nil {
		panic(err)
	}
	return k, point
}

func forgedECDSA(curve elliptic.Curve, name string, hash crypto.Hash) forgedSigner {
	k, point := forgedECDSAKey(curve)
	algorithm := []byte("ecdsa-sha2-" + name)
	return forgedSigner{sshString(algorithm, []byte(name), point), func(data []byte) []byte {
		return sshString(algorithm, numbers(k, hash, data))
	}}
}

// forgedRSA signs with the test keys of package signature; making such a key
// anew would not make the same one.
func forgedRSA(file, algorithm string, hash crypto.Hash) forgedSigner {
	text, err := os.ReadFile("../format/signature/testdata/" + file)
	if err != nil {
		panic(err)
	}
	block, _ := pem.Decode(text)
	k, err := x509.ParsePKCS1PrivateKey(block.Bytes)
	if err != nil {
		panic(err)
	}
	return forgedSigner{sshString([]byte("ssh-rsa"), mpint(big.NewInt(int64(k.E))), mpint(k.N)), func(data []byte) []byte {
		h := hash.New()
		h.Write(data)
		s, err := rsa.SignPKCS1v15(nil, k, hash, h.Sum(nil))
		if err != nil {
			panic(err)
		}
		return sshString([]byte(algorithm), s)
	}}
}

// forgedTouch is what a security key does (OpenSSH's PROTOCOL.u2f).
func forgedTouch(flags byte, data []byte) (asked, after []byte) {
	app, digest := sha256.Sum256([]byte("ssh:")), sha256.Sum256(data)
	after = join([]byte{flags}, u32(7))
	return join(app[:], after, digest[:]), after
}

func forgedSK(flags byte) forgedSigner {
	seed := sha256.Sum256([]byte("tokar vector signer sk"))
	k := ed25519.NewKeyFromSeed(seed[:])
	name := []byte("sk-ssh-ed25519@openssh.com")
	return forgedSigner{sshString(name, k.Public().(ed25519.PublicKey), []byte("ssh:")), func(data []byte) []byte {
		asked, after := forgedTouch(flags, data)
		return join(sshString(name, ed25519.Sign(k, asked)), after)
	}}
}

func forgedSKECDSA(flags byte) forgedSigner {
	k, point := forgedECDSAKey(elliptic.P256())
	name := []byte("sk-ecdsa-sha2-nistp256@openssh.com")
	return forgedSigner{sshString(name, []byte("nistp256"), point, []byte("ssh:")), func(data []byte) []byte {
		asked, after := forgedTouch(flags, data)
		return join(sshString(name, numbers(k, crypto.SHA256, asked)), after)
	}}
}

// listed is a signer's key as lists of signers have it.
func (s forgedSigner) listed() string {
	n := int(s.public[3])
	return string(s.public[4:4+n]) + " " + base64.StdEncoding.EncodeToString(s.public)
}

// vectorSigners are the lists that vectors are judged by.
func vectorSigners() map[string]string {
	alice, bob := forgedEd25519("alice").listed(), forgedEd25519("bob").listed()
	return map[string]string{
		"both": "# who makes archives\nalice@example.org " + alice + "\nbob@example.org,*@backup.example.org " + bob + " bob's\n",
		"bob":  "bob@example.org " + bob + "\n",
		"year": "alice@example.org valid-after=\"20260101Z\",valid-before=\"20261231235959Z\" " + alice + "\n",
		"namespaces": "alice@example.org namespaces=\"file,git,!tokar-archive,*\" " + alice + "\n" +
			"bob@example.org namespaces=\"tokar-*,file\" " + bob + "\n",
		"skipped":  "alice@example.org restrict " + alice + "\nalice@example.org cert-authority " + alice + "\nbob@example.org " + bob + "\n",
		"nameless": "namespaces=\"file\" " + alice + "\nbob@example.org,Valid-Before=20200101Z " + alice + "\ncert-authority " + alice + "\nbob@example.org " + bob + "\n",
	}
}

// signedBy adds a vector of a forged archive with a signature, and with a list
// of signers at a moment if there is one.
func (m *vectorMaker) signedBy(name, about, classes, signers, at string, s forgedSSHSIG) {
	m.signers, m.at = signers, at
	m.forged(name, about, classes, func(f *forge) {
		f.onEnd = func(e *forgedEnd) { e.sign = s.over }
	})
	m.signers, m.at = "", ""
}

func (m *vectorMaker) signed() {
	alice, bob := forgedEd25519("alice"), forgedEd25519("bob")
	for _, c := range []struct {
		name string
		forgedSigner
	}{
		{"p256", forgedECDSA(elliptic.P256(), "nistp256", crypto.SHA256)},
		{"p384", forgedECDSA(elliptic.P384(), "nistp384", crypto.SHA384)},
		{"p521", forgedECDSA(elliptic.P521(), "nistp521", crypto.SHA512)},
		{"rsa-sha2-256", forgedRSA("rsa2048.pem", "rsa-sha2-256", crypto.SHA256)},
		{"rsa-sha2-512", forgedRSA("rsa2048.pem", "rsa-sha2-512", crypto.SHA512)},
		{"sk-ed25519", forgedSK(0x01)},
		{"sk-p256", forgedSKECDSA(0x05)},
	} {
		m.signedBy("good-signature-"+c.name, "a signature; nobody asks whose", "oooo", "", "", forgedSSHSIG{forgedSigner: c.forgedSigner})
	}
	m.signedBy("good-signature", "a signature with an Ed25519 key; nobody asks whose", "oooo", "", "", forgedSSHSIG{forgedSigner: alice})

	bad := func(name, about, classes string, change func(s *forgedSSHSIG)) {
		s := forgedSSHSIG{forgedSigner: alice}
		change(&s)
		m.signedBy("signature-"+name, about, classes, "", "", s)
	}
	key := func(name string, rest ...[]byte) []byte { return sshString(append([][]byte{[]byte(name)}, rest...)...) }
	bad("magic", "a signature with another magic", "MMoM", func(s *forgedSSHSIG) { s.magic = "SSHSIH" })
	bad("version", "a signature of version 2", "UUoU", func(s *forgedSSHSIG) { s.version = 2 })
	bad("namespace", "a signature for the namespace file", "AAoA", func(s *forgedSSHSIG) { s.namespace = "file" })
	bad("reserved", "a signature whose reserved part is not empty", "MMoM", func(s *forgedSSHSIG) { s.reserved = "x" })
	bad("sha256", "a signature over a SHA-256 digest", "UUoU", func(s *forgedSSHSIG) {
		s.hash, s.digest = "sha256", func(b []byte) []byte { d := sha256.Sum256(b); return d[:] }
	})
	bad("after", "a signature with a byte after it", "MMoM", func(s *forgedSSHSIG) { s.after = "\x00" })
	bad("key-type", "a signature with a key of a type that is not known", "UUoU", func(s *forgedSSHSIG) { s.public = key("ssh-ed448", make([]byte, 57)) })
	bad("certificate", "a signature with a certificate", "UUoU", func(s *forgedSSHSIG) { s.public = key("ssh-ed25519-cert-v01@openssh.com", make([]byte, 32)) })
	bad("key-cut", "a signature with a key of 31 bytes", "MMoM", func(s *forgedSSHSIG) { s.public = key("ssh-ed25519", make([]byte, 31)) })
	bad("key-long", "a signature whose key has a byte after it", "MMoM", func(s *forgedSSHSIG) { s.public = append(bytes.Clone(s.public), 0) })
	bad("rsa-1024", "a signature with an RSA key of 1,024 bits", "AAoA", func(s *forgedSSHSIG) {
		s.forgedSigner = forgedRSA("rsa1024.pem", "rsa-sha2-512", crypto.SHA512)
	})
	bad("sha1", "a signature with RSA and SHA-1", "AAoA", func(s *forgedSSHSIG) { s.forgedSigner = forgedRSA("rsa2048.pem", "ssh-rsa", crypto.SHA1) })
	bad("algorithm", "a signature with another algorithm than its key's", "UUoU", func(s *forgedSSHSIG) {
		s.sign = func(data []byte) []byte { return sshString([]byte("ssh-ed448"), make([]byte, 114)) }
	})
	bad("short", "a signature of 63 bytes", "MMoM", func(s *forgedSSHSIG) {
		s.sign = func(data []byte) []byte { return sshString([]byte("ssh-ed25519"), make([]byte, 63)) }
	})
	bad("leading-zero", "a signature with a number that begins with a needless zero", "MMoM", func(s *forgedSSHSIG) {
		s.forgedSigner = forgedECDSA(elliptic.P256(), "nistp256", crypto.SHA256)
		k, _ := forgedECDSAKey(elliptic.P256())
		s.sign = func(data []byte) []byte {
			both := numbers(k, crypto.SHA256, data)
			r := both[4 : 4+both[3]]
			return sshString([]byte("ecdsa-sha2-nistp256"), join(sshString(append([]byte{0}, r...)), both[4+both[3]:]))
		}
	})
	bad("untouched", "a signature of a security key that nobody touched", "AAoA", func(s *forgedSSHSIG) { s.forgedSigner = forgedSK(0x04) })
	bad("untouched-p256", "the same with an ECDSA key", "AAoA", func(s *forgedSSHSIG) { s.forgedSigner = forgedSKECDSA(0) })
	bad("other-key", "a signature that another key made", "AAoA", func(s *forgedSSHSIG) { s.sign = bob.sign })
	bad("other-message", "a signature over M and a byte", "AAoA", func(s *forgedSSHSIG) {
		s.digest = func(b []byte) []byte { d := sha512.Sum512(append(b, 0)); return d[:] }
	})
	other := m.forge()
	other.id[0] ^= 1
	var moved []byte
	other.onEnd = func(e *forgedEnd) {
		e.sign = func(b []byte) []byte { moved = forgedSSHSIG{forgedSigner: alice}.over(b); return moved }
	}
	other.build()
	m.forged("signature-moved", "the signature of another archive, with the same records", "AAoA", func(f *forge) {
		f.onEnd = func(e *forgedEnd) { e.signature = moved }
	})

	by := func(name, about, classes, signers, at string, s forgedSigner) {
		m.signedBy(name, about, classes, signers, at, forgedSSHSIG{forgedSigner: s})
	}
	by("good-signer", "signed by one of two", "oooo", "both", "", bob)
	by("good-signer-first-second", "signed in the first second of a key's year", "oooo", "year", "20260101Z", alice)
	by("good-signer-last-second", "read in the last second of a key's year", "oooo", "year", "20261231235959Z", alice)
	by("good-signer-namespaces", "a key for this namespace and another", "oooo", "namespaces", "", bob)
	by("signer-other", "signed by somebody who is not listed", "SSoS", "bob", "", alice)
	by("signer-early", "read a second before a key's year", "SSoS", "year", "20251231235959Z", alice)
	by("signer-late", "read a second after a key's year", "SSoS", "year", "202701010000Z", alice)
	by("signer-namespaces", "a key that is excluded from this namespace", "SSoS", "namespaces", "", alice)
	by("signer-skipped", "a key on lines that count for nothing: an unknown option, an authority of certificates", "SSoS", "skipped", "", alice)
	by("signer-nameless", "a key on lines that have an option where a name belongs", "SSoS", "nameless", "", alice)
	by("signer-weak", "signed by somebody who is listed, and nobody touched the security key", "AAoA", "both", "", forgedSK(0))
	m.signers = "both"
	m.forged("signer-none", "not signed, where a signer is wanted", "SSoS", func(*forge) {})
	m.forged("signer-stripped", "a listed signer's signature taken out after T was made: a verifier sees that it is not there, a restorer that it was", "ASoA", func(f *forge) {
		f.onEnd = func(e *forgedEnd) { e.sign = forgedSSHSIG{forgedSigner: alice}.over }
		f.onFront = func(fr *forgedFrame) {
			if fr.kind == 4 {
				fr.front = join(fr.front[:72], u32(0), fr.front[len(fr.front)-32:])
			}
		}
	})
	m.signedArchive()
	m.signers = ""
}

// signedArchive is what create --sign makes.
func (m *vectorMaker) signedArchive() {
	seed := sha256.Sum256([]byte("tokar vector signer alice"))
	der, err := x509.MarshalPKCS8PrivateKey(ed25519.NewKeyFromSeed(seed[:]))
	if err != nil {
		m.t.Fatal(err)
	}
	key, err := signature.ReadKey(context.Background(), bytes.NewReader(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})), signature.Source{Name: "alice"})
	if err != nil {
		m.t.Fatal(err)
	}
	o := archiveOptions()
	o.Sign = key
	m.archive("good-signed", "two tokens, signed, for a restorer and a verifier", newMemory(madeToken("one", 3, 20), madeToken("two", 2, 20)), []string{"one", "two"}, o,
		[]string{"restore"}, []string{"verify"}, opens("restore", "verify"))
}

// signersOf is the list that a vector is judged by.
func (f *vectorFile) signersOf(t *testing.T, v *vector) *signature.Signers {
	t.Helper()
	if v.Signers == "" {
		return nil
	}
	s, err := signature.ParseSigners(bytes.NewReader([]byte(f.Signers[v.Signers])), v.Signers, func(int, error) {})
	if err == nil && v.Time != "" {
		s.At, err = signature.ParseTime(v.Time)
	}
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// options open a vector in a role.
func (f *vectorFile) options(t *testing.T, v *vector, role string, workers int) OpenOptions {
	t.Helper()
	return OpenOptions{Identities: []format.Identity{f.identity(t, v, role)}, Signers: f.signersOf(t, v), Workers: workers}
}
