package commands

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"tokar/backends"
	"tokar/format"
	"tokar/format/keyslot"
	"tokar/format/signature"
	"tokar/stages"
)

func createCommand() *command {
	return &command{
		name: "create", letter: "c",
		summary:  "archive tokens",
		synopsis: "[flags] [NAME=]PATH…",
		examples: `tokar create -R restore.key.pub -f backup.tokar /var/lib/opencryptoki/swtok
tokar c -R restore.key.pub /var/lib/opencryptoki | ssh vault 'cat > host7.tokar'
tokar cvf backup.tokar -R restore.key.pub swtok icatok
tokar c -R restore.key.pub --verifier-file verify.key.pub -f backup.tokar swtok
tokar c -R restore.key.pub --sign ~/.ssh/id_ed25519 -f backup.tokar swtok
tokar c --config /etc/opencryptoki/opencryptoki.conf -R restore.key.pub -f backup.tokar 3 newtok
tokar c -p -f backup.tokar old=/mnt/a/swtok new=/mnt/b/swtok`,
		text: `PATH is a token's directory, or one that holds tokens (and TPM tokens, tpm/USER);
links in it are not followed, and -v names what is passed over. A token is
archived under its directory's name, or under NAME. What is damaged is archived
as it is, named, and makes the exit code 1. With PINs private objects are opened
and checked as by tokar check; the archive is the same. FILE appears only when it
is whole.

With --config the operands are slot numbers, names or labels of tokens; none
means every slot's token that is there. What does not fit its slot is named.
FILE itself goes along, with the configurations of tokens that it names,
strength.conf, policy.conf and HSM_MK_CHANGE, as one token more.

A token that programs use is read under their lock, for half a second at a time
and never while the output waits; what they change meanwhile is read again. If a
program does not give the lock back in ten seconds there is no new archive, FILE
stays as it is and the exit code is 5: try again. --no-lock reads the token all
the same, --exclude leaves it out.`,
		flags: join([]cli.Flag{
			fileFlag("write the archive to `FILE`; - or none is stdout"),
			directoryFlag("the operands that follow are in `DIR`"),
		}, recipientFlags(), signFlags(), pinFlags(), []cli.Flag{
			&cli.BoolFlag{Name: "zstd", Aliases: []string{"z"}, Usage: "compress with zstd (the default; tar's gzip does not exist here)"},
			&cli.BoolFlag{Name: "xz", Aliases: []string{"J"}, Usage: "compress with xz"},
			&cli.BoolFlag{Name: "no-compress", Usage: "do not compress"},
			&cli.BoolFlag{Name: "auto-compress", Aliases: []string{"a"}, Usage: "choose by FILE's suffix: .xz or .zst"},
			&cli.StringFlag{Name: "level", Usage: "zstd's `LEVEL`, 1 to 22"},
		}, configFlags("operands name its slots or tokens"), selectionFlags(), readingFlags(), []cli.Flag{
			jobsFlag(),
			progressFlag(),
			dryRunFlag(),
			&cli.BoolFlag{Name: "force", Usage: "replace FILE even if it is no archive (an archive is replaced without it)"},
		}, reportFlags()),
		run: func(s *session, c *cli.Context) error {
			o, err := createOptionsOf(s, c)
			if err != nil {
				return err
			}
			defer o.forget()
			defer o.pins.forget()
			return create(s.ctx, s, o)
		},
	}
}

type createOptions struct {
	sources
	file    string
	force   bool
	dryRun  bool
	reading backends.Reading
	to      keyslot.Recipients
	sign    *signature.Key // nil: not signed
	pins    *pins
	forget  func() // zeroes the passphrase
	codec   format.Codec
	level   int
	jobs    int
}

func createOptionsOf(s *session, c *cli.Context) (o createOptions, err error) {
	o = createOptions{file: c.String("file"), force: c.Bool("force"), dryRun: c.Bool("dry-run")}
	if err = s.dataTo(o.file); err != nil {
		return o, err
	}
	if o.codec, err = codecOf(s, c); err != nil {
		return o, err
	}
	if o.level, err = levelOf(s, c, o.codec); err != nil {
		return o, err
	}
	if o.jobs, err = jobs(s, c); err != nil {
		return o, err
	}
	if o.sources, err = s.tokensOf(c); err != nil {
		return o, err
	}
	if o.reading, err = readingOf(s, c); err != nil {
		return o, err
	}
	if o.pins, err = pinsOf(s, c); err != nil {
		return o, err
	}
	o.withCfg = true
	if o.to, o.forget, err = recipientsOf(s, c); err != nil {
		return o, err
	}
	o.sign, err = signKeyOf(s, c)
	return o, err
}

func codecOf(s *session, c *cli.Context) (format.Codec, error) {
	codec, chosen := format.CodecZstd, 0
	for flag, k := range map[string]format.Codec{"zstd": format.CodecZstd, "xz": format.CodecXZ, "no-compress": format.CodecNone} {
		if c.Bool(flag) {
			codec, chosen = k, chosen+1
		}
	}
	if c.Bool("auto-compress") {
		chosen++
		if strings.HasSuffix(c.String("file"), ".xz") {
			codec = format.CodecXZ
		}
	}
	if chosen > 1 {
		return codec, usagef(s.name, "choose one of -z, -J, --no-compress and -a")
	}
	return codec, nil
}

func levelOf(s *session, c *cli.Context, codec format.Codec) (int, error) {
	text := c.String("level")
	if text == "" {
		return 0, nil
	}
	if codec != format.CodecZstd {
		return 0, usagef(s.name, "--level is zstd's")
	}
	var level int
	if _, err := fmt.Sscanf(text+"\n", "%d\n", &level); err != nil || level < 1 || level > 22 {
		return 0, usagef(s.name, "--level is a number from 1 to 22, not %s", quote(text))
	}
	return level, nil
}

// create writes an archive of the tokens that the operands name.
func create(ctx context.Context, s *session, o createOptions) error {
	inputs, err := findTokens(ctx, s, o.sources, "archived")
	if err == nil {
		err = outside(s, o.file, inputs)
	}
	if err == nil {
		err = o.pins.check(namesOf(inputs))
	}
	if err == nil {
		err = o.pins.ready()
	}
	if err != nil {
		return left(err, "no archive was written")
	}
	if err := s.readAs(inputs, o.reading); err != nil {
		return err
	}
	if err := s.refusePINs(ctx, o, inputs); err != nil {
		return err
	}
	out, err := openCreated(s, o)
	if err != nil {
		return err
	}
	defer out.abandon()
	sum, err := stages.Archive(ctx, out, inputs, archiveOptions(s, o))
	if sum != nil {
		s.note(sum)
		s.summary.DryRun = o.dryRun
	}
	if err == nil && sum.Tokens == 0 {
		err = s.noneOpened()
	}
	if err == nil && s.report.refused { // the PIN was changed meanwhile
		err = wrongPINs()
	}
	if err == nil {
		err = s.report.said()
	}
	if err == nil {
		err = out.commit()
	}
	if errors.Is(err, backends.ErrLocked) {
		return &failure{code: exitBusy, err: err, left: out.untouched(),
			todo: "try again, or end that program; --no-lock reads the token all the same, --exclude TOKEN leaves it out"}
	}
	if err != nil {
		return left(err, out.untouched())
	}
	s.report.changed = out.path != ""
	for _, name := range sum.Unstable {
		s.report.plain("unstable", name, "it changed while it was read; make another archive when it is quiet")
	}
	reportCreated(s, o, sum, out)
	return nil
}

// refusePINs ends the run where a PIN is not the token's, before anything is
// written.
func (s *session) refusePINs(ctx context.Context, o createOptions, inputs []stages.Input) error {
	refused, err := o.pins.try(ctx, inputs)
	for _, r := range refused {
		s.unlocked(r.Token, nil, r.Err, nil)
	}
	if err == nil && len(refused) > 0 {
		err = wrongPINs()
	}
	return left(err, "no archive was written")
}

func wrongPINs() error {
	return &failure{code: exitSecret, err: errors.New("a PIN is not the token's"), todo: "give the right one, or none: the archive is the same"}
}

// openCreated opens what the archive goes to; a dry run only looks whether it
// could.
func openCreated(s *session, o createOptions) (*output, error) {
	opts := archiveOutput(o.force)
	opts.discard = o.dryRun
	return s.create(o.file, opts)
}

func archiveOptions(s *session, o createOptions) stages.ArchiveOptions {
	host, _ := os.Hostname()
	var skip func(*format.Token, *backends.Entry) bool
	if len(o.sel.excluded) > 0 {
		skip = func(t *format.Token, e *backends.Entry) bool {
			return o.sel.excludes(t.Name.String(), e.Name.String())
		}
	}
	return stages.ArchiveOptions{
		Slots: func(ctx context.Context, keys *format.Keys) ([]format.Slot, error) {
			slots, err := o.to.Wrap(ctx, keys)
			return slots, slotsRefused(ctx, err)
		},
		Skip:    skip,
		Sign:    o.sign,
		Codec:   o.codec,
		Level:   o.level,
		Workers: o.jobs,
		Made:    time.Now(),
		Host:    host,
		Writer:  program(),
		Each: s.counted(func(t *format.Token, r *format.Record) {
			s.created(t, r)
			if r.Kind == format.KindToken {
				s.misfits(o.cfg, t)
			}
		}),
		Problem: s.unopened,
		Unlock:  o.pins.unlock(s.createdUnlocked),
	}
}

// created names a record that was written. What is wrong with it is archived as
// it is, and can still be mended where it stands.
func (s *session) created(t *format.Token, r *format.Record) {
	if t == nil || r.Kind == format.KindEndOfToken {
		return
	}
	s.entry(t, r)
	for _, f := range r.Details.Findings {
		entry, _ := about(r, f)
		s.report.tell(notice{
			Finding: f, token: t.Name.String(), entry: entry,
			advice: advice{text: "tokar check says what to do"},
		})
	}
}

// createdUnlocked tells what a token's PINs showed.
func (s *session) createdUnlocked(t *format.Token, found []format.Finding, err error) {
	s.unlocked(t, found, err, func(format.Finding) advice { return advice{text: "tokar check says what to do"} })
}

// unopened names a token that could not be opened.
func (s *session) unopened(p stages.Problem) { s.unopenedAt(p.Location.Name.String(), p.Err) }

func (s *session) unopenedAt(token string, err error) {
	s.lastProblem = err
	s.report.busy = s.report.busy || errors.Is(err, backends.ErrLocked)
	s.report.tell(notice{
		Finding: format.Finding{Kind: "unopened", Offset: -1, Message: err.Error()},
		token:   token, advice: advice{text: todo(err)},
	})
}

// archived names a record of an archive, and what was found wrong with it.
func (s *session) archived(t *format.Token, r *format.Record) {
	if t == nil || r.Kind == format.KindEndOfToken {
		return
	}
	s.entry(t, r)
	s.report.entry(t, r)
}

// entry names a token, or one of its entries.
func (s *session) entry(t *format.Token, r *format.Record) {
	switch {
	case r.Kind == format.KindToken:
		s.token(t)
	case s.report.json != nil:
		s.report.json.object(t, r, nil)
	case s.report.verbose:
		s.report.name(quote(t.Name.String()+"/"+r.Name.String()) + contentOf(r))
	}
}

// token introduces a token, and what its operator must know.
func (s *session) token(t *format.Token) {
	if s.report.json != nil {
		s.report.json.token(t)
		return
	}
	s.report.name(quote(t.Name.String()))
	for _, n := range t.Notes {
		s.report.note(t.Name.String(), n)
	}
}

func reportCreated(s *session, o createOptions, sum *stages.Summary, out *output) {
	what := fmt.Sprintf("%s, %s, %s", count(sum.Tokens, "token"), count(sum.Objects, "object"), size(sum.Bytes))
	verb := "archived"
	if o.dryRun {
		verb = "would archive"
	} else if out.path != "" {
		what += " into " + quote(o.file)
	}
	if sum.SignedBy != nil {
		what += ", signed with " + sum.SignedBy.String()
	}
	s.report.result("%s %s%s", verb, what, s.report.withFindings())
}
