package commands

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/urfave/cli/v2"

	"tokar/backends"
	"tokar/backends/all"
	"tokar/format"
	"tokar/stages"
)

func diffCommand() *command {
	return &command{
		name: "diff", letter: "d",
		summary:  "compare an archive with the tokens of today",
		synopsis: "[flags] [PATTERN…]",
		examples: `tokar diff -i restore.key -f backup.tokar -C /var/lib/opencryptoki
ssh vault cat host7.tokar | tokar d -i restore.key -C /var/lib/opencryptoki 'swtok/1*'
tokar diff -i restore.key -f backup.tokar --config /etc/opencryptoki/opencryptoki.conf 3
tokar diff --pin file:user.pin -i restore.key -f backup.tokar -C /var/lib/opencryptoki swtok
tokar diff -i restore.key -f backup.tokar -C /mnt --as copy swtok`,
		text: `The archive's token TOKEN is compared with DIR/TOKEN, entry by entry: bytes,
what only one of them has, kind, mode, owner, group, time, access control lists,
SELinux label. Each difference is named and makes the exit code 1; times, which a
copy has all anew, in one line for each token unless -v is given. Whether it is
the same token, and whether its PINs are those of the archive, is said once for
each token. With PINs of today, private objects of today are opened and checked
as by tokar check. A token that programs keep locked for ten seconds is named and
left out, and makes the exit code 5. Nothing is written. Not every difference is damage: a PIN or an
object may be newer than the archive. What is said of a token is proved by the
archive's end only: believe the exit code.

With --config the tokens are where it says, PATTERN may be a slot's number or a
label, and an archived token that does not fit its slot is named too. A host's
configuration in the archive is compared with FILE, or with that of where it was.`,
		flags: join([]cli.Flag{
			fileFlag("read the archive from `FILE`; - or none is stdin"),
			directoryFlag("the tokens are in `DIR`; counts for the patterns that follow"),
			&cli.StringFlag{Name: "as", Usage: "compare the one token chosen with that of another `NAME`"},
		}, configFlags("it says where the tokens are, and is compared too"), identityFlags(), signersFlags(), pinFlags(), selectionFlags(), readingFlags(), []cli.Flag{jobsFlag(), progressFlag()}, reportFlags()),
		run: func(s *session, c *cli.Context) error {
			o, err := diffOptionsOf(s, c)
			if err != nil {
				return err
			}
			defer o.forget()
			defer o.pins.forget()
			return diff(s.ctx, s, o)
		},
	}
}

type diffOptions struct {
	openOptions
	sel     *selection
	reading backends.Reading
	pins    *pins       // of today's tokens
	dir     string      // where there are no patterns
	as      format.Name // instead of the token's own
	cfg     backends.Host
	base    string // what --base says
}

func diffOptionsOf(s *session, c *cli.Context) (o diffOptions, err error) {
	o.dir = s.dir
	if err = s.claimArchive(c.String("file")); err != nil {
		return o, err
	}
	o.base = c.String("base")
	if o.cfg, err = s.configuration(c, false); err != nil {
		return o, err
	}
	if o.sel, err = configuredSelection(s, c, o.cfg); err != nil {
		return o, err
	}
	if o.reading, err = readingOf(s, c); err != nil {
		return o, err
	}
	if o.as, err = otherName(s, c); err != nil {
		return o, err
	}
	if o.pins, err = pinsOf(s, c); err != nil {
		return o, err
	}
	o.openOptions, err = openOptionsOf(s, c)
	return o, err
}

// diff compares what is selected of an archive with the tokens of today.
func diff(ctx context.Context, s *session, o diffOptions) error {
	in, err := s.openArchive(o.file)
	if err != nil {
		return err
	}
	defer in.Close()
	if err := o.pins.ready(); err != nil {
		return left(err, "nothing was compared")
	}
	d := &differing{session: s, o: o}
	open := o.engine()
	open.Each = s.counted(d.each)
	if o.pins.given() {
		open.Unlock = o.pins.unlock(o.sel.told(func(t *format.Token, found []format.Finding, err error) {
			s.unlocked(t, found, err, func(format.Finding) advice { return advice{text: "tokar check says what to do"} })
		}))
	}
	sum, err := stages.Compare(ctx, in.Reader, stages.CompareOptions{
		OpenOptions: open,
		Backend:     backendFor(o.cfg),
		Place: func(t *format.Token) stages.Place {
			whole, wanted := o.sel.token(t)
			p := stages.Place{Dir: o.place(t), Name: o.as, Reading: o.reading, Whole: whole, Wanted: wanted}
			if isConfiguration(t) {
				p.Dir, p.Name = configPlace(o.cfg, t)
			}
			return p
		},
		Select:   o.sel.entry,
		Compared: d.compared,
	})
	if sum != nil {
		s.note(sum)
	}
	switch {
	case err != nil && d.last != nil && codeOf(err) == exitArchive:
		return left(in.explain(err), "what was said of the tokens is not proved")
	case err != nil:
		return in.explain(err)
	}
	if err := o.sel.missed(s.report); err != nil {
		return err
	}
	s.tellSigner(sum)
	o.pins.unused()
	if d.last != nil && d.tokens == 0 {
		return d.noneCompared()
	}
	verdict := ": no difference"
	if s.report.findings > 0 {
		verdict = s.report.withFindings()
	}
	s.report.result("compared %s, %s, %s%s", count(d.tokens, "token"), count(d.objects, "object"), size(d.bytes), verdict)
	return nil
}

// noneCompared is how a run ends that could compare no token. -C is a word worth
// where none was found.
func (d *differing) noneCompared() error {
	const none = "no token was compared"
	switch {
	case d.report.busy:
		return &failure{code: exitBusy, err: errors.New(none), todo: todo(backends.ErrLocked)}
	case d.lastProblem != nil:
		return failedf("", none)
	}
	return failedf("-C DIR says where the tokens are", none)
}

// place is the directory in which a token is looked for.
func (o diffOptions) place(t *format.Token) string {
	dir := o.dir
	if len(o.sel.wanted) > 0 {
		dir = o.sel.dir(t.Name.String())
	}
	if o.cfg != nil {
		dir = o.cfg.Base()
	}
	return cmp.Or(dir, ".")
}

// differing is one run of diff.
type differing struct {
	*session
	o       diffOptions
	last    *format.Token // the last one that was told of
	tokens  uint64        // compared
	objects uint64
	bytes   uint64
	damaged int
}

// each names what is compared, and what of it is damaged: it is compared all
// the same, and that it is damaged is no difference.
func (d *differing) each(t *format.Token, r *format.Record) {
	if t == nil || r.Kind.Descriptor() || !d.o.sel.entry(t, r) {
		return
	}
	name := t.Name.String() + "/" + r.Name.String()
	d.report.name(quote(name))
	if r.Flags&format.Damaged == 0 {
		return
	}
	if d.damaged++; d.damaged <= sameFindings || d.report.verbose || d.report.json != nil {
		d.report.note(t.Name.String(), r.Name.String()+" is damaged in the archive")
	}
}

// compared tells what came of one token.
func (d *differing) compared(c *stages.Compared) error {
	if len(d.o.as) > 0 && d.last != nil && !isConfiguration(c.Archived) {
		names := []string{d.last.Name.String(), c.Archived.Name.String()}
		return usagef(d.name, "--as is for one token, and %s are chosen", quoteAll(names))
	}
	d.last = c.Archived
	name := c.Archived.Name.String()
	switch {
	case errors.Is(c.Err, stages.ErrNoToken):
		d.report.tell(notice{
			Finding: format.Finding{Kind: "no-token", Offset: -1, Message: c.Path + ": " + c.Err.Error()},
			token:   name, advice: d.lost(c),
		})
		return nil
	case c.Err != nil:
		d.unopenedAt(name, c.Err)
		return nil
	}
	d.tokens++
	d.objects += c.Objects
	d.bytes += c.Bytes
	slices.SortStableFunc(c.Differences, func(a, b stages.Difference) int { return byWeight(a) - byWeight(b) })
	d.differences(c)
	if c.More > 0 {
		d.report.plain("more", name, fmt.Sprintf("%s more differ", count(c.More, "entry")))
	}
	if c.Unstable {
		d.report.plain("unstable", name, "it changed while it was compared; compare it again when it is quiet")
	}
	d.words(c)
	d.misfits(d.o.cfg, c.Archived)
	return nil
}

// differences names them. People hear of several times once: a copy has all of
// them anew.
func (d *differing) differences(c *stages.Compared) {
	list := c.Differences // sorted, times last
	if d.report.json == nil && !d.report.verbose {
		first := slices.IndexFunc(list, func(x stages.Difference) bool { return x.Kind == stages.Time })
		if first >= 0 && len(list)-first > 1 {
			defer d.report.tell(notice{
				Finding: format.Finding{Kind: stages.Time, Offset: -1, Message: count(uint64(len(list)-first), "entry") + " and directories have other times; -v names them"},
				token:   c.Archived.Name.String(), advice: d.advice(c, list[first]),
			})
			list = list[:first]
		}
	}
	for _, x := range list {
		d.difference(c, x)
	}
}

// byWeight puts times last: a copy has all of them anew, and they hide the rest.
func byWeight(x stages.Difference) int {
	if x.Kind == stages.Time {
		return 1
	}
	return 0
}

// words says how the two tokens are related.
func (d *differing) words(c *stages.Compared) {
	if d.report.json != nil {
		d.report.json.comparison(c)
		return
	}
	for _, w := range c.Words {
		d.report.note(c.Archived.Name.String(), w)
	}
}

// difference names one difference.
func (d *differing) difference(c *stages.Compared, x stages.Difference) {
	d.report.tell(notice{
		Finding:  format.Finding{Kind: x.Kind, File: x.Name.String(), Offset: x.Offset, Message: sides(x)},
		token:    c.Archived.Name.String(),
		entry:    x.Name.String(),
		archived: x.Archived, live: x.Live,
		advice: d.advice(c, x),
	})
}

// sides says what the archive has, and what the token.
func sides(x stages.Difference) string {
	var line string
	switch x.Kind {
	case stages.Missing:
		line = "only in the archive: " + x.Archived
	case stages.Added:
		line = "only in the token: " + x.Live
	case stages.Differs, stages.Unread, stages.Role, stages.Mode, stages.Owner, stages.Group, stages.Time,
		stages.ACL, stages.Inherit, stages.Label:
		line = x.Archived + " in the archive, " + x.Live + " in the token"
	default: // the backend's words
		line = x.Archived + " in the archive; in the token: " + x.Live
	}
	if x.Words != "" {
		line += "; " + x.Words
	}
	if x.Damaged {
		line += "; damaged in the archive"
	}
	return line
}

// lost is what brings back a token that is not there, or not all of it.
func (d *differing) lost(c *stages.Compared) advice {
	if isConfiguration(c.Archived) {
		return d.configuration(c)
	}
	to, text := d.restore(c), "restore it: "
	if _, err := os.Lstat(c.Path); err == nil {
		to.flag, text = "--roll-back-pins", "restore it over what is left of it, with its PINs of then: "
	}
	return advice{text: text + to.command([]string{patternOf(c.Archived.Name.String())})}
}

// configuration is what takes the archive's configuration.
func (d *differing) configuration(c *stages.Compared) advice {
	to := d.restore(c)
	to.dir, to.as, to.config, to.base = ".", "", c.Path, d.o.base
	return advice{text: "to take the archive's configuration: " + to.command([]string{patternOf(c.Archived.Name.String())})}
}

// restore is the command for a token, but for what of it.
func (d *differing) restore(c *stages.Compared) restore {
	to := restoreTo(c.Path, c.Archived.Name)
	to.key = d.o.key
	if n, numbered := descriptor(d.o.file); d.o.file != "-" && !(numbered && n == 0) {
		to.file = d.o.file
	}
	return to
}

// another is what can be had of the archive where another token stands, be it the
// same one initialised or migrated since.
func (d *differing) another(c *stages.Compared) advice {
	to := d.restore(c)
	whole, name := []string{patternOf(c.Archived.Name.String())}, cmp.Or(to.as, c.Archived.Name.String())
	replace := to
	replace.flag = "--replace-token"
	to.as, to.flag = "", "--into="+shellWord(name)+" --pin prompt --into-pin prompt"
	text := "another token stands there. To move the archive's objects into it, with the PINs of both: " + to.command(whole) +
		"; to put the archive's token in its place, and keep it as " + quote(name+".tokar-old") + ": " + replace.command(whole)
	if _, err := os.Lstat(c.Path + "_BAK"); err == nil {
		text = "a migration kept the old token as " + quote(filepath.Base(c.Path)+"_BAK") + ", and tokar migrate undo puts it back; as it is, " + text
	}
	return advice{text: text}
}

// detached is what a backend says of an entry that is not there, where its kind
// may be kept elsewhere.
func (d *differing) detached(c *stages.Compared, x stages.Difference) string {
	b, _ := all.ByKind(c.Archived.Kind)
	k, ok := b.(backends.Detacher)
	if !ok || x.Kind != stages.Missing {
		return ""
	}
	return k.Detached(c.Archived, x.Name)
}

// advice is what makes the token as the archive has it. Bytes of objects can be
// put back one by one; what the file system says comes with a whole token only.
func (d *differing) advice(c *stages.Compared, x stages.Difference) advice {
	token := c.Archived.Name.String()
	to := d.restore(c)
	if isConfiguration(c.Archived) && (x.Kind == stages.Differs || x.Kind == stages.Missing) {
		return d.configuration(c)
	}
	switch x.Kind {
	case stages.Added, stages.Unread, stages.Time:
	default:
		if c.Other && !isConfiguration(c.Archived) {
			return d.another(c)
		}
	}
	switch x.Kind {
	case stages.Added:
		return advice{text: "make a new archive if it is wanted"}
	case stages.Unread:
		return advice{text: "make a new archive: this one does not hold it"}
	case stages.Time:
		return advice{text: "nothing to do where only the time differs"}
	case stages.Mode, stages.Owner, stages.Group, stages.ACL, stages.Inherit, stages.Label:
		return advice{"set it by hand, or take the archive's", to.of(token, "", format.KindIndex)}
	case stages.Role:
		return advice{text: "look at both: the archive and the token tell them apart by name and place"}
	case stages.Differs, stages.Missing:
		if x.Damaged {
			return advice{text: "look for it in another archive: this one's is damaged"}
		}
		to = to.of(token, x.Name.String(), x.Entry)
		switch detached := d.detached(c, x); {
		case detached != "":
			return advice{text: detached}
		case x.Entry == format.KindState && x.Kind == stages.Differs:
			return advice{"nothing to do if a PIN was changed since; to take the archive's", to}
		case x.Entry == format.KindIndex:
			return advice{"an object that is put back brings its line; to take the archive's", to}
		}
		return advice{"to take the archive's", to}
	}
	b, err := all.ByKind(c.Archived.Kind)
	if err != nil {
		return advice{}
	}
	about := backends.Subject{Token: c.Archived, Kind: x.Entry, Name: x.Name.String()}
	return adviceOf(b, x.Kind, about, to.of(token, x.Name.String(), x.Entry), d.o.pins.again(token))
}
