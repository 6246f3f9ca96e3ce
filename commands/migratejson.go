package commands

import "path/filepath"

// What became of a slot's token, in the words of jsonMigration.
const (
	becameMigrated = "migrated"
	becameRecoded  = "recoded"
	becameScrubbed = "scrubbed"
	becamePutBack  = "put-back"
	stayedAlready  = "already"     // it was in the wanted form
	stayedPassed   = "passed-over" // in the old format, by --scrub
	stayedAbsent   = "absent"
)

type jsonMigration struct {
	jsonHead
	jsonName
	Slot   int    `json:"slot"`
	Path   string `json:"path"`
	Change string `json:"change"`
	DryRun bool   `json:"dry_run,omitempty"`
}

// became tells programs what became of a slot's token.
func (m *migrating) became(t target, change string) {
	if j := m.report.json; j != nil {
		j.write(jsonMigration{jsonHead{"migration", schema}, nameOf(filepath.Base(t.path), ""), t.Number, t.path, change, m.o.dryRun})
	}
}

// becameOf does for the token of this name.
func (m *migrating) becameOf(name, change string) {
	for _, t := range m.targets {
		if filepath.Base(t.path) == name {
			m.became(t, change)
		}
	}
}

type jsonConfiguration struct {
	jsonHead
	File       string `json:"file"`
	Slots      []int  `json:"slots"`
	TokVersion string `json:"tokversion"`
	DryRun     bool   `json:"dry_run,omitempty"`
}

func (m *migrating) configured(slots []int, tokversion string) {
	if j := m.report.json; j != nil {
		j.write(jsonConfiguration{jsonHead{"configuration", schema}, m.config.File(), slots, tokversion, m.o.dryRun})
	}
}
