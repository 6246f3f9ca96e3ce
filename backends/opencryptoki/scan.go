package opencryptoki

import (
	"cmp"
	"fmt"
	"slices"
	"sort"

	"golang.org/x/sys/unix"

	"tokar/backends"
	"tokar/format"
)

// maxDirectories bounds what a token's descriptor lists.
const maxDirectories = 256

// scan is what a token's directories hold: names and types, no object read.
type scan struct {
	index     []byte // OBJ.IDX as read, or nil
	indexAttr format.Attr
	objects   objects // sorted by name
	irregular bool    // some of them are no files
	order     []int32 // offsets in index of the objects listed and there

	state, foreign []backends.Entry // in the order of the list
	indexEntry     *backends.Entry  // nil if there is no OBJ.IDX
	dirs           []format.Directory
}

// Places tell Read where an entry's file is.
const (
	inToken   = iota // in the token directory
	inObjects        // in TOK_OBJ
	inIndex          // it is OBJ.IDX, read when the token was opened
	elsewhere        // below the token directory, by its components
	fromPEMs         // in the operator's directory of PEM files
)

// scanner walks a token directory.
type scanner struct {
	scan
	dir, objectsDir int
	ofTPM           bool     // directories with NVTOK.DAT are tokens of their own
	found           findings // on the index
	ofDirs          []format.Finding
}

// scanToken looks at everything in a token directory. objectsDir is -1 if
// there is no TOK_OBJ.
func scanToken(dir, objectsDir int, ofTPM bool) (*scan, error) {
	s := &scanner{dir: dir, objectsDir: objectsDir, ofTPM: ofTPM}
	if err := s.addDir(dir, nil); err != nil {
		return nil, err
	}
	if objectsDir >= 0 {
		if err := s.addDir(objectsDir, format.Name(objectsName)); err != nil {
			return nil, err
		}
	}
	if err := s.walk(dir, nil); err != nil {
		return nil, err
	}
	if objectsDir >= 0 {
		if err := s.walkObjects(); err != nil {
			return nil, err
		}
	}
	s.finish()
	return &s.scan, nil
}

// walk lists a directory below the token directory, and what is below it.
func (s *scanner) walk(dir int, parts []string) error {
	var here []dirEntry
	err := readDir(dir, func(name []byte, typ byte) {
		here = append(here, dirEntry{string(name), typ})
	})
	if err != nil {
		return err
	}
	slices.SortFunc(here, func(a, b dirEntry) int { return cmp.Compare(a.name, b.name) })
	for _, e := range here {
		path := append(slices.Clip(parts), e.name)
		switch {
		case len(path) == 1 && e.name == objectsName && s.objectsDir >= 0:
			// walkObjects lists it
		case e.dir():
			err = s.descend(dir, path)
		default:
			s.addFile(path, e)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// descend walks a subdirectory.
func (s *scanner) descend(parent int, parts []string) error {
	name := parts[len(parts)-1]
	if len(parts) == maxParts || len(s.dirs) == maxDirectories {
		s.refuse(parts, TooDeep, "a directory below which tokar does not look: its files are not archived")
		return nil
	}
	dir, err := openDir(parent, name)
	if err != nil {
		s.refuse(parts, Unreadable, "cannot open the directory: %v: its files are not archived", err)
		return nil
	}
	defer unix.Close(dir)
	if s.ofTPM && exists(dir, nvtokName) {
		return nil // a user's token, found apart
	}
	if err := s.addDir(dir, format.NameOf(parts...)); err != nil {
		return err
	}
	return s.walk(dir, parts)
}

// walkObjects lists TOK_OBJ. Files that have an object's name are objects.
func (s *scanner) walkObjects() error {
	var others []dirEntry
	err := readDir(s.objectsDir, func(name []byte, typ byte) {
		if isObjectName(name) {
			s.objects = append(s.objects, object{key: objectKey(name), typ: typ})
			s.irregular = s.irregular || typ != unix.DT_REG
			return
		}
		others = append(others, dirEntry{string(name), typ})
	})
	if err != nil {
		return err
	}
	slices.SortFunc(s.objects, func(a, b object) int { return cmp.Compare(a.key, b.key) })
	slices.SortFunc(others, func(a, b dirEntry) int { return cmp.Compare(a.name, b.name) })
	for _, e := range others {
		parts := []string{objectsName, e.name}
		switch {
		case e.name == indexName:
			s.readIndex(e)
		case e.dir():
			err = s.descend(s.objectsDir, parts)
		default:
			s.addFile(parts, e)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// addFile makes the entry of a state or foreign file.
func (s *scanner) addFile(parts []string, e dirEntry) {
	entry := backends.Entry{Kind: format.KindForeign, Name: format.NameOf(parts...), Place: elsewhere}
	if len(parts) == 1 {
		entry.Place = inToken
	}
	if len(parts) == 2 && parts[0] == objectsName {
		entry.Place = inObjects
	}
	if !e.regular() || entry.Name.String() == objectsName {
		entry.Flags |= format.Refused
		entry.Findings = irregular(entry.Name.String(), e.typ)
	} else if file, ok := tempOf(e.name); ok {
		entry.Findings = []format.Finding{finding(Leftover, entry.Name.String(), -1, "left by a write of %s that did not end", file)}
	}
	if stateRank(parts) > 0 {
		entry.Kind = format.KindState
		s.state = append(s.state, entry)
		return
	}
	s.foreign = append(s.foreign, entry)
}

// refuse makes an entry of what is not read.
func (s *scanner) refuse(parts []string, kind, form string, args ...any) {
	name := format.NameOf(parts...)
	s.foreign = append(s.foreign, backends.Entry{
		Kind: format.KindForeign, Flags: format.Refused, Name: name, Place: elsewhere,
		Findings: []format.Finding{finding(kind, name.String(), -1, form, args...)},
	})
}

// readIndex reads OBJ.IDX and makes its entry.
func (s *scanner) readIndex(e dirEntry) {
	s.indexEntry = &backends.Entry{Kind: format.KindIndex, Name: format.NameOf(objectsName, indexName), Place: inIndex}
	if !e.regular() {
		s.indexEntry.Flags |= format.Refused
		s.found.list = irregular(indexPath, e.typ)
		return
	}
	f, err := readFile(s.objectsDir, []byte(indexName), make([]byte, 4<<10))
	if err != nil {
		s.indexEntry.Flags |= format.Refused
		s.found.add(kindOf(err), indexPath, -1, "cannot read it: %v", err)
		return
	}
	s.index, s.indexAttr = f.data, f.attr()
	if f.xattrs.lost != nil {
		s.found.list = append(s.found.list, f.xattrs.finding(indexPath))
	}
}

// finish compares index and directory and puts entries in order.
func (s *scanner) finish() {
	s.order = s.objects.order(s.index, &s.found)
	if s.indexEntry == nil && len(s.objects) > 0 {
		s.found.add(NoIndex, indexPath, -1, "there are %d object files and no OBJ.IDX: the library shows none of them", len(s.objects))
	}
	s.dropClashes()
	sort.SliceStable(s.state, func(i, j int) bool {
		return stateRank(s.state[i].Name.Components()) < stateRank(s.state[j].Name.Components())
	})
	sort.SliceStable(s.foreign, func(i, j int) bool {
		return string(s.foreign[i].Name) < string(s.foreign[j].Name)
	})
	s.report(s.ofDirs)
	if on := s.indexEntry; on != nil {
		on.Findings = append(on.Findings, s.found.all()...)
	} else {
		s.report(s.found.all())
	}
}

// odd says that OBJ.IDX does not fit what is in the directory.
func (s *scan) odd() bool {
	return s.indexEntry == nil && len(s.objects) > 0 ||
		s.indexEntry != nil && len(s.indexEntry.Findings) > 0 || len(s.order) < len(s.objects)
}

// report puts findings on the token as a whole on the entry of NVTOK.DAT, or
// on the first there is.
func (s *scan) report(found []format.Finding) {
	for _, list := range [][]backends.Entry{s.state, s.foreign} {
		if len(list) > 0 {
			list[0].Findings = append(list[0].Findings, found...)
			return
		}
	}
}

// dropClashes leaves out files in the token directory that are named as one of
// its objects is: an archive has one namespace for a token.
func (s *scanner) dropClashes() {
	s.foreign = slices.DeleteFunc(s.foreign, func(e backends.Entry) bool {
		clash := isObjectName(e.Name) && s.objects.find(e.Name) != nil
		if clash {
			s.found.add(Clash, e.Name.String(), -1, "a foreign file with the name of an object: it is not archived")
		}
		return clash
	})
}

// addDir records a directory for the token's descriptor.
func (s *scanner) addDir(dir int, name format.Name) error {
	var st unix.Stat_t
	if err := unix.Fstat(dir, &st); err != nil {
		return fmt.Errorf("cannot examine directory %q: %w", name.String(), err)
	}
	attr, x := attrOf(&st), readXattrs(dir)
	x.addTo(&attr)
	if x.lost != nil {
		s.ofDirs = append(s.ofDirs, x.finding(name.String()))
	}
	s.dirs = append(s.dirs, format.Directory{Name: name, Attr: attr})
	return nil
}

// irregular is the finding on what is neither file nor directory.
func irregular(path string, typ byte) []format.Finding {
	return []format.Finding{finding(Irregular, path, -1, "%s: not opened, not archived", dirEntry{typ: typ}.typeWord())}
}
