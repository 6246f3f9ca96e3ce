package backends

import (
	"context"
	"errors"

	"tokar/format"
)

// ErrAlready: the token is in the wanted form.
var ErrAlready = errors.New("it is in that form already")

// Migrater is a kind of token whose files have an older and a newer format, and
// a configuration that says which each slot's token is in.
type Migrater interface {
	Backend
	// Configuration reads the one at path.
	Configuration(path string) (Configuration, error)
	// Recode opens the token at loc with its PINs, to bring what it holds into
	// another form. It writes nothing. It wraps ErrAlready and ErrPIN.
	Recode(ctx context.Context, loc Location, o Recoding) (Recoder, error)
	// Settle ends what a killed run for dir/name began, if there is anything, so
	// that one of the tokens stands there and nothing else is left.
	Settle(dir, name string, note func(message string)) error
	// Undo puts the token back that a migration of dir/name has kept, or ends
	// what a killed run of it began.
	Undo(ctx context.Context, dir, name string, o UndoOptions) (Undone, error)
	// Scrub removes from a token in the newer format what is left of the older
	// one's PIN hashes. dirty says whether any were there. It wraps ErrOlder.
	Scrub(ctx context.Context, loc Location, dryRun bool) (dirty bool, err error)
}

// Recoding says into what form a token is brought.
type Recoding struct {
	Variant string // what the token must be, by its slot; empty: any
	Newest  bool   // into the newest format
	Order   string // into this byte order: "little" or "big"; empty: it stays
	// PIN gives a PIN of the token. It is called at most once for each, and only
	// for one that is needed. What it gives is zeroed.
	PIN func(so bool) ([]byte, error)
}

// Recoder brings the entries of one token into another form. Safe from many
// goroutines.
type Recoder interface {
	// Info describes the token as it will be.
	Info() *format.Token
	// Recode changes r's bytes. keep is false for what the token has no more in
	// its new form. An error says why an entry cannot be brought into it.
	Recode(r *format.Record) (keep bool, err error)
	// Close zeroes the keys.
	Close() error
}

// UndoOptions say what Undo may do.
type UndoOptions struct {
	DryRun bool
	Force  bool   // though objects have changed since
	Locks  string // as in RestoreOptions
	Note   func(message string)
	// Finding is told what is left behind, and what users of the token do not see.
	Finding func(f format.Finding)
}

// ErrOlder: the token is in the older format.
var ErrOlder = errors.New("it is in the old format")

// ErrKept: what an earlier migration has kept is still there.
var ErrKept = errors.New("what an earlier migration kept is there")

// ErrKeptOther: a configuration that was kept is not that of before migrations.
var ErrKeptOther = errors.New("it is kept, and the configuration of today differs from it in more than what migrations set")

// ErrAside: the migrated token that an earlier undo has kept is still there.
var ErrAside = errors.New("the migrated token that an earlier undo kept is there")

// ErrNoneKept: nothing of before a migration is there.
var ErrNoneKept = errors.New("no migration has kept anything")

// Undone is what became of a token.
type Undone struct {
	Done  bool // false: it was put back before
	Older bool // it is in the older format now
}

// ErrChanged: objects have changed since a migration.
var ErrChanged = errors.New("it has changed since the migration")

// Configuration is a file that names tokens by slot.
type Configuration interface {
	// Slots are those with a token, in order.
	Slots() []Slot
	// File is the path of the file.
	File() string
	// SetNewest says in the file that the tokens of these slots are in the newest
	// format, and keeps the oldest file beside it. It gives the slots of which the
	// file did not say so.
	SetNewest(slots []int, dryRun bool) (changed []int, err error)
	// SetBack says of these slots what the file said before a migration, and takes
	// away what is kept beside it when nothing else is in that. It gives the slots
	// of which the file said something else.
	SetBack(slots []int, dryRun bool) (changed []int, err error)
}

// Slot is a slot with a token.
type Slot struct {
	Number    int
	Variant   string // such as "Soft"
	Directory string // the name of the token's directory, below the base
	Newest    bool   // the configuration says that it is in the newest format
	Migrates  bool   // there is a newer format for this kind of token
}
