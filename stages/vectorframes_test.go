package stages

import (
	"bytes"
	"context"
	"encoding/binary"

	"filippo.io/age"
	"tokar/format"
	"tokar/format/keyslot"
)

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
