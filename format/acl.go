package format

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// ACL is a POSIX access control list in the one form that archives have of it
// (docs/FORMAT.md, 10.9); none is empty. Equal lists are equal strings.
type ACL string

// ACLEntry is one line of an access control list.
type ACLEntry struct {
	Tag  ACLTag
	Perm uint16 // 4 read, 2 write, 1 execute
	ID   uint32 // of ACLUser and ACLGroup, of all others NoID
	Name string // what the number was called where the list was read, if anything
}

// ACLTag says whom an entry is about.
type ACLTag uint16

// The tags, in the order in which entries stand. The numbers are Linux's
// (include/uapi/linux/posix_acl.h).
const (
	ACLUserObj  ACLTag = 1 << iota // the owner
	ACLUser                        // a user
	ACLGroupObj                    // the owning group
	ACLGroup                       // a group
	ACLMask                        // the most that the three above this line can have
	ACLOther                       // everybody else
)

// NoID is the number of nobody.
const NoID = ^uint32(0)

// NewACL makes a list of its entries, which may come in any order. The error
// says which rule of access control lists they break.
func NewACL(entries []ACLEntry) (ACL, error) {
	entries = slices.Clone(entries)
	slices.SortFunc(entries, func(a, b ACLEntry) int {
		return cmp.Or(cmp.Compare(a.Tag, b.Tag), cmp.Compare(a.ID, b.ID))
	})
	if err := checkACL(entries); err != nil {
		return "", err
	}
	var b []byte
	for _, e := range entries {
		b = be.AppendUint16(b, uint16(e.Tag))
		b = be.AppendUint16(b, e.Perm)
		b = be.AppendUint32(b, e.ID)
		b = appendIDName(b, e.Name)
	}
	return ACL(b), nil
}

// Entries are the list's, in order.
func (a ACL) Entries() []ACLEntry {
	entries, _ := parseACL([]byte(a))
	return entries
}

// Masked says whether the list has a mask. One that has none says, of a file,
// no more than the mode does.
func (a ACL) Masked() bool {
	return slices.ContainsFunc(a.Entries(), func(e ACLEntry) bool { return e.Tag == ACLMask })
}

// String is the short text form of acl(5), such as
// "u::rw-,u:joe:r--,g::r--,m::r--,o::---".
func (a ACL) String() string {
	var words []string
	for _, e := range a.Entries() {
		words = append(words, e.String())
	}
	return strings.Join(words, ",")
}

func (e ACLEntry) String() string {
	letter := map[ACLTag]string{ACLUserObj: "u", ACLUser: "u", ACLGroupObj: "g", ACLGroup: "g", ACLMask: "m", ACLOther: "o"}[e.Tag]
	who := e.Name
	if who == "" && e.ID != NoID {
		who = fmt.Sprint(e.ID)
	}
	perm := []byte("rwx")
	for i := range perm {
		if e.Perm&(4>>i) == 0 {
			perm[i] = '-'
		}
	}
	return letter + ":" + who + ":" + string(perm)
}

// decodeACL reads a list that NewACL made; no bytes are no list. That of a file
// has a mask.
func decodeACL(b []byte, ofFile bool) (ACL, error) {
	if len(b) == 0 {
		return "", nil
	}
	entries, err := parseACL(b)
	if err != nil {
		return "", err
	}
	if err := checkACL(entries); err != nil {
		return "", badf(ErrMalformed, "%v", err)
	}
	a := ACL(b)
	if ofFile && !a.Masked() {
		return "", badf(ErrMalformed, "an access control list that says what the mode says")
	}
	return a, nil
}

// parseACL takes a list's entries apart.
func parseACL(b []byte) (entries []ACLEntry, err error) {
	for r := (byteReader{b: b}); len(r.b) > 0; {
		if len(entries) == MaxACL {
			return nil, badf(ErrMalformed, "an access control list of more than %d entries", MaxACL)
		}
		e := ACLEntry{Tag: ACLTag(r.u16()), Perm: r.u16(), ID: r.u32()}
		if e.Name, err = r.idName(); err != nil {
			return nil, err
		}
		entries = append(entries, e)
	}
	return entries, nil
}

// checkACL holds entries to the rules: those of the kernel (posix_acl_valid),
// and nobody named twice.
func checkACL(entries []ACLEntry) error {
	if len(entries) > MaxACL {
		return fmt.Errorf("an access control list of %d entries; %d can be kept", len(entries), MaxACL)
	}
	var seen ACLTag
	var last ACLEntry
	for _, e := range entries {
		named := e.Tag == ACLUser || e.Tag == ACLGroup
		switch {
		case e.Tag == 0 || e.Tag > ACLOther || e.Tag&(e.Tag-1) != 0:
			return fmt.Errorf("an access control list with an entry of tag %#x", uint16(e.Tag))
		case e.Perm > 7 || named != (e.ID != NoID) || !named && e.Name != "":
			return fmt.Errorf("an access control list with the entry %s, tag %#x, permissions %#o", e, uint16(e.Tag), e.Perm)
		case e.Tag < last.Tag || e.Tag == last.Tag && e.ID <= last.ID:
			return fmt.Errorf("an access control list in which %s comes after %s", e, last)
		}
		seen, last = seen|e.Tag, e
	}
	const always = ACLUserObj | ACLGroupObj | ACLOther
	if seen&always != always || seen&(ACLUser|ACLGroup) != 0 && seen&ACLMask == 0 {
		return fmt.Errorf("an access control list without what each must have")
	}
	return nil
}
