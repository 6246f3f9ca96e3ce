package opencryptoki

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"tokar/backends"
)

// indexTemp is what 3.8.1 leaves behind with each deletion.
const indexTemp = objectsName + "/IDX.TMP"

// shownDropped is how many names a finding has.
const shownDropped = 5

// reportDropped names the objects and other files that stand there and are not
// restored: with the old token they go. Only objects of the archive's own token are
// a finding.
func (s *staging) reportDropped(found *findings) error {
	if s.live == nil {
		return nil
	}
	slices.Sort(s.order.came)
	var names []string
	n := 0
	for _, o := range s.live.scan.objects {
		if _, came := slices.BinarySearch(s.order.came, o.key); came && !s.replaces {
			continue
		}
		if n++; n <= shownDropped {
			names = append(names, string(o.name()))
		}
	}
	switch {
	case n > 0 && s.replaces: // as the operator said
		s.note("objects of %s", s.dropped(names, n))
	case n > 0:
		found.add(Dropped, objectsName, -1, "objects of %s", s.dropped(names, n))
	}
	names = slices.Sorted(maps.Keys(s.order.others))
	if n = len(names); n > 0 {
		s.note("files that are no objects of %s", s.dropped(names[:min(n, shownDropped)], n))
	}
	return nil
}

// dropped names the first of n files.
func (s *staging) dropped(names []string, n int) string {
	if n > len(names) {
		names = append(names, "…")
	}
	parts := s.token.Name.Components()
	where := "they are in " + parts[len(parts)-1] + oldSuffix + " only"
	if s.o.NoKeep {
		where = "they are gone, for it is not kept"
	}
	return fmt.Sprintf("the token that stood here and are not among those restored: %d (%s); %s", n, strings.Join(names, ", "), where)
}

// othersOf are the names of the files in a token that the library does not know,
// without what a write of its own left.
func othersOf(foreign []backends.Entry) map[string]bool {
	names := map[string]bool{}
	for _, e := range foreign {
		if _, left := tempOf(string(baseName(e.Name))); !left && e.Name.String() != indexTemp {
			names[e.Name.String()] = true
		}
	}
	return names
}
