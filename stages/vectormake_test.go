package stages

import (
	"bytes"
	"context"
	"encoding/binary"
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
	"restore":    "AGE-SECRET-KEY-12L0SRX68W5XCTDFNYEATWLK2V0AYVEHJ2XRZLX4NW0G29K35MU8Q7WEL64",
	"verify":     "AGE-SECRET-KEY-13JLEYGJL62P5YYSFDQLDAF6DD5FXQ8DRGJ22ZCX2JR8AFDN57D8S9WJ2KJ",
	"other":      "AGE-SECRET-KEY-1KATQLCKRJCX378ZGJKRA35SWRRWES6R59509LSQF2KWAVAW3D8UQY6F6MK",
	"passphrase": "correct horse battery staple",
}

// vectorMaker writes testdata/format anew. What draws random bytes (the age
// library) does so in this one goroutine, under a fixed seed.
type vectorMaker struct {
	t    *testing.T
	dir  string
	file vectorFile
	base []format.Slot // of the hostile vectors
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
	m := &vectorMaker{t: t, dir: vectorDir, file: vectorFile{Identities: vectorIdentities, Keys: map[string]vectorKeys{}}}
	m.base = m.slots("hostile")
	m.good()
	m.forgedGood()
	m.hostile()
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
	return fmt.Appendf(nil, "{\"identities\": %s,\n\"keys\": %s,\n\"vectors\": [\n%s\n]}\n",
		object(slices.Sorted(maps.Keys(f.Identities)), func(k string) string { return line(f.Identities[k]) }),
		object(slices.Sorted(maps.Keys(f.Keys)), func(k string) string { return line(f.Keys[k]) }),
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
// T, C, A, M, U, K for format's classes.
func (m *vectorMaker) add(name, about, classes, keys string, open map[string]string, b []byte) {
	letters := map[byte]string{'o': "ok", 'N': "not-archive", 'T': "truncated", 'C': "checksum", 'A': "authentic", 'M': "malformed", 'U': "unsupported", 'K': "no-key"}
	_, tK, mK, _ := fixedKeys(keys)
	m.file.Keys[keys] = vectorKeys{hex.EncodeToString(tK[:]), hex.EncodeToString(mK[:])}
	v := vector{
		Name: name, About: about, Keys: keys, Open: open,
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

func attr(mode uint32) []byte { return join(u32(mode), u32(1), u32(2), u64(0)) }

func endOf(live, all uint64) []byte { return join(u64(live), u64(all), []byte{1}) }

const none = format.NoSeq

func forgedRecords() []*forgedRecord {
	// Short, for they stand in some 300 files.
	archive := join(field(1, u64(1_700_000_000)), field(2, []byte("h")))
	token := field(1, []byte("m"))
	details := func(label string) []byte {
		return join(field(2, []byte(label)), field(4, u32(0o640)), field(7, u64(5)))
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
	m.forged("good-signature", "a signature that no reader of version 1 looks at; T holds over it", "oooo", func(f *forge) {
		f.onEnd = func(e *forgedEnd) { e.signature = []byte("SSHSIG of a later version") }
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
	m.forged("good-uneven-attributes", "a mode without a time, defaults repeated, a label longer than writers make", "oooo", func(f *forge) {
		f.records[1].details = join(field(1, []byte("m")), field(7, attr(0o660)), field(8, attr(0o770)), field(8, append(attr(0o700), "a\x00b"...)))
		f.records[3].details = join(field(2, bytes.Repeat([]byte("l"), 65535)), field(4, u32(0o17777)))
		f.records[4].details = join(field(4, u32(0o660)), field(5, u32(1)), field(6, u32(2)), field(7, u64(9)))
	})
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

// hostile vectors break one rule each. The letters are what a stream's reader
// with the restore key says, one with the verifier's, one without a key, and
// one that goes by the index.
func (m *vectorMaker) hostile() {
	m.hostileHeaders()
	m.hostileSlots()
	m.hostileFrames()
	m.hostileBodies()
	m.hostileTables()
	m.hostileRecords()
	m.hostileOrder()
	m.hostileFields()
	m.hostileIndexes()
	m.hostileDirectories()
	m.hostileEnds()
	m.hostileCuts()
}

func (m *vectorMaker) hostileHeaders() {
	h := func(name, about, classes string, change func(h *forgedHeader)) {
		m.forged("header-"+name, about, classes, func(f *forge) { f.onHeader = change })
	}
	h("magic", "another magic", "NNNN", func(h *forgedHeader) { h.magic = "\x89TOKAR\n\n" })
	h("version", "version 2", "UUUU", func(h *forgedHeader) { h.version = 2 })
	h("version-0", "version 0", "UUUU", func(h *forgedHeader) { h.version = 0 })
	h("suite", "suite 2", "UUUU", func(h *forgedHeader) { h.suite = 2 })
	h("critical-field", "a core field of tag 127", "UUUU", func(h *forgedHeader) { h.extensions = field(127, nil) })
	h("base-field", "a core field of tag 1, reserved for base", "UUUU", func(h *forgedHeader) { h.extensions = field(1, make([]byte, 64)) })
	h("field-order", "core fields out of order", "MMMM", func(h *forgedHeader) { h.extensions = join(field(130, nil), field(129, nil)) })
	h("field-twice", "a core field twice", "MMMM", func(h *forgedHeader) { h.extensions = join(field(130, nil), field(130, nil)) })
	h("field-cut", "a core field that runs over the end of the fields", "MMMM", func(h *forgedHeader) { h.extensions = []byte{130, 0, 9, 1} })
	h("fields-too-long", "4,097 bytes of core fields", "MMMM", func(h *forgedHeader) { h.extensions = field(130, make([]byte, 4094)) })
	h("no-slots", "no key slot", "MMMM", func(h *forgedHeader) { h.slots = nil })
	h("65-slots", "65 key slots", "MMMM", func(h *forgedHeader) {
		for len(h.slots) < 65 {
			h.slots = append(h.slots, format.Slot{Type: 99, Role: 1})
		}
	})
	h("slot-role", "a slot of role 3", "MMMM", func(h *forgedHeader) {
		h.slots = append(h.slots[:1:1], format.Slot{Type: 99, Role: 3})
	})
	h("slot-reserved", "a slot's reserved byte is set", "MMMM", func(h *forgedHeader) { h.reserved = 1 })
	h("slot-count-low", "one slot said, two there", "MMMM", func(h *forgedHeader) { h.slots, h.count = append(h.slots, h.slots...), 1 })
	h("slot-count-high", "sixty slots said, one there", "MMMM", func(h *forgedHeader) { h.count = 60 })
	h("after-slots", "a byte between the slot section and the checksum", "MMMM", func(h *forgedHeader) { h.after = []byte{0} })
	h("mt", "M_t does not hold", "AooA", func(h *forgedHeader) { h.breakMt = true })
	h("mm", "M_m does not hold", "AAoA", func(h *forgedHeader) { h.breakMm = true })
	h("commit-t", "C_t is another key's", "AooA", func(h *forgedHeader) { h.commitT = make([]byte, 32) })
	h("commit-m", "C_m is another key's", "AAoA", func(h *forgedHeader) { h.commitM = make([]byte, 32) })
	h("emk", "emK does not open", "AooA", func(h *forgedHeader) { h.breakEmK = true })
	h("emk-other", "emK carries another mK than the verifiers' slots", "AooA", func(h *forgedHeader) { h.emKInside[0] ^= 1 })
	h("checksum", "the checksum of both copies does not hold", "CCCC", func(h *forgedHeader) { h.breakCRC = true })
	h("length-over", "a length of more than 1 MiB", "CCCC", func(h *forgedHeader) { h.length = 1<<20 + 1 })
	h("length-under", "a length too small for any header", "CCCC", func(h *forgedHeader) { h.length = 100 })
	m.forged("header-front-damaged", "the copy at the beginning is damaged: who can seek uses the other", "CCCo", func(f *forge) {
		f.onStored = func(s [][]byte) [][]byte {
			s[0] = bytes.Clone(s[0])
			s[0][40] ^= 1
			return s
		}
	})
	m.forged("header-copy-damaged", "the copy at the end is damaged", "CCCo", func(f *forge) {
		f.onStored = func(s [][]byte) [][]byte {
			s[9] = bytes.Clone(s[9])
			s[9][40] ^= 1
			return s
		}
	})
	m.forged("header-copy-differs", "the copy at the end is whole, and of another generation", "MMMM", func(f *forge) {
		f.onCopy = func(h *forgedHeader) { h.generation = 1 }
	})
	m.forged("header-copy-unknown", "the copy at the end is whole, and of version 2", "UUUM", func(f *forge) {
		f.onCopy = func(h *forgedHeader) { h.version = 2 }
	})
	m.forged("header-copy-missing", "the footer follows the end block", "MMMM", func(f *forge) {
		f.onStored = func(s [][]byte) [][]byte { return append(s[:9:9], s[10]) }
	})
	m.forged("header-gap", "a zero byte between header and first block", "CCCM", func(f *forge) {
		f.onStored = func(s [][]byte) [][]byte {
			s[0] = append(bytes.Clone(s[0]), 0)
			return s
		}
	})
	m.forged("header-slot-lies", "a slot's length is 65,537", "MMMM", func(f *forge) {
		f.onStored = func(s [][]byte) [][]byte { return recoded(f, s, 65537) }
	})
	m.forged("header-slot-runs-over", "a slot's length runs over the end of the header", "MMMM", func(f *forge) {
		f.onStored = func(s [][]byte) [][]byte { return recoded(f, s, 60000) }
	})
}

// recoded changes the length of the first slot in both headers.
func recoded(f *forge, s [][]byte, length uint32) [][]byte {
	at := len(s[0]) - 4 - 64
	for _, slot := range f.slots {
		at -= 8 + len(slot.Body)
	}
	b := bytes.Clone(s[0][:len(s[0])-4])
	binary.BigEndian.PutUint32(b[at+4:], length)
	b = join(b, crc(b))
	s[0], s[9] = b, b
	return s
}

func (m *vectorMaker) hostileSlots() {
	slots := func(name, about, classes string, open map[string]string, make func(id, tK, mK [32]byte) []format.Slot) {
		m.forgedFor("slot-"+name, about, classes, open, func(f *forge) { f.slots = make(f.id, f.tK, f.mK) })
	}
	both := opens("restore", "verify")
	pass := opens("passphrase", "verify")
	verify := m.base[1]
	other := [32]byte{1, 2, 3}
	m.forgedFor("slot-none-opens", "no slot is for the identity", "KKoK", opens("other", "other"), func(f *forge) {})
	m.forgedFor("slot-no-passphrase", "no slot is for a passphrase", "KKoK", opens("passphrase", "passphrase"), func(f *forge) {})
	slots("unknown-types", "slots of unknown and reserved types only", "KKoK", both, func(_, _, _ [32]byte) []format.Slot {
		return []format.Slot{{Type: 99, Role: 1, Body: []byte("?")}, {Type: 4, Role: 2, Body: []byte("?")}}
	})
	slots("other-tk", "the slot carries another tK", "AooA", both, func(id, _, _ [32]byte) []format.Slot {
		return []format.Slot{m.ageSlot(1, place(1, id, other), m.recipient("restore")), verify}
	})
	slots("other-mk", "a verifier's slot carries another mK", "oAoo", both, func(id, _, _ [32]byte) []format.Slot {
		return []format.Slot{m.base[0], m.ageSlot(2, place(2, id, other), m.recipient("verify"))}
	})
	slots("verifier-has-tk", "a verifier's slot carries tK", "oAoo", both, func(id, tK, _ [32]byte) []format.Slot {
		return []format.Slot{m.base[0], m.ageSlot(2, place(2, id, tK), m.recipient("verify"))}
	})
	slots("age-other-archive", "an age slot made for another archive", "AooA", both, func(_, tK, _ [32]byte) []format.Slot {
		return []format.Slot{m.ageSlot(1, place(1, other, tK), m.recipient("restore")), verify}
	})
	slots("age-other-role", "an age slot made for the other role", "AooA", both, func(id, tK, _ [32]byte) []format.Slot {
		return []format.Slot{m.ageSlot(1, place(2, id, tK), m.recipient("restore")), verify}
	})
	slots("age-long", "an age slot with a byte after the key", "AooA", both, func(id, tK, _ [32]byte) []format.Slot {
		return []format.Slot{m.ageSlot(1, append(place(1, id, tK), 0), m.recipient("restore")), verify}
	})
	slots("age-short", "an age slot with a key of 31 bytes", "AooA", both, func(id, tK, _ [32]byte) []format.Slot {
		return []format.Slot{m.ageSlot(1, place(1, id, tK)[:79], m.recipient("restore")), verify}
	})
	slots("age-payload", "an age slot whose payload does not open", "AooA", both, func(id, tK, _ [32]byte) []format.Slot {
		s := m.ageSlot(1, place(1, id, tK), m.recipient("restore"))
		s.Body[len(s.Body)-1] ^= 1
		return []format.Slot{s, verify}
	})
	slots("age-mac", "an age slot whose header's MAC does not hold", "AooA", both, func(id, tK, _ [32]byte) []format.Slot {
		s := m.ageSlot(1, place(1, id, tK), m.recipient("restore"))
		at := bytes.Index(s.Body, []byte("\n--- ")) + 5
		s.Body[at] ^= 1 // another letter of base64: the first is never one that this breaks
		return []format.Slot{s, verify}
	})
	slots("age-scrypt", "an age slot to a passphrase: no reader runs scrypt for an archive", "KooK", both, func(id, tK, _ [32]byte) []format.Slot {
		to, err := age.NewScryptRecipient("x")
		if err != nil {
			m.t.Fatal(err)
		}
		to.SetWorkFactor(10)
		return []format.Slot{m.ageSlot(1, place(1, id, tK), to), verify}
	})
	slots("age-17-stanzas", "an age slot of 17 stanzas, one of them for the identity", "KooK", both, func(id, tK, _ [32]byte) []format.Slot {
		to := []age.Recipient{m.recipient("restore")}
		for len(to) < 17 {
			to = append(to, m.recipient("other"))
		}
		return []format.Slot{m.ageSlot(1, place(1, id, tK), to...), verify}
	})
	slots("age-no-file", "an age slot that is no age file", "KooK", both, func(_, _, _ [32]byte) []format.Slot {
		return []format.Slot{{Type: 1, Role: 1, Body: []byte("age-encryption.org/v2\n")}, verify}
	})

	wrap := func(id, secret [32]byte, role format.Role) format.Slot {
		s, err := m.passphrase("passphrase").Wrap(context.Background(), format.SlotKey{Role: role, Archive: id, Secret: secret[:]})
		if err != nil {
			m.t.Fatal(err)
		}
		return s
	}
	slots("passphrase-wrong", "another passphrase", "KooK", pass, func(id, tK, _ [32]byte) []format.Slot {
		p := keyslot.NewPassphrase(func() ([]byte, error) { return []byte("another"), nil })
		p.Cost, p.Salt, p.Nonces = keyslot.MinCost, bytes.NewReader(make([]byte, 32)), func([]byte) [12]byte { return [12]byte{} }
		s, err := p.Wrap(context.Background(), format.SlotKey{Role: 1, Archive: id, Secret: tK[:]})
		if err != nil {
			m.t.Fatal(err)
		}
		return []format.Slot{s, verify}
	})
	slots("passphrase-other-archive", "a passphrase slot made for another archive", "KooK", pass, func(_, tK, _ [32]byte) []format.Slot {
		return []format.Slot{wrap(other, tK, 1), verify}
	})
	slots("passphrase-other-role", "a passphrase slot made for the other role", "KooK", pass, func(id, tK, _ [32]byte) []format.Slot {
		s := wrap(id, tK, 2)
		s.Role = 1
		return []format.Slot{s, verify}
	})
	slots("passphrase-commitment", "a passphrase slot with another tK: the same answer as a wrong passphrase", "KooK", pass, func(id, _, _ [32]byte) []format.Slot {
		return []format.Slot{wrap(id, other, 1), verify}
	})
	slots("passphrase-twice", "two passphrase slots with tK", "MooM", pass, func(id, tK, _ [32]byte) []format.Slot {
		return []format.Slot{wrap(id, tK, 1), wrap(id, tK, 1), verify}
	})
	edit := func(name, about string, change func(b []byte) []byte) {
		slots("passphrase-"+name, about, "MooM", pass, func(id, tK, _ [32]byte) []format.Slot {
			s := wrap(id, tK, 1)
			s.Body = change(s.Body)
			return []format.Slot{s, verify}
		})
	}
	slots("passphrase-verifier-long", "a verifier's passphrase slot of 97 bytes: nothing to who restores", "oMoo", opens("restore", "passphrase"), func(id, _, mK [32]byte) []format.Slot {
		s := wrap(id, mK, 2)
		s.Body = append(s.Body, 0)
		return []format.Slot{m.base[0], s}
	})
	slots("passphrase-verifier-commitment", "a verifier's passphrase slot with another mK: the same answer as a wrong passphrase", "oKoo", opens("restore", "passphrase"), func(id, _, _ [32]byte) []format.Slot {
		return []format.Slot{m.base[0], wrap(id, other, 2)}
	})
	edit("cost-low", "a passphrase slot of cost 99,999", func(b []byte) []byte {
		binary.BigEndian.PutUint32(b[32:], 99_999)
		return b
	})
	edit("cost-high", "a passphrase slot of cost 10,000,001", func(b []byte) []byte {
		binary.BigEndian.PutUint32(b[32:], 10_000_001)
		return b
	})
	edit("long", "a passphrase slot of 97 bytes", func(b []byte) []byte { return append(b, 0) })
	edit("short", "a passphrase slot of 95 bytes", func(b []byte) []byte { return b[:95] })
}

func (m *vectorMaker) hostileFrames() {
	// On one frame, before it is sealed; 2 is data 0 part 1, 3 index 1.
	fr := func(name, about, classes string, at int, change func(f *forge, fr *forgedFrame)) {
		m.forged("frame-"+name, about, classes, func(f *forge) {
			f.onFrames = func(all []*forgedFrame) []*forgedFrame {
				change(f, all[at])
				return all
			}
		})
	}
	fr("other-archive", "a frame with the first bytes of another archive's id", "CCCC", 2, func(_ *forge, fr *forgedFrame) { fr.archive = make([]byte, 8) })
	fr("length-over", "a frame of 4 GiB", "CCCC", 2, func(_ *forge, fr *forgedFrame) { fr.length = ptr(^uint32(0)) })
	fr("length-under", "a frame too short for a tag", "CCCC", 2, func(_ *forge, fr *forgedFrame) { fr.length = ptr(uint32(15)) })
	fr("reserved", "a frame's reserved bytes are set", "MMMM", 2, func(_ *forge, fr *forgedFrame) { fr.zero = 1 })
	fr("last-2", "a last-part flag of 2", "MMMM", 2, func(_ *forge, fr *forgedFrame) { fr.last = 2 })
	fr("index-part", "an index block of part 1", "MMMM", 3, func(_ *forge, fr *forgedFrame) { fr.part = 1 })
	fr("index-not-last", "an index block that is not its last part", "MMMM", 3, func(_ *forge, fr *forgedFrame) { fr.last = 0 })
	fr("place", "a frame sealed for another place", "AAoA", 2, func(f *forge, fr *forgedFrame) {
		moved := *fr
		moved.number++
		fr.aad = f.aad(&moved)
	})
	fr("last-flipped", "a frame sealed as its block's last part, stored as another", "AAMM", 2, func(f *forge, fr *forgedFrame) {
		fr.aad = f.aad(fr)
		fr.last = 0
	})
	fr("other-core", "a frame sealed for another core", "AAoA", 2, func(f *forge, fr *forgedFrame) {
		fr.aad = f.aad(fr)
		fr.aad[0] ^= 1
	})
	fr("other-key", "a frame sealed under another mK", "AAoA", 2, func(f *forge, fr *forgedFrame) {
		fr.sealed = f.seal(f.key([32]byte{}, "mK seal"), fr.body, f.aad(fr))
	})
	fr("record-key", "a frame sealed under the key of record MACs", "AAoA", 2, func(f *forge, fr *forgedFrame) {
		fr.sealed = f.seal(f.key(f.mK, "mK record MAC"), fr.body, f.aad(fr))
	})
	fr("tag", "a frame whose tag was changed", "AAoA", 2, func(f *forge, fr *forgedFrame) {
		fr.sealed = f.seal(f.key(f.mK, "mK seal"), fr.body, f.aad(fr))
		fr.sealed[len(fr.sealed)-1] ^= 1
	})
	fr("number-gap", "data block 1 calls itself 2", "MMMM", 4, func(_ *forge, fr *forgedFrame) { fr.number = 2 })
	fr("index-number-gap", "index block 1 calls itself 2", "MMMM", 3, func(_ *forge, fr *forgedFrame) { fr.number = 2 })
	fr("part-gap", "part 1 calls itself 2", "MMMM", 2, func(_ *forge, fr *forgedFrame) { fr.part = 2 })
	fr("first-part-1", "a block that begins with part 1", "MMMM", 4, func(_ *forge, fr *forgedFrame) { fr.part = 1 })
	fr("no-last-part", "the directory follows a data block without its last part", "MMMM", 4, func(_ *forge, fr *forgedFrame) { fr.last = 0 })

	// On what is stored: 1 data 0.0, 2 index 0, 3 data 0.1, 4 index 1, 5 data
	// 1, 6 index 2, 7 directory, 8 end, 9 header, 10 footer.
	st := func(name, about, classes string, change func(s [][]byte) [][]byte) {
		m.forged("frames-"+name, about, classes, func(f *forge) { f.onStored = change })
	}
	take := func(s [][]byte, order ...int) [][]byte {
		var out [][]byte
		for _, i := range order {
			out = append(out, s[i])
		}
		return out
	}
	st("checksum", "a frame's checksum does not hold", "CCCC", func(s [][]byte) [][]byte {
		s[3][len(s[3])-1] ^= 1
		return s
	})
	st("magic", "a frame's magic is another, its checksum right", "CCCC", func(s [][]byte) [][]byte {
		b := s[3][:len(s[3])-4]
		b[3] ^= 1
		s[3] = join(b, crc(b))
		return s
	})
	st("dropped", "a data frame was dropped", "MMMT", func(s [][]byte) [][]byte { return take(s, 0, 1, 2, 4, 5, 6, 7, 8, 9, 10) })
	st("index-dropped", "an index frame was dropped", "MMMM", func(s [][]byte) [][]byte { return take(s, 0, 1, 2, 3, 5, 6, 7, 8, 9, 10) })
	st("last-dropped", "the last data frame and its index frame were dropped", "MMMT", func(s [][]byte) [][]byte { return take(s, 0, 1, 2, 3, 4, 7, 8, 9, 10) })
	st("doubled", "a data frame stands twice", "MMMM", func(s [][]byte) [][]byte { return take(s, 0, 1, 2, 3, 3, 4, 5, 6, 7, 8, 9, 10) })
	st("index-doubled", "an index frame stands twice", "MMMM", func(s [][]byte) [][]byte { return take(s, 0, 1, 2, 3, 4, 4, 5, 6, 7, 8, 9, 10) })
	st("swapped", "two data frames changed places", "MMMC", func(s [][]byte) [][]byte { return take(s, 0, 5, 2, 3, 4, 1, 6, 7, 8, 9, 10) })
	st("parts-swapped", "two parts of a block changed places", "MMMC", func(s [][]byte) [][]byte { return take(s, 0, 3, 2, 1, 4, 5, 6, 7, 8, 9, 10) })
	st("index-moved", "an index frame before the data frame that closes it", "MMoC", func(s [][]byte) [][]byte { return take(s, 0, 1, 2, 4, 3, 5, 6, 7, 8, 9, 10) })
	st("no-directory", "the directory was dropped", "MMMT", func(s [][]byte) [][]byte { return take(s, 0, 1, 2, 3, 4, 5, 6, 8, 9, 10) })
	st("two-ends", "the end block stands twice", "MMMM", func(s [][]byte) [][]byte { return take(s, 0, 1, 2, 3, 4, 5, 6, 7, 8, 8, 9, 10) })
	st("data-after-directory", "data and its index after the directory", "MMMC", func(s [][]byte) [][]byte { return take(s, 0, 1, 2, 3, 4, 7, 5, 6, 8, 9, 10) })
	st("data-after-end", "a data frame after the end block", "MMMM", func(s [][]byte) [][]byte { return take(s, 0, 1, 2, 3, 4, 5, 6, 7, 8, 5, 9, 10) })

	// From a second archive of the same keys: with other nonces it has another
	// core, with the same ones the very same.
	second := func(salt byte) [][]byte {
		f := m.forge()
		if salt > 0 {
			first := f.nonce
			f.nonce = func(aad []byte) [12]byte { return first(append(aad, salt)) }
		}
		f.records[4].data = []byte("PRIVATE")
		var all [][]byte
		f.onStored = func(s [][]byte) [][]byte { all = s; return s }
		f.build()
		return all
	}
	st("spliced", "a data frame of another archive with the same keys", "AAoA", func(s [][]byte) [][]byte {
		s[3] = second(1)[3]
		return s
	})
	st("spliced-same-core", "the same, of an archive that shares even the nonce of emK", "MMoA", func(s [][]byte) [][]byte {
		s[3] = second(0)[3]
		return s
	})
	st("spliced-directory", "directory, end, header and footer of that archive", "MMoA", func(s [][]byte) [][]byte {
		return append(s[:7:7], second(0)[7:]...)
	})
	st("spliced-end", "the end block of that archive", "AAoA", func(s [][]byte) [][]byte {
		s[8] = second(0)[8]
		return s
	})
	st("spliced-header", "the header of an archive with the same keys and other nonces, in both places", "AAoA", func(s [][]byte) [][]byte {
		s[0] = second(1)[0]
		s[9] = s[0]
		return s
	})

	add := func(name, about, classes string, at int, fr *forgedFrame, then func(f *forge, fr *forgedFrame)) {
		m.forged("frame-"+name, about, classes, func(f *forge) {
			f.onFrames = func(all []*forgedFrame) []*forgedFrame {
				if then != nil {
					f.pack(fr)
					then(f, fr)
				}
				return insertFrame(all, at, fr)
			}
		})
	}
	add("kind-0", "a block of kind 0", "UUUo", 2, &forgedFrame{kind: 0, last: 1, front: []byte("?")}, nil)
	add("kind-5", "a block of kind 5, unknown and critical", "UUUo", 2, &forgedFrame{kind: 5, last: 1, front: []byte("?")}, nil)
	add("kind-127", "a block of kind 127, unknown and critical", "UUUo", 2, &forgedFrame{kind: 127, last: 1, front: []byte("?")}, nil)
	add("skippable-number", "the first block of kind 0x80 calls itself 1", "MMMo", 2, skippable(1, "?"), nil)
	add("skippable-last", "a block of kind 0x80 right before the directory", "MMMo", 6, skippable(0, "?"), nil)
	add("skippable-seal", "a block of kind 0x80 whose seal does not open", "AAoo", 2, skippable(0, "?"), func(f *forge, fr *forgedFrame) {
		fr.aad = make([]byte, 46)
	})
	part := skippable(0, "?")
	part.part = 1
	add("skippable-part", "a block of kind 0x80 in parts", "MMMo", 2, part, nil)
}

// front is a hook on the front of one frame, in the forge's base.
func front(kind byte, number uint64, part uint32, change func(fr *forgedFrame)) func(f *forge) {
	return func(f *forge) {
		f.onFront = func(fr *forgedFrame) {
			if fr.kind == kind && fr.number == number && fr.part == part {
				change(fr)
			}
		}
	}
}

func (m *vectorMaker) hostileBodies() {
	b := func(name, about, classes string, change func(fr *forgedFrame)) {
		m.forged("body-"+name, about, classes, front(1, 0, 1, change))
	}
	b("codec", "codec 3", "UUoU", func(fr *forgedFrame) { fr.codec, fr.packed = 3, fr.front })
	b("reserved", "a body's reserved bytes are set", "MMoM", func(fr *forgedFrame) { fr.reserved = 1 })
	b("none-short", "a stored front that is shorter than declared", "MMoM", func(fr *forgedFrame) {
		fr.codec, fr.packed, fr.declared = format.CodecNone, fr.front, ptr(uint32(len(fr.front)+1))
	})
	b("none-long", "a stored front that is longer than declared", "MMoM", func(fr *forgedFrame) {
		fr.codec, fr.packed, fr.declared = format.CodecNone, fr.front, ptr(uint32(len(fr.front)-1))
	})
	b("too-large", "a body of 65 MiB and more", "MMoM", func(fr *forgedFrame) {
		fr.codec, fr.packed, fr.declared = format.CodecNone, fr.front, ptr(uint32(64<<20+1<<20+4096))
	})
	b("after", "a byte after what stands beside", "MMoM", func(fr *forgedFrame) { fr.after = []byte{0} })
	m.forged("body-cut", "a body of 15 bytes", "MMoM", func(f *forge) {
		f.onBody = func(fr *forgedFrame) {
			if fr.kind == 1 && fr.part == 1 {
				fr.body = fr.body[:15]
			}
		}
	})
	m.forged("body-beside-over", "what stands beside runs over the end", "MMoM", func(f *forge) {
		f.onBody = func(fr *forgedFrame) {
			if fr.kind == 1 && fr.part == 1 {
				binary.BigEndian.PutUint32(fr.body[12:], uint32(len(fr.beside)+1))
			}
		}
	})
	z := func(name, about string, change func(fr *forgedFrame) []byte) {
		b("zstd-"+name, about, "MMoM", func(fr *forgedFrame) { fr.codec, fr.packed = format.CodecZstd, change(fr) })
	}
	magic := []byte{0x28, 0xb5, 0x2f, 0xfd}
	raw := func(b []byte) []byte { // the last block of a frame, stored
		return join([]byte{byte(len(b)<<3) | 1, byte(len(b) >> 5), byte(len(b) >> 13)}, b)
	}
	z("window", "a zstd frame with a window of 16 MiB", func(fr *forgedFrame) []byte {
		return join(magic, []byte{0, 14 << 3}, raw(fr.front))
	})
	z("window-known", "a zstd frame with a window of 960 MiB that says how little it holds", func(fr *forgedFrame) []byte {
		return join(magic, []byte{0x80, 0x9f}, []byte{byte(len(fr.front)), byte(len(fr.front) >> 8), 0, 0}, raw(fr.front))
	})
	z("segment", "a zstd frame that says it holds 2^62 bytes", func(fr *forgedFrame) []byte {
		return join(magic, []byte{0xe0, 0, 0, 0, 0, 0, 0, 0, 0x40}, raw(fr.front))
	})
	z("dictionary", "a zstd frame that wants a dictionary", func(fr *forgedFrame) []byte {
		return join(magic, []byte{1, 10 << 3, 7}, raw(fr.front))
	})
	z("two", "two zstd frames", func(fr *forgedFrame) []byte { return append(zstdOf(fr.front[:50]), zstdOf(fr.front[50:])...) })
	z("skippable", "a skippable zstd frame after the first", func(fr *forgedFrame) []byte {
		return join(zstdOf(fr.front), []byte{0x50, 0x2a, 0x4d, 0x18, 1, 0, 0, 0, 'x'})
	})
	z("after", "a byte after the zstd frame", func(fr *forgedFrame) []byte { return append(zstdOf(fr.front), 0) })
	z("cut", "a zstd frame without its last byte", func(fr *forgedFrame) []byte { p := zstdOf(fr.front); return p[:len(p)-1] })
	z("checksum", "a zstd frame whose own checksum does not hold", func(fr *forgedFrame) []byte {
		p := zstdOf(fr.front)
		p[len(p)-1] ^= 1
		return p
	})
	z("long", "a zstd frame that unpacks to more than declared", func(fr *forgedFrame) []byte { return zstdOf(append(bytes.Clone(fr.front), 0)) })
	z("short", "a zstd frame that unpacks to less than declared", func(fr *forgedFrame) []byte { return zstdOf(fr.front[1:]) })
	z("bomb", "a zstd frame that unpacks to 64 MiB", func(fr *forgedFrame) []byte {
		p := join(magic, []byte{0, 13 << 3})
		for i := range 512 {
			last := byte(0)
			if i == 511 {
				last = 1
			}
			p = join(p, []byte{last | 1<<1, 0, 0x10, 0}) // one byte, 128 KiB times
		}
		return p
	})
	x := func(name, about string, change func(fr *forgedFrame) []byte) {
		b("xz-"+name, about, "MMoM", func(fr *forgedFrame) { fr.codec, fr.packed = format.CodecXZ, change(fr) })
	}
	small := xz.WriterConfig{DictCap: 4096}
	x("dictionary", "an xz stream with a dictionary of 16 MiB", func(fr *forgedFrame) []byte { return xzOf(fr.front, xz.WriterConfig{DictCap: 16 << 20}) })
	x("blocks", "an xz stream of two blocks", func(fr *forgedFrame) []byte {
		return xzOf(fr.front, xz.WriterConfig{DictCap: 4096, BlockSize: int64(len(fr.front)/2 + 1)})
	})
	x("streams", "two xz streams", func(fr *forgedFrame) []byte { return append(xzOf(fr.front[:50], small), xzOf(fr.front[50:], small)...) })
	x("after", "four zero bytes after the xz stream", func(fr *forgedFrame) []byte { return append(xzOf(fr.front, small), 0, 0, 0, 0) })
	x("cut", "an xz stream without its footer's last byte", func(fr *forgedFrame) []byte { p := xzOf(fr.front, small); return p[:len(p)-1] })
	x("check", "an xz stream whose block's check does not hold", func(fr *forgedFrame) []byte {
		p := xzOf(fr.front, small)
		p[len(p)-12-4*(int(binary.LittleEndian.Uint32(p[len(p)-8:]))+1)-1] ^= 1
		return p
	})
	x("long", "an xz stream that unpacks to more than declared", func(fr *forgedFrame) []byte { return xzOf(append(bytes.Clone(fr.front), 0), small) })
	x("short", "an xz stream that unpacks to less than declared", func(fr *forgedFrame) []byte { return xzOf(fr.front[1:], small) })
	x("empty", "an xz stream without a block", func(*forgedFrame) []byte { return xzOf(nil, small) })

	m.forged("body-index-beside", "an index block with bytes beside its front", "MMoM", front(2, 1, 0, func(fr *forgedFrame) { fr.beside = []byte("hidden") }))
	m.forged("body-directory-beside", "a directory block with bytes beside its front", "MMoM", front(3, 0, 0, func(fr *forgedFrame) { fr.beside = []byte("hidden") }))
	m.forged("body-end-beside", "an end block with bytes beside its front", "MMoM", front(4, 0, 0, func(fr *forgedFrame) { fr.beside = []byte("hidden") }))
}

func (m *vectorMaker) hostileTables() {
	t := func(name, about, classes string, change func(t *forgedTable)) {
		m.forged("table-"+name, about, classes, func(f *forge) {
			f.onTable = func(t *forgedTable) {
				if t.kind == 1 && t.part == 1 {
					change(t)
				}
			}
		})
	}
	t("empty", "a table of no records", "MMoM", func(t *forgedTable) { t.count, t.rows, t.names, t.metadata = 0, nil, nil, nil })
	t("too-many", "a table of 65,537 records, without them", "MMoM", func(t *forgedTable) { t.count = 65537 })
	t("count-over", "a table with one record fewer than it says", "MMoM", func(t *forgedTable) { t.count++ })
	t("names-over", "names that run over the end", "MMoM", func(t *forgedTable) { t.lenNames = ptr(^uint32(0)) })
	t("metadata-over", "metadata that run over the end", "MMoM", func(t *forgedTable) { t.lenMetadata = ptr(^uint32(0)) })
	t("names-of-none", "names of no record", "MMoM", func(t *forgedTable) { t.names = append(t.names, 'x') })
	t("metadata-of-none", "metadata of no record", "MMoM", func(t *forgedTable) { t.metadata = append(t.metadata, 'x') })
	t("name-missing", "a name that is not there", "MMoM", func(t *forgedTable) { t.names = t.names[:len(t.names)-1] })
	t("metadata-missing", "metadata that are not there", "MMoM", func(t *forgedTable) { t.metadata = t.metadata[:len(t.metadata)-1] })
	t("after", "a byte after the records", "MMoM", func(t *forgedTable) { t.after = []byte{0} })
	t("sequence-gap", "a sequence number left out inside a block", "MMoM", func(t *forgedTable) { t.rows[1][7] = 2 })
	t("sequence-same", "a sequence number twice inside a block", "MMoM", func(t *forgedTable) { t.rows[1][7] = 0 })
	t("sequence-wraps", "sequence numbers that wrap around", "MMoM", func(t *forgedTable) {
		for i := range 8 {
			t.rows[1][i] = 0xff
		}
	})
	m.forged("table-macs-short", "one MAC too few", "MMoM", front(1, 0, 1, func(fr *forgedFrame) { fr.beside = fr.beside[:len(fr.beside)-32] }))
	m.forged("table-macs-after", "a byte after the MACs", "MMoM", front(1, 0, 1, func(fr *forgedFrame) { fr.beside = append(fr.beside, 0) }))
	m.forged("table-large-block", "several records in a block part of more than 8 MiB", "MMoM", func(f *forge) {
		f.records[3].data = bytes.Repeat([]byte("eight mebibytes "), 512<<10)
	})
}

func (m *vectorMaker) hostileRecords() {
	// On one record: 3 is a public object, 4 a wrapped one, 1 a token's
	// descriptor.
	r := func(name, about, classes string, at int, change func(r *forgedRecord)) {
		m.forged("record-"+name, about, classes, func(f *forge) { change(f.records[at]) })
	}
	name := func(what, about, value string) {
		r("name-"+what, about, "MMoM", 3, func(r *forgedRecord) { r.name = value })
	}
	r("kind-0", "a record of kind 0", "UUoU", 3, func(r *forgedRecord) { r.kind = 0 })
	r("kind-8", "a record of kind 8, unknown and critical", "UUoU", 3, func(r *forgedRecord) { r.kind = 8 })
	r("kind-7fff", "a record of kind 0x7FFF, unknown and critical", "UUoU", 3, func(r *forgedRecord) { r.kind = 0x7fff })
	r("flags", "an unknown flag", "UUoU", 3, func(r *forgedRecord) { r.flags = 1 << 6 })
	r("reserved", "a record's reserved bytes are set", "MMoM", 3, func(r *forgedRecord) { r.reserved = 1 })
	name("empty", "an object without a name", "")
	name("dot", "a name of one dot", ".")
	name("dotdot", "a name of two dots", "..")
	name("inner-dotdot", "two dots in the middle of a name", "a\x00..\x00b")
	name("slash", "a name with a slash", "a/b")
	name("empty-component", "a name with an empty component", "a\x00\x00b")
	name("ends-empty", "a name that ends in a zero byte", "a\x00")
	name("256", "a name component of 256 bytes", strings.Repeat("x", 256))
	name("nine", "a name of nine components", strings.Repeat("a\x00", 8)+"a")
	name("1025", "a name of 1,025 bytes", strings.Repeat(strings.Repeat("x", 204)+"\x00", 4)+strings.Repeat("x", 205))
	r("token-name", "a token of the name ..", "MMoM", 1, func(r *forgedRecord) { r.name = ".." })
	r("token-nameless", "a token without a name", "MMoM", 1, func(r *forgedRecord) { r.name = "" })
	r("archive-named", "an archive descriptor with a name", "MMoM", 0, func(r *forgedRecord) { r.name = "x" })
	r("end-named", "an end-of-token record with a name", "MMoM", 5, func(r *forgedRecord) { r.name = "x" })
	r("descriptor-payload", "a token descriptor with a payload", "MMoM", 1, func(r *forgedRecord) { r.data = []byte("x") })
	r("descriptor-flags", "a token descriptor with flags", "MMoM", 1, func(r *forgedRecord) { r.flags = format.Private })
	r("descriptor-class", "a token descriptor with a class", "MMoM", 1, func(r *forgedRecord) { r.class = 3 })
	r("token-0", "an object of token 0", "MMoM", 3, func(r *forgedRecord) { r.token = 0 })
	r("archive-token", "an archive descriptor of token 1", "MMoM", 0, func(r *forgedRecord) { r.token = 1 })
	r("vanished-payload", "a vanished entry with a payload", "MMoM", 3, func(r *forgedRecord) { r.flags = format.Vanished })
	r("refused-payload", "a refused entry with a payload", "MMoM", 3, func(r *forgedRecord) { r.flags = format.Refused })
	r("vanished-wrapped", "a vanished entry that is wrapped", "MMoM", 4, func(r *forgedRecord) {
		r.flags, r.data, r.details = format.Vanished|format.Wrapped, nil, nil
	})
	r("wrapped-short", "a wrapped payload shorter than its object", "MMoM", 4, func(r *forgedRecord) { r.size = ptr(uint32(1000)) })
	r("size", "a public object of another size than its payload", "MMoM", 3, func(r *forgedRecord) { r.size = ptr(uint32(5)) })
	r("size-over", "an object of more than 64 MiB", "MMoM", 3, func(r *forgedRecord) { r.size, r.lenPayload = ptr(uint32(64<<20+1)), ptr(uint32(64<<20+1)) })
	r("payload-over", "a payload that is not there", "MMoM", 3, func(r *forgedRecord) { r.size, r.lenPayload = ptr(uint32(100)), ptr(uint32(100)) })
	r("metadata-over", "metadata of more than 1 MiB", "MMoM", 3, func(r *forgedRecord) { r.lenMeta = ptr(uint32(1<<20 + 1)) })
	r("supersedes-itself", "a record that supersedes itself", "MMoM", 3, func(r *forgedRecord) { r.supersedes = 3 })
	r("supersedes-later", "a record that supersedes a later one", "MMoM", 3, func(r *forgedRecord) { r.supersedes = 4 })
	r("descriptor-supersedes", "a token descriptor that supersedes", "MMoM", 6, func(r *forgedRecord) { r.supersedes = 1 })
	r("mac", "a record's MAC does not hold", "AAoA", 4, func(r *forgedRecord) { r.breakMAC = true })
	r("wrap", "a wrap that does not open", "AooA", 4, func(r *forgedRecord) { r.breakWrap = true })
	r("wrap-renamed", "a wrap made under another name", "AooA", 4, func(r *forgedRecord) { r.wrapAs = "00000009" })
	m.forged("record-wrapped-metadata", "a wrapped record with metadata in clear", "MMoM", func(f *forge) {
		f.records[4].lenMeta = ptr(uint32(5))
		f.onTable = func(t *forgedTable) {
			if t.kind == 1 && t.part == 1 {
				t.metadata = append([]byte("hello"), t.metadata...)
			}
		}
	})
	m.forged("record-macs-swapped", "two records' MACs changed places", "AAoA", front(1, 0, 1, func(fr *forgedFrame) {
		b := fr.beside[len(fr.beside)-64:]
		copy(b, join(b[32:], b[:32]))
	}))
}

func (m *vectorMaker) hostileOrder() {
	o := func(name, about, classes string, change func(f *forge)) {
		m.forged("order-"+name, about, classes, change)
	}
	o("starts-at-1", "the first record has number 1", "MMoM", func(f *forge) {
		for _, r := range f.records {
			r.seq++
		}
	})
	o("gap", "a number left out between blocks", "MMoM", func(f *forge) {
		for _, r := range f.records[6:] {
			r.seq++
		}
	})
	o("no-archive", "record 0 is a token's", "MMoo", func(f *forge) { f.drop(0) })
	o("two-archives", "a second archive descriptor", "MMoo", func(f *forge) {
		f.insert(5, &forgedRecord{kind: format.KindArchive, supersedes: none, details: f.records[0].details, class: format.ClassNone})
	})
	o("repeated", "two objects of one name in a token", "MMoo", func(f *forge) {
		f.insert(5, object(1, "00000000"))
		f.records[6].details = endOf(4, 4)
	})
	supersede := func(name, about string, change func(r *forgedRecord)) {
		o("supersedes-"+name, about, "MMoo", func(f *forge) {
			r := object(1, "00000000")
			r.supersedes = 3
			change(r)
			f.insert(5, r)
			f.records[6].details = endOf(3, 4)
		})
	}
	supersede("other-name", "a record that supersedes one of another name", func(r *forgedRecord) { r.name = "00000007" })
	supersede("other-record", "a record that supersedes another than stands for its name", func(r *forgedRecord) { r.supersedes = 2 })
	supersede("other-kind", "a record that supersedes one of another kind", func(r *forgedRecord) { r.kind = format.KindState })
	supersede("descriptor", "a record that supersedes a descriptor", func(r *forgedRecord) { r.supersedes = 1 })
	o("supersedes-twice", "two records supersede the same", "MMoM", func(f *forge) {
		for i := range 2 {
			r := object(1, "00000000")
			r.supersedes = 3
			f.insert(5+i, r)
		}
		f.records[7].details = endOf(3, 5)
	})
	o("supersedes-other-token", "a record that supersedes one of another token", "MMoo", func(f *forge) {
		f.records[7].supersedes = 3
	})
	o("token-twice", "a token described twice", "MMoM", func(f *forge) {
		f.insert(3, &forgedRecord{token: 1, kind: format.KindToken, name: "again", supersedes: none, details: f.records[1].details, class: format.ClassNone})
	})
	o("token-gap", "token 3 after token 1", "MMoM", func(f *forge) {
		for _, r := range f.records[6:] {
			r.token = 3
		}
	})
	o("token-name-twice", "two tokens of one name", "MMoo", func(f *forge) { f.records[6].name = "one" })
	o("token-late", "an object before its token's descriptor", "MMoM", func(f *forge) {
		f.insert(1, object(1, "early"))
		f.records[6].details = endOf(4, 4)
	})
	o("token-undescribed", "records of a token that nothing describes", "MMoM", func(f *forge) {
		f.drop(6)
	})
	o("after-end", "an object after its token's end", "MMoM", func(f *forge) {
		f.insert(7, object(1, "late"))
	})
	o("end-twice", "a token ends twice", "MMoo", func(f *forge) {
		f.insert(6, &forgedRecord{token: 1, kind: format.KindEndOfToken, supersedes: none, details: endOf(3, 3), class: format.ClassNone})
	})
	o("no-end", "a token without an end", "MMMM", func(f *forge) { f.drop(8) })
	o("end-live", "an end that counts one entry too many that stand", "MMoo", func(f *forge) { f.records[5].details = endOf(4, 3) })
	o("end-all", "an end that counts one record too few", "MMoo", func(f *forge) { f.records[5].details = endOf(3, 2) })
	o("end-tombstone", "an end that counts a tombstone as an entry", "MMoo", func(f *forge) {
		r := object(1, "00000000")
		r.supersedes, r.flags, r.data = 3, format.Vanished, nil
		f.insert(5, r)
		f.records[6].details = endOf(3, 4)
	})
	o("end-long", "an end-of-token record of 18 bytes", "MMoM", func(f *forge) { f.records[5].details = append(endOf(3, 3), 0) })
	o("end-stable", "an end-of-token record that is neither stable nor not", "MMoM", func(f *forge) {
		f.records[5].details = endOf(3, 3)
		f.records[5].details[16] = 2
	})
}

func (m *vectorMaker) hostileFields() {
	fields := func(name, about, classes string, at int, b ...[]byte) {
		m.forged("field-"+name, about, classes, func(f *forge) { f.records[at].details = join(b...) })
	}
	kind := field(1, []byte("memory"))
	fields("archive-critical", "a critical field in the archive's descriptor", "UUoU", 0, field(1, u64(1)), field(5, nil))
	fields("archive-time", "a time of seven bytes", "MMoM", 0, field(1, make([]byte, 7)))
	fields("archive-order", "the archive's fields out of order", "MMoM", 0, field(2, []byte("host")), field(1, u64(1)))
	fields("archive-twice", "the archive's host twice", "MMoM", 0, field(2, []byte("host")), field(2, []byte("host")))
	fields("archive-cut", "a field that runs over the end of the archive's descriptor", "MMoM", 0, []byte{2, 0, 5, 'h'})
	fields("token-critical", "a critical field in a token's descriptor", "UUoU", 1, kind, field(10, nil))
	fields("token-no-kind", "a token without a kind", "MMoM", 1, field(2, []byte("label")))
	fields("token-attributes", "a token's attributes of 19 bytes", "MMoM", 1, kind, field(7, make([]byte, 19)))
	fields("token-attributes-long", "a token's attributes of 21 bytes", "MMoM", 1, kind, field(7, make([]byte, 21)))
	fields("token-mode", "a token's mode of more than twelve bits", "MMoM", 1, kind, field(7, attr(0o10000)))
	fields("token-directory", "a token's directory of the name ..", "MMoM", 1, kind, field(8, append(attr(0o700), ".."...)))
	fields("public-critical", "a critical field in the details of a public object", "UUoU", 3, field(9, nil))
	fields("public-type", "a key type of three bytes", "MMoM", 3, field(1, make([]byte, 3)))
	fields("public-time", "a time of nine bytes", "MMoM", 3, field(7, make([]byte, 9)))
	fields("public-mode", "a mode of more than twelve bits", "MMoM", 3, field(4, u32(0o10000)), field(7, u64(0)))
	fields("public-label-twice", "a label twice", "MMoM", 3, field(2, []byte("a")), field(2, []byte("a")))
	fields("public-finding-short", "a finding of seven bytes", "MMoM", 3, field(8, make([]byte, 7)))
	fields("public-finding-parts", "a finding with one zero byte", "MMoM", 3, field(8, join(u64(0), []byte("kind\x00file"))))
	fields("wrapped-critical", "a critical field inside a wrap", "UooU", 4, field(127, nil))
	fields("wrapped-cut", "a field that runs over the end of the details inside a wrap", "MooM", 4, []byte{2, 0, 9, 'x'})
	fields("wrapped-order", "fields out of order inside a wrap", "MooM", 4, field(7, u64(0)), field(2, []byte("a")))
}

func (m *vectorMaker) hostileIndexes() {
	i := func(name, about, classes string, change func(fr *forgedFrame)) {
		m.forged("index-"+name, about, classes, front(2, 1, 0, change))
	}
	i("token", "an index chunk that says it is of another token", "MMoM", func(fr *forgedFrame) { fr.front[3] = 2 })
	i("after", "a byte after an index chunk's table", "MMoM", func(fr *forgedFrame) { fr.front = append(fr.front, 0) })
	i("cut", "an index chunk of three bytes", "MMoM", func(fr *forgedFrame) { fr.front = fr.front[:3] })
	m.forged("index-differs", "an index chunk gives an object another class than its record", "MMoM", func(f *forge) {
		f.onTable = func(t *forgedTable) {
			if t.kind == 2 && t.number == 1 {
				t.rows[2][27] ^= 7
			}
		}
	})
	m.forged("index-name", "an index chunk gives an object another name than its record", "MMoM", func(f *forge) {
		f.onTable = func(t *forgedTable) {
			if t.kind == 2 && t.number == 1 {
				t.names[len(t.names)-1] = '9'
			}
		}
	})
	m.forged("index-late", "an index chunk after the data frame that follows", "MMoo", func(f *forge) {
		f.onFrames = func(fr []*forgedFrame) []*forgedFrame {
			fr[3], fr[4] = fr[4], fr[3]
			return fr
		}
	})
	m.forged("index-missing", "an archive without the last index chunk", "MMMM", func(f *forge) {
		f.onFrames = func(fr []*forgedFrame) []*forgedFrame { return fr[:5] }
	})
	m.forged("index-missing-inside", "an archive without an index chunk in the middle", "MMoM", func(f *forge) {
		f.onFrames = func(fr []*forgedFrame) []*forgedFrame {
			fr[5].number--
			return append(fr[:3:3], fr[4:]...)
		}
	})
	m.forged("index-extra", "an index chunk more than the records make", "MMoM", func(f *forge) {
		f.onFrames = func(fr []*forgedFrame) []*forgedFrame {
			again := *fr[3]
			again.number, fr[5].number = 2, 3
			return insertFrame(fr, 4, &again)
		}
	})
}

func (m *vectorMaker) hostileDirectories() {
	d := func(name, about, classes string, change func(d *forgedDirectory)) {
		m.forged("directory-"+name, about, classes, func(f *forge) { f.onDirectory = change })
	}
	d("kind", "a directory entry of kind 3", "MMoM", func(d *forgedDirectory) { d.entries[2].kind = 3 })
	d("last", "a directory entry with a last-part flag of 2", "MMoM", func(d *forgedDirectory) { d.entries[2].last = 2 })
	d("reserved", "a directory entry whose reserved bytes are set", "MMoM", func(d *forgedDirectory) { d.entries[2].zero = 1 })
	d("part", "a directory entry with another part", "MMoM", func(d *forgedDirectory) { d.entries[2].part = 2 })
	d("number", "a directory entry with another number", "MMoM", func(d *forgedDirectory) { d.entries[4].number = 2 })
	d("offset", "a directory entry one byte off", "MMoM", func(d *forgedDirectory) { d.entries[2].offset++ })
	d("offset-back", "a directory entry that begins inside the one before", "MMoM", func(d *forgedDirectory) { d.entries[2].offset = 0 })
	d("length", "a directory entry shorter than any frame", "MMoM", func(d *forgedDirectory) { d.entries[2].length = 63 })
	d("length-less", "a directory entry a byte shorter than its frame", "MMoM", func(d *forgedDirectory) { d.entries[2].length-- })
	d("count", "a directory entry with a record fewer, the next with one more", "MMoA", func(d *forgedDirectory) {
		d.entries[2].count--
		d.entries[4].count++
		d.entries[4].first--
	})
	d("count-0", "a directory entry without records", "MMoM", func(d *forgedDirectory) { d.entries[3].count = 0 })
	d("first", "a directory entry that leaves a record out", "MMoM", func(d *forgedDirectory) { d.entries[2].first++ })
	d("data-digest", "another D for a data block", "MMoA", func(d *forgedDirectory) { d.entries[2].d[0] ^= 1 })
	d("index-digest", "another D for an index chunk", "MMoA", func(d *forgedDirectory) { d.entries[3].d[0] ^= 1 })
	d("swapped", "two directory entries changed places", "MMoM", func(d *forgedDirectory) { d.entries[2], d.entries[4] = d.entries[4], d.entries[2] })
	d("missing", "a directory without its last data entry", "MMoM", func(d *forgedDirectory) { d.entries = append(d.entries[:4], d.entries[5]) })
	d("tail-token", "another token in the tail", "MMoo", func(d *forgedDirectory) { d.tails[0].token = 2 })
	d("tail-token-9", "a token in the tail that is not there", "MMoM", func(d *forgedDirectory) { d.tails[2].token = 9 })
	d("tail-count", "another count in the tail", "MMoM", func(d *forgedDirectory) { d.tails[1].count++ })
	d("filter", "a filter that holds nothing", "MMoo", func(d *forgedDirectory) { clear(d.tails[1].filter) })
	d("filter-over", "a filter that runs over the end", "MMoM", func(d *forgedDirectory) { d.tails[2].lenFilter = ptr(^uint32(0)) })
	d("superseded", "a superseded record that no record supersedes", "MMoM", func(d *forgedDirectory) { d.superseded = []uint64{3} })
	d("after", "a byte after the directory", "MMoM", func(d *forgedDirectory) { d.after = []byte{0} })
	p := func(name, about, classes string, change func(p [][]byte) [][]byte) {
		m.forged("directory-"+name, about, classes, func(f *forge) { f.onPieces = change })
	}
	p("none", "no directory block at all", "MMMA", func([][]byte) [][]byte { return nil })
	p("uneven", "a directory in two pieces where one is enough", "MMoM", func(p [][]byte) [][]byte { return [][]byte{p[0][:72], p[0][72:]} })
	p("empty-piece", "an empty directory block after the last", "MMoM", func(p [][]byte) [][]byte { return append(p, []byte{}) })
	p("empty-first", "an empty directory block before the first", "MMoM", func(p [][]byte) [][]byte { return append([][]byte{{}}, p...) })
	p("cut", "a directory block without the directory's last byte", "MMoA", func(p [][]byte) [][]byte { return [][]byte{p[0][:len(p[0])-1]} })
	p("beyond", "a directory block with a byte that R does not cover", "MMoA", func(p [][]byte) [][]byte { return [][]byte{append(bytes.Clone(p[0]), 0)} })
}

func (m *vectorMaker) hostileEnds() {
	e := func(name, about, classes string, change func(e *forgedEnd)) {
		m.forged("end-"+name, about, classes, func(f *forge) { f.onEnd = change })
	}
	e("root", "another R", "AAoA", func(e *forgedEnd) { e.root[0] ^= 1 })
	for i, what := range []string{"data", "index", "records", "tokens", "superseded"} {
		e("count-"+what, "one too many "+map[string]string{
			"data": "data frames", "index": "index frames", "records": "records", "tokens": "tokens", "superseded": "superseded records",
		}[what], "MMoM", func(e *forgedEnd) { e.counts[i]++ })
	}
	e("count-huge", "2^63 data frames and 2^63 index frames", "MMoM", func(e *forgedEnd) { e.counts[0], e.counts[1] = 1<<63, 1<<63 })
	e("proof", "T does not hold", "AooA", func(e *forgedEnd) { e.breakProof = true })
	e("signature-over", "a signature of 16,385 bytes", "MMoM", func(e *forgedEnd) { e.signature = make([]byte, 16<<10+1) })
	e("signature-length", "a signature that runs over the end", "MMoM", func(e *forgedEnd) { e.lenSig = ptr(uint32(16 << 10)) })
	e("after", "a byte after T", "MMoM", func(e *forgedEnd) { e.after = []byte{0} })
	m.forged("end-signature-stripped", "a signature taken out after T was made", "AooA", func(f *forge) {
		f.onEnd = func(e *forgedEnd) { e.signature = []byte("SSHSIG") }
		f.onFront = func(fr *forgedFrame) {
			if fr.kind == 4 {
				fr.front = join(fr.front[:72], u32(0), fr.front[72+4+6:])
			}
		}
	})
	m.forged("end-cut", "an end block without its last byte", "MMoM", front(4, 0, 0, func(fr *forgedFrame) { fr.front = fr.front[:len(fr.front)-1] }))

	z := func(name, about, classes string, change func(t *forgedFooter)) {
		m.forged("footer-"+name, about, classes, func(f *forge) { f.onFooter = change })
	}
	z("magic", "no footer at the end", "TTTT", func(t *forgedFooter) { t.magic = "tokarend" })
	z("checksum", "a footer whose checksum does not hold", "CCCC", func(t *forgedFooter) { t.breakCRC = true })
	z("frames", "a footer with another length of all frames", "MMMM", func(t *forgedFooter) { t.frames-- })
	z("frames-over", "a footer with more frames than there are bytes", "MMMT", func(t *forgedFooter) { t.frames += 1 << 20 })
	z("directory", "a footer with another place of the directory", "MMMC", func(t *forgedFooter) { t.directory++ })
	z("end", "a footer with another place of the end block", "MMMC", func(t *forgedFooter) { t.end++ })
	z("header", "a footer with another length of the header", "MMMM", func(t *forgedFooter) { t.header++ })
	z("contradiction", "a footer whose end block stands before the directory", "CCCC", func(t *forgedFooter) { t.directory, t.end = t.end, t.directory })
}

// hostileCuts are archives that end early, or late.
func (m *vectorMaker) hostileCuts() {
	cut := func(name, about, classes string, change func(s [][]byte) []byte) {
		m.forged("cut-"+name, about, classes, func(f *forge) {
			f.onStored = func(s [][]byte) [][]byte { return [][]byte{change(s)} }
		})
	}
	whole := func(s [][]byte, n int) []byte { return join(s[:n]...) }
	cut("empty", "nothing at all", "NNNT", func(s [][]byte) []byte { return nil })
	cut("magic", "five bytes of magic", "TTTT", func(s [][]byte) []byte { return s[0][:5] })
	cut("header", "half a header", "TTTT", func(s [][]byte) []byte { return s[0][:len(s[0])/2] })
	cut("after-header", "a header and no more", "TTTT", func(s [][]byte) []byte { return s[0] })
	cut("frame-head", "in the head of a frame", "TTTT", func(s [][]byte) []byte { return join(whole(s, 3), s[3][:20]) })
	cut("frame", "in the middle of a frame", "TTTT", func(s [][]byte) []byte { return join(whole(s, 3), s[3][:60]) })
	cut("between-frames", "after a frame", "TTTT", func(s [][]byte) []byte { return whole(s, 4) })
	cut("before-directory", "before the directory", "TTTT", func(s [][]byte) []byte { return whole(s, 7) })
	cut("before-end", "before the end block", "TTTT", func(s [][]byte) []byte { return whole(s, 8) })
	cut("after-end", "after the end block", "TTTT", func(s [][]byte) []byte { return whole(s, 9) })
	cut("copy", "in the copy of the header", "TTTT", func(s [][]byte) []byte { return join(whole(s, 9), s[9][:100]) })
	cut("before-footer", "before the footer", "TTTT", func(s [][]byte) []byte { return whole(s, 10) })
	cut("footer", "without the footer's last byte", "TTTT", func(s [][]byte) []byte { return join(whole(s, 10), s[10][:39]) })
	cut("after", "a zero byte after the footer", "MMMT", func(s [][]byte) []byte { return join(whole(s, 11), []byte{0}) })
	cut("second-archive", "a second archive after the first", "MMMM", func(s [][]byte) []byte { return join(whole(s, 11), whole(s, 11)) })
}
