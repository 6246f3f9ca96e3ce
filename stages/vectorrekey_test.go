package stages

import (
	"bytes"
	"context"
	"os"
	"path/filepath"

	"tokar/format"
)

// rekeyedVectors are archives whose slots were replaced: rightly, by the code
// that rekey runs, and in ways that leave a trace of the old ones.
func (m *vectorMaker) rekeyedVectors() {
	const keys = "good-rekeyed-before"
	m.archive(keys, "to be rekeyed; good-rekeyed with its older slot section put back is this one, byte for byte",
		newMemory(madeToken("one", 2, 20)), []string{"one"}, archiveOptions(),
		[]string{"restore", "passphrase"}, []string{"verify"}, opens("restore", "verify"))
	before, err := os.ReadFile(filepath.Join(m.dir, keys+".tokar"))
	if err != nil {
		m.t.Fatal(err)
	}
	longer := m.rekey(before, keys, "restore", func(now []format.Slot) []format.Slot {
		return append(now, m.slot(keys, "other", format.RoleRestore), m.slot(keys, "other", format.RoleVerify))
	})
	m.add("good-rekeyed", "rekeyed: generation 1, all slots stay and two came", "oooo", keys, opens("other", "verify"), longer)
	shorter := m.rekey(longer, keys, "other", func(now []format.Slot) []format.Slot { return now[3:4] })
	m.add("good-rekeyed-shorter", "rekeyed again: generation 2, one slot is left", "oKoo", keys, opens("other", "verify"), shorter)
	m.add("slot-rekeyed-dropped", "an identity whose slot was taken out", "KKoK", keys, opens("restore", "verify"), shorter)

	head := func(name, about, classes string, change func(h *forgedHeader, older []byte)) {
		m.forged("header-rekey-"+name, about, classes, func(f *forge) {
			f.onHeader = func(h *forgedHeader) {
				older := h.section()
				h.generation, h.slots = 1, append(h.slots[:1:1], format.Slot{Type: 98, Role: 2, Body: []byte("more")})
				change(h, older)
			}
		})
	}
	head("mt", "M_t is that of the generation before", "AooA", func(h *forgedHeader, older []byte) { h.overMt = older })
	head("mm", "M_m is that of the generation before", "AAoA", func(h *forgedHeader, older []byte) { h.overMm = older })
	head("macs", "both MACs are those of the generation before", "AAoA", func(h *forgedHeader, older []byte) { h.overMt, h.overMm = older, older })
	head("generation", "new slots with their MACs, under the generation before", "AAoA", func(h *forgedHeader, _ []byte) {
		h.overMt = h.section()
		h.overMm = h.overMt
		h.generation = 0
	})

	// A writer that was stopped half-way through one copy and not the other.
	half := func(name, about string, front bool) {
		m.forged(name, about, "MMMM", func(f *forge) {
			change := func(h *forgedHeader) {
				h.generation, h.slots = 1, append(h.slots[:1:1], format.Slot{Type: 98, Role: 2, Body: []byte("more")})
			}
			older := func(h *forgedHeader) { h.generation, h.slots = 0, h.slots[:1] }
			if f.onHeader, f.onCopy = change, older; !front {
				f.onHeader, f.onCopy = nil, change
			}
		})
	}
	half("header-copy-older", "the copy at the end is of the generation before", true)
	half("header-front-older", "the copy at the beginning is of the generation before", false)
	m.forged("footer-header-older", "the footer has the length of the header of the generation before", "MMMM", func(f *forge) {
		f.onHeader = func(h *forgedHeader) {
			h.generation, h.slots = 1, append(h.slots[:1:1], format.Slot{Type: 98, Role: 2, Body: []byte("more")})
		}
		f.onFooter = func(footer *forgedFooter) { footer.header -= 8 + 4 }
	})
}

// rekey replaces an archive's slots.
func (m *vectorMaker) rekey(b []byte, keys, opener string, slots func(now []format.Slot) []format.Slot) []byte {
	v := vector{Name: keys, Keys: keys, Open: opens(opener, opener)}
	file := vectorFile{Identities: vectorIdentities}
	var out bytes.Buffer
	_, err := Rekey(context.Background(), stream(b), &out, RekeyOptions{
		OpenOptions: opening(file.identity(m.t, &v, "restore")),
		Slots: func(_ context.Context, _ *format.Keys, now []format.Slot) ([]format.Slot, error) {
			return slots(now), nil
		},
	})
	if err != nil {
		m.t.Fatal(err)
	}
	return out.Bytes()
}
