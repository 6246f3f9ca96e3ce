package signature

import (
	"bytes"
	"context"
	"crypto/fips140"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"strings"

	"golang.org/x/crypto/ssh"
)

// ErrPassphrase: a locked key does not open with the passphrase given. It was
// asked once.
var ErrPassphrase = errors.New("wrong passphrase")

// A Key signs archives. It belongs to one run and is safe for one goroutine at
// a time.
type Key struct {
	public ssh.PublicKey
	sign   func(ctx context.Context, data []byte) (*ssh.Signature, error)
	agent  bool
}

// Source is where a Key comes from.
type Source struct {
	Name       string                 // of the file, for messages
	Passphrase func() ([]byte, error) // asked once, and only for a locked key; zeroed after use
	Agent      string                 // path of ssh-agent's socket; empty: there is none
}

// maxKey bounds the file of a key, in bytes.
const maxKey = 64 << 10

// ReadKey reads an SSH private key, or the public one of a key that ssh-agent
// holds, and shows that it can sign. Errors never repeat the content.
func ReadKey(ctx context.Context, r io.Reader, from Source) (*Key, error) {
	text := make([]byte, maxKey+1) // whole at once: growing would leave copies behind
	defer clear(text)
	n, err := io.ReadFull(r, text)
	switch {
	case err == nil:
		return nil, fmt.Errorf("%s: more than 64 KiB, and no key", from.Name)
	case err != io.EOF && err != io.ErrUnexpectedEOF:
		return nil, fmt.Errorf("%s: %w", from.Name, err)
	}
	k, err := from.key(ctx, text[:n])
	if err == nil {
		err = k.try(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", from.Name, err)
	}
	return k, nil
}

// Public says whose signatures it makes.
func (k *Key) Public() *Signature { return made(k.public) }

// InAgent says whether ssh-agent holds it: then its file holds no secret.
func (k *Key) InAgent() bool { return k.agent }

// Sign makes the signature of a message and checks it before it gives it away.
func (k *Key) Sign(ctx context.Context, message []byte) ([]byte, error) {
	sig, err := k.sign(ctx, signed(message))
	if err != nil {
		return nil, fmt.Errorf("the archive could not be signed: %w", err)
	}
	blob := encode(k.public, sig)
	if made, err := Verify(blob, message); err != nil || !bytes.Equal(made.key, k.public.Marshal()) {
		return nil, fmt.Errorf("the signature that was made does not hold; look at the key, or at the agent that holds it")
	}
	return blob, nil
}

// try signs what is no archive's message, but for keys that somebody would have
// to touch.
func (k *Key) try(ctx context.Context) error {
	if isSecurityKey(k.public.Type()) {
		return nil
	}
	_, err := k.Sign(ctx, []byte("tokar/1 trial"))
	return err
}

func isSecurityKey(keyType string) bool { return strings.HasPrefix(keyType, "sk-") }

func (from Source) key(ctx context.Context, text []byte) (*Key, error) {
	if !bytes.HasPrefix(bytes.TrimSpace(text), []byte("-----BEGIN")) {
		return from.public(ctx, text)
	}
	if keyType := openSSHType(text); isSecurityKey(keyType) {
		return nil, fmt.Errorf("a key of type %s, which signs through ssh-agent: add it there with ssh-add, and give the file with its public key", keyType)
	}
	private, err := ssh.ParseRawPrivateKey(text)
	if locked := (*ssh.PassphraseMissingError)(nil); errors.As(err, &locked) {
		private, err = from.unlock(text)
		if err != nil {
			return nil, err
		}
	}
	if err != nil {
		return nil, errors.New("not a usable SSH private key") // the library's own may show some of it
	}
	s, err := ssh.NewSignerFromKey(private)
	if err != nil {
		return nil, errors.New("an SSH key of a kind that cannot sign archives")
	}
	public, err := parseKey(s.PublicKey().Marshal())
	if err != nil {
		return nil, err
	}
	sign := func(_ context.Context, data []byte) (*ssh.Signature, error) { return signWith(s, data) }
	return &Key{public: public, sign: sign}, nil
}

// signWith signs with a private key: SHA-512 for RSA, which has a choice.
func signWith(s ssh.Signer, data []byte) (*ssh.Signature, error) {
	return s.(ssh.AlgorithmSigner).SignWithAlgorithm(rand.Reader, data, algorithms[s.PublicKey().Type()][0])
}

// unlock opens a key that is behind a passphrase.
func (from Source) unlock(text []byte) (any, error) {
	if fips140.Enforced() {
		return nil, errors.New("an SSH key behind a passphrase is not FIPS-approved (bcrypt), and this runs with fips140=only: take one without, or one that ssh-agent holds")
	}
	passphrase, err := from.Passphrase()
	defer clear(passphrase)
	if err != nil {
		return nil, err
	}
	private, err := ssh.ParseRawPrivateKeyWithPassphrase(text, passphrase)
	switch {
	case errors.Is(err, x509.IncorrectPasswordError):
		return nil, ErrPassphrase
	case err != nil:
		return nil, errors.New("not a usable SSH private key")
	}
	return private, nil
}

// openSSHType is the type of a key in OpenSSH's own form, which tells it even
// where it is locked; empty for others. (OpenSSH's PROTOCOL.key, section 1.)
func openSSHType(text []byte) string {
	block, _ := pem.Decode(text)
	if block == nil {
		return ""
	}
	rest, ok := bytes.CutPrefix(block.Bytes, []byte("openssh-key-v1\x00"))
	for range 3 { // cipher, key derivation and its options
		if ok {
			_, rest, ok = cutString(rest)
		}
	}
	if !ok || len(rest) < 4 {
		return ""
	}
	public, _, _ := cutString(rest[4:])
	keyType, _, _ := cutString(public)
	return string(keyType)
}
