package opencryptoki

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tokar/backends"
	"tokar/backends/opencryptoki/tokendata"
	"tokar/format"
)

// logins of the fixtures.
func fixtureLogins() backends.Logins {
	return backends.Logins{SO: []byte("76543210"), User: []byte("01234567")}
}

// mendResult is what came of mending.
type mendResult struct {
	backends.Mended
	found []format.Finding
}

func (r mendResult) String() string { return fmt.Sprintf("%+v", struct{ M, F any }{r.Mended, r.found}) }

// mendToken mends base/swtok with what archived holds.
func mendToken(t *testing.T, base, archived string, o backends.RestoreOptions) (got mendResult, err error) {
	t.Helper()
	info, records := readToken(t, archived)
	info.Name = format.NameOf("swtok")
	return mendWith(t, base, info, records, o)
}

func mendWith(t *testing.T, base string, info *format.Token, records []*format.Record, o backends.RestoreOptions) (got mendResult, err error) {
	t.Helper()
	ctx := context.Background()
	o.Mend, o.NoKeep = true, true
	o.Mended = func(m backends.Mended) { got.Mended = m }
	s, err := Backend{}.Restore(ctx, base, info, o)
	if err != nil {
		return got, err
	}
	defer func() {
		check(t, s.Close())
		if names := list(t, base); !slices.Equal(names, []string{"swtok"}) {
			t.Errorf("left behind: %q", names)
		}
	}()
	for _, r := range records {
		if !r.Absent() && r.Flags&format.Damaged == 0 {
			if err := s.Put(ctx, []*format.Record{r}); err != nil {
				return got, err
			}
		}
		check(t, s.Order(r, false))
	}
	if got.found, err = s.Finish(ctx); err != nil || o.DryRun {
		return got, err
	}
	more, err := s.Commit(ctx)
	got.found = append(got.found, more...)
	return got, err
}

// byNoPIN are the damages that nobody sees without a PIN, and byNobody those that
// may be a change: nothing proves a public object. They stay.
var (
	byNoPIN  = []string{"private-flipped-body-byte", "private-flipped-tag", "private-flipped-wrapped-key", "private-ciphertext-flipped", "private-tag-flipped"}
	byNobody = []string{"public-flipped-body-byte", "public-value-flipped", "public-header-little-endian", "leftover-tmp"}
)

// takesPIN says which damages are looked at with a PIN too: a PIN costs a tenth
// of a second.
func takesPIN(damage string) bool {
	return slices.Contains(byNoPIN, damage) || strings.HasPrefix(damage, "mk-user") || damage == "private-renamed"
}

// Each damage is put right: afterwards the token is, byte for byte, what it was.
// A second run finds nothing to do.
func TestMendEachDamage(t *testing.T) {
	if testing.Short() {
		t.Skip("derives many keys from PINs")
	}
	for name, written := range map[string]struct {
		form  string
		order binary.ByteOrder
		pins  bool
	}{
		"swtok-old-small":       {tokendata.Old, binary.LittleEndian, true},
		"swtok-new-small":       {tokendata.New, binary.LittleEndian, true},
		"swtok-old-bigendian":   {tokendata.Old, binary.BigEndian, true},
		"swtok-new-bigendian":   {tokendata.New, binary.BigEndian, true},
		"ep11tok-be-old-before": {tokendata.Old, binary.BigEndian, false},
		"ep11tok-be-new-before": {tokendata.New, binary.BigEndian, false},
	} {
		sound := filepath.Join(fixtureDir, name)
		for _, d := range damages(t, sound, written.form, written.order) {
			for _, pin := range []bool{false, true} {
				if pin && (!written.pins || !takesPIN(d.name)) {
					continue
				}
				t.Run(fmt.Sprintf("%s/%s/pin=%v", name, d.name, pin), func(t *testing.T) {
					base := stand(t, sound)
					d.do(t, base+"/swtok")
					mendsBack(t, base, sound, d.name, pin)
				})
			}
		}
	}
}

// The damaged tokens that the project keeps.
func TestMendStoredDamage(t *testing.T) {
	if testing.Short() {
		t.Skip("derives many keys from PINs")
	}
	cases, err := filepath.Glob(filepath.Join(sharedDirs[0], "corrupt", "*", "*", "TOK_OBJ"))
	check(t, err)
	if len(cases) == 0 {
		t.Skip("the project's stored damaged tokens are not here")
	}
	for _, c := range cases {
		dir := filepath.Dir(c)
		form, name := filepath.Base(filepath.Dir(dir)), filepath.Base(dir)
		for _, pin := range []bool{false, true} {
			if pin && !takesPIN(name) {
				continue
			}
			t.Run(fmt.Sprintf("%s/%s/pin=%v", form, name, pin), func(t *testing.T) {
				mendsBack(t, stand(t, dir), filepath.Join(sharedDirs[0], "corrupt", form+"-undamaged"), name, pin)
			})
		}
	}
}

func mendsBack(t *testing.T, base, sound, damage string, pin bool) {
	t.Helper()
	damaged, want := files(t, base+"/swtok"), files(t, sound)
	var o backends.RestoreOptions
	if pin {
		o.Logins = backends.Logins{User: []byte("01234567")}
	}
	dry := o
	dry.DryRun = true
	would, err := mendToken(t, base, sound, dry)
	check(t, err)
	if got := files(t, base+"/swtok"); !maps.Equal(got, damaged) {
		t.Error("a dry run changed something")
	}
	got, err := mendToken(t, base, sound, o)
	check(t, err)
	if would.String() != got.String() {
		t.Errorf("a dry run says %v\nthe run %v", would, got)
	}
	now := files(t, base+"/swtok")
	switch {
	case slices.Contains(byNobody, damage) && maps.Equal(now, damaged) && len(got.Entries) == 0:
		if damage == "public-value-flipped" && len(got.Changed) != 1 {
			t.Errorf("it is not named as changed: %v", got)
		}
		return
	case !pin && slices.Contains(byNoPIN, damage):
		if count(got.found, Unjudged) != 1 || !maps.Equal(now, damaged) {
			t.Errorf("not left alone and named: %v", got)
		}
		return
	}
	if !maps.Equal(now, want) {
		t.Errorf("not as it was: %s\n%v", parted(now, want), got)
	}
	if len(got.found) > 0 || len(got.Entries) == 0 || len(got.Deleted) > 0 || len(got.Changed) > 0 {
		t.Errorf("told: %v", got)
	}
	before := stats(t, base+"/swtok")
	again, err := mendToken(t, base, sound, o)
	check(t, err)
	if len(again.Entries) > 0 || !maps.Equal(stats(t, base+"/swtok"), before) {
		t.Errorf("a second run did something: %v", again)
	}
}

// parted names the files in which two tokens differ.
func parted(a, b map[string]string) (names []string) {
	for name := range a {
		if a[name] != b[name] {
			names = append(names, name)
		}
	}
	for name := range b {
		if _, there := a[name]; !there {
			names = append(names, name)
		}
	}
	return names
}

// What is sound stays: what was added, changed or deleted since, and today's PINs.
func TestMendKeeps(t *testing.T) {
	const (
		oldTok = fixtureDir + "/swtok-old-small"
		newTok = fixtureDir + "/swtok-new-small"
	)
	spoil := func(base string) {
		rewrite(t, base+"/swtok/TOK_OBJ/00000000", cut(20))
	}
	for name, c := range map[string]struct {
		from   []string
		change func(base string)
		logins backends.Logins
		mended string // entries
		check  func(t *testing.T, got mendResult, before, after map[string]string)
	}{
		"nothing": {[]string{oldTok}, func(string) {}, backends.Logins{}, "", nil},
		"added": {[]string{oldTok}, func(base string) {
			spoil(base)
			b := read(t, oldTok, "TOK_OBJ/30000000")
			check(t, os.WriteFile(base+"/swtok/TOK_OBJ/H0000000", bytes.Replace(b, []byte("30000000"), []byte("H0000000"), 1), 0o660))
			rewrite(t, base+"/swtok/TOK_OBJ/OBJ.IDX", add("H0000000\n"))
			rewrite(t, base+"/swtok/NVTOK.DAT", func(b []byte) []byte { return bytes.Replace(b, []byte("H0000000"), []byte("I0000000"), 1) })
		}, backends.Logins{}, "00000000", nil},
		"deleted": {[]string{oldTok}, func(base string) {
			spoil(base)
			check(t, os.Remove(base+"/swtok/TOK_OBJ/20000000"))
			rewrite(t, base+"/swtok/TOK_OBJ/OBJ.IDX", func(b []byte) []byte { return bytes.Replace(b, []byte("20000000\n"), nil, 1) })
		}, backends.Logins{}, "00000000", func(t *testing.T, got mendResult, _, _ map[string]string) {
			if !slices.Equal(got.Deleted, []string{"20000000"}) {
				t.Errorf("deleted: %q", got.Deleted)
			}
		}},
		"PINs changed, with the new one": {[]string{newTok, pinsDir + "/swtok-new-small-userpin-changed"}, func(base string) {
			rewrite(t, base+"/swtok/TOK_OBJ/"+newPrivate(t, newTok), flip(100, 1))
		}, backends.Logins{SO: []byte("76543210")}, newPrivate(t, newTok), nil},
	} {
		t.Run(name, func(t *testing.T) {
			base := stand(t, c.from...)
			c.change(base)
			before, stood := files(t, base+"/swtok"), stats(t, base+"/swtok")
			got, err := mendToken(t, base, c.from[0], backends.RestoreOptions{Logins: c.logins})
			check(t, err)
			var names []string
			for _, e := range got.Entries {
				names = append(names, e.Name)
			}
			if strings.Join(names, " ") != c.mended || len(got.found) > 0 {
				t.Errorf("mended %q, found %v", names, got.found)
			}
			after := files(t, base+"/swtok")
			for _, file := range parted(before, after) {
				if file != "TOK_OBJ/"+c.mended || after[file] != string(read(t, c.from[0], file)) {
					t.Errorf("%s is another", file)
				}
			}
			if c.mended == "" && !maps.Equal(stood, stats(t, base+"/swtok")) {
				t.Error("something was touched")
			}
			if c.check != nil {
				c.check(t, got, before, after)
			}
		})
	}
}

// newPrivate is the first private object in an index.
func newPrivate(t *testing.T, dir string) string {
	t.Helper()
	for _, name := range strings.Fields(string(read(t, dir, indexPath))) {
		if b := read(t, dir, "TOK_OBJ/"+name); b[tokendata.AtPrivate] == 1 {
			return name
		}
	}
	t.Fatal("no private object")
	return ""
}

// A private object that was changed since is sound under the master key, and
// stays; without a PIN it is named.
func TestMendChangedPrivate(t *testing.T) {
	const tok = fixtureDir + "/swtok-new-small"
	name := newPrivate(t, tok)
	key, err := tokendata.User.Open(read(t, tok, nvtokName), read(t, tok, userKeyName), []byte("01234567"))
	check(t, err)
	object, err := key.Open(read(t, tok, "TOK_OBJ/"+name))
	check(t, err)
	base := stand(t, tok)
	check(t, os.WriteFile(base+"/swtok/TOK_OBJ/"+name, key.Seal(object, 0), 0o660))
	before := stats(t, base+"/swtok")
	for _, logins := range []backends.Logins{{}, fixtureLogins()} {
		got, err := mendToken(t, base, tok, backends.RestoreOptions{Logins: logins})
		check(t, err)
		if len(got.Entries) > 0 || !maps.Equal(before, stats(t, base+"/swtok")) {
			t.Errorf("touched: %v", got)
		}
		if known := logins.Given(); known != slices.Equal(got.Changed, []string{name}) || known == (count(got.found, Unjudged) == 1) {
			t.Errorf("with a PIN %v: %v", known, got)
		}
	}
}

// State files that are not shown to be of today's PINs and master key stay as
// they are, and are named.
func TestMendStateRefused(t *testing.T) {
	const (
		newTok = fixtureDir + "/swtok-new-small"
		oldTok = pinsDir + "/swtok-old"
	)
	for name, c := range map[string]struct {
		from   []string
		change func(base string)
		file   string
	}{
		"MK_USER after a PIN change":   {[]string{newTok, pinsDir + "/swtok-new-small-userpin-changed"}, func(base string) { rewrite(t, base+"/swtok/MK_USER", cut(20)) }, userKeyName},
		"NVTOK.DAT after a PIN change": {[]string{newTok, pinsDir + "/swtok-new-small-userpin-changed"}, func(base string) { rewrite(t, base+"/swtok/NVTOK.DAT", cut(20)) }, nvtokName},
		"old MK_USER after one":        {[]string{oldTok, pinsDir + "/swtok-old-userpin-changed"}, func(base string) { check(t, os.Remove(base+"/swtok/MK_USER")) }, userKeyName},
		"NVTOK.DAT and MK_USER": {[]string{newTok}, func(base string) {
			rewrite(t, base+"/swtok/NVTOK.DAT", cut(20))
			rewrite(t, base+"/swtok/MK_USER", cut(20))
		}, nvtokName},
	} {
		t.Run(name, func(t *testing.T) {
			base := stand(t, c.from...)
			c.change(base)
			before := stats(t, base+"/swtok")
			got, err := mendToken(t, base, c.from[0], backends.RestoreOptions{})
			check(t, err)
			if len(got.Entries) > 0 || count(got.found, Unmended) != 1 || got.found[0].File != c.file {
				t.Errorf("told: %v", got)
			}
			if !maps.Equal(before, stats(t, base+"/swtok")) {
				t.Error("touched")
			}
		})
	}
}

// State files and objects come in one step.
func TestMendBoth(t *testing.T) {
	const tok = fixtureDir + "/swtok-old-small"
	base := stand(t, tok)
	check(t, os.WriteFile(base+"/swtok/notes", []byte("kept"), 0o600))
	check(t, os.Mkdir(base+"/swtok/sub", 0o750))
	check(t, os.WriteFile(base+"/swtok/sub/more", []byte("kept too"), 0o600))
	want := files(t, base+"/swtok")
	rewrite(t, base+"/swtok/TOK_OBJ/00000000", cut(20))
	check(t, os.Remove(base+"/swtok/TOK_OBJ/30000000"))
	check(t, os.Remove(base+"/swtok/MK_SO"))
	rewrite(t, base+"/swtok/TOK_OBJ/OBJ.IDX", add("00000000\n"))
	got, err := mendToken(t, base, tok, backends.RestoreOptions{})
	check(t, err)
	if len(got.Entries) != 4 || len(got.found) > 0 {
		t.Errorf("told: %v", got)
	}
	if now := files(t, base+"/swtok"); !maps.Equal(now, want) {
		t.Errorf("not as it was: %s", parted(now, want))
	}
	if info, err := os.Stat(base + "/swtok/sub"); err != nil || info.Mode().Perm() != 0o750 {
		t.Error(info, err)
	}
}

// Another token, a wrong PIN, nothing there: refused.
func TestMendRefused(t *testing.T) {
	const (
		tok    = fixtureDir + "/swtok-old-small"
		newTok = fixtureDir + "/swtok-new-small"
	)
	wrong := backends.Logins{User: []byte("00000000")}
	// A token whose PINs and master key are others, so that nothing shows that it
	// is not the archive's, has a damaged public object of a name of the archive's.
	changed := backends.Logins{User: []byte("11112222")}
	twins := stand(t, pinsDir+"/swtok-old", pinsDir+"/swtok-old-userpin-changed", pinsDir+"/swtok-old-sopin-changed")
	rewrite(t, twins+"/swtok/TOK_OBJ/00000000", cut(20))
	for name, c := range map[string]struct {
		base string
		from string
		o    backends.RestoreOptions
		err  error
	}{
		"another format":      {stand(t, newTok), tok, backends.RestoreOptions{}, backends.ErrOther},
		"another master key":  {stand(t, pinsDir+"/swtok-old"), tok, backends.RestoreOptions{}, backends.ErrOther},
		"perhaps another":     {twins, tok, backends.RestoreOptions{}, backends.ErrUnknown},
		"a PIN shows nothing": {twins, tok, backends.RestoreOptions{Logins: changed}, backends.ErrUnknown},
		"a wrong PIN":         {stand(t, tok), tok, backends.RestoreOptions{Logins: wrong}, backends.ErrPIN},
		"no token":            {stand(t), tok, backends.RestoreOptions{}, backends.ErrNoToken},
	} {
		t.Run(name, func(t *testing.T) {
			before := files(t, c.base)
			if _, err := mendToken(t, c.base, c.from, c.o); !errors.Is(err, c.err) {
				t.Errorf("%v, want %v", err, c.err)
			}
			if !maps.Equal(before, files(t, c.base)) {
				t.Error("touched")
			}
		})
	}
}

// An object that changes between judging and the swap stops the run.
func TestMendMeanwhile(t *testing.T) {
	const tok = fixtureDir + "/swtok-old-small"
	ctx := context.Background()
	base := stand(t, tok)
	rewrite(t, base+"/swtok/TOK_OBJ/00000000", cut(20))
	info, records := readToken(t, tok)
	info.Name = format.NameOf("swtok")
	s, err := Backend{}.Restore(ctx, base, info, backends.RestoreOptions{Mend: true, InUse: true})
	check(t, err)
	defer s.Close()
	for _, r := range records {
		check(t, s.Put(ctx, []*format.Record{r}))
		check(t, s.Order(r, false))
	}
	_, err = s.Finish(ctx)
	check(t, err)
	rewrite(t, base+"/swtok/TOK_OBJ/00000000", func([]byte) []byte { return read(t, tok, "TOK_OBJ/00000000") })
	if _, err := s.Commit(ctx); !errors.Is(err, backends.ErrInUse) {
		t.Error(err)
	}
}

// What an index lost comes back: of the archive's objects and of those that were
// added since, and a link in an object's place gives way to the object.
func TestMendIndex(t *testing.T) {
	const tok = fixtureDir + "/swtok-old-small"
	names := strings.Fields(string(read(t, tok, indexPath)))
	added := func(base string) {
		b := read(t, tok, "TOK_OBJ/"+names[0])
		check(t, os.WriteFile(base+"/swtok/TOK_OBJ/H0000000", bytes.Replace(b, []byte(names[0]), []byte("H0000000"), 1), 0o660))
	}
	for name, c := range map[string]struct {
		change func(base string)
		more   string // at the end of the index, beyond the archive's
	}{
		"cut in a line": {func(base string) {
			added(base)
			rewrite(t, base+"/swtok/"+indexPath, cut(40))
		}, "H0000000\n"},
		"of no bytes": {func(base string) {
			added(base)
			rewrite(t, base+"/swtok/"+indexPath, cut(0))
		}, "H0000000\n"},
		"gone, with an object": {func(base string) {
			check(t, os.Remove(base+"/swtok/"+indexPath))
			check(t, os.Remove(base+"/swtok/TOK_OBJ/"+names[3]))
		}, ""},
		"a link for an object": {func(base string) {
			path := base + "/swtok/TOK_OBJ/" + names[1]
			check(t, os.Rename(path, base+"/swtok/aside"))
			check(t, os.Symlink("../aside", path))
			check(t, os.Remove(base+"/swtok/aside"))
		}, ""},
		"no TOK_OBJ": {func(base string) { check(t, os.RemoveAll(base+"/swtok/TOK_OBJ")) }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			base := stand(t, tok)
			c.change(base)
			got, err := mendToken(t, base, tok, backends.RestoreOptions{})
			check(t, err)
			if len(got.found) > 0 || len(got.Entries) == 0 {
				t.Errorf("told: %v", got)
			}
			now, want := files(t, base+"/swtok"), files(t, tok)
			want[indexPath] += c.more
			if c.more != "" {
				want["TOK_OBJ/H0000000"] = now["TOK_OBJ/H0000000"]
				now[nvtokName], want[nvtokName] = "", "" // its next name is later
			}
			if !maps.Equal(now, want) {
				t.Errorf("not as it was: %s\n%q", parted(now, want), now[indexPath])
			}
		})
	}
}

// A token without objects, one that was emptied on purpose, and a TPM token.
func TestMendOthers(t *testing.T) {
	const tok, tpm = fixtureDir + "/swtok-old-small", fixtureDir + "/tpmtok-old"
	base := stand(t, tok)
	for _, e := range list(t, base+"/swtok/TOK_OBJ") {
		check(t, os.Remove(base+"/swtok/TOK_OBJ/"+e))
	}
	before := stats(t, base+"/swtok")
	got, err := mendToken(t, base, tok, backends.RestoreOptions{})
	check(t, err)
	if len(got.Entries) > 0 || len(got.found) > 0 || len(got.Deleted) != 17 || !maps.Equal(before, stats(t, base+"/swtok")) {
		t.Errorf("emptied: %v", got)
	}

	base = stand(t, tpm)
	private := newPrivate(t, tpm)
	rewrite(t, base+"/swtok/TOK_OBJ/"+private, flip(60, 1))
	rewrite(t, base+"/swtok/NVTOK.DAT", cut(100))
	got, err = mendToken(t, base, tpm, backends.RestoreOptions{})
	check(t, err)
	if len(got.Entries) != 2 || len(got.found) > 0 {
		t.Errorf("TPM: %v", got)
	}
	if now := files(t, base+"/swtok"); !maps.Equal(now, files(t, tpm)) {
		t.Errorf("TPM: %s", parted(now, files(t, tpm)))
	}
}
