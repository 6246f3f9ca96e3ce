package keyslot

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"filippo.io/age"
	"tokar/format"
)

// The body of an age slot is a small binary age file to one recipient. Its
// plaintext repeats the slot's place, so that it opens in no other:
//
//	"tokar/1 slot" 00 ‖ suite (u16) ‖ role (u8) ‖ archive id (32) ‖ secret (32)
const (
	slotText  = "tokar/1 slot\x00"
	plainSize = len(slotText) + 2 + 1 + 32 + 32
)

// maxStanzas bounds what an identity tries in one body. A recipient makes one
// stanza; plugins and other writers may add a few.
const maxStanzas = 16

// appendPlace writes what the plaintext says before the secret.
func appendPlace(b []byte, role format.Role, archive [32]byte) []byte {
	b = append(b, slotText...)
	b = binary.BigEndian.AppendUint16(b, format.Suite)
	b = append(b, byte(role))
	return append(b, archive[:]...)
}

// parsePlain checks length and place, and copies the secret out.
func parsePlain(b []byte, role format.Role, archive [32]byte) (format.SlotKey, error) {
	place := appendPlace(nil, role, archive)
	if len(b) != plainSize || !bytes.HasPrefix(b, place) {
		return format.SlotKey{}, fmt.Errorf("%w: a key slot was made for another place", format.ErrAuthentic)
	}
	return format.SlotKey{Role: role, Archive: archive, Secret: bytes.Clone(b[len(place):])}, nil
}

// ageRecipient is a recipient of any kind that age knows.
type ageRecipient struct {
	to    age.Recipient
	short string // for messages: public
}

func (r *ageRecipient) name() string { return r.short }

func (r *ageRecipient) Wrap(ctx context.Context, k format.SlotKey) (format.Slot, error) {
	slot, _, err := r.wrap(ctx, k)
	return slot, err
}

// wrap says too whether the recipient is post-quantum. As in age itself, who
// does not say that he is, is not.
func (r *ageRecipient) wrap(ctx context.Context, k format.SlotKey) (slot format.Slot, quantum bool, err error) {
	if err := ctx.Err(); err != nil {
		return slot, false, err
	}
	if len(k.Secret) != 32 {
		return slot, false, fmt.Errorf("a key of %d bytes for a slot", len(k.Secret))
	}
	w := &wrapped{Recipient: r.to}
	body, err := encrypt(w, k)
	if err == nil && len(body) > format.MaxSlotBody {
		err = fmt.Errorf("its slot needs more than %d bytes", format.MaxSlotBody)
	}
	if err != nil {
		return slot, false, fmt.Errorf("recipient %s: %w", r.short, err)
	}
	return format.Slot{Type: format.SlotAge, Role: k.Role, Body: body}, w.quantum, nil
}

func encrypt(to age.Recipient, k format.SlotKey) ([]byte, error) {
	plain := appendPlace(make([]byte, 0, plainSize), k.Role, k.Archive)
	plain = append(plain, k.Secret...)
	defer clear(plain)

	var body bytes.Buffer
	w, err := age.Encrypt(&body, to)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(plain); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return body.Bytes(), nil
}

// wrapped sees what a recipient gives to age: stanzas and labels.
type wrapped struct {
	age.Recipient
	quantum bool
}

// WrapWithLabels makes age call it instead of Wrap.
func (w *wrapped) WrapWithLabels(fileKey []byte) (stanzas []*age.Stanza, labels []string, err error) {
	if r, ok := w.Recipient.(age.RecipientWithLabels); ok {
		stanzas, labels, err = r.WrapWithLabels(fileKey)
	} else {
		stanzas, err = w.Recipient.Wrap(fileKey)
	}
	w.quantum = slices.Contains(labels, "postquantum")
	if err == nil && !acceptable(stanzas) {
		err = errors.New("made a slot that no reader would accept")
	}
	return stanzas, labels, err
}

// acceptable bounds the work that a body can ask for. scrypt is a cost that
// the archive's author would choose, so it is never run from a slot.
func acceptable(stanzas []*age.Stanza) bool {
	scrypt := func(s *age.Stanza) bool { return s.Type == "scrypt" }
	return len(stanzas) <= maxStanzas && !slices.ContainsFunc(stanzas, scrypt)
}

// ageKey is one of age's identities, which asks nobody or has a plugin ask.
type ageKey struct{ id age.Identity }

// open tries an age slot. A body that does not open may be somebody else's; one
// that was opened by us and is not what it should be ends everything.
func (a ageKey) open(_ context.Context, archive [32]byte, slot format.Slot) (format.SlotKey, error) {
	if slot.Type != format.SlotAge {
		return format.SlotKey{}, format.ErrNotForMe
	}
	if len(slot.Body) > format.MaxSlotBody {
		return format.SlotKey{}, fmt.Errorf("%w: a key slot of %d bytes", format.ErrMalformed, len(slot.Body))
	}
	t := &trial{id: a.id}
	plain, err := decrypt(t, slot.Body)
	defer clear(plain)
	switch {
	case t.stopped != nil:
		return format.SlotKey{}, t.stopped
	case !t.mine:
		return format.SlotKey{}, format.ErrNotForMe
	case err != nil:
		return format.SlotKey{}, fmt.Errorf("%w: a key slot is damaged", format.ErrAuthentic)
	}
	return parsePlain(plain, slot.Role, archive)
}

func decrypt(id age.Identity, body []byte) ([]byte, error) {
	r, err := age.Decrypt(bytes.NewReader(body), id)
	if err != nil {
		return nil, err
	}
	return readBounded(r, plainSize)
}

// trial is one identity at one body. It keeps what age's errors do not tell:
// whether the identity found its stanza.
type trial struct {
	id      age.Identity
	mine    bool
	stopped error
}

func (t *trial) Unwrap(stanzas []*age.Stanza) ([]byte, error) {
	if !acceptable(stanzas) {
		return nil, age.ErrIncorrectIdentity
	}
	key, err := t.id.Unwrap(stanzas)
	var s *stop
	if errors.As(err, &s) {
		t.stopped = s.err
	}
	t.mine = err == nil
	return key, err
}

// stanzasOf are those of an age slot's header; none if no identity would be
// tried on it.
func stanzasOf(slot format.Slot) []*age.Stanza {
	if slot.Type != format.SlotAge || len(slot.Body) > format.MaxSlotBody {
		return nil
	}
	var l looker
	age.Decrypt(bytes.NewReader(slot.Body), &l)
	if !acceptable(l.stanzas) {
		return nil
	}
	return l.stanzas
}

// looker only looks at a header.
type looker struct{ stanzas []*age.Stanza }

func (l *looker) Unwrap(stanzas []*age.Stanza) ([]byte, error) {
	l.stanzas = stanzas
	return nil, age.ErrIncorrectIdentity
}

// stop marks an error of a plugin, after which nothing else is to be tried. All
// others come from the body.
type stop struct{ err error }

func (s *stop) Error() string { return s.err.Error() }

// pluginIdentity passes on what a plugin says; age has put its name before it.
type pluginIdentity struct{ age.Identity }

func (p pluginIdentity) Unwrap(stanzas []*age.Stanza) ([]byte, error) {
	key, err := p.Identity.Unwrap(stanzas)
	if err != nil && !errors.Is(err, age.ErrIncorrectIdentity) {
		err = &stop{err}
	}
	return key, err
}
