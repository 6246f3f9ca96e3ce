package keyslot

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
	"filippo.io/age/plugin"
	"tokar/format"
)

// The test binary is also two age plugins, under their names.
func TestMain(m *testing.M) {
	if name, ok := strings.CutPrefix(filepath.Base(os.Args[0]), "age-plugin-"); ok {
		os.Exit(runPlugin(name))
	}
	os.Exit(m.Run())
}

// runPlugin: tokarpq says that it is post-quantum; tokar does not. Both keep
// the file key in clear, and only tokar opens it: the other's device is away.
func runPlugin(name string) int {
	p, err := plugin.New(name)
	if err != nil {
		return 1
	}
	p.HandleRecipient(func([]byte) (age.Recipient, error) { return clearRecipient{name}, nil })
	p.HandleIdentity(func([]byte) (age.Identity, error) { return clearIdentity{name}, nil })
	p.RegisterFlags(nil)
	return p.Main()
}

type clearRecipient struct{ name string }

func (c clearRecipient) Wrap(key []byte) ([]*age.Stanza, error) {
	return []*age.Stanza{{Type: c.name, Body: key}}, nil
}

func (c clearRecipient) WrapWithLabels(key []byte) ([]*age.Stanza, []string, error) {
	s, err := c.Wrap(key)
	if strings.HasSuffix(c.name, "pq") {
		return s, []string{"postquantum"}, err
	}
	return s, nil, err
}

type clearIdentity struct{ name string }

func (c clearIdentity) Unwrap(stanzas []*age.Stanza) ([]byte, error) {
	for _, s := range stanzas {
		if s.Type == "tokarpq" && c.name == "tokarpq" {
			return nil, errors.New("no device is there")
		}
		if s.Type == c.name {
			return s.Body, nil
		}
	}
	return nil, age.ErrIncorrectIdentity
}

// installPlugins puts the test binary on the PATH under the plugins' names.
func installPlugins(t *testing.T) {
	t.Helper()
	exe, dir := self(t), t.TempDir()
	for _, name := range []string{"tokar", "tokarpq"} {
		if err := os.Symlink(exe, filepath.Join(dir, "age-plugin-"+name)); err != nil {
			t.Skip("plugin: no symlinks here")
		}
	}
	t.Setenv("PATH", dir+string(os.PathListSeparator)+os.Getenv("PATH"))
}

var archiveA, archiveB = [32]byte{1: 'A'}, [32]byte{1: 'B'}

// keyOf is what a slot of archive A carries.
func keyOf(role format.Role) format.SlotKey {
	return format.SlotKey{Role: role, Archive: archiveA, Secret: bytes.Repeat([]byte{byte(role), 7}, 16)}
}

func mustWrap(t testing.TB, r format.Recipient, role format.Role) format.Slot {
	t.Helper()
	slot, err := r.Wrap(context.Background(), keyOf(role))
	if err != nil {
		t.Fatal(err)
	}
	return slot
}

func mustRecipient(t testing.TB, text string, ui *UI) format.Recipient {
	t.Helper()
	r, err := ParseRecipient(text, ui)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func mustIdentity(t testing.TB, text []byte, ui *UI) format.Identity {
	t.Helper()
	id, err := ParseIdentities(bytes.NewReader(text), "test.key", ui)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func unwrap(id format.Identity, slots ...format.Slot) (format.SlotKey, error) {
	return id.Unwrap(context.Background(), archiveA, slots)
}

// opens says that a slot yields what was wrapped for its role.
func opens(t *testing.T, id format.Identity, role format.Role, slots ...format.Slot) {
	t.Helper()
	k, err := unwrap(id, slots...)
	want := keyOf(role)
	if err != nil || k.Role != role || k.Archive != archiveA || !bytes.Equal(k.Secret, want.Secret) {
		t.Fatalf("got %v %x, %v; want the %s key", k.Role, k.Secret, err, role)
	}
}

func refused(t *testing.T, err, class error) {
	t.Helper()
	if !errors.Is(err, class) {
		t.Fatalf("got error %v, want %v", err, class)
	}
}

// pair is a recipient and its identity, made new.
func pair(t testing.TB, generate func(time.Time) ([]byte, string, error)) (format.Recipient, format.Identity) {
	t.Helper()
	file, to, err := generate(time.Unix(0, 0))
	if err != nil {
		t.Fatal(err)
	}
	return mustRecipient(t, to, nil), mustIdentity(t, file, nil)
}

func TestRecipientsWrap(t *testing.T) {
	pq, pqID := pair(t, GenerateHybrid)
	x, xID := pair(t, GenerateX25519)
	hpq, hpqID := pair(t, generateHPKE("mlkem768p256"))
	h, hID := pair(t, generateHPKE("p256"))
	pass := NewPassphrase(func() ([]byte, error) { return []byte("a b c"), nil })
	pass.Cost = MinCost
	keys, err := format.NewKeys(archiveA, keyOf(format.RoleRestore).Secret, keyOf(format.RoleVerify).Secret, nil)
	if err != nil {
		t.Fatal(err)
	}
	list := func(r ...format.Recipient) []format.Recipient { return r }
	many := make([]format.Recipient, format.MaxSlots)
	for i := range many {
		many[i] = x
	}

	t.Run("both roles", func(t *testing.T) {
		slots, err := Recipients{Restore: list(x, pass), Verify: list(x, pass)}.Wrap(t.Context(), keys)
		if err != nil {
			t.Fatal(err)
		}
		opens(t, xID, format.RoleRestore, slots...)
		opens(t, pass, format.RoleRestore, slots...)
		opens(t, xID, format.RoleVerify, slots[2:]...)
		opens(t, pass, format.RoleVerify, slots[2:]...)
		// tK is preferred wherever it stands
		opens(t, xID, format.RoleRestore, slots[2], slots[0])
		opens(t, pass, format.RoleRestore, slots[3], slots[1])
	})
	t.Run("mixed", func(t *testing.T) {
		slots, err := Recipients{Restore: list(pq), Verify: list(x), Mixed: true}.Wrap(t.Context(), keys)
		if err != nil {
			t.Fatal(err)
		}
		opens(t, pqID, format.RoleRestore, slots...)
		opens(t, xID, format.RoleVerify, slots...)
	})
	t.Run("of one strength", func(t *testing.T) {
		slots, err := Recipients{Restore: list(pq, hpq, pass), Verify: list(hpq)}.Wrap(t.Context(), keys)
		if err != nil {
			t.Fatal(err)
		}
		opens(t, hpqID, format.RoleRestore, slots...)
		slots, err = Recipients{Restore: list(x, h)}.Wrap(t.Context(), keys)
		if err != nil {
			t.Fatal(err)
		}
		opens(t, hID, format.RoleRestore, slots...)
	})
	for name, c := range map[string]struct {
		r    Recipients
		want string
	}{
		"HPKE of both":        {Recipients{Restore: list(hpq), Verify: list(h)}, "recipient tokar-hpke-mlkem768p256-"},
		"HPKE and age":        {Recipients{Restore: list(h, pq)}, "recipient age1pq1"},
		"age and HPKE":        {Recipients{Restore: list(x), Verify: list(hpq)}, "and age1"},
		"mixed over roles":    {Recipients{Restore: list(pq), Verify: list(x)}, "--mixed"},
		"mixed in one":        {Recipients{Restore: list(x, pass, pq)}, "--mixed"},
		"too many":            {Recipients{Restore: many, Verify: list(x)}, "65 recipients"},
		"two passphrases":     {Recipients{Restore: list(pass, x, pass)}, "two passphrases to restore"},
		"two to verify":       {Recipients{Restore: list(x), Verify: list(pass, pass)}, "two passphrases to verify"},
		"passphrase with pq":  {Recipients{Restore: list(pq, pass)}, ""},
		"passphrase with x":   {Recipients{Restore: list(x, pass)}, ""},
		"as many as there is": {Recipients{Restore: many}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			slots, err := c.r.Wrap(t.Context(), keys)
			switch {
			case c.want == "" && err != nil:
				t.Fatal(err)
			case c.want != "" && (err == nil || slots != nil || !strings.Contains(err.Error(), c.want)):
				t.Fatalf("got %v, want %q", err, c.want)
			}
		})
	}
}

// self is the test binary, to be run again. An emulator runs it, but not what
// it starts.
func self(t *testing.T) string {
	t.Helper()
	exe, err := os.Executable()
	if err == nil {
		err = exec.Command(exe, "-test.run=^$").Run()
	}
	if err != nil {
		t.Skip("the test binary cannot start itself here: ", err)
	}
	return exe
}

// A slot tells who may open it in the words that people gave.
func TestDescribe(t *testing.T) {
	_, hybrid, err := GenerateHybrid(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	_, short, err := GenerateX25519(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	ssh := "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHsKLqeplhpW+uObz5dvMgjz1OxfM/XXUB+VHtZ6isGN"
	for text, want := range map[string]string{hybrid: "age post-quantum", short: "age X25519", ssh: "ssh-ed25519"} {
		r, err := ParseRecipient(text, nil)
		if err != nil {
			t.Fatal(err)
		}
		slot, err := r.Wrap(t.Context(), format.SlotKey{Role: format.RoleRestore, Secret: make([]byte, 32)})
		if err != nil {
			t.Fatal(err)
		}
		if got := Describe(slot); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	for kind, want := range map[string]string{"p256": "HPKE P-256", "mlkem768p256": "HPKE post-quantum"} {
		to, _ := pair(t, generateHPKE(kind))
		if got := Describe(mustWrap(t, to, format.RoleVerify)); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if got := Describe(format.Slot{Type: format.SlotHPKE, Body: []byte{0, 0x51, 1}}); got != "hpke" {
		t.Errorf("an unknown KEM is %q", got)
	}
	if got := Describe(format.Slot{Type: format.SlotAge, Body: []byte("-> \n-> \x1b[2J\n---")}); got == "" {
		t.Error("nothing is said of a hostile body")
	}
}
