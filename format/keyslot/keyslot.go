// Package keyslot makes and opens key slots: recipients wrap an archive's tK
// or mK, identities unwrap it.
//
// A recipient or identity of HPKE (hpke.go, hpketext.go) or age (age.go) comes
// from text that people keep: ParseRecipient, ParseRecipients (recipient.go),
// ParseIdentities (identity.go, locked.go, lockedhpke.go). A Passphrase
// (passphrase.go) is both at once. Recipients.Wrap makes all slots of an archive
// and refuses what weakens it. GenerateHPKE and LockHPKE, GenerateHybrid,
// GenerateX25519 and Lock (generate.go) make new identities.
//
// age is not made of FIPS-approved primitives: under GODEBUG=fips140=only
// everything of age is refused before age is called.
package keyslot

import (
	"bytes"
	"cmp"
	"context"
	"crypto/fips140"
	"errors"
	"fmt"
	"io"
	"slices"

	"filippo.io/age/plugin"
	"tokar/format"
)

// ErrPassphrase: a locked identity file or SSH key does not open with the
// passphrase given. It was asked once; nothing else was tried.
var ErrPassphrase = errors.New("wrong passphrase")

// PluginUI is how age plugins talk to people; what they say is theirs and is
// to be shown with control characters escaped.
type PluginUI = plugin.ClientUI

// UI is how keys reach people. Nil, or a nil function, means that asking
// fails.
type UI struct {
	// Passphrase asks for the passphrase of a locked identity; name is the
	// file's. The bytes are zeroed after use. It is called at most once a
	// file, and only when a slot may be for it.
	Passphrase func(name string) ([]byte, error)
	// PublicKey gives the content of NAME.pub. Only locked SSH keys in the old
	// PEM form need it; the OpenSSH form has its public key inside.
	PublicKey func(name string) ([]byte, error)
	Plugin    PluginUI
	// NoPlugin refuses identities that need a plugin: no program is run.
	NoPlugin bool
}

func (u *UI) passphrase(name string) ([]byte, error) {
	if u == nil || u.Passphrase == nil {
		return nil, fmt.Errorf("%s is locked, and there is no way to ask for its passphrase", name)
	}
	return u.Passphrase(name)
}

func (u *UI) publicKey(name string) ([]byte, error) {
	if u == nil || u.PublicKey == nil {
		return nil, errors.New("no public key at hand")
	}
	return u.PublicKey(name)
}

func (u *UI) plugin() *plugin.ClientUI {
	if u == nil {
		return &plugin.ClientUI{}
	}
	return &u.Plugin
}

// Recipients are those who may open an archive.
type Recipients struct {
	Restore []format.Recipient // get tK
	Verify  []format.Recipient // get mK
	// Mixed allows post-quantum and classical recipients together. Whoever can
	// open one classical slot has the archive, whatever the others are.
	Mixed bool
}

// Wrap makes a slot for each, Restore first, in order. It refuses what readers
// would: more than format.MaxSlots, two passphrases for one role.
func (r Recipients) Wrap(ctx context.Context, keys *format.Keys) ([]format.Slot, error) {
	return r.WrapBeside(ctx, keys, nil)
}

// WrapBeside puts the slots that it makes behind those of the same archive that
// stay. What it refuses is counted over all of them.
func (r Recipients) WrapBeside(ctx context.Context, keys *format.Keys, kept []format.Slot) ([]format.Slot, error) {
	if n := len(kept) + len(r.Restore) + len(r.Verify); n > format.MaxSlots {
		return nil, fmt.Errorf("%d recipients; an archive has room for %d key slots", n, format.MaxSlots)
	}
	if err := r.onePassphrase(kept); err != nil { // before it is asked for
		return nil, err
	}
	var m mix
	m.kept(kept)
	slots, err := m.wrap(ctx, slices.Clone(kept), keys.SlotKey(format.RoleRestore), r.Restore)
	if err == nil {
		slots, err = m.wrap(ctx, slots, keys.SlotKey(format.RoleVerify), r.Verify)
	}
	if err == nil && !r.Mixed {
		err = m.check()
	}
	if err != nil {
		return nil, err
	}
	return slots, nil
}

// onePassphrase refuses a second passphrase beside one that stays.
func (r Recipients) onePassphrase(kept []format.Slot) error {
	for role, to := range map[format.Role][]format.Recipient{format.RoleRestore: r.Restore, format.RoleVerify: r.Verify} {
		stays := slices.ContainsFunc(kept, func(s format.Slot) bool { return s.Type == format.SlotPassphrase && s.Role == role })
		asked := slices.ContainsFunc(to, func(r format.Recipient) bool { _, ok := r.(*Passphrase); return ok })
		if stays && asked {
			return fmt.Errorf("two passphrases to %s; an archive has one, and the one that it has stays", role)
		}
	}
	return nil
}

// mix holds the first recipient of either strength. Plugins tell theirs only
// when they wrap, so it is known after all slots are made.
type mix struct{ quantum, classic string }

func (m *mix) wrap(ctx context.Context, slots []format.Slot, k format.SlotKey, to []format.Recipient) ([]format.Slot, error) {
	passphrases := 0
	for _, r := range to {
		slot, err := m.one(ctx, k, r)
		if err != nil {
			return nil, err
		}
		if slot.Type == format.SlotPassphrase {
			passphrases++
		}
		if passphrases > 1 {
			return nil, fmt.Errorf("two passphrases to %s; an archive has one", k.Role)
		}
		slots = append(slots, slot)
	}
	return slots, nil
}

// publicKey is a recipient that is post-quantum or not.
type publicKey interface {
	wrap(ctx context.Context, k format.SlotKey) (slot format.Slot, quantum bool, err error)
	name() string // for messages
}

// one wraps for one recipient. What has no public key is symmetric: it goes
// with either strength.
func (m *mix) one(ctx context.Context, k format.SlotKey, r format.Recipient) (format.Slot, error) {
	p, ok := r.(publicKey)
	if !ok {
		return r.Wrap(ctx, k)
	}
	slot, quantum, err := p.wrap(ctx, k)
	switch {
	case quantum && m.quantum == "":
		m.quantum = p.name()
	case !quantum && m.classic == "":
		m.classic = p.name()
	}
	return slot, err
}

// kept counts slots that were made before. Of them only their bodies tell.
func (m *mix) kept(slots []format.Slot) {
	for _, s := range slots {
		name := Describe(s) + " (which stays)"
		switch strengthOf(s) {
		case postQuantum:
			m.quantum = cmp.Or(m.quantum, name)
		case classical:
			m.classic = cmp.Or(m.classic, name)
		}
	}
}

func (m *mix) check() error {
	if m.quantum == "" || m.classic == "" {
		return nil
	}
	return fmt.Errorf("recipient %s is post-quantum and %s is not: "+
		"the archive would be as weak as the weaker (--mixed allows it)", m.quantum, m.classic)
}

// refuseFIPS comes before every call of age: in fips140=only age fails in
// misleading ways, and its post-quantum keys hang for ever.
func refuseFIPS() error {
	if !fips140.Enforced() {
		return nil
	}
	return errors.New("age, plugin and SSH keys are not FIPS-approved and this runs with fips140=only; " +
		"use a key of \"tokar keygen --hpke\", or a passphrase")
}

const maxFile = 1 << 20 // bytes of a file of recipients or identities

var errTooLong = errors.New("too long")

// readBounded reads all of r into one buffer, which the caller may zero
// knowing that growing has left no copies.
func readBounded(r io.Reader, limit int) ([]byte, error) {
	buf := bytes.NewBuffer(make([]byte, 0, limit+1+bytes.MinRead))
	_, err := buf.ReadFrom(io.LimitReader(r, int64(limit)+1))
	if err == nil && buf.Len() > limit {
		err = errTooLong
	}
	if err != nil {
		clear(buf.Bytes())
		return nil, err
	}
	return buf.Bytes(), nil
}
