package opencryptoki

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"tokar/backends"
	"tokar/format"
)

// everything wants each record restored.
func everything(*format.Record) bool { return true }

// putACL gives a file a list as setfacl does.
func putACL(t *testing.T, path, attribute string, a format.ACL) {
	t.Helper()
	err := unix.Setxattr(path, attribute, kernelACL(a.Entries()), 0)
	if errors.Is(err, unix.ENOTSUP) {
		t.Skip("the file system has no access control lists")
	}
	check(t, err)
}

// attrAt is what a file or directory has, as archives keep it.
func attrAt(t *testing.T, path string) format.Attr {
	t.Helper()
	fd, err := unix.Open(path, openFlags, 0)
	check(t, err)
	defer unix.Close(fd)
	var st unix.Stat_t
	check(t, unix.Fstat(fd, &st))
	a, x := attrOf(&st), readXattrs(fd)
	x.addTo(&a)
	if x.lost != nil {
		t.Errorf("%s: %v", path, x.lost)
	}
	return a
}

// aclOf makes an access control list of the usual entries, a mask of everything
// and more.
func aclOf(t testing.TB, owner, group, other uint16, more ...format.ACLEntry) format.ACL {
	t.Helper()
	a, err := format.NewACL(append([]format.ACLEntry{
		{Tag: format.ACLUserObj, Perm: owner, ID: format.NoID}, {Tag: format.ACLGroupObj, Perm: group, ID: format.NoID},
		{Tag: format.ACLMask, Perm: 7, ID: format.NoID}, {Tag: format.ACLOther, Perm: other, ID: format.NoID},
	}, more...))
	check(t, err)
	return a
}

func user(id uint32, name string, perm uint16) format.ACLEntry {
	return format.ACLEntry{Tag: format.ACLUser, Perm: perm, ID: id, Name: name}
}

func group(id uint32, name string, perm uint16) format.ACLEntry {
	return format.ACLEntry{Tag: format.ACLGroup, Perm: perm, ID: id, Name: name}
}

const (
	nobodyHas = 3_999_999 // a number
	nobodyIs  = "tokar-none"
)

// Lists and labels of a token, its directories and files come back, on files
// that have those of most and on files that have none.
func TestAttributesComeBack(t *testing.T) {
	aSystem(t)
	src := copyToken(t, filepath.Join(fixtureDir, "swtok-old-small"), t.TempDir()+"/swtok")
	root := users().byID[0]
	usual := aclOf(t, 6, 6, 0, user(0, root, 4))
	special := aclOf(t, 6, 4, 4, user(0, root, 7), user(nobodyHas, "", 2), group(0, groups().byID[0], 1))
	inherit := aclOf(t, 7, 5, 0, group(nobodyHas, "", 7))
	putACL(t, src+"/"+indexPath, accessACL, usual)
	putACL(t, src+"/"+objectsName+"/10000000", accessACL, usual)
	putACL(t, src+"/"+objectsName+"/20000000", accessACL, special)
	putACL(t, src, accessACL, aclOf(t, 7, 7, 0, user(0, root, 5)))
	putACL(t, src+"/"+objectsName, defaultACL, inherit)
	putACL(t, src+"/"+objectsName, accessACL, aclOf(t, 7, 4, 4, user(nobodyHas, "", 2)))
	files := []string{"", nvtokName, objectsName, indexPath, objectsName + "/00000000", objectsName + "/10000000", objectsName + "/20000000"}
	if os.Geteuid() == 0 {
		for i, file := range files {
			if i != 4 {
				check(t, unix.Setxattr(filepath.Join(src, file), securityLabel, []byte("system_u:object_r:"+strings.Repeat("t", i+1)+":s0\x00"), 0))
			}
		}
	}
	info, records := readToken(t, src)
	if info.Defaults.ACL != usual || info.Directories[1].Attr.DefaultACL != inherit {
		t.Errorf("%+v, %+v", info.Defaults, info.Directories)
	}
	// The way through an archive.
	info, err := format.DecodeToken(info.Name, info.Encode())
	check(t, err)
	for _, r := range records {
		var again format.Details
		check(t, again.Decode(r.Details.Append(nil, info.Defaults), info.Defaults))
		r.Details = again
	}
	dir, found := restore(t, info, records, true, everything)
	if count(found, NotSet)+count(found, UnknownName) > 0 {
		t.Errorf("findings %v", found)
	}
	for _, file := range files {
		want, got := attrAt(t, filepath.Join(src, file)), attrAt(t, filepath.Join(dir, file))
		if got != want {
			t.Errorf("%q: %+v\nwant %+v", file, got, want)
		}
	}
}

// Below a directory with a default list everything is made with one, and what is
// restored has its own or none.
func TestInheritedList(t *testing.T) {
	aSystem(t)
	info, records := readToken(t, copyToken(t, filepath.Join(fixtureDir, "swtok-old-small"), t.TempDir()+"/swtok"))
	parent := t.TempDir()
	inherit := aclOf(t, 7, 7, 7, user(nobodyHas, "", 7))
	putACL(t, parent, defaultACL, inherit)
	own := aclOf(t, 6, 0, 0, user(nobodyHas+1, "", 4))
	records[len(records)-1].Details.Attr.ACL = own
	records[len(records)-1].Details.Attr.Mode = 0o670
	ctx := context.Background()
	s, err := Backend{}.Restore(ctx, parent, info, backends.RestoreOptions{Whole: true})
	check(t, err)
	defer func() { check(t, s.Close()) }()
	check(t, s.Put(ctx, records))
	for _, r := range records {
		check(t, s.Order(r, false))
	}
	_, err = s.Finish(ctx)
	check(t, err)
	_, err = s.Commit(ctx)
	check(t, err)
	dir := filepath.Join(parent, info.Name.String())
	for _, r := range records {
		want := r.Details.Attr
		if r == records[len(records)-1] {
			want.Mode = 0o670
		}
		if got := attrAt(t, filepath.Join(dir, entryPath(r.Kind, r.Name))); got.ACL != want.ACL || got.Mode != want.Mode {
			t.Errorf("%s: %04o %s, want %04o %s", r.Name, got.Mode, got.ACL, want.Mode, want.ACL)
		}
	}
	for _, d := range info.Directories {
		if got := attrAt(t, filepath.Join(dir, d.Name.String())); got.ACL+got.DefaultACL != "" || got.Mode != d.Attr.Mode {
			t.Errorf("directory %q: %+v", d.Name, got)
		}
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

// Who is not root sets what they may, and gives no other group access.
func TestNotRoot(t *testing.T) {
	src := copyToken(t, filepath.Join(fixtureDir, "swtok-old-small"), t.TempDir()+"/swtok")
	info, records := readToken(t, src)
	acl := aclOf(t, 6, 4, 0, user(nobodyHas, "", 4))
	for i, r := range records {
		r.Details.Attr.GID, r.Details.Attr.Group = nobodyHas, ""
		r.Details.Attr.Mode = 0o664
		if i == 1 {
			r.Details.Attr.Mode, r.Details.Attr.ACL = 0o670, acl
		}
		if i == 2 {
			r.Details.Attr.Security = "system_u:object_r:etc_t:s0"
		}
	}
	info.Directories[1].Attr.GID, info.Directories[1].Attr.Group = nobodyHas, ""
	aSystem(t)
	parent := t.TempDir()
	for _, d := range []string{parent, defaultLocks, filepath.Dir(parent)} {
		check(t, os.Chmod(d, 0o777))
	}
	asNobody(t)
	ctx := context.Background()
	s, err := Backend{}.Restore(ctx, parent, info, backends.RestoreOptions{Whole: true})
	check(t, err)
	check(t, s.Put(ctx, records))
	for _, r := range records {
		check(t, s.Order(r, false))
	}
	found, err := s.Finish(ctx)
	check(t, err)
	_, err = s.Commit(ctx)
	check(t, err)
	check(t, s.Close())
	dir := filepath.Join(parent, info.Name.String())
	for i, want := range []uint32{0o604, 0o670, 0o604} {
		got := attrAt(t, filepath.Join(dir, entryPath(records[i].Kind, records[i].Name)))
		if got.GID == nobodyHas || got.Mode != want {
			t.Errorf("%s: %+v", records[i].Name, got)
		}
		if i == 1 && got.ACL != aclOf(t, 6, 0, 0, user(nobodyHas, "", 4)) {
			t.Errorf("list %s", got.ACL)
		}
	}
	if got := attrAt(t, filepath.Join(dir, objectsName)); got.Mode&0o070 != 0 {
		t.Errorf("%s: mode %04o", objectsName, got.Mode)
	}
	words := ""
	for _, f := range found {
		words += f.Message + "\n"
	}
	if w := "the group could not be set, so permissions meant for it are left out: operation not permitted"; !strings.Contains(words, w) {
		t.Errorf("no finding says %q:\n%s", w, words)
	}
	// Kernels differ in who may label.
	label := attrAt(t, filepath.Join(dir, entryPath(records[2].Kind, records[2].Name))).Security
	if (label == "") != strings.Contains(words, "the SELinux label could not be set") {
		t.Errorf("label %q:\n%s", label, words)
	}
}

// Many reasons make few findings.
func TestManyReasons(t *testing.T) {
	s := &staging{}
	for i := range 1000 {
		s.lack(i%3, "file", errors.New(strings.Repeat("x", i/3)))
	}
	total := 0
	for _, l := range s.notSet {
		total += l.n
	}
	if found := s.notSet.findings(); len(found) != maxReasons || total != 1000 {
		t.Errorf("%d findings on %d", len(found), total)
	}
}
