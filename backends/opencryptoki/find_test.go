package opencryptoki

import (
	"context"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"tokar/backends"
	"tokar/backends/opencryptoki/tokendata"
	"tokar/format"
)

// base makes a base directory as a machine has it after some years.
func base(t *testing.T) string {
	dir := t.TempDir()
	old := filepath.Join(fixtureDir, "swtok-old-small")
	for _, name := range []string{"swtok", "swtok_BAK", "swtok_PKCSTOK_MIGRATE_TMP", "lite.tokar-old", ".lite.tokar-new"} {
		copyToken(t, old, filepath.Join(dir, name))
	}
	tpm := filepath.Join(dir, tpmBase)
	copyToken(t, filepath.Join(fixtureDir, "tpmtok-old"), filepath.Join(tpm, "anna"))
	copyToken(t, filepath.Join(fixtureDir, "tpmtok-old"), filepath.Join(tpm, "root"))
	check(t, os.Mkdir(filepath.Join(tpm, "empty"), 0o700))
	check(t, os.Mkdir(filepath.Join(dir, masterState), 0o770))
	check(t, os.Mkdir(filepath.Join(dir, "ccatok"), 0o770))
	check(t, os.Symlink("swtok", filepath.Join(dir, "link")))
	check(t, os.WriteFile(filepath.Join(dir, "file"), nil, 0o660))
	return dir
}

func find(t *testing.T, path string) (names, passed []string) {
	t.Helper()
	found, err := Backend{}.Find(context.Background(), path)
	check(t, err)
	for _, l := range found.Tokens {
		names = append(names, l.Name.String())
	}
	for _, p := range found.Passed {
		if p.Reason == "" {
			t.Errorf("%s passed without a reason", p.Path)
		}
		passed = append(passed, filepath.Base(p.Path))
	}
	slices.Sort(passed)
	return names, passed
}

func TestFind(t *testing.T) {
	dir := base(t)
	names, passed := find(t, dir)
	if want := []string{"swtok", "tpm/anna", "tpm/root"}; !slices.Equal(names, want) {
		t.Errorf("tokens %q, want %q", names, want)
	}
	want := []string{".lite.tokar-new", masterState, "ccatok", "empty", "file", "link", "lite.tokar-old", "swtok_BAK", "swtok_PKCSTOK_MIGRATE_TMP"}
	slices.Sort(want)
	if !slices.Equal(passed, want) {
		t.Errorf("passed %q, want %q", passed, want)
	}
	for path, want := range map[string][]string{
		"swtok":     {"swtok"},
		"link":      {"link"},
		"tpm":       {"tpm/anna", "tpm/root"},
		"tpm/root":  {"tpm/root"},
		"swtok_BAK": nil,
		"ccatok":    nil,
		"file":      nil,
	} {
		if names, _ := find(t, filepath.Join(dir, path)); !slices.Equal(names, want) {
			t.Errorf("%s: tokens %q, want %q", path, names, want)
		}
	}
	if _, err := (Backend{}).Find(context.Background(), filepath.Join(dir, "nothing")); err == nil {
		t.Error("a path that is not there is found")
	}
}

// A directory that a link replaces after Find saw it is not opened: a member
// of the token's group could have root archive any directory by it.
func TestFindThenLink(t *testing.T) {
	for _, c := range []struct{ operand, swapped, token string }{
		{".", "swtok", "swtok"},
		{"swtok", "swtok", "swtok"},
		{"swtok/", "swtok", "swtok"},
		{".", "tpm/anna", "tpm/anna"},
		{".", "tpm", "tpm/anna"},
		{"tpm", "tpm", "tpm/anna"},
		{"tpm", "tpm/anna", "tpm/anna"},
		{"link", "", "link"},
		{".", "", "tpm/root"},
	} {
		dir := base(t)
		found, err := Backend{}.Find(context.Background(), dir+"/"+c.operand)
		check(t, err)
		if c.swapped != "" {
			aside := filepath.Join(t.TempDir(), "aside")
			check(t, os.Rename(filepath.Join(dir, c.swapped), aside))
			check(t, os.Symlink(aside, filepath.Join(dir, c.swapped)))
		}
		i := slices.IndexFunc(found.Tokens, func(l backends.Location) bool { return l.Name.String() == c.token })
		tok, err := Backend{}.Open(context.Background(), found.Tokens[i])
		if (err == nil) != (c.swapped == "") {
			t.Errorf("%s found at %s, %q a link by then: %v", c.token, c.operand, c.swapped, err)
		}
		if err == nil {
			check(t, tok.Close())
		}
	}
}

// The layout of 3.8 to 3.11: state in tpm itself, PEM files in tpm/USER; after
// an upgrade a user may have a token there besides.
func TestFindOldTPM(t *testing.T) {
	dir := t.TempDir()
	copyToken(t, filepath.Join(fixtureDir, "tpmtok-old"), filepath.Join(dir, tpmBase))
	copyToken(t, filepath.Join(fixtureDir, "tpmtok-old"), filepath.Join(dir, tpmBase, "anna"))
	names, _ := find(t, dir)
	if want := []string{"tpm", "tpm/anna"}; !slices.Equal(names, want) {
		t.Fatalf("tokens %q, want %q", names, want)
	}
	_, records := readToken(t, filepath.Join(dir, tpmBase))
	pems := 0
	for _, r := range records {
		parts := r.Name.Components()
		if parts[0] == "anna" {
			t.Errorf("%s belongs to another token", r.Name)
		}
		if parts[0] == "root" && r.Kind == format.KindState {
			pems++
		}
	}
	if pems != 3 {
		t.Errorf("%d state files in root, want 3", pems)
	}
}

// An ICSF token has a slot record behind NVTOK.DAT.
func TestICSF(t *testing.T) {
	for _, name := range []string{"swtok-old-small", "swtok-new-small"} {
		dir := t.TempDir() + "/icsf"
		check(t, os.Mkdir(dir, 0o770))
		check(t, os.Mkdir(dir+"/TOK_OBJ", 0o770))
		nvtok := append(read(t, filepath.Join(fixtureDir, name), nvtokName), make([]byte, tokendata.ICSFRecord)...)
		check(t, os.WriteFile(dir+"/NVTOK.DAT", nvtok, 0o660))
		check(t, os.WriteFile(dir+"/RACF", []byte("password"), 0o660))
		info, records := readToken(t, dir)
		if info.Property(propVariant) != tokendata.ICSF || len(info.Notes) != 1 {
			t.Errorf("%+v", info)
		}
		for _, r := range records {
			if r.Kind != format.KindState || len(r.Details.Findings) > 0 {
				t.Errorf("%s: %s, %v", r.Name, r.Kind, r.Details.Findings)
			}
		}
	}
}

// What may be a token and is not archived is told from what surely is none:
// a link to a token, a token that lost NVTOK.DAT, one that a killed restore has
// in hand. Packages' empty directories are not.
func TestFindDoubts(t *testing.T) {
	base := t.TempDir()
	copyToken(t, filepath.Join(fixtureDir, "swtok-old-small"), filepath.Join(base, "lost"))
	check(t, os.Remove(filepath.Join(base, "lost", nvtokName)))
	check(t, os.Symlink("/var/lib/elsewhere", filepath.Join(base, "linked")))
	check(t, os.MkdirAll(filepath.Join(base, "ccatok", objectsName), 0o770))
	check(t, os.MkdirAll(filepath.Join(base, ".swtok.tokar-new", "old"), 0o770))
	found, err := Backend{}.Find(context.Background(), base)
	check(t, err)
	doubts := map[string]bool{}
	for _, p := range found.Passed {
		doubts[filepath.Base(p.Path)] = p.Hidden
	}
	if len(found.Tokens) != 0 || !maps.Equal(doubts, map[string]bool{"lost": true, "linked": true, "ccatok": false, ".swtok.tokar-new": true}) {
		t.Errorf("found %v, passed %v", found.Tokens, doubts)
	}
}
