package format

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

// aclOf is the usual list of a file, with more entries.
func aclOf(tb testing.TB, more ...ACLEntry) ACL {
	tb.Helper()
	a, err := NewACL(append(more, ACLEntry{ACLOther, 0, NoID, ""}, ACLEntry{ACLMask, 6, NoID, ""},
		ACLEntry{ACLGroupObj, 4, NoID, ""}, ACLEntry{ACLUserObj, 6, NoID, ""}))
	if err != nil {
		tb.Fatal(err)
	}
	return a
}

func goodACLs(tb testing.TB) []ACL {
	minimal, err := NewACL([]ACLEntry{{ACLUserObj, 7, NoID, ""}, {ACLGroupObj, 5, NoID, ""}, {ACLOther, 0, NoID, ""}})
	if err != nil {
		tb.Fatal(err)
	}
	return []ACL{minimal, aclOf(tb), aclOf(tb, ACLEntry{ACLGroup, 7, 110, "pkcs11"}, ACLEntry{ACLUser, 0, 9, ""}, ACLEntry{ACLUser, 1, 0, "root"})}
}

func TestACLText(t *testing.T) {
	want := []string{
		"u::rwx,g::r-x,o::---",
		"u::rw-,g::r--,m::rw-,o::---",
		"u::rw-,u:root:--x,u:9:---,g::r--,g:pkcs11:rwx,m::rw-,o::---",
	}
	for i, a := range goodACLs(t) {
		if a.String() != want[i] || a.Masked() != (i > 0) {
			t.Errorf("%s, masked %v; want %s", a, a.Masked(), want[i])
		}
		if again, err := decodeACL([]byte(a), false); err != nil || again != a {
			t.Errorf("%s comes again as %s, %v", a, again, err)
		}
	}
	if s := ACL("").String(); s != "" {
		t.Errorf("no list is %q", s)
	}
}

// What no list may be, with a word of the error.
func TestACLRefused(t *testing.T) {
	base := goodACLs(t)[1].Entries()
	with := func(more ...ACLEntry) []ACLEntry { return append(slices.Clone(base), more...) }
	var many []ACLEntry
	for i := range uint32(MaxACL - 3) {
		many = append(many, ACLEntry{ACLUser, 0, i, ""})
	}
	for word, entries := range map[string][]ACLEntry{
		"tag 0x40":        with(ACLEntry{64, 0, NoID, ""}),
		"tag 0x3":         with(ACLEntry{3, 0, NoID, ""}),
		"tag 0x0":         with(ACLEntry{0, 0, NoID, ""}),
		"permissions 010": with(ACLEntry{ACLUser, 8, 1, ""}),
		"u::r--, tag 0x2": with(ACLEntry{ACLUser, 4, NoID, ""}),
		"comes after":     with(ACLEntry{ACLUser, 4, 1, "a"}, ACLEntry{ACLUser, 4, 1, "b"}),
		"m::---":          with(ACLEntry{ACLMask, 0, NoID, ""}),
		"o:x:---":         append(slices.Clone(base[:3]), ACLEntry{ACLOther, 0, NoID, "x"}),
		"g:0:":            append(slices.Clone(base[:1]), ACLEntry{ACLGroupObj, 0, 0, ""}),
		"must have":       base[1:],
		"each must have":  {base[0], base[1], base[3], {ACLUser, 4, 1, ""}},
		"129 entries":     with(many...),
	} {
		if a, err := NewACL(entries); err == nil || !strings.Contains(err.Error(), word) {
			t.Errorf("%s: %s, %v", word, a, err)
		}
	}
	if _, err := decodeACL([]byte(goodACLs(t)[0]), true); !errors.Is(err, ErrMalformed) {
		t.Errorf("the list of a file without a mask: %v", err)
	}
}

// What a file has differs from its token's default, or is none where that has
// something; what no archive may hold is none.
func TestAttrDifferences(t *testing.T) {
	list := goodACLs(t)
	def := Attr{Known: true, Mode: 0o660, UID: 0, GID: 110, Owner: "root", Group: "pkcs11", ACL: list[1], Security: "usual"}
	same := def
	same.MTime = 1
	none := Attr{Known: true, Mode: 0o660, UID: 0, GID: 110}
	other := Attr{Known: true, Mode: 0o600, UID: 5, GID: 6, Owner: "joe", Group: "users", ACL: list[2], Security: "other"}
	long := Attr{Known: true, Owner: strings.Repeat("n", MaxIDName+1), Group: "a\x00b", Security: strings.Repeat("l", MaxSecurity+1)}
	for _, c := range []struct {
		name      string
		def, a, w Attr
		size      int
	}{
		{"the default", def, same, same, 3 + 1},
		{"nothing of the default", def, none, none, 3 + 4*3},
		{"another of each", def, other, other, -1},
		{"no default", Attr{}, other, other, -1},
		{"what is no name and no label", def, long, Attr{Known: true}, -1},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := Details{KeyType: ClassNone, Attr: c.a}
			b := d.Append(nil, c.def)
			if c.size >= 0 && len(b) != c.size {
				t.Errorf("%d bytes: %x", len(b), b)
			}
			var again Details
			if err := again.Decode(b, c.def); err != nil || again.Attr != c.w {
				t.Errorf("%+v, %v", again.Attr, err)
			}
		})
	}
	token := &Token{Kind: "k", Defaults: def, Directories: []Directory{{nil, other}, {NameOf("a"), long}}}
	token.Directories[0].Attr.DefaultACL = list[0]
	again, err := DecodeToken(NameOf("t"), token.Encode())
	if err != nil {
		t.Fatal(err)
	}
	token.Directories[1].Attr = Attr{Known: true}
	if again.Defaults != def || !slices.EqualFunc(again.Directories, token.Directories, sameDirectory) {
		t.Errorf("%+v", again)
	}
}
