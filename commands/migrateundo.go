package commands

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"tokar/backends"
	"tokar/format"
	"tokar/stages"
)

// undo puts back what migrations kept: the tokens first, then the
// configuration. A token of the new format under a configuration of the old one
// would be written over at the next login; the other way round the library
// shows no token, and touches nothing.
func (m *migrating) undo(ctx context.Context) error {
	var list []target
	for _, t := range m.targets {
		if len(m.o.slots) > 0 || m.kept(ctx, t) {
			list = append(list, t)
		}
	}
	if len(list) == 0 {
		return left(failedf("", "no token has a copy that a migration kept"), "nothing was changed")
	}
	if _, err := m.config.SetBack(numbers(list), true); err != nil {
		return left(err, "nothing was changed")
	}
	if !m.o.yes && !m.o.dryRun {
		var what []string
		for _, t := range list {
			what = append(what, t.String())
		}
		if err := m.confirm(fmt.Sprintf("Put back the old %s?", strings.Join(what, ", "))); err != nil {
			return left(err, "nothing was changed")
		}
	}
	var done []string
	var older []target
	defer func() {
		m.summary = summaryOf(&stages.Summary{})
		m.summary.Generation, m.summary.Restores = nil, nil // there is no archive
		m.summary.Committed, m.summary.DryRun = done, m.o.dryRun
	}()
	for _, t := range list {
		name := filepath.Base(t.path)
		put, err := m.backend.Undo(ctx, t.dir, name, backends.UndoOptions{
			DryRun: m.o.dryRun, Force: m.o.force, Locks: m.o.locks,
			Note:    func(message string) { m.report.note(name, message) },
			Finding: func(f format.Finding) { m.report.finding(name, "", f) },
		})
		if err != nil && len(done) > 0 {
			err = &stages.PartError{Done: done, Err: err}
		}
		if err != nil {
			return left(err, "the configuration is as it was")
		}
		if put.Older {
			older = append(older, t)
		}
		if !put.Done {
			m.became(t, stayedAlready)
			m.report.result("%s stands there as before a migration already", t)
			continue
		}
		done = append(done, name)
		m.became(t, becamePutBack)
		m.report.changed = !m.o.dryRun
		verb := "is"
		if m.o.dryRun {
			verb = "would be"
		}
		m.report.result("%s %s again as it was before the migration", t, verb)
	}
	changed, err := m.config.SetBack(numbers(older), m.o.dryRun)
	if err != nil {
		err = fmt.Errorf("the tokens are put back, the configuration is not: %w", err)
		return &failure{code: exitPartway, err: err, todo: "run it again"}
	}
	m.tellConfiguration(changed, "the tokversion of before")
	for _, t := range older {
		if t.Newest && !slices.Contains(changed, t.Number) {
			m.report.note(filepath.Base(t.path), fmt.Sprintf("slot %d has tokversion = 3.12, and nothing tells that a migration gave it: it stays; the library shows no token of the old format in such a slot, so take it out of %s if it is not meant", t.Number, quote(m.config.File())))
		}
	}
	return nil
}

// kept says whether there is anything of the token to be put back: a copy that a
// migration kept, or what the configuration says, where a run was stopped when the
// old token stood there.
func (m *migrating) kept(ctx context.Context, t target) bool {
	if _, err := os.Lstat(t.path + "_BAK"); err == nil {
		return true
	}
	put, err := m.backend.Undo(ctx, t.dir, filepath.Base(t.path), backends.UndoOptions{
		DryRun: true, Force: true, Locks: m.o.locks, Note: func(string) {}, Finding: func(format.Finding) {},
	})
	return err == nil && (put.Done || put.Older && t.Newest)
}
