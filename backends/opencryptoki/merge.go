package opencryptoki

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"tokar/backends"
	"tokar/backends/opencryptoki/tokendata"
	"tokar/format"
)

// merge puts single objects into a token that stands there. A new TOK_OBJ is
// built: the objects put, hard links to all other files of today's, and OBJ.IDX
// with the new names in the archive's order. In one step it takes the place of
// today's. So nothing else is touched, and no moment shows a part of it.
type merge struct {
	s *staging

	mend  *mend  // nil where objects were asked for
	adopt *adopt // nil where they come as they are

	mu     sync.Mutex
	chosen map[string]*choice // by object name

	newIndex []byte
	changes  bool // anything at all
	inside   bool // the new TOK_OBJ stands in a new token directory
}

// choice is an object that is to be put.
type choice struct {
	there   bool // a file of its name
	equal   bool // with its bytes
	put     bool // into the new TOK_OBJ
	private bool
	listed  bool // in the archive

	size int    // in the archive
	why  string // of mending: what was wrong
	was  stamp  // … of the file that is judged
}

func newMerge(s *staging) *merge { return &merge{s: s, chosen: map[string]*choice{}} }

// errNotAlone: state, index and foreign files are restored with their token.
var errNotAlone = errors.New("only objects are put into a token that is there; this comes with the whole token, or into another directory")

// choose compares objects with those that stand there, and gives those to be
// written. An object that is there is not written unless it is to be replaced.
func (m *merge) choose(rs []*format.Record) (put []*format.Record, err error) {
	if m.mend != nil {
		return m.mend.choose(rs)
	}
	if m.adopt != nil {
		return m.adopt.choose(rs)
	}
	buf := make([]byte, 4<<10)
	for _, r := range rs {
		if r.Kind != format.KindObject {
			return nil, fmt.Errorf("%s: %w", r.Name, errNotAlone)
		}
		if _, err := placeOf(r.Kind, r.Name); err != nil {
			return nil, err
		}
		c := &choice{
			private: tokendata.ParseObject(r.Data, m.s.token.Property(propFormat)).Private,
			listed:  r.Flags&format.Unlisted == 0,
			size:    len(r.Data),
		}
		if err := m.compare(c, r, buf); err != nil {
			return nil, fmt.Errorf("%s: %w", r.Name, err)
		}
		c.put = !r.Absent() && !c.equal && (!c.there || m.s.o.Overwrite)
		if m.remember(r, c) || c.put {
			put = append(put, r)
		}
	}
	return put, nil
}

// remember keeps a choice, and says whether an earlier one was put.
func (m *merge) remember(r *format.Record, c *choice) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	before := m.chosen[string(r.Name)]
	m.chosen[string(r.Name)] = c
	if r.Absent() {
		delete(m.chosen, string(r.Name))
	}
	return before != nil && before.put
}

// compare looks at the file of the object's name.
func (m *merge) compare(c *choice, r *format.Record, buf []byte) error {
	if m.s.live.objects < 0 {
		return nil
	}
	f, err := readFile(m.s.live.objects, r.Name, buf)
	switch {
	case errors.Is(err, unix.ENOENT):
		return nil
	case errors.Is(err, errTooLarge):
		c.there = true
		return nil
	case err != nil:
		return fmt.Errorf("cannot compare it with what is there: %w", err)
	}
	c.there, c.equal = true, bytes.Equal(f.data, r.Data)
	return nil
}

// allowed refuses private objects that no PIN of the token would open, and any
// that its library would not load.
func (m *merge) allowed(*findings) error {
	private := false
	for _, c := range m.chosen {
		private = private || c.put && c.private
	}
	a, b := tokendata.ParseNVTOK(m.s.same.archived[nvtokName]), tokendata.ParseNVTOK(m.s.same.live[nvtokName])
	foreign := a.Format != tokendata.Unknown && b.Format != tokendata.Unknown && (a.Format != b.Format || a.OrderKnown && a.Order != b.Order)
	if !private && !foreign {
		return nil
	}
	switch kin, why := m.s.same.kinship(); {
	case kin == otherToken:
		return fmt.Errorf("%w stands there: %s; nothing would open what is put into it", backends.ErrOther, why)
	case kin == unknownKin && m.s.o.PINs != backends.KeepPINs:
		return fmt.Errorf("%w as stands there: %s", backends.ErrUnknown, why)
	}
	return nil
}

// build makes the new TOK_OBJ complete and durable.
func (m *merge) build(found *findings) error {
	m.reportKept(found)
	return m.assemble()
}

// assemble puts into the new TOK_OBJ what is there now, and the index.
func (m *merge) assemble() error {
	if err := m.s.live.rescan(); err != nil {
		return err
	}
	if e := m.s.live.scan.indexEntry; e != nil && e.Flags&format.Refused != 0 {
		return fmt.Errorf("%s: %s", indexPath, e.Findings[0].Message)
	}
	today := m.s.live.scan.index
	switch {
	case m.mend != nil:
		m.newIndex = m.mend.index(today, m.s.order.index)
	case m.adopt != nil:
		m.newIndex = m.adopt.index(today, m.s.order.index)
	default:
		m.newIndex = mergeIndex(today, m.s.order.index, m.lists)
	}
	newIndex := !bytes.Equal(m.newIndex, today)
	m.changes = newIndex || m.puts() || m.mend != nil
	if !m.changes {
		return nil
	}
	if err := m.enter(); err != nil {
		return err
	}
	if err := m.link(newIndex); err != nil || m.s.dir < 0 {
		return err
	}
	if newIndex {
		if err := m.putIndex(); err != nil {
			return err
		}
	}
	return m.sync()
}

// enter moves what was put into a TOK_OBJ of a new token directory, where state
// files are to come with it.
func (m *merge) enter() error {
	if m.mend == nil || len(m.mend.state) == 0 || m.inside || m.s.dir < 0 {
		return nil
	}
	objects, err := makeDirs(m.s.dir, []string{objectsName})
	if err != nil {
		return err
	}
	defer unix.Close(objects)
	for name, c := range m.chosen {
		if c.put {
			if err := unix.Renameat(m.s.dir, name, objects, name); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
	}
	m.inside = true
	return nil
}

// parts is where the new TOK_OBJ is in the place, with what is in it.
func (m *merge) parts(names ...string) []string {
	if m.inside {
		return append([]string{objectsName}, names...)
	}
	return names
}

// lists says whether an object is to be listed, as it is in the archive.
func (m *merge) lists(name []byte) bool {
	c := m.chosen[string(name)]
	return c != nil && c.listed && (c.put || c.equal)
}

// putIndex writes the merged index, with owner and mode of today's.
func (m *merge) putIndex() error {
	r := format.Record{Kind: format.KindIndex, Name: format.NameOf(objectsName, indexName), Supersedes: format.NoSeq, Data: m.newIndex}
	if m.s.live.scan.indexAttr.Known {
		r.Details.Attr = m.s.live.scan.indexAttr
		r.Details.Attr.MTime = time.Now().UnixNano()
	}
	return m.s.putSome([]*format.Record{&r})
}

// puts says whether any object is written.
func (m *merge) puts() bool {
	for _, c := range m.chosen {
		if c.put {
			return true
		}
	}
	return false
}

func (m *merge) reportKept(found *findings) {
	there, size := 0, 0
	defer func() { m.s.tellThere(there, size) }()
	for _, name := range slices.Sorted(maps.Keys(m.chosen)) {
		switch c := m.chosen[name]; {
		case c.equal:
			there++
			size += c.size
			m.s.note("%s is there already, with the same bytes", name)
		case c.there && !c.put:
			found.add(backends.Exists, objectPath([]byte(name)), -1, "it is there with other bytes and stays as it is")
		}
	}
}

// link links every file of today's TOK_OBJ that is not put, but for an index
// that is made anew. A dry run looks whether it could.
func (m *merge) link(newIndex bool) error {
	live := m.s.live
	if live.objects < 0 {
		if exists(live.dir, objectsName) {
			return fmt.Errorf("%s is no directory; move it away first", objectsName)
		}
		return nil
	}
	to := -1
	var err error
	if m.s.dir >= 0 {
		if to, err = makeDirs(m.s.dir, m.parts()); err != nil {
			return err
		}
		defer unix.Close(to)
	}
	lerr := readDir(live.objects, func(name []byte, typ byte) {
		c := m.chosen[string(name)]
		if err != nil || c != nil && c.put || newIndex && string(name) == indexName {
			return
		}
		if typ == unix.DT_DIR {
			err = fmt.Errorf("there is a directory %s/%s: objects cannot be put beside it; move it away first", objectsName, name)
			return
		}
		if m.s.dir < 0 {
			return
		}
		as := string(name)
		if m.mend != nil && m.mend.renamed[as] != "" {
			as = m.mend.renamed[as]
		}
		if e := unix.Linkat(live.objects, string(name), to, as, 0); e != nil {
			err = fmt.Errorf("cannot link %s: %w; objects are put beside hard links to those that are there; where these cannot be made, restore the whole token", objectPath(name), e)
		}
	})
	return errors.Join(err, lerr)
}

// sync makes the new TOK_OBJ durable and gives it owner and mode of today's.
func (m *merge) sync() error {
	names := []string{indexName}
	for name, c := range m.chosen {
		if c.put {
			names = append(names, name)
		}
	}
	if len(names) > fewFiles {
		if err := unix.Syncfs(m.s.dir); err != nil {
			return err
		}
		names = nil
	}
	for _, name := range names {
		if err := m.s.syncFile(m.parts(name)); err != nil && !(name == indexName && errors.Is(err, unix.ENOENT)) {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	attr := m.s.live.scan.dirs[0].Attr // the token directory's, where there is no TOK_OBJ
	if m.s.live.objects >= 0 {
		attr = m.s.live.scan.dirs[1].Attr
	}
	dir, err := makeDirs(m.s.dir, m.parts())
	if err != nil {
		return err
	}
	defer unix.Close(dir)
	if err := m.s.setAttr(dir, objectsName, attr, false); err != nil {
		return err
	}
	return unix.Fsync(dir)
}

// undisturbed refuses where a file that is to be replaced was changed since it was
// judged.
func (m *merge) undisturbed() error {
	for name, c := range m.chosen {
		if c.put && c.there && stampOf(m.s.live.objects, name) != c.was {
			return fmt.Errorf("%w: %s has changed meanwhile", backends.ErrInUse, objectPath([]byte(name)))
		}
	}
	return nil
}

// commit swaps the two, if nothing changed since the new one was built. The
// name of the next object in NVTOK.DAT is raised before: alone that shows
// nowhere.
func (m *merge) commit() error {
	live := m.s.live
	if !m.changes {
		return nil
	}
	changed, err := m.changed()
	if err == nil && m.mend != nil {
		err = m.mend.undisturbed()
	}
	if err == nil && m.adopt != nil {
		err = m.undisturbed()
	}
	if err == nil && changed && !m.inside {
		err = m.again()
	}
	if err != nil {
		return err
	}
	if err := m.raise(); err != nil {
		return err
	}
	inode := uint64(0)
	if live.objects >= 0 {
		id, err := idAt(live.objects, ".")
		if err != nil {
			return err
		}
		inode = id.ino
	}
	if m.inside {
		return m.s.swap.Swap(m.s.token.Name.Components(), live.inode, "")
	}
	return m.s.swap.Swap(append(m.s.token.Name.Components(), objectsName), inode, "")
}
