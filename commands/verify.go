package commands

import (
	"context"
	"errors"
	"fmt"

	"github.com/urfave/cli/v2"

	"tokar/format"
	"tokar/stages"
)

func verifyCommand() *command {
	return &command{
		name:     "verify",
		summary:  "prove that an archive is whole and unchanged",
		synopsis: "[flags]",
		examples: `tokar verify -i restore.key -f backup.tokar
tokar verify -v --pin file:user.pin -i restore.key -f backup.tokar
tokar verify -i verify.key -f backup.tokar
ssh vault cat host7.tokar | tokar verify --no-key`,
		text: `With a restore key every payload is opened too, in memory; with PINs of then
the private objects in them as well, and their keys are checked. A verifier's key
checks every block, MAC and total, and opens no key material; it cannot show
that the archive restores if its author lied. --no-key finds bit rot and cuts;
against people it proves nothing. With --signers only an archive that one of them
signed passes; without, which key signed it is said, and believed of nobody.`,
		flags: join([]cli.Flag{
			fileFlag("read the archive from `FILE`; - or none is stdin"),
		}, identityFlags(), signersFlags(), pinFlags(), []cli.Flag{
			&cli.BoolFlag{Name: "no-key", Usage: "frames and checksums only"},
			jobsFlag(),
			progressFlag(),
		}, reportFlags()),
		run: func(s *session, c *cli.Context) error {
			o, err := verifyOptionsOf(s, c)
			if err != nil {
				return err
			}
			defer o.forget()
			defer o.pins.forget()
			return verify(s.ctx, s, o)
		},
	}
}

type verifyOptions struct {
	openOptions
	pins    *pins
	noKey   bool
	keyless bool // no file of a key is given
}

func verifyOptionsOf(s *session, c *cli.Context) (o verifyOptions, err error) {
	if len(s.operands) > 0 {
		if c.String("file") != "" || c.Bool("ask-passphrase") { // it may be a passphrase
			return o, usagef(s.name, "verify reads the whole archive and takes no operands")
		}
		return o, usagef(s.name, "verify reads the whole archive and takes no operands; the archive is -f %s", quote(s.operands[0].text))
	}
	if o.pins, err = pinsOf(s, c); err != nil {
		return o, err
	}
	o.noKey = c.Bool("no-key")
	if o.noKey && o.pins.given() {
		return o, usagef(s.name, "--no-key opens nothing that a PIN would be for; give a restore key with -i")
	}
	if o.noKey && (len(c.StringSlice("identity")) > 0 || c.Bool("ask-passphrase") || c.String("passphrase") != "") {
		return o, usagef(s.name, "--no-key needs no key; give one or the other")
	}
	if o.noKey && (c.String("signers") != "" || c.String("verify-time") != "") {
		return o, usagef(s.name, "--no-key cannot look at a signature, which is sealed: give a key with -i beside --signers, or check a signature over the file with ssh-keygen -Y verify")
	}
	if o.noKey {
		o.file, o.forget = c.String("file"), func() {}
		return o, nil
	}
	o.keyless = len(identityFiles(c)) == 0
	o.openOptions, err = openOptionsOf(s, c)
	return o, err
}

// verify reads an archive to its end.
func verify(ctx context.Context, s *session, o verifyOptions) error {
	in, err := s.openArchive(o.file)
	if err != nil {
		return err
	}
	defer in.Close()
	if err := o.pins.ready(); err != nil {
		return left(err, "nothing was verified")
	}
	var sum *stages.Summary
	var opened privates
	if o.noKey {
		sum, err = stages.VerifyFrames(ctx, in.Reader)
	} else {
		open := o.engine()
		open.Each = s.counted(func(t *format.Token, r *format.Record) {
			opened.count(r)
			s.archived(t, r)
			s.marked(t, r)
		})
		open.Unlock = o.pins.unlock(s.archivedUnlocked)
		sum, err = stages.Verify(ctx, in.Reader, open)
	}
	if sum != nil {
		s.note(sum)
	}
	if err != nil {
		if errors.Is(err, stages.ErrNotRestoring) {
			return s.verifierPIN()
		}
		err = in.explain(err)
		if locked := (*stages.LockedError)(nil); errors.As(err, &locked) && o.keyless {
			return &failure{code: codeOf(err), err: err, todo: todo(err) + ", or find bit rot and cuts with --no-key"}
		}
		return err
	}
	o.pins.unused()
	s.report.result("%s%s", verdict(o, sum, &opened), s.report.withFindings())
	return nil
}

// marked names an entry that its flags say something of, where the findings that
// go with them are wrapped and the key at hand is a verifier's.
func (s *session) marked(t *format.Token, r *format.Record) {
	const marks = format.Damaged | format.Unlisted | format.Vanished | format.Refused
	if r.Flags&marks == 0 || t == nil || r.Kind.Descriptor() || len(r.Details.Findings) > 0 {
		return
	}
	for _, m := range [...]struct {
		flag          format.Flags
		kind, message string
	}{
		{format.Damaged, "damaged", "it was damaged when the archive was made"},
		{format.Unlisted, "unlisted", "the token's index did not name it when the archive was made"},
		{format.Vanished, "vanished", "it went away while the archive was made"},
		{format.Refused, "refused", "it was not read when the archive was made"},
	} {
		if r.Flags&m.flag != 0 {
			s.report.finding(t.Name.String(), entryName(r), format.Finding{Kind: m.kind, Offset: -1, Message: m.message + "; a restore key shows more"})
		}
	}
}

// archivedUnlocked tells what an archived token's PINs showed.
func (s *session) archivedUnlocked(t *format.Token, found []format.Finding, err error) {
	s.unlocked(t, found, err, func(format.Finding) advice { return advice{} })
}

// verifierPIN: PINs and a verifier's key do not go together.
func (s *session) verifierPIN() error {
	return usagef(s.name, "a verifier's key opens nothing that a PIN would be for; give a restore key with -i, or no PIN")
}

// verdict says what was proved, and what was not.
func verdict(o verifyOptions, sum *stages.Summary, opened *privates) string {
	if o.noKey {
		return fmt.Sprintf("whole: %s, checksums hold; without a key that proves nothing against people", size(sum.Written))
	}
	private := ""
	if o.pins.given() {
		private = opened.words()
	}
	what := fmt.Sprintf("%s, %s, %s%s; %s", count(sum.Tokens, "token"), count(sum.Objects, "object"), size(sum.Bytes), private, origin(sum.Archive))
	if by := signedBy(sum); by != "" {
		what += "; " + by
	}
	if sum.Restores {
		return "whole and authentic, every payload opens: " + what
	}
	return "whole and authentic under the verifier's key: " + what + "; payloads were not opened"
}
