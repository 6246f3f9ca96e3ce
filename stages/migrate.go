package stages

import (
	"context"
	"errors"
	"fmt"

	"tokar/backends"
	"tokar/format"
	"tokar/pipeline"
)

// Move is a token to be brought into another form where it stands.
type Move struct {
	Input
	Dir     string           // holds the token, under the name that Location has
	Recoder backends.Recoder // the caller closes it
}

// MigrateOptions say how, and who hears of it.
type MigrateOptions struct {
	Workers int    // 0: pipeline.Workers
	DryRun  bool   // read and recode all, and write nothing
	Locks   string // as in backends.RestoreOptions
	Each    Each   // told of every entry, with its bytes in the new form
	// Note is told what the operator should know of a token.
	Note func(t *format.Token, message string)
	// Finding is told what could not be set on what was made.
	Finding func(t *format.Token, f format.Finding)
	// Ready is called when all tokens stand ready beside their places, before the
	// first is put there. undo takes back what it did, where that first one cannot
	// be put there either.
	Ready func() (undo func() error, err error)
	// Committed is told of each token that is in its place.
	Committed func(t *format.Token)
}

// Migrate reads tokens, brings them into another form, and puts them where they
// stand. No token is in its place before all of them are ready; an entry that
// cannot be brought into the new form ends the run before that.
func Migrate(ctx context.Context, list []Move, o MigrateOptions) (*Summary, error) {
	g := &migration{MigrateOptions: o, moves: map[string]*move{}}
	g.told = told{each: o.Each, problem: g.unopened, summary: &Summary{}}
	err := g.run(ctx, list)
	return g.summary, g.close(err)
}

type migration struct {
	MigrateOptions
	told
	list   []*move
	moves  map[string]*move // by the token's name
	failed error
}

// move is a token on its way.
type move struct {
	recoder backends.Recoder
	info    *format.Token // as it will be
	staging backends.Staging
}

func (g *migration) run(ctx context.Context, list []Move) error {
	var inputs []Input
	for _, m := range list {
		// The staging place first: it keeps other runs away while this one reads.
		if err := g.begin(ctx, m); err != nil {
			return err
		}
		inputs = append(inputs, m.Input)
	}
	src := &entries{inputs: inputs}
	defer src.close()
	chain := func() ([]stage, error) { return []stage{&read{}, &validate{}, &recode{moves: g.moves}}, nil }
	if err := pipeline.Forward(ctx, src, chain, g, g.Workers); err != nil {
		return err
	}
	if g.failed != nil {
		return g.failed
	}
	if len(src.unstable) > 0 {
		return fmt.Errorf("token %s: %w: it changed while it was read", src.unstable[0], backends.ErrInUse)
	}
	return g.commit(ctx)
}

// begin makes a token's staging place.
func (g *migration) begin(ctx context.Context, in Move) error {
	m := &move{recoder: in.Recoder, info: in.Recoder.Info()}
	name := m.info.Name.String()
	if g.moves[name] != nil {
		return fmt.Errorf("token %s is to be migrated twice", name)
	}
	var err error
	m.staging, err = in.Backend.Restore(ctx, in.Dir, m.info, backends.RestoreOptions{
		Whole: true, Recoded: true, DryRun: g.DryRun, Locks: g.Locks,
		Note: func(message string) { g.Note(m.info, message) },
	})
	if err == nil {
		g.list, g.moves[name] = append(g.list, m), m
	}
	return err
}

// Put is the sink's: entries are in their staging place already.
func (g *migration) Put(ctx context.Context, b *Batch) error {
	first := b.at - len(b.Records)
	for i := range b.Records {
		if r := &b.Records[i]; !r.Kind.Descriptor() {
			m := g.moves[b.planned[first+i].run.info.Name.String()]
			if err := m.staging.Order(r, b.left[i]); err != nil {
				return err
			}
		}
	}
	return g.told.Put(ctx, b)
}

func (g *migration) unopened(p Problem) { g.failed = errors.Join(g.failed, p.Err) }

// commit finishes every token, then puts one after the other in its place.
func (g *migration) commit(ctx context.Context) error {
	for _, m := range g.list {
		findings, err := m.staging.Finish(ctx)
		if err != nil {
			return err
		}
		g.found(m, findings)
	}
	if g.DryRun {
		return nil
	}
	undo, err := g.Ready()
	if err != nil {
		return err
	}
	var done []string
	for _, m := range g.list {
		findings, err := m.staging.Commit(ctx)
		if err != nil {
			part := &PartError{Done: done, Err: err}
			if errors.Is(err, backends.ErrPartway) {
				part.Half = m.info.Name.String()
			}
			if len(done) == 0 && part.Half == "" {
				if uerr := undo(); uerr != nil {
					err = &PartError{Err: errors.Join(err, uerr)}
				}
				return err
			}
			return part
		}
		done = append(done, m.info.Name.String())
		g.Committed(m.info)
		g.found(m, findings)
	}
	return nil
}

func (g *migration) found(m *move, findings []format.Finding) {
	for _, f := range findings {
		g.summary.Findings++
		g.Finding(m.info, f)
	}
}

// close removes what was not committed, and what only building needed.
func (g *migration) close(err error) error {
	for _, m := range g.list {
		switch cerr := m.staging.Close(); {
		case cerr == nil:
		case err == nil:
			g.found(m, []format.Finding{{Kind: "left-behind", Offset: -1, Message: cerr.Error() + "; the next run for this token removes it"}})
		default:
			err = fmt.Errorf("%w; %w", err, cerr)
		}
	}
	return err
}
