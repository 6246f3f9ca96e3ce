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
