package main_test

import (
	"context"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tokar/backends"
	"tokar/backends/all"
	"tokar/format"
	"tokar/format/keyslot"
	"tokar/stages"
)

// hostileBackend archives one token that no directory could hold.
type hostileBackend struct {
	backends.Backend // openCryptoki's, which judges the bytes
	token            *hostileToken
}

func (b hostileBackend) Open(context.Context, backends.Location) (backends.Token, error) {
	return b.token, nil
}

type hostileToken struct {
	info    format.Token
	entries []backends.Entry
}

func (h *hostileToken) Info() *format.Token { return &h.info }
func (h *hostileToken) Close() error        { return nil }

func (h *hostileToken) Entries(context.Context) iter.Seq2[backends.Entry, error] {
	return func(yield func(backends.Entry, error) bool) {
		for _, e := range h.entries {
			if !yield(e, nil) {
				return
			}
		}
	}
}

func (h *hostileToken) Read(_ context.Context, _ *backends.Entry, r *format.Record, _ []byte) error {
	r.Data = []byte("what a hostile archive writes\n")
	return nil
}

// A hostileName is one in an otherwise harmless token.
type hostileName struct {
	kind format.Kind // KindToken: the token's own; 0: of one of its directories
	name string      // components with slashes; what the format itself refuses is in stages' vectors
	exit int
}

// Exit codes: the files hold no objects, which is a finding of each that is
// restored.
const (
	harmless = 1
	clashes  = 3 // with another name in the token
	noName   = 7 // that such a token has
)

func hostileNames() (all []hostileName) {
	add := func(exit int, kind format.Kind, names ...string) {
		for _, n := range names {
			all = append(all, hostileName{kind, n, exit})
		}
	}
	add(noName, format.KindToken, "HSM_MK_CHANGE", "swtok.tokar-old", ".swtok.tokar-new", ".swtok.tokar-new.tokar-new", "swtok_BAK",
		"swtok_PKCSTOK_MIGRATE_TMP", "tpm/HSM_MK_CHANGE", "swtok.tokar-old/x", "a/b/c/d/e", "swtok/TOK_OBJ/x", "tpm/TOK_OBJ", strings.Repeat("x", 201))
	add(noName, format.KindObject, "OBJ.IDX", "NVTOK.DAT", "MK_SO", "1000000", "100000000", "1000000\n", "1000000\x1b", "1000000 ",
		"100000.0", "\xff000000", "TOK_OBJ/10000000", "x/10000000", strings.Repeat("x", 255), "journal", ".tokar-x")
	add(noName, format.KindState, "OBJ.IDX", "TOK_OBJ", "NVTOK.DAT.TMP", "nvtok.dat", "NVTOK.DAT\n", "TOK_OBJ/MK_PRIVATE",
		"TOK_OBJ/x.pem", "x/NVTOK.DAT", "a/b/MK_PRIVATE", ".pem", "10000000")
	add(noName, format.KindIndex, "OBJ.IDX", "TOK_OBJ/OBJ.IDX.TMP", "TOK_OBJ/obj.idx", "TOK_OBJ/x/OBJ.IDX", "NVTOK.DAT", "10000000")
	add(noName, format.KindForeign, "NVTOK.DAT", "MK_SO", "MK_USER", "TOK_OBJ", "TOK_OBJ/OBJ.IDX", "TOK_OBJ/10000000", "a/b/c/d/e")
	add(noName, 0, "a/b/c/d/e", "NVTOK.DAT")
	add(clashes, format.KindForeign, "NVTOK.DAT/x")
	add(harmless, format.KindToken, "token\x1b[2J", strings.Repeat("x", 200), "tpm/user")
	add(harmless, format.KindForeign, "notes\r\n", "journal", "new/old", "TOK_OBJ/.tokar-new", "MK_SO/x", "TOK_OBJ/10000000/x", strings.Repeat("x", 255))
	add(harmless, 0, "TOK_OBJ/x", "TOK_OBJ/10000000", "MK_SO")
	return all
}

// TestHostileNames restores archives in which one name is no such token's. They
// are refused before anything has its name, and nothing outside the directory
// is so much as looked at.
func TestHostileNames(t *testing.T) {
	if testing.Short() {
		t.Skip("runs a tokar of its own, so that -short has nothing new")
	}
	r := newRig(t)
	names := hostileNames()
	for _, h := range names {
		home := t.TempDir()
		dir, archive := filepath.Join(home, "restored"), filepath.Join(home, "archive")
		r.hostileArchive(t, archive, h)
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		o := newCanary(t, filepath.Join(home, "10000")).quiet(t, r, "extract", "-q", "--damaged", "-i", r.key, "-f", archive, "-C", dir)
		if names, err := os.ReadDir(home); err != nil || len(names) != 3 {
			t.Errorf("%s %q: outside stand %v, %v", h.kind, h.name, names, err)
		}
		want := 0
		if h.exit == harmless {
			want = 1
		}
		if got, _ := os.ReadDir(dir); o.Exit != h.exit || len(got) != want {
			t.Errorf("%s %q: exit code %d, want %d; %v: %s", h.kind, h.name, o.Exit, h.exit, got, o.stderr)
		}
	}
	t.Logf("counted: %d names", len(names))
}

// hostileArchive makes an archive of a token with the name in its place.
func (r *rig) hostileArchive(t *testing.T, path string, h hostileName) {
	t.Helper()
	name, _ := format.ParseName(h.name)
	tok := &hostileToken{info: format.Token{Name: format.NameOf("swtok"), Kind: "opencryptoki"}}
	tok.info.Directories = []format.Directory{{}, {Name: format.NameOf("TOK_OBJ")}}
	tok.entries = []backends.Entry{{Kind: format.KindState, Name: format.NameOf("NVTOK.DAT")}, {Kind: format.KindObject, Name: format.NameOf("00000000")}}
	switch h.kind {
	case format.KindToken:
		tok.info.Name = name
	case 0:
		tok.info.Directories = append(tok.info.Directories, format.Directory{Name: name})
	default:
		tok.entries = append(tok.entries, backends.Entry{Kind: h.kind, Name: name})
	}
	for i := range tok.entries {
		tok.entries[i].Place = uint64(i)
	}
	kind, err := all.ByKind("opencryptoki")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(r.key + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	to, err := keyslot.ParseRecipients(strings.NewReader(string(text)), r.key, nil)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	_, err = stages.Archive(t.Context(), f, []stages.Input{{Backend: hostileBackend{kind, tok}, Location: backends.Location{Name: tok.info.Name}}}, stages.ArchiveOptions{
		Slots:   keyslot.Recipients{Restore: to}.Wrap,
		Codec:   format.CodecZstd,
		Made:    time.Now(),
		Problem: func(p stages.Problem) { t.Error(p.Location.Path, p.Err) },
	})
	if err != nil {
		t.Fatalf("%s %q cannot be archived: %v", h.kind, h.name, err)
	}
}
