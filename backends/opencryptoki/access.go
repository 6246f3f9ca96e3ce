package opencryptoki

import (
	"cmp"
	"errors"
	"slices"

	"golang.org/x/sys/unix"

	"tokar/format"
)

// access is who may do what with a file, in numbers of this host.
type access struct {
	mode    uint32
	acl     []format.ACLEntry // none: the mode says all
	inherit []format.ACLEntry // of a directory, the default list
}

// accessHere is the recorded access. Of mode and list, which archives may have
// from two moments, the narrower counts.
func (s *staging) accessHere(path string, want *format.Attr, dir bool) access {
	a := access{mode: want.Mode, acl: s.entriesHere(path, want.ACL)}
	if dir {
		a.inherit = s.entriesHere(path, want.DefaultACL)
	}
	limit(a.acl, format.ACLUserObj, uint16(a.mode>>6))
	limit(a.acl, format.ACLMask, uint16(a.mode>>3))
	limit(a.acl, format.ACLOther, uint16(a.mode))
	if len(a.acl) > 0 {
		a.mode = a.mode&^0o777 | modeWithout(a.acl)
	}
	return a
}

// closeGroup takes away what is meant for a group that the file does not have:
// it would go to another one. Who was in the group and could do less than
// everybody else does not come to do more.
func (a *access) closeGroup() {
	a.mode &^= unix.S_ISGID | 0o070 | ^(a.mode>>3)&0o007
	for _, list := range [][]format.ACLEntry{a.acl, a.inherit} {
		limit(list, format.ACLOther, perm(list, format.ACLGroupObj)&perm(list, format.ACLMask))
		limit(list, format.ACLGroupObj, 0)
	}
}

// setAccess sets mode and lists. The mode comes first and is the one that holds
// without a list, so that it opens nothing where the list cannot be set.
func (s *staging) setAccess(fd int, path string, st *unix.Stat_t, a access, chowned bool) {
	dir := st.Mode&unix.S_IFMT == unix.S_IFDIR
	if dir || s.inherits {
		if err := setACL(fd, accessACL, nil); err != nil {
			s.lack(accessLists, path, err)
			a.mode &^= 0o070 // what stays of an inherited list
		}
	}
	if chowned || st.Mode&0o7777 != a.mode { // fchown clears bits
		if err := unix.Fchmod(fd, a.mode); err != nil {
			s.lack(modeBits, path, err)
		}
	}
	if len(a.acl) > 0 {
		if err := setACL(fd, accessACL, a.acl); err != nil {
			s.lack(accessLists, path, err)
		}
	}
	if !dir {
		return
	}
	if err := setACL(fd, defaultACL, a.inherit); err != nil {
		s.lack(accessLists, path, err)
	}
	// Linux clears the set-group-id bit, and says nothing, for who is not in the group.
	if a.mode&^0o777 != 0 && unix.Fstat(fd, st) == nil && a.mode&^0o777&^st.Mode != 0 {
		s.lack(modeBits, path, errDropped)
	}
}

var errDropped = errors.New("the system left out the set-group-id or sticky bit")

// entriesHere are a recorded list's with the numbers of this host. Who has none
// here is left out; of two who are one here, what both may remains.
func (s *staging) entriesHere(path string, acl format.ACL) (entries []format.ACLEntry) {
	for _, e := range acl.Entries() {
		n := users()
		if e.Tag == format.ACLGroup {
			n = groups()
		}
		var ok bool
		if e.ID, ok = s.numberHere(n, aclEntries, path, e.Name, e.ID, format.NoID); ok {
			entries = append(entries, e)
		}
	}
	slices.SortStableFunc(entries, func(a, b format.ACLEntry) int {
		return cmp.Or(cmp.Compare(a.Tag, b.Tag), cmp.Compare(a.ID, b.ID))
	})
	merged := entries[:0]
	for _, e := range entries {
		if n := len(merged); n > 0 && merged[n-1].Tag == e.Tag && merged[n-1].ID == e.ID {
			merged[n-1].Perm &= e.Perm
			continue
		}
		merged = append(merged, e)
	}
	return merged
}

// perm is what a list says of a tag that it has once, or everything.
func perm(acl []format.ACLEntry, tag format.ACLTag) uint16 {
	for _, e := range acl {
		if e.Tag == tag {
			return e.Perm
		}
	}
	return 7
}

// limit takes from a tag of a list what is not in most.
func limit(acl []format.ACLEntry, tag format.ACLTag, most uint16) {
	for i := range acl {
		if acl[i].Tag == tag {
			acl[i].Perm &= most
		}
	}
}

// modeWithout is the mode that gives nobody more than a list does. Who was named
// because he may do less than the others takes it from the others.
func modeWithout(acl []format.ACLEntry) uint32 {
	mask := perm(acl, format.ACLMask)
	group := perm(acl, format.ACLGroupObj) & mask
	other := perm(acl, format.ACLOther)
	for _, e := range acl {
		switch e.Tag {
		case format.ACLUser:
			group &= e.Perm
			other &= e.Perm & mask
		case format.ACLGroup:
			other &= e.Perm & mask
		}
	}
	return uint32(perm(acl, format.ACLUserObj))<<6 | uint32(group)<<3 | uint32(other)
}
