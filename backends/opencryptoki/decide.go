package opencryptoki

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"tokar/backends"
	"tokar/backends/opencryptoki/tokendata"
	"tokar/format"
)

// decide says what becomes of the PINs of the token that stands there, and
// whether the archive's may take its place at all.
func (s *staging) decide(found *findings) error {
	if s.same == nil {
		return nil
	}
	kin, why := s.same.kinship()
	words := strings.Join(s.same.pins(), "; ")
	switch {
	case kin == samePINs && len(s.order.lacking) > 0:
		return s.keepState() // the very bytes that the archive has and does not give
	case kin == samePINs:
		return s.matchPEMs()
	case s.o.Replace:
		s.replaces = kin != sameToken
		return s.takePINs("the archive's token takes the place of what stands here, with its own PINs and keys")
	case s.live.unused:
		return s.takePINs("the token that stands here holds nothing, for nobody initialised it: the archive's takes its place, with its own PINs")
	case kin == otherToken:
		return fmt.Errorf("%w stands there: %s; no PIN of today would open what the archive holds", backends.ErrOther, why)
	case s.o.PINs == backends.RollBackPINs:
		return s.takePINs("the archive's PINs hold again, and its count of wrong tries: %s", words)
	case kin == unknownKin && s.o.PINs != backends.KeepPINs:
		return fmt.Errorf("%w as stands there: %s", backends.ErrUnknown, why)
	}
	return s.keepPINs(found, words)
}

// matchPEMs is about the PEM files of a TPM token whose PINs are the archive's:
// those that only one of both has fit the other.
func (s *staging) matchPEMs() error {
	var back []string
	for name := range s.same.archived {
		if _, there := s.same.live[name]; !there {
			back = append(back, name)
		}
	}
	if slices.Sort(back); len(back) > 0 {
		s.note("%s: off the disk until now, and come with the archive; take them off again when no other TPM needs them", strings.Join(back, ", "))
	}
	for name := range s.same.live {
		if _, there := s.same.archived[name]; there {
			continue
		}
		s.order.hasTPM(path.Base(name))
		if s.dir < 0 {
			continue
		}
		if err := s.keep(format.NameOf(strings.Split(name, "/")...)); err != nil {
			return err
		}
	}
	return nil
}

// takePINs lets the archive's PIN state take the place of today's, if it is
// there: without NVTOK.DAT the library sees no token.
func (s *staging) takePINs(form string, args ...any) error {
	if lacking := slices.Sorted(maps.Keys(s.order.lacking)); len(lacking) > 0 {
		return fmt.Errorf("%w, for these are damaged in the archive or left out: %s", backends.ErrLacking, strings.Join(lacking, ", "))
	}
	s.note(form, args...)
	return nil
}

// keepPINs keeps the PIN state of today.
func (s *staging) keepPINs(found *findings, words string) error {
	switch {
	case s.same.tpm && !s.same.sameKeys():
		return fmt.Errorf("%w: %s", backends.ErrNotKept, words)
	case s.same.tpm:
		s.note("its NVTOK.DAT and PEM files stay as they are today: %s", words)
		return s.keepState()
	}
	if reason := unsound(s.same.live, s.same.archived); reason != "" {
		return fmt.Errorf("%w, for they are damaged: %s", backends.ErrNotKept, reason)
	}
	found.add(PINsKept, nvtokName, -1, "the PINs of today stay, the archive's are not restored: %s", words)
	return s.keepState()
}

// keepState puts the PIN state of today into the place of the archive's.
func (s *staging) keepState() error {
	if s.dir < 0 {
		return nil
	}
	for name := range s.same.archived {
		if _, there := s.same.live[name]; !there {
			if err := s.unlink(format.NameOf(strings.Split(name, "/")...)); err != nil {
				return err
			}
		}
	}
	for i := range s.live.scan.state {
		if err := s.keep(s.live.scan.state[i].Name); err != nil {
			return err
		}
	}
	return nil
}

// keep copies a state file of today.
func (s *staging) keep(name format.Name) error {
	parent, err := openPath(s.live.dir, name.Components())
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	defer unix.Close(parent)
	f, err := readFile(parent, baseName(name), make([]byte, 4<<10))
	if err != nil {
		return fmt.Errorf("cannot read %s: %w", name, err)
	}
	defer clear(f.data)
	if string(name) == nvtokName {
		raiseNext(f.data, s.order.came)
	}
	r := format.Record{Kind: format.KindState, Name: name, Data: f.data} // Supersedes 0: it may be there
	r.Details.Attr = f.attr()
	return s.putSome([]*format.Record{&r})
}

func (s *staging) unlink(name format.Name) error {
	parts := name.Components()
	parent, err := openPath(s.dir, parts)
	if err == nil {
		err = unix.Unlinkat(parent, parts[len(parts)-1], 0)
		unix.Close(parent)
	}
	if err != nil && err != unix.ENOENT {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// unsound says what is wrong with a PIN state, as far as its sizes tell. ICSF
// tokens may be without MK files, unless the archived one has them.
func unsound(s, archived pinState) string {
	var found findings
	checkNVTOK(s[nvtokName], &found)
	n := tokendata.ParseNVTOK(s[nvtokName])
	for _, r := range tokendata.Roles {
		size := len(s[r.KeyFile])
		if r.Set(s[nvtokName]) && (!n.ICSF || archived[r.KeyFile] != nil) && size != tokendata.KeyFileNew && size != tokendata.KeyFileOld && size != tokendata.KeyFileCCA {
			found.add(Length, r.KeyFile, size, "%d bytes", size)
		}
	}
	if len(found.list) == 0 {
		return ""
	}
	return found.list[0].File + ": " + found.list[0].Message
}
