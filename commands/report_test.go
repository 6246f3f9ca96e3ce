package commands

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode"

	"tokar/backends"
	"tokar/format"
	"tokar/format/keyslot"
	"tokar/stages"
)

// written is a report whose output can be read.
func written() (r *report, out, log *bytes.Buffer) {
	out, log = &bytes.Buffer{}, &bytes.Buffer{}
	r = newReport("create")
	r.out = &text{w: bufio.NewWriter(out)}
	r.namesTo, r.log = r.out, log
	return r, out, log
}

// Ten findings of a kind are named, the others counted; all with -v.
func TestManyFindings(t *testing.T) {
	for _, c := range []struct {
		verbose, quiet bool
		want           int
		last           string
	}{
		{false, false, 12, "tokar: archived; 25 findings"},
		{true, false, 26, "tokar: archived; 25 findings"},
		{false, true, 1, "tokar: truncated: 25 findings"},
	} {
		r, _, log := written()
		r.verbose, r.quiet = c.verbose, c.quiet
		for i := range 25 {
			r.finding("swtok", fmt.Sprint(i), format.Finding{Kind: "truncated", File: "TOK_OBJ/x", Offset: 5, Message: "it ends"})
		}
		r.result("archived%s", r.withFindings())
		if code, _ := r.finish(nil, nil); code != exitFindings {
			t.Errorf("exit code %d", code)
		}
		lines := strings.Split(strings.TrimSpace(log.String()), "\n")
		if len(lines) != c.want || lines[len(lines)-1] != c.last {
			t.Errorf("%+v: %d lines:\n%s", c, len(lines), log)
		}
	}
}

func TestDescribe(t *testing.T) {
	for _, c := range []struct {
		entry string
		f     format.Finding
		want  string
	}{
		{"10000000", format.Finding{Kind: "truncated", File: "TOK_OBJ/10000000", Offset: 17, Message: "it ends"},
			"tok/10000000: truncated: it ends (TOK_OBJ/10000000, byte 17)"},
		{"", format.Finding{Kind: "no-index", Offset: -1, Message: "no\x1bindex"}, `tok: no-index: no\x1bindex`},
		{"a b", format.Finding{Kind: "gone", File: "a b", Offset: -1, Message: "gone"}, `"tok/a b": gone: gone`},
		{"", format.Finding{Kind: "\x1b[2J", Offset: -1, Message: "from an archive"}, `tok: \x1b[2J: from an archive`},
	} {
		if got := describe("tok", c.entry, c.f); got != c.want {
			t.Errorf("%s, want %s", got, c.want)
		}
	}
}

// JSON shows a terminal nothing that it could obey, and is the same JSON.
func TestJSONEscapes(t *testing.T) {
	r, out, _ := written()
	r.json = &jsonLines{out: r.out}
	message := "a\x1b[31m\u009b31m\x7f\u202eb\U000e0001\u00a0ü€𝄞\xff"
	r.finding("tok", "", format.Finding{Kind: "k", Offset: -1, Message: message})
	r.out.flush()
	if strings.ContainsFunc(strings.TrimSuffix(out.String(), "\n"), func(r rune) bool { return !unicode.IsGraphic(r) }) {
		t.Errorf("%q", out)
	}
	var got jsonFinding
	if err := json.Unmarshal(out.Bytes(), &got); err != nil || got.Message != strings.ToValidUTF8(message, "\ufffd") {
		t.Errorf("%v: %q", err, got.Message)
	}
}

// The lines of JSON that programs rely on: fields are added, never changed.
func TestJSON(t *testing.T) {
	r, out, log := written()
	r.json = &jsonLines{out: r.out}
	tok := &format.Token{Name: format.NameOf("tpm", "root"), Kind: "opencryptoki", Label: "l", Serial: "1",
		Properties: []format.Property{{Key: "format", Value: "old"}}}
	rec := &format.Record{}
	rec.Reset()
	rec.Seq, rec.Kind, rec.Name, rec.Flags, rec.Size, rec.Class = 1<<53+1, format.KindObject, format.NameOf("1"), format.Wrapped|format.Damaged, 7, 3
	rec.Details = format.Details{KeyType: 0, Label: []byte("k\xff"), ID: []byte{1}, Attr: format.Attr{Known: true, Mode: 0o640, UID: 0, GID: 5, MTime: 1,
		Owner: "root", Group: "t\xff", ACL: listed(t), Security: "system_u:object_r:t:s0"}}
	r.json.archive(&format.Archive{Made: 0, Host: "h", Writer: "tokar 1"})
	r.json.token(tok)
	r.json.object(tok, rec, nil)
	r.finding("tpm/root", "1", format.Finding{Kind: "truncated", File: "TOK_OBJ/1", Offset: 0, Message: "it ends"})
	r.finding("t\xff", "", format.Finding{Kind: "no-index", Offset: -1, Message: "m"})
	r.json.comparison(&stages.Compared{Archived: tok, Path: "d/tpm/root", Objects: 1, More: 2,
		Differences: []stages.Difference{{Kind: stages.Mode}}, Words: []string{"w"}, Unstable: true})
	code, _ := r.finish(fmt.Errorf("a.tokar: %w", format.ErrTruncated), summaryOf(&stages.Summary{Tokens: 1, Objects: 1, Bytes: 7}))
	want := `{"type":"archive","v":1,"made":"1970-01-01T00:00:00Z","host":"h","writer":"tokar 1"}
{"type":"token","v":1,"token":"tpm/root","kind":"opencryptoki","label":"l","serial":"1","properties":{"format":"old"}}
{"type":"object","v":1,"token":"tpm/root","name":"1","seq":"9007199254740993","kind":"object","flags":["wrapped","damaged"],"size":7,"class":"CKO_PRIVATE_KEY","key_type":"CKK_RSA","label":"6bff","id":"01","mode":"0640","uid":0,"gid":5,"owner":"root","group":"t\ufffd","acl":"u::rw-,u:joe:r--,g::r--,g:7:---,m::r--,o::---","selinux":"system_u:object_r:t:s0","mtime":"1970-01-01T00:00:00.000000001Z"}
{"type":"finding","v":1,"token":"tpm/root","name":"1","kind":"truncated","file":"TOK_OBJ/1","offset":0,"message":"it ends"}
{"type":"finding","v":1,"token_hex":"74ff","kind":"no-index","message":"m"}
{"type":"comparison","v":1,"token":"tpm/root","path":"d/tpm/root","objects":1,"differences":3,"unstable":true,"words":["w"]}
{"type":"summary","v":1,"command":"create","exit":7,"complete":false,"error":"a.tokar: archive is cut short; fetch the archive again, whole","findings":2,"tokens":1,"records":0,"objects":1,"bytes":7,"damaged":0,"left":0,"generation":0,"restores":false}
`
	if code != exitArchive || out.String() != want {
		t.Errorf("exit code %d\n%s\nwant\n%s", code, out, want)
	}
	if log.String() != "tokar: a.tokar: archive is cut short; fetch the archive again, whole\n" {
		t.Errorf("log: %s", log)
	}
}

// listed is an access control list with a user and a group.
func listed(t *testing.T) format.ACL {
	a, err := format.NewACL([]format.ACLEntry{
		{Tag: format.ACLUserObj, Perm: 6, ID: format.NoID}, {Tag: format.ACLUser, Perm: 4, ID: 1000, Name: "joe"},
		{Tag: format.ACLGroupObj, Perm: 4, ID: format.NoID}, {Tag: format.ACLGroup, ID: 7},
		{Tag: format.ACLMask, Perm: 4, ID: format.NoID}, {Tag: format.ACLOther, ID: format.NoID},
	})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// Mode and owner as a long list shows them, in columns that meet those of what
// is not known.
func TestLongRow(t *testing.T) {
	for want, a := range map[string]format.Attr{
		"?????????  ?/?         ":    {},
		"rw-rw----  root/pkcs11 ":    {Known: true, Mode: 0o660, Owner: "root", Group: "pkcs11", GID: 110},
		"rw-r-----+ root/110    ":    {Known: true, Mode: 0o640, Owner: "root", GID: 110, ACL: listed(t)},
		"---------  \"a b\"/\\x1b  ": {Known: true, Owner: "a b", Group: "\x1b"},
	} {
		if got, _ := attributes(a); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// What several steps said is one line.
func TestExplain(t *testing.T) {
	err := failedf("mend it", "%w", errors.Join(errors.New("a\tb"), errors.New("c")))
	if got, want := explain(left(err, "nothing was made")), `a\tb; c; nothing was made; mend it`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// After a stop part-way it is said what is to be run again.
func TestPartway(t *testing.T) {
	x := &extraction{dirs: map[string]string{"a": "d", "c": "d", "b": "d"}}
	for _, c := range []struct {
		done []string
		half string
		want string
	}{
		{nil, "a", "busy; a is not as it was, and its next restore clears up; not touched: b, c; when that is mended, run it again for a, b, c"},
		{[]string{"a"}, "", "busy; restored: a; not touched: b, c; when that is mended, run it again for b, c"},
		{[]string{"a"}, "b", "busy; restored: a; b is not as it was, and its next restore clears up; not touched: c; when that is mended, run it again for b, c"},
		{[]string{"a", "b"}, "c", "busy; restored: a, b; c is not as it was, and its next restore clears up; when that is mended, run it again for c"},
	} {
		err := x.partway(&stages.PartError{Done: c.done, Half: c.half, Err: errors.New("busy")})
		if got := explain(err); got != c.want || codeOf(err) != exitPartway {
			t.Errorf("%d %s, want %s", codeOf(err), got, c.want)
		}
	}
}

func TestCodes(t *testing.T) {
	for _, c := range []struct {
		err  error
		want int
	}{
		{nil, exitDone},
		{usagef("create", "x"), exitUsage},
		{errors.New("x"), exitFailed},
		{backends.ErrExists, exitFailed},
		{&stages.PartError{Done: []string{"a"}, Err: backends.ErrExists}, exitPartway},
		{left(&stages.PartError{Err: errors.New("x")}, "y"), exitPartway},
		{format.ErrNoKey, exitSecret},
		{keyslot.ErrPassphrase, exitSecret},
		{format.ErrNotArchive, exitArchive},
		{format.ErrTruncated, exitArchive},
		{format.ErrChecksum, exitArchive},
		{format.ErrAuthentic, exitArchive},
		{format.ErrMalformed, exitArchive},
		{format.ErrUnsupported, exitArchive},
		{backends.ErrBadName, exitArchive},
	} {
		if c.err != nil {
			c.err = fmt.Errorf("while testing: %w", c.err)
		}
		if got := codeOf(c.err); got != c.want {
			t.Errorf("%v: %d, want %d", c.err, got, c.want)
		}
	}
}
