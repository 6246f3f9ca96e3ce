package commands

import (
	"context"

	"github.com/urfave/cli/v2"

	"tokar/format"
	"tokar/format/keyslot"
	"tokar/stages"
)

func rekeyCommand() *command {
	return &command{
		name:     "rekey",
		summary:  "change who may open an archive",
		synopsis: "[flags]",
		examples: `tokar rekey -n -f backup.tokar
tokar rekey -i restore.key -R escrow.key.pub -f backup.tokar
tokar rekey -i restore.key --drop 2 -f backup.tokar
tokar rekey -p --drop passphrase --ask-new-passphrase -f backup.tokar
aws s3 cp s3://backups/host7.tokar - | tokar rekey -i restore.key -R escrow.key.pub -o host7.tokar`,
		text: `Opens the archive with a restore key and writes it with other key slots; all else
stays as it is, byte for byte. FILE is swapped for the new archive when that is
whole, and needs as much free space beside it until then; links to it are
followed. Without -f it reads stdin and writes stdout, or -o FILE. -n alone lists
the key slots, and needs no key for it: SLOT is a number of that list, or what
stands last in a line, such as passphrase, if only one slot is that.
It revokes nothing: the old keys still open every copy made before, and who has
read the archive has its keys. To shut somebody out, make a new archive and
destroy the old ones. Frames and the end's proof are checked on the way, records
are not opened: that is verify's.`,
		flags: join([]cli.Flag{
			fileFlag("the archive, which is replaced, is `FILE`; - or none is stdin"),
			&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Usage: "write the new archive to `FILE` and leave the old one; - is stdout"},
		}, identityFlags(), []cli.Flag{
			&cli.StringSliceFlag{Name: "recipient", Aliases: []string{"r"}, Usage: "who may restore too: `KEY` is tokar-hpke-…, age1… or an SSH public key"},
			&cli.StringSliceFlag{Name: "recipients-file", Aliases: []string{"R"}, Usage: "… each key in `FILE`, one a line"},
			&cli.StringSliceFlag{Name: "verifier", Usage: "who may list and verify too: `KEY`"},
			&cli.StringSliceFlag{Name: "verifier-file", Usage: "… each key in `FILE`"},
			&cli.BoolFlag{Name: "ask-new-passphrase", Usage: "a new passphrase restores too: ask for it"},
			&cli.StringFlag{Name: "new-passphrase", Usage: "… take it from `SOURCE`: file:PATH, fd:N or env:NAME"},
			&cli.StringSliceFlag{Name: "drop", Usage: "take out the key slot `SLOT`: its number, or what it is, such as passphrase"},
			&cli.BoolFlag{Name: "mixed", Usage: "allow post-quantum beside classical keys: the archive is then as weak as the weakest"},
			progressFlag(),
			dryRunFlag(),
			&cli.BoolFlag{Name: "force", Usage: "replace the FILE of -o even if it is no archive (an archive is replaced without it)"},
		}, reportFlags()),
		run: func(s *session, c *cli.Context) error {
			o, err := rekeyOptionsOf(s, c)
			if err != nil {
				return err
			}
			defer o.forget()
			if !o.changes() {
				return showSlots(s, o)
			}
			return rekey(s.ctx, s, o)
		},
	}
}

type rekeyOptions struct {
	openOptions
	output     string
	drop       []string
	to         keyslot.Recipients
	passphrase bool // among them a new one
	dryRun     bool
	force      bool
}

// changes says whether there is anything to do.
func (o rekeyOptions) changes() bool {
	return len(o.drop)+len(o.to.Restore)+len(o.to.Verify) > 0
}

// inPlace says that the archive is replaced where it stands.
func (o rekeyOptions) inPlace() bool {
	_, numbered := descriptor(o.file)
	return o.output == "" && o.file != "" && o.file != "-" && !numbered
}

func rekeyOptionsOf(s *session, c *cli.Context) (o rekeyOptions, err error) {
	if len(s.operands) > 0 {
		return o, usagef(s.name, "rekey takes no operands; the archive is -f FILE")
	}
	o = rekeyOptions{output: c.String("output"), drop: c.StringSlice("drop"), dryRun: c.Bool("dry-run"), force: c.Bool("force")}
	if o.openOptions, err = openOptionsOf(s, c); err != nil {
		return o, err
	}
	open := o.forget
	to, forget, err := addedBy(s, c)
	o.to, o.forget = to, func() { open(); forget() }
	o.passphrase = c.Bool("ask-new-passphrase") || c.String("new-passphrase") != ""
	switch {
	case err != nil:
		return o, err
	case !o.changes() && !o.dryRun:
		return o, usagef(s.name, "nothing to change; add with -r, -R, --verifier, --verifier-file or --ask-new-passphrase, take out with --drop; -n shows the key slots")
	case o.changes() && !o.inPlace():
		err = s.dataTo(o.output)
	}
	return o, err
}

// addedBy reads who may open the archive besides. The function that it returns
// forgets the passphrase.
func addedBy(s *session, c *cli.Context) (to keyslot.Recipients, forget func(), err error) {
	forget = func() {}
	source, err := sourceOf(s, c, "--ask-new-passphrase", "ask-new-passphrase", "new-passphrase")
	if err != nil {
		return to, forget, err
	}
	if old := secretSource(c.String("passphrase")); source != fromPrompt && old != "" && (source == old || source.sameStream(old)) {
		return to, forget, usagef(s.name, "the old passphrase and the new one would come from the same source")
	}
	return s.slotsFor(c, c.StringSlice("recipient"), c.StringSlice("recipients-file"), source)
}

// showSlots prints the key slots as they stand in the header.
func showSlots(s *session, o rekeyOptions) error {
	in, err := s.openArchive(o.file)
	if err != nil {
		return err
	}
	defer in.Close()
	if err := s.report.printable(); err != nil {
		return err
	}
	h, err := format.ReadHeader(in.Reader)
	if err != nil {
		return in.explain(err)
	}
	s.note(&stages.Summary{Generation: h.Generation})
	s.summary.DryRun = true
	for i, slot := range h.Slots {
		s.slot(i+1, slot, "")
	}
	s.report.result("%s, generation %d; nothing but their checksum was checked", count(uint64(len(h.Slots)), "key slot"), h.Generation)
	return nil
}

// rekey writes an archive with other key slots.
func rekey(ctx context.Context, s *session, o rekeyOptions) error {
	in, err := s.openArchive(o.file)
	if err != nil {
		return err
	}
	defer in.Close()
	out, place, err := s.openRekeyed(o, in)
	if err != nil {
		return err
	}
	defer out.abandon()
	plan := &slotPlan{session: s, o: o}
	done, err := stages.Rekey(ctx, in.Reader, out, stages.RekeyOptions{OpenOptions: o.engine(), Slots: plan.slots})
	if done != nil {
		s.note(&done.Summary)
		s.summary.DryRun = o.dryRun
	}
	if err == nil && out.path != "" {
		err = s.readBack(ctx, out, done)
	}
	if err == nil {
		err = s.report.said()
	}
	if err == nil && place != nil && !o.dryRun {
		err = place.attributes(int(out.Fd()))
	}
	if err == nil {
		err = out.commit()
	}
	if err != nil {
		return left(in.explain(err), out.untouched())
	}
	if written := number(done.Written); !o.dryRun {
		s.summary.Written = &written
	}
	s.report.changed, s.report.stands = out.path != "", "the archive was rekeyed"
	plan.tell(done, out)
	return nil
}

// openRekeyed opens what the new archive goes to. Where it replaces the old one,
// that is held meanwhile.
func (s *session) openRekeyed(o rekeyOptions, in *archiveFile) (*output, *heldArchive, error) {
	opts := archiveOutput(o.force)
	opts.flag, opts.discard = "-o", o.dryRun
	if !o.inPlace() {
		if err := s.notItself(o, in); err != nil {
			return nil, nil, err
		}
		out, err := s.create(o.output, opts)
		return out, nil, err
	}
	held, err := s.hold(in)
	if err != nil {
		return nil, nil, err
	}
	opts.look = held.unchanged
	out, err := s.create(held.path, opts)
	if codeOf(err) == exitFailed {
		err = &failure{code: exitFailed, err: err, left: quote(held.path) + " is as it was", todo: elsewhere}
	}
	return out, held, err
}

// readBack reads what was written once more before it gets its name.
func (s *session) readBack(ctx context.Context, out *output, done *stages.Rekeyed) error {
	err := done.VerifyWritten(ctx, out.reread())
	if codeOf(err) == exitArchive {
		return failedf("look after disk and memory", "what was written reads back as another: %v", err)
	}
	return err
}
