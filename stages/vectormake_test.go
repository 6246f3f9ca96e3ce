package stages

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/cryptotest"
	"time"

	"filippo.io/age"
	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
	"tokar/backends"
	"tokar/format"
	"tokar/format/keyslot"
)

// The identities of the vectors. They are public and good for nothing else.
var vectorIdentities = map[string]string{
	"restore":     "AGE-SECRET-KEY-12L0SRX68W5XCTDFNYEATWLK2V0AYVEHJ2XRZLX4NW0G29K35MU8Q7WEL64",
	"verify":      "AGE-SECRET-KEY-13JLEYGJL62P5YYSFDQLDAF6DD5FXQ8DRGJ22ZCX2JR8AFDN57D8S9WJ2KJ",
	"other":       "AGE-SECRET-KEY-1KATQLCKRJCX378ZGJKRA35SWRRWES6R59509LSQF2KWAVAW3D8UQY6F6MK",
	"passphrase":  "correct horse battery staple",
	"hpke-p256":   "TOKAR-SECRET-KEY-HPKE-P256-PWGTCC5BSG3YCJJT6CPKLTGN2BYR6MMK7PXP6XEREIXJC5BUUWLLQFMIO4",
	"hpke-verify": "TOKAR-SECRET-KEY-HPKE-P256-NURBUWGGAY2GSTW5KK7BRFKSVCQDXFVG2K22U44X6HHPWHOWYGG2JPLSX4",
	"hpke-other":  "TOKAR-SECRET-KEY-HPKE-P256-5JEVFOD7TAY3JGJYBL5SIEY7K6KQG7IL34HOSASU7JCF4GDZK35C5FRR5A",
	"hpke-hybrid": "TOKAR-SECRET-KEY-HPKE-MLKEM768P256-YXXN2DMJ5LBXZPECAQAFDBS7C3BHARBREBNWNPS2JHS2FSG7K6LPK5XCX4",
}

// vectorMaker writes testdata/format anew. What draws random bytes (age, HPKE) does so in this one goroutine, under a fixed seed.
type vectorMaker struct {
	t    *testing.T
	dir  string
	file vectorFile
	base []format.Slot // of the hostile vectors

	signers, at string // of the vectors that are added next
}

func writeVectors(t *testing.T) {
	cryptotest.SetGlobalRandom(t, 1)
	old, _ := filepath.Glob(filepath.Join(vectorDir, "*.tokar"))
	lists, _ := filepath.Glob(filepath.Join(vectorDir, "*.list"))
	for _, name := range append(old, lists...) {
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
	m := &vectorMaker{t: t, dir: vectorDir, file: vectorFile{Identities: vectorIdentities, Keys: map[string]vectorKeys{}, Signers: vectorSigners()}}
	m.base = m.slots("hostile")
	m.good()
	m.forgedGood()
	m.hostile()
	m.signed()
	m.hpkeVectors()
	m.rekeyedVectors()
	m.close()
}

// close writes vectors.json.
func (m *vectorMaker) close() {
	if err := os.WriteFile(filepath.Join(m.dir, "vectors.json"), m.file.encode(m.t), 0o644); err != nil {
		m.t.Fatal(err)
	}
}

// encode writes a line for each key and vector.
func (f *vectorFile) encode(t *testing.T) []byte {
	line := func(v any) string {
		var b bytes.Buffer
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(false)
		if err := e.Encode(v); err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(b.String())
	}
	object := func(keys []string, value func(string) string) string {
		var lines []string
		for _, k := range keys {
			lines = append(lines, "\t"+line(k)+": "+value(k))
		}
		return "{\n" + strings.Join(lines, ",\n") + "\n}"
	}
	var vectors []string
	for _, v := range f.Vectors {
		vectors = append(vectors, "\t"+line(v))
	}
	return fmt.Appendf(nil, "{\"identities\": %s,\n\"keys\": %s,\n\"signers\": %s,\n\"vectors\": [\n%s\n]}\n",
		object(slices.Sorted(maps.Keys(f.Identities)), func(k string) string { return line(f.Identities[k]) }),
		object(slices.Sorted(maps.Keys(f.Keys)), func(k string) string { return line(f.Keys[k]) }),
		object(slices.Sorted(maps.Keys(f.Signers)), func(k string) string { return line(f.Signers[k]) }),
		strings.Join(vectors, ",\n"))
}

func (m *vectorMaker) recipient(name string) age.Recipient {
	id, err := age.ParseX25519Identity(vectorIdentities[name])
	if err != nil {
		m.t.Fatal(err)
	}
	return id.Recipient()
}

func (m *vectorMaker) slotRecipient(name string) format.Recipient {
	if name == "passphrase" {
		return m.passphrase(name)
	}
	if strings.HasPrefix(name, "hpke-") {
		return m.hpkeRecipient(name)
	}
	r, err := keyslot.ParseRecipient(fmt.Sprint(m.recipient(name)), nil)
	if err != nil {
		m.t.Fatal(err)
	}
	return r
}

func (m *vectorMaker) passphrase(salt string) *keyslot.Passphrase {
	p := keyslot.NewPassphrase(func() ([]byte, error) { return []byte(vectorIdentities["passphrase"]), nil })
	_, _, _, p.Nonces = fixedKeys(salt)
	p.Cost, p.Salt = keyslot.MinCost, bytes.NewReader(bytes.Repeat([]byte(salt+" "), 32))
	return p
}

// slots are a restorer's and a verifier's for the keys of a name.
func (m *vectorMaker) slots(name string) []format.Slot {
	return []format.Slot{m.slot(name, "restore", format.RoleRestore), m.slot(name, "verify", format.RoleVerify)}
}

func (m *vectorMaker) slot(keys, identity string, role format.Role) format.Slot {
	id, tK, mK, _ := fixedKeys(keys)
	secret := tK
	if role == format.RoleVerify {
		secret = mK
	}
	s, err := m.slotRecipient(identity).Wrap(context.Background(), format.SlotKey{Role: role, Archive: id, Secret: secret[:]})
	if err != nil {
		m.t.Fatal(err)
	}
	return s
}

// ageSlot is an age file of any plaintext.
func (m *vectorMaker) ageSlot(role format.Role, plain []byte, to ...age.Recipient) format.Slot {
	var b bytes.Buffer
	w, err := age.Encrypt(&b, to...)
	if err == nil {
		_, err = w.Write(plain)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		m.t.Fatal(err)
	}
	return format.Slot{Type: format.SlotAge, Role: role, Body: b.Bytes()}
}

// place is the plaintext of an age slot.
func place(role format.Role, id, secret [32]byte) []byte {
	return join([]byte("tokar/1 slot\x00\x00\x01"), []byte{byte(role)}, id[:], secret[:])
}

// add keeps a vector. classes is a letter for each way of reading: o (ok), N,
// T, C, A, M, U, K, S for format's classes.
func (m *vectorMaker) add(name, about, classes, keys string, open map[string]string, b []byte) {
	letters := map[byte]string{'o': "ok", 'N': "not-archive", 'T': "truncated", 'C': "checksum", 'A': "authentic", 'M': "malformed", 'U': "unsupported", 'K': "no-key", 'S': "signer"}
	_, tK, mK, _ := fixedKeys(keys)
	m.file.Keys[keys] = vectorKeys{hex.EncodeToString(tK[:]), hex.EncodeToString(mK[:])}
	v := vector{
		Name: name, About: about, Keys: keys, Open: open, Signers: m.signers, Time: m.at,
		Expect: expected{letters[classes[0]], letters[classes[1]], letters[classes[2]], letters[classes[3]]},
	}
	m.file.Vectors = append(m.file.Vectors, v)
	if err := os.WriteFile(filepath.Join(m.dir, name+".tokar"), b, 0o644); err != nil {
		m.t.Fatal(err)
	}
	if v.Expect.Stream != "ok" {
		return
	}
	_, lines := m.file.ways(m.t, &v, b, 1)
	if err := os.WriteFile(filepath.Join(m.dir, name+".list"), []byte(strings.Join(lines, "\n")+"\n"), 0o644); err != nil {
		m.t.Fatal(err)
	}
}

func opens(restore, verify string) map[string]string {
	return map[string]string{"restore": restore, "verify": verify}
}

// good archives come from the chain that create runs.
func (m *vectorMaker) good() {
	tokens := func() (*memory, []string) {
		one := madeToken("one", 7, 60)
		one.entries = append(one.entries,
			memEntry{name: "broken", kind: format.KindObject, data: []byte("damaged")},
			memEntry{name: "gone", kind: format.KindObject, gone: true},
			memEntry{name: "OBJ.IDX", kind: format.KindIndex, data: []byte("00000000\n00000001\n")},
			memEntry{name: "notes.txt", kind: format.KindForeign, data: []byte("not of the token\n")},
			memEntry{name: "void", kind: format.KindObject, data: []byte{}})
		one.changed = []backends.Entry{
			{Kind: format.KindObject, Name: format.Name("00000004"), Place: 5},
			{Kind: format.KindObject, Name: format.Name("00000005"), Place: 6},
		}
		one.again = map[string][]byte{"00000004": []byte("public, as read again"), "00000005": nil}
		return newMemory(one, madeToken("empty", 0, 0), madeToken("tpm/joe", 1, 40), &memToken{name: "bare"}), []string{"one", "empty", "tpm/joe", "bare"}
	}
	for _, codec := range []format.Codec{format.CodecZstd, format.CodecXZ, format.CodecNone} {
		mem, names := tokens()
		o := archiveOptions()
		o.Codec = codec
		m.archive("good-"+codec.String(), "several tokens; damaged, vanished, superseded, foreign and empty entries", mem, names, o,
			[]string{"restore"}, []string{"verify"}, opens("restore", "verify"))
	}
	m.archive("good-no-token", "an archive without a token", newMemory(), nil, archiveOptions(),
		[]string{"restore"}, []string{"verify"}, opens("restore", "verify"))
	m.archive("good-passphrase", "a passphrase for either key", newMemory(madeToken("one", 2, 20)), []string{"one"}, archiveOptions(),
		[]string{"passphrase"}, []string{"verify"}, opens("passphrase", "verify"))
	m.archive("good-passphrase-verifier", "a passphrase that carries mK", newMemory(madeToken("one", 2, 20)), []string{"one"}, archiveOptions(),
		[]string{"restore"}, []string{"passphrase"}, opens("restore", "passphrase"))
	m.archive("good-three-slots", "two recipients and a passphrase restore", newMemory(madeToken("one", 2, 20)), []string{"one"}, archiveOptions(),
		[]string{"other", "passphrase", "restore"}, []string{"verify"}, opens("restore", "verify"))
	large := &memToken{name: "large", entries: []memEntry{
		{name: "00000000", kind: format.KindObject, data: bytes.Repeat([]byte("a large public object. "), 60_000)},
		{name: "00000004", kind: format.KindObject, data: bytes.Repeat([]byte("another one. "), 700_000)},
		{name: "00000008", kind: format.KindObject, data: []byte("a small one")},
	}}
	m.archive("good-parts", "objects that make parts of their own, one of them larger than a block of several", newMemory(large), []string{"large"}, archiveOptions(),
		[]string{"restore"}, []string{"verify"}, opens("restore", "verify"))
}

func (m *vectorMaker) archive(name, about string, mem *memory, names []string, o ArchiveOptions, restore, verify []string, open map[string]string) {
	var restorers, verifiers []format.Recipient
	for _, r := range restore {
		restorers = append(restorers, m.slotRecipient(r))
	}
	for _, r := range verify {
		verifiers = append(verifiers, m.slotRecipient(r))
	}
	o.Slots = slotsFor(restorers, verifiers)
	o.Made = time.Unix(1_700_000_000, 0)
	o.Host, o.Writer = "host7", "tokar vectors"
	o.Keys = func() (*format.Keys, error) {
		id, tK, mK, nonces := fixedKeys(name)
		return format.NewKeys(id, tK[:], mK[:], nonces)
	}
	m.add(name, about, "oooo", name, open, archive(m.t, mem, o, names...))
}

// The forged archives' records.

func field(tag byte, v []byte) []byte { return join([]byte{tag}, u16(uint16(len(v))), v) }

// attr is a token's attributes without names, lists and label.
func attr(mode uint32) []byte { return join(attrHead(mode), make([]byte, 8)) }

func attrHead(mode uint32) []byte { return join(u32(mode), u32(1), u32(2), u64(0)) }

// fullAttr is a token's attributes with everything that they may have.
func fullAttr(mode uint32, owner, group, acl, inherit, label string) []byte {
	b := join(attrHead(mode), shortText(owner), shortText(group))
	for _, v := range []string{acl, inherit, label} {
		b = join(b, u16(uint16(len(v))), []byte(v))
	}
	return b
}

func shortText(s string) []byte { return append([]byte{byte(len(s))}, s...) }

// ace is an entry of an access control list; id is NoID where none belongs.
func ace(tag, perm uint16, id uint32, name string) string {
	return string(join(u16(tag), u16(perm), u32(id), shortText(name)))
}

// aclOf makes the usual list with more entries: before the mask users, groups.
func aclOf(users, groups string) string {
	return ace(1, 6, format.NoID, "") + users + ace(4, 4, format.NoID, "") + groups + ace(16, 6, format.NoID, "") + ace(32, 0, format.NoID, "")
}

func endOf(live, all uint64) []byte { return join(u64(live), u64(all), []byte{1}) }

const none = format.NoSeq

func forgedRecords() []*forgedRecord {
	// Short, for they stand in some 300 files.
	archive := join(field(1, u64(1_700_000_000)), field(2, []byte("h")))
	token := field(1, []byte("m"))
	details := func(label string) []byte {
		return join(field(2, []byte(label)), field(4, u32(0o640)), field(7, []byte{5}))
	}
	recs := []*forgedRecord{
		{kind: format.KindArchive, details: archive, class: format.ClassNone},
		{token: 1, kind: format.KindToken, name: "one", details: token, class: format.ClassNone},
		{token: 1, kind: format.KindState, name: "NVTOK.DAT", flags: format.Wrapped, data: []byte("state"), class: format.ClassNone},
		{token: 1, kind: format.KindObject, name: "00000000", details: details("cert"), data: []byte("public"), class: 1},
		{token: 1, kind: format.KindObject, name: "00000001", flags: format.Wrapped | format.Private, details: details("key"), data: []byte("private"), class: 3},
		{token: 1, kind: format.KindEndOfToken, details: endOf(3, 3), class: format.ClassNone},
		{token: 2, kind: format.KindToken, name: "tpm\x00two", details: field(1, []byte("m")), class: format.ClassNone},
		{token: 2, kind: format.KindObject, name: "00000000", flags: format.Wrapped, data: []byte("secret"), class: 4},
		{token: 2, kind: format.KindEndOfToken, details: endOf(1, 1), class: format.ClassNone},
	}
	for i, r := range recs {
		r.seq, r.supersedes = uint64(i), none
	}
	return recs
}

// noSlots keeps vectors small that are not about slots: their keys are given.
var noSlots = []format.Slot{{Type: 99, Role: 1}}

// forge makes the archive that hostile vectors are defects of: in order, the
// header, data 0 part 0 (records 0 to 3), index 0 (the archive's), data 0 part
// 1 (4, 5), index 1 (token 1), data 1 (6 to 8), index 2 (token 2), directory,
// end, the header again, footer.
func (m *vectorMaker) forge() *forge {
	f := &forge{slots: noSlots, records: forgedRecords(), parts: []forgedPart{{4, false}, {2, true}, {3, true}}, codec: format.CodecZstd}
	f.id, f.tK, f.mK, f.nonce = fixedKeys("hostile")
	return f
}

// insert puts a record before another, in the same frame, and numbers those
// behind it anew.
func (f *forge) insert(at int, r *forgedRecord) {
	f.records = append(f.records[:at], append([]*forgedRecord{r}, f.records[at:]...)...)
	for i, r := range f.records {
		r.seq = uint64(i)
	}
	n := 0
	for i := range f.parts {
		if n += f.parts[i].records; at < n {
			f.parts[i].records++
			return
		}
	}
	f.parts[len(f.parts)-1].records++
}

// drop takes a record out.
func (f *forge) drop(at int) {
	f.records = append(f.records[:at], f.records[at+1:]...)
	for i, r := range f.records {
		r.seq = uint64(i)
	}
	n := 0
	for i := range f.parts {
		if n += f.parts[i].records; at < n {
			f.parts[i].records--
			return
		}
	}
}

func object(token uint32, name string) *forgedRecord {
	return &forgedRecord{token: token, kind: format.KindObject, name: name, supersedes: none, data: []byte("more"), class: 2}
}

// frame is a frame that no record stands in.
func skippable(number uint64, front string) *forgedFrame {
	return &forgedFrame{kind: 0x80, last: 1, number: number, front: []byte(front)}
}

func insertFrame(frames []*forgedFrame, at int, fr *forgedFrame) []*forgedFrame {
	return append(frames[:at:at], append([]*forgedFrame{fr}, frames[at:]...)...)
}

func (m *vectorMaker) forged(name, about, classes string, change func(f *forge)) {
	m.forgedFor(name, about, classes, nil, change)
}

func (m *vectorMaker) forgedFor(name, about, classes string, open map[string]string, change func(f *forge)) {
	f := m.forge()
	change(f)
	m.add(name, about, classes, "hostile", open, f.build())
}

// forgedGood are sound archives that tokar's own writer does not make.
func (m *vectorMaker) forgedGood() {
	m.forged("good-base", "the archive that the hostile ones are defects of", "oooo", func(f *forge) {})
	m.forged("good-tiny", "the archive of docs/FORMAT.md, section 18: record 0 and no more, nothing compressed", "oooo", func(f *forge) {
		f.records, f.parts, f.codec = f.records[:1], []forgedPart{{1, true}}, format.CodecNone
	})
	m.forged("good-skippable-block", "blocks of kinds 0x80 and 0xFF between others, to be passed over", "oooo", func(f *forge) {
		f.onFrames = func(fr []*forgedFrame) []*forgedFrame {
			last := skippable(0, "")
			last.kind = 0xff
			fr = insertFrame(fr, 0, skippable(0, "what no reader of version 1 knows"))
			fr = insertFrame(fr, 3, skippable(1, "more of it"))
			return insertFrame(fr, len(fr)-1, last)
		}
	})
	m.forged("good-skippable-field", "fields of tags 128 and up in the core, descriptors and details", "oooo", func(f *forge) {
		f.onHeader = func(h *forgedHeader) { h.extensions = join(field(128, []byte("x")), field(255, nil)) }
		for _, r := range f.records {
			if r.kind != format.KindEndOfToken {
				r.details = append(r.details, field(200, []byte("unknown"))...)
			}
		}
	})
	m.forged("good-skippable-record", "a record of kind 0x8000, to be listed and not restored", "oooo", func(f *forge) {
		r := object(1, "00000001")
		r.kind, r.flags = 0x8000, format.Wrapped
		f.insert(5, r)
		f.records[6].details = endOf(4, 4)
	})
	m.forgedFor("good-skippable-slot", "slots of a type nobody knows before and behind those that open", "oooo", opens("restore", "verify"), func(f *forge) {
		f.slots = append([]format.Slot{{Type: 0xffff, Role: 1, Body: []byte("?")}}, append(append([]format.Slot{}, m.base...), format.Slot{Type: 3, Role: 2})...)
	})
	m.forged("good-generation", "a slot section of generation 7", "oooo", func(f *forge) {
		f.onHeader = func(h *forgedHeader) { h.generation = 7 }
	})
	m.forged("good-flags", "refused, unlisted and damaged entries, findings, names of eight components and of any bytes", "oooo", func(f *forge) {
		refused := object(1, "refused")
		refused.flags, refused.data = format.Refused|format.Unlisted, nil
		refused.details = field(8, join(u64(^uint64(0)), []byte("refused\x00refused\x00it is a symbolic link")))
		deep := object(1, strings.Join([]string{"a", "b", "c", "d", "e", "f", "g", "\x01\xff% "}, "\x00"))
		deep.flags = format.Wrapped | format.Damaged
		deep.details = join(field(1, u32(0)), field(2, []byte("\x1b[2J")), field(3, []byte{0, 1, 2}), field(4, u32(0o7777)), field(5, u32(0)), field(6, u32(0)), field(7, u64(1<<63)),
			field(8, join(u64(3), []byte("k\x00\x00"))), field(8, join(u64(4), []byte("\x00f\x00m"))))
		f.insert(5, refused)
		f.insert(6, deep)
		f.records[7].details = endOf(5, 5)
	})
	m.forged("good-superseded", "a record superseded twice, the last time by a tombstone, then read again", "oooo", func(f *forge) {
		again := func(at int, earlier uint64, gone bool) {
			r := object(1, "00000000")
			r.supersedes, r.data = earlier, fmt.Appendf(nil, "read %d", at)
			if gone {
				r.flags, r.data = format.Vanished, nil
			}
			f.insert(at, r)
		}
		again(5, 3, false)
		again(6, 5, true)
		again(7, 6, false)
		f.records[8].details = endOf(3, 6)
	})
	m.forged("good-late-end", "the end of token 1 after the records of token 2", "oooo", func(f *forge) {
		end := f.records[5]
		f.drop(5)
		f.insert(8, end)
		f.parts = []forgedPart{{4, true}, {1, false}, {4, true}}
	})
	m.forged("good-chunk-by-bytes", "labels that close an index chunk at 256 KiB, before its token's end", "oooo", func(f *forge) {
		for i := range 9 {
			r := object(1, fmt.Sprintf("1000000%d", i))
			r.details = field(2, bytes.Repeat([]byte{'a' + byte(i)}, 32<<10))
			f.insert(5+i, r)
		}
		f.records[14].details = endOf(12, 12)
	})
	m.forged("good-names-lists-label", "owners' names, access control lists and labels, as defaults, changed and taken away", "oooo", withNamesListsLabel)
	m.forged("good-names-lists-label-longest", "128 entries with names of 128 bytes, a label of 4,096", "oooo", func(f *forge) {
		name, label := strings.Repeat("n", 128), strings.Repeat("l", 4096)
		users := ""
		for i := range uint32(124) {
			users += ace(2, 4, i, name)
		}
		f.records[1].details = join(field(1, []byte("m")), field(7, fullAttr(0, name, name, aclOf(users, ""), "", label)),
			field(8, fullAttr(0, name, name, aclOf(users, ""), aclOf("", ace(8, 0, 1, name)), label)))
		f.records[3].details = join(field(7, nil), field(9, []byte(name[1:])), field(12, []byte(label[1:])))
	})
	m.forged("good-uneven-attributes", "a mode without a time, defaults repeated, a label longer than writers make", "oooo", func(f *forge) {
		f.records[1].details = join(field(1, []byte("m")), field(7, attr(0o660)), field(8, attr(0o770)), field(8, append(attr(0o700), "a\x00b"...)))
		f.records[3].details = join(field(2, bytes.Repeat([]byte("l"), 65535)), field(4, u32(0o17777)))
		f.records[4].details = join(field(4, u32(0o660)), field(5, u32(1)), field(6, u32(2)), field(7, []byte{9}))
	})
	m.forged("good-times", "times as differences of 0 to 8 bytes, above and below the default", "oooo", func(f *forge) {
		f.records[1].details = join(field(1, []byte("m")), field(7, join(u32(0o660), u32(1), u32(2), u64(1<<63-1), make([]byte, 8))))
		for i, b := range []string{"", "\x7f", "\x00\x80", "\x80", "\xff\x7f", "\x7f\xff\xff\xff", "\x80\x00\x00\x00", "\x00\x80\x00\x00\x00\x00\x00\x00", "\x80\x00\x00\x00\x00\x00\x00\x00"} {
			r := object(1, fmt.Sprintf("2000000%d", i))
			r.details = field(7, []byte(b))
			f.insert(5+i, r)
		}
		f.records[14].details = endOf(12, 12)
	})
}

// withNamesListsLabel gives records everything that attributes can have.
func withNamesListsLabel(f *forge) {
	usual, label := aclOf(ace(2, 6, 5, "joe"), ""), "system_u:object_r:pkcs_slotd_var_lib_t:s0"
	inherit := ace(1, 7, format.NoID, "") + ace(4, 5, format.NoID, "") + ace(32, 0, format.NoID, "")
	f.records[1].details = join(field(1, []byte("m")), field(7, fullAttr(0o660, "root", "pkcs11", usual, "", label)),
		field(8, fullAttr(0o770, "root", "pkcs11", "", inherit, label)), field(8, append(fullAttr(0o700, "", "", usual, usual, ""), "a"...)))
	f.records[3].details = join(field(5, u32(7)), field(7, []byte{5}), field(9, []byte("ann")), field(10, nil),
		field(11, []byte(aclOf(ace(2, 0, 0, "")+ace(2, 7, 9, "x y"), ace(8, 4, 1, "")+ace(8, 4, 2, "crypto")))), field(12, []byte("\xff:\x01")))
	f.records[4].details = join(field(7, []byte{5}), field(8, join(u64(^uint64(0)), []byte("k\x00f\x00m"))), field(9, nil), field(10, nil), field(11, nil), field(12, nil))
}

func zstdOf(front []byte) []byte {
	w, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(true))
	if err != nil {
		panic(err)
	}
	return w.EncodeAll(front, nil)
}

func xzOf(front []byte, c xz.WriterConfig) []byte {
	var b bytes.Buffer
	w, err := c.NewWriter(&b)
	if err == nil {
		_, err = w.Write(front)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		panic(err)
	}
	return b.Bytes()
}

func ptr[T any](v T) *T { return &v }
