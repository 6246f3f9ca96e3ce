package signature

import (
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"tokar/format"
)

// listed is a key as allowed_signers files have it.
func listed(t testing.TB, name string) string {
	return "ssh-ed25519 " + base64.StdEncoding.EncodeToString(wire(t, ed25519Key(name).Public()))
}

func signatureOf(t testing.TB, name string) *Signature {
	k := ed25519Key(name)
	b := good(t)
	b.key = wire(t, k.Public())
	b.sign = func(data []byte) []byte { return appendStrings(nil, []byte("ssh-ed25519"), ed25519.Sign(k, data)) }
	s, err := Verify(b.make(sha512Of(message)), message)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func parseList(t testing.TB, text string) (*Signers, []string) {
	t.Helper()
	var skipped []string
	s, err := ParseSigners(strings.NewReader(text), "list", func(line int, why error) {
		skipped = append(skipped, fmt.Sprintf("%d: %v", line, why))
	})
	if err != nil {
		s = nil
		skipped = append(skipped, err.Error())
	}
	return s, skipped
}

func moment(t testing.TB, text string) time.Time {
	t.Helper()
	at, err := ParseTime(text)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

func TestPrincipals(t *testing.T) {
	me, other := listed(t, "me"), listed(t, "other")
	for _, c := range []struct {
		text, at string
		want     string // principals, or what the error says
	}{
		{"a@b " + me, "", "a@b"},
		{"# nobody\n\n  a@b,*@c " + me + " a comment\n", "", "a@b *@c"},
		{`"a b,c" ` + me, "", "a b c"},
		{"!x@b,a@b " + me, "", "a@b"},
		{"CN=host7 " + me, "", "CN=host7"},
		{`"host 7" ` + me, "", "host 7"},
		{"a@b " + me + "\nc@d " + other + "\ne@f " + me, "", "a@b e@f"},
		{"a@b " + other, "", "which list does not list"},
		{`a@b namespaces="tokar-archive" ` + me, "", "a@b"},
		{`a@b namespaces="file,tokar*" ` + me, "", "a@b"},
		{`a@b namespaces="file" ` + me, "", "line 1 allows that key for other namespaces"},
		{`a@b namespaces="!tokar-archive,*" ` + me, "", "line 1 allows that key for other namespaces"},
		{`a@b valid-before="20200101Z" ` + me, "", "line 1 allowed that key until 2020-01-01T00:00:00Z"},
		{`a@b valid-before="20200101Z" ` + me, "20200101Z", "a@b"},
		{`a@b valid-before="20200101Z" ` + me, "20200101000001Z", "allowed that key until"},
		{`a@b valid-after="20200101Z" ` + me, "20191231235959Z", "line 1 allows that key from 2020-01-01T00:00:00Z on only"},
		{`a@b valid-after="20200101Z" ` + me, "20200101Z", "a@b"},
		{`a@b valid-after="20990101Z" ` + me, "", "from 2099-01-01"},
		{"old@b valid-before=\"20200101Z\" " + me + "\nnew@b valid-after=\"20200101Z\" " + me, "", "new@b"},
	} {
		s, skipped := parseList(t, c.text)
		if s == nil || len(skipped) > 0 {
			t.Errorf("%q: %q", c.text, skipped)
			continue
		}
		if c.at != "" {
			s.At = moment(t, c.at)
		}
		who, err := s.Principals(signatureOf(t, "me"))
		got := strings.Join(who, " ")
		if err != nil {
			got = err.Error()
			wantClass(t, err, format.ErrSigner)
		}
		if got != c.want && (err == nil || !strings.Contains(got, c.want)) {
			t.Errorf("%q at %q: %s, want %s", c.text, c.at, got, c.want)
		}
	}
	s, _ := parseList(t, "a@b "+me)
	_, err := s.Principals(nil)
	var unknown *UnknownError
	if !errors.As(err, &unknown) || unknown.Signature != nil || !strings.Contains(err.Error(), "it has no signature") {
		t.Errorf("not signed: %v", err)
	}
}

// A line that is not understood makes nobody a signer, and is told of.
func TestSkippedLines(t *testing.T) {
	me := listed(t, "me")
	for line, want := range map[string]string{
		"a@b restrict " + me:                                         `the option "restrict" is not known`,
		"a@b cert-authority " + me:                                   "authorities of certificates are not taken",
		"a@b namespaces=tokar-archive " + me:                         "stands not in double quotes",
		`a@b namespaces="tokar-archive ` + me:                        "is not closed",
		`a@b namespaces="a",namespaces="b" ` + me:                    "stands there twice",
		`a@b valid-after="20200101",valid-after="20200101" ` + me:    "stands there twice",
		`a@b valid-before="20200101Z",valid-after="20210101Z" ` + me: "valid-before is before valid-after",
		`a@b namespaces ` + me:                                       "is not known",
		`a@b namespaces="a", ` + me:                                  "with commas between",
		`a@b namespaces="a"x ` + me:                                  "with commas between",
		`a@b valid-after="yesterday" ` + me:                          "is no time",
		"!a@b " + me:                                                 "it names nobody",
		`namespaces="file" ` + me:                                    "an option where a name belongs",
		`valid-after="20200101",valid-before="20200102" ` + me:       "an option where a name belongs",
		"namespaces=file " + me:                                      "an option where a name belongs",
		"a@b,Valid-Before=20200101 " + me:                            "an option where a name belongs",
		"CERT-AUTHORITY " + me:                                       "an option where a name belongs",
		`command="x y" ` + me:                                        "an option where a name belongs",
		"a@b":                                                        "no public key in it",
		me:                                                           "it is a key without a name",
		"a@b ssh-ed25519":                                            "no public key in it",
		"a@b ssh-ed25519 !!!!":                                       "no public key in it",
		"a@b " + me[:len(me)-8]:                                      "",
		strings.Replace("a@b "+me, "ssh-ed25519", "ssh-rsa", 1):      `the key is not of type "ssh-rsa"`,
		`"a@b ` + me:                                                 "a quote is not closed",
		"a\x00b " + me:                                               "a zero byte",
		"a@b ssh-ed448 AAAACXNzaC1lZDQ0OA==":                         `a key of type "ssh-ed448"`,
		"a@b ssh-ed25519-cert-v01@openssh.com AAAAIHNzaC1lZDI1NTE5LWNlcnQtdjAxQG9wZW5zc2guY29t": "a certificate",
		"a@b " + rsaLine(t, "rsa1024"): "an RSA key of 1024 bits",
	} {
		s, skipped := parseList(t, line+"\nother@b "+listed(t, "other"))
		if len(skipped) != 1 || !strings.Contains(skipped[0], want) || !strings.HasPrefix(skipped[0], "1: ") {
			t.Errorf("%q: %q, want %q", line, skipped, want)
		}
		if s == nil || len(s.list) != 1 {
			t.Errorf("%q makes somebody a signer", line)
		}
	}
}

// What is no list of signers may be a file of secrets: of a line without a key
// nothing is repeated.
func TestNoListNoEcho(t *testing.T) {
	for _, line := range []string{
		"correct horse battery", "correct horse=battery", `x horse="battery"`, `x "horse`, `"horse`, "x,horse",
		"-----BEGIN horse PRIVATE KEY-----", "horse", "x ssh-ed25519 horse", "x horse ssh-ed25519 battery", `x horse,battery="staple`,
	} {
		if s, said := parseList(t, line); s != nil || len(said) == 0 || strings.Contains(fmt.Sprint(said), "horse") {
			t.Errorf("%q: %q", line, said)
		}
	}
}

func rsaLine(t *testing.T, name string) string {
	return "ssh-rsa " + base64.StdEncoding.EncodeToString(rsaSigner(t, name).PublicKey().Marshal())
}

func TestSignersFile(t *testing.T) {
	for name, text := range map[string]string{
		"empty": "", "comments": "# a\n\n", "one bad line": "a@b x\n", "too long": strings.Repeat("#", maxSigners+1),
	} {
		if s, said := parseList(t, text); s != nil || len(said) == 0 {
			t.Errorf("%s is a list of signers", name)
		}
	}
}

func TestParseTime(t *testing.T) {
	local := func(y, m, d, h, min, s int) time.Time {
		return time.Date(y, time.Month(m), d, h, min, s, 0, time.Local)
	}
	for text, want := range map[string]time.Time{
		"20200102":        local(2020, 1, 2, 0, 0, 0),
		"202001020304":    local(2020, 1, 2, 3, 4, 0),
		"20200102030405":  local(2020, 1, 2, 3, 4, 5),
		"20200102Z":       time.Date(2020, 1, 2, 0, 0, 0, 0, time.UTC),
		"20200102030405z": time.Date(2020, 1, 2, 3, 4, 5, 0, time.UTC),
		"202001020304UTC": time.Date(2020, 1, 2, 3, 4, 0, 0, time.UTC),
	} {
		if got, err := ParseTime(text); err != nil || !got.Equal(want) {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "Z", "2020", "20200231", "20201301", "2020-01-02", "202001022504", "20200102235960", "19700101Z", "2020 102", "+2020010", "2020010203", "20200102ZZ"} {
		if got, err := ParseTime(text); err == nil {
			t.Errorf("%q is %v", text, got)
		}
	}
}

func TestMatchList(t *testing.T) {
	for _, c := range []struct {
		name, list string
		want       bool
	}{
		{"abc", "abc", true}, {"abc", "ABC", false}, {"abc", "a*", true}, {"abc", "*", true}, {"abc", "a?c", true}, {"abc", "a?", false},
		{"abc", "x,abc", true}, {"abc", "!abc,*", false}, {"abc", "*,!abc", false}, {"abc", "!x", false}, {"abc", "", false},
		{"abc", "*c", true}, {"abc", "*b*", true}, {"abc", "*b", false}, {"", "*", true}, {"", "?", false}, {"aab", "a*ab", true}, {"abc", " abc", false},
	} {
		if got := matchList(c.name, c.list); got != c.want {
			t.Errorf("%q in %q: %v", c.name, c.list, got)
		}
	}
	if matchList(strings.Repeat("a", 2000), strings.Repeat("*a", 1000)+"b") { // must end
		t.Error("matched")
	}
}

// Where several lines list a key, all its names are told.
func TestPrincipalsOrder(t *testing.T) {
	s, _ := parseList(t, "b "+listed(t, "me")+"\na,c "+listed(t, "me"))
	if who, _ := s.Principals(signatureOf(t, "me")); !slices.Equal(who, []string{"b", "a", "c"}) {
		t.Errorf("%q", who)
	}
}
