package keyslot

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"

	"filippo.io/age"
	"golang.org/x/crypto/ssh"
	"tokar/format"
)

// maxScrypt bounds the cost of a locked identity file: 2^20 is 1 GiB and some
// seconds; age itself writes 2^18.
const maxScrypt = 20

// locked is a file of identities behind a passphrase. Whatever comes of asking
// is kept, so that nobody is asked twice.
type locked struct {
	name   string
	ui     *UI
	mayBe  func(format.Slot) bool // whether it is worth asking
	unlock func(passphrase []byte) (identities, error)

	asked bool
	ids   identities
	err   error
}

// open asks if it must.
func (l *locked) open(ctx context.Context, archive [32]byte, slot format.Slot) (format.SlotKey, error) {
	if !l.mayBe(slot) {
		return format.SlotKey{}, format.ErrNotForMe
	}
	if !l.asked {
		l.asked = true
		l.ids, l.err = l.ask()
	}
	if l.err != nil {
		return format.SlotKey{}, l.err
	}
	for _, id := range l.ids {
		if k, err := id.open(ctx, archive, slot); !errors.Is(err, format.ErrNotForMe) {
			return k, err
		}
	}
	return format.SlotKey{}, format.ErrNotForMe
}

func (l *locked) ask() (identities, error) {
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

// notOnlySSH: identity files hold no SSH keys, and may hold any other.
func notOnlySSH(slot format.Slot) bool {
	return isHPKE(slot) ||
		slices.ContainsFunc(stanzasOf(slot), func(s *age.Stanza) bool { return !strings.HasPrefix(s.Type, "ssh-") })
}

// lockedFile is an identity file in an age file. It must be locked with a
// passphrase, which shows before anybody is asked.
func lockedFile(file []byte, name string, ui *UI) (identities, error) {
	var none *age.NoIdentityMatchError
	_, err := age.Decrypt(bytes.NewReader(file), &looker{})
	switch {
	case !errors.As(err, &none):
		return nil, errors.New("a damaged locked identity file")
	case !slices.Equal(none.StanzaTypes, []string{"scrypt"}):
		return nil, errors.New("an age file that no passphrase opens; not an identity")
	}
	unlock := func(passphrase []byte) (identities, error) { return unlockFile(file, passphrase, ui) }
	return identities{&locked{name: name, ui: ui, mayBe: notOnlySSH, unlock: unlock}}, nil
}

func unlockFile(file, passphrase []byte, ui *UI) (identities, error) {
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
func lockedSSH(pem []byte, pub ssh.PublicKey, name string, ui *UI) (identities, error) {
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
	mayBe := func(slot format.Slot) bool { return slices.ContainsFunc(stanzasOf(slot), isFor(pub)) }
	unlock := func(passphrase []byte) (identities, error) { return unlockSSH(pem, passphrase, pub) }
	return identities{&locked{name: name, ui: ui, mayBe: mayBe, unlock: unlock}}, nil
}

// isFor compares the key's tag, which stanzas of SSH keys begin with.
func isFor(pub ssh.PublicKey) func(*age.Stanza) bool {
	sum := sha256.Sum256(pub.Marshal())
	tag := base64.RawStdEncoding.EncodeToString(sum[:4])
	return func(s *age.Stanza) bool {
		return s.Type == pub.Type() && len(s.Args) > 0 && s.Args[0] == tag
	}
}

func unlockSSH(pem, passphrase []byte, pub ssh.PublicKey) (identities, error) {
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
	return sshIdentity(key)
}
