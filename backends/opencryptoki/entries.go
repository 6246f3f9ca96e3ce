package opencryptoki

import (
	"context"
	"iter"

	"golang.org/x/sys/unix"

	"tokar/backends"
	"tokar/format"
)

// Entries lists the token: state files (NVTOK.DAT, MK_SO, MK_USER, others),
// OBJ.IDX, the objects in its order, objects it does not name, foreign files.
func (t *token) Entries(ctx context.Context) iter.Seq2[backends.Entry, error] {
	return func(yield func(backends.Entry, error) bool) {
		for e := range t.scan.entries() {
			if err := ctx.Err(); err != nil {
				yield(backends.Entry{}, err)
				return
			}
			if !yield(e, nil) {
				return
			}
		}
	}
}

func (s *scan) entries() iter.Seq[backends.Entry] {
	return func(yield func(backends.Entry) bool) {
		for _, e := range s.state {
			if !yield(e) {
				return
			}
		}
		if s.indexEntry != nil && !yield(*s.indexEntry) {
			return
		}
		for _, at := range s.order {
			name := s.index[at : at+objectNameLen : at+objectNameLen]
			o := &object{typ: unix.DT_REG, listed: true}
			if s.irregular {
				o = s.objects.find(name)
			}
			if !yield(s.entry(o, name)) {
				return
			}
		}
		for i := range s.objects {
			if o := &s.objects[i]; !o.listed && !yield(s.entry(o, o.name())) {
				return
			}
		}
		for _, e := range s.foreign {
			if !yield(e) {
				return
			}
		}
	}
}

// entry makes an object's entry; name is kept.
func (s *scan) entry(o *object, name []byte) backends.Entry {
	e := backends.Entry{Kind: format.KindObject, Flags: s.flags(o), Name: name, Place: inObjects}
	if e.Flags&format.Unlisted != 0 {
		e.Findings = []format.Finding{finding(Unlisted, objectPath(name), -1, "OBJ.IDX does not name it: the library does not see it")}
	}
	if e.Flags&format.Refused != 0 {
		e.Findings = append(e.Findings, irregular(objectPath(name), o.typ)...)
	}
	return e
}

// flags are an object's. What an index names that could not be read, nobody
// knows.
func (s *scan) flags(o *object) (f format.Flags) {
	if unread := s.indexEntry != nil && s.indexEntry.Flags&format.Refused != 0; !o.listed && !unread {
		f |= format.Unlisted
	}
	if o.typ != unix.DT_REG {
		f |= format.Refused
	}
	return f
}

func objectPath(name []byte) string { return objectsName + "/" + string(name) }
