package stages

import (
	"bytes"
	"crypto/ecdh"
	"crypto/hpke"
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"tokar/format"
	"tokar/format/keyslot"
)

// hpkeKey is the key of an identity of the vectors: what its text holds, less
// the sum.
func (m *vectorMaker) hpkeKey(name string) hpke.PrivateKey {
	text := vectorIdentities[name]
	kem := hpke.DHKEM(ecdh.P256())
	if strings.Contains(text, "MLKEM") {
		kem = hpke.MLKEM768P256()
	}
	b, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(text[strings.LastIndexByte(text, '-')+1:])
	if err != nil {
		m.t.Fatal(err)
	}
	key, err := kem.NewPrivateKey(b[:32])
	if err != nil {
		m.t.Fatal(err)
	}
	return key
}

// hpkeRecipient makes slots for such an identity, by the public key's text.
func (m *vectorMaker) hpkeRecipient(name string) format.Recipient {
	kind := strings.ToLower(strings.Split(vectorIdentities[name], "-")[4])
	prefix, key := "tokar-hpke-"+kind+"-", m.hpkeKey(name).PublicKey().Bytes()
	sum := sha256.Sum256(append([]byte(prefix), key...))
	text := base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(append(key, sum[:4]...))
	r, err := keyslot.ParseRecipient(prefix+strings.ToLower(text), nil)
	if err != nil {
		m.t.Fatal(err)
	}
	return r
}

// hpkePlace is what an HPKE slot is bound to.
func hpkePlace(role format.Role, id [32]byte) (info, aad []byte) {
	return join([]byte("tokar/1 HPKE\x00\x00\x01"), id[:]), []byte{0, 3, byte(role)}
}

// hpkeSlot is an HPKE slot bound to anything.
func (m *vectorMaker) hpkeSlot(to string, role format.Role, info, aad, secret []byte) format.Slot {
	public := m.hpkeKey(to).PublicKey()
	enc, s, err := hpke.NewSender(public, hpke.HKDFSHA256(), hpke.AES256GCM(), info)
	if err != nil {
		m.t.Fatal(err)
	}
	sealed, err := s.Seal(aad, secret)
	if err != nil {
		m.t.Fatal(err)
	}
	return format.Slot{Type: format.SlotHPKE, Role: role, Body: join(u16(public.KEM().ID()), enc, sealed)}
}

// hpkeVectors come last, so that the random bytes that they draw leave other
// vectors alone.
func (m *vectorMaker) hpkeVectors() {
	tokens := func() *memory { return newMemory(madeToken("one", 2, 20)) }
	names := []string{"one"}
	m.archive("good-hpke-p256", "HPKE keys of P-256", tokens(), names, archiveOptions(),
		[]string{"hpke-p256"}, []string{"hpke-verify"}, opens("hpke-p256", "hpke-verify"))
	m.archive("good-hpke-hybrid", "an HPKE key of ML-KEM-768 and P-256 for either key", tokens(), names, archiveOptions(),
		[]string{"hpke-hybrid"}, []string{"hpke-hybrid"}, opens("hpke-hybrid", "hpke-hybrid"))
	m.archive("good-hpke-beside", "slots of every type restore; HPKE's of another key stands before the one that opens", tokens(), names, archiveOptions(),
		[]string{"restore", "passphrase", "hpke-other", "hpke-p256"}, []string{"verify"}, opens("hpke-p256", "verify"))
	for _, key := range []string{"hpke-p256", "hpke-hybrid"} {
		m.hostileHPKE(key, strings.TrimPrefix(key, "hpke-"))
	}
}

func (m *vectorMaker) hostileHPKE(key, short string) {
	verify, other := m.base[1], [32]byte{1, 2, 3}
	slots := func(name, about, classes string, open map[string]string, make func(id, tK, mK [32]byte) []format.Slot) {
		name = strings.Replace(name, "hpke", "hpke-"+short, 1)
		m.forgedFor(name, about, classes, open, func(f *forge) { f.slots = make(f.id, f.tK, f.mK) })
	}
	good := func(role format.Role, id, secret [32]byte) format.Slot {
		info, aad := hpkePlace(role, id)
		return m.hpkeSlot(key, role, info, aad, secret[:])
	}
	mine := opens(key, "verify")
	// One defect of a restorer's slot.
	edit := func(name, about, classes string, change func(s *format.Slot)) {
		slots("slot-hpke-"+name, about, classes, mine, func(id, tK, _ [32]byte) []format.Slot {
			s := good(1, id, tK)
			change(&s)
			return []format.Slot{s, verify}
		})
	}
	edit("short", "an HPKE slot that lacks its last byte", "MooM", func(s *format.Slot) { s.Body = s.Body[:len(s.Body)-1] })
	edit("long", "an HPKE slot with a byte after its tag", "MooM", func(s *format.Slot) { s.Body = append(s.Body, 0) })
	edit("kem-other", "an HPKE slot that names the KEM of another key", "KooK", func(s *format.Slot) { s.Body[1] ^= 0x10 ^ 0x50 })
	edit("zeroed", "an HPKE slot whose encapsulated key is zeros", "KooK", func(s *format.Slot) { clear(s.Body[2 : len(s.Body)-48]) })
	edit("no-point", "an HPKE slot whose encapsulated key is no point of P-256", "KooK", func(s *format.Slot) { s.Body[len(s.Body)-49] ^= 1 })
	edit("encapsulated", "an HPKE slot with another encapsulated key, sound by itself", "KooK", func(s *format.Slot) {
		sound := m.hpkeSlot(key, 1, nil, nil, nil).Body
		copy(s.Body, sound[:len(s.Body)-48])
	})
	edit("tag", "an HPKE slot with a bit of its tag changed", "KooK", func(s *format.Slot) { s.Body[len(s.Body)-1] ^= 0x80 })
	slots("slot-hpke-other-archive", "an HPKE slot made for another archive", "KooK", mine, func(_, tK, _ [32]byte) []format.Slot {
		return []format.Slot{good(1, other, tK), verify}
	})
	slots("good-hpke-broken-before", "HPKE slots: one that does not open, one that does, one too long behind it", "oooo", mine, func(id, tK, _ [32]byte) []format.Slot {
		broken, long := good(1, id, tK), good(1, id, tK)
		broken.Body[len(broken.Body)-49] ^= 1
		long.Body = append(long.Body, 0)
		return []format.Slot{broken, good(1, id, tK), long, verify}
	})
	if key == "hpke-hybrid" {
		edit("mlkem", "an HPKE slot with a bit of ML-KEM's ciphertext changed", "KooK", func(s *format.Slot) { s.Body[2] ^= 1 })
		return // what follows has nothing to do with the KEM
	}
	edit("kem-alone", "an HPKE slot of its KEM and nothing else", "MooM", func(s *format.Slot) { s.Body = s.Body[:2] })
	edit("one-byte", "an HPKE slot of half a KEM: none that is known", "KooK", func(s *format.Slot) { s.Body = s.Body[:1] })
	edit("empty", "an HPKE slot without a body", "KooK", func(s *format.Slot) { s.Body = nil })
	edit("kem-unknown", "an HPKE slot of KEM 0x0051", "KooK", func(s *format.Slot) { binary.BigEndian.PutUint16(s.Body, 0x51) })
	edit("compressed", "an HPKE slot whose point says that it is compressed", "KooK", func(s *format.Slot) { s.Body[len(s.Body)-48-65] = 2 })
	edit("ciphertext", "an HPKE slot with a bit of its ciphertext changed", "KooK", func(s *format.Slot) { s.Body[len(s.Body)-17] ^= 1 })
	edit("role", "a restorer's HPKE slot that says it is a verifier's: nothing restores", "KooK", func(s *format.Slot) { s.Role = 2 })
	slots("slot-hpke-verifier-moved", "a verifier's HPKE slot that says it is a restorer's", "KooK", mine, func(id, _, mK [32]byte) []format.Slot {
		s := good(2, id, mK)
		s.Role = 1
		return []format.Slot{s, verify}
	})
	slots("slot-hpke-other-suite", "an HPKE slot bound to suite 2", "KooK", mine, func(id, tK, _ [32]byte) []format.Slot {
		info, aad := hpkePlace(1, id)
		info[len("tokar/1 HPKE\x00")+1] = 2
		return []format.Slot{m.hpkeSlot(key, 1, info, aad, tK[:]), verify}
	})
	slots("slot-hpke-no-aad", "an HPKE slot without additional data", "KooK", mine, func(id, tK, _ [32]byte) []format.Slot {
		info, _ := hpkePlace(1, id)
		return []format.Slot{m.hpkeSlot(key, 1, info, nil, tK[:]), verify}
	})
	slots("slot-hpke-not-mine", "an HPKE slot for another key", "KooK", mine, func(id, tK, _ [32]byte) []format.Slot {
		info, aad := hpkePlace(1, id)
		return []format.Slot{m.hpkeSlot("hpke-other", 1, info, aad, tK[:]), verify}
	})
	slots("slot-hpke-for-age", "HPKE slots, and an age identity", "KKoK", opens("restore", "verify"), func(id, tK, mK [32]byte) []format.Slot {
		return []format.Slot{good(1, id, tK), good(2, id, mK)}
	})
	slots("slot-hpke-other-tk", "an HPKE slot that carries another tK", "AooA", mine, func(id, _, _ [32]byte) []format.Slot {
		return []format.Slot{good(1, id, other), verify}
	})
	slots("slot-hpke-verifier-has-tk", "a verifier's HPKE slot carries tK", "oAoo", opens("restore", key), func(id, tK, _ [32]byte) []format.Slot {
		return []format.Slot{m.base[0], good(2, id, tK)}
	})
	slots("slot-hpke-long-first", "an HPKE slot too long before the one that opens", "MooM", mine, func(id, tK, _ [32]byte) []format.Slot {
		long := good(1, id, tK)
		long.Body = append(bytes.Clone(long.Body), 0)
		return []format.Slot{long, good(1, id, tK), verify}
	})
}

// TestHPKEPython has the independent reader open RFC 9180's vector for the suite
// of P-256 slots, the draft's for the hybrid, and 40 messages of Go's.
func TestHPKEPython(t *testing.T) {
	needPython(t)
	const script = `
import json, sys
sys.path.insert(0, sys.argv[1])
import reader
for path in sys.argv[2:]:
    for v in json.load(open(path)):
        of = lambda k: bytes.fromhex(v[k])
        kem, decap = (reader.P256, reader.dhkem) if v["kem"] == "p256" else (reader.HYBRID, reader.hybrid)
        key, nonce = reader.key_schedule(kem, decap(of("skRm"), of("enc")), of("info"), v["aead"])
        assert reader.AESGCM(key).decrypt(nonce, of("ct"), of("aad")) == of("pt"), v
        print(v.get("source", "Go"))
`
	var made []map[string]any
	for i := range 40 {
		name, kem := "p256", hpke.DHKEM(ecdh.P256())
		if i%2 > 0 {
			name, kem = "mlkem768p256", hpke.MLKEM768P256()
		}
		key, err := kem.GenerateKey()
		if err != nil {
			t.Fatal(err)
		}
		secret, err := key.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		info, aad, text := bytes.Repeat([]byte("i"), i), bytes.Repeat([]byte("a"), 40-i), []byte("text")
		enc, s, err := hpke.NewSender(key.PublicKey(), hpke.HKDFSHA256(), hpke.AES256GCM(), info)
		if err != nil {
			t.Fatal(err)
		}
		sealed, err := s.Seal(aad, text)
		if err != nil {
			t.Fatal(err)
		}
		m := map[string]any{"kem": name, "aead": 2}
		for k, v := range map[string][]byte{"skRm": secret, "enc": enc, "info": info, "aad": aad, "ct": sealed, "pt": text} {
			m[k] = hex.EncodeToString(v)
		}
		made = append(made, m)
	}
	b, err := json.Marshal(made)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write(t, dir, "made.json", b)
	out, err := exec.Command(python, "-B", "-c", script, vectorDir, "../format/keyslot/testdata/hpke.json", filepath.Join(dir, "made.json")).CombinedOutput()
	if n := strings.Count(string(out), "\n"); err != nil || n != 43 {
		t.Fatalf("%d opened, %v\n%s", n, err, out)
	}
}
