package opencryptoki

import (
	"slices"

	"tokar/backends/opencryptoki/tokendata"
	"tokar/format"
	"tokar/format/cryptoki"
)

// opensNot are the kinds of findings that say of a private object that it does
// not decrypt.
var opensNot = []string{Unopenable, Header, PrivateFlag, Name, Length, ByteOrder}

// Hides says whether the library stops at an object when it loads private ones
// at a login: those that follow in OBJ.IDX are then hidden, without a word. It
// does where the object's file is long enough to be read and does not decrypt;
// one that is too short for its length field it drops alone (object_mgr.c and
// loadsave.c; seen on 3.8.1 and the head after 3.27.0).
func (Backend) Hides(t *format.Token, r *format.Record) bool {
	b := r.Data
	if r.Kind != format.KindObject || r.Absent() || r.Flags&format.Unlisted != 0 || len(b) < tokendata.OldHeader || b[tokendata.AtPrivate] == 0 {
		return false
	}
	damaged := func(f format.Finding) bool { return slices.Contains(opensNot, f.Kind) }
	if !slices.ContainsFunc(r.Details.Findings, damaged) {
		return false
	}
	size := uint64(len(b))
	if t.Property(propFormat) == tokendata.New {
		if size < tokendata.NewPrivateHeader {
			return false
		}
		n := uint64(cryptoki.BigEndian.Uint32(b[tokendata.AtPrivateLength:]))
		return n > 0 && n < 1<<31 && n+tokendata.NewPrivateHeader+tokendata.NewTag <= size
	}
	order := cryptoki.LittleEndian
	if t.Property(propByteOrder) == cryptoki.BigEndian.String() {
		order = cryptoki.BigEndian
	}
	n := uint64(order.Uint32(b))
	return n > tokendata.OldHeader && n <= size
}
