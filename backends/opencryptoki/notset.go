package opencryptoki

import (
	"cmp"
	"errors"
	"slices"

	"tokar/format"
)

// What may not be settable, and what was set by number for want of a name.
const (
	owners = iota
	owningGroups
	modeBits
	accessLists
	aclEntries
	labels
	times
	unknownNames
)

// words say what is not as it was recorded.
var words = [...]struct{ kind, text string }{
	owners:       {NotSet, "the owner could not be set"},
	owningGroups: {NotSet, "the group could not be set, so permissions meant for it are left out"},
	modeBits:     {NotSet, "the mode could not be set"},
	accessLists:  {NotSet, "an access control list could not be set, and nobody has more access than with it"},
	aclEntries:   {NotSet, "an entry of an access control list is left out"},
	labels:       {NotSet, "the SELinux label could not be set"},
	times:        {NotSet, "the time could not be set"},
	unknownNames: {UnknownName, "a user or group is not known here by name, and its number is used"},
}

// notSet counts what could not be set, for one finding for each reason.
type notSet []lacking

// lacking is one reason why something could not be set.
type lacking struct {
	what       int
	first, why string
	n          int
}

// maxReasons bounds what is told apart; an archive can name any number of groups.
const maxReasons = 64

var errSetID = errors.New("set-user-id, set-group-id and sticky bits are not restored")

// lack counts a file of which something could not be set. Without a reason it is
// the mode's bits that no file gets.
func (s *staging) lack(what int, path string, why error) {
	if why == nil {
		why = errSetID
	}
	reason := why.Error()
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.notSet {
		l := &s.notSet[i]
		if l.what == what && (l.why == reason || len(s.notSet) >= maxReasons) {
			l.n++
			return
		}
	}
	s.notSet = append(s.notSet, lacking{what, path, reason, 1})
}

// takeNotSet gives the findings of what could not be set, once.
func (s *staging) takeNotSet() []format.Finding {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.notSet
	s.notSet = nil
	return n.findings()
}

// findings tells what could not be set.
func (n notSet) findings() (list []format.Finding) {
	n = slices.SortedFunc(slices.Values(n), func(a, b lacking) int {
		return cmp.Or(cmp.Compare(a.what, b.what), cmp.Compare(a.why, b.why))
	})
	for _, l := range n {
		w := words[l.what]
		list = append(list, finding(w.kind, l.first, -1, "%s: %s (files and directories: %d, of which this is the first)", w.text, l.why, l.n))
	}
	return list
}
