package commands

import (
	"cmp"
	"context"
	"errors"

	"github.com/urfave/cli/v2"

	"tokar/backends"
	"tokar/backends/all"
	"tokar/format"
	"tokar/stages"
)

func listCommand() *command {
	return &command{
		name: "list", letter: "t",
		summary:  "list what an archive holds",
		synopsis: "[flags] [PATTERN…]",
		examples: `tokar list -i restore.key -f backup.tokar
tokar list -v -i restore.key -f backup.tokar 'swtok/1*'
ssh vault cat host7.tokar | tokar t -i verify.key
tokar list -v --pin file:user.pin -i restore.key -f backup.tokar swtok
tokar list --json -i verify.key -f backup.tokar | jq .`,
		text: `One line an entry: a letter for its kind (o object, s state, i index, f foreign),
p for private, d for damaged, u for unlisted, v for vanished, r for refused;
class; key type; bytes; name; label; id. That is what the index tells: of a file,
however large, little more than the index is read. -v adds mode, with a plus if
there is an access control list, owner, group, time and attributes, and opens
every payload for it, and says when and where the archive was made; --json shows
lists, SELinux labels and whole values too; with a restore key and PINs of then it
shows class, key type, label and id of private objects. A verifier's key does not show what
is wrapped: such fields are question marks. With -C DIR and a restore key it is
said of each token that stands in DIR too whether its PINs are those of the
archive, were changed since, or belong to another master key; for that the
archive, which is a file then, is read a second time, whole.`,
		flags: join([]cli.Flag{
			fileFlag("read the archive from `FILE`; - or none is stdin"),
			directoryFlag("say how the PINs of the tokens in `DIR` stand to those of the archive"),
		}, identityFlags(), signersFlags(), pinFlags(), selectionFlags(), []cli.Flag{jobsFlag(), progressFlag()}, reportFlags()),
		run: func(s *session, c *cli.Context) error {
			o, err := listOptionsOf(s, c)
			if err != nil {
				return err
			}
			defer o.forget()
			defer o.pins.forget()
			return list(s.ctx, s, o)
		},
	}
}

type listOptions struct {
	openOptions
	sel  *selection
	pins *pins
	dir  string // of the tokens that stand somewhere; empty: nobody asks
}

func listOptionsOf(s *session, c *cli.Context) (o listOptions, err error) {
	if err = s.claimArchive(c.String("file")); err != nil {
		return o, err
	}
	if o.sel, err = selectionOf(s, c); err != nil {
		return o, err
	}
	if o.pins, err = pinsOf(s, c); err != nil {
		return o, err
	}
	if o.pins.given() && !s.report.verbose {
		return o, usagef(s.name, "what a PIN shows is listed with -v")
	}
	for _, p := range o.sel.wanted {
		o.dir = cmp.Or(o.dir, p.dir)
	}
	o.dir = cmp.Or(o.dir, s.dir)
	if _, numbered := descriptor(c.String("file")); o.dir != "" && (c.String("file") == "" || c.String("file") == "-" || numbered) {
		return o, usagef(s.name, "with -C the archive is read twice: give a file with -f")
	}
	o.openOptions, err = openOptionsOf(s, c)
	return o, err
}

// list writes a line for every entry that is selected.
func list(ctx context.Context, s *session, o listOptions) error {
	in, err := s.openArchive(o.file)
	if err != nil {
		return err
	}
	defer in.Close()
	if err := s.report.printable(); err != nil {
		return err
	}
	if err := o.pins.ready(); err != nil {
		return left(err, "nothing was listed")
	}
	l := &lister{session: s, sel: o.sel}
	open := o.engine()
	open.Each = l.counted(l.each)
	if o.pins.given() {
		open.Unlock = o.pins.unlock(o.sel.told(s.archivedUnlocked))
	}
	sum, err := stages.List(ctx, in.Reader, stages.ListOptions{
		OpenOptions: open,
		Full:        s.report.verbose,
		FrontDamaged: func() {
			s.report.plain("front-damaged", o.file, "the header at the front is damaged; its copy at the end was used")
		},
	})
	if sum != nil {
		s.note(sum)
	}
	if errors.Is(err, stages.ErrNotRestoring) {
		return s.verifierPIN()
	}
	if err != nil && l.last == nil {
		return left(in.explain(err), "nothing was listed")
	}
	if err != nil {
		return left(in.explain(err), "the list is not complete")
	}
	if s.report.json == nil {
		s.report.detail("%s", origin(sum.Archive))
		s.report.detail("its key slots are of generation %d", sum.Generation)
		s.tellSigner(sum)
	}
	o.pins.unused()
	if err := o.sel.missed(s.report); err != nil || o.dir == "" {
		return err
	}
	if !sum.Restores {
		s.report.warn("how the PINs in %s stand to those of the archive takes a restore key", quote(o.dir))
		return nil
	}
	return relate(ctx, s, o)
}

// relate says of each token that stands in a directory too how its PINs stand to
// those of the archive.
func relate(ctx context.Context, s *session, o listOptions) error {
	in, err := s.openArchive(o.file)
	if err != nil {
		return err
	}
	defer in.Close()
	_, err = stages.Compare(ctx, in.Reader, stages.CompareOptions{
		OpenOptions: o.engine(),
		Backend:     all.ByKind,
		Place: func(t *format.Token) stages.Place {
			_, wanted := o.sel.token(t)
			return stages.Place{Dir: o.dir, Whole: true, Wanted: wanted}
		},
		Select: func(*format.Token, *format.Record) bool { return false },
		Compared: func(c *stages.Compared) error {
			words := c.Words
			if c.Err != nil && !errors.Is(c.Err, stages.ErrNoToken) {
				words = []string{"how its PINs stand to those of the archive cannot be told: " + c.Err.Error()}
			}
			for _, w := range words {
				s.report.note(c.Archived.Name.String(), w)
			}
			return nil
		},
	})
	return in.explain(err)
}

type lister struct {
	*session
	sel  *selection
	last *format.Token // whose heading was written
	row  []byte
	of   backends.Validator
}

func (l *lister) each(t *format.Token, r *format.Record) {
	switch {
	case r.Kind == format.KindArchive:
		l.archive(r)
	case t == nil || !l.sel.record(t, r) || r.Kind == format.KindEndOfToken:
	case r.Kind == format.KindToken:
		if len(l.sel.wanted) == 0 {
			l.heading(t)
		}
	default:
		l.heading(t)
		l.entry(t, r)
	}
}

func (l *lister) archive(r *format.Record) {
	if l.report.json == nil {
		return
	}
	if a, err := format.DecodeArchive(r.Metadata); err == nil {
		l.report.json.archive(a)
	}
}

// heading introduces a token before its first line.
func (l *lister) heading(t *format.Token) {
	if l.last == t {
		return
	}
	l.last, l.of = t, nil
	if b, err := all.ByKind(t.Kind); err == nil && l.report.verbose {
		l.of, _ = b.Validator(t)
	}
	if l.report.json != nil {
		l.report.json.token(t)
		return
	}
	l.report.out.line(heading(t))
	for _, n := range t.Notes {
		l.report.out.line("    note: " + escape(n))
	}
}

func (l *lister) entry(t *format.Token, r *format.Record) {
	names, values := shownAttributes(l.of, r)
	if l.report.json != nil {
		l.report.json.object(t, r, values)
		return
	}
	l.row = appendRow(l.row[:0], t, r, l.report.verbose)
	l.report.out.row(l.row)
	if !l.report.verbose {
		return
	}
	for _, f := range r.Details.Findings {
		l.report.out.line("    finding: " + describe(t.Name.String(), r.Name.String(), f))
	}
	for _, n := range names {
		l.report.out.line("    " + n + " " + short(values[n]))
	}
}
