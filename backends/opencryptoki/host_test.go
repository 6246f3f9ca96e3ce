package opencryptoki

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tokar/backends"
	"tokar/format"
)

// hostOf writes a configuration and reads it.
func hostOf(t *testing.T, conf, base string) backends.Host {
	t.Helper()
	path := filepath.Join(t.TempDir(), usualConfig)
	check(t, os.WriteFile(path, []byte(conf), 0o644))
	h, err := Backend{}.Host(path, base, false)
	check(t, err)
	return h
}

func TestSelect(t *testing.T) {
	base := t.TempDir()
	for _, d := range []string{"tpm", "other"} {
		check(t, os.Mkdir(filepath.Join(base, d), 0o770))
	}
	copyToken(t, filepath.Join(fixtureDir, "swtok-old-small"), filepath.Join(base, "swtok"))
	copyToken(t, filepath.Join(fixtureDir, "swtok-old-small"), filepath.Join(base, "twin"))
	copyToken(t, filepath.Join(fixtureDir, "tpmtok-old"), filepath.Join(base, "tpm/ann"))
	copyToken(t, filepath.Join(fixtureDir, "tpmtok-old"), filepath.Join(base, "tpm/joe"))
	copyToken(t, filepath.Join(fixtureDir, "tpmtok-old"), filepath.Join(base, "other/joe"))
	copyToken(t, filepath.Join(fixtureDir, "swtok-new-small"), filepath.Join(base, "lost"))
	check(t, os.Remove(filepath.Join(base, "lost", nvtokName)))
	h := hostOf(t, `slot 0 { stdll = libpkcs11_tpm.so }
slot 1 { stdll = libpkcs11_tpm.so tokname = other }
slot 3 { stdll = libpkcs11_sw.so }
slot 4 { stdll = libpkcs11_sw.so tokname = twin }
slot 5 { stdll = libpkcs11_sw.so tokname = lost }
slot 6 { stdll = libpkcs11_ica.so }
slot 7 { tokname = absent }
slot 8 { stdll = libpkcs11_new.so }
slot 9 { stdll = libpkcs11_sw.so tokname = "3" }`, base)
	for _, c := range []struct {
		word, names string
		passed      int
		wrong       string
	}{
		{"", "tpm/ann tpm/joe other/joe swtok twin", 4, ""},
		{"0", "tpm/ann tpm/joe", 0, ""},
		{"tpm", "tpm/ann tpm/joe", 0, ""},
		{"tpm/joe", "tpm/joe", 0, ""},
		{"other/joe", "other/joe", 0, ""},
		{"tpm/eve", "", 0, ""},
		{"3", "swtok", 0, ""}, // the number, not the name
		{"swtok", "swtok", 0, ""},
		{"swtok old small", "", 0, `slot 3 ("swtok", label "swtok old small") and slot 4 ("twin", label "swtok old small")`},
		{"5", "", 1, ""},
		{"lite", "", 1, ""},
		{"absent", "", 0, ""},
		{"7", "", 1, ""},
		{"8", "", 1, ""},
		{"17", "", 0, ""},
	} {
		found, err := h.Select(context.Background(), c.word)
		if (err != nil) != (c.wrong != "") || err != nil && !strings.Contains(err.Error(), c.wrong) {
			t.Errorf("%q: %v", c.word, err)
		}
		var names []string
		for _, l := range found.Tokens {
			names = append(names, l.Name.String())
		}
		if got := strings.Join(names, " "); got != c.names || len(found.Passed) != c.passed {
			t.Errorf("%q: %q, passed over %v; want %q and %d", c.word, got, found.Passed, c.names, c.passed)
		}
	}
	lost, err := h.Select(context.Background(), "lost")
	check(t, err)
	if len(lost.Passed) != 1 || !lost.Passed[0].Hidden {
		t.Errorf("a token that lost NVTOK.DAT: %+v", lost)
	}
}

// staged is a configuration's staging with these files, and what it notes.
func staged(t *testing.T, h backends.Host, o backends.RestoreOptions, files ...string) (s backends.Staging, notes *[]string) {
	t.Helper()
	notes = new([]string)
	o.Note = func(m string) { *notes = append(*notes, m) }
	info := &format.Token{Name: format.NameOf(usualConfig), Kind: ConfigKind}
	s, err := h.Restore(context.Background(), "", info, o)
	check(t, err)
	t.Cleanup(func() { s.Close() })
	for i := 0; i < len(files); i += 2 {
		check(t, s.Put(context.Background(), []*format.Record{fileRecord(i, files[i], files[i+1])}))
	}
	return s, notes
}

func fileRecord(seq int, name, data string) *format.Record {
	r := &format.Record{}
	r.Reset()
	r.Seq, r.Supersedes, r.Kind, r.Data = uint64(seq), format.NoSeq, format.KindState, []byte(data)
	r.Name = format.NameOf(strings.Split(name, "/")...)
	r.Details.Attr = format.Attr{Known: true, Mode: 0o6666, UID: uint32(os.Getuid()), GID: uint32(os.Getgid())}
	return r
}

// TestHostileConfiguration writes nothing where an archive would like it.
func TestHostileConfiguration(t *testing.T) {
	base := t.TempDir()
	named := filepath.Join(t.TempDir(), "mine")
	h := hostOf(t, "slot 1 { stdll = libpkcs11_cca.so confname = "+named+" }\nslot 2 { stdll = libpkcs11_ep11.so confname = two }\n", base)
	dir := filepath.Dir(h.Files().Path)
	elsewhere := t.TempDir()
	o := backends.RestoreOptions{Configuration: true}
	s, _ := staged(t, h, o, usualConfig, "slot 1 { stdll = libpkcs11_cca.so confname = passwd }\n",
		"passwd", "x", ".hidden.conf", "x", strings.TrimPrefix(elsewhere, "/")+"/etc.conf", "x",
		"new.conf", "new", "two", "named", strings.TrimPrefix(named, "/"), "named", "HSM_MK_CHANGE/a1", "state")
	found, err := s.Finish(context.Background())
	check(t, err)
	var refused []string
	for _, f := range found {
		if f.Kind == NotWritten {
			refused = append(refused, filepath.Base(f.File))
		}
	}
	if want := []string{"passwd", ".hidden.conf", "etc.conf"}; !slices.Equal(refused, want) {
		t.Errorf("not written: %q, want %q", refused, want)
	}
	_, err = s.Commit(context.Background())
	check(t, err)
	check(t, s.Close())
	var got []string
	for _, d := range []string{dir, elsewhere, filepath.Dir(named), base, filepath.Join(base, masterState)} {
		entries, err := os.ReadDir(d)
		check(t, err)
		for _, e := range entries {
			got = append(got, e.Name())
		}
	}
	if want := []string{"new.conf", usualConfig, usualConfig + oldSuffix, "two", "mine", masterState, "a1"}; !slices.Equal(got, want) {
		t.Errorf("there is %q, want %q", got, want)
	}
	if info, err := os.Stat(filepath.Join(dir, "new.conf")); err != nil || info.Mode() != 0o644 {
		t.Errorf("%v, %v: want mode 0644", info.Mode(), err)
	}
	s, _ = staged(t, h, o)
	for _, name := range []string{"..", ".", "a.conf.tokar-old", "a.conf.tokar-new", "HSM_MK_CHANGE/a/b", "HSM_MK_CHANGE/..", "etc/../x", ""} {
		r := fileRecord(0, name, "x")
		if err := s.Put(context.Background(), []*format.Record{r}); !errors.Is(err, backends.ErrBadName) {
			t.Errorf("%q: %v", name, err)
		}
	}
	r := fileRecord(0, "a.conf", "x")
	r.Kind = format.KindObject
	if err := s.Put(context.Background(), []*format.Record{r}); !errors.Is(err, backends.ErrBadName) {
		t.Errorf("an object: %v", err)
	}
}

// TestConfigurationStops: where a file cannot be put in place, those before it are
// new with the old one kept, and all others as they were; what a killed run left is
// no obstacle.
func TestConfigurationStops(t *testing.T) {
	for stop, part := range []bool{false, true} {
		h := hostOf(t, "slot 1 { stdll = libpkcs11_cca.so }\n", t.TempDir())
		dir := filepath.Dir(h.Files().Path)
		check(t, os.WriteFile(filepath.Join(dir, "policy.conf"), []byte("old"), 0o600))
		check(t, os.WriteFile(filepath.Join(dir, ".policy.conf"+newSuffix), []byte("killed"), 0o600))
		check(t, os.Link(filepath.Join(dir, "policy.conf"), filepath.Join(dir, "policy.conf"+oldSuffix)))
		s, _ := staged(t, h, backends.RestoreOptions{Configuration: true}, "policy.conf", "new", usualConfig, "# new\n")
		_, err := s.Finish(context.Background())
		check(t, err)
		if other, _ := staged(t, h, backends.RestoreOptions{Configuration: true}, "policy.conf", "newer"); true {
			if _, err := other.Finish(context.Background()); !errors.Is(err, backends.ErrBusy) {
				t.Errorf("a second run beside it: %v", err)
			}
		}
		check(t, os.Remove(filepath.Join(dir, []string{".policy.conf", "." + usualConfig}[stop]+newSuffix)))
		if _, err = s.Commit(context.Background()); err == nil || errors.Is(err, backends.ErrPartway) != part {
			t.Errorf("file %d cannot be put in place: %v", stop, err)
		}
		check(t, s.Close())
		policy, err := os.ReadFile(filepath.Join(dir, "policy.conf"))
		check(t, err)
		conf, err := os.ReadFile(h.Files().Path)
		check(t, err)
		if (string(policy) == "new") != part || !bytes.HasPrefix(conf, []byte("slot 1")) {
			t.Errorf("file %d cannot be put in place: %q and %q", stop, policy, conf)
		}
		names := []string{usualConfig, "policy.conf"}
		if part {
			names = append(names, "policy.conf"+oldSuffix)
		}
		entries, err := os.ReadDir(dir)
		check(t, err)
		if len(entries) != len(names) {
			t.Errorf("file %d cannot be put in place: %v, want %q", stop, entries, names)
		}
	}
}

// TestSecretConfiguration shows no line of a file that may hold secrets.
func TestSecretConfiguration(t *testing.T) {
	h := hostOf(t, "slot 1 { stdll = libpkcs11_icsf.so confname = icsf.conf }\nslot 2 { stdll = libpkcs11_cca.so confname = cca.conf }\n", t.TempDir())
	dir := filepath.Dir(h.Files().Path)
	for _, name := range []string{"icsf.conf", "cca.conf"} {
		check(t, os.WriteFile(filepath.Join(dir, name), []byte("today's\n"), 0o600))
	}
	s, notes := staged(t, h, backends.RestoreOptions{}, "icsf.conf", "secret\n", "cca.conf", "shown\n")
	_, err := s.Finish(context.Background())
	check(t, err)
	said := strings.Join(*notes, "\n")
	if strings.Contains(said, "secret") || !strings.Contains(said, "icsf.conf differs") || !strings.Contains(said, "+shown") {
		t.Error(said)
	}
}

// TestConfigurationFiles: which files go along, and which are missed.
func TestConfigurationFiles(t *testing.T) {
	base, other := t.TempDir(), t.TempDir()
	copyToken(t, filepath.Join(fixtureDir, "swtok-old-small"), filepath.Join(base, "swtok"))
	h := hostOf(t, "slot 1 { stdll = libpkcs11_sw.so confname = lacking.conf }\nslot 2 { stdll = libpkcs11_cca.so confname = "+other+"/cca.conf }\n"+
		"slot 4 { stdll = libpkcs11_ep11.so }\nslot 5 { stdll = libpkcs11_ica.so confname = unused.conf }\n", base)
	for _, path := range []string{filepath.Join(other, "cca.conf"), filepath.Join(filepath.Dir(h.Files().Path), "policy.conf")} {
		check(t, os.WriteFile(path, []byte("a"), 0o640))
	}
	check(t, os.Symlink("/etc/passwd", filepath.Join(filepath.Dir(h.Files().Path), "strength.conf")))
	token, err := h.Open(context.Background(), h.Files())
	check(t, err)
	var names []string
	var found []format.Finding
	for e, err := range token.Entries(context.Background()) {
		check(t, err)
		r := &format.Record{}
		r.Reset()
		check(t, token.Read(context.Background(), &e, r, nil))
		names = append(names, e.Name.String())
		found = append(append(found, e.Findings...), r.Details.Findings...)
		if name := e.Name.String(); name == "strength.conf" != r.Absent() {
			t.Errorf("%s: %q", name, r.Data)
		}
	}
	if want := []string{usualConfig, strings.TrimPrefix(other, "/") + "/cca.conf", "strength.conf", "policy.conf"}; !slices.Equal(names, want) {
		t.Errorf("%q, want %q", names, want)
	}
	if len(found) != 2 || found[0].Kind != Missing || found[0].File != "lacking.conf" || found[1].Kind != Irregular {
		t.Errorf("%+v", found)
	}
}

func TestLineDiff(t *testing.T) {
	for _, c := range []struct{ a, b, want string }{
		{"a\n", "a\n", ""},
		{"", "a\n", "@@ 1|+a"},
		{"a\n", "", "@@ 1|-a"},
		{"a\nb\nc\n", "a\nx\nc\n", "@@ 2| a|-b|+x| c"},
		{"a\nb\nc\nd\ne\n", "b\nc\nd\ne\nf\n", "@@ 1|-a| b|@@ 6| e|+f"},
		{"a", "a\n", "@@ 1|-a (no end of line)|+a"},
		{"a\n\nb\n", "a\nb\n", "@@ 2| a|-| b"},
	} {
		if got := strings.Join(lineDiff([]byte(c.a), []byte(c.b)), "|"); got != c.want {
			t.Errorf("%q, %q: %q, want %q", c.a, c.b, got, c.want)
		}
	}
	many, more := strings.Repeat("a\n", 2*maxDiffLines), strings.Repeat("b\n", 2*maxDiffLines)
	if got := lineDiff([]byte(many), []byte(more)); len(got) != 1 {
		t.Errorf("%d lines of difference", len(got))
	}
	if got := lineDiff([]byte(many[:600]), []byte(more[:600])); len(got) != maxShownLines+1 {
		t.Errorf("%d lines of difference", len(got))
	}
}

func TestMisfits(t *testing.T) {
	h := hostOf(t, `slot 1 { stdll = libpkcs11_sw.so }
slot 2 { stdll = libpkcs11_sw.so tokname = new tokversion = 3.12 usergroup = staff }
slot 3 { stdll = libpkcs11_sw.so tokname = middle tokversion = 3.11 }
slot 4 { stdll = libpkcs11_tpm.so }
slot 5 { stdll = libpkcs11_other.so tokname = other }`, t.TempDir())
	token := func(name, format_, variant, group string) *format.Token {
		return &format.Token{Kind: Kind, Name: format.NameOf(strings.Split(name, "/")...), Properties: []format.Property{
			{Key: propFormat, Value: format_}, {Key: propVariant, Value: variant},
		}, Directories: []format.Directory{
			{Attr: format.Attr{Known: true, Group: group, GID: 7}},
			{Name: format.NameOf(objectsName), Attr: format.Attr{Known: true, Group: group, GID: 7}},
			{Name: format.NameOf("else"), Attr: format.Attr{Known: true, Group: "any"}},
		}}
	}
	for _, c := range []struct {
		token *format.Token
		kinds string
		says  string
	}{
		{token("swtok", "old", "Soft", "pkcs11"), "", ""},
		{token("swtok", "new", "Soft", "pkcs11"), SlotVersion, "slot 1 has no tokversion"},
		{token("swtok", "unknown", "unknown", "pkcs11"), "", ""},
		{token("new", "new", "Soft", "staff"), "", ""},
		{token("new", "old", "Soft", "staff"), SlotVersion, "slot 2 has tokversion = 3.12"},
		{token("new", "new", "Soft", "pkcs11"), SlotGroup, "its directory has the group pkcs11, and slot 2 wants staff"},
		{token("new", "new", "Soft", ""), SlotGroup, "the group 7,"},
		{token("middle", "new", "Soft", "pkcs11"), SlotVersion, "tokversion = 3.11"},
		{token("middle", "old", "EP11", "x"), SlotType + " " + SlotGroup, "stdll = libpkcs11_sw.so"},
		{token("tpm/joe", "old", "TPM", "joe"), "", ""},
		{token("other", "old", "Soft", "pkcs11"), "", ""},
		{token("nobody", "old", "Soft", "pkcs11"), NoSlot, "no slot of"},
	} {
		var kinds, said []string
		for _, f := range h.Misfits(c.token) {
			kinds, said = append(kinds, f.Kind), append(said, f.Message)
		}
		if strings.Join(kinds, " ") != c.kinds || !strings.Contains(strings.Join(said, "\n"), c.says) {
			t.Errorf("%s: %q %q, want %q …%s…", c.token.Name, kinds, said, c.kinds, c.says)
		}
	}
	only := token("swtok", "old", "Soft", "pkcs11")
	only.Directories[1].Attr.Group = "other"
	if found := h.Misfits(only); len(found) != 1 || !strings.HasPrefix(found[0].Message, "its TOK_OBJ has the group other") {
		t.Errorf("%+v", found)
	}
	if found := h.Misfits(&format.Token{Kind: ConfigKind, Name: format.NameOf("x")}); len(found) > 0 {
		t.Errorf("a configuration: %+v", found)
	}
}

// TestFindConfiguration: what is taken for a configuration where a path is named.
func TestFindConfiguration(t *testing.T) {
	dir := t.TempDir()
	for name, data := range map[string]string{
		usualConfig: "not one", "mine.conf": "slot 1 { stdll = a }\n", "empty.conf": "", "text": "some words\n",
		"large": "slot 1 { stdll = a }\n" + strings.Repeat("\n", 1<<20),
	} {
		check(t, os.WriteFile(filepath.Join(dir, name), []byte(data), 0o600))
	}
	check(t, os.Symlink("mine.conf", filepath.Join(dir, "link.conf")))
	for name, want := range map[string]string{usualConfig: usualConfig, "mine.conf": "mine.conf", "link.conf": "link.conf", "empty.conf": "", "text": "", "large": "", ".": ""} {
		found, err := Host{}.Find(context.Background(), filepath.Join(dir, name))
		check(t, err)
		got := ""
		for _, l := range found.Tokens {
			got += l.Name.String()
		}
		if got != want {
			t.Errorf("%s: found %q, want %q", name, got, want)
		}
	}
	if _, err := (Host{}).Find(context.Background(), filepath.Join(dir, "nosuch")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("nothing: %v", err)
	}
	for _, name := range []string{usualConfig, "nosuch", "."} {
		if h, err := (Backend{}).Host(filepath.Join(dir, name), "", false); err == nil {
			t.Errorf("%s: %+v", name, h)
		}
	}
	h, err := Backend{}.Host(filepath.Join(dir, "nosuch"), "", true)
	check(t, err)
	if loc := h.Files(); h.Base() != defaultBase || loc.Name.String() != "nosuch" || len(h.Misfits(&format.Token{Kind: Kind, Name: format.NameOf("a")})) > 0 {
		t.Errorf("one that is not there yet: %s, %+v", h.Base(), loc)
	}
}

// TestConfigurationRead reads a configuration, judges it and compares it with where
// it was; the words are all that a host's own path from an archive may bring about.
func TestConfigurationRead(t *testing.T) {
	ctx := context.Background()
	h := hostOf(t, "slot 1 { stdll = libpkcs11_ep11.so confname = a.conf }\n", t.TempDir())
	path := h.Files().Path
	check(t, os.WriteFile(filepath.Join(filepath.Dir(path), "a.conf"), []byte("a\n"), 0o640))
	token, err := h.Open(ctx, h.Files())
	check(t, err)
	v, err := h.Validator(token.Info())
	check(t, err)
	var records []*format.Record
	for e, err := range token.Entries(ctx) {
		check(t, err)
		r := fileRecord(len(records), e.Name.String(), "")
		check(t, token.Read(ctx, &e, r, make([]byte, 100)))
		if public, found := v.Validate(r); public || len(found) > 0 {
			t.Errorf("%s: public %v, %v", e.Name, public, found)
		}
		records = append(records, r)
	}
	check(t, token.Close())
	if len(records) != 2 || string(records[1].Data) != "a\n" {
		t.Fatalf("%v", records)
	}
	broken := *records[0]
	broken.Data = []byte("slot")
	if _, found := v.Validate(&broken); len(found) != 1 || found[0].Kind != Syntax || (Host{}).Advice(found[0].Kind, backends.Subject{}) == "" {
		t.Errorf("a broken one: %v", found)
	}
	for _, want := range []string{"is the same on", "differs on", "is not there on"} {
		var said []string
		o := backends.RestoreOptions{Note: func(m string) { said = append(said, m) }}
		s, err := Host{}.Restore(ctx, "", token.Info(), o)
		check(t, err)
		check(t, s.Put(ctx, records))
		check(t, s.Order(records[0], false))
		if _, err := s.Finish(ctx); err != nil || len(said) != 1 || !strings.Contains(said[0], want) {
			t.Errorf("%v, %q, want …%s…", err, said, want)
		}
		check(t, s.Close())
		switch want {
		case "is the same on":
			check(t, os.WriteFile(filepath.Join(filepath.Dir(path), "a.conf"), []byte("b\n"), 0o640))
		case "differs on":
			check(t, os.Remove(path))
		}
	}
	if _, err := (Host{}).Restore(ctx, "", token.Info(), backends.RestoreOptions{Configuration: true}); err == nil {
		t.Error("it would be written, nobody knows where")
	}
}
