package commands

import (
	"fmt"

	"tokar/backends"
	"tokar/format"
)

// cautions tell, as notes, what of tokens is sound and dangerous, and what the
// library hides of them. They change no exit code.
type cautions struct {
	*session
	configured bool                         // the group is compared with the slot's
	open       map[*format.Token]*cautioned // tokens whose end has not come
}

type cautioned struct {
	seen   map[string]int // by kind
	kinds  []string
	hiding string // the private object at which the library stops
	hidden int    // those after it
}

// entry takes an entry of a token, in the order in which the library loads them.
func (c *cautions) entry(b backends.Backend, t *format.Token, r *format.Record) {
	of := c.open[t]
	if of == nil {
		of = &cautioned{seen: map[string]int{}}
		c.open[t] = of
	}
	if k, ok := b.(backends.Cautioner); ok {
		for _, f := range k.Cautions(t, r) {
			if f.Kind != "group" || !c.configured {
				c.tell(t, of, r, f)
			}
		}
	}
	h, ok := b.(backends.Hider)
	switch {
	case !ok || r.Kind != format.KindObject || r.Absent() || r.Flags&format.Unlisted != 0 || r.Supersedes != format.NoSeq:
	case of.hiding != "" && r.Flags&format.Private != 0:
		of.hidden++
	case of.hiding == "" && h.Hides(t, r):
		of.hiding = r.Name.String()
	}
}

// tell names the first of each kind.
func (c *cautions) tell(t *format.Token, of *cautioned, r *format.Record, f format.Finding) {
	if of.seen[f.Kind] == 0 {
		of.kinds = append(of.kinds, f.Kind)
	}
	if of.seen[f.Kind]++; of.seen[f.Kind] == 1 || c.report.verbose || c.report.json != nil {
		c.report.caution(t.Name.String(), entryName(r), f)
	}
}

// end tells what only the token's end shows.
func (c *cautions) end(t *format.Token) {
	of := c.open[t]
	delete(c.open, t)
	if of == nil {
		return
	}
	token := t.Name.String()
	for _, kind := range of.kinds {
		if n := of.seen[kind]; n > 1 && !c.report.verbose && c.report.json == nil {
			c.report.note(token, fmt.Sprintf("%s: %d more of its files; -v names them", kind, n-1))
		}
	}
	if of.hiding != "" {
		c.report.caution(token, of.hiding, format.Finding{Kind: "hidden", Offset: -1, Message: fmt.Sprintf(
			"at a login the library stops at it and hides the private objects that follow in OBJ.IDX, without a word: %d", of.hidden)})
	}
}
