package keyslot

import (
	"slices"
	"strings"
	"testing"
	"time"

	"filippo.io/age/plugin"
	"tokar/format"
)

// What stays counts with what is added; nobody is asked for a passphrase that
// would be refused.
func TestWrapBeside(t *testing.T) {
	pq, pqID := pair(t, GenerateHybrid)
	x, xID := pair(t, GenerateX25519)
	asked := 0
	pass := NewPassphrase(func() ([]byte, error) { asked++; return []byte("a b c"), nil })
	pass.Cost = MinCost
	keys, err := format.NewKeys(archiveA, keyOf(format.RoleRestore).Secret, keyOf(format.RoleVerify).Secret, nil)
	if err != nil {
		t.Fatal(err)
	}
	old := NewPassphrase(func() ([]byte, error) { return []byte("d e f"), nil })
	old.Cost = MinCost
	x25519, hybrid := mustWrap(t, x, format.RoleRestore), mustWrap(t, pq, format.RoleRestore)
	secret, forVerifiers := mustWrap(t, old, format.RoleRestore), mustWrap(t, old, format.RoleVerify)
	unknown := format.Slot{Type: 99, Role: format.RoleRestore}
	list := func(r ...format.Recipient) []format.Recipient { return r }
	slots := func(s ...format.Slot) []format.Slot { return s }
	for name, c := range map[string]struct {
		r    Recipients
		kept []format.Slot
		want string
	}{
		"another of a kind":        {Recipients{Restore: list(x)}, slots(x25519), ""},
		"a passphrase":             {Recipients{Restore: list(pass)}, slots(x25519), ""},
		"mixed":                    {Recipients{Restore: list(x)}, slots(hybrid), "recipient age post-quantum (which stays) is post-quantum and age1"},
		"mixed the other way":      {Recipients{Verify: list(pq)}, slots(x25519), "and age X25519 (which stays) is not"},
		"mixed by name":            {Recipients{Restore: list(x), Mixed: true}, slots(hybrid), ""},
		"mixed of what stays":      {Recipients{}, slots(hybrid, x25519), "--mixed"},
		"an unknown beside pq":     {Recipients{Restore: list(pq)}, slots(unknown), "type 99 (which stays) is not"},
		"an unknown beside x":      {Recipients{Restore: list(x)}, slots(unknown), ""},
		"a passphrase that stays":  {Recipients{Restore: list(pq)}, slots(secret), ""},
		"a second passphrase":      {Recipients{Restore: list(x, pass)}, slots(secret), "two passphrases to restore"},
		"a second for verifiers":   {Recipients{Verify: list(pass)}, slots(x25519, forVerifiers), "two passphrases to verify"},
		"one for each role":        {Recipients{Restore: list(pass)}, slots(x25519, forVerifiers), ""},
		"one more than there is":   {Recipients{Restore: list(x)}, slices.Repeat(slots(x25519), format.MaxSlots), "65 recipients"},
		"as many as there is room": {Recipients{Restore: list(x)}, slices.Repeat(slots(x25519), format.MaxSlots-1), ""},
	} {
		t.Run(name, func(t *testing.T) {
			asked = 0
			got, err := c.r.WrapBeside(t.Context(), keys, c.kept)
			if c.want != "" {
				if err == nil || got != nil || !strings.Contains(err.Error(), c.want) || asked > 0 {
					t.Fatalf("got %v after %d questions, want %q", err, asked, c.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			same := func(a, b format.Slot) bool {
				return a.Type == b.Type && a.Role == b.Role && string(a.Body) == string(b.Body)
			}
			if len(got) != len(c.kept)+len(c.r.Restore)+len(c.r.Verify) || !slices.EqualFunc(got[:len(c.kept)], c.kept, same) {
				t.Fatalf("%d slots, or not the old ones first", len(got))
			}
		})
	}
	both, err := Recipients{Restore: list(x), Mixed: true}.WrapBeside(t.Context(), keys, slots(hybrid))
	if err != nil {
		t.Fatal(err)
	}
	opens(t, pqID, format.RoleRestore, both...)
	opens(t, xID, format.RoleRestore, both...)
}

// The strength of a slot that was made before is what its recipient said when
// it was made, as far as a body can tell.
func TestStrength(t *testing.T) {
	installPlugins(t)
	pq, _ := pair(t, GenerateHybrid)
	x, _ := pair(t, GenerateX25519)
	pass := passphrase("a b c")
	body := func(text string) format.Slot {
		return format.Slot{Type: format.SlotAge, Body: []byte("age-encryption.org/v1\n" + text + "--- ")}
	}
	hpkeSlot := func(suite string) format.Slot {
		_, public, err := GenerateHPKE(time.Now(), suite)
		if err != nil {
			t.Fatal(err)
		}
		return mustWrap(t, mustRecipient(t, public, nil), format.RoleRestore)
	}
	for name, c := range map[string]struct {
		slot format.Slot
		want strength
	}{
		"hybrid":                          {mustWrap(t, pq, format.RoleRestore), postQuantum},
		"X25519":                          {mustWrap(t, x, format.RoleRestore), classical},
		"passphrase":                      {mustWrap(t, pass, format.RoleRestore), symmetric},
		"a plugin":                        {mustWrap(t, mustRecipient(t, plugin.EncodeRecipient("tokar", nil), nil), format.RoleRestore), classical},
		"a plugin that said post-quantum": {mustWrap(t, mustRecipient(t, plugin.EncodeRecipient("tokarpq", nil), nil), format.RoleRestore), classical},
		"hybrid and grease":               {body("-> mlkem768x25519 a\n-> x-grease b\n"), postQuantum},
		"hybrid or X25519":                {body("-> mlkem768x25519 a\n-> X25519 b\n"), classical},
		"hardware, hybrid":                {body("-> mlkem768p256tag a\n"), postQuantum},
		"hardware":                        {body("-> p256tag a\n"), classical},
		"HPKE, hybrid":                    {hpkeSlot("mlkem768p256"), postQuantum},
		"HPKE, P-256":                     {hpkeSlot("p256"), classical},
		"HPKE, unknown":                   {format.Slot{Type: format.SlotHPKE, Body: []byte{9, 9}}, classical},
		"no stanza":                       {body(""), classical},
		"an unknown type":                 {format.Slot{Type: 99}, classical},
	} {
		if got := strengthOf(c.slot); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}
