package backends

import "tokar/format"

// Cautioner is a backend that knows what is sound and dangerous all the same.
type Cautioner interface {
	// Cautions are what an operator should know of an entry of a live token, or,
	// with the token's own record, of the token. They are no damage. Kind is a word
	// that programs can go by.
	Cautions(t *format.Token, r *format.Record) []format.Finding
}

// Hider is a backend whose programs stop loading private objects at one that
// they cannot open.
type Hider interface {
	// Hides says whether the object is such a one. What is wrong with it is in its
	// findings.
	Hides(t *format.Token, r *format.Record) bool
}
