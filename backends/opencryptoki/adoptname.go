package opencryptoki

import (
	"bytes"
	"crypto/rand"
)

// reserve keeps the archive's names for its own objects, as far as it has no more
// than a token takes.
func (a *adopt) reserve(index []byte) {
	indexLines(index, &findings{}, func(line []byte, _ int) {
		if len(a.wanted) < 2*maxOfASort && isObjectName(line) {
			a.wanted[string(line)] = true
		}
	})
}

// name gives an object its name: its own, or where that is taken one by the rule
// of the token that takes it. Up to 3.17 names are counted, since 3.18 they are
// OB and six random characters (object.c).
func (a *adopt) name(own string) string {
	name := own
	for a.taken[name] || name != own && a.wanted[name] {
		if a.next != nil {
			name = string(a.next)
			a.next = afterName(a.next)
			continue
		}
		name = "OB" + randomName(6)
	}
	a.taken[name] = true
	return name
}

func randomName(n int) string {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	b := make([]byte, 0, n)
	for len(b) < n {
		var one [1]byte
		rand.Read(one[:])
		if int(one[0]) < 256/len(letters)*len(letters) {
			b = append(b, letters[int(one[0])%len(letters)])
		}
	}
	return string(b)
}

// index is OBJ.IDX of today with the new names after those that are listed, in
// the archive's order.
func (a *adopt) index(today, archived []byte) []byte {
	index := bytes.Clone(today)
	if n := len(index); n > 0 && index[n-1] != '\n' {
		index = append(index, '\n')
	}
	listed := map[string]bool{} // where an object takes the place of an empty file
	indexLines(today, &findings{}, func(line []byte, _ int) { listed[string(line)] = true })
	added := false
	for line := range bytes.Lines(archived) {
		now := a.given[string(line[:objectNameLen])]
		if c := a.m.chosen[now]; c != nil && c.put && c.listed && !listed[now] {
			index = append(append(index, now...), '\n')
			added = true
		}
	}
	if !added {
		return today
	}
	return index
}

// firstNames are some of a list.
func firstNames(names []string) string {
	list := names[:min(len(names), 2*shownDropped)]
	text := ""
	for i, name := range list {
		if i > 0 {
			text += ", "
		}
		text += name
	}
	if len(list) < len(names) {
		text += ", …"
	}
	return text
}
