package opencryptoki

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"tokar/backends"
	"tokar/format"
)

const tpmFixture = fixtureDir + "/tpmtok-old"

// usersTPM is a TPM token as releases since 3.12 have it, tpm/USER, or as those
// before, tpm with the PEM files in tpm/USER.
func usersTPM(t *testing.T, before bool) (dir, pems string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), tpmBase)
	if before {
		return copyToken(t, tpmFixture, dir), filepath.Join(dir, "root")
	}
	check(t, os.Mkdir(dir, 0o770))
	dir = copyToken(t, tpmFixture, filepath.Join(dir, "root"))
	for _, name := range []string{"MK_PRIVATE", "PUBLIC_ROOT_KEY.pem", "PRIVATE_ROOT_KEY.pem"} {
		check(t, os.Rename(filepath.Join(dir, "root", name), filepath.Join(dir, name)))
	}
	check(t, os.Remove(dir+"/root"))
	return dir, dir
}

func openAs(t *testing.T, dir string, r backends.Reading) backends.Token {
	t.Helper()
	found, err := Backend{}.Find(t.Context(), dir)
	check(t, err)
	loc := found.Tokens[0]
	loc.Reading = r
	tok, err := Backend{}.Open(t.Context(), loc)
	check(t, err)
	t.Cleanup(func() { tok.Close() })
	return tok
}

// records are a token's, as they are read.
func records(t *testing.T, tok backends.Token) (list []*format.Record) {
	t.Helper()
	for e, err := range tok.Entries(t.Context()) {
		check(t, err)
		r := newRecord(&e)
		check(t, tok.Read(t.Context(), &e, r, nil))
		list = append(list, r)
	}
	return list
}

// PEM files that are kept off the disk are told, and come from where they are as
// if they stood in the token.
func TestPEMDirectory(t *testing.T) {
	for _, before := range []bool{false, true} {
		for _, below := range []string{"", "root"} {
			dir, pems := usersTPM(t, before)
			want := files(t, dir)
			away := t.TempDir()
			check(t, os.MkdirAll(filepath.Join(away, below), 0o777))
			for _, h := range hierarchies {
				kept := filepath.Join(away, below, h.pem)
				check(t, os.Rename(filepath.Join(pems, h.pem), kept))
				check(t, os.Chmod(kept, 0o777)) // as on a medium without modes
			}
			without := openAs(t, dir, backends.Reading{})
			notes := strings.Join(without.Info().Notes, "; ")
			for _, h := range hierarchies {
				if !strings.Contains(notes, h.pem+" is not there") {
					t.Errorf("before 3.12 %v: %s is not missed: %q", before, h.pem, notes)
				}
			}
			tok := openAs(t, dir, backends.Reading{PEMs: away})
			if notes := tok.Info().Notes; len(notes) > 0 {
				t.Errorf("notes: %q", notes)
			}
			got := map[string]string{}
			for _, r := range records(t, tok) {
				got[entryPath(r.Kind, r.Name)] = string(r.Data)
				if strings.HasSuffix(r.Name.String(), pemSuffix) && (r.Details.Attr.Mode != 0o600 || r.Kind != format.KindState || len(r.Details.Findings) > 0) {
					t.Errorf("%s: mode %o, kind %v, %v", r.Name, r.Details.Attr.Mode, r.Kind, r.Details.Findings)
				}
			}
			for name := range want {
				if got[name] != want[name] {
					t.Errorf("before 3.12 %v, below %q: %s: %d bytes of %d", before, below, name, len(got[name]), len(want[name]))
				}
			}
		}
	}
}

// A PEM file that is older than the leaf key that a change of PIN made is told,
// and none of a token whose PIN is its first.
func TestPEMTimes(t *testing.T) {
	now := time.Now().Truncate(time.Second)
	for _, c := range []struct {
		name           string
		pem, pub, priv time.Duration // before now
		old            bool
	}{
		{"made", time.Hour, 59 * time.Minute, 59 * time.Minute, false},
		{"changed", 10 * time.Minute, time.Hour, 10*time.Minute + time.Second, false},
		{"changed without the file", time.Hour, time.Hour, 10 * time.Minute, true},
	} {
		dir, pems := usersTPM(t, true)
		set := func(path string, before time.Duration) { check(t, os.Chtimes(path, now, now.Add(-before))) }
		set(filepath.Join(pems, "PRIVATE_ROOT_KEY.pem"), c.pem)
		set(dir+"/TOK_OBJ/60000000", c.pub)
		set(dir+"/TOK_OBJ/70000000", c.priv)
		tok := openAs(t, dir, backends.Reading{})
		var old []string
		for _, r := range records(t, tok) {
			for _, f := range r.Details.Findings {
				old = append(old, f.Kind+" "+f.File)
			}
		}
		if want := []string{OldPEM + " root/PRIVATE_ROOT_KEY.pem"}; c.old != slices.Equal(old, want) || !c.old && len(old) > 0 {
			t.Errorf("%s: %q", c.name, old)
		}
		want := stampText(now.Add(-c.pem).UnixNano()) + "; user PIN " + stampText(now.Add(-c.priv).UnixNano())
		if got := tok.Info().Property("written root/PRIVATE_ROOT_KEY.pem"); got != want {
			t.Errorf("%s: recorded %q, not %q", c.name, got, want)
		}
	}
}

// With the PINs each PEM file is opened, and judged by the keys of the token.
func TestPEMsOpened(t *testing.T) {
	const so, user = "76543210", "01234567"
	otherPEM := func(from, to string) func(map[string][]byte) {
		return func(pems map[string][]byte) { pems["root/"+to] = pems["root/"+from] }
	}
	now := read(t, pinsDir+"/tpmtok-old-userpin-changed", "root/PRIVATE_ROOT_KEY.pem")
	for _, c := range []struct {
		name, so, user string
		change         func(map[string][]byte)
		want           []string
	}{
		{"right", so, user, nil, nil},
		{"no PIN", "", "", otherPEM("PUBLIC_ROOT_KEY.pem", "PRIVATE_ROOT_KEY.pem"), nil},
		{"user PIN alone", "", user, nil, nil},
		{"wrong", so, "99999999", nil, []string{"wrong"}},
		{"wrong, and the file is older than the PIN", so, "99999999", nil, []string{OldPEM + " root/PRIVATE_ROOT_KEY.pem"}},
		{"of after a change", so, "11112222", func(p map[string][]byte) { p["root/PRIVATE_ROOT_KEY.pem"] = now }, []string{OldPEM + " root/PRIVATE_ROOT_KEY.pem"}},
		{"the other's", so, so, otherPEM("PUBLIC_ROOT_KEY.pem", "PRIVATE_ROOT_KEY.pem"), []string{NoPEM + " root/PRIVATE_ROOT_KEY.pem"}},
		{"damaged", so, user, func(p map[string][]byte) { p["root/PUBLIC_ROOT_KEY.pem"] = []byte("-----BEGIN") }, []string{NoPEM + " root/PUBLIC_ROOT_KEY.pem"}},
	} {
		info, list := readToken(t, tpmFixture)
		pems := map[string][]byte{}
		for _, r := range list {
			if r.Kind == format.KindState {
				pems[r.Name.String()] = r.Data
			}
		}
		if c.change != nil {
			c.change(pems)
		}
		logins := backends.Logins{}
		if c.so != "" {
			logins.SO = []byte(c.so)
		}
		if c.user != "" {
			logins.User = []byte(c.user)
		}
		v := Backend{}.Unlock(info, logins)
		for _, r := range list {
			if r.Kind == format.KindState {
				r.Data = pems[r.Name.String()]
			}
			if strings.Contains(c.name, "older") && r.Name.String() == "root/PRIVATE_ROOT_KEY.pem" {
				r.Details.Findings = append(r.Details.Findings, finding(OldPEM, r.Name.String(), -1, "older"))
			}
			v.Learn(r)
		}
		for _, r := range list {
			v.Examine(r)
		}
		found, err := v.Close()
		var got []string
		if e := (*backends.PINError)(nil); errors.As(err, &e) && !e.SO && errors.Is(err, backends.ErrPIN) {
			got = append(got, "wrong")
		} else {
			check(t, err)
		}
		for _, f := range found {
			got = append(got, f.Kind+" "+f.File)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %v", c.name, found)
		}
	}
}
