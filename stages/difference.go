package stages

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"tokar/backends"
	"tokar/format"
)

// The kinds of differences. Where an entry of the token cannot be read, the
// kind is that of the backend's finding.
const (
	Differs = "differs" // other bytes
	Missing = "missing" // only the archive has it
	Added   = "added"   // only the token has it
	Unread  = "unread"  // it was not read when the archive was made
	Role    = "kind"    // an object on one side, say, and a foreign file on the other
	Mode    = "mode"
	Owner   = "owner"
	Group   = "group"
	Time    = "time"
	ACL     = "acl"         // access control list
	Inherit = "default-acl" // a directory's, for what is made in it
	Label   = "label"       // SELinux's
)

// A Difference is one thing in which a token is not as the archive has it.
type Difference struct {
	Kind     string
	Name     format.Name // of the entry, or of one of the token's directories; empty: the token's own directory
	Entry    format.Kind // what the archive, or else the token, has it for; 0: a directory
	Damaged  bool        // the archive's is damaged
	Offset   int64       // of the first byte that differs, or -1
	Archived string      // what the archive has; empty if it has nothing
	Live     string      // what the token has
	Words    string      // what else there is to say
}

// missing: the token has no such entry.
func missing(archived *format.Record) []Difference {
	if archived.Absent() {
		return nil // the archive has none either
	}
	d := between(archived, archived)
	d.Kind, d.Name, d.Live = Missing, slices.Clone(archived.Name), ""
	return []Difference{d}
}

// between is a difference without a kind, in bytes.
func between(archived, live *format.Record) Difference {
	return Difference{
		Name: live.Name, Entry: archived.Kind, Damaged: archived.Flags&format.Damaged != 0, Offset: -1,
		Archived: bytesOf(archived), Live: bytesOf(live),
	}
}

// differences compares an archived entry with that of today.
func differences(archived, live *format.Record, indexed backends.Indexed) []Difference {
	d := between(archived, live)
	switch {
	case live.Flags&format.Vanished != 0:
		return missing(archived)
	case archived.Absent() && live.Absent():
		return nil
	case archived.Absent():
		d.Kind, d.Archived = Unread, "not read"
		return []Difference{d}
	case live.Absent():
		d.Kind, d.Live = "unreadable", "not read"
		if found := live.Details.Findings; len(found) > 0 {
			last := found[len(found)-1]
			d.Kind, d.Live = last.Kind, last.Message
		}
		return []Difference{d}
	}
	var list []Difference
	if archived.Kind != live.Kind {
		role := d
		role.Kind, role.Archived, role.Live = Role, archived.Kind.String(), live.Kind.String()
		list = append(list, role)
	}
	if at := firstDifference(archived.Data, live.Data); at >= 0 {
		d.Kind, d.Offset = Differs, int64(at)
		if archived.Kind == format.KindIndex && live.Kind == format.KindIndex && indexed != nil {
			d.Words = indexWords(archived.Data, live.Data, indexed)
		}
		list = append(list, d)
	}
	return append(list, attrDifferences(d, archived.Details.Attr, live.Details.Attr)...)
}

// bytesOf says what there is of an entry.
func bytesOf(r *format.Record) string {
	if len(r.Data) == 1 {
		return "1 byte"
	}
	return fmt.Sprintf("%d bytes", len(r.Data))
}

// firstDifference is where two files part; -1 if they do not.
func firstDifference(a, b []byte) int {
	n := min(len(a), len(b))
	for i := range n {
		if a[i] != b[i] {
			return i
		}
	}
	if len(a) == len(b) {
		return -1
	}
	return n
}

// attrDifferences compares what a file system says of a file or directory; of
// is what else there is to say of a difference.
func attrDifferences(of Difference, archived, live format.Attr) (found []Difference) {
	if !archived.Known || !live.Known || archived == live {
		return nil
	}
	ownerA, ownerB := identities(archived.Owner, archived.UID, live.Owner, live.UID)
	groupA, groupB := identities(archived.Group, archived.GID, live.Group, live.GID)
	for _, a := range []struct{ kind, archived, live string }{
		{Mode, octal(archived.Mode), octal(live.Mode)},
		{Owner, ownerA, ownerB},
		{Group, groupA, groupB},
		{Time, moment(archived.MTime), moment(live.MTime)},
		{ACL, accessOf(archived.ACL), accessOf(live.ACL)},
		{Inherit, accessOf(archived.DefaultACL), accessOf(live.DefaultACL)},
		{Label, cmp.Or(archived.Security, "none"), cmp.Or(live.Security, "none")},
	} {
		if a.archived != a.live {
			of.Kind, of.Offset, of.Archived, of.Live, of.Words = a.kind, -1, a.archived, a.live, ""
			found = append(found, of)
		}
	}
	return found
}

// identities are two users or groups in words that differ where they do. A name
// counts before a number, as it does when a token is restored: the number that
// a name has is the host's.
func identities(nameA string, idA uint32, nameB string, idB uint32) (a, b string) {
	named := nameA != "" && nameB != ""
	if named && nameA == nameB || !named && idA == idB {
		return "", ""
	}
	return identity(nameA, idA), identity(nameB, idB)
}

func identity(name string, id uint32) string {
	if name == "" {
		return strconv.FormatUint(uint64(id), 10)
	}
	return fmt.Sprintf("%s (%d)", name, id)
}

// accessOf is an access control list in words. They are in order of the names,
// not of the numbers, which are each host's own.
func accessOf(a format.ACL) string {
	if len(a) == 0 {
		return "none"
	}
	words := strings.Split(a.String(), ",")
	slices.Sort(words)
	return strings.Join(words, ",")
}

func octal(mode uint32) string { return fmt.Sprintf("%04o", mode) }
func moment(ns int64) string   { return time.Unix(0, ns).UTC().Format(time.RFC3339Nano) }

const (
	wordyIndex = 1 << 20 // bytes of an index whose difference is told in words
	namedNames = 5       // so many names are told
)

// indexWords says in which names, or in what else, two indexes differ.
func indexWords(archived, live []byte, indexed backends.Indexed) string {
	if len(archived) > wordyIndex || len(live) > wordyIndex {
		return ""
	}
	a, b := indexed.IndexNames(archived), indexed.IndexNames(live)
	var words []string
	if only := without(a, b); len(only) > 0 {
		words = append(words, "only the archive's lists "+names(only))
	}
	if only := without(b, a); len(only) > 0 {
		words = append(words, "only the token's lists "+names(only))
	}
	switch {
	case len(words) > 0:
	case slices.Equal(a, b):
		words = []string{"the same names in the same order; the lines differ in what is no name"}
	case slices.Equal(slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b))):
		words = []string{"the same names in another order"}
	default:
		words = []string{"the same names, some of them listed more than once"}
	}
	return strings.Join(words, "; ")
}

// without gives what of a is not in b, each once, in order.
func without(a, b []string) (only []string) {
	seen := map[string]bool{}
	for _, name := range b {
		seen[name] = true
	}
	for _, name := range a {
		if !seen[name] {
			seen[name] = true
			only = append(only, name)
		}
	}
	return only
}

func names(list []string) string {
	text := strings.Join(list[:min(len(list), namedNames)], ", ")
	if more := len(list) - namedNames; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}
