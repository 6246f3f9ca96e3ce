package commands

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/urfave/cli/v2"

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
tokar x -n -i restore.key -f backup.tokar`,
		text: `A token is restored as DIR/TOKEN, which must not be there. Nothing is in its
place before the whole archive was read and proved. PATTERN is a shell pattern
for TOKEN, TOKEN/OBJECT or OBJECT; quote it from the shell. Damaged objects are
left out and named, unless --damaged is given.`,
		flags: join([]cli.Flag{
			fileFlag("read the archive from `FILE`; - or none is stdin"),
			directoryFlag("restore into `DIR`; counts for the patterns that follow"),
		}, identityFlags(), selectionFlags(), []cli.Flag{
			&cli.BoolFlag{Name: "damaged", Usage: "restore damaged objects too, as they are"},
			&cli.BoolFlag{Name: "keep-existing", Aliases: []string{"k"}, Usage: "for tar's fingers; a token that exists is never touched, and makes the whole restore refuse"},
			&cli.BoolFlag{Name: "to-stdout", Aliases: []string{"O"}, Usage: "write the objects named TOKEN/OBJECT to stdout, as cat does"},
			jobsFlag(),
			dryRunFlag(),
		}, reportFlags()),
		run: runExtract,
	}
}

func runExtract(s *session, c *cli.Context) error {
	if c.Bool("to-stdout") {
		return runCat(s, c)
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
	sel     *selection
	dir     string // where there are no patterns
	damaged bool
	dryRun  bool
}

func extractOptionsOf(s *session, c *cli.Context) (o extractOptions, err error) {
	o = extractOptions{dir: s.dir, damaged: c.Bool("damaged"), dryRun: c.Bool("dry-run")}
	if err = s.claimArchive(c.String("file")); err != nil {
		return o, err
	}
	if o.sel, err = selectionOf(s, c); err != nil {
		return o, err
	}
	o.openOptions, err = openOptionsOf(s, c)
	return o, err
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
	if err := o.checkDirs(); err != nil {
		return left(err, "nothing was restored")
	}
	x := &extraction{session: s, o: o, dirs: map[string]string{}}
	sum, err := stages.Extract(ctx, in.Reader, x.options())
	if sum != nil {
		s.note(sum)
		s.summary.Committed, s.summary.DryRun = x.committed, o.dryRun
	}
	var part *stages.PartError
	switch {
	case errors.As(err, &part):
		return left(err, "restored: "+quoteAll(part.Done)+"; the others were not touched")
	case err != nil:
		return left(in.explain(err), "nothing was restored")
	}
	if err := o.sel.missed(s.report); err != nil {
		return left(err, "nothing was restored")
	}
	x.result()
	return nil
}

// checkDirs looks whether the directories are there, before the archive is
// read: tokens are restored into them, and they are not made.
func (o extractOptions) checkDirs() error {
	dirs := []string{o.dir}
	for _, p := range o.sel.wanted {
		dirs = append(dirs, p.dir)
	}
	for _, d := range dirs {
		if info, err := os.Stat(cmp.Or(d, ".")); err != nil {
			return failedf("make it first", "-C %s: %w", quote(d), causeOf(err))
		} else if !info.IsDir() {
			return failedf("", "-C %s is no directory", quote(d))
		}
	}
	return nil
}

// An extraction is what one run restores, and where.
type extraction struct {
	*session
	o         extractOptions
	committed []string
	objects   uint64
	bytes     uint64
	dirs      map[string]string // of each token that is restored
	last      *format.Token     // the last one noted in dirs
}

func (x *extraction) options() stages.ExtractOptions {
	open := x.o.engine()
	open.Each = x.counted(x.each)
	return stages.ExtractOptions{
		OpenOptions: open,
		Backend:     all.ByKind,
		Place: func(t *format.Token) (dir string, whole, wanted bool) {
			whole, wanted = x.o.sel.token(t)
			return x.place(t), whole, wanted
		},
		Select:  x.o.sel.entry,
		Damaged: x.o.damaged,
		DryRun:  x.o.dryRun,
		Left:    x.left,
		Finding: func(t *format.Token, f format.Finding) { x.report.finding(t.Name.String(), "", f) },
		Committed: func(t *format.Token, dir string) {
			x.report.changed = true
			x.committed = append(x.committed, t.Name.String())
		},
	}
}

func (x *extraction) place(t *format.Token) string {
	dir := x.o.dir
	if len(x.o.sel.wanted) > 0 {
		dir = x.o.sel.dir(t.Name.String())
	}
	return cmp.Or(dir, ".")
}

func (x *extraction) each(t *format.Token, r *format.Record) {
	if t == nil || r.Kind == format.KindEndOfToken || !x.o.sel.record(t, r) {
		return
	}
	if r.Kind != format.KindToken {
		if t != x.last {
			x.dirs[t.Name.String()], x.last = x.place(t), t
		}
		x.bytes += uint64(r.Size)
		if r.Kind == format.KindObject {
			x.objects++
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
		x.objects--
	}
	x.bytes -= uint64(r.Size)
}

func (x *extraction) result() {
	verb, tokens := "restored", x.committed
	if x.o.dryRun {
		verb, tokens = "would restore", slices.Collect(maps.Keys(x.dirs))
	}
	what := fmt.Sprintf("%s, %s, %s", count(uint64(len(tokens)), "token"), count(x.objects, "object"), size(x.bytes))
	x.report.result("%s %s%s%s", verb, what, x.where(tokens), x.report.withFindings())
}

// where says where tokens are, if a few words can.
func (x *extraction) where(tokens []string) string {
	if len(tokens) == 1 {
		return " as " + quote(filepath.Join(x.dirs[tokens[0]], filepath.FromSlash(tokens[0])))
	}
	places := slices.Compact(slices.Sorted(maps.Values(x.dirs)))
	if len(places) == 1 && places[0] != "." {
		return " into " + quote(places[0])
	}
	return ""
}
