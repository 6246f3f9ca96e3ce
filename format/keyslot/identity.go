package keyslot

import (
	"bytes"
	"context"
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

// ParseIdentities reads an identity file: tokar's HPKE keys and age's own
// (X25519, hybrid post-quantum, plugins; one a line, # comments), the same
// locked with a passphrase (by LockHPKE; by age, binary or armored), or an SSH
// private key (ed25519 or RSA), locked or not. All of a file is one Identity. A
// locked one asks when a slot may be for it, not before, and only once. Errors
// never repeat the content; a wrong line is named by its number.
func ParseIdentities(r io.Reader, name string, ui *UI) (format.Identity, error) {
	b, err := readBounded(r, maxFile)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	defer clear(b)
	ids, err := identitiesOf(b, name, ui)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return ids, nil
}

// An opener is a secret key, or several behind one passphrase.
type opener interface {
	// open yields what a slot carries. ErrNotForMe says that it may be
	// somebody else's; after another error nothing else is to be tried.
	open(ctx context.Context, archive [32]byte, slot format.Slot) (format.SlotKey, error)
}

// identities are what one file holds. They belong to one goroutine.
type identities []opener

// Unwrap tries every identity on every slot with tK, then on those with mK.
func (ids identities) Unwrap(ctx context.Context, archive [32]byte, all []format.Slot) (format.SlotKey, error) {
	if len(all) > format.MaxSlots {
		return format.SlotKey{}, fmt.Errorf("%w: %d key slots", format.ErrMalformed, len(all))
	}
	for _, role := range []format.Role{format.RoleRestore, format.RoleVerify} {
		for _, id := range ids {
			k, err := openFirst(ctx, id, role, archive, all)
			if !errors.Is(err, format.ErrNotForMe) {
				return k, err
			}
		}
	}
	return format.SlotKey{}, format.ErrNotForMe
}

func openFirst(ctx context.Context, id opener, role format.Role, archive [32]byte, all []format.Slot) (format.SlotKey, error) {
	for _, slot := range all {
		if slot.Role != role {
			continue
		}
		if err := ctx.Err(); err != nil {
			return format.SlotKey{}, err
		}
		k, err := id.open(ctx, archive, slot)
		if !errors.Is(err, format.ErrNotForMe) {
			return k, err
		}
	}
	return format.SlotKey{}, format.ErrNotForMe
}

// identitiesOf keeps nothing of b.
func identitiesOf(b []byte, name string, ui *UI) (identities, error) {
	trimmed := bytes.TrimSpace(b)
	switch {
	case bytes.HasPrefix(trimmed, []byte(hpkeLockHeader)):
		return lockedHPKE(trimmed, name, ui)
	case bytes.HasPrefix(b, []byte("age-encryption.org/")), bytes.HasPrefix(trimmed, []byte("-----BEGIN")):
		if err := refuseFIPS(); err != nil {
			return nil, err
		}
	}
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

// identityLines reads one identity a line. Those that ask nobody come first, so
// that nobody is asked in vain.
func identityLines(b []byte, ui *UI) (ids identities, err error) {
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
	slices.SortStableFunc(ids, func(a, b opener) int { return asks(a) - asks(b) })
	return ids, nil
}

func asks(id opener) int {
	if a, ok := id.(ageKey); ok {
		if _, ok := a.id.(pluginIdentity); ok {
			return 1
		}
	}
	return 0
}

var errBadIdentity = errors.New("malformed identity; mistyped or cut off?")

func identityOf(line string, ui *UI) (opener, error) {
	switch {
	case strings.HasPrefix(line, hpkeSecretPrefix):
		return parseHPKEIdentity(line)
	case strings.HasPrefix(line, "AGE-"):
		if err := refuseFIPS(); err != nil {
			return nil, err
		}
		return ageIdentityOf(line, ui)
	case strings.HasPrefix(line, hpkePublicPrefix), strings.HasPrefix(line, "age1"), strings.HasPrefix(line, "ssh-"):
		return nil, errors.New("this is a public key; the secret key that belongs to it opens archives")
	}
	return nil, errNotIdentity
}

var errNotIdentity = errors.New("not a secret key of tokar, age or SSH")

func ageIdentityOf(line string, ui *UI) (opener, error) {
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
	default:
		return nil, errNotIdentity
	}
	if err != nil {
		return nil, errBadIdentity // age's own may show some of it
	}
	return ageKey{id}, nil
}

// sshIdentities reads an SSH private key. A key in OpenSSH's form names its
// public key even when it is locked.
func sshIdentities(pem []byte, name string, ui *UI) (identities, error) {
	key, err := ssh.ParseRawPrivateKey(pem)
	var missing *ssh.PassphraseMissingError
	if errors.As(err, &missing) {
		return lockedSSH(bytes.Clone(pem), missing.PublicKey, name, ui)
	}
	if err != nil {
		return nil, errors.New("not a usable SSH private key")
	}
	return sshIdentity(key)
}

// sshIdentity takes what x/crypto/ssh returns: ed25519 keys by pointer or not,
// by the file's form.
func sshIdentity(key any) (identities, error) {
	var id age.Identity
	var err error
	switch k := key.(type) {
	case *ed25519.PrivateKey:
		id, err = agessh.NewEd25519Identity(*k)
	case ed25519.PrivateKey:
		id, err = agessh.NewEd25519Identity(k)
	case *rsa.PrivateKey:
		id, err = agessh.NewRSAIdentity(k)
	default:
		err = errors.New("an SSH key of a kind that cannot be an identity; ed25519 and RSA can")
	}
	if err != nil {
		return nil, err
	}
	return identities{ageKey{id}}, nil
}
