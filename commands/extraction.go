package commands

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"tokar/backends"
	"tokar/backends/all"
	"tokar/format"
	"tokar/stages"
)

// An extraction is what one run restores, and where.
type extraction struct {
	*session
	o         extractOptions
	committed []string
	put       map[*format.Token]uint64 // objects that are restored
	same      map[*format.Token]uint64 // … that are there already
	bytes     uint64
	dirs      map[string]string // of each token that is restored
	last      *format.Token     // the last one noted in dirs
	refuse    context.CancelCauseFunc
	salvages  bool
	tokens    []*format.Token // that are restored, or a configuration

	mu      sync.Mutex
	logins  []backends.Logins // to be cleared
	renamed *format.Token     // the one that --as means
}

// partway says of a stop after a change which tokens are new, and what to run
// again.
func (x *extraction) partway(part *stages.PartError) error {
	var said, others []string
	if len(part.Done) > 0 {
		said = append(said, "restored: "+quoteAll(part.Done))
	}
	if part.Half != "" {
		said = append(said, quote(part.Half)+" is not as it was, and its next restore clears up")
	}
	for _, name := range slices.Sorted(maps.Keys(x.dirs)) {
		if !slices.Contains(part.Done, name) {
			others = append(others, name)
		}
	}
	if untouched := slices.DeleteFunc(slices.Clone(others), func(n string) bool { return n == part.Half }); len(untouched) > 0 {
		said = append(said, "not touched: "+quoteAll(untouched))
	}
	return &failure{
		code: exitPartway, err: part, left: strings.Join(said, "; "),
		todo: "when that is mended, run it again for " + quoteAll(others),
	}
}

func (x *extraction) options() stages.ExtractOptions {
	open := x.o.engine()
	open.Each = x.counted(x.each)
	if x.o.into != nil {
		return x.optionsInto(open)
	}
	return stages.ExtractOptions{
		OpenOptions: open,
		Backend:     backendFor(x.o.cfg),
		Place: func(t *format.Token) stages.Place {
			if x.configuration(t) {
				return stages.Place{Whole: x.wants(t, nil), Wanted: x.wants(t, nil)}
			}
			whole, wanted := x.o.sel.token(t)
			if whole && wanted {
				x.rename(t)
			}
			return stages.Place{Dir: x.place(t), Name: x.o.as, Whole: whole, Wanted: wanted}
		},
		Select: func(t *format.Token, r *format.Record) bool {
			wanted := x.wants(t, r)
			if wanted && !x.configuration(t) {
				x.rename(t)
			}
			return wanted
		},
		There:    x.there,
		Damaged:  x.o.damaged,
		Existing: x.o.existing,
		Left:     x.left,
		Finding:  x.found,
		Note: func(t *format.Token, message string) {
			x.report.note(x.nameOf(t), message)
		},
		Committed: func(t *format.Token, dir string) {
			if x.compares(t) {
				return
			}
			x.report.changed = true
			x.commit(t)
		},
	}
}

// configuration says whether a token is a host's configuration, which has its own
// place. To a salvage it is files as all else.
func (x *extraction) configuration(t *format.Token) bool { return !x.salvages && isConfiguration(t) }

// wants says whether a record is chosen. A configuration is whenever the host's is
// given: what patterns choose are tokens, and this is about all of them.
func (x *extraction) wants(t *format.Token, r *format.Record) (wanted bool) {
	var entry string
	switch {
	case r == nil:
		_, wanted = x.o.sel.token(t)
	case r.Kind == format.KindToken:
		wanted = x.o.sel.record(t, r)
	default:
		wanted, entry = x.o.sel.entry(t, r), r.Name.String()
	}
	if x.configuration(t) && x.o.cfg != nil {
		return !x.o.sel.excludes(t.Name.String(), entry)
	}
	return wanted
}

// compares says that a token is a configuration that is not written.
func (x *extraction) compares(t *format.Token) bool {
	return x.configuration(t) && !x.o.existing.Configuration
}

// rename takes t for the token that --as means; a second one is refused.
func (x *extraction) rename(t *format.Token) {
	if len(x.o.as) == 0 {
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.renamed == nil {
		x.renamed = t
	}
	if x.renamed != t {
		flag := "--as"
		if x.o.into != nil {
			flag = "--into"
		}
		x.refuse(usagef(x.name, flag+" is for one token, and %s are chosen", quoteAll([]string{x.renamed.Name.String(), t.Name.String()})))
	}
}

// nameOf is what a token is called where it is restored.
func (x *extraction) nameOf(t *format.Token) string {
	if len(x.o.as) > 0 && !x.configuration(t) {
		return x.o.as.String()
	}
	return t.Name.String()
}

// found names what could not be set, or what of a token goes or stays.
func (x *extraction) found(t *format.Token, f format.Finding) {
	n := notice{Finding: f, token: x.nameOf(t)}
	if x.o.into != nil && f.Kind == backends.NotMoved {
		x.put[t]--
	}
	if f.Kind == backends.Exists {
		x.put[t]--
		n.advice.text = "--overwrite replaces it"
	} else if b, err := all.ByKind(t.Kind); err == nil {
		name, kind := entryOf(f)
		if words := b.Advice(f.Kind, backends.Subject{Token: t, Kind: kind, Name: name, Repaired: true}); words != "" {
			n.advice.text = "what to do: " + words
		}
	}
	x.report.tell(n)
}

func (x *extraction) place(t *format.Token) string {
	dir := x.o.dir
	if len(x.o.sel.wanted) > 0 && x.o.cfg == nil {
		dir = x.o.sel.dir(t.Name.String())
	}
	return cmp.Or(dir, ".")
}

func (x *extraction) each(t *format.Token, r *format.Record) {
	if t == nil || r.Kind == format.KindEndOfToken || !x.wants(t, r) {
		return
	}
	if x.o.into != nil && (isConfiguration(t) || r.Kind != format.KindObject) {
		return // nothing else is moved
	}
	if r.Kind == format.KindToken {
		x.tokens = append(x.tokens, t)
	} else if !x.compares(t) {
		if t != x.last {
			x.dirs[x.nameOf(t)], x.last = x.place(t), t
		}
		x.bytes += uint64(r.Size)
		if r.Kind == format.KindObject {
			x.put[t]++
		}
	}
	if r.Kind != format.KindToken || len(x.o.sel.wanted) == 0 {
		x.archived(t, r)
	}
}

// left names what was chosen and not restored.
func (x *extraction) left(t *format.Token, r *format.Record) {
	why := "damaged; left out; --damaged restores it as it is"
	if r.Absent() {
		why = "it was not read when the archive was made"
	}
	x.report.finding(t.Name.String(), r.Name.String(), format.Finding{Kind: "left-out", Offset: -1, Message: why})
	if r.Kind == format.KindObject {
		x.put[t]--
	}
	x.bytes -= uint64(r.Size)
}

// fits names tokens that do not fit their slots: those of today, for if the
// archive's configuration is written they are as they were there.
func (x *extraction) fits() {
	has := slices.ContainsFunc(x.tokens, x.configuration)
	if x.o.existing.Configuration && !has {
		x.report.plain("not-found", "--configuration", "the archive has no configuration")
	}
	for _, t := range x.tokens {
		if _, restored := x.dirs[x.nameOf(t)]; restored && !(has && x.o.existing.Configuration) {
			x.misfits(x.o.cfg, t)
		}
	}
}

func (x *extraction) result() {
	verb, tokens := "restored", x.committed
	if x.o.dryRun {
		verb, tokens = "would restore", x.wouldCommit()
	}
	put, same := total(x.put), total(x.same)
	x.summary.Restored = (*number)(&put)
	x.summary.There = number(same)
	already := ""
	if same > 0 {
		already = count(same, "object") + " there already, with the same content"
	}
	if put == 0 && len(tokens) == 0 && same > 0 {
		x.report.result("nothing to restore: %s%s", already, x.report.withFindings())
		return
	}
	if already != "" {
		already = "; " + already
	}
	what := fmt.Sprintf("%s, %s, %s", count(uint64(len(tokens)), "token"), count(put, "object"), size(x.bytes))
	x.report.result("%s %s%s%s%s", verb, what, x.where(tokens), already, x.report.withFindings())
}

func total(of map[*format.Token]uint64) (n uint64) {
	for _, m := range of {
		n += m
	}
	return n
}

// there takes off what need not be restored.
func (x *extraction) there(t *format.Token, objects int, bytes uint64) {
	x.put[t] -= uint64(objects)
	x.same[t] += uint64(objects)
	x.bytes -= bytes
}

// idle says that all that was chosen of a token is there already.
func (x *extraction) idle(t *format.Token) bool { return x.same[t] > 0 && x.put[t] == 0 }

// commit notes a token that has what was chosen of it.
func (x *extraction) commit(t *format.Token) {
	if !x.idle(t) {
		x.committed = append(x.committed, x.nameOf(t))
	}
}

// wouldCommit are the tokens that a run would restore.
func (x *extraction) wouldCommit() []string {
	idle := map[string]bool{}
	for t := range x.same {
		idle[x.nameOf(t)] = x.idle(t)
	}
	return slices.DeleteFunc(slices.Collect(maps.Keys(x.dirs)), func(name string) bool { return idle[name] })
}

// where says where tokens are, if a few words can.
func (x *extraction) where(tokens []string) string {
	if len(tokens) == 1 {
		return " as " + quote(filepath.Join(x.dirs[tokens[0]], filepath.FromSlash(tokens[0])))
	}
	places := slices.Compact(slices.Sorted(maps.Values(x.dirs)))
	if len(places) == 1 {
		return " into " + quote(places[0])
	}
	return ""
}
