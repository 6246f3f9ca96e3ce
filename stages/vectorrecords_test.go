package stages

import (
	"bytes"
	"encoding/binary"
	"strings"

	"github.com/ulikunitz/xz"
	"tokar/format"
)

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
	wrap := func(name, about, classes string, change func(wrap []byte) []byte) {
		m.forged("table-wrap-"+name, about, classes, func(f *forge) {
			f.parts = []forgedPart{{2, false}, {4, true}, {3, true}} // nothing of the first is wrapped
			f.onFront = func(fr *forgedFrame) {
				if at := len(fr.beside) - 32*len(fr.recs); fr.kind == 1 && fr.number == 0 && (at > 0) == (name != "of-none") {
					fr.beside = join(change(fr.beside[:at:at]), fr.beside[at:])
				}
			}
		})
	}
	wrap("missing", "wrapped payloads without nonce and tag", "MMoM", func(wrap []byte) []byte { return wrap[12 : len(wrap)-16] })
	wrap("short", "a wrap whose tag has a byte too few", "MMoM", func(wrap []byte) []byte { return wrap[:len(wrap)-1] })
	wrap("long", "a wrap whose tag has a byte too many", "MMoM", func(wrap []byte) []byte { return append(wrap, 0) })
	wrap("of-none", "a wrap where nothing is wrapped", "MMoo", func([]byte) []byte { return make([]byte, 28) })
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
	m.forged("record-wraps-swapped", "two wrapped payloads changed places, with MACs that fit", "AooA", func(f *forge) {
		f.records[2].data, f.records[2].flags = []byte("private"), f.records[2].flags|format.Private
		f.onWrap = func(wrap []byte) {
			if len(wrap) == 12+7+len(f.records[4].details)+7+16 {
				copy(wrap[12:], join(wrap[19:len(wrap)-16], wrap[12:19]))
			}
		}
		f.parts = []forgedPart{{6, true}, {3, true}}
	})
	m.forged("record-names-lie", "the lengths of two names lie, and their sum does not: both are other names", "AAoA", func(f *forge) {
		f.records[2].lenName, f.records[3].lenName = ptr(uint16(8)), ptr(uint16(9))
	})
	m.forged("record-wrap-nonce", "a wrap under another nonce, whose tag fits: the same MACs, and other bytes", "MMoA", func(f *forge) {
		f.onFront = func(fr *forgedFrame) {
			if fr.kind == 1 && fr.number == 1 {
				f.otherNonce(fr)
			}
		}
	})
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
	fields("token-attributes", "a token's attributes without their last byte", "MMoM", 1, kind, field(7, make([]byte, 27)))
	fields("token-attributes-long", "a byte after a token's attributes", "MMoM", 1, kind, field(7, make([]byte, 29)))
	fields("token-inherit", "a default access control list of files", "MMoM", 1, kind, field(7, fullAttr(0o600, "", "", "", aclOf("", ""), "")))
	fields("token-owner", "an owner's name of 129 bytes", "MMoM", 1, kind, field(7, fullAttr(0o600, strings.Repeat("n", 129), "", "", "", "")))
	fields("token-label", "a label of 4,097 bytes", "MMoM", 1, kind, field(8, fullAttr(0o700, "", "", "", "", strings.Repeat("l", 4097))))
	fields("token-mode", "a token's mode of more than twelve bits", "MMoM", 1, kind, field(7, attr(0o10000)))
	fields("token-directory", "a token's directory of the name ..", "MMoM", 1, kind, field(8, append(attr(0o700), ".."...)))
	fields("public-critical", "a critical field in the details of a public object", "UUoU", 3, field(13, nil))
	fields("public-group", "a group's name with a zero byte", "MMoM", 3, field(10, []byte("a\x00")))
	fields("public-label", "a label with a zero byte", "MMoM", 3, field(12, []byte("a\x00")))
	acl := func(name, about string, list string) {
		fields("acl-"+name, about, "MMoM", 3, field(11, []byte(list)))
	}
	acl("cut", "an access control list without its last byte", aclOf("", "")[:35])
	acl("tag", "an entry of a tag that nobody knows", aclOf("", "")+ace(64, 0, format.NoID, ""))
	acl("perm", "permissions of more than three bits", aclOf(ace(2, 8, 1, ""), ""))
	acl("order", "users out of order", aclOf(ace(2, 4, 2, "")+ace(2, 4, 1, ""), ""))
	acl("twice", "a group twice", aclOf("", ace(8, 4, 2, "a")+ace(8, 4, 2, "b")))
	acl("number", "a user who is nobody", aclOf(ace(2, 4, format.NoID, ""), ""))
	acl("owner-number", "a number for the owner", ace(1, 6, 0, "")+aclOf("", "")[9:])
	acl("name", "a name for everybody else", aclOf("", "")[:27]+ace(32, 0, format.NoID, "x"))
	acl("missing", "no entry for everybody else", aclOf("", "")[:27])
	acl("no-mask", "a user and no mask", aclOf(ace(2, 4, 1, ""), "")[:27]+ace(32, 0, format.NoID, ""))
	acl("mode", "a list that says what the mode says", aclOf("", "")[:18]+ace(32, 0, format.NoID, ""))
	many := ""
	for i := range uint32(125) {
		many += ace(2, 0, i, "")
	}
	acl("long", "129 entries", aclOf(many, ""))
	fields("wrapped-acl", "an access control list out of order inside a wrap", "MooM", 4, field(11, []byte(aclOf("", "")+aclOf("", "")[:9])))
	fields("public-type", "a key type of three bytes", "MMoM", 3, field(1, make([]byte, 3)))
	fields("public-time", "a time of nine bytes", "MMoM", 3, field(7, bytes.Repeat([]byte{1}, 9)))
	fields("public-time-zero", "a time of 0 in one byte", "MMoM", 3, field(7, []byte{0}))
	fields("public-time-padded", "a time with a byte 0 too much", "MMoM", 3, field(7, []byte{0, 127}))
	fields("public-time-padded-below", "a time below the default with a byte FF too much", "MMoM", 3, field(7, []byte{255, 128}))
	fields("public-mode", "a mode of more than twelve bits", "MMoM", 3, field(4, u32(0o10000)), field(7, nil))
	fields("public-label-twice", "a label twice", "MMoM", 3, field(2, []byte("a")), field(2, []byte("a")))
	fields("public-finding-short", "a finding of seven bytes", "MMoM", 3, field(8, make([]byte, 7)))
	fields("public-finding-parts", "a finding with one zero byte", "MMoM", 3, field(8, join(u64(0), []byte("kind\x00file"))))
	fields("wrapped-critical", "a critical field inside a wrap", "UooU", 4, field(127, nil))
	fields("wrapped-cut", "a field that runs over the end of the details inside a wrap", "MooM", 4, []byte{2, 0, 9, 'x'})
	fields("wrapped-order", "fields out of order inside a wrap", "MooM", 4, field(7, nil), field(2, []byte("a")))
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
