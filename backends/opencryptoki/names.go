package opencryptoki

import (
	"fmt"

	"tokar/backends"
	"tokar/format"
)

// checkToken checks the names in a descriptor by this kind's own rules.
func checkToken(t *format.Token) error {
	if err := checkTokenName(t.Name); err != nil {
		return err
	}
	for i, d := range t.Directories {
		if len(d.Name) == 0 && i == 0 {
			continue
		}
		parts := d.Name.Components()
		if d.Name.Check() != nil || len(parts) > maxParts {
			return fmt.Errorf("token %s: directory %q: %w", t.Name, d.Name.String(), backends.ErrBadName)
		}
	}
	return nil
}

// checkTokenName refuses what Find would not find again.
func checkTokenName(name format.Name) error {
	parts := name.Components()
	bad := name.Check() != nil || len(parts) > maxParts || len(name) > 200
	for i, p := range parts {
		bad = bad || noToken(p) != "" || i > 0 && p == objectsName
	}
	if bad {
		return fmt.Errorf("token %q: %w", name.String(), backends.ErrBadName)
	}
	return nil
}

// placeOf checks an entry's name by this kind's own rules and gives its path
// below the token directory.
func placeOf(kind format.Kind, name format.Name) (parts []string, err error) {
	bad := name.Check() != nil
	if !bad {
		parts = name.Components()
		bad = len(parts) > maxParts
	}
	switch kind {
	case format.KindObject:
		bad = bad || !isObjectName(name)
		parts = []string{objectsName, string(name)}
	case format.KindState:
		bad = bad || stateRank(parts) == 0
	case format.KindIndex:
		bad = bad || name.String() != indexPath
	case format.KindForeign:
		bad = bad || stateRank(parts) > 0 || name.String() == indexPath || name.String() == objectsName ||
			len(parts) == 2 && parts[0] == objectsName && isObjectName(parts[1])
	default:
		bad = true
	}
	if bad {
		return nil, fmt.Errorf("%s %q: %w", kind, name.String(), backends.ErrBadName)
	}
	return parts, nil
}
