package opencryptoki

import (
	"bytes"

	"golang.org/x/sys/unix"

	"tokar/format"
)

// order gathers what an index made anew would hold: 9 bytes an object.
type order struct {
	index []byte          // names of the objects that OBJ.IDX listed, as they came
	out   map[string]bool // listed, and left out
	came  []uint64        // names of all objects that came, where others stand

	others  map[string]bool // of the token that stands there, which have not come; no objects
	lacking map[string]bool // files of the PIN state that are in the archive and left out
	given   []byte          // OBJ.IDX itself, where a dry run has no file of it
	nvtok   bool            // NVTOK.DAT came
	ofTPM   map[string]bool // root keys of a TPM token, by CKA_ID, and PEM files that came

	attrs map[string]format.Attr // of the PIN state's files, where a token is mended
}

// Order tells which entries came and which were left out.
func (s *staging) Order(r *format.Record, left bool) error {
	if s.same != nil {
		s.same.Learn(r)
	}
	o := &s.order
	if r.Kind == format.KindState && r.Name.String() == nvtokName {
		o.nvtok = !left
	}
	if r.Kind == format.KindState && s.live != nil {
		o.state(r, left)
	}
	if !left {
		o.rootKey(r)
	}
	mends := s.merge != nil && s.merge.mend != nil
	if r.Kind == format.KindState && mends && len(o.attrs) < maxStateFiles {
		if o.attrs == nil {
			o.attrs = map[string]format.Attr{}
		}
		o.attrs[r.Name.String()] = s.attr(r)
	}
	if r.Kind == format.KindForeign && !left {
		delete(o.others, r.Name.String())
	}
	if r.Kind == format.KindIndex && !left && s.o.DryRun {
		o.given = bytes.Clone(r.Data)
	}
	if r.Kind != format.KindObject || !isObjectName(r.Name) {
		return nil
	}
	if s.live != nil && !left && !mends && !s.o.Into {
		o.came = append(o.came, objectKey(r.Name))
	}
	if r.Flags&format.Unlisted != 0 {
		return nil
	}
	if s.merge != nil {
		left = false // in the archive's order, wanted or not
	}
	name := string(r.Name)
	again := r.Supersedes != format.NoSeq
	switch {
	case left && again && r.Flags&format.Vanished == 0:
		// what came first stays
	case left:
		if o.out == nil {
			o.out = map[string]bool{}
		}
		o.out[name] = true
	case !again || o.out[name]:
		delete(o.out, name)
		o.index = append(append(o.index, name...), '\n')
	}
	return nil
}

// rootKey notes what a TPM token needs to be taken by another TPM.
func (o *order) rootKey(r *format.Record) {
	for _, h := range hierarchies {
		is := r.Kind == format.KindState && string(baseName(r.Name)) == h.pem
		if name := h.pem; is || r.Kind == format.KindObject && string(r.Details.ID) == h.root {
			if !is {
				name = h.root
			}
			o.hasTPM(name)
		}
	}
}

func (o *order) hasTPM(name string) {
	if o.ofTPM == nil {
		o.ofTPM = map[string]bool{}
	}
	o.ofTPM[name] = true
}

// state notes a file of the PIN state that does not come. (What a TPM token has
// beside NVTOK.DAT may well be kept off the disk.)
func (o *order) state(r *format.Record, left bool) {
	switch name := r.Name.String(); {
	case name != nvtokName && name != soKeyName && name != userKeyName:
	case !left || r.Flags&format.Vanished != 0:
		delete(o.lacking, name)
	case r.Supersedes == format.NoSeq: // else what came first stays
		if o.lacking == nil {
			o.lacking = map[string]bool{}
		}
		o.lacking[name] = true
	}
}

// anew is the index of the objects that came.
func (o *order) anew() []byte {
	if len(o.out) == 0 {
		return o.index
	}
	var index []byte
	for line := range bytes.Lines(o.index) {
		if !o.out[string(line[:objectNameLen])] {
			index = append(index, line...)
		}
	}
	return index
}

// names says whether an index lists an object that was left out.
func (o *order) names(index []byte) bool {
	var ignored findings
	listed := false
	indexLines(index, &ignored, func(line []byte, _ int) {
		listed = listed || o.out[string(line)]
	})
	return listed
}

// finishIndex keeps OBJ.IDX byte for byte if everything came that it lists,
// else makes it anew.
func (s *staging) finishIndex(found *findings) error {
	f, err := s.indexGiven()
	have := err == nil
	if err != nil && err != unix.ENOENT {
		return err
	}
	if s.o.Partly && !s.order.nvtok {
		found.add(Incomplete, nvtokName, -1, "it is lost, and no library sees a token without it; the objects that are left are here")
	}
	if have && s.o.Whole && !s.o.Partly && !s.order.names(f.data) {
		return nil
	}
	index := s.order.anew()
	const isPart = "this is a part of a token, and no library opens it without the rest"
	switch n := len(index) / (objectNameLen + 1); {
	case !have && n == 0 && s.o.Whole:
		return nil
	case !have && n == 0:
		found.add(Part, "", -1, isPart)
		return nil
	case s.o.Partly:
		found.add(Incomplete, indexPath, -1, "some of the token is lost; made anew of the objects that are left: %d", n)
	case s.o.Whole:
		found.add(NewIndex, indexPath, -1, "made anew; objects restored: %d", n)
	default:
		found.add(NewIndex, indexPath, -1, "made anew; objects restored: %d; %s", n, isPart)
	}
	return s.putIndex(index, f, have)
}

// indexGiven is OBJ.IDX as it came.
func (s *staging) indexGiven() (file, error) {
	if s.dir < 0 && s.order.given == nil {
		return file{}, unix.ENOENT
	}
	if s.dir < 0 {
		return file{data: s.order.given}, nil
	}
	objects, err := makeDirs(s.dir, []string{objectsName})
	if err != nil {
		return file{}, err
	}
	defer unix.Close(objects)
	return readFile(objects, []byte(indexName), make([]byte, 4<<10))
}

// putIndex writes the new index, with owner and mode of the one it replaces.
func (s *staging) putIndex(index []byte, old file, replaces bool) error {
	r := format.Record{Kind: format.KindIndex, Name: format.NameOf(objectsName, indexName), Supersedes: format.NoSeq, Data: index}
	if replaces {
		r.Supersedes = 0
		r.Details.Attr = old.attr()
	}
	return s.putSome([]*format.Record{&r})
}
