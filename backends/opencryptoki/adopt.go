package opencryptoki

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"sync"

	"tokar/backends"
	"tokar/backends/opencryptoki/tokendata"
	"tokar/format"
	"tokar/format/cryptoki"
)

// adopt puts objects of an archived token into another that stands there: a merge
// in which each object is made anew, under the master key, in the format, the
// byte order and by the name rule of the token that takes it. A private object
// can be made anew once the archive's state files came, which stand before its
// objects; what comes earlier, from another worker, is held until then.
type adopt struct {
	m        *merge
	from, to *tokendata.MasterKey // nil until opened
	why      error                // why from is not
	variant  string               // of the token that takes them
	format   string
	order    cryptoki.Order
	came     cryptoki.Order // of archived objects that show none themselves
	here     map[[sha256.Size]byte]bool
	next     []byte // the counting name that is given next; nil where names are random
	attr     format.Attr

	private, public int // objects that the token holds

	mu      sync.Mutex
	state   pinState // of the archive
	held    []*format.Record
	bytes   int
	taken   map[string]bool
	empty   map[string]stamp  // files of the token with nothing in them, whose names are free
	spoilt  map[string]bool   // files of the token that hold no sound object
	wanted  map[string]bool   // names that objects of the archive have, and may keep
	given   map[string]string // new names, by the archive's
	there   map[string]int    // objects that the token has already: their sizes in the archive
	secure  int
	pinKeys int
	failed  map[string]string // why an object cannot be moved
}

const (
	maxHeldObjects = 64 << 20 // bytes of objects that came before the state files
	maxOfASort     = 2048     // objects that a token takes, private and public each (max_token_objects)
)

// newAdopt opens the token that stands there, and learns what it holds.
func newAdopt(s *staging, m *merge) (*adopt, error) {
	nv := s.same.live[nvtokName]
	n := tokendata.ParseNVTOK(nv)
	if n.Format == tokendata.Unknown {
		return nil, fmt.Errorf("its NVTOK.DAT is no sound one: %w", backends.ErrNoToken)
	}
	if n.ICSF {
		return nil, errICSF
	}
	a := &adopt{
		m: m, variant: n.Variant(), format: n.Format, came: orderOf(s.token.Property(propByteOrder)),
		here: map[[sha256.Size]byte]bool{}, next: slices.Clone(nextName(nv)), state: pinState{},
		taken: map[string]bool{}, empty: map[string]stamp{}, spoilt: map[string]bool{}, wanted: map[string]bool{}, given: map[string]string{}, there: map[string]int{}, failed: map[string]string{},
	}
	if s.token.Property(propVariant) == tokendata.TPM {
		a.from = tokendata.ZeroKey(s.token.Property(propFormat))
	}
	var err error
	if a.variant == tokendata.TPM {
		a.to = tokendata.ZeroKey(a.format)
	} else if a.to, err = openedBy(s.same.live, s.o.Logins); err != nil {
		return nil, err
	}
	a.attr = s.live.scan.indexAttr
	if !a.attr.Known {
		if f, err := readFile(s.live.dir, []byte(nvtokName), make([]byte, 4<<10)); err == nil {
			a.attr = f.attr()
			clear(f.data)
		}
	}
	a.order = n.Order
	if err := a.learnHere(n.OrderKnown); err != nil {
		a.close()
		return nil, err
	}
	return a, nil
}

var errICSF = errors.New("objects of ICSF tokens live on the z/OS host, and are in no file")

// openedBy is a token's master key, by either PIN; nil where none is given.
func openedBy(state pinState, logins backends.Logins) (*tokendata.MasterKey, error) {
	for _, login := range []struct {
		role tokendata.Role
		pin  []byte
	}{{tokendata.User, logins.User}, {tokendata.SO, logins.SO}} {
		if login.pin == nil {
			continue
		}
		key, err := login.role.Open(state[nvtokName], state[login.role.KeyFile], login.pin)
		switch {
		case errors.Is(err, tokendata.ErrPIN):
			err = fmt.Errorf("%w: it is not the %s", backends.ErrPIN, login.role.Name)
		case errors.Is(err, tokendata.ErrNoPIN):
			err = fmt.Errorf("%w: %w", backends.ErrPIN, err)
		}
		return key, err
	}
	return nil, nil
}

func (a *adopt) close() {
	if a == nil {
		return
	}
	for _, k := range []*tokendata.MasterKey{a.from, a.to} {
		if k != nil {
			k.Clear()
		}
	}
	for _, b := range a.state {
		clear(b)
	}
}

// learnHere reads the objects of the token that takes others: their names, what
// they hold, and in the new format their byte order. One that holds nothing has
// this machine's.
func (a *adopt) learnHere(orderKnown bool) error {
	live := a.m.s.live
	if !orderKnown {
		a.order = cryptoki.NativeOrder()
	}
	indexLines(live.scan.index, &findings{}, func(line []byte, _ int) { a.taken[string(line)] = true })
	buf := make([]byte, 4<<10)
	for _, o := range live.scan.objects {
		a.taken[string(o.name())] = true
		f, err := readFile(live.objects, o.name(), buf)
		if err != nil {
			continue // it stays as it is, whatever it is
		}
		if len(f.data) == 0 {
			a.empty[string(o.name())] = stampOf(live.objects, string(o.name()))
			delete(a.taken, string(o.name()))
			continue
		}
		h := tokendata.ParseObject(f.data, a.format)
		object := h.Body
		if h.Private {
			a.private++
			if a.to == nil {
				continue
			}
			if object, err = a.to.Open(f.data); err != nil {
				a.spoilt[string(o.name())] = true
				continue
			}
		} else {
			a.public++
		}
		var found findings
		checkInside(format.Name(o.name()), object, &found)
		a.spoilt[string(o.name())] = len(found.list) > 0
		if order, ok := cryptoki.OrderOf(object); ok && !orderKnown {
			a.order, orderKnown = order, true
		}
		a.here[digestOf(h.Private, object)] = true
		if h.Private {
			clear(object)
		}
	}
	return nil
}

// digestOf tells objects apart by all but their names.
func digestOf(private bool, object []byte) (sum [sha256.Size]byte) {
	if len(object) < cryptoki.ObjectHeader {
		return sum
	}
	h := sha256.New()
	fmt.Fprint(h, private)
	h.Write(object[:8])
	h.Write(object[cryptoki.ObjectHeader:])
	h.Sum(sum[:0])
	return sum
}

// choose makes objects anew, and gives what is to be written.
func (a *adopt) choose(rs []*format.Record) (put []*format.Record, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, r := range rs {
		var more []*format.Record
		switch {
		case r.Kind == format.KindState:
			more, err = a.learn(r)
		case r.Kind == format.KindIndex:
			a.reserve(r.Data)
		case r.Kind != format.KindObject:
		case a.from == nil && a.isPrivate(r):
			err = a.hold(r)
		default:
			more, err = a.move(r)
		}
		if err != nil {
			return nil, err
		}
		put = append(put, more...)
	}
	return put, nil
}

func (a *adopt) isPrivate(r *format.Record) bool {
	return !r.Absent() && tokendata.ParseObject(r.Data, a.m.s.token.Property(propFormat)).Private
}

// learn takes a state file of the archive. With NVTOK.DAT and an MK file the
// archive's master key opens, and so what was held.
func (a *adopt) learn(r *format.Record) (put []*format.Record, err error) {
	name := r.Name.String()
	if r.Absent() || a.from != nil || name != nvtokName && name != soKeyName && name != userKeyName {
		return nil, nil
	}
	a.state[name] = bytes.Clone(r.Data)
	login := a.m.s.o.From
	if a.state[nvtokName] == nil || a.state[userKeyName] == nil && login.User != nil || a.state[soKeyName] == nil && login.User == nil {
		return nil, nil
	}
	if a.from, a.why = openedBy(a.state, login); a.from == nil {
		return nil, nil
	}
	for _, r := range a.held {
		more, err := a.move(r)
		if err != nil {
			return nil, err
		}
		put = append(put, more...)
	}
	a.held, a.bytes = nil, 0
	return put, nil
}

func (a *adopt) hold(r *format.Record) error {
	if a.bytes += len(r.Data); a.bytes > maxHeldObjects {
		return a.noKey(r.Name)
	}
	held := *r
	held.Name, held.Data = slices.Clone(r.Name), bytes.Clone(r.Data)
	a.held = append(a.held, &held)
	return nil
}

// noKey is the error on a private object whose master key is not at hand.
func (a *adopt) noKey(name format.Name) error {
	why := a.why
	switch login := a.m.s.o.From; {
	case !login.Given():
		why = backends.ErrNeedsPIN
	case why == nil:
		why = errors.New("it lacks NVTOK.DAT or the MK file of the PIN that is given")
	}
	return fmt.Errorf("%s is private, and the archive's token was not opened: %w", name, why)
}

// move makes an object anew; nothing where it does not come.
func (a *adopt) move(r *format.Record) ([]*format.Record, error) {
	if _, err := placeOf(r.Kind, r.Name); err != nil {
		return nil, err
	}
	if a.m.s.token.Property(propVariant) == tokendata.ICSF {
		return nil, fmt.Errorf("%s: %w", r.Name, errICSF)
	}
	name := string(r.Name)
	before, again := a.given[name]
	delete(a.failed, name)
	delete(a.there, name)
	if r.Absent() {
		if !again {
			return nil, nil
		}
		delete(a.given, name)
		delete(a.m.chosen, before)
		return []*format.Record{{Kind: r.Kind, Flags: format.Vanished, Name: format.Name(before), Supersedes: 0}}, nil
	}
	if a.m.s.token.Property(propVariant) == tokendata.TPM && slices.Contains(tpmKeys, string(r.Details.ID)) {
		a.pinKeys++
		return nil, nil
	}
	object, private, err := a.open(r)
	if err != nil {
		return nil, err
	}
	if object == nil {
		return nil, nil
	}
	defer clear(object)
	if !again && a.here[digestOf(private, object)] {
		a.there[name] = len(r.Data)
		return nil, nil
	}
	if private && a.to == nil {
		return nil, fmt.Errorf("%s is private, and that token was not opened: %w", name, backends.ErrNeedsPIN)
	}
	if !again {
		before = a.name(name)
		a.given[name] = before
	}
	copy(object[8:cryptoki.ObjectHeader], before)
	made := &format.Record{Kind: r.Kind, Name: format.Name(before), Flags: r.Flags & format.Unlisted, Supersedes: format.NoSeq}
	if again {
		made.Supersedes = 0
	}
	if private {
		made.Data = a.to.Seal(object, a.order)
	} else {
		made.Data = tokendata.Public(a.format, object, a.order)
	}
	made.Details.Attr = a.attr
	if r.Details.Attr.Known {
		made.Details.Attr.MTime = r.Details.Attr.MTime
	}
	was, there := a.empty[before]
	a.m.chosen[before] = &choice{put: true, private: private, listed: r.Flags&format.Unlisted == 0, there: there, was: was}
	return []*format.Record{made}, nil
}

// open gives what an archived object holds, in the byte order of the token that
// takes it; nil, with a note, where it cannot be moved.
func (a *adopt) open(r *format.Record) (object []byte, private bool, err error) {
	h := tokendata.ParseObject(r.Data, a.m.s.token.Property(propFormat))
	fail := func(form string, args ...any) ([]byte, bool, error) {
		clear(object)
		a.failed[string(r.Name)] = fmt.Sprintf(form, args...)
		return nil, false, nil
	}
	if h.Private {
		if object, err = a.from.Open(r.Data); err != nil {
			return fail("%v", err)
		}
	} else {
		object = bytes.Clone(h.Body)
	}
	var found findings
	if checkInside(r.Name, object, &found); len(found.list) > 0 {
		return fail("%s", found.list[0].Message)
	}
	turned, err := tokendata.Recode(object, a.came, a.order)
	if err != nil {
		return fail("it was written by a machine of the other byte order: %v", err)
	}
	if &turned[0] != &object[0] {
		clear(object)
		object = turned
	}
	if hasBlob(object, a.order) {
		if from := a.m.s.token.Property(propVariant); from != a.variant {
			return fail("it holds a key that only the hardware of a token of kind %s opens, and this one is of kind %s", from, a.variant)
		}
		a.secure++
	}
	return object, h.Private, nil
}

// hasBlob says whether a key is in a blob that only hardware opens.
func hasBlob(object []byte, order cryptoki.Order) bool {
	list := cryptoki.ObjectList(object, order)
	for list.Next() {
		if list.Type == cryptoki.CKA_IBM_OPAQUE && len(list.Value) > 0 {
			return true
		}
	}
	return false
}

// finish says what came of the objects, and refuses what the token would not
// hold.
func (a *adopt) finish(found *findings) error {
	if len(a.held) > 0 {
		return a.noKey(a.held[0].Name)
	}
	private, public := a.private, a.public
	for name, c := range a.m.chosen {
		a.m.s.order.came = append(a.m.s.order.came, objectKey([]byte(name)))
		if c.private {
			private++
		} else {
			public++
		}
	}
	if private > maxOfASort || public > maxOfASort {
		return fmt.Errorf("it would hold %d private and %d public objects, and the library takes %d of each", private, public, maxOfASort)
	}
	for _, name := range sorted(a.failed) {
		found.add(NotMoved, objectPath([]byte(name)), -1, "%s; it is not moved", a.failed[name])
	}
	size := 0
	for _, n := range a.there {
		size += n
	}
	a.m.s.tellThere(len(a.there), size)
	var renamed, filled []string
	for _, name := range sorted(a.given) {
		now := a.given[name]
		if now != name {
			renamed = append(renamed, name+" as "+now)
		}
		if now != name && a.spoilt[name] {
			found.add(InTheWay, objectPath([]byte(name)), -1, "the file of that name in the token is damaged and stays; the archive's object is %s", now)
		}
		if _, empty := a.empty[now]; empty {
			filled = append(filled, now)
		}
	}
	for _, said := range []struct {
		names []string
		what  string
	}{{renamed, "objects whose name was taken have another"}, {filled, "objects that take the place of an empty file"}, {sorted(a.there), "objects that are there already, with the same content"}} {
		if n := len(said.names); n > 0 {
			a.m.s.note("%s: %d (%s)", said.what, n, firstNames(said.names))
		}
	}
	if a.secure > 0 {
		a.m.s.note("keys in blobs of hardware: %d; they work only where the hardware has the master key that they were made under", a.secure)
	}
	if a.pinKeys > 0 {
		a.m.s.note("a TPM token's own key objects, which hold its PINs, stay behind: %d", a.pinKeys)
	}
	return nil
}
