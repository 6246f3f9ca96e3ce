package config

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func read(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func parse(t *testing.T, data []byte) *File {
	t.Helper()
	f, err := Parse(data)
	if err != nil {
		t.Fatalf("%v\n%s", err, data)
	}
	return f
}

// meaning is what a configuration says.
func meaning(f *File) []Slot {
	var slots []Slot
	for i := range f.Slots {
		slots = append(slots, f.Slots[i].said())
	}
	return slots
}

func TestParse(t *testing.T) {
	f := parse(t, []byte(`# before
version opencryptoki-3.27 # x
statistics (on,
  implicit # y
)
disable-event-support slot 1023 { stdll = /usr/lib/libpkcs11_sw.so.0 tokname = a-b.c tokversion = 3.12 }
slot 0x2 # the EP11 token
# and more
{ # here too
	description = "two
lines"   manufacturer=me
	stdll = libpkcs11_ep11.so; # a character that means nothing
	hwversion = "1.5 beta" firmwareversion = 01.65535
	confname = ep11tok.conf
	usergroup = "group"
}
slot 5 { }
slot 6 { stdll = libpkcs11_cca.so confname = /etc/cca/one.conf } # end`))
	want := []Slot{
		{Number: 1023, STDLL: "/usr/lib/libpkcs11_sw.so.0", TokName: "a-b.c", TokVersion: NewFormat},
		{Number: 2, STDLL: "libpkcs11_ep11.so", Description: "two\nlines", Manufacturer: "me", Hardware: 1<<16 | 5,
			Firmware: 1<<16 | 65535, ConfName: "ep11tok.conf", UserGroup: "group"},
		{Number: 5},
		{Number: 6, STDLL: "libpkcs11_cca.so", ConfName: "/etc/cca/one.conf"},
	}
	if got := meaning(f); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if lines := []int{f.Slots[0].Line, f.Slots[1].Line, f.Slots[3].Line}; !reflect.DeepEqual(lines, []int{6, 7, 18}) {
		t.Errorf("slots in lines %v", lines)
	}
	for i, d := range []string{"a-b.c", "ep11tok", "", "ccatok"} {
		if got := f.Slots[i].Directory(); got != d {
			t.Errorf("slot %d: directory %q, want %q", f.Slots[i].Number, got, d)
		}
	}
	if got, want := f.Beside(), []string{"ep11tok.conf", "/etc/cca/one.conf", "strength.conf", "policy.conf"}; !reflect.DeepEqual(got, want) {
		t.Errorf("beside it %q, want %q", got, want)
	}
	if f.Slot(7) != nil || f.Slot(5).Present() || !f.Slot(2).Present() {
		t.Error("which slots are there")
	}
}

func TestDirectories(t *testing.T) {
	for dll, want := range map[string]string{
		"libpkcs11_sw.so": "swtok", "libpkcs11_ica.so": "lite", "libpkcs11_tpm.so": "tpm", "libpkcs11_icsf.so.0": "icsf",
		"/opt/libpkcs11_cca.so": "ccatok", "libpkcs11_other.so": "", "swtok.so": "",
	} {
		if got := (&Slot{STDLL: dll}).Directory(); got != want {
			t.Errorf("%s: %q, want %q", dll, got, want)
		}
	}
}

// TestDebian reads what Debian ships.
func TestDebian(t *testing.T) {
	f := parse(t, read(t, "debian.conf"))
	var dirs []string
	for i := range f.Slots {
		dirs = append(dirs, f.Slots[i].Directory())
	}
	if got := strings.Join(dirs, " "); got != "tpm lite ccatok swtok ep11tok" {
		t.Errorf("directories %q", got)
	}
}

// odd are configurations of which it is not plain what the daemon does, with what
// its newest release does; wrong is part of our message.
var odd = []struct {
	name, conf string
	line       int // of the error; 0: it is taken
	wrong      string
}{
	{"empty", "", 0, ""},
	{"no version", "slot 1 { stdll = a }", 0, ""},
	{"version not first", "slot 1 { stdll = a }\nversion x-1", 2, `not "version"`},
	{"version without a word", "version\n", 1, "the end of the line"},
	{"version and a number", "version 3.1\n", 1, `"3.1"`},
	{"version grown together", "versionx-1\n", 0, ""},
	{"blank lines first", "\n\n # c\nversion x-1\n", 0, ""},
	{"CR first", "\r\nversion x-1\n", 2, `not "version"`},
	{"CR LF", "version x-1\r\nslot 1\r\n{\r\nstdll = a\r\n}\r\n", 0, ""},
	{"no end of line at the end", "slot 1 { stdll = a } # c", 0, ""},
	{"number too large", "slot 1024 { stdll = a }", 1, "below 1024"},
	{"number far too large", "slot 99999999999999999999 { }", 1, "below 1024"},
	{"hexadecimal number", "slot 0x3ff { stdll = a }", 0, ""},
	{"leading zero", "slot 01 { stdll = a }", 1, `expected "{", not "1"`},
	{"no number", "slot { stdll = a }", 1, "a number"},
	{"number in the next line", "slot\n1 { stdll = a }", 1, "the end of the line"},
	{"twice", "slot 1 { stdll = a }\nslot 1 { stdll = b }", 2, "line 1"},
	{"twice, absent first", "slot 1 { tokname = x }\nslot 1 { stdll = b }", 0, ""},
	{"key twice", "slot 1 { stdll = a tokname = x tokname = y }", 0, ""},
	{"unknown key", "slot 1 {\nstdll = a\nkey = b\n}", 3, `no "key"`},
	{"upper case", "slot 1 { STDLL = a }", 1, `no "STDLL"`},
	{"unknown element", "slots 1 { stdll = a }", 1, `not "slots"`},
	{"global value", "stdll = a", 1, `not "stdll"`},
	{"value in the next line", "slot 1 { stdll =\na }", 1, "on the line of its ="},
	{"comment before the value", "slot 1 { stdll = # c\na }", 1, "on the line of its ="},
	{"= in the next line", "slot 1 { stdll\n= a }", 1, `expected "="`},
	{"empty text", `slot 1 { stdll = "" }`, 1, `not "}"`},
	{"empty text before a word", `slot 1 { stdll = "" a }`, 0, ""},
	{"text without end", "slot 1 { stdll = \"a }\n", 1, "does not end"},
	{"text over lines", "slot 1 { stdll = a description = \"b\n}\" }", 0, ""},
	{"brace in a comment", "slot 1 { stdll = a # }\n}", 0, ""},
	{"no closing brace", "slot 1 { stdll = a\n", 2, "the end of the file"},
	{"a brace too many", "slot 1 { stdll = a } }", 1, `not "}"`},
	{"strange characters", "slot 1 { stdll = a; @ description = \"\xff\" \xc3\xa4 }", 0, ""},
	{"underscore first", "slot 1 { stdll = _a }", 0, ""},
	{"number as a name", "slot 1 { stdll = a tokname = 5 }", 1, "a word, or"},
	{"name begins with a digit", "slot 1 { stdll = a tokname = 5tok }", 1, "a word, or"},
	{"the same in quotes", `slot 1 { stdll = a tokname = "5tok" }`, 0, ""},
	{"version in quotes", `slot 1 { stdll = a tokversion = "3.12" }`, 0, ""},
	{"version as a number", "slot 1 { stdll = a tokversion = 3 }", 1, "a version such as"},
	{"version of three", "slot 1 { stdll = a tokversion = 3.12.1 }", 1, `no ".1"`},
	{"version too large", "slot 1 { stdll = a hwversion = 65536.1 }", 1, "65535"},
	{"description of 64", `slot 1 { stdll = a description = "` + strings.Repeat("x", 64) + `" }`, 0, ""},
	{"description of 65", `slot 1 { stdll = a description = "` + strings.Repeat("x", 65) + `" }`, 1, "at most 64"},
	{"manufacturer of 33", `slot 1 { stdll = a manufacturer = "` + strings.Repeat("x", 33) + `" }`, 1, "at most 32"},
	{"tokname of two parts", "slot 1 { stdll = a tokname = x/y }", 1, "the name of a file"},
	{"tokname ..", "slot 1 { stdll = a tokname = .. }", 1, "the name of a file"},
	{"tokname taken", "slot 1 { stdll = a tokname = HSM_MK_CHANGE }", 1, "library's own"},
	{"confname relative", "slot 1 { stdll = a confname = x/y }", 1, "the name of a file"},
	{"confname absolute", "slot 1 { stdll = a confname = /x/y }", 0, ""},
	{"statistics", "statistics ( off )\nstatistics\n(\n)", 0, ""},
	{"statistics of something else", "statistics (on, off, maybe)", 1, `not "maybe"`},
	{"statistics with a last comma", "statistics (on,)", 1, `not ")"`},
	{"statistics without a list", "statistics\n", 2, `"("`},
	{"events", "disable-event-support disable-event-support", 0, ""},
	{"events with a value", "disable-event-support = on", 1, "stands alone"},
	{"events with a block", "disable-event-support\n{ }", 2, "stands alone"},
	{"events with numbers", "disable-event-support\n1 2 x", 2, "stands alone"},
}

func TestOdd(t *testing.T) {
	for _, c := range odd {
		_, err := Parse([]byte(c.conf))
		var at *Error
		switch {
		case c.line == 0 && err != nil:
			t.Errorf("%s: %v", c.name, err)
		case c.line != 0 && !errors.As(err, &at):
			t.Errorf("%s: %v, want an error in line %d", c.name, err, c.line)
		case c.line != 0 && (at.Line != c.line || !strings.Contains(at.Message, c.wrong)):
			t.Errorf("%s: %v, want line %d: …%s…", c.name, err, c.line, c.wrong)
		}
	}
	if _, err := Parse(make([]byte, MaxSize+1)); err == nil {
		t.Error("a configuration of more than 1 MiB is read")
	}
}

// TestMigrated sets what pkcstok_migrate set in the same files, and means the same.
func TestMigrated(t *testing.T) {
	for _, name := range []string{"swtok-migrated", "swtok-old-small-migrated"} {
		before := read(t, name+".before")
		f := parse(t, before)
		made, err := f.SetTokversion(3, "3.12")
		if err != nil {
			t.Fatal(err)
		}
		g := parse(t, made)
		if got, want := meaning(g), meaning(parse(t, read(t, name+".after"))); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got  %+v\nwant %+v", name, got, want)
		}
		if extra := bytes.Count(made, []byte("\n")) - bytes.Count(before, []byte("\n")); extra != 1 {
			t.Errorf("%s: %d lines more", name, extra)
		}
		back, err := g.SetTokversion(3, "")
		if err != nil || !bytes.Equal(back, before) {
			t.Errorf("%s: undone: %v\n%s", name, err, back)
		}
	}
}

func TestSetTokversion(t *testing.T) {
	for _, c := range []struct{ name, before, version, after string }{
		{"lines", "slot 1\n{\n\tstdll = a\n}\n", "3.12", "slot 1\n{\n\tstdll = a\n\ttokversion = 3.12 # added by tokar\n}\n"},
		{"one line", "slot 1 { stdll = a }", "3.12", "slot 1 { stdll = a tokversion = 3.12 }"},
		{"tight", "slot 1{stdll=a}", "3.12", "slot 1{stdll=a tokversion = 3.12 }"},
		{"nothing in it", "slot 1 {}", "3.12", "slot 1 { tokversion = 3.12 }"},
		{"nothing but lines", "slot 1 { # c\n\n}", "3.12", "slot 1 { # c\n  tokversion = 3.12 # added by tokar\n\n}"},
		{"begins beside the brace", "slot 1 { stdll = a\n}", "3.12", "slot 1 { stdll = a\n  tokversion = 3.12 # added by tokar\n}"},
		{"ends beside the brace", "slot 1 {\n   stdll = a }", "3.12", "slot 1 {\n   stdll = a tokversion = 3.12 }"},
		{"comments and blank lines", "slot 1 {\n stdll = a # }\n\n # }\n}\n\n\nslot 2 { stdll = b }", "3.12",
			"slot 1 {\n stdll = a # }\n tokversion = 3.12 # added by tokar\n\n # }\n}\n\n\nslot 2 { stdll = b }"},
		{"CR LF", "slot 1\r\n{\r\n stdll = a\r\n}\r\n", "3.12", "slot 1\r\n{\r\n stdll = a\r\n tokversion = 3.12 # added by tokar\r\n}\r\n"},
		{"replaced", "slot 1 {\n tokversion = 3.10 # mine\n stdll = a\n}", "3.12", "slot 1 {\n tokversion = 3.12 # mine\n stdll = a\n}"},
		{"replaced in quotes", `slot 1 { tokversion = "3.1" stdll = a }`, "3.12", `slot 1 { tokversion = 3.12 stdll = a }`},
		{"replaced, the last counts", "slot 1 { stdll = a tokversion=3.1 tokversion=3.2 }", "3.12", "slot 1 { stdll = a tokversion=3.1 tokversion=3.12 }"},
		{"two blocks", "slot 1 { tokname = x }\nslot 1 { stdll = a }", "3.12", "slot 1 { tokname = x }\nslot 1 { stdll = a tokversion = 3.12 }"},
		{"no tokversion where none is", "slot 1 { stdll = a }", "", "slot 1 { stdll = a }"},
		{"taken out of a line", "slot 1 { stdll = a tokversion = 3.12 }", "", "slot 1 { stdll = a }"},
		{"taken out beside a comment", "slot 1 {\n tokversion = 3.12 # mine\n}", "", "slot 1 {\n # mine\n}"},
		{"taken out of between", "slot 1 {stdll=a tokversion=3.12description=b}", "", "slot 1 {stdll=a description=b}"},
		{"all taken out", "slot 1 {\n tokversion = 3.1\n tokversion = 3.2\n}", "", "slot 1 {\n}"},
		{"two on a line taken out", "slot 1 { tokversion = 3.1 tokversion = 3.2 stdll = a }", "", "slot 1 { stdll = a }"},
	} {
		got, err := parse(t, []byte(c.before)).SetTokversion(1, c.version)
		if err != nil || string(got) != c.after {
			t.Errorf("%s: %v\n%q, want\n%q", c.name, err, got, c.after)
		}
	}
	f := parse(t, []byte("slot 1 { stdll = a }"))
	for _, c := range []struct {
		slot    int
		version string
	}{{2, "3.12"}, {1, "3"}, {1, "3.12 }"}, {1, "3.65536"}} {
		if got, err := f.SetTokversion(c.slot, c.version); err == nil {
			t.Errorf("slot %d, version %q: %q", c.slot, c.version, got)
		}
	}
}

// FuzzParse: tokens cover every byte once, and a change of one value changes the
// meaning there and nowhere else.
func FuzzParse(f *testing.F) {
	for _, name := range []string{"debian.conf", "swtok-migrated.before", "swtok-old-small-migrated.before", "swtok-old-small-migrated.after"} {
		data, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	for _, c := range odd {
		f.Add([]byte(c.conf))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		l := lexer{data: data, line: 1}
		at := 0
		for tok := l.next(); tok.kind != end; tok = l.next() {
			if tok.from != at || tok.to <= at {
				t.Fatalf("a token from %d to %d at %d", tok.from, tok.to, at)
			}
			at = tok.to
		}
		if at != len(data) {
			t.Fatalf("tokens end at %d of %d", at, len(data))
		}
		c, err := Parse(data)
		if err != nil {
			return
		}
		if !bytes.Equal(c.data, data) {
			t.Fatal("the bytes are other ones")
		}
		for _, s := range c.Slots {
			made, err := c.SetTokversion(s.Number, "3.12")
			if err != nil {
				t.Fatalf("slot %d: %v", s.Number, err)
			}
			g := parse(t, made)
			want := meaning(c)
			for i := range want {
				if want[i].Number == s.Number {
					want[i].TokVersion = NewFormat
				}
			}
			if !reflect.DeepEqual(meaning(g), want) {
				t.Fatalf("slot %d: %q", s.Number, made)
			}
			if s.TokVersion != 0 {
				continue
			}
			back, err := g.SetTokversion(s.Number, "")
			if err != nil || !reflect.DeepEqual(meaning(parse(t, back)), meaning(c)) {
				t.Fatalf("slot %d undone: %v: %q", s.Number, err, back)
			}
		}
	})
}
