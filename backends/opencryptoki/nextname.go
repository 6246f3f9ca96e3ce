package opencryptoki

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"tokar/backends/opencryptoki/tokendata"
	"tokar/backends/swap"
	"tokar/format"
)

// nextName is the name that a release up to 3.17 gives to the next object; nil
// since 3.18, where the field is zero.
func nextName(nvtok []byte) []byte {
	if len(nvtok) < tokendata.AtTweaks || !isCounter(nvtok[tokendata.AtNextName:tokendata.AtTweaks]) {
		return nil
	}
	return nvtok[tokendata.AtNextName:tokendata.AtTweaks]
}

// isCounter says whether a name is one that releases up to 3.17 count through:
// eight of 0-9A-Z.
func isCounter(name []byte) bool {
	for _, c := range name {
		if !('0' <= c && c <= '9' || 'A' <= c && c <= 'Z') {
			return false
		}
	}
	return len(name) == objectNameLen
}

// laterName says whether a comes after b: the first character counts fastest.
func laterName(a, b []byte) bool {
	x, y := slices.Clone(a), slices.Clone(b)
	slices.Reverse(x)
	slices.Reverse(y)
	return bytes.Compare(x, y) > 0
}

// afterName is the name that follows in counting.
func afterName(name []byte) []byte {
	next := slices.Clone(name)
	for i, c := range next {
		switch c {
		case 'Z':
			next[i] = '0'
			continue
		case '9':
			next[i] = 'A'
		default:
			next[i] = c + 1
		}
		break
	}
	return next
}

// raiseNext makes the name of the next object in NVTOK.DAT later than those of
// objects that came: the library would give them out again and write over them.
// It says whether it changed anything.
func raiseNext(nvtok []byte, came []uint64) bool {
	next := nextName(nvtok)
	if next == nil {
		return false
	}
	raised := slices.Clone(next)
	for _, key := range came {
		name := object{key: key}.name()
		if isCounter(name) && !laterName(raised, name) {
			raised = afterName(name)
		}
	}
	changed := !bytes.Equal(next, raised)
	copy(next, raised)
	return changed
}

// raised is NVTOK.DAT with its next name raised, which is refused where somebody
// counts on from today's; ok is false where that is late enough.
func (m *merge) raised() (f file, ok bool, err error) {
	if m.inside {
		return f, false, nil // it comes with the token directory
	}
	f, err = readFile(m.s.live.dir, []byte(nvtokName), make([]byte, tokendata.NVTOKNew+tokendata.ICSFRecord))
	if errors.Is(err, unix.ENOENT) {
		return f, false, nil
	}
	if err == nil && m.changes && raiseNext(f.data, m.s.order.came) {
		ok, err = true, m.s.where.counted()
	}
	if err != nil {
		err = fmt.Errorf("%s: %w", nvtokName, err)
	}
	return f, ok, err
}

// mayRaise says so before anything is put in its place.
func (m *merge) mayRaise(*findings) error {
	f, _, err := m.raised()
	clear(f.data)
	return err
}

// raise makes sure that the library does not give a restored name out again.
func (m *merge) raise() error {
	f, ok, err := m.raised()
	defer clear(f.data)
	if !ok || err != nil {
		return err
	}
	var others []uint64
	for _, o := range m.s.live.scan.objects {
		others = append(others, o.key)
	}
	raiseNext(f.data, others)
	return m.s.renewState(m.s.live.dir, &f)
}

// renewState puts an NVTOK.DAT with other bytes in the place of today's, in one
// step.
func (s *staging) renewState(dir int, f *file) error {
	place := s.swap.Scratch()
	fd, err := openat(place, []byte(swap.ScratchName), unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return err
	}
	r := format.Record{Kind: format.KindState, Name: format.Name(nvtokName), Data: f.data}
	r.Details.Attr = f.attr()
	err = s.fill(created{fd, &r})
	if err = errors.Join(err, unix.Fsync(fd), unix.Close(fd)); err != nil {
		return err
	}
	if err := unix.Renameat(place, swap.ScratchName, dir, nvtokName); err != nil {
		return err
	}
	return unix.Fsync(dir)
}
