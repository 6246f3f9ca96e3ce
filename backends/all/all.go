// Package all lists the kinds of tokens that tokar knows.
package all

import (
	"fmt"

	"tokar/backends"
	"tokar/backends/opencryptoki"
	"tokar/backends/plain"
)

// Backends are all kinds, in the order in which operands are tried.
func Backends() []backends.Backend {
	return []backends.Backend{opencryptoki.Backend{}, opencryptoki.Host{}}
}

// ByKind gives the backend of the kind that an archive names.
func ByKind(kind string) (backends.Backend, error) {
	for _, b := range Backends() {
		if b.Kind() == kind {
			return b, nil
		}
	}
	return nil, fmt.Errorf("tokens of the kind %q need a newer tokar", kind)
}

// Unknown keeps what is left of tokens of which nothing tells the kind.
func Unknown() backends.Backend { return plain.Backend{} }
