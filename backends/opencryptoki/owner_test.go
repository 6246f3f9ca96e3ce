package opencryptoki

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tokar/format"
)

func TestNames(t *testing.T) {
	n := parseNames([]byte("root:x:0:0:root:/root:/bin/sh\nalso:x:0:0::/:\nroot:x:7:7::/:\n+nis:x:8:8::/:\n#off:x:9:9::/:\n" +
		"-:x:10:10::/:\n:x:11:11::/:\nshort:x:12\nbad:x:x:1::/:\nlarge:x:4294967296:1::/:\nnobody4:x:4294967295:1::/:\n" +
		strings.Repeat("n", 129) + ":x:13:13::/:\npkcs11:*:110:joe,ann"))
	if len(n.byID) != 3 || n.byID[0] != "root" || n.byID[7] != "root" || n.byID[110] != "pkcs11" {
		t.Errorf("%v", n.byID)
	}
	if len(n.byName) != 3 || n.byName["root"] != 0 || n.byName["also"] != 0 || n.byName["pkcs11"] != 110 {
		t.Errorf("%v", n.byName)
	}
	for _, c := range []struct {
		name string
		id   uint32
		want uint32
		ok   bool
		why  string
	}{
		{"pkcs11", 110, 110, true, ""},
		{"pkcs11", 7, 110, true, ""},
		{"", 7, 7, true, ""},
		{"new", 8, 8, true, `"new", number 8`},
		{"new", 110, format.NoID, false, `"new" is not known here, and number 110 is "pkcs11"'s`},
		{"new", format.NoID, format.NoID, true, ""},
	} {
		got, ok, why := n.here(c.name, c.id)
		text := ""
		if why != nil {
			text = why.Error()
		}
		if got != c.want || ok != c.ok || text != c.why {
			t.Errorf("%q %d: %d, %v, %q", c.name, c.id, got, ok, text)
		}
	}
	if none := readNames("/nonexistent"); len(none.byID)+len(none.byName) > 0 {
		t.Errorf("%v", none)
	}
}

// A group by name, by number, and neither.
func TestGroups(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	daemon := groups().byName["daemon"]
	for _, c := range []struct {
		what     string
		name     string
		gid      uint32
		mode     uint32
		wantGID  uint32
		wantMode uint32
		kind     string // of finding
		words    string
	}{
		{"a name with another number here", "daemon", nobodyHas, 0o664, daemon, 0o664, "", ""},
		{"no name", "", nobodyHas, 0o664, nobodyHas, 0o664, "", ""},
		{"no name and somebody's number", "", daemon, 0o664, daemon, 0o664, "", ""},
		{"a name not known, a number free", nobodyIs, nobodyHas, 0o664, nobodyHas, 0o664, UnknownName, `not known here by name, and its number is used: "tokar-none", number 3999999`},
		{"a name not known, somebody's number", nobodyIs, daemon, 0o664, 0, 0o604, NotSet, `"tokar-none" is not known here`},
		{"the same, and others may do more", nobodyIs, daemon, 0o646, 0, 0o604, NotSet, `is "daemon"'s`},
		{"the same, of our own group", nobodyIs, 0, 0o660, 0, 0o600, NotSet, "permissions meant for it are left out"},
		{"not known when it was read", "", format.NoID, 0o660, 0, 0o660, "", ""},
	} {
		t.Run(c.what, func(t *testing.T) {
			info, records := readToken(t, filepath.Join(fixtureDir, "swtok-old-small"))
			for _, r := range records {
				r.Details.Attr.Group, r.Details.Attr.GID, r.Details.Attr.Mode = c.name, c.gid, c.mode
			}
			info.Directories[1].Attr.Group, info.Directories[1].Attr.GID = c.name, c.gid
			info.Directories[1].Attr.Mode = 0o2770
			dir, found := restore(t, info, records, true, everything)
			got := attrAt(t, filepath.Join(dir, nvtokName))
			if got.GID != c.wantGID || got.Mode != c.wantMode {
				t.Errorf("group %d, mode %04o; want %d, %04o", got.GID, got.Mode, c.wantGID, c.wantMode)
			}
			wantDir := uint32(0o2770)
			if c.kind == NotSet {
				wantDir = 0o700
			}
			if got := attrAt(t, filepath.Join(dir, objectsName)); got.GID != c.wantGID || got.Mode != wantDir {
				t.Errorf("%s: group %d, mode %04o; want %d, %04o", objectsName, got.GID, got.Mode, c.wantGID, wantDir)
			}
			if c.kind == "" && len(found) > 0 || c.kind != "" && (count(found, c.kind) != 1 || len(found) != 1) {
				t.Fatalf("findings %v", found)
			}
			if c.kind != "" && !strings.Contains(found[0].Message, c.words) {
				t.Errorf("%q does not say %q", found[0].Message, c.words)
			}
		})
	}
}

// An owner by name, and one whose number is somebody else's.
func TestOwners(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	daemon := users().byName["daemon"]
	for name, want := range map[string]uint32{"daemon": daemon, nobodyIs: 0} {
		info, records := readToken(t, filepath.Join(fixtureDir, "swtok-old-small"))
		id := uint32(nobodyHas)
		if name == nobodyIs {
			id = daemon
		}
		records[0].Details.Attr.Owner, records[0].Details.Attr.UID = name, id
		dir, found := restore(t, info, records, true, everything)
		if got := attrAt(t, filepath.Join(dir, nvtokName)); got.UID != want || got.Mode != 0o644 && got.Mode != records[0].Details.Attr.Mode || count(found, NotSet) != int(1-min(want, 1)) {
			t.Errorf("%s: %+v, %v", name, got, found)
		}
	}
}

// Entries of lists go to names, and an entry of nobody's here is left out; the
// list does not open a file for a group that is not the one recorded.
func TestListHere(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	daemon := users().byName["daemon"]
	info, records := readToken(t, filepath.Join(fixtureDir, "swtok-old-small"))
	a := &records[0].Details.Attr
	a.Mode = 0o676
	a.Group, a.GID = nobodyIs, groups().byName["daemon"]
	a.ACL = aclOf(t, 6, 4, 6, user(nobodyHas, "daemon", 6), user(daemon, nobodyIs, 7), user(5, "root", 3), user(6, "root", 6), group(nobodyHas, nobodyIs, 1))
	dir, found := restore(t, info, records, true, everything)
	want := aclOf(t, 6, 0, 4, user(0, "root", 2), user(daemon, "daemon", 6), group(nobodyHas, "", 1))
	if got := attrAt(t, filepath.Join(dir, nvtokName)); got.ACL != want || got.GID != 0 {
		t.Errorf("%+v\n%s, want\n%s", got, got.ACL, want)
	}
	if count(found, NotSet) != 2 || count(found, UnknownName) != 1 {
		t.Errorf("findings %v", found)
	}
}
