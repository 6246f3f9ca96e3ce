package keyslot

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"

	"filippo.io/age"
	"golang.org/x/crypto/ssh"
)

// maxScrypt bounds the cost of a locked identity file: 2^20 is 1 GiB and some
// seconds; age itself writes 2^18.
const maxScrypt = 20

// locked is an identity behind a passphrase. Whatever comes of asking is kept,
// so that nobody is asked twice.
type locked struct {
	name   string
	ui     *UI
	mayBe  func([]*age.Stanza) bool // whether it is worth asking
	unlock func(passphrase []byte) ([]age.Identity, error)

	asked bool
	ids   []age.Identity
	err   error
}

// Unwrap asks if it must.
func (l *locked) Unwrap(stanzas []*age.Stanza) ([]byte, error) {
	if !l.mayBe(stanzas) {
		return nil, age.ErrIncorrectIdentity
	}
	if !l.asked {
		l.asked = true
		l.ids, l.err = l.ask()
	}
	if l.err != nil {
		return nil, &stop{l.err}
	}
	return firstOf(l.ids, stanzas)
}

func (l *locked) ask() ([]age.Identity, error) {
	passphrase, err := l.ui.passphrase(l.name)
	defer clear(passphrase)
	if err != nil {
		return nil, err
	}
	if len(passphrase) == 0 {
		return nil, fmt.Errorf("%s: %w: it is empty", l.name, ErrPassphrase)
	}
	ids, err := l.unlock(passphrase)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", l.name, err)
	}
	return ids, nil
}

// firstOf is the first identity that finds its stanza.
func firstOf(ids []age.Identity, stanzas []*age.Stanza) ([]byte, error) {
	for _, id := range ids {
		key, err := id.Unwrap(stanzas)
		var s *stop
		if err == nil || errors.As(err, &s) {
			return key, err
		}
	}
	return nil, age.ErrIncorrectIdentity
}

// lockedFile is an identity file in an age file. It must be locked with a
// passphrase, which shows before anybody is asked.
func lockedFile(file []byte, name string, ui *UI) ([]age.Identity, error) {
	var none *age.NoIdentityMatchError
	_, err := age.Decrypt(bytes.NewReader(file), nobody{})
	switch {
	case !errors.As(err, &none):
		return nil, errors.New("a damaged locked identity file")
	case !slices.Equal(none.StanzaTypes, []string{"scrypt"}):
		return nil, errors.New("an age file that no passphrase opens; not an identity")
	}
	unlock := func(passphrase []byte) ([]age.Identity, error) { return unlockFile(file, passphrase, ui) }
	return []age.Identity{&locked{name: name, ui: ui, mayBe: notOnlySSH, unlock: unlock}}, nil
}

// nobody only looks at a header.
type nobody struct{}

func (nobody) Unwrap([]*age.Stanza) ([]byte, error) { return nil, age.ErrIncorrectIdentity }

// notOnlySSH: identity files hold no SSH keys.
func notOnlySSH(stanzas []*age.Stanza) bool {
	return slices.ContainsFunc(stanzas, func(s *age.Stanza) bool { return !strings.HasPrefix(s.Type, "ssh-") })
}

func unlockFile(file, passphrase []byte, ui *UI) ([]age.Identity, error) {
	id, err := age.NewScryptIdentity(string(passphrase))
	if err != nil {
		return nil, err
	}
	id.SetMaxWorkFactor(maxScrypt)
	r, err := age.Decrypt(bytes.NewReader(file), id)
	if errors.Is(err, age.ErrIncorrectIdentity) {
		return nil, ErrPassphrase
	}
	if err != nil {
		return nil, err
	}
	plain, err := readBounded(r, maxFile)
	if err != nil {
		return nil, err
	}
	defer clear(plain)
	return identityLines(plain, ui)
}

// lockedSSH is an SSH key behind a passphrase. Keys in the old PEM form do not
// tell their public key, which says whether to ask at all: NAME.pub does.
func lockedSSH(pem []byte, pub ssh.PublicKey, name string, ui *UI) ([]age.Identity, error) {
	if pub == nil {
		text, err := ui.publicKey(name)
		if err == nil {
			pub, _, _, _, err = ssh.ParseAuthorizedKey(text)
		}
		if err != nil {
			return nil, fmt.Errorf("a locked SSH key in the old form needs %s.pub beside it "+
				"(or: ssh-keygen -p -f %s makes it new): %w", name, name, err)
		}
	}
	if t := pub.Type(); t != ssh.KeyAlgoED25519 && t != ssh.KeyAlgoRSA {
		return nil, fmt.Errorf("an SSH key of type %s cannot be an identity; ssh-ed25519 and ssh-rsa can", t)
	}
	mayBe := func(stanzas []*age.Stanza) bool { return slices.ContainsFunc(stanzas, isFor(pub)) }
	unlock := func(passphrase []byte) ([]age.Identity, error) { return unlockSSH(pem, passphrase, pub) }
	return []age.Identity{&locked{name: name, ui: ui, mayBe: mayBe, unlock: unlock}}, nil
}

// isFor compares the key's tag, which stanzas of SSH keys begin with.
func isFor(pub ssh.PublicKey) func(*age.Stanza) bool {
	sum := sha256.Sum256(pub.Marshal())
	tag := base64.RawStdEncoding.EncodeToString(sum[:4])
	return func(s *age.Stanza) bool {
		return s.Type == pub.Type() && len(s.Args) > 0 && s.Args[0] == tag
	}
}

func unlockSSH(pem, passphrase []byte, pub ssh.PublicKey) ([]age.Identity, error) {
	key, err := ssh.ParseRawPrivateKeyWithPassphrase(pem, passphrase)
	if errors.Is(err, x509.IncorrectPasswordError) {
		return nil, ErrPassphrase
	}
	if err != nil {
		return nil, err
	}
	signer, err := ssh.NewSignerFromKey(key)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(signer.PublicKey().Marshal(), pub.Marshal()) {
		return nil, errors.New("its .pub file belongs to another key")
	}
	id, err := sshIdentity(key)
	return []age.Identity{id}, err
}
