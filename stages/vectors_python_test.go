package stages

import (
	"bytes"
	"crypto"
	"crypto/elliptic"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tokar/format"
)

// TestVectorsPython lets the independent reader judge every vector: it was
// written from docs/FORMAT.md and shares nothing with this program, so where
// both agree the document says what the bytes are.
func TestVectorsPython(t *testing.T) {
	needPython(t)
	judgePython(t, vectorDir)
}

// needPython skips without Debian's python3 and the two packages; another
// python3 may be first on PATH.
func needPython(t *testing.T) {
	t.Helper()
	if err := exec.Command(python, "-c", "import cryptography, zstandard").Run(); err != nil {
		t.Skip("needs python3-cryptography, python3-zstandard (testdata/peers/peers.sh names the packages)")
	}
}

const python = "/usr/bin/python3"

func judgePython(t *testing.T, dir string) {
	t.Helper()
	out, err := exec.Command(python, "-B", vectorDir+"/reader.py", "judge", dir).CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Error(err)
	}
}

// TestLargeVectors makes those vectors that are too large to keep, and lets
// both readers judge them: a directory of more than one piece, chunks closed by
// their number of records, slots as large as they may be.
func TestLargeVectors(t *testing.T) {
	if testing.Short() {
		t.Skip("large")
	}
	m := &vectorMaker{t: t, dir: t.TempDir(), file: vectorFile{Identities: vectorIdentities, Keys: map[string]vectorKeys{}}}
	const more = 14_600
	many := func(f *forge) {
		recs, end := f.records[:5:5], f.records[5]
		f.parts = []forgedPart{{4, false}}
		for i := range more {
			recs = append(recs, object(1, fmt.Sprintf("1%07d", i)))
			f.parts = append(f.parts, forgedPart{1, i%100 == 99})
		}
		f.parts[more].last = true
		f.parts = append(f.parts, forgedPart{5, true})
		f.records = append(append(recs, end), f.records[6:]...)
		for i, r := range f.records {
			r.seq = uint64(i)
		}
		end.details = endOf(3+more, 3+more)
	}
	pieces := func(change func(p [][]byte) [][]byte) func(f *forge) {
		return func(f *forge) {
			many(f)
			f.onPieces = change
		}
	}
	m.forged("many", "14,609 records, nearly each a frame: five chunks, a directory in five pieces", "oooo", many)
	m.forged("many-uneven", "the first piece of the directory is a byte too short", "MMoM", pieces(func(p [][]byte) [][]byte {
		whole := bytes.Join(p, nil)
		return [][]byte{whole[:256<<10-1], whole[256<<10-1:]}
	}))
	m.forged("many-joined", "a piece of the directory of more than 256 KiB", "MMoM", pieces(func(p [][]byte) [][]byte { return [][]byte{bytes.Join(p, nil)} }))
	slot := func(n int) func(f *forge) {
		return func(f *forge) { f.slots = []format.Slot{{Type: 99, Role: 1, Body: make([]byte, n)}} }
	}
	m.forged("slot-largest", "a slot of 65,536 bytes", "oooo", slot(64<<10))
	m.forged("slot-larger", "a slot of 65,537 bytes", "MMMM", slot(64<<10+1))
	m.close()
	for _, v := range m.file.Vectors {
		b := readVector(t, m.dir, v.Name)
		if got, _ := m.file.ways(t, &v, b, 3); got != v.Expect {
			t.Errorf("%s: %s\n got %+v\nwant %+v", v.Name, v.About, got, v.Expect)
		}
		t.Logf("%s: %d bytes", v.Name, len(b))
	}
	needPython(t)
	judgePython(t, m.dir)
}

// TestReadersAgree changes bytes at every level of a sound archive, seals what
// is above, and wants both readers to take or refuse the same ones, in every
// way. Which class it is may depend on which of two broken rules is seen first.
func TestReadersAgree(t *testing.T) {
	needPython(t)
	const mutants = 400 // 6,000 agreed when this was written
	m := &vectorMaker{t: t, dir: t.TempDir(), file: vectorFile{Identities: vectorIdentities, Keys: map[string]vectorKeys{}}}
	random := rand.New(rand.NewPCG(1, 2))
	for i := range mutants {
		f := m.forge()
		if i%2 > 0 {
			withNamesListsLabel(f)
		}
		change(random, f)
		b := f.build()
		v := vector{Name: fmt.Sprint("mutant-", i), About: "mutant", Keys: "hostile"}
		m.file.Keys["hostile"] = hostileKeys()
		got, lines := m.file.ways(t, &v, b, 1)
		for _, class := range []*string{&got.Stream, &got.Verifier, &got.Keyless, &got.Index} {
			if *class != "ok" {
				*class = "refused"
			}
		}
		v.Expect = got
		m.file.Vectors = append(m.file.Vectors, v)
		write(t, m.dir, v.Name+".tokar", b)
		if got.Stream == "ok" {
			write(t, m.dir, v.Name+".list", []byte(strings.Join(lines, "\n")+"\n"))
		}
	}
	m.close()
	judgePython(t, m.dir)
}

func hostileKeys() vectorKeys {
	_, tK, mK, _ := fixedKeys("hostile")
	return vectorKeys{hex.EncodeToString(tK[:]), hex.EncodeToString(mK[:])}
}

func write(t *testing.T, dir, name string, b []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// change sets a hook that changes one place.
func change(random *rand.Rand, f *forge) {
	mangle := func(b []byte) []byte {
		if len(b) == 0 {
			return []byte{byte(random.Uint32())}
		}
		b = bytes.Clone(b)
		at := random.IntN(len(b))
		switch random.IntN(6) {
		case 0:
			b[at] ^= 1 << random.IntN(8)
		case 1:
			b[at] = byte(random.Uint32())
		case 2:
			b[at]++
		case 3:
			b = append(b[:at], b[at+1:]...)
		case 4:
			b = slices.Insert(b, at, byte(random.IntN(3)))
		case 5:
			b = b[:at]
		}
		return b
	}
	frame := random.IntN(6)
	onFrame := func(use func(fr *forgedFrame)) func(*forgedFrame) {
		n := 0
		return func(fr *forgedFrame) {
			if n++; n == frame+1 {
				use(fr)
			}
		}
	}
	r := f.records[random.IntN(len(f.records))]
	switch random.IntN(12) {
	case 0:
		f.onFront = onFrame(func(fr *forgedFrame) { fr.front = mangle(fr.front) })
	case 1:
		f.onFront = onFrame(func(fr *forgedFrame) { fr.beside = mangle(fr.beside) })
	case 2:
		f.codec = format.CodecNone // decoders differ in what they say to zstd's reserved bits
		f.onBody = onFrame(func(fr *forgedFrame) { fr.body = mangle(fr.body) })
	case 3:
		r.details = mangle(r.details)
	case 4:
		r.name = string(mangle([]byte(r.name)))
	case 5:
		r.flags ^= 1 << random.IntN(7)
	case 6:
		r.kind = format.Kind(random.IntN(9))
		if random.IntN(4) == 0 {
			r.kind |= 0x8000
		}
	case 7:
		r.token, r.supersedes = uint32(random.IntN(3)), []uint64{none, 0, 3, 4, 5}[random.IntN(5)]
	case 8:
		f.onTable = func(t *forgedTable) {
			if random.IntN(3) == 0 {
				row := t.rows[random.IntN(len(t.rows))]
				row[random.IntN(len(row))] ^= 1 << random.IntN(8)
			}
		}
	case 9:
		f.onPieces = func(p [][]byte) [][]byte { return [][]byte{mangle(p[0])} }
	case 11:
		signers := []forgedSigner{forgedEd25519("alice"), forgedSK(1), forgedSKECDSA(1),
			forgedECDSA(elliptic.P384(), "nistp384", crypto.SHA384), forgedRSA("rsa2048.pem", "rsa-sha2-256", crypto.SHA256)}
		s := forgedSSHSIG{forgedSigner: signers[random.IntN(len(signers))]}
		f.onEnd = func(e *forgedEnd) { e.sign = func(m []byte) []byte { return mangle(s.over(m)) } }
	case 10:
		f.onDirectory = func(d *forgedDirectory) {
			e := &d.entries[random.IntN(len(d.entries))]
			for _, n := range []*uint32{&e.part, &e.length, &e.count, &d.tails[0].token, &d.tails[1].count} {
				if random.IntN(4) == 0 {
					*n += uint32(random.IntN(3)) - 1
				}
			}
			if random.IntN(3) == 0 {
				e.offset, e.number = e.offset+uint64(random.IntN(3))-1, e.number+uint64(random.IntN(3))-1
			}
		}
	}
}
