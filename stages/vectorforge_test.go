package stages

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"hash/crc32"
	"hash/fnv"
	"slices"

	"tokar/format"
)

// A forge makes archives from docs/FORMAT.md with a hook at every level, and
// seals, MACs and counts everything above the hook as it should be: so that a
// vector breaks one rule and no other. It shares no encoder with package
// format but the compressors.
type forge struct {
	id, tK, mK [32]byte
	codec      format.Codec
	nonce      func(aad []byte) [12]byte

	slots   []format.Slot
	records []*forgedRecord
	parts   []forgedPart // how the records go into data frames

	// Hooks, in the order in which they are called. Each may be nil.
	onHeader    func(*forgedHeader)
	onCopy      func(*forgedHeader) // the end copy, a header of its own then
	onWrap      func([]byte)        // of each part that has one: nonce, payloads, tag
	onTable     func(*forgedTable)  // of each data and index frame
	onFront     func(*forgedFrame)  // front and beside are there
	onFrames    func([]*forgedFrame) []*forgedFrame
	onBody      func(*forgedFrame) // the body is there
	onDirectory func(*forgedDirectory)
	onPieces    func([][]byte) [][]byte // the directory's
	onEnd       func(*forgedEnd)
	onFooter    func(*forgedFooter)
	onStored    func([][]byte) [][]byte // header, frames, header, footer

	core [32]byte
}

func u16(n uint16) []byte { return binary.BigEndian.AppendUint16(nil, n) }
func u32(n uint32) []byte { return binary.BigEndian.AppendUint32(nil, n) }
func u64(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

func join(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

func crc(b []byte) []byte { return u32(crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli))) }

func hmacOf(key []byte, parts ...[]byte) []byte {
	h := hmac.New(sha256.New, key)
	for _, p := range parts {
		h.Write(p)
	}
	return h.Sum(nil)
}

// key derives a working key.
func (f *forge) key(secret [32]byte, purpose string) []byte {
	info := "tokar/1\x00\x00\x01" + string([]byte{byte(len(purpose))}) + purpose
	k, err := hkdf.Key(sha256.New, secret[:], f.id[:], info, 32)
	if err != nil {
		panic(err)
	}
	return k
}

func (f *forge) seal(key, plain, aad []byte) []byte {
	block, err := aes.NewCipher(key)
	if err != nil {
		panic(err)
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		panic(err)
	}
	nonce := f.nonce(aad)
	return gcm.Seal(nonce[:], nonce[:], plain, aad)
}

// forgedHeader is a header before it is encoded.
type forgedHeader struct {
	version, suite uint16
	tK, mK         [32]byte // what the commitments, emK and MACs are made of
	emKInside      [32]byte
	commitT        []byte // nil: as it should be
	commitM        []byte
	extensions     []byte
	generation     uint32
	slots          []format.Slot
	reserved       byte   // of the first slot
	count          uint16 // of slots; 0: as it is
	after          []byte // bytes after the slot section
	breakEmK       bool
	breakMt        bool
	breakMm        bool
	overMt, overMm []byte // what stands under the MACs, if other bytes
	length         uint32 // 0: as it is
	breakCRC       bool
	magic          string
}

func (f *forge) header() *forgedHeader {
	return &forgedHeader{version: 1, suite: 1, tK: f.tK, mK: f.mK, emKInside: f.mK, slots: f.slots, magic: "\x89TOKAR\r\n"}
}

// encode gives the header and its core hash.
func (h *forgedHeader) encode(f *forge) ([]byte, [32]byte) {
	commitT, commitM := h.commitT, h.commitM
	if commitT == nil {
		commitT = f.key(h.tK, "tK commitment")
	}
	if commitM == nil {
		commitM = f.key(h.mK, "mK commitment")
	}
	emK := f.seal(f.key(h.tK, "tK emK"), h.emKInside[:], join([]byte("tokar/1 emK\x00\x00\x01"), f.id[:]))
	if h.breakEmK {
		emK[len(emK)-1] ^= 1
	}
	core := join(u16(h.version), u16(h.suite), f.id[:], emK, commitT, commitM, u16(uint16(len(h.extensions))), h.extensions)
	hash := sha256.Sum256(core)
	section := h.section()
	mt := hmacOf(f.key(h.tK, "tK slot MAC"), []byte("tokar/1 slots\x00"), hash[:], orBytes(h.overMt, section))
	mm := hmacOf(f.key(h.mK, "mK slot MAC"), []byte("tokar/1 slots\x00"), hash[:], orBytes(h.overMm, section))
	if h.breakMt {
		mt[0] ^= 1
	}
	if h.breakMm {
		mm[0] ^= 1
	}
	rest := join(core, section, mt, mm, h.after)
	length := h.length
	if length == 0 {
		length = uint32(8 + 4 + len(rest) + 4)
	}
	b := join([]byte(h.magic), u32(length), rest)
	sum := crc(b)
	if h.breakCRC {
		sum[0] ^= 1
	}
	return join(b, sum), hash
}

// section is generation and slots.
func (h *forgedHeader) section() []byte {
	count := h.count
	if count == 0 {
		count = uint16(len(h.slots))
	}
	section := join(u32(h.generation), u16(count))
	for i, s := range h.slots {
		reserved := byte(0)
		if i == 0 {
			reserved = h.reserved
		}
		section = join(section, u16(uint16(s.Type)), []byte{byte(s.Role), reserved}, u32(uint32(len(s.Body))), s.Body)
	}
	return section
}

func orBytes(b, otherwise []byte) []byte {
	if b == nil {
		return otherwise
	}
	return b
}

// forgedRecord is a record before its wrap and MAC are made.
type forgedRecord struct {
	seq, supersedes uint64
	token           uint32
	kind            format.Kind
	flags           format.Flags
	class           uint32
	name            string
	details         []byte // encoded; goes into metadata, or into the wrap
	data            []byte

	size       *uint32 // lies, where they are not nil
	reserved   uint16
	lenName    *uint16
	lenMeta    *uint32
	lenPayload *uint32
	breakWrap  bool // of its part
	breakMAC   bool
	wrapAs     string // name in the AAD of the wrap, if another

	payload []byte
	mac     []byte
}

func (r *forgedRecord) metadata() []byte {
	if r.flags&format.Wrapped != 0 {
		return nil
	}
	return r.details
}

func or[T any](p *T, v T) T {
	if p != nil {
		return *p
	}
	return v
}

// fixed is the record's fixed header; seq is the difference in tables.
func (r *forgedRecord) fixed(seq uint64, payload int) []byte {
	return join(u64(seq), u64(r.supersedes), u32(r.token), u16(uint16(r.kind)), u16(uint16(r.flags)),
		u32(r.class), u32(or(r.size, uint32(len(r.data)))), u16(or(r.lenName, uint16(len(r.name)))), u16(r.reserved),
		u32(or(r.lenMeta, uint32(len(r.metadata())))), u32(or(r.lenPayload, uint32(payload))))
}

// finish wraps the payloads of a part and makes its MACs; it gives what stands
// beside for the wrapped ones.
func (f *forge) finish(recs []*forgedRecord) (wrap []byte) {
	var wrapped []*forgedRecord
	var plain []byte
	aad := f.id[:]
	broken := byte(0)
	for _, r := range recs {
		r.payload = r.data
		if r.flags&format.Wrapped == 0 {
			continue
		}
		wrapped = append(wrapped, r)
		r.payload = join(r.details, r.data) // for its length
		plain = join(plain, r.payload)
		name := r.name
		if r.wrapAs != "" {
			name = r.wrapAs
		}
		aad = join(aad, r.fixed(r.seq, len(r.payload)), []byte(name))
		if r.breakWrap {
			broken = 1
		}
	}
	if len(wrapped) > 0 {
		wrap = f.seal(f.key(f.tK, "tK payload"), plain, aad)
		wrap[len(wrap)-1] ^= broken
		if f.onWrap != nil {
			f.onWrap(wrap)
		}
	}
	at := 12
	for _, r := range wrapped {
		r.payload, at = wrap[at:at+len(r.payload)], at+len(r.payload)
	}
	for _, r := range recs {
		r.mac = hmacOf(f.key(f.mK, "mK record MAC"), r.fixed(r.seq, len(r.payload)), []byte(r.name), r.metadata(), r.payload)
		if r.breakMAC {
			r.mac[0] ^= 1
		}
	}
	return wrap
}

// otherNonce makes of the wrap of a part's only wrapped record another one with
// the same ciphertext, which opens to other bytes: a holder of tK can.
func (f *forge) otherNonce(fr *forgedFrame) {
	r := fr.recs[slices.IndexFunc(fr.recs, func(r *forgedRecord) bool { return r.flags&format.Wrapped != 0 })]
	aad := join(f.id[:], r.fixed(r.seq, len(r.payload)), []byte(r.name))
	fixed := f.nonce
	f.nonce = func([]byte) [12]byte { return [12]byte{1} }
	defer func() { f.nonce = fixed }()
	stream := f.seal(f.key(f.tK, "tK payload"), make([]byte, len(r.payload)), aad)[12:]
	other := make([]byte, len(r.payload))
	subtle.XORBytes(other, r.payload, stream)
	wrap := f.seal(f.key(f.tK, "tK payload"), other, aad)
	if !bytes.Equal(wrap[12:len(wrap)-16], r.payload) {
		panic("another ciphertext")
	}
	fr.beside = join(wrap, fr.beside[len(wrap):])
}

// forgedPart is one data frame: how many records it takes.
type forgedPart struct {
	records int
	last    bool
}

// forgedFrame is a frame before it is sealed.
type forgedFrame struct {
	kind, last byte
	zero       uint16
	number     uint64
	part       uint32
	recs       []*forgedRecord // of a data frame; of a chunk those it lists
	token      uint32          // of a chunk
	filter     []byte

	front, beside []byte
	proof         []byte // what D of a data frame is made of
	codec         format.Codec
	packed        []byte // nil: front, packed
	declared      *uint32
	reserved      byte
	body          []byte
	after         []byte // of the body

	aad     []byte // nil: as it should be
	length  *uint32
	archive []byte // nil: as it should be
	sealed  []byte // what stands instead of the seal
	raw     []byte
}

// forgedTable is a table before it is encoded.
type forgedTable struct {
	kind            byte
	number          uint64
	part            uint32
	count           uint32
	rows            [][]byte
	names, metadata []byte // names are transposed
	lenNames        *uint32
	lenMetadata     *uint32
	after           []byte // after the whole front
}

func (f *forge) table(fr *forgedFrame) *forgedTable {
	t := &forgedTable{kind: fr.kind, number: fr.number, part: fr.part, count: uint32(len(fr.recs))}
	last := uint64(0)
	for _, r := range fr.recs {
		row := r.fixed(r.seq-last, len(r.payload))
		binary.BigEndian.PutUint32(row[40:], binary.BigEndian.Uint32(row[40:])-binary.BigEndian.Uint32(row[28:]))
		t.rows = append(t.rows, row)
		last = r.seq
		t.metadata = append(t.metadata, r.metadata()...)
	}
	for i, more := 0, true; more; i++ {
		more = false
		for _, r := range fr.recs {
			if i < len(r.name) {
				t.names, more = append(t.names, r.name[i]), true
			}
		}
	}
	if f.onTable != nil {
		f.onTable(t)
	}
	return t
}

func (t *forgedTable) encode() []byte {
	b := join(u32(t.count), u32(or(t.lenNames, uint32(len(t.names)))), u32(or(t.lenMetadata, uint32(len(t.metadata)))))
	for i := range 44 {
		for _, row := range t.rows {
			b = append(b, row[i])
		}
	}
	return join(b, t.names, t.metadata)
}

func (f *forge) dataFront(fr *forgedFrame) {
	t := f.table(fr)
	fr.front = t.encode()
	for _, r := range fr.recs {
		if r.flags&format.Wrapped == 0 {
			fr.front = append(fr.front, r.payload...)
		}
	}
	fr.front = append(fr.front, t.after...)
	if wrap := fr.beside; len(wrap) > 0 {
		fr.proof = join(wrap[:12], wrap[len(wrap)-16:])
	}
	for _, r := range fr.recs {
		fr.beside = append(fr.beside, r.mac...)
		fr.proof = append(fr.proof, r.mac...)
	}
}

func (f *forge) chunkFront(fr *forgedFrame) {
	t := f.table(fr)
	fr.front = join(u32(fr.token), t.encode(), t.after)
	tokenName := ""
	for _, r := range f.records {
		if r.token == fr.token && r.kind == format.KindToken {
			tokenName = r.name
			break
		}
	}
	fr.filter = make([]byte, (10*len(fr.recs)+7)/8)
	for _, r := range fr.recs {
		h := fnv.New64a()
		h.Write(join([]byte(tokenName), []byte{0, 0}, []byte(r.name)))
		sum := h.Sum64()
		for i := range uint64(7) {
			bit := (sum&0xffffffff + i*(sum>>32|1)) % uint64(8*len(fr.filter))
			fr.filter[bit/8] |= 1 << (bit % 8)
		}
	}
}

// frames cuts records into data frames and puts index chunks behind them.
func (f *forge) frames() []*forgedFrame {
	var all []*forgedFrame
	open := map[uint32][]*forgedRecord{}
	size := map[uint32]int{}
	rest := f.records
	number, part, chunks := uint64(0), uint32(0), uint64(0)
	for _, p := range f.parts {
		fr := &forgedFrame{kind: 1, number: number, part: part, recs: rest[:p.records], codec: f.codec}
		part++
		if p.last {
			fr.last, part = 1, 0
			number++
		}
		rest = rest[p.records:]
		fr.beside = f.finish(fr.recs)
		f.dataFront(fr)
		all = append(all, fr)
		for _, r := range fr.recs {
			open[r.token] = append(open[r.token], r)
			size[r.token] += len(r.name) + len(r.metadata())
			if r.kind != format.KindArchive && r.kind != format.KindEndOfToken && len(open[r.token]) < 4096 && size[r.token] < 256<<10 {
				continue
			}
			c := &forgedFrame{kind: 2, last: 1, number: chunks, token: r.token, recs: open[r.token], codec: f.codec}
			chunks++
			open[r.token], size[r.token] = nil, 0
			f.chunkFront(c)
			all = append(all, c)
		}
	}
	return all
}

// pack makes a frame's body.
func (f *forge) pack(fr *forgedFrame) {
	if f.onFront != nil {
		f.onFront(fr)
	}
	if fr.packed == nil {
		c := format.Compressor{Codec: fr.codec}
		b, err := c.AppendBody(nil, fr.front, nil)
		if err != nil {
			panic(err)
		}
		fr.codec, fr.packed = format.Codec(b[0]), b[16:]
	}
	fr.body = join([]byte{byte(fr.codec), fr.reserved, 0, 0}, u32(or(fr.declared, uint32(len(fr.front)))),
		u32(uint32(len(fr.packed))), u32(uint32(len(fr.beside))), fr.packed, fr.beside, fr.after)
	if f.onBody != nil {
		f.onBody(fr)
	}
}

// store seals a frame.
func (f *forge) store(fr *forgedFrame) {
	aad := fr.aad
	if aad == nil {
		aad = f.aad(fr)
	}
	sealed := fr.sealed
	if sealed == nil {
		sealed = f.seal(f.key(f.mK, "mK seal"), fr.body, aad)
	}
	archive := fr.archive
	if archive == nil {
		archive = f.id[:8]
	}
	b := join([]byte("\xf7TKB"), archive, []byte{fr.kind, fr.last}, u16(fr.zero), u64(fr.number), u32(fr.part),
		u32(or(fr.length, uint32(len(sealed)-12))), sealed)
	fr.raw = join(b, crc(b))
}

func (f *forge) aad(fr *forgedFrame) []byte {
	return join(f.core[:], []byte{fr.kind}, u64(fr.number), u32(fr.part), []byte{fr.last})
}

// forgedDirectory is the directory before it is encoded.
type forgedDirectory struct {
	entries    []forgedEntry
	tails      []forgedTail
	superseded []uint64
	after      []byte
}

type forgedEntry struct {
	kind, last byte
	zero       uint16
	part       uint32
	number     uint64
	offset     uint64
	length     uint32
	count      uint32
	first      uint64
	d          [32]byte
}

type forgedTail struct {
	token, count uint32
	lenFilter    *uint32
	filter       []byte
}

func (d *forgedDirectory) encode() []byte {
	var b []byte
	for _, e := range d.entries {
		b = append(b, join([]byte{e.kind, e.last}, u16(e.zero), u32(e.part), u64(e.number), u64(e.offset), u32(e.length), u32(e.count), u64(e.first), e.d[:])...)
	}
	for _, t := range d.tails {
		b = join(b, u32(t.token), u32(t.count), u32(or(t.lenFilter, uint32(len(t.filter)))), t.filter)
	}
	for _, s := range d.superseded {
		b = append(b, u64(s)...)
	}
	return append(b, d.after...)
}

// forgedEnd is the end block before T is made.
type forgedEnd struct {
	counts     [5]uint64
	root       [32]byte
	signature  []byte
	sign       func(m []byte) []byte // makes it
	lenSig     *uint32
	breakProof bool
	after      []byte
}

func (e *forgedEnd) encode(f *forge) []byte {
	var counts []byte
	for _, n := range e.counts {
		counts = append(counts, u64(n)...)
	}
	m := join([]byte("tokar/1 end\x00\x00\x01"), f.core[:], counts, e.root[:])
	if e.sign != nil {
		e.signature = e.sign(m)
	}
	sig := join(u32(or(e.lenSig, uint32(len(e.signature)))), e.signature)
	t := hmacOf(f.key(f.tK, "tK restore proof"), m, sig)
	if e.breakProof {
		t[0] ^= 1
	}
	return join(counts, e.root[:], sig, t, e.after)
}

type forgedFooter struct {
	magic                  string
	frames, directory, end uint64
	header                 uint32
	breakCRC               bool
}

func (t *forgedFooter) encode() []byte {
	b := join([]byte(t.magic), u64(t.frames), u64(t.directory), u64(t.end), u32(t.header))
	sum := crc(b)
	if t.breakCRC {
		sum[0] ^= 1
	}
	return join(b, sum)
}

// build makes the archive.
func (f *forge) build() []byte {
	h := f.header()
	if f.onHeader != nil {
		f.onHeader(h)
	}
	var head []byte
	head, f.core = h.encode(f)
	stored := [][]byte{head}

	frames := f.frames()
	for _, fr := range frames {
		f.pack(fr)
	}
	if f.onFrames != nil {
		frames = f.onFrames(frames)
	}
	dir := &forgedDirectory{}
	end := &forgedEnd{}
	foot := &forgedFooter{magic: "tokarEND"}
	put := func(fr *forgedFrame) {
		if fr.body == nil {
			f.pack(fr)
		}
		f.store(fr)
		stored = append(stored, fr.raw)
		foot.frames += uint64(len(fr.raw))
	}
	for _, fr := range frames {
		e := forgedEntry{kind: fr.kind, last: fr.last, part: fr.part, number: fr.number, offset: foot.frames, count: uint32(len(fr.recs))}
		put(fr)
		e.length = uint32(len(fr.raw))
		if len(fr.recs) == 0 {
			continue // passed over
		}
		e.first = fr.recs[0].seq
		if fr.kind == 2 {
			e.d = sha256.Sum256(fr.front)
			end.counts[1]++
			dir.tails = append(dir.tails, forgedTail{token: fr.token, count: e.count, filter: fr.filter})
		} else {
			for _, r := range fr.recs {
				end.counts[2]++
				if r.kind == format.KindToken {
					end.counts[3]++
				}
				if r.supersedes != format.NoSeq {
					end.counts[4]++
					dir.superseded = append(dir.superseded, r.supersedes)
				}
			}
			e.d = sha256.Sum256(fr.proof)
			end.counts[0]++
		}
		dir.entries = append(dir.entries, e)
	}
	if f.onDirectory != nil {
		f.onDirectory(dir)
	}
	whole := dir.encode()
	end.root = sha256.Sum256(join([]byte("tokar/1 R\x00"), whole))
	foot.directory = foot.frames
	pieces := [][]byte{}
	for rest := whole; len(rest) > 0; {
		n := min(len(rest), 256<<10)
		pieces, rest = append(pieces, rest[:n]), rest[n:]
	}
	if f.onPieces != nil {
		pieces = f.onPieces(pieces)
	}
	for i, p := range pieces {
		put(&forgedFrame{kind: 3, last: 1, number: uint64(i), front: p, codec: f.codec})
	}
	foot.end = foot.frames
	if f.onEnd != nil {
		f.onEnd(end)
	}
	put(&forgedFrame{kind: 4, last: 1, front: end.encode(f), codec: f.codec})

	again := head
	if f.onCopy != nil {
		c := f.header()
		f.onCopy(c)
		again, _ = c.encode(f)
	}
	foot.header = uint32(len(again))
	if f.onFooter != nil {
		f.onFooter(foot)
	}
	stored = append(stored, again, foot.encode())
	if f.onStored != nil {
		stored = f.onStored(stored)
	}
	return join(stored...)
}
