package opencryptoki

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"tokar/backends"
)

// Before Linux 6.13 files are stamped with a clock that ticks every 1 to 10 ms:
// of two changes within a tick the second does not show.
const tick = 20 * time.Millisecond

// changed says whether the token's list of objects is, or may be, another than
// the new TOK_OBJ was built from. (That OBJ.IDX was linked changed its time.)
func (m *merge) changed() (bool, error) {
	live := m.s.live
	var index []byte
	if live.objects >= 0 {
		f, err := readFile(live.objects, []byte(indexName), make([]byte, 4<<10))
		if err != nil && !errors.Is(err, unix.ENOENT) {
			return false, fmt.Errorf("%s: %w", indexPath, err)
		}
		index = f.data
	}
	fresh := live.looked.Sub(time.Unix(0, live.watched.objects.ctime)) < tick
	return fresh || watch(live.dir, live.objects).objects != live.watched.objects || !bytes.Equal(index, live.scan.index), nil
}

// again builds the new TOK_OBJ from what is there now, under the token's lock:
// programs that use the token made or deleted objects meanwhile. Those to
// be put stay as they were chosen, unless one has come to be there.
func (m *merge) again() error {
	var err error
	lerr := readDir(m.s.dir, func(name []byte, _ byte) {
		if c := m.chosen[string(name)]; err == nil && (c == nil || !c.put) {
			err = unix.Unlinkat(m.s.dir, string(name), 0)
		}
	})
	if err = errors.Join(lerr, err); err != nil {
		return err
	}
	for name, c := range m.chosen {
		if m.s.live.objects >= 0 && exists(m.s.live.objects, name) != c.there {
			return fmt.Errorf("%w: %s has come or gone meanwhile", backends.ErrInUse, objectPath([]byte(name)))
		}
	}
	return m.assemble()
}
