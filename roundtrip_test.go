package main_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"tokar/backends/all"
	"tokar/format"
	"tokar/format/keyslot"
	"tokar/stages"
)

// fixtureTokens lists real tokens: the small selection in testdata and, where
// the project stands beside them, all that were ever made for it.
func fixtureTokens(t *testing.T) map[string]string {
	t.Helper()
	tokens := map[string]string{}
	for _, root := range []string{"testdata/opencryptoki", "../shared/fixtures/opencryptoki", "../shared/fixtures/ep11"} {
		found, _ := filepath.Glob(filepath.Join(root, "*", "NVTOK.DAT"))
		for _, f := range found {
			tokens[filepath.Base(filepath.Dir(f))] = filepath.Dir(f)
		}
	}
	if len(tokens) < 6 {
		t.Fatalf("only %d tokens", len(tokens))
	}
	return tokens
}

// place copies a fixture, which git has robbed of modes and times, and gives
// it those of a live one: group 993, some files differ, times with nanoseconds.
func place(t *testing.T, from, to string) {
	t.Helper()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	n := 0
	var all []string
	err := filepath.WalkDir(to, func(path string, d fs.DirEntry, err error) error {
		all = append(all, path)
		n++
		mode := os.FileMode(0o660)
		switch {
		case d.IsDir():
			mode = 0o770
		case n%5 == 0:
			mode = 0o600
		}
		if os.Geteuid() == 0 {
			if err := os.Lchown(path, n%3, 993); err != nil {
				return err
			}
		}
		return os.Chmod(path, mode)
	})
	if err != nil {
		t.Fatal(err)
	}
	for i := len(all) - 1; i >= 0; i-- {
		when := time.Unix(1600000000+int64(i)*86400, int64(i)*1234567%1e9)
		if err := os.Chtimes(all[i], when, when); err != nil {
			t.Fatal(err)
		}
	}
}

// tree describes a directory: every file's bytes, mode, owner and time.
func tree(t *testing.T, root string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		st := info.Sys().(*syscall.Stat_t)
		rel, _ := filepath.Rel(root, path)
		fmt.Fprintf(&b, "%s %s %d:%d %s", rel, info.Mode(), st.Uid, st.Gid, info.ModTime().UTC().Format(time.RFC3339Nano))
		if d.Type().IsRegular() {
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			fmt.Fprintf(&b, " %x", data)
		}
		b.WriteByte('\n')
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// roundTrip archives tokens as one stream and restores it below dir. It gives
// what both ways reported.
func roundTrip(t *testing.T, dir string, paths ...string) (findings []string) {
	t.Helper()
	var inputs []stages.Input
	for _, p := range paths {
		for _, b := range all.Backends() {
			found, err := b.Find(t.Context(), p)
			if err != nil {
				t.Fatal(err)
			}
			for _, loc := range found.Tokens {
				inputs = append(inputs, stages.Input{Backend: b, Location: loc})
			}
		}
	}
	if len(inputs) == 0 {
		t.Fatalf("no token in %v", paths)
	}
	secret := func() ([]byte, error) { return []byte("correct horse"), nil }
	pass := keyslot.NewPassphrase(secret)
	pass.Cost = 100_000
	each := func(tok *format.Token, r *format.Record) {
		for _, f := range r.Details.Findings {
			findings = append(findings, fmt.Sprintf("%s: %s", tok.Name, f.Message))
		}
	}
	r, w := io.Pipe()
	go func() {
		_, err := stages.Archive(context.Background(), w, inputs, stages.ArchiveOptions{
			Slots:   keyslot.Recipients{Restore: []format.Recipient{pass}}.Wrap,
			Codec:   format.CodecZstd,
			Made:    time.Now(),
			Each:    each,
			Problem: func(p stages.Problem) { t.Error(p.Location.Path, p.Err) },
		})
		w.CloseWithError(err)
	}()
	_, err := stages.Extract(t.Context(), r, stages.ExtractOptions{
		OpenOptions: stages.OpenOptions{Identities: []format.Identity{keyslot.NewPassphrase(secret)}},
		Backend:     all.ByKind,
		Place:       func(*format.Token) stages.Place { return stages.Place{Dir: dir, Wanted: true, Whole: true} },
		Select:      func(*format.Token, *format.Record) bool { return true },
		Finding: func(tok *format.Token, f format.Finding) {
			findings = append(findings, fmt.Sprintf("%s: %s", tok.Name, f.Message))
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return findings
}

func TestFixturesRoundTrip(t *testing.T) {
	tokens := fixtureTokens(t)
	base, restored := t.TempDir(), t.TempDir()
	for name, from := range tokens {
		place(t, from, filepath.Join(base, name))
	}
	same := func(t *testing.T, restored string) {
		for name := range tokens {
			before, after := tree(t, filepath.Join(base, name)), tree(t, filepath.Join(restored, name))
			if before != after {
				t.Errorf("%s came back otherwise:\n%s\nwas\n%s", name, clip(after), clip(before))
			}
		}
	}
	t.Run("each", func(t *testing.T) {
		for name := range tokens {
			if findings := roundTrip(t, restored, filepath.Join(base, name)); len(findings) > 0 {
				t.Errorf("%s: %v", name, findings)
			}
		}
		same(t, restored)
	})
	t.Run("all in one stream", func(t *testing.T) {
		restored := t.TempDir()
		if findings := roundTrip(t, restored, base); len(findings) > 0 {
			t.Error(findings)
		}
		same(t, restored)
	})
	t.Logf("%d tokens", len(tokens))
}

func clip(s string) string { return s[:min(len(s), 2000)] }

// What extract makes is again a token of the same name, and archives to the
// same records.
func TestRestoredTokenIsFound(t *testing.T) {
	base, restored := t.TempDir(), t.TempDir()
	place(t, "testdata/opencryptoki/tpmtok-old", filepath.Join(base, "tpm"))
	roundTrip(t, restored, base)
	found := 0
	for _, b := range all.Backends() {
		before, err1 := b.Find(t.Context(), base)
		after, err2 := b.Find(t.Context(), restored)
		if err1 != nil || err2 != nil || len(before.Tokens) != len(after.Tokens) {
			t.Fatalf("%v %v: %d tokens before, %d after", err1, err2, len(before.Tokens), len(after.Tokens))
		}
		for i := range before.Tokens {
			if !bytes.Equal(before.Tokens[i].Name, after.Tokens[i].Name) {
				t.Errorf("%s became %s", before.Tokens[i].Name, after.Tokens[i].Name)
			}
		}
		found += len(after.Tokens)
	}
	if found == 0 {
		t.Error("no backend finds a token")
	}
}
