package keyslot

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"tokar/format"
)

// tool runs a program that the host may not have, and returns what it prints.
func tool(t *testing.T, stdin []byte, name string, args ...string) []byte {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		t.Skip("needs " + name)
	}
	cmd := exec.Command(name, args...)
	var stderr bytes.Buffer
	cmd.Stdin, cmd.Stderr = bytes.NewReader(stdin), &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %v: %v: %s", name, args, err, stderr.Bytes())
	}
	return out
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func oneRecipient(t *testing.T, path string) format.Recipient {
	t.Helper()
	to, err := ParseRecipients(bytes.NewReader(read(t, path)), path, nil)
	if err != nil || len(to) != 1 {
		t.Fatal(len(to), err)
	}
	return to[0]
}

// ageBothWays: the age program opens our slot's body, and we open one it made.
func ageBothWays(t *testing.T, key string) {
	t.Helper()
	k := keyOf(format.RoleRestore)
	plain := append(appendPlace(nil, k.Role, k.Archive), k.Secret...)
	slot := mustWrap(t, oneRecipient(t, key+".pub"), format.RoleRestore)
	if got := tool(t, slot.Body, "age", "-d", "-i", key); !bytes.Equal(got, plain) {
		t.Fatalf("age opens the slot to %x", got)
	}
	slot.Body = tool(t, plain, "age", "-R", key+".pub")
	opens(t, mustIdentity(t, read(t, key), nil), format.RoleRestore, slot)
}

// Keys of age-keygen. Those of Debian's are X25519; it knows no others yet.
func TestAgeProgram(t *testing.T) {
	key := filepath.Join(t.TempDir(), "k")
	tool(t, nil, "age-keygen", "-o", key)
	tool(t, nil, "age-keygen", "-y", "-o", key+".pub", key)
	ageBothWays(t, key)

	ours, to, err := GenerateX25519(epoch)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "ours")
	if err := os.WriteFile(path, ours, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path+".pub", []byte(to), 0o600); err != nil {
		t.Fatal(err)
	}
	ageBothWays(t, path)
}

func TestSSHKeygen(t *testing.T) {
	for name, args := range map[string][]string{
		"ed25519": {"-t", "ed25519"}, "rsa": {"-t", "rsa", "-b", "2048"},
		"old form": {"-t", "rsa", "-b", "2048", "-m", "PEM"},
	} {
		for _, pass := range []string{"", "pass phrase"} {
			t.Run(name+"/"+pass, func(t *testing.T) {
				key := filepath.Join(t.TempDir(), "k")
				tool(t, nil, "ssh-keygen", append(args, "-q", "-N", pass, "-C", "ann@host", "-f", key)...)
				ui := (&asker{answer: pass}).ui()
				ui.PublicKey = func(string) ([]byte, error) { return os.ReadFile(key + ".pub") }
				slot := mustWrap(t, oneRecipient(t, key+".pub"), format.RoleRestore)
				opens(t, mustIdentity(t, read(t, key), ui), format.RoleRestore, slot)
				if pass == "" {
					ageBothWays(t, key)
				}
			})
		}
	}
}
