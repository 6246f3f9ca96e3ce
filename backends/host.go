package backends

import (
	"context"

	"tokar/format"
)

// Hosted is a backend whose tokens a configuration of the host names.
type Hosted interface {
	// Host reads the one at path. base is the directory of its tokens;
	// empty for the usual one. With absent, a file that is not there is an empty
	// configuration, which can be restored.
	Host(path, base string, absent bool) (Host, error)
}

// Host is what a host says of its tokens. It is a backend itself: that
// of its own files, which are archived together like a token.
type Host interface {
	Backend
	// Select finds the tokens that a word means: a slot's number, a token's name or
	// its label; the empty word means all that are there. A word that means more
	// than one slot is an error, and one that means none finds nothing.
	Select(ctx context.Context, word string) (Found, error)
	// Files is where the configuration's own files are.
	Files() Location
	// Base is the directory of the tokens.
	Base() string
	// Misfits says in what a token, live or archived, is not what the configuration
	// says of it.
	Misfits(t *format.Token) []format.Finding
}
