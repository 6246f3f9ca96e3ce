package backends

import "tokar/format"

// Detacher is a backend with entries that operators take off the disk on purpose.
type Detacher interface {
	// Detached says of an entry of t that is not there where it may be kept, and
	// what to do then; empty for entries that belong in the token.
	Detached(t *format.Token, name format.Name) string
}
