package opencryptoki

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"tokar/backends"
	"tokar/backends/opencryptoki/tokendata"
	"tokar/format"
	"tokar/format/cryptoki"
)

// adoptInto moves all objects of archived into base/swtok.
func adoptInto(t *testing.T, base string, info *format.Token, records []*format.Record, o backends.RestoreOptions) (found []format.Finding, notes []string, err error) {
	t.Helper()
	ctx := context.Background()
	o.Into = true
	o.Note = func(m string) { notes = append(notes, m) }
	s, err := Backend{}.Restore(ctx, base, info, o)
	if err != nil {
		return nil, notes, err
	}
	defer func() {
		check(t, s.Close())
		if names := list(t, base); !slices.Equal(names, []string{"swtok"}) {
			t.Errorf("left behind: %q", names)
		}
	}()
	for _, r := range records {
		if r.Kind == format.KindObject || r.Kind == format.KindState || r.Kind == format.KindIndex {
			if err := s.Put(ctx, []*format.Record{r}); err != nil {
				return nil, notes, err
			}
		}
		check(t, s.Order(r, false))
	}
	if found, err = s.Finish(ctx); err != nil || o.DryRun {
		return found, notes, err
	}
	more, err := s.Commit(ctx)
	return append(found, more...), notes, err
}

// opened gives what each listed object of a token holds, in the order of its
// index: private ones under its master key.
func opened(t *testing.T, dir string) (objects [][]byte, names []string) {
	t.Helper()
	key, err := tokendata.User.Open(read(t, dir, nvtokName), read(t, dir, userKeyName), []byte("01234567"))
	check(t, err)
	info, _ := readToken(t, dir)
	for _, name := range strings.Fields(string(read(t, dir, indexPath))) {
		file := read(t, dir, "TOK_OBJ/"+name)
		h := tokendata.ParseObject(file, info.Property(propFormat))
		object := h.Body
		if h.Private {
			object, err = key.Open(file)
			check(t, err)
		}
		if inner := string(cryptoki.ObjectName(object)); inner != name {
			t.Errorf("%s has the name %s inside", name, inner)
		}
		if h.Private && h.Format == tokendata.New && !bytes.Equal(file[tokendata.AtIV:tokendata.AtIV+12], append([]byte(name), 0, 0, 0, 1)) {
			t.Errorf("%s: IV %x", name, file[tokendata.AtIV:tokendata.AtIV+12])
		}
		objects, names = append(objects, object), append(names, name)
	}
	return objects, names
}

// plain is an object without its name, in the byte order to.
func plain(t *testing.T, object []byte, to cryptoki.Order) string {
	t.Helper()
	turned, err := tokendata.Recode(object, to, to)
	check(t, err)
	turned = bytes.Clone(turned)
	clear(turned[8:cryptoki.ObjectHeader])
	return string(turned)
}

// Objects go from any token into any other: format, byte order, master key and
// names are then those of the token that took them, and what they hold is what
// they held. What was there stays.
func TestAdopt(t *testing.T) {
	dirs := map[string]string{
		"old": fixtureDir + "/swtok-old-small", "new": fixtureDir + "/swtok-new-small", "old again": pinsDir + "/swtok-old",
		"old, big-endian": fixtureDir + "/swtok-old-bigendian", "new, big-endian": fixtureDir + "/swtok-new-bigendian",
	}
	for _, c := range [][2]string{
		{"old", "new"}, {"new", "old"}, {"old", "old again"}, {"old again", "old"}, {"new", "new, big-endian"},
		{"old, big-endian", "new"}, {"new, big-endian", "old"}, {"old, big-endian", "old"},
	} {
		from, into := dirs[c[0]], dirs[c[1]]
		t.Run(c[0]+" into "+c[1], func(t *testing.T) {
			t.Parallel()
			base := stand(t, into)
			before, beforeNames := opened(t, into)
			came, cameNames := opened(t, from)
			info, records := readToken(t, from)
			info.Name = format.NameOf("swtok")
			user := backends.Logins{User: []byte("01234567")}
			o := backends.RestoreOptions{Logins: user, From: user}
			dry := o
			dry.DryRun = true
			found, _, err := adoptInto(t, base, info, records, dry)
			if err != nil || len(found) > 0 || !maps.Equal(files(t, base+"/swtok"), files(t, into)) {
				t.Fatalf("dry run: %v, %v", err, found)
			}
			found, notes, err := adoptInto(t, base, info, records, o)
			check(t, err)
			if len(found) > 0 {
				t.Errorf("found %v", found)
			}
			after, afterNames := opened(t, base+"/swtok")
			if !slices.Equal(afterNames[:len(beforeNames)], beforeNames) {
				t.Errorf("the index began with %q, now %q", beforeNames, afterNames)
			}
			for i := range before {
				if !bytes.Equal(before[i], after[i]) {
					t.Errorf("%s is another", beforeNames[i])
				}
			}
			order, _ := cryptoki.OrderOf(before[0])
			if len(after) != len(before)+len(came) {
				t.Fatalf("%d objects, want %d and %d: %q", len(after), len(before), len(came), notes)
			}
			for i := range came {
				got := after[len(before)+i]
				if o, ok := cryptoki.OrderOf(got); !ok || o != order {
					t.Errorf("%s is in the order %s", cameNames[i], o)
				}
				if plain(t, got, order) != plain(t, came[i], order) {
					t.Errorf("%s, now %s, holds something else", cameNames[i], afterNames[len(before)+i])
				}
				if !slices.Contains(beforeNames, cameNames[i]) && afterNames[len(before)+i] != cameNames[i] {
					t.Errorf("%s has lost its name without need", cameNames[i])
				}
			}
			_, after2 := readToken(t, base+"/swtok")
			for _, r := range after2 {
				for _, f := range r.Details.Findings {
					t.Errorf("afterwards: %+v", f)
				}
			}
			stood := stats(t, base+"/swtok")
			if _, notes, err := adoptInto(t, base, info, records, o); err != nil || !maps.Equal(stood, stats(t, base+"/swtok")) {
				t.Errorf("a second time: %v, %q", err, notes)
			}
		})
	}
}

// PINs that are missing or wrong, tokens that are not there: refused, and nothing
// is touched.
func TestAdoptRefused(t *testing.T) {
	const from, into = fixtureDir + "/swtok-old-small", fixtureDir + "/swtok-new-small"
	right, wrong := backends.Logins{User: []byte("01234567")}, backends.Logins{User: []byte("10000000")}
	for name, c := range map[string]struct {
		o    backends.RestoreOptions
		base string
		err  error
	}{
		"no PIN of the archive's":    {backends.RestoreOptions{Logins: right}, stand(t, into), backends.ErrNeedsPIN},
		"no PIN of the other":        {backends.RestoreOptions{From: right}, stand(t, into), backends.ErrNeedsPIN},
		"a wrong PIN of the archive": {backends.RestoreOptions{Logins: right, From: wrong}, stand(t, into), backends.ErrPIN},
		"a wrong PIN of the other":   {backends.RestoreOptions{Logins: wrong, From: right}, stand(t, into), backends.ErrPIN},
		"nothing there":              {backends.RestoreOptions{Logins: right, From: right}, stand(t), backends.ErrNoToken},
	} {
		t.Run(name, func(t *testing.T) {
			info, records := readToken(t, from)
			info.Name = format.NameOf("swtok")
			before := files(t, c.base)
			_, _, err := adoptInto(t, c.base, info, records, c.o)
			if !errors.Is(err, c.err) {
				t.Errorf("%v, want %v", err, c.err)
			}
			if !maps.Equal(before, files(t, c.base)) {
				t.Error("touched")
			}
		})
	}
}

// Into a TPM token private objects go under its key of zeros; the objects in
// which one keeps its PINs stay where they are.
func TestAdoptTPM(t *testing.T) {
	const soft, tpm = fixtureDir + "/swtok-old-small", fixtureDir + "/tpmtok-old"
	user := backends.Logins{User: []byte("01234567")}
	base := stand(t, tpm)
	info, records := readToken(t, soft)
	info.Name = format.NameOf("swtok")
	_, _, err := adoptInto(t, base, info, records, backends.RestoreOptions{From: user})
	check(t, err)
	zero := tokendata.ZeroKey(tokendata.Old)
	n := 0
	for _, name := range strings.Fields(string(read(t, base+"/swtok", indexPath))) {
		if file := read(t, base+"/swtok", "TOK_OBJ/"+name); file[tokendata.AtPrivate] == 1 {
			n++
			_, err := zero.Open(file)
			check(t, err)
		}
	}
	if n < 5 {
		t.Errorf("%d private objects", n)
	}
	base = stand(t, soft)
	info, records = readToken(t, tpm)
	info.Name = format.NameOf("swtok")
	before := len(files(t, base+"/swtok"))
	found, notes, err := adoptInto(t, base, info, records, backends.RestoreOptions{Logins: user})
	check(t, err)
	if after := len(files(t, base+"/swtok")); after <= before || !strings.Contains(strings.Join(notes, "\n"), "hold its PINs, stay behind") {
		t.Errorf("%d files, were %d; found %v, notes %q", after, before, found, notes)
	}
}

// A superseded object leaves nothing behind, nor does one that vanished.
func TestAdoptSuperseded(t *testing.T) {
	const from, into = fixtureDir + "/swtok-old-small", fixtureDir + "/swtok-new-small"
	user := backends.Logins{User: []byte("01234567")}
	base := stand(t, into)
	info, records := readToken(t, from)
	info.Name = format.NameOf("swtok")
	again := *records[len(records)-1]
	again.Supersedes = again.Seq
	gone := *records[len(records)-2]
	gone.Data, gone.Flags, gone.Supersedes = nil, gone.Flags|format.Vanished, gone.Seq
	before := len(files(t, base+"/swtok"))
	_, _, err := adoptInto(t, base, info, append(slices.Clone(records), &again, &gone), backends.RestoreOptions{Logins: user, From: user})
	check(t, err)
	n := 0
	for _, r := range records {
		if r.Kind == format.KindObject {
			n++
		}
	}
	if after := len(files(t, base+"/swtok")); after != before+n-1 {
		t.Errorf("%d files, want %d and %d", after, before, n-1)
	}
	if index := string(read(t, base+"/swtok", indexPath)); strings.Count(index, string(gone.Name)) != 0 {
		t.Errorf("%s is listed", gone.Name)
	}
}

// More objects than the library takes of a token are refused.
func TestAdoptTooMany(t *testing.T) {
	const from, into = fixtureDir + "/swtok-old-small", fixtureDir + "/swtok-new-small"
	base := stand(t, into)
	info, records := readToken(t, from)
	info.Name = format.NameOf("swtok")
	var public *format.Record
	for _, r := range records {
		if r.Kind == format.KindObject && r.Flags&format.Private == 0 {
			public = r
			break
		}
	}
	var many []*format.Record
	for i := range maxOfASort {
		r := *public
		name := fmt.Sprintf("ZZ%06d", i)
		r.Data = bytes.Replace(r.Data, public.Name, []byte(name), 1)
		r.Name, r.Seq = format.Name(name), uint64(len(many)+1)
		many = append(many, &r)
	}
	before := files(t, base+"/swtok")
	_, _, err := adoptInto(t, base, info, many, backends.RestoreOptions{})
	if err == nil || !strings.Contains(err.Error(), "the library takes 2048 of each") {
		t.Error(err)
	}
	if !maps.Equal(before, files(t, base+"/swtok")) {
		t.Error("touched")
	}
}
