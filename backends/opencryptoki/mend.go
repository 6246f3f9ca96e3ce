package opencryptoki

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"

	"tokar/backends"
	"tokar/backends/opencryptoki/tokendata"
	"tokar/backends/swap"
	"tokar/format"
)

// mend puts right a token that stands there: a merge that chooses its objects
// itself. It takes from the archive what is damaged today, or missing; what is
// sound stays, whatever the archive has, and what was deleted stays deleted.
type mend struct {
	m       *merge
	objects objects         // of today, as first looked at
	met     []bool          // those that the archive holds sound
	missing map[string]bool // listed, and no such file
	lossy   bool            // OBJ.IDX may have lost names
	key     *tokendata.MasterKey
	byPIN   map[string]error // what opening each MK file said, by its name, where a PIN was given

	mu        sync.Mutex
	validator backends.Validator
	gone      map[string][sha256.Size]byte // objects of the archive that are neither there nor listed
	changed   map[string]bool              // sound, with other bytes than the archive's
	doubtful  map[string]string            // … and nobody can tell whether they are sound: why
	spoilt    map[string]format.Finding    // damaged, and so is the archive's
	proved    bool                         // the key opened a private object of the archive
	renamed   map[string]string            // files that had an object's name taken from them: to the name
	relisted  map[string]bool              // sound, and not in today's OBJ.IDX
	state     map[string]mendedFile        // state files to be put
	done      backends.Mended
}

// mendedFile is a state file that is put back, and why.
type mendedFile struct {
	data []byte
	why  string
	was  stamp
}

// newMend looks at what the token's list shows. A PIN that is not the token's is
// an error that wraps tokendata.ErrPIN.
func newMend(s *staging, m *merge) (*mend, error) {
	n := &mend{
		m: m, objects: s.live.scan.objects, met: make([]bool, len(s.live.scan.objects)), missing: map[string]bool{},
		byPIN: map[string]error{}, gone: map[string][sha256.Size]byte{}, changed: map[string]bool{},
		doubtful: map[string]string{}, spoilt: map[string]format.Finding{}, renamed: map[string]string{}, relisted: map[string]bool{},
		state: map[string]mendedFile{},
	}
	index := s.live.scan.index
	n.lossy = s.live.objects < 0 || len(index) == 0 && len(n.objects) > 0
	indexLines(index, &findings{}, func(line []byte, _ int) {
		switch {
		case !isObjectName(line):
			n.lossy = n.lossy || len(line) > 0
		case n.objects.find(line) == nil:
			n.missing[string(line)] = true
		}
	})
	var err error
	if n.validator, err = (Backend{}).Validator(s.token); err != nil {
		return nil, err
	}
	return n, n.open(s.o.Logins)
}

// open opens the master key of today with the PINs that are given.
func (n *mend) open(logins backends.Logins) error {
	live := n.m.s.same.live
	if n.m.s.same.tpm {
		n.key = tokendata.ZeroKey(n.m.s.token.Property(propFormat))
		return nil
	}
	for _, login := range []struct {
		role tokendata.Role
		pin  []byte
	}{{tokendata.User, logins.User}, {tokendata.SO, logins.SO}} {
		if login.pin == nil {
			continue
		}
		key, err := login.role.Open(live[nvtokName], live[login.role.KeyFile], login.pin)
		if errors.Is(err, tokendata.ErrPIN) {
			return fmt.Errorf("%w: it is not the %s", backends.ErrPIN, login.role.Name)
		}
		if errors.Is(err, tokendata.ErrNoPIN) {
			return fmt.Errorf("%w: %w", backends.ErrPIN, err)
		}
		n.byPIN[login.role.KeyFile] = err
		switch {
		case err != nil:
		case n.key == nil:
			n.key = key
		case !n.key.Equal(key):
			key.Clear()
			return fmt.Errorf("%s and %s hold different master keys: they are of different times", soKeyName, userKeyName)
		default:
			key.Clear()
		}
	}
	return nil
}

func (n *mend) close() {
	if n != nil && n.key != nil {
		n.key.Clear()
	}
}

// choose judges today's objects beside the archive's, and gives those of the
// archive that are to be written.
func (n *mend) choose(rs []*format.Record) (put []*format.Record, err error) {
	buf := make([]byte, 4<<10)
	for _, r := range rs {
		if r.Kind != format.KindObject {
			continue
		}
		if _, err := placeOf(r.Kind, r.Name); err != nil {
			return nil, err
		}
		c, err := n.judge(r, buf)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", r.Name, err)
		}
		if n.remember(r, c) || c.put {
			put = append(put, r)
		}
	}
	return put, nil
}

// begin says whether a mending run must touch the place at once: what a killed
// run left there is to be cleared away, whether anything is left to mend or not.
func (n *mend) begin() (bool, error) {
	parts := n.m.s.token.Name.Components()
	before, err := swap.Look(n.m.s.root, parts)
	return before != swap.Clean || exists(n.m.s.base, swap.PlaceName(parts)+swap.Suffix), err
}

// settle ends the judging when all entries came: what the archive does not hold,
// the state files, and whether it is the same token.
func (n *mend) settle(found *findings) error {
	if err := n.others(found); err != nil {
		return err
	}
	n.planState(found)
	for name, f := range n.state {
		n.m.s.same.live[name] = bytes.Clone(f.data)
	}
	for name, f := range n.spoilt {
		found.add(f.Kind, objectPath([]byte(name)), int(f.Offset), "%s; what the archive has is damaged too", f.Message)
	}
	for _, name := range sorted(n.doubtful) {
		found.add(Unjudged, objectPath([]byte(name)), -1, "%s; it stays as it is", n.doubtful[name])
	}
	return n.allowed()
}

// allowed refuses another token, and where it cannot be told, all but mending of
// OBJ.IDX: tokens of two machines have objects of one name, and a public one that
// is damaged is nearer to what it was than a sound one of somebody else's.
func (n *mend) allowed() error {
	if n.proved && n.key != nil {
		return nil
	}
	needs := len(n.state) > 0
	for _, c := range n.m.chosen {
		needs = needs || c.put
	}
	switch kin, why := n.m.s.same.kinship(); {
	case kin == otherToken:
		return fmt.Errorf("%w stands there: %s; nothing would open what is put into it", backends.ErrOther, why)
	case kin == unknownKin && needs:
		return fmt.Errorf("%w as stands there: %s", backends.ErrUnknown, why)
	}
	return nil
}

// others judges the objects that the archive does not have.
func (n *mend) others(found *findings) error {
	byDigest := map[[sha256.Size]byte]string{}
	for name, digest := range n.gone {
		byDigest[digest] = name
	}
	buf := make([]byte, 4<<10)
	for i, o := range n.objects {
		if n.met[i] {
			continue
		}
		name := o.name()
		f, err := readFile(n.m.s.live.objects, name, buf)
		if err != nil && !ofEntry(err) {
			return fmt.Errorf("cannot read %s: %w", objectPath(name), err)
		}
		if err != nil {
			found.add(kindOf(err), objectPath(name), -1, "cannot read it: %v; no sound copy of it is in the archive", err)
			continue
		}
		digest := sha256.Sum256(f.data)
		if was := byDigest[digest]; was != "" {
			n.renamed[string(name)] = was
			delete(n.gone, was)
			delete(byDigest, digest)
			continue
		}
		faults := n.faults(format.Name(name), f.data)
		for _, f := range faults {
			found.add(f.Kind, f.File, int(f.Offset), "%s; no sound copy of it is in the archive", f.Message)
		}
		switch {
		case o.listed || len(faults) > 0:
		case n.lossy:
			n.relisted[string(name)] = true
		default:
			found.add(Unlisted, objectPath(name), -1, "OBJ.IDX does not name it, and it is not in the archive: it stays unlisted")
		}
	}
	for _, name := range sorted(n.missing) {
		if c := n.m.chosen[name]; c == nil || !c.put {
			found.add(Missing, objectPath([]byte(name)), -1, "OBJ.IDX lists it, there is no such file, and no sound copy of it is in the archive")
		}
	}
	return nil
}

// needed says whether anything is to be put right.
func (n *mend) needed() bool {
	return n.m.puts() || len(n.relisted) > 0 || len(n.renamed) > 0 || len(n.state) > 0 || n.indexFaults() != ""
}

// finish ends a mending run: with nothing to put right, it makes nothing.
func (n *mend) finish(ctx context.Context, found *findings) error {
	if err := n.settle(found); err != nil {
		return err
	}
	if !n.needed() {
		return nil
	}
	if err := n.m.s.start(ctx); err != nil {
		return err
	}
	n.m.s.order.came = n.names()
	if len(n.state) > 0 {
		if err := n.m.s.where.inUse(); err != nil {
			return err
		}
		n.raise()
	}
	if err := n.m.assemble(); err != nil {
		return err
	}
	if len(n.state) > 0 {
		if err := n.rebuild(); err != nil {
			return err
		}
	}
	return n.m.mayRaise(found)
}

// names are those that objects have again.
func (n *mend) names() (keys []uint64) {
	for name := range n.m.chosen {
		keys = append(keys, objectKey([]byte(name)))
	}
	for _, name := range n.renamed {
		keys = append(keys, objectKey([]byte(name)))
	}
	for name := range n.relisted {
		keys = append(keys, objectKey([]byte(name)))
	}
	return keys
}

// raise has NVTOK.DAT come with a next name that is late enough.
func (n *mend) raise() {
	f, there := n.state[nvtokName]
	if !there {
		f = mendedFile{bytes.Clone(n.m.s.same.live[nvtokName]), "", stampOf(n.m.s.live.dir, nvtokName)}
	}
	if raiseNext(f.data, n.m.s.order.came) {
		n.state[nvtokName] = f
	}
}

// undisturbed refuses where an object that is to be replaced was changed since it
// was judged.
func (n *mend) undisturbed() error {
	if n.m.inside {
		if err := n.still(); err != nil {
			return err
		}
	}
	if err := n.m.undisturbed(); err != nil {
		return err
	}
	for name, f := range n.state {
		if stampOf(n.m.s.live.dir, name) != f.was {
			return fmt.Errorf("%w: %s has changed meanwhile", backends.ErrInUse, name)
		}
	}
	return nil
}

// still refuses where anything in the token directory changed since that was
// rebuilt.
func (n *mend) still() error {
	live := n.m.s.live
	now := watch(live.dir, live.objects)
	same := now.token == live.watched.token && now.objects == live.watched.objects
	for name, data := range n.m.s.same.live {
		if _, put := n.state[name]; put || len(format.Name(name).Components()) > 1 {
			continue
		}
		f, err := readFile(live.dir, []byte(name), make([]byte, 4<<10))
		if err != nil {
			return fmt.Errorf("cannot read %s again: %w", name, err)
		}
		same = same && bytes.Equal(f.data, data)
		clear(f.data)
	}
	if !same {
		return fmt.Errorf("%w: it changed meanwhile", backends.ErrInUse)
	}
	return nil
}
