package keyslot

import (
	"bytes"
	"context"
	"crypto/hpke"
	"encoding/base32"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"tokar/format"
)

// generateHPKE is the generator of a kind of key.
func generateHPKE(kind string) func(time.Time) ([]byte, string, error) {
	return func(now time.Time) ([]byte, string, error) { return GenerateHPKE(now, kind) }
}

func TestHPKESlot(t *testing.T) {
	for _, s := range hpkeSuites {
		t.Run(s.name, func(t *testing.T) {
			to, id := pair(t, generateHPKE(s.name))
			_, otherID := pair(t, generateHPKE(s.name))
			mine := mustWrap(t, to, format.RoleRestore)
			opens(t, id, format.RoleRestore, mine)
			opens(t, id, format.RoleRestore, mustWrap(t, to, format.RoleVerify), mine)
			if len(mine.Body) != s.bodySize() || bytes.Equal(mine.Body, mustWrap(t, to, format.RoleRestore).Body) {
				t.Errorf("a body of %d bytes, or the same twice", len(mine.Body))
			}
			with := func(change func(s *format.Slot)) format.Slot {
				c := mine
				c.Body = bytes.Clone(c.Body)
				change(&c)
				return c
			}
			_, err := id.Unwrap(t.Context(), archiveB, []format.Slot{mine})
			refused(t, err, format.ErrNotForMe)
			_, err = unwrap(otherID, mine)
			refused(t, err, format.ErrNotForMe)
			for name, slot := range map[string]format.Slot{
				"another role":   with(func(s *format.Slot) { s.Role = format.RoleVerify }),
				"another type":   with(func(s *format.Slot) { s.Type = format.SlotAge }),
				"unknown KEM":    with(func(s *format.Slot) { s.Body[1] = 0x51 }),
				"zeroed enc":     with(func(k *format.Slot) { clear(k.Body[2 : 2+s.enc]) }),
				"no point":       with(func(k *format.Slot) { k.Body[1+s.enc] ^= 1 }),
				"no KEM":         with(func(s *format.Slot) { s.Body = s.Body[:1] }),
				"empty":          with(func(s *format.Slot) { s.Body = nil }),
				"compressed enc": with(func(k *format.Slot) { k.Body[2+s.enc-65] = 2 }),
			} {
				if _, err := unwrap(id, slot); !errors.Is(err, format.ErrNotForMe) {
					t.Errorf("%s: %v", name, err)
				}
				opens(t, id, format.RoleRestore, slot, mine) // somebody else's damage
			}
			for _, n := range []int{2, 2 + s.enc, len(mine.Body) - 1, len(mine.Body) + 1, format.MaxSlotBody} {
				slot := mine
				slot.Body = append(slices.Clip(mine.Body[:min(n, len(mine.Body))]), make([]byte, max(0, n-len(mine.Body)))...)
				_, err := unwrap(id, slot)
				refused(t, err, format.ErrMalformed)
			}
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			_, err = id.Unwrap(ctx, archiveA, []format.Slot{mine})
			refused(t, err, context.Canceled)
			_, err = to.Wrap(ctx, keyOf(format.RoleRestore))
			refused(t, err, context.Canceled)
			short := keyOf(format.RoleRestore)
			short.Secret = short.Secret[:31]
			if _, err := to.Wrap(t.Context(), short); err == nil {
				t.Error("wrapped 31 bytes")
			}
		})
	}
}

// Every bit and every length: nothing but the body as it was made opens.
func TestHPKESlotDamage(t *testing.T) {
	for _, s := range hpkeSuites {
		to, id := pair(t, generateHPKE(s.name))
		slot := mustWrap(t, to, format.RoleRestore)
		for i, body := range damaged(slot.Body, s.quantum || testing.Short()) {
			bad := slot
			bad.Body = body
			if _, err := unwrap(id, bad); !errors.Is(err, format.ErrNotForMe) && !errors.Is(err, format.ErrMalformed) {
				t.Fatalf("%s: damage %d: %v", s.name, i, err)
			}
		}
	}
}

// The published vectors through the code that makes and opens slots. Slots are
// the first message of a context. RFC 9180 publishes the very suite of P-256
// slots; the draft of the hybrid has it with AES-128-GCM.
func TestHPKEPublishedVectors(t *testing.T) {
	b, err := os.ReadFile("testdata/hpke.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors []struct {
		Source, KEM                        string
		AEAD                               uint16
		Info, SkRm, PkRm, Enc, AAD, Pt, Ct hexText
	}
	if err := json.Unmarshal(b, &vectors); err != nil {
		t.Fatal(err)
	}
	for _, v := range vectors {
		s := hpkeSuites[slices.Index(HPKESuites(), v.KEM)]
		aead, err := hpke.NewAEAD(v.AEAD)
		if err != nil {
			t.Fatal(err)
		}
		// Their keys, in our form and back.
		text := encodeKey(s.secretPrefix(), upperBase32, v.SkRm)
		id, err := parseHPKEIdentity(text)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(id.key.PublicKey().Bytes(), v.PkRm) || len(v.PkRm) != s.public || len(v.Enc) != s.enc {
			t.Errorf("%s: another public key", v.Source)
		}
		plain, err := openHPKE(id.key, aead, v.Enc, v.Info, v.AAD, v.Ct)
		if err != nil || !bytes.Equal(plain, v.Pt) {
			t.Errorf("%s: %x, %v", v.Source, plain, err)
		}
		if _, err := openHPKE(id.key, aead, v.Enc, v.Info, append(v.AAD, 0), v.Ct); err == nil {
			t.Errorf("%s: opens with another AAD", v.Source)
		}
		if _, err := openHPKE(id.key, aead, v.Enc, append(v.Info, 0), v.AAD, v.Ct); err == nil {
			t.Errorf("%s: opens with another info", v.Source)
		}
	}
	if len(vectors) != 3 {
		t.Errorf("%d vectors", len(vectors))
	}
}

// hexText is bytes that stand as hex.
type hexText []byte

func (h *hexText) UnmarshalText(text []byte) (err error) {
	*h, err = hex.DecodeString(string(text))
	return err
}

func TestHPKEKeyText(t *testing.T) {
	for _, s := range hpkeSuites {
		file, to, err := GenerateHPKE(epoch, s.name)
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(string(file), "\n")
		if len(lines) != 4 || lines[0] != "# created: 1970-01-01T00:00:00Z" || lines[1] != "# public key: "+to || lines[3] != "" ||
			!strings.HasPrefix(lines[2], s.secretPrefix()) || !strings.HasPrefix(to, s.publicPrefix()) {
			t.Fatalf("%s", file)
		}
		if id := mustIdentity(t, file, nil).(identities)[0].(*hpkeKey); encodeKey(s.publicPrefix(), lowerBase32, id.key.PublicKey().Bytes()) != to {
			t.Error("the secret key has another public half")
		}
		if name := mustRecipient(t, to, nil).(publicKey).name(); name != to[:len(s.publicPrefix())+8]+"…" {
			t.Error(name)
		}
		// Nothing but the text itself is taken, and no error repeats it.
		for _, text := range []string{to, lines[2]} {
			spoilt := []string{text[:len(text)-1], text + "a", text[:40] + text[41:], strings.ToUpper(text), strings.ToLower(text), text + "=", text[:30] + " " + text[30:]}
			for i := len(s.publicPrefix()); i < len(text); i += 1 + len(text)/60 {
				c := byte('A')
				if text[i] == c || text[i] == 'a' {
					c = 'B'
				}
				if text == to {
					c += 'a' - 'A'
				}
				spoilt = append(spoilt, text[:i]+string(c)+text[i+1:])
			}
			for _, bad := range spoilt {
				if bad == text {
					continue
				}
				_, errTo := ParseRecipient(bad, nil)
				_, errID := ParseIdentities(strings.NewReader(bad), "f", nil)
				if errTo == nil || errID == nil {
					t.Fatalf("%s is taken", bad)
				}
				if all := errTo.Error() + errID.Error(); strings.Contains(all, bad[len(bad)-8:]) {
					t.Fatalf("an error repeats the key: %s", all)
				}
			}
		}
		if _, err := ParseRecipient(lines[2], nil); err != errIsIdentity {
			t.Errorf("a secret key as recipient: %v", err)
		}
		if _, err := ParseIdentities(strings.NewReader(to), "f", nil); err == nil || !strings.Contains(err.Error(), "this is a public key") {
			t.Errorf("a public key as identity: %v", err)
		}
	}
	// Right sums over wrong keys.
	p256, hybrid := hpkeSuites[1], hpkeSuites[0]
	order, _ := hex.DecodeString("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551")
	for name, text := range map[string]string{
		"no point":      encodeKey(p256.publicPrefix(), lowerBase32, append([]byte{4}, make([]byte, 64)...)),
		"infinity":      encodeKey(p256.publicPrefix(), lowerBase32, make([]byte, 65)),
		"a short key":   encodeKey(p256.publicPrefix(), lowerBase32, make([]byte, 64)),
		"no hybrid":     encodeKey(hybrid.publicPrefix(), lowerBase32, bytes.Repeat([]byte{255}, 1249)),
		"another kind":  encodeKey("tokar-hpke-p384-", lowerBase32, make([]byte, 65)),
		"a later kind":  "tokar-hpke-",
		"another's sum": p256.publicPrefix() + strings.TrimPrefix(encodeKey("x", lowerBase32, make([]byte, 65)), "x"),
	} {
		if _, err := ParseRecipient(text, nil); err == nil {
			t.Errorf("%s is a recipient", name)
		}
	}
	for name, text := range map[string]string{
		"zero":           encodeKey(p256.secretPrefix(), upperBase32, make([]byte, 32)),
		"the order":      encodeKey(p256.secretPrefix(), upperBase32, order),
		"a long seed":    encodeKey(hybrid.secretPrefix(), upperBase32, make([]byte, 33)),
		"another's sum":  hybrid.secretPrefix() + strings.TrimPrefix(encodeKey(p256.secretPrefix(), upperBase32, make([]byte, 32)), p256.secretPrefix()),
		"an unknown one": encodeKey(hpkeSecretPrefix+"P384-", upperBase32, make([]byte, 32)),
	} {
		if _, err := ParseIdentities(strings.NewReader(text), "f", nil); err == nil {
			t.Errorf("%s is an identity", name)
		}
	}
	// The last letter of 36 bytes has 2 bits of its 5 to spare: they are zero.
	good := encodeKey(hybrid.secretPrefix(), upperBase32, make([]byte, 32))
	last := strings.IndexByte("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", good[len(good)-1])
	odd := good[:len(good)-1] + string("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"[last+1])
	if b, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(strings.TrimPrefix(odd, hybrid.secretPrefix())); err != nil || len(b) != 36 {
		t.Fatal("the test's own text does not decode")
	}
	if _, err := ParseIdentities(strings.NewReader(odd), "f", nil); err == nil {
		t.Error("a second text of one key is taken")
	}
	if _, _, err := GenerateHPKE(epoch, "p521"); err == nil || !strings.Contains(err.Error(), "mlkem768p256 and p256") {
		t.Error(err)
	}
}

// Keys of tokar and of age stand in one file.
func TestHPKEBesideAge(t *testing.T) {
	h, toH, _ := GenerateHPKE(epoch, "p256")
	x, toX, _ := GenerateX25519(epoch)
	id := mustIdentity(t, append(slices.Clone(x), h...), nil)
	all, err := ParseRecipients(strings.NewReader(toX+"\n# HPKE\n"+toH+"\n"), "f", nil)
	if err != nil || len(all) != 2 {
		t.Fatal(len(all), err)
	}
	for _, to := range all {
		opens(t, id, format.RoleVerify, mustWrap(t, to, format.RoleVerify))
	}
	opens(t, id, format.RoleRestore, mustWrap(t, all[0], format.RoleVerify), mustWrap(t, all[1], format.RoleRestore))
	// A file that age locked may hold them too.
	shut, err := lock(append(h, x...), []byte("open sesame"), 1)
	if err != nil {
		t.Fatal(err)
	}
	opens(t, mustIdentity(t, shut, (&asker{answer: "open sesame"}).ui()), format.RoleVerify, mustWrap(t, all[1], format.RoleVerify))
}

func TestLockedHPKE(t *testing.T) {
	file, to, _ := GenerateHPKE(epoch, "p256")
	slot := mustWrap(t, mustRecipient(t, to, nil), format.RoleRestore)
	x, _ := pair(t, GenerateX25519)
	shut, err := LockHPKE(file, []byte("open sesame"))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.HasPrefix(shut, []byte(hpkeLockHeader)) || bytes.Contains(shut, []byte("tokar-hpke")) {
		t.Fatalf("%s", shut)
	}
	a := &asker{answer: "open sesame"}
	id := mustIdentity(t, append([]byte("\n"), shut...), a.ui())
	_, err = unwrap(id, mustWrap(t, x, format.RoleRestore), format.Slot{Type: format.SlotHPKE, Role: format.RoleRestore, Body: []byte{0, 0x51}})
	refused(t, err, format.ErrNotForMe)
	if a.n != 0 {
		t.Fatal("asked without need")
	}
	opens(t, id, format.RoleRestore, slot)
	opens(t, id, format.RoleRestore, slot)
	if a.n != 1 || !bytes.Equal(a.given, make([]byte, len(a.answer))) {
		t.Fatalf("asked %d times; the answer is now %q", a.n, a.given)
	}
	for _, wrong := range []string{"s3same", ""} {
		a := &asker{answer: wrong}
		id := mustIdentity(t, shut, a.ui())
		for range 2 {
			_, err := unwrap(id, slot, slot)
			refused(t, err, ErrPassphrase)
		}
		if a.n != 1 {
			t.Fatalf("asked %d times", a.n)
		}
	}
	if _, err := unwrap(mustIdentity(t, shut, nil), slot); err == nil || !strings.Contains(err.Error(), "test.key is locked") {
		t.Fatal(err)
	}
	if _, err := LockHPKE(file, nil); err == nil {
		t.Fatal("locked with nothing")
	}
	rubbish, err := lockHPKE([]byte("hello\n"), []byte("x"), MinCost)
	if err != nil {
		t.Fatal(err)
	}
	_, err = unwrap(mustIdentity(t, rubbish, (&asker{answer: "x"}).ui()), slot)
	if err == nil || !strings.Contains(err.Error(), "test.key: line 1: not a secret key") {
		t.Fatal(err)
	}
	for name, cost := range map[string]uint32{"cheap": MinCost - 1, "dear": MaxCost + 1} {
		shut, err := lockHPKE(file, []byte("x"), MinCost)
		if err != nil {
			t.Fatal(err)
		}
		shut = recost(shut, cost)
		if _, err := ParseIdentities(bytes.NewReader(shut), "f", nil); err == nil || !strings.Contains(err.Error(), "with cost") {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, text := range map[string][]byte{
		"cut": shut[:len(shut)-30], "text after": append(slices.Clone(shut), "x"...), "another type": bytes.ReplaceAll(shut, []byte("LOCKED"), []byte("KLOCED")),
		"headers": bytes.Replace(shut, []byte("KEY-----\n"), []byte("KEY-----\nA: b\n\n"), 1), "nothing inside": []byte(hpkeLockHeader + "\nAAAA\n-----END " + hpkeLockType + "-----\n"),
	} {
		if _, err := ParseIdentities(bytes.NewReader(text), "f", nil); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}

// A locked file that Python made from docs/FORMAT.md, 7.4.
func TestLockedHPKEForeign(t *testing.T) {
	to := mustRecipient(t, "tokar-hpke-p256-aroywa34c7rashw5cudvfonkyqqn5s66dugqqs2cvwmxqy2seiqnt46m3hvyqtvluajmfg54iq4rhlky5elomobf36d7rp4bq3e22rbbeb5zhky", nil)
	id := mustIdentity(t, read(t, "testdata/locked.key"), (&asker{answer: "correct horse"}).ui())
	opens(t, id, format.RoleRestore, mustWrap(t, to, format.RoleRestore))
}

// Every part of a locked file counts: of what is decoded, nothing opens changed.
func TestLockedHPKEDamage(t *testing.T) {
	file, _, _ := GenerateHPKE(epoch, "p256")
	shut, err := lockHPKE(file, []byte("x"), MinCost)
	if err != nil {
		t.Fatal(err)
	}
	body := unpem(shut)
	for i := range body {
		if i%7 > 0 {
			continue
		}
		if i >= saltSize && i < costEnd-1 {
			continue // dear, or out of bounds
		}
		bad := bytes.Clone(body)
		bad[i] ^= 1 << (i % 8)
		if ids, err := unlockHPKE(bad, []byte("x"), nil); err != ErrPassphrase {
			t.Fatalf("byte %d: %v, %v", i, ids, err)
		}

	}
}

// unpem is what a locked file decodes to.
func unpem(shut []byte) []byte {
	block, _ := pem.Decode(shut)
	return block.Bytes
}

// recost is a locked file that claims another cost.
func recost(shut []byte, cost uint32) []byte {
	b := unpem(shut)
	binary.BigEndian.PutUint32(b[saltSize:], cost)
	return pem.EncodeToMemory(&pem.Block{Type: hpkeLockType, Bytes: b})
}
