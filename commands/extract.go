package commands

import (
	"cmp"
	"context"
	"errors"
	"os"
	"path/filepath"

	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"

	"tokar/backends"
	"tokar/backends/all"
	"tokar/format"
	"tokar/stages"
)

func extractCommand() *command {
	return &command{
		name: "extract", letter: "x",
		summary:  "restore tokens, or some of their objects, into a directory",
		synopsis: "[flags] [PATTERN…]",
		examples: `ssh vault cat host7.tokar | tokar x -i restore.key -C dir swtok
tokar x -i restore.key -f backup.tokar -C dir
tokar x -i restore.key -f backup.tokar -C dir 'swtok/1*'
tokar x -n -i restore.key -f backup.tokar
tokar x -i restore.key -f backup.tokar --config /etc/opencryptoki/opencryptoki.conf 3
tokar x --salvage -i restore.key -f damaged.tokar -C salvaged`,
		text: `A token is restored as DIR/TOKEN. Nothing is in its place before the whole
archive was read and proved; then it is there in one step. PATTERN is a shell
pattern for TOKEN, TOKEN/OBJECT or OBJECT; quote it from the shell. Damaged
objects are left out and named, unless --damaged is given.

A token that is there already and is the archive's is replaced whole; the old
one stays beside it as TOKEN.tokar-old, to be removed before the next restore.
If its PINs have changed since, those of today stay and only the objects are
restored. Another token, and one that cannot be told without a PIN to be the
same, is left alone; so is one that programs may be using. Flags below say
otherwise. Single objects go into a token that is there without a change to
anything else in it. -n tells what would be done, and does nothing.

With --config the tokens go where it says, PATTERN may be a slot's number or a
label, and a token that does not fit its slot is named. How the archive's
configuration differs from FILE is shown; only --configuration writes it.

--into NAME moves objects into a token that is there and has another master key:
one that was initialised again, or another one. Private objects are opened with a
PIN of the archive's token (--pin, --so-pin) and closed under the master key of
that token, which a PIN of its own opens (--into-pin, --into-so-pin). Each object
gets that token's format and byte order, and where its name is taken another one;
what is there already with the same content stays alone.

--salvage is for an archive that is damaged or cut, and for nothing else: it
restores every object of every block that is still whole into a directory that
does not exist or is empty, names what is lost, and ends with 1. Without a proof
of its end nobody knows what else was in the archive. The way from there into a
live token is yours.`,
		flags: join([]cli.Flag{
			fileFlag("read the archive from `FILE`; - or none is stdin"),
			directoryFlag("restore into `DIR`, which holds the tokens; counts for the patterns that follow"),
		}, configFlags("it says where the tokens go, and is compared with the archive's"), []cli.Flag{
			&cli.BoolFlag{Name: "configuration", Usage: "write the archive's configuration to --config FILE and beside it; what was there stays as NAME.tokar-old"},
		}, identityFlags(), signersFlags(), selectionFlags(), pinFlags(), []cli.Flag{
			&cli.StringFlag{Name: "as", Usage: "restore the one token chosen under another `NAME`"},
			&cli.StringFlag{Name: "into", Usage: "make the objects chosen those of the token DIR/`NAME`, which is another one or was initialised again"},
			&cli.StringFlag{Name: "into-pin", Usage: "with --into: the user PIN of that token, from `SOURCE`: prompt, file:PATH, fd:N or env:NAME; --pin is that of the archive's"},
			&cli.StringFlag{Name: "into-so-pin", Usage: "… the same of its SO PIN, from `SOURCE`"},
			&cli.BoolFlag{Name: "damaged", Usage: "restore damaged objects too, as they are"},
			&cli.BoolFlag{Name: "overwrite", Usage: "single objects replace those in the token that have other bytes"},
			&cli.BoolFlag{Name: "keep-existing", Aliases: []string{"k"}, Usage: "refuse if a token that is to be restored is there already"},
			&cli.BoolFlag{Name: "no-keep", Usage: "do not keep the token that is replaced as TOKEN.tokar-old"},
			&cli.BoolFlag{Name: "keep-pins", Usage: "keep the PINs of today, though it cannot be told whether it is the same token; if it is another, nothing opens what is restored"},
			&cli.BoolFlag{Name: "roll-back-pins", Usage: "take the archive's PINs; who knows only those of today is locked out, and a PIN locked by wrong tries is open again"},
			&cli.BoolFlag{Name: "replace-token", Usage: "replace another token: its keys are then in TOKEN.tokar-old only"},
			&cli.BoolFlag{Name: "token-in-use", Usage: "put single objects into a token that programs use; they may not see them before they are started again"},
			&cli.BoolFlag{Name: "to-stdout", Aliases: []string{"O"}, Usage: "write the objects named TOKEN/OBJECT to stdout, as cat does"},
			&cli.BoolFlag{Name: "salvage", Usage: "bring back what is whole of a damaged archive, into a new directory"},
			lockDirFlag(),
			jobsFlag(),
			progressFlag(),
			dryRunFlag(),
		}, reportFlags()),
		run: runExtract,
	}
}

func runExtract(s *session, c *cli.Context) error {
	if c.Bool("salvage") {
		return runSalvage(s, c)
	}
	if c.Bool("to-stdout") {
		return runCat(s, c)
	}
	if into, err := intoOf(s, c); err != nil || into != nil {
		return runInto(s, c, into, err)
	}
	o, err := extractOptionsOf(s, c)
	if err != nil {
		return err
	}
	defer o.forget()
	return extract(s.ctx, s, o)
}

type extractOptions struct {
	openOptions
	into     *intoOptions
	sel      *selection
	dir      string      // where there are no patterns
	as       format.Name // instead of the token's own
	damaged  bool
	dryRun   bool
	existing backends.RestoreOptions
	cfg      backends.Host
}

func extractOptionsOf(s *session, c *cli.Context) (o extractOptions, err error) {
	o = extractOptions{dir: s.dir, damaged: c.Bool("damaged"), dryRun: c.Bool("dry-run")}
	if err = s.claimArchive(c.String("file")); err != nil {
		return o, err
	}
	if o.cfg, err = s.configuration(c, c.Bool("configuration")); err != nil {
		return o, err
	}
	if o.cfg == nil && c.Bool("configuration") {
		return o, usagef(s.name, "--configuration writes to --config FILE, which is not given")
	}
	if o.cfg != nil {
		o.dir = o.cfg.Base()
	}
	if o.sel, err = configuredSelection(s, c, o.cfg); err != nil {
		return o, err
	}
	if o.existing, err = existingOf(s, c); err != nil {
		return o, err
	}
	if o.as, err = otherName(s, c); err != nil {
		return o, err
	}
	o.openOptions, err = openOptionsOf(s, c)
	return o, err
}

// otherName is what --as says.
func otherName(s *session, c *cli.Context) (format.Name, error) {
	as := c.String("as")
	if as == "" {
		return nil, nil
	}
	name, err := format.ParseName(as)
	if err != nil {
		return nil, usagef(s.name, "--as %s is no token's name; -C says in which directory it is", quote(as))
	}
	return name, nil
}

// existingOf says what may happen to tokens that are there.
func existingOf(s *session, c *cli.Context) (backends.RestoreOptions, error) {
	o := backends.RestoreOptions{
		DryRun:    c.Bool("dry-run"),
		Fresh:     c.Bool("keep-existing"),
		Replace:   c.Bool("replace-token"),
		InUse:     c.Bool("token-in-use"),
		Overwrite: c.Bool("overwrite"),
		NoKeep:    c.Bool("no-keep"),

		Configuration: c.Bool("configuration"),
	}
	var err error
	if o.Locks, err = directoryOf(s, c, "lock-dir"); err != nil {
		return o, err
	}
	said := 0
	for _, choice := range []struct {
		flag string
		pins backends.PINs
	}{{"keep-pins", backends.KeepPINs}, {"roll-back-pins", backends.RollBackPINs}} {
		if c.Bool(choice.flag) {
			o.PINs = choice.pins
			said++
		}
	}
	if o.Replace {
		said++
	}
	if o.Fresh && o.Overwrite {
		return o, usagef(s.name, "--keep-existing and --overwrite exclude each other")
	}
	if said > 1 {
		return o, usagef(s.name, "--keep-pins, --roll-back-pins and --replace-token exclude each other")
	}
	return o, nil
}

// extract restores what is selected of an archive.
func extract(ctx context.Context, s *session, o extractOptions) error {
	s.report.survive = true // nobody's restore stops because -v was piped into head
	s.report.out.fail = nil
	in, err := s.openArchive(o.file)
	if err != nil {
		return err
	}
	defer in.Close()
	if err := o.checkDirs(ctx); err != nil {
		return left(err, "nothing was restored")
	}
	if o.into != nil {
		if err := o.into.pins.ready(); err != nil {
			return left(err, "nothing was restored")
		}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	x := &extraction{session: s, o: o, dirs: map[string]string{}, put: map[*format.Token]uint64{}, same: map[*format.Token]uint64{}, refuse: cancel}
	// Every file gets the mode that it shall have, in a place that is nobody
	// else's; a umask would only have each mode set twice.
	unix.Umask(0)
	sum, err := stages.Extract(ctx, in.Reader, x.options())
	for _, l := range x.logins {
		l.Clear()
	}
	if cause := context.Cause(ctx); err != nil && codeOf(cause) == exitUsage {
		err = cause
	}
	if sum != nil {
		s.note(sum)
		s.summary.Committed, s.summary.DryRun = x.committed, o.dryRun
	}
	var part *stages.PartError
	switch {
	case errors.As(err, &part):
		return x.partway(part)
	case errors.Is(err, backends.ErrInUse) && o.existing.InUse && !errors.Is(err, backends.ErrLocked):
		return &failure{code: exitBusy, err: err, left: "nothing was restored", todo: "end the programs that use the token, and try again"}
	case err != nil:
		return unrestored(in.explain(err))
	}
	if err := o.sel.missed(s.report); err != nil {
		return left(err, "nothing was restored")
	}
	s.tellSigner(sum)
	x.fits()
	x.result()
	return nil
}

// checkDirs looks whether the directories are there, before the archive is
// read: tokens are restored into them, and they are not made. Into a token none
// is: who names one means the directory that holds it.
func (o extractOptions) checkDirs(ctx context.Context) error {
	dirs, flag := []string{o.dir}, "-C"
	if o.cfg != nil {
		flag = "--base"
	}
	for _, p := range o.sel.wanted {
		if o.cfg == nil {
			dirs = append(dirs, p.dir)
		}
	}
	for _, d := range dirs {
		if info, err := os.Stat(cmp.Or(d, ".")); err != nil {
			return failedf("make it first", "%s %s: %w", flag, quote(d), causeOf(err))
		} else if !info.IsDir() {
			return failedf("", "%s %s is no directory", flag, quote(d))
		} else if above := holder(ctx, cmp.Or(d, ".")); above != "" {
			return failedf("give the directory that holds it: "+flag+" "+quote(above), "%s %s is a token itself", flag, quote(cmp.Or(d, ".")))
		}
	}
	return nil
}

// holder is the directory that holds the token dir; empty if dir is none.
func holder(ctx context.Context, dir string) string {
	dir = filepath.Clean(dir)
	for _, b := range all.Backends() {
		found, _ := b.Find(ctx, dir) // what cannot be read is refused where it is restored
		for _, loc := range found.Tokens {
			if loc.Path == dir {
				return restoreTo(dir, loc.Name).dir
			}
		}
	}
	return ""
}

// unrestored is how a restore ends that changed nothing. Who restores may have no
// other archive.
func unrestored(err error) error {
	const nothing = "nothing was restored"
	if !isAny(err, format.ErrTruncated, format.ErrChecksum) {
		return left(err, nothing)
	}
	return &failure{code: codeOf(err), err: err, left: nothing,
		todo: todo(err) + "; if there is no whole one any more, --salvage brings back what is left of this one"}
}
