package format

import (
	"bytes"
	"errors"
	"testing"
)

// A header that is refused at any step of opening leaves no key behind.
func TestRefusedHeaderWipesKeys(t *testing.T) {
	k, err := GenerateKeys()
	if err != nil {
		t.Fatal(err)
	}
	for _, role := range []Role{RoleRestore, RoleVerify} {
		for name, spoil := range map[string]func(h *Header){
			"tK commitment": func(h *Header) { h.commitT[0] ^= 1 },
			"mK commitment": func(h *Header) { h.commitM[0] ^= 1 },
			"emK":           func(h *Header) { h.emK[20] ^= 1 },
			"slots":         func(h *Header) { h.section.mm[0] ^= 1 },
		} {
			h, err := NewHeader(k, []Slot{{Type: SlotAge, Role: RoleRestore}, {Type: SlotAge, Role: RoleVerify}})
			if err != nil {
				t.Fatal(err)
			}
			s := k.SlotKey(role)
			s.Secret = bytes.Clone(s.Secret)
			spoil(h)
			got, err := h.Open(s, nil)
			if err == nil {
				if role == RoleVerify && (name == "tK commitment" || name == "emK") {
					continue // not a verifier's to see
				}
				t.Fatalf("%s: opened", name)
			}
			if !errors.Is(err, ErrAuthentic) || got != nil || !bytes.Equal(s.Secret, make([]byte, 32)) {
				t.Errorf("%s as %s: %v, keys %v, secret %x", name, role, err, got != nil, s.Secret)
			}
		}
	}
}
