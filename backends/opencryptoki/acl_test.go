package opencryptoki

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"tokar/format"
)

// FuzzKernelACL: what is parsed is the same when it was set.
func FuzzKernelACL(f *testing.F) {
	f.Add(kernelACL(aclOf(f, 7, 5, 0).Entries()))
	f.Add(kernelACL(aclOf(f, 6, 6, 4, user(0, "", 7), user(nobodyHas, "", 0), group(1, "", 5)).Entries()))
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := parseACL(b)
		if err != nil {
			return
		}
		if again, err := parseACL(kernelACL(a.Entries())); err != nil || again != a {
			t.Fatalf("%s comes again as %s, %v", a, again, err)
		}
	})
}

func TestKernelACLRefused(t *testing.T) {
	good := kernelACL(aclOf(t, 7, 5, 0, user(5, "", 4)).Entries())
	for name, b := range map[string][]byte{
		"nothing": nil, "the version alone": good[:4], "cut": good[:len(good)-1], "version 1": append([]byte{1}, good[1:]...),
		"a user twice": append(bytes.Clone(good), good[12:20]...), "another tag": append(bytes.Clone(good), 64, 0, 0, 0, 0, 0, 0, 0),
	} {
		if a, err := parseACL(b); err == nil {
			t.Errorf("%s is %q", name, a)
		}
	}
}

// A list and a label that no archive holds are findings, and the group's bits of
// the mode, which are the list's mask then, stay out.
func TestNotKept(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	src := copyToken(t, filepath.Join(fixtureDir, "swtok-old-small"), t.TempDir()+"/swtok")
	var many []format.ACLEntry
	for i := range uint32(format.MaxACL - 4) {
		many = append(many, user(i, "", 6))
	}
	full := kernelACL(aclOf(t, 6, 6, 0, many...).Entries())
	twice := append(bytes.Clone(full[:aclHeader+2*aclEntry]), full[aclHeader+aclEntry:]...) // one user again: the kernel takes it
	for _, file := range []string{nvtokName, objectsName, indexPath} {
		check(t, unix.Setxattr(filepath.Join(src, file), accessACL, twice, 0))
	}
	check(t, unix.Setxattr(filepath.Join(src, soKeyName), securityLabel, []byte("a\x00b\x00"), 0))
	info, records := readToken(t, src)
	n := 0
	for _, r := range records {
		n += count(r.Details.Findings, NotKept)
		a := r.Details.Attr
		if name := r.Name.String(); (name == nvtokName || name == indexPath) && (a.Mode&0o070 != 0 || a.ACL != "") {
			t.Errorf("%s: %+v", name, a)
		}
	}
	if n != 4 || info.Directories[1].Attr.Mode&0o070 != 0 {
		t.Errorf("%d findings, %+v", n, info.Directories)
	}
}

// The mode that holds without a list gives nobody more than the list.
func TestModeWithout(t *testing.T) {
	masked := aclOf(t, 6, 6, 4, user(5, "", 6)).Entries()
	limit(masked, format.ACLMask, 4)
	for _, c := range []struct {
		acl  []format.ACLEntry
		want uint32
	}{
		{aclOf(t, 6, 6, 0).Entries(), 0o660},
		{aclOf(t, 6, 6, 4, user(5, "", 7), group(6, "", 6)).Entries(), 0o664},
		{aclOf(t, 6, 6, 4, user(5, "", 4)).Entries(), 0o644},
		{aclOf(t, 6, 6, 4, user(5, "", 0)).Entries(), 0o600},
		{aclOf(t, 6, 6, 4, group(5, "", 0)).Entries(), 0o660},
		{masked, 0o644},
	} {
		if got := modeWithout(c.acl); got != c.want {
			t.Errorf("%v: %04o, want %04o", c.acl, got, c.want)
		}
	}
}
