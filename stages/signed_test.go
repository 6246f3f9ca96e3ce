package stages

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"tokar/backends"
	"tokar/format"
	"tokar/format/signature"
)

// signKey is a key to sign with, and its public half as lists have it.
func signKey(t *testing.T, name string) (*signature.Key, string) {
	t.Helper()
	private := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{name[0]}, 32))
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	k, err := signature.ReadKey(t.Context(), bytes.NewReader(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})), signature.Source{Name: name})
	if err != nil {
		t.Fatal(err)
	}
	wire := sshString([]byte("ssh-ed25519"), private.Public().(ed25519.PublicKey))
	return k, "ssh-ed25519 " + base64.StdEncoding.EncodeToString(wire)
}

func signersFrom(t *testing.T, text string) *signature.Signers {
	t.Helper()
	s, err := signature.ParseSigners(strings.NewReader(text), "list", func(line int, why error) { t.Errorf("line %d: %v", line, why) })
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// signedArchive is an archive of several blocks that alice signed.
func signedArchive(t *testing.T) ([]byte, *memory, string) {
	t.Helper()
	k, public := signKey(t, "alice")
	m := newMemory(madeToken("one", 600, 30), madeToken("two", 300, 20))
	o := archiveOptions()
	o.Sign = k
	return archive(t, m, o, "one", "two"), m, public
}

// endOfArchive is the end block of an archive, and its message.
func endOfArchive(t *testing.T, b []byte) (*format.End, []byte) {
	t.Helper()
	l, err := openLookup(t.Context(), bytes.NewReader(b), int64(len(b)), opening(restoreKey))
	if err != nil {
		t.Fatal(err)
	}
	return l.end, l.header.Message(l.end)
}

// TestSignedArchive has each way of reading say who signed.
func TestSignedArchive(t *testing.T) {
	b, m, public := signedArchive(t)
	list := signersFrom(t, "alice@x,b "+public)
	check := func(way string, sum *Summary, err error) {
		t.Helper()
		if err != nil || sum.SignedBy == nil || sum.SignedBy.KeyType != "ssh-ed25519" || fmt.Sprint(sum.Signers) != "[alice@x b]" {
			t.Errorf("%s: %+v, %v", way, sum, err)
		}
	}
	for _, in := range []struct {
		way  string
		open func() io.Reader
	}{{"a file", func() io.Reader { return bytes.NewReader(b) }}, {"a pipe", func() io.Reader { return stream(b) }}} {
		o := opening(restoreKey)
		o.Signers = list
		sum, err := Verify(t.Context(), in.open(), o)
		check("verify "+in.way, sum, err)
		sum, err = List(t.Context(), in.open(), ListOptions{OpenOptions: o})
		check("list "+in.way, sum, err)
		var out bytes.Buffer
		sum, err = Cat(t.Context(), in.open(), []string{"one/00000001"}, o, &out)
		check("cat "+in.way, sum, err)
		sum, err = compareSigned(in.open(), m, o, func(*Compared) error { return nil })
		check("compare "+in.way, sum, err)
		to := newMemory()
		sum, err = Extract(t.Context(), in.open(), extractSigned(o, to))
		check("extract "+in.way, sum, err)
		if len(to.restored) != 2 {
			t.Errorf("extract %s: %d tokens", in.way, len(to.restored))
		}
		o = opening(verifyKey)
		o.Signers = list
		sum, err = Verify(t.Context(), in.open(), o)
		check("verify "+in.way+" as verifier", sum, err)
	}
	sum, err := Verify(t.Context(), stream(b), opening(restoreKey))
	if err != nil || sum.SignedBy == nil || sum.Signers != nil {
		t.Errorf("nobody asks: %+v, %v", sum, err)
	}
}

func compareSigned(r io.Reader, m *memory, o OpenOptions, told func(*Compared) error) (*Summary, error) {
	return Compare(context.Background(), r, CompareOptions{
		OpenOptions: o,
		Backend:     func(string) (backends.Backend, error) { return m, nil },
		Place:       func(*format.Token) Place { return Place{Wanted: true, Whole: true} },
		Select:      func(*format.Token, *format.Record) bool { return true },
		Compared:    told,
	})
}

func extractSigned(o OpenOptions, to *memory) ExtractOptions {
	return ExtractOptions{
		OpenOptions: o,
		Backend:     func(string) (backends.Backend, error) { return to, nil },
		Place:       func(*format.Token) Place { return Place{Wanted: true, Whole: true} },
		Select:      func(*format.Token, *format.Record) bool { return true },
	}
}

// TestUnknownSigner: nothing leaves an archive that no known signer signed,
// by any way of reading, and nothing is restored.
func TestUnknownSigner(t *testing.T) {
	signed, m, _ := signedArchive(t)
	unsigned := archive(t, m, archiveOptions(), "one", "two")
	_, other := signKey(t, "mallory")
	list := signersFrom(t, "m "+other)
	for name, b := range map[string][]byte{"signed by another": signed, "unsigned": unsigned} {
		for way, in := range map[string]func() io.Reader{"file": func() io.Reader { return bytes.NewReader(b) }, "pipe": func() io.Reader { return stream(b) }} {
			told := 0
			o := opening(restoreKey)
			o.Signers, o.Each = list, func(*format.Token, *format.Record) { told++ }
			refused := func(what string, err error) {
				t.Helper()
				var unknown *signature.UnknownError
				if !errors.As(err, &unknown) || className(err) != "signer" || (unknown.Signature == nil) != (name == "unsigned") {
					t.Errorf("%s %s, %s: %v", what, name, way, err)
				}
				if told > 0 {
					t.Errorf("%s %s, %s: told of %d records", what, name, way, told)
				}
				told = 0
			}
			_, err := Verify(t.Context(), in(), o)
			refused("verify", err)
			_, err = List(t.Context(), in(), ListOptions{OpenOptions: o})
			refused("list", err)
			_, err = compareSigned(in(), m, o, func(*Compared) error { told++; return nil })
			refused("compare", err)
			var out bytes.Buffer
			_, err = Cat(t.Context(), in(), []string{"one/00000001"}, o, &out)
			refused("cat", err)
			to := newMemory()
			o.Each = nil // extract may name what it does; it commits nothing
			_, err = Extract(t.Context(), in(), extractSigned(o, to))
			refused("extract", err)
			if out.Len() > 0 || len(to.restored) > 0 || to.stagings > 0 {
				t.Errorf("%s, %s: %d bytes, %d tokens, %d stagings left", name, way, out.Len(), len(to.restored), to.stagings)
			}
		}
	}
}

// A swapped is a file whose content is another once its end was read: who can
// write it puts another archive of the same keys there.
type swapped struct {
	*bytes.Reader
	then []byte
}

func (s *swapped) Seek(offset int64, whence int) (int64, error) {
	return s.Reader.Seek(offset, whence)
}

// Read is what the second reading does; the first goes by ReadAt.
func (s *swapped) Read(p []byte) (int, error) {
	if s.then != nil {
		s.Reader, s.then = bytes.NewReader(s.then), nil
	}
	return s.Reader.Read(p)
}

// TestSwappedBetweenReadings: what is told of was signed, and not what came into
// the file between the two readings.
func TestSwappedBetweenReadings(t *testing.T) {
	k, public := signKey(t, "alice")
	make := func(m *memory, sign *signature.Key) []byte {
		o := archiveOptions()
		o.Sign = sign
		o.Slots = func(context.Context, *format.Keys) ([]format.Slot, error) { return noSlots, nil }
		o.Keys = func() (*format.Keys, error) {
			id, tK, mK, nonces := fixedKeys("swapped")
			return format.NewKeys(id, tK[:], mK[:], nonces)
		}
		return archive(t, m, o, "one")
	}
	good := make(newMemory(madeToken("one", 600, 30)), k)
	evil := make(newMemory(madeToken("one", 600, 31)), nil)
	_, tK, _, _ := fixedKeys("swapped")
	for _, then := range [][]byte{good, evil} {
		told := 0
		o := OpenOptions{Identities: []format.Identity{givenKey{format.RoleRestore, tK[:]}}, Signers: signersFrom(t, "a "+public), Workers: 2,
			Each: func(*format.Token, *format.Record) { told++ }}
		_, err := Verify(t.Context(), &swapped{bytes.NewReader(good), then}, o)
		if bytes.Equal(then, good) != (err == nil) || err != nil && (told > 0 || !errors.Is(err, format.ErrAuthentic)) {
			t.Errorf("%v, told of %d records", err, told)
		}
	}
}

// TestKeptPipe: the copy of a pipe is sealed, has no name, and errors of either
// side are what they are.
func TestKeptPipe(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	b, _, public := signedArchive(t)
	o := opening(restoreKey)
	o.Signers = signersFrom(t, "a "+public)
	o.Each = func(*format.Token, *format.Record) {
		if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
			t.Fatalf("%d files, %v", len(left), err)
		}
	}
	if _, err := Verify(t.Context(), stream(b), o); err != nil {
		t.Error(err)
	}
	broken := errors.New("the pipe breaks")
	if _, err := Salvage(t.Context(), io.MultiReader(stream(b[:len(b)/2]), brokenPipe{broken}), SalvageOptions{}); !errors.Is(err, broken) || errors.As(err, new(*SpoolError)) {
		t.Errorf("salvage: %v", err)
	}
	if _, err := Verify(t.Context(), io.MultiReader(stream(b[:len(b)/2]), brokenPipe{broken}), o); !errors.Is(err, broken) {
		t.Errorf("%v", err)
	}
	for n, want := range map[int]error{0: format.ErrNotArchive, 100: format.ErrTruncated, len(b) / 2: format.ErrTruncated} {
		if _, err := Verify(t.Context(), stream(b[:n]), o); className(err) != className(want) {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
	t.Setenv("TMPDIR", filepath.Join(dir, "nowhere"))
	spool := (*SpoolError)(nil)
	if _, err := Verify(t.Context(), stream(b), o); !errors.As(err, &spool) || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no directory to keep it: %v", err)
	}
	if _, err := Salvage(t.Context(), stream(b), SalvageOptions{}); !errors.As(err, &spool) {
		t.Errorf("no directory to keep it for a salvage: %v", err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("%d files are left, %v", len(left), err)
	}
}

type brokenPipe struct{ err error }

func (p brokenPipe) Read([]byte) (int, error) { return 0, p.err }

// TestSalvageSigned: a salvage says what became of the signature.
func TestSalvageSigned(t *testing.T) {
	b, m, _ := signedArchive(t)
	r, err := rescue(b)
	if err != nil || r.Signature != Good || r.SignedBy == nil || r.Damaged {
		t.Errorf("%+v, %v", r.Salvaged, err)
	}
	r, err = rescue(archive(t, m, archiveOptions(), "one", "two"))
	if err != nil || r.Signature != Absent || r.SignedBy != nil {
		t.Errorf("unsigned: %+v, %v", r.Salvaged, err)
	}
	end, _ := endOfArchive(t, b)
	r, err = rescue(b[:len(b)-len(end.Signature)-300]) // without the end block
	if err != nil || r.Signature != Absent || !r.Damaged {
		t.Errorf("cut: %+v, %v", r.Salvaged, err)
	}
}

// TestSignatureForSSHKeygen takes M and the signature out of an archive, and
// asks the real ssh-keygen.
func TestSignatureForSSHKeygen(t *testing.T) {
	if _, err := exec.LookPath("ssh-keygen"); err != nil {
		t.Skip("ssh-keygen is not here (testdata/peers/peers.sh names the package)")
	}
	b, _, public := signedArchive(t)
	end, message := endOfArchive(t, b)
	dir := t.TempDir()
	armored := "-----BEGIN SSH SIGNATURE-----\n" + base64.StdEncoding.EncodeToString(end.Signature) + "\n-----END SSH SIGNATURE-----\n"
	write(t, dir, "sig", []byte(armored))
	write(t, dir, "signers", []byte("alice@x namespaces=\"tokar-archive\" "+public+"\n"))
	ask := func(message []byte, args ...string) (string, error) {
		c := exec.Command("ssh-keygen", args...)
		c.Dir, c.Stdin = dir, bytes.NewReader(message)
		out, err := c.CombinedOutput()
		return string(out), err
	}
	verify := []string{"-Y", "verify", "-f", "signers", "-I", "alice@x", "-n", "tokar-archive", "-s", "sig"}
	if out, err := ask(message, verify...); err != nil {
		t.Errorf("verify: %s", out)
	}
	if out, err := ask(message, "-Y", "check-novalidate", "-n", "tokar-archive", "-s", "sig"); err != nil {
		t.Errorf("check-novalidate: %s", out)
	}
	if out, err := ask(nil, "-Y", "find-principals", "-f", "signers", "-s", "sig"); err != nil || strings.TrimSpace(out) != "alice@x" {
		t.Errorf("find-principals: %s", out)
	}
	if out, err := ask(message[:len(message)-1], verify...); err == nil {
		t.Errorf("of another message: %s", out)
	}
}
