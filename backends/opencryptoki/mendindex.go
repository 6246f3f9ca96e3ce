package opencryptoki

import (
	"bytes"
	"maps"
	"slices"
	"strings"

	"tokar/backends"
)

// indexFaults says what is wrong with the form of today's OBJ.IDX.
func (n *mend) indexFaults() string {
	scan := n.m.s.live.scan
	if scan.indexEntry == nil {
		if len(n.objects) == 0 && n.m.s.live.objects >= 0 {
			return ""
		}
		return "there was none"
	}
	var words []string
	for _, f := range scan.indexEntry.Findings {
		if f.Kind == LineEnd || f.Kind == IndexLine || f.Kind == Duplicate {
			words = append(words, f.Message)
		}
	}
	if len(words) > 3 {
		words = append(words[:3], "…")
	}
	return strings.Join(words, "; ")
}

// today is OBJ.IDX of today as it should be: each name once, each on a line that
// ends in LF, and nothing else.
func (n *mend) today(index []byte) []byte {
	if n.indexFaults() == "" && len(n.renamed) == 0 {
		return index
	}
	var b []byte
	seen := map[string]bool{}
	indexLines(index, &findings{}, func(line []byte, _ int) {
		name := string(line)
		if now := n.renamed[name]; now != "" {
			name = now
		}
		if isObjectName(name) && !seen[name] {
			seen[name] = true
			b = append(append(b, name...), '\n')
		}
	})
	return b
}

// added lists the objects that OBJ.IDX lost and the archive does not have, after
// those that are listed.
func (n *mend) added(index []byte) []byte {
	var ignored findings
	listed := map[string]bool{}
	indexLines(index, &ignored, func(line []byte, _ int) { listed[string(line)] = true })
	var names [][]byte
	for name := range n.relisted {
		if !listed[name] {
			names = append(names, []byte(name))
		}
	}
	slices.SortFunc(names, func(a, b []byte) int {
		switch {
		case laterName(a, b):
			return 1
		case laterName(b, a):
			return -1
		}
		return 0
	})
	for _, name := range names {
		index = append(append(index, name...), '\n')
	}
	return index
}

// index is the new OBJ.IDX.
func (n *mend) index(today, archived []byte) []byte {
	index := mergeIndex(n.today(today), archived, func(name []byte) bool {
		c := n.m.chosen[string(name)]
		return n.relisted[string(name)] || c != nil && c.put && c.listed
	})
	if len(n.relisted) == 0 {
		return index
	}
	return n.added(bytes.Clone(index))
}

// told is what was put right, in words.
func (n *mend) told() backends.Mended {
	var done backends.Mended
	add := func(name, message string) {
		done.Entries = append(done.Entries, backends.MendedEntry{Name: name, Message: message})
	}
	for _, name := range sorted(n.state) {
		if why := n.state[name].why; why != "" { // else only its next name is another
			add(name, why)
		}
	}
	if faults := n.indexFaults(); faults != "" {
		add(indexPath, faults)
	}
	for _, name := range sorted(n.m.chosen) {
		if c := n.m.chosen[name]; c.put {
			add(name, c.why)
		}
	}
	for _, name := range sorted(n.relisted) {
		add(name, "OBJ.IDX did not list it")
	}
	for _, name := range sorted(n.renamed) {
		add(n.renamed[name], "it had been renamed to "+name)
	}
	done.Deleted, done.Changed = sorted(n.gone), sorted(n.changed)
	return done
}

func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
