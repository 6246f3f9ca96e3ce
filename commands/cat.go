package commands

import (
	"context"
	"errors"
	"strings"

	"github.com/urfave/cli/v2"

	"tokar/stages"
)

func catCommand() *command {
	return &command{
		name:     "cat",
		summary:  "write one object's bytes",
		synopsis: "[flags] TOKEN/OBJECT…",
		examples: `tokar cat -i restore.key -f backup.tokar swtok/10000000 > bytes
ssh vault cat host7.tokar | tokar cat -i restore.key -o NVTOK.DAT swtok/NVTOK.DAT`,
		text: `The bytes are those of the token's file. Nothing is written before the archive's
end was proved. Names are exact, without wildcards.`,
		flags: join([]cli.Flag{
			fileFlag("read the archive from `FILE`; - or none is stdin"),
			&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Usage: "write to `FILE`; - or none is stdout"},
			&cli.BoolFlag{Name: "force", Usage: "replace FILE"},
		}, identityFlags(), signersFlags(), []cli.Flag{jobsFlag(), progressFlag(), dryRunFlag()}, reportFlags()),
		run: runCat,
	}
}

func runCat(s *session, c *cli.Context) error {
	o, err := catOptionsOf(s, c)
	if err != nil {
		return err
	}
	defer o.forget()
	return cat(s.ctx, s, o)
}

type catOptions struct {
	openOptions
	output string
	force  bool
	dryRun bool
	names  []string
}

func catOptionsOf(s *session, c *cli.Context) (o catOptions, err error) {
	if err = s.dataTo(c.String("output")); err != nil {
		return o, err
	}
	if err = s.claimArchive(c.String("file")); err != nil {
		return o, err
	}
	operands, err := s.expand(s.operands, c.Bool("null"))
	if err != nil {
		return o, err
	}
	for _, op := range operands {
		if !strings.Contains(op.text, "/") {
			return o, usagef(s.name, "an object is named TOKEN/OBJECT, not %s", quote(op.text))
		}
		o.names = append(o.names, op.text)
	}
	if len(o.names) == 0 {
		return o, usagef(s.name, "no object is named; an object is TOKEN/OBJECT, as list shows it")
	}
	o.output, o.force, o.dryRun = c.String("output"), c.Bool("force"), c.Bool("dry-run")
	o.openOptions, err = openOptionsOf(s, c)
	return o, err
}

// cat writes the bytes of objects, one after the other.
func cat(ctx context.Context, s *session, o catOptions) error {
	in, err := s.openArchive(o.file)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := s.create(o.output, outputOptions{what: "the object's bytes", flag: "-o", force: o.force, terminal: o.output == "-", discard: o.dryRun})
	if err != nil {
		return err
	}
	defer out.abandon()
	open := o.engine()
	open.Each = s.counted(s.report.entry)
	sum, err := stages.Cat(ctx, in.Reader, o.names, open, out)
	if sum != nil {
		s.note(sum)
		s.summary.DryRun = o.dryRun
	}
	missing, err := notThere(err, len(o.names))
	if err == nil {
		err = out.commit()
	}
	if err != nil {
		return left(in.explain(err), "nothing was written")
	}
	s.tellSigner(sum)
	for _, name := range missing {
		s.report.plain("not-found", name, "not in this archive")
	}
	if o.dryRun {
		s.report.result("would write %s%s", count(uint64(len(o.names)-len(missing)), "object"), s.report.withFindings())
	}
	return nil
}

// notThere makes names that are not in the archive findings, if others were.
func notThere(err error, names int) ([]string, error) {
	var missing *stages.NotFoundError
	if !errors.As(err, &missing) {
		return nil, err
	}
	if len(missing.Names) == names {
		return nil, failedf("tokar list shows what it holds", "not in this archive: %s", quoteAll(missing.Names))
	}
	return missing.Names, nil
}
