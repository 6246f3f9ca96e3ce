package commands

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"tokar/backends"
	"tokar/backends/all"
	"tokar/format"
	"tokar/stages"
)

// notWithSalvage are extract's flags about tokens that are there, of which
// there is none, and others that would do nothing.
var notWithSalvage = []string{
	"overwrite", "keep-existing", "no-keep", "keep-pins", "roll-back-pins", "replace-token", "token-in-use", "to-stdout", "jobs", "signers", "verify-time",
	"config", "base", "configuration",
}

// runSalvage is extract --salvage.
func runSalvage(s *session, c *cli.Context) error {
	for _, flag := range notWithSalvage {
		if c.IsSet(flag) {
			return usagef(s.name, "--salvage restores into a new directory, and --%s has no meaning with it", flag)
		}
	}
	o, err := extractOptionsOf(s, c)
	if err != nil {
		return err
	}
	defer o.forget()
	return salvage(s.ctx, s, o)
}

// salvage brings back what is whole of a damaged archive.
func salvage(ctx context.Context, s *session, o extractOptions) error {
	s.report.survive = true
	s.report.out.fail = nil
	in, err := s.openArchive(o.file)
	if err != nil {
		return err
	}
	defer in.Close()
	const nothing = "nothing was restored"
	dirs, err := o.newDirs(ctx)
	defer dirs.removeEmpty()
	if err != nil {
		return left(err, nothing)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	x := &extraction{session: s, o: o, dirs: map[string]string{}, put: map[*format.Token]uint64{}, same: map[*format.Token]uint64{}, refuse: cancel, salvages: true}
	sum, err := stages.Salvage(ctx, in.Reader, x.salvageOptions(in.path, dirs))
	if cause := context.Cause(ctx); err != nil && codeOf(cause) == exitUsage {
		err = cause
	}
	if sum != nil {
		s.note(&sum.Summary)
		s.summary.Committed, s.summary.DryRun = x.committed, o.dryRun
		s.summary.Proof, s.summary.Signature, s.summary.partial = sum.Proof, sum.Signature, sum.Damaged
	}
	var part *stages.PartError
	switch {
	case errors.As(err, &part):
		return x.partway(part)
	case err != nil:
		return left(in.explain(err), nothing)
	}
	if err := o.sel.missed(s.report); err != nil {
		return left(err, nothing)
	}
	x.result()
	what := "the archive is whole, and nothing is lost"
	if sum.Damaged {
		what = "the archive is damaged: what is wrong with it and what is lost was named"
	}
	s.report.result("%s; the proof of its end is %s; %s", what, sum.Proof, salvagedSignature(sum))
	return nil
}

// salvagedSignature says what became of the signature. Nobody asks here whose it
// is, and without the end nobody knows whether there was one.
func salvagedSignature(sum *stages.Salvaged) string {
	switch {
	case sum.Signature == stages.Good:
		return fmt.Sprintf("it is signed with %s, and whose key that is was not asked", sum.SignedBy)
	case sum.Signature == stages.Bad:
		return "its signature does not hold"
	case sum.Proof == stages.Good:
		return "it is not signed"
	}
	return "whether it was signed cannot be told"
}

func (x *extraction) salvageOptions(archive string, dirs *newDirs) stages.SalvageOptions {
	if archive == "-" {
		archive = "stdin"
	}
	o := stages.SalvageOptions{
		ExtractOptions: x.options(),
		Unknown:        all.Unknown(),
		Damage: func(f format.Finding) {
			x.report.tell(notice{Finding: f, token: archive})
		},
		Lost: func(t *format.Token, name format.Name, f format.Finding) {
			x.report.finding(x.nameOf(t), name.String(), f)
		},
	}
	o.Backend = func(kind string) (backends.Backend, error) {
		b, err := all.ByKind(kind)
		if _, is := b.(backends.Host); is {
			return all.Unknown(), nil
		}
		return b, err
	}
	place := o.Place
	o.Place = func(t *format.Token) stages.Place {
		p := place(t)
		p.Dir = cmp.Or(dirs.standIn[p.Dir], p.Dir)
		return p
	}
	return o
}

// newDirs are the directories of a salvage.
type newDirs struct {
	made    []string
	standIn map[string]string // in a dry run, an empty directory for each that is not there
}

// newDirs makes sure that every directory to restore into is new or empty, and is
// not where programs look for tokens. What is not there is made, with mode 0700.
func (o extractOptions) newDirs(ctx context.Context) (*newDirs, error) {
	d := &newDirs{standIn: map[string]string{}}
	wanted := []string{cmp.Or(o.dir, ".")}
	if len(o.sel.wanted) > 0 {
		wanted = nil
		for _, p := range o.sel.wanted {
			wanted = append(wanted, cmp.Or(p.dir, "."))
		}
	}
	slices.Sort(wanted)
	for _, dir := range slices.Compact(wanted) {
		if err := d.add(ctx, dir, o.dryRun); err != nil {
			return d, err
		}
	}
	return d, nil
}

func (d *newDirs) add(ctx context.Context, dir string, dryRun bool) error {
	const todo = "--salvage takes a new directory: give one with -C DIR"
	for _, b := range all.Backends() {
		if h, ok := b.(backends.Homed); ok && strings.HasPrefix(realPath(dir)+"/", h.Home()+"/") {
			return failedf(todo+", and move from there what is wanted", "-C %s is where programs look for tokens", quote(dir))
		}
	}
	if above := holder(ctx, filepath.Dir(filepath.Clean(dir))); above != "" {
		return failedf(todo, "-C %s lies in a token", quote(dir))
	}
	entries, err := os.ReadDir(dir)
	switch {
	case err == nil:
		for _, e := range entries {
			if !isPlace(e.Name()) {
				return failedf(todo, "-C %s is not empty", quote(dir))
			}
		}
		return nil
	case !errors.Is(err, os.ErrNotExist):
		return failedf(todo, "-C %s: %w", quote(dir), causeOf(err))
	case dryRun:
		if _, err := os.Stat(filepath.Dir(dir)); err != nil {
			return failedf("", "-C %s: %w", quote(dir), causeOf(err))
		}
		if d.standIn[dir], err = os.MkdirTemp("", "tokar-salvage-"); err != nil {
			return err
		}
		d.made = append(d.made, d.standIn[dir])
		return nil
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return failedf("", "-C %s: %w", quote(dir), causeOf(err))
	}
	d.made = append(d.made, dir)
	return syncDir(filepath.Dir(dir))
}

// isPlace says of a name whether a salvage that was stopped left it: the next
// one clears it away.
func isPlace(name string) bool {
	return strings.HasPrefix(name, ".") && strings.HasSuffix(name, ".tokar-new")
}

// removeEmpty takes away what was made and not used.
func (d *newDirs) removeEmpty() {
	for _, dir := range d.made {
		os.Remove(dir) // fails if something is in it
	}
}
