package opencryptoki

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"sync"

	"tokar/format"
)

// names are the users or the groups of this host. They are read from the files
// themselves: package os/user takes $USER for the name of a user who is in none.
type names struct {
	byID   map[uint32]string
	byName map[string]uint32
}

var (
	users  = sync.OnceValue(func() names { return readNames("/etc/passwd") })
	groups = sync.OnceValue(func() names { return readNames("/etc/group") })
)

// readNames reads passwd(5) or group(5). Where there is none, nobody has a
// name.
func readNames(path string) names {
	b, err := os.ReadFile(path)
	if err != nil {
		b = nil
	}
	return parseNames(b)
}

// parseNames takes lines of name, password, number and more. Of two lines of
// one name or number the first counts, as it does in the C library.
func parseNames(b []byte) names {
	n := names{byID: map[uint32]string{}, byName: map[string]uint32{}}
	for line := range bytes.Lines(b) {
		parts := bytes.SplitN(line, []byte{':'}, 4)
		if len(parts) < 4 || len(parts[0]) == 0 || len(parts[0]) > format.MaxIDName || bytes.IndexByte([]byte("+-#"), parts[0][0]) >= 0 {
			continue
		}
		id, err := strconv.ParseUint(string(parts[2]), 10, 32)
		if err != nil || uint32(id) == format.NoID {
			continue
		}
		name := string(parts[0])
		if _, again := n.byID[uint32(id)]; !again {
			n.byID[uint32(id)] = name
		}
		if _, again := n.byName[name]; !again {
			n.byName[name] = uint32(id)
		}
	}
	return n
}

// here is the number that a recorded user or group has on this host: that of
// its name, or else the recorded one, unless somebody else has it here: then ok
// is false, for what was the one's must not become the other's. why is set
// where the host does not know the name.
func (n names) here(name string, id uint32) (number uint32, ok bool, why error) {
	if name == "" || id == format.NoID {
		return id, true, nil
	}
	if number, ok := n.byName[name]; ok {
		return number, true, nil
	}
	if other, taken := n.byID[id]; taken {
		return format.NoID, false, fmt.Errorf("%s is not known here, and number %d is %s's", quote([]byte(name)), id, quote([]byte(other)))
	}
	return id, true, fmt.Errorf("%s, number %d", quote([]byte(name)), id)
}
