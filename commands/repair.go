package commands

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"

	"tokar/backends"
	"tokar/backends/all"
	"tokar/format"
	"tokar/stages"
)

func repairCommand() *command {
	return &command{
		name:     "repair",
		summary:  "put right what is damaged or missing of tokens, from an archive",
		synopsis: "[flags] TOKEN…",
		examples: `tokar repair -f backup.tokar -i restore.key -C /var/lib/opencryptoki swtok
tokar repair -n -f backup.tokar -i restore.key --pin file:user.pin swtok
tokar repair -f backup.tokar -i restore.key -C /var/lib/opencryptoki '*'`,
		text: `The token DIR/TOKEN of today is judged as check does it, and of the archive's
token of that name nothing comes but what is damaged, missing or unlisted today:
objects whose file is damaged, or is gone while OBJ.IDX lists it, or was renamed;
lines of OBJ.IDX; and NVTOK.DAT, MK_SO or MK_USER where the others of the three
show that the archive's is of the same PINs and the same master key. All comes in
one step, or nothing does. What is sound stays as it is: objects that were added
or changed since, and the PINs of today. Objects that were deleted since stay
deleted, and are named.

With --pin or --so-pin private objects are judged by opening them. Without, they
are judged by length, header and name; one that differs from the archive's stays
as it is and is a finding. A token that is not the archive's is left alone, and so
is one that programs may be using. Nothing logs in, so no wrong PIN is counted. -n
tells what would be done, and does nothing.`,
		flags: join([]cli.Flag{
			fileFlag("read the archive from `FILE`; - or none is stdin"),
			directoryFlag("the tokens are in `DIR`; counts for the names that follow"),
			&cli.StringFlag{Name: "as", Usage: "the one token chosen has another `NAME` today"},
		}, configFlags("it says where the tokens are, and operands may be its slots"), identityFlags(), signersFlags(), pinFlags(), []cli.Flag{
			&cli.BoolFlag{Name: "token-in-use", Usage: "put objects right though programs use the token; they may not see them before they are started again"},
			lockDirFlag(),
			jobsFlag(),
			progressFlag(),
			dryRunFlag(),
		}, reportFlags()),
		run: func(s *session, c *cli.Context) error {
			o, err := repairOptionsOf(s, c)
			if err != nil {
				return err
			}
			defer o.forget()
			return repair(s.ctx, s, o)
		},
	}
}

type repairOptions struct {
	extractOptions
	pins *pins
}

func repairOptionsOf(s *session, c *cli.Context) (o repairOptions, err error) {
	if len(s.operands) == 0 {
		return o, usagef(s.name, "it takes the names of tokens; '*' means all of the archive")
	}
	o.dir, o.dryRun = s.dir, c.Bool("dry-run")
	if err = s.claimArchive(c.String("file")); err != nil {
		return o, err
	}
	if o.cfg, err = s.configuration(c, false); err != nil {
		return o, err
	}
	if o.cfg != nil {
		o.dir = o.cfg.Base()
	}
	operands, err := named(s.ctx, s, o.cfg, s.operands)
	if err != nil {
		return o, err
	}
	o.sel = &selection{}
	for _, operand := range operands {
		operand.text = trimPattern(operand.text)
		o.sel.wanted = append(o.sel.wanted, &pattern{operand: operand})
	}
	if o.as, err = otherName(s, c); err != nil {
		return o, err
	}
	if o.pins, err = pinsOf(s, c); err != nil {
		return o, err
	}
	o.existing = backends.RestoreOptions{Mend: true, DryRun: o.dryRun, InUse: c.Bool("token-in-use"), NoKeep: true}
	if o.existing.Locks, err = directoryOf(s, c, "lock-dir"); err != nil {
		return o, err
	}
	o.openOptions, err = openOptionsOf(s, c)
	return o, err
}

// repair puts right what is damaged of the tokens chosen.
func repair(ctx context.Context, s *session, o repairOptions) error {
	s.report.survive = true
	s.report.out.fail = nil
	const nothing = "nothing was repaired"
	in, err := s.openArchive(o.file)
	if err != nil {
		return err
	}
	defer in.Close()
	if err := o.checkDirs(ctx); err != nil {
		return left(err, nothing)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	x := &repairing{extraction: &extraction{session: s, o: o.extractOptions, dirs: map[string]string{}, put: map[*format.Token]uint64{}, same: map[*format.Token]uint64{}, refuse: cancel}, pins: o.pins}
	unix.Umask(0) // as for extract
	sum, err := stages.Extract(ctx, in.Reader, x.options())
	for _, l := range x.logins {
		l.Clear()
	}
	o.pins.forget()
	if cause := context.Cause(ctx); err != nil && codeOf(cause) == exitUsage {
		err = cause
	}
	if sum != nil {
		s.note(sum)
		s.summary.Tokens, s.summary.Objects = number(x.seen), number(x.objects)
		s.summary.Repaired = (*number)(&x.repaired)
		s.summary.Committed, s.summary.DryRun = x.committed, o.dryRun
	}
	var part *stages.PartError
	switch {
	case errors.As(err, &part):
		return x.partway(part)
	case errors.Is(err, backends.ErrPIN):
		return &failure{code: exitSecret, err: err, left: nothing, todo: "give the PIN that the token has today; without one, what can be told without is repaired"}
	case errors.Is(err, backends.ErrOther):
		return &failure{code: exitFailed, err: err, left: nothing, todo: "repair it from an archive of its own; what this one holds goes into it with tokar extract --into and the PINs of both, or in its place with tokar extract --replace-token"}
	case errors.Is(err, backends.ErrUnknown):
		return &failure{code: exitFailed, err: err, left: nothing, todo: "give a PIN with --pin or --so-pin: with that it can be told"}
	case errors.Is(err, backends.ErrNoToken):
		return &failure{code: exitFailed, err: err, left: nothing, todo: "-C says where the tokens are; tokar extract restores a whole one"}
	case errors.Is(err, backends.ErrInUse) && !errors.Is(err, backends.ErrLocked):
		return &failure{code: exitBusy, err: err, left: nothing, todo: "stop pkcsslotd and the programs that use the token, and try again; objects are put right meanwhile with --token-in-use"}
	case err != nil:
		return left(in.explain(err), nothing)
	}
	if err := o.sel.missed(s.report); err != nil {
		return left(err, nothing)
	}
	o.pins.unused()
	s.tellSigner(sum)
	x.result()
	return nil
}

// A repairing is what one run repairs.
type repairing struct {
	*extraction
	pins     *pins
	tokens   []string // looked at
	repaired uint64   // entries
	seen     uint64   // tokens of the archive that are chosen
	objects  uint64   // … their objects
}

func (x *repairing) options() stages.ExtractOptions {
	o := x.extraction.options()
	o.Each = x.counted(x.each)
	o.Place = func(t *format.Token) stages.Place {
		whole, _ := x.o.sel.token(t)
		if isConfiguration(t) {
			return stages.Place{}
		}
		if whole {
			x.rename(t)
		}
		return stages.Place{Dir: x.place(t), Name: x.o.as, Wanted: whole}
	}
	o.Select = func(*format.Token, *format.Record) bool { return true }
	o.Left = nil
	o.Mended = x.mended
	o.Finding = x.remains
	o.Committed = func(t *format.Token, dir string) {}
	o.Logins = func(t *format.Token) (backends.Logins, error) {
		l, err := x.pins.of(t.Name.String())
		if err == nil {
			x.mu.Lock()
			x.logins = append(x.logins, l)
			x.mu.Unlock()
		}
		return l, err
	}
	return o
}

func (x *repairing) each(t *format.Token, r *format.Record) {
	if t == nil || r.Kind != format.KindToken && r.Kind != format.KindObject {
		return
	}
	switch whole, _ := x.o.sel.token(t); {
	case r.Kind == format.KindObject:
		if whole && r.Flags&format.Vanished == 0 && r.Supersedes == format.NoSeq {
			x.objects++
		}
	case whole && isConfiguration(t):
		x.report.note(t.Name.String(), "a configuration is not repaired; tokar extract --configuration puts it back")
	case whole:
		x.seen++
		x.dirs[x.nameOf(t)] = x.place(t)
	}
}

// mended tells what came of a token.
func (x *repairing) mended(t *format.Token, m backends.Mended) {
	name := x.nameOf(t)
	x.tokens = append(x.tokens, name)
	for i, e := range m.Entries {
		x.repaired++
		x.report.mended(name, e.Name, e.Message, i < sameFindings, x.o.dryRun)
	}
	if more := len(m.Entries) - sameFindings; more > 0 && !x.report.verbose {
		x.report.say("repaired: %d more; -v names them all", more)
	}
	if len(m.Entries) > 0 && !x.o.dryRun {
		x.report.changed = true
		x.report.stands = "the tokens were repaired"
		x.committed = append(x.committed, name)
	}
	if len(m.Changed) > 0 {
		x.report.note(name, "sound objects that are not as in the archive stay as they are: "+someNames(m.Changed))
	}
	if len(m.Deleted) > 0 {
		x.report.note(name, "objects that were deleted since stay deleted: "+someNames(m.Deleted)+"; if one is wanted: "+x.bringBack(t, m.Deleted[0]))
	}
}

// remains tells of what is not put right; where only the whole PIN state could be,
// with the command for that.
func (x *repairing) remains(t *format.Token, f format.Finding) {
	if f.Kind != backends.Unmended {
		x.found(t, f)
		return
	}
	b, err := all.ByKind(t.Kind)
	if err != nil {
		return // it was restored by one
	}
	to := x.restore(t).of(t.Name.String(), "", format.KindState)
	x.report.tell(notice{
		Finding: f, token: x.nameOf(t),
		advice: advice{text: "what to do: " + b.Advice(f.Kind, backends.Subject{Token: t, Name: f.File, Repaired: true}) + ": " + to.command([]string{to.operand})},
	})
}

// bringBack is the command that restores an object.
func (x *repairing) bringBack(t *format.Token, object string) string {
	return x.restore(t).command([]string{patternOf(t.Name.String() + "/" + object)})
}

// restore is the command that restores a token, but for what of it.
func (x *repairing) restore(t *format.Token) restore {
	to := restore{key: x.o.key, dir: cmp.Or(x.place(t), "."), as: x.o.as.String()}
	if n, numbered := descriptor(x.o.file); x.o.file != "" && x.o.file != "-" && !(numbered && n == 0) {
		to.file = x.o.file
	}
	return to
}

// someNames are the first of a list of names, with its length.
func someNames(list []string) string {
	shown := list[:min(len(list), sameFindings)]
	if len(shown) < len(list) {
		shown = append(slices.Clone(shown), "…")
	}
	return fmt.Sprintf("%d (%s)", len(list), strings.Join(shown, ", "))
}

func (x *repairing) result() {
	verb, what := "repaired", count(x.repaired, "entry")
	if x.o.dryRun {
		verb = "would repair"
	}
	where := ""
	if len(x.tokens) == 1 {
		where = " of " + quote(filepath.Join(x.dirs[x.tokens[0]], filepath.FromSlash(x.tokens[0])))
	} else {
		where = " of " + count(uint64(len(x.tokens)), "token")
	}
	if x.repaired == 0 && x.report.findings == 0 {
		x.report.result("nothing to repair%s", where)
		return
	}
	x.report.result("%s %s%s%s", verb, what, where, x.report.withFindings())
}
