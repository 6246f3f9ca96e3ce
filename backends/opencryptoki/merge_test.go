package opencryptoki

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"tokar/backends"
	"tokar/backends/opencryptoki/tokendata"
	"tokar/format"
)

func TestMergeIndex(t *testing.T) {
	lines := func(s string) []byte {
		var b []byte
		for _, c := range s {
			b = append(b, strings.Repeat(string(c), 8)+"\n"...)
		}
		return b
	}
	for _, c := range []struct{ today, archived, wanted, want string }{
		{"ABC", "ABC", "", "ABC"},
		{"ABC", "ABC", "B", "ABC"},
		{"AC", "ABC", "B", "ABC"},
		{"BC", "ABC", "A", "ABC"},
		{"AB", "ABC", "C", "ABC"},
		{"ABX", "ABC", "C", "ABCX"},
		{"XCY", "ABC", "AB", "XABCY"},
		{"", "ABC", "AC", "AC"},
		{"XY", "ABC", "AC", "XYAC"},
		{"CA", "ABC", "B", "CAB"},
		{"AD", "ABCD", "BC", "ABCD"},
		{"AD", "ABCD", "C", "ACD"},
	} {
		got := mergeIndex(lines(c.today), lines(c.archived), func(name []byte) bool { return strings.ContainsRune(c.wanted, rune(name[0])) })
		if !bytes.Equal(got, lines(c.want)) {
			t.Errorf("%s with %s of %s: %q, want %s", c.today, c.wanted, c.archived, got, c.want)
		}
	}
	cut := bytes.TrimSuffix(lines("AB"), []byte{'\n'})
	odd := append([]byte("garbage\n\n"), cut...)
	got := mergeIndex(odd, lines("ABC"), func(name []byte) bool { return name[0] == 'C' })
	if want := "garbage\n\n" + string(lines("ABC")); string(got) != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestNextName(t *testing.T) {
	for _, c := range []struct {
		next string
		came []string
		want string
	}{
		{"50000000", []string{"40000000"}, "50000000"},
		{"50000000", []string{"50000000"}, "60000000"},
		{"50000000", []string{"Z0000000", "90000000", "10000000"}, "01000000"},
		{"50000000", []string{"91000000", "Z0000000"}, "A1000000"},
		{"01000000", []string{"Z0000000"}, "01000000"},
		{"50000000", []string{"OBabcdef"}, "50000000"},
		{"\x00\x00\x00\x00\x00\x00\x00\x00", []string{"50000000"}, "\x00\x00\x00\x00\x00\x00\x00\x00"},
	} {
		nv := make([]byte, tokendata.NVTOKOld)
		copy(nv[tokendata.AtNextName:], c.next)
		var came []uint64
		for _, n := range c.came {
			came = append(came, objectKey([]byte(n)))
		}
		changed := raiseNext(nv, came)
		if got := string(nv[tokendata.AtNextName:tokendata.AtTweaks]); got != c.want || changed != (c.want != c.next) {
			t.Errorf("%q after %q: %q, changed %v, want %q", c.next, c.came, got, changed, c.want)
		}
	}
}

// What no object can be put beside is refused before anything starts.
func TestMergeRefused(t *testing.T) {
	for what, change := range map[string]func(base string){
		"a directory among objects": func(base string) { check(t, os.Mkdir(base+"/swtok/TOK_OBJ/sub", 0o770)) },
		"a link for TOK_OBJ": func(base string) {
			check(t, os.Rename(base+"/swtok/TOK_OBJ", base+"/away"))
			check(t, os.Symlink("../away", base+"/swtok/TOK_OBJ"))
		},
	} {
		base := stand(t, fixtureDir+"/swtok-old-small")
		check(t, os.Remove(base+"/swtok/TOK_OBJ/"+single))
		change(base)
		info, records := readToken(t, fixtureDir+"/swtok-old-small")
		info.Name = format.NameOf("swtok")
		for _, dry := range []bool{true, false} {
			if _, _, err := put(t, base, info, records, backends.RestoreOptions{DryRun: dry}); err == nil || !strings.Contains(err.Error(), "move it away first") {
				t.Errorf("%s, dry run %v: %v", what, dry, err)
			}
		}
	}
}

// Single objects: what is there stays, in every respect.
func TestMerge(t *testing.T) {
	const tok = fixtureDir + "/swtok-old-small"
	one := backends.RestoreOptions{}
	over := backends.RestoreOptions{Overwrite: true}
	path := "TOK_OBJ/" + single
	unlist := func(base string) {
		rewrite(t, base+"/swtok/TOK_OBJ/OBJ.IDX", func(b []byte) []byte { return bytes.Replace(b, []byte(single+"\n"), nil, 1) })
	}
	for _, c := range []struct {
		name   string
		change func(base string)
		o      backends.RestoreOptions
		found  string
		put    bool // the object's file is another than before
		index  bool // and so is the index
	}{
		{"deleted", func(base string) { check(t, os.Remove(base+"/swtok/"+path)); unlist(base) }, one, "", true, true},
		{"lost", func(base string) { check(t, os.Remove(base+"/swtok/"+path)) }, one, "", true, false},
		{"unlisted", unlist, one, "", false, true},
		{"there", func(string) {}, one, "", false, false},
		{"there, overwrite", func(string) {}, over, "", false, false},
		{"other bytes", func(base string) {
			rewrite(t, base+"/swtok/"+path, func(b []byte) []byte { return append(b, 0) })
		}, one, backends.Exists, false, false},
		{"other bytes, overwrite", func(base string) {
			rewrite(t, base+"/swtok/"+path, func(b []byte) []byte { return append(b, 0) })
		}, over, "", true, false},
		{"no index", func(base string) { check(t, os.Remove(base+"/swtok/"+indexPath)) }, one, "", false, true},
		{"no directory", func(base string) { check(t, os.RemoveAll(base+"/swtok/TOK_OBJ")) }, one, "", true, true},
		{"next name behind", func(base string) {
			check(t, os.Remove(base+"/swtok/"+path))
			rewrite(t, base+"/swtok/NVTOK.DAT", func(b []byte) []byte { copy(b[tokendata.AtNextName:], "00000000"); return b })
		}, one, "", true, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			base := stand(t, tok)
			check(t, os.WriteFile(base+"/swtok/TOK_OBJ/IDX.TMP", []byte("left by the library"), 0o600))
			check(t, unix.Mkfifo(base+"/swtok/TOK_OBJ/fifo", 0o600))
			c.change(base)
			if stat, err := os.Stat(base + "/swtok/TOK_OBJ"); err == nil && !stat.IsDir() {
				t.Fatal(stat)
			}
			before := stats(t, base+"/swtok")
			info, records := readToken(t, tok)
			info.Name = format.NameOf("swtok")
			found, _, err := put(t, base, info, records, c.o)
			check(t, err)
			var kinds []string
			for _, f := range found {
				kinds = append(kinds, f.Kind)
			}
			if got := strings.Join(kinds, " "); got != c.found {
				t.Errorf("findings %v, want %q", found, c.found)
			}
			after := stats(t, base+"/swtok")
			for _, name := range slices.Sorted(slices.Values(append(keys(before), keys(after)...))) {
				a, b := before[name], after[name]
				changed := a != b
				may := name == path && c.put || name == indexPath && c.index || name == nvtokName && c.name == "next name behind"
				if changed != may {
					t.Errorf("%s changed: %v; %+v, was %+v", name, changed, b, a)
				}
			}
			want := read(t, tok, path)
			if got := read(t, base+"/swtok", path); c.put && !bytes.Equal(got, want) {
				t.Error("it is not the archive's object")
			}
			if n := bytes.Count(read(t, base+"/swtok", indexPath), []byte(single+"\n")); n != 1 {
				t.Errorf("listed %d times", n)
			}
			if n := nextName(read(t, base+"/swtok", nvtokName)); c.name == "next name behind" && string(n) != "H0000000" {
				t.Errorf("next name %s", n)
			}
			if got := list(t, base); len(got) != 1 {
				t.Errorf("left behind: %q", got)
			}
		})
	}
}

// stat is a file's identity and what one can see of it; its links count, its
// time of status change does not.
type stat struct {
	ino, links uint64
	mode       uint32
	uid, gid   uint32
	mtime      int64
	size       int64
}

func stats(t *testing.T, root string) map[string]stat {
	t.Helper()
	all := map[string]stat{}
	for _, dir := range []string{"", "TOK_OBJ/"} {
		entries, _ := os.ReadDir(root + "/" + dir)
		for _, e := range entries {
			var st unix.Stat_t
			check(t, unix.Lstat(root+"/"+dir+e.Name(), &st))
			if e.IsDir() {
				continue
			}
			all[dir+e.Name()] = stat{st.Ino, uint64(st.Nlink), st.Mode, st.Uid, st.Gid, st.Mtim.Nano(), st.Size}
		}
	}
	return all
}

func keys(m map[string]stat) (names []string) {
	for name := range m {
		names = append(names, name)
	}
	return names
}

// A program that uses the token makes and deletes objects while one is restored.
func TestMergeMeanwhile(t *testing.T) {
	const tok = fixtureDir + "/swtok-old-small"
	ctx := context.Background()
	for name, c := range map[string]struct {
		change func(base string)
		busy   bool
	}{
		"others": {func(base string) {
			check(t, os.WriteFile(base+"/swtok/TOK_OBJ/H0000000", []byte("made"), 0o660))
			check(t, os.Remove(base+"/swtok/TOK_OBJ/20000000"))
			rewrite(t, base+"/swtok/"+indexPath, func(b []byte) []byte {
				return append(bytes.Replace(b, []byte("20000000\n"), nil, 1), "H0000000\n"...)
			})
		}, false},
		"the same": {func(base string) {
			check(t, os.WriteFile(base+"/swtok/TOK_OBJ/"+single, []byte("made"), 0o660))
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			base := stand(t, tok)
			check(t, os.Remove(base+"/swtok/TOK_OBJ/"+single))
			info, records := readToken(t, tok)
			info.Name = format.NameOf("swtok")
			s, err := Backend{}.Restore(ctx, base, info, backends.RestoreOptions{InUse: true})
			check(t, err)
			defer s.Close()
			for _, r := range records {
				if string(r.Name) == single {
					check(t, s.Put(ctx, []*format.Record{r}))
				}
				check(t, s.Order(r, string(r.Name) != single))
			}
			_, err = s.Finish(ctx)
			check(t, err)
			c.change(base)
			want := files(t, base+"/swtok")
			if _, err = s.Commit(ctx); errors.Is(err, backends.ErrInUse) != c.busy || !c.busy && err != nil {
				t.Fatal(err)
			}
			if !c.busy {
				want["TOK_OBJ/"+single] = string(read(t, tok, "TOK_OBJ/"+single))
			}
			if got := files(t, base+"/swtok"); !maps.Equal(got, want) {
				t.Errorf("%d files, want %d", len(got), len(want))
			}
		})
	}
}

// What is no object does not go into a token that is there by itself.
func TestMergeState(t *testing.T) {
	const tok = fixtureDir + "/swtok-old-small"
	base := stand(t, tok)
	info, records := readToken(t, tok)
	info.Name = format.NameOf("swtok")
	before := stats(t, base+"/swtok")
	for _, kind := range []format.Kind{format.KindState, format.KindIndex} {
		s, err := Backend{}.Restore(context.Background(), base, info, backends.RestoreOptions{})
		check(t, err)
		for _, r := range records {
			if r.Kind != kind {
				continue
			}
			if err := s.Put(context.Background(), []*format.Record{r}); err == nil || !strings.Contains(err.Error(), "only objects are put into a token that is there") {
				t.Errorf("%s: %v", r.Name, err)
			}
		}
		check(t, s.Close())
	}
	for name, b := range stats(t, base+"/swtok") {
		if before[name] != b {
			t.Errorf("%s changed", name)
		}
	}
}
