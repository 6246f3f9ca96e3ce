package keyslot

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rsa"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"filippo.io/age"
	"filippo.io/age/agessh"
	"filippo.io/age/armor"
	"filippo.io/age/plugin"
	"golang.org/x/crypto/ssh"
	"tokar/format"
)

// ParseIdentities reads an identity file: age's own (X25519, hybrid
// post-quantum, plugins; one a line, # comments), the same locked with a
// passphrase (binary or armored), or an SSH private key (ed25519 or RSA),
// locked or not. All of a file is one Identity. A locked one asks when a slot
// may be for it, not before, and only once. Errors never repeat the content;
// a wrong line is named by its number.
func ParseIdentities(r io.Reader, name string, ui *UI) (format.Identity, error) {
	if err := refuseFIPS(name); err != nil {
		return nil, err
	}
	b, err := readBounded(r, maxFile)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	defer clear(b)
	ids, err := identitiesOf(b, name, ui)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return &ageIdentity{ids: ids}, nil
}

// identitiesOf keeps nothing of b.
func identitiesOf(b []byte, name string, ui *UI) ([]age.Identity, error) {
	trimmed := bytes.TrimSpace(b)
	switch {
	case bytes.HasPrefix(b, []byte("age-encryption.org/")):
		return lockedFile(bytes.Clone(b), name, ui)
	case bytes.HasPrefix(trimmed, []byte(armor.Header)):
		bin, err := readBounded(armor.NewReader(bytes.NewReader(trimmed)), maxFile)
		if err != nil {
			return nil, errors.New("a damaged locked identity file")
		}
		return lockedFile(bin, name, ui)
	case bytes.HasPrefix(trimmed, []byte("-----BEGIN")):
		return sshIdentities(b, name, ui)
	}
	return identityLines(b, ui)
}

// identityLines reads age's own form. Those that ask nobody come first, so
// that nobody is asked in vain.
func identityLines(b []byte, ui *UI) (ids []age.Identity, err error) {
	for n, line := range lines(b) {
		id, err := identityOf(line, ui)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		ids = append(ids, id)
	}
	if len(ids) == 0 {
		return nil, errors.New("no secret key in it")
	}
	slices.SortStableFunc(ids, func(a, b age.Identity) int { return asks(a) - asks(b) })
	return ids, nil
}

func asks(id age.Identity) int {
	if _, ok := id.(pluginIdentity); ok {
		return 1
	}
	return 0
}

func identityOf(line string, ui *UI) (age.Identity, error) {
	var id age.Identity
	var err error
	switch {
	case strings.HasPrefix(line, "AGE-SECRET-KEY-PQ-1"):
		id, err = age.ParseHybridIdentity(line)
	case strings.HasPrefix(line, "AGE-SECRET-KEY-1"):
		id, err = age.ParseX25519Identity(line)
	case strings.HasPrefix(line, "AGE-PLUGIN-"):
		var p *plugin.Identity
		p, err = plugin.NewIdentity(line, ui.plugin())
		id = pluginIdentity{p}
		if err == nil && ui != nil && ui.NoPlugin {
			return nil, errors.New("it needs its plugin, and none is run here")
		}
	case strings.HasPrefix(line, "age1"), strings.HasPrefix(line, "ssh-"):
		return nil, errors.New("this is a public key; the secret key that belongs to it opens archives")
	default:
		return nil, errors.New("not a secret key of tokar, age or SSH")
	}
	if err != nil {
		return nil, errors.New("malformed identity; mistyped or cut off?") // age's own may show some of it
	}
	return id, nil
}

// sshIdentities reads an SSH private key. A key in OpenSSH's form names its
// public key even when it is locked.
func sshIdentities(pem []byte, name string, ui *UI) ([]age.Identity, error) {
	key, err := ssh.ParseRawPrivateKey(pem)
	var missing *ssh.PassphraseMissingError
	if errors.As(err, &missing) {
		return lockedSSH(bytes.Clone(pem), missing.PublicKey, name, ui)
	}
	if err != nil {
		return nil, errors.New("not a usable SSH private key")
	}
	id, err := sshIdentity(key)
	return []age.Identity{id}, err
}

// sshIdentity takes what x/crypto/ssh returns: ed25519 keys by pointer or not,
// by the file's form.
func sshIdentity(key any) (age.Identity, error) {
	switch k := key.(type) {
	case *ed25519.PrivateKey:
		return agessh.NewEd25519Identity(*k)
	case ed25519.PrivateKey:
		return agessh.NewEd25519Identity(k)
	case *rsa.PrivateKey:
		return agessh.NewRSAIdentity(k)
	}
	return nil, errors.New("an SSH key of a kind that cannot be an identity; ed25519 and RSA can")
}
