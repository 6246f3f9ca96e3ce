package commands

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"tokar/backends"
	"tokar/format"
	"tokar/format/cryptoki"
	"tokar/stages"
)

// A chosen is a token that is there.
type chosen struct {
	target
	in      stages.Input
	recoder backends.Recoder // nil: it is in the wanted form
}

// forward migrates tokens, recodes them for another byte order, or scrubs them.
func (m *migrating) forward(ctx context.Context) error {
	tokens, err := m.present(ctx)
	if err != nil {
		return left(err, "nothing was changed")
	}
	defer func() {
		for _, t := range tokens {
			if t.recoder != nil {
				t.recoder.Close()
			}
		}
	}()
	if m.o.what == toFIPS || m.o.order != "" {
		if err := m.recode(ctx, tokens); err != nil {
			return err
		}
	}
	if m.o.scrub {
		return m.scrub(ctx, tokens)
	}
	return nil
}

// present finds the tokens that are there.
func (m *migrating) present(ctx context.Context) (list []*chosen, err error) {
	var names []string
	for _, t := range m.targets {
		in, ok, err := m.located(ctx, t)
		switch {
		case err != nil:
			return nil, err
		case !ok && holdsFiles(t.path) && m.below(t) == "":
			return nil, fmt.Errorf("slot %d: what is in %s is not known as a token: it has no NVTOK.DAT, or a name that copies of tokens have; restore it from an archive, or move it away", t.Number, quote(t.path))
		case !ok && len(m.o.slots) > 0:
			return nil, fmt.Errorf("slot %d: there is no token in %s%s", t.Number, quote(t.path), m.below(t))
		case !ok:
			m.report.detail("slot %d: there is no token in %s", t.Number, quote(t.path))
			m.became(t, stayedAbsent)
			continue
		}
		list = append(list, &chosen{target: t, in: in})
		names = append(names, in.Name.String())
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("none of the slots has a token: the directory is %s, or say another with --datastore", quote(m.base()))
	}
	return list, m.o.pins.check(names)
}

// below says that the slot's token is one directory further down, where -d named
// the directory that holds it.
func (m *migrating) below(t target) string {
	path := filepath.Join(t.path, t.Directory)
	if _, err := os.Lstat(filepath.Join(path, "NVTOK.DAT")); m.o.datastore == "" || err != nil {
		return ""
	}
	return fmt.Sprintf("; one is in %s: with --slot, -d names the token's own directory", quote(path))
}

// holdsFiles says whether there is more at path than directories, which packages
// make for every token.
func holdsFiles(path string) bool {
	err := filepath.WalkDir(path, func(_ string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			err = fs.ErrExist
		}
		return err
	})
	return err != nil && !errors.Is(err, fs.ErrNotExist)
}

// agree asks once whether it shall be done to these tokens.
func (m *migrating) agree(verb string, tokens []*chosen) error {
	if m.o.yes || m.o.dryRun || len(tokens) == 0 {
		return nil
	}
	var what []string
	for _, t := range tokens {
		what = append(what, t.String())
	}
	return m.confirm(fmt.Sprintf("%s %s?", verb, strings.Join(what, ", ")))
}

// recode opens the tokens that are not yet in the wanted form, archives them if
// it is to, and brings them into it.
func (m *migrating) recode(ctx context.Context, tokens []*chosen) error {
	var moves []stages.Move
	var old []*chosen
	var slots []int // whose tokens are in the newest format, now or then
	for _, t := range tokens {
		switch err := m.open(ctx, t); {
		case errors.Is(err, backends.ErrAlready):
			if err := m.already(ctx, t); err != nil {
				return left(err, "nothing was changed")
			}
		case err != nil:
			return left(err, "nothing was changed")
		default:
			m.foreign(t)
			old = append(old, t)
			moves = append(moves, stages.Move{Input: t.in, Dir: filepath.Dir(t.in.Real), Recoder: t.recoder})
		}
		slots = append(slots, t.Number)
	}
	if m.o.what != toFIPS {
		slots = nil
	}
	configured, err := m.config.SetNewest(slots, true) // before any work
	if err != nil {
		return left(err, "nothing was changed")
	}
	verb := "Migrate"
	switch {
	case len(moves) == 0:
		for _, t := range tokens {
			if slices.Contains(configured, t.Number) {
				old = append(old, t)
			}
		}
		verb = "Set tokversion = 3.12 of"
	case m.o.what != toFIPS:
		verb = "Recode"
	}
	if err := m.agree(verb, old); err != nil {
		return left(err, "nothing was changed")
	}
	if len(moves) == 0 {
		return m.configure(slots)
	}
	if m.o.archive != "" {
		if err := m.backUp(ctx, moves); err != nil {
			return left(err, "nothing was changed")
		}
	}
	return m.move(ctx, moves, slots, configured)
}

// open makes the recoder of a token, which asks for its PINs.
func (m *migrating) open(ctx context.Context, t *chosen) (err error) {
	t.recoder, err = m.backend.Recode(ctx, t.in.Location, backends.Recoding{
		Variant: t.Variant, Newest: m.o.what == toFIPS, Order: m.o.order,
		PIN: func(so bool) ([]byte, error) { return m.pin(t.in.Name.String(), so) },
	})
	if err != nil {
		t.recoder = nil
	}
	return err
}

// foreign says before anything is done of a token that this machine's library
// cannot read in any format.
func (m *migrating) foreign(t *chosen) {
	host := cryptoki.Host().String()
	order := t.recoder.Info().Property("byte-order")
	if m.o.what == toFIPS && m.o.order == "" && order != "" && order != "unknown" && order != host {
		m.report.note(t.in.Name.String(), fmt.Sprintf("a %s-endian machine wrote it, and migrated it is for such machines too: the library of this one shows no object of it; migrate fips --byte-order %s does both in one run", order, host))
	}
}

// pin gives a PIN: from the command line, from a flag's source, or asked for.
func (m *migrating) pin(token string, so bool) ([]byte, error) {
	if pin := m.o.literal[so]; pin != nil {
		return bytes.Clone(pin), nil
	}
	flag, what := "pin", "the user PIN"
	if so {
		flag, what = "so-pin", "the SO PIN"
	}
	pin, err := m.o.pins.read(flag, token)
	if err != nil || pin != nil {
		return pin, err
	}
	pin, err = fromPrompt.read(m.session, what+" of "+quote(token), false)
	return pin, otherwise(err, flag)
}

// already tells of a token that is in the wanted form, unless a migration that
// failed left objects in it which are not.
func (m *migrating) already(ctx context.Context, t *chosen) error {
	old := 0
	_, err := stages.Check(ctx, []stages.Input{t.in}, stages.CheckOptions{
		Workers: m.o.jobs,
		Each: func(_ *format.Token, r *format.Record) {
			for _, f := range r.Details.Findings {
				if f.Kind == "format" {
					old++
					m.report.finding(t.in.Name.String(), r.Name.String(), f)
				}
			}
		},
		Problem: m.unopened,
	})
	if err != nil {
		return err
	}
	if old > 0 && m.o.what == toFIPS {
		return failedf("take these objects from an archive of before, or put the old token back and migrate that",
			"token %s is in the new format, and %s of it in the old one, under a master key that it no longer has: an earlier migration lost them", quote(t.path), count(uint64(old), "object"))
	}
	m.became(t.target, stayedAlready)
	if m.o.what == toFIPS {
		m.report.result("%s is in the new format already", t.target)
	} else {
		m.report.result("%s is in this byte order already", t.target)
	}
	return nil
}

// configure sets the tokversion of tokens that are in the new format.
func (m *migrating) configure(slots []int) error {
	changed, err := m.config.SetNewest(slots, m.o.dryRun)
	if err != nil {
		return left(err, "nothing was changed")
	}
	m.tellConfiguration(changed, "tokversion = 3.12")
	return nil
}

// tellConfiguration tells of the slots that the configuration says something else of.
func (m *migrating) tellConfiguration(slots []int, what string) {
	if len(slots) == 0 {
		return
	}
	version := "3.12"
	if m.o.what == toOld {
		version = "before"
	}
	m.configured(slots, version)
	verb := "has now"
	if m.o.dryRun {
		verb = "would get"
	}
	m.report.result("%s %s %s", quote(m.config.File()), verb, what)
}

// backUp archives the tokens as they are, and reads the archive back.
func (m *migrating) backUp(ctx context.Context, moves []stages.Move) error {
	var inputs []stages.Input
	for _, mv := range moves {
		inputs = append(inputs, mv.Input)
	}
	o := createOptions{file: m.o.archive, dryRun: m.o.dryRun, to: m.o.to, pins: m.o.pins}
	if err := outside(m.session, o.file, inputs); err != nil {
		return err
	}
	out, err := openCreated(m.session, o)
	if err != nil {
		return err
	}
	defer out.abandon()
	o.pins = &pins{s: m.session}
	options := archiveOptions(m.session, o)
	options.Each = nil
	sum, err := stages.Archive(ctx, out, inputs, options)
	if err == nil && (sum.Tokens != uint64(len(inputs)) || len(sum.Unstable) > 0) {
		err = failedf("", "not all tokens could be read at rest")
	}
	if err == nil && !m.o.dryRun {
		if err = out.Sync(); err == nil {
			_, err = stages.VerifyFrames(ctx, out.reread())
		}
	}
	if err == nil {
		err = out.commit()
	}
	if err != nil {
		return left(fmt.Errorf("the archive: %w", err), out.untouched())
	}
	m.report.result("%s", archivedBefore(m.o, sum))
	return nil
}

func archivedBefore(o *migrateOptions, sum *stages.Summary) string {
	verb := "archived"
	if o.dryRun {
		verb = "would archive"
	}
	return fmt.Sprintf("%s %s, %s, %s as before into %s", verb, count(sum.Tokens, "token"), count(sum.Objects, "object"), size(sum.Bytes), quote(o.archive))
}

// move brings the tokens into the new form and puts them in place.
func (m *migrating) move(ctx context.Context, moves []stages.Move, slots, configured []int) error {
	var inputs []stages.Input
	for _, mv := range moves {
		inputs = append(inputs, mv.Input)
	}
	m.showProgress(m.listed(ctx, inputs, selection{}))
	var committed []string
	change := becameMigrated
	if m.o.what != toFIPS {
		change = becameRecoded
	}
	foreign, kept := 0, 0
	sum, err := stages.Migrate(ctx, moves, stages.MigrateOptions{
		Workers: m.o.jobs,
		DryRun:  m.o.dryRun,
		Locks:   m.o.locks,
		Each: m.counted(func(t *format.Token, r *format.Record) {
			if r.Kind == format.KindForeign {
				foreign++
			}
			for _, f := range r.Details.Findings {
				if f.Kind == "not-converted" {
					kept++
				}
			}
			m.archived(t, r)
		}),
		Note:    func(t *format.Token, message string) { m.report.note(t.Name.String(), message) },
		Finding: func(t *format.Token, f format.Finding) { m.report.finding(t.Name.String(), "", f) },
		Ready: func() (func() error, error) {
			changed, err := m.config.SetNewest(slots, false)
			if err != nil {
				return nil, err
			}
			return func() error {
				if len(changed) == 0 {
					return nil
				}
				_, err := m.config.SetBack(changed, false)
				return err
			}, nil
		},
		Committed: func(t *format.Token) {
			m.report.changed = true
			committed = append(committed, t.Name.String())
			m.becameOf(t.Name.String(), change)
		},
	})
	m.note(sum)
	m.summary.Generation, m.summary.Restores = nil, nil // there is no archive
	m.summary.Committed, m.summary.DryRun = committed, m.o.dryRun
	var part *stages.PartError
	if errors.As(err, &part) {
		return m.partway(part)
	}
	if err != nil {
		return left(err, "nothing was changed")
	}
	if foreign > 0 {
		m.report.note(filepath.Base(moves[0].Path), fmt.Sprintf("files that are not the library's, such as what a crash left, were taken along as they are: %d", foreign))
	}
	verb := change
	if m.o.dryRun {
		for _, mv := range moves {
			m.becameOf(mv.Name.String(), change)
		}
		verb = "would be " + verb
		if kept == 0 {
			verb += ", every one of them opens and can be converted"
		}
	}
	m.tellConfiguration(configured, "tokversion = 3.12")
	m.report.result("%s, %s, %s: %s%s", count(sum.Tokens, "token"), count(sum.Objects, "object"), size(sum.Bytes), verb, m.report.withFindings())
	return nil
}

// partway says of a stop after a change what to run again.
func (m *migrating) partway(part *stages.PartError) error {
	said := "nothing is in its place, and the configuration may name the new format"
	if len(part.Done) > 0 {
		said = "in the new form: " + quoteAll(part.Done)
	}
	if part.Half != "" {
		said += "; " + quote(part.Half) + " is not as it was, and the next run clears up"
	}
	return &failure{code: exitPartway, err: part, left: said, todo: "when that is mended, run it again, or take it back with tokar migrate undo"}
}

// scrub removes the old PIN hashes.
func (m *migrating) scrub(ctx context.Context, tokens []*chosen) error {
	var dirty []*chosen
	for _, t := range tokens {
		found, err := m.backend.Scrub(ctx, t.in.Location, true)
		if errors.Is(err, backends.ErrOlder) && len(m.o.slots) == 0 {
			m.report.note(t.in.Name.String(), "it is passed over: it is in the old format, whose PIN hashes are how its PINs are checked")
			m.became(t.target, stayedPassed)
			continue
		}
		if err != nil {
			return left(err, "its NVTOK.DAT is as it was")
		}
		switch {
		case !found:
			m.became(t.target, stayedAlready)
			m.report.result("%s holds no PIN hashes of the old format", t.target)
		case m.o.dryRun:
			m.became(t.target, becameScrubbed)
			m.report.result("%s holds PIN hashes of the old format, which would go", t.target)
		default:
			dirty = append(dirty, t)
		}
	}
	if err := m.agree("Scrub", dirty); err != nil {
		return left(err, "no NVTOK.DAT was scrubbed")
	}
	for _, t := range dirty {
		if _, err := m.backend.Scrub(ctx, t.in.Location, false); err != nil {
			return left(err, "its NVTOK.DAT is as it was")
		}
		m.report.changed = true
		m.became(t.target, becameScrubbed)
		m.report.result("%s no longer holds PIN hashes of the old format; copies of NVTOK.DAT from before do", t.target)
	}
	return nil
}
