// Package backendtest is the conformance suite of the contract in package
// backends: a new kind of token gets all of it with one call of Run.
package backendtest

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"tokar/backends"
	"tokar/format"
)

// Run checks a backend. makeToken makes a sound token with at least one object
// in a new place and gives its path.
func Run(t *testing.T, b backends.Backend, makeToken func(t *testing.T) string) {
	s := suite{b, makeToken}
	t.Run("ReadTwice", s.readTwice)
	t.Run("RoundTrip", s.roundTrip)
	t.Run("TargetExists", s.targetExists)
	t.Run("Busy", s.busy)
	t.Run("HostileNames", s.hostileNames)
	t.Run("Supersede", s.supersede)
	t.Run("CloseLeavesNothing", s.closeLeavesNothing)
	t.Run("Cancel", s.cancel)
	t.Run("ValidatorSurvives", s.validatorSurvives)
}

type suite struct {
	backends.Backend
	makeToken func(t *testing.T) string
}

// token is a token as it was read.
type token struct {
	info    *format.Token
	records []*format.Record
}

// open finds and opens the only token at path.
func (s suite) open(t *testing.T, path string) backends.Token {
	t.Helper()
	found, err := s.Find(context.Background(), path)
	check(t, err)
	if len(found.Tokens) != 1 || found.Tokens[0].Kind != s.Kind() {
		t.Fatalf("found at %s: %+v, want one token of kind %s", path, found, s.Kind())
	}
	check(t, found.Tokens[0].Name.Check())
	open, err := s.Open(context.Background(), found.Tokens[0])
	check(t, err)
	return open
}

// read reads a token with several goroutines, and validates it.
func (s suite) read(t *testing.T, path string) token {
	t.Helper()
	ctx := context.Background()
	open := s.open(t, path)
	defer func() { check(t, open.Close()) }()
	got := token{info: open.Info()}
	var entries []backends.Entry
	names := map[string]bool{}
	for e, err := range open.Entries(ctx) {
		check(t, err)
		check(t, e.Name.Check())
		if names[string(e.Name)] {
			t.Errorf("two entries named %s", e.Name)
		}
		names[string(e.Name)] = true
		r := &format.Record{}
		r.Reset()
		r.Kind, r.Flags, r.Name = e.Kind, e.Flags, e.Name
		if len(e.Findings) > 0 {
			t.Errorf("%s of a sound token: %v", e.Name, e.Findings)
		}
		entries, got.records = append(entries, e), append(got.records, r)
	}
	var wait sync.WaitGroup
	for worker := range 4 {
		wait.Go(func() {
			v, err := s.Validator(got.info)
			if err != nil {
				t.Error(err)
				return
			}
			for i := worker; i < len(entries); i += 4 {
				r := got.records[i]
				if err := open.Read(ctx, &entries[i], r, make([]byte, 1000)); err != nil {
					t.Error(err)
				}
				if _, found := v.Validate(r); len(found) > 0 {
					t.Errorf("%s of a sound token: %v", r.Name, found)
				}
			}
		})
	}
	wait.Wait()
	return got
}

// restore builds a token below dir, up to Finish.
func (s suite) restore(t *testing.T, dir string, tok token) backends.Staging {
	t.Helper()
	ctx := context.Background()
	staging, err := s.Restore(ctx, dir, tok.info, backends.RestoreOptions{Whole: true})
	check(t, err)
	var wait sync.WaitGroup
	for part := range slices.Chunk(tok.records, 1+len(tok.records)/3) {
		wait.Go(func() {
			if err := staging.Put(ctx, part); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	for _, r := range tok.records {
		check(t, staging.Order(r, false))
	}
	found, err := staging.Finish(ctx)
	check(t, err)
	if os.Geteuid() == 0 && len(found) > 0 {
		t.Errorf("findings on the restore of a sound token: %v", found)
	}
	return staging
}

func (s suite) readTwice(t *testing.T) {
	path := s.makeToken(t)
	same(t, s.read(t, path), s.read(t, path))
	open := s.open(t, path)
	defer open.Close()
	for e, err := range open.Entries(context.Background()) {
		check(t, err)
		check(t, open.Read(context.Background(), &e, &format.Record{}, nil))
	}
	if again, ok := open.(backends.Rechecker); ok {
		changed, stable, err := again.Recheck(context.Background())
		check(t, err)
		if !stable || len(changed) > 0 {
			t.Errorf("a token that nobody touched: stable %v, changed %v", stable, changed)
		}
	}
}

func (s suite) roundTrip(t *testing.T) {
	tok := s.read(t, s.makeToken(t))
	dir := t.TempDir()
	staging := s.restore(t, dir, tok)
	target := filepath.Join(append([]string{dir}, tok.info.Name.Components()...)...)
	if _, err := os.Lstat(target); err == nil {
		t.Error("it is in its place before Commit")
	}
	_, err := staging.Commit(context.Background())
	check(t, err)
	check(t, staging.Close())
	same(t, tok, s.read(t, target))
	only(t, dir, tok.info.Name.Components()[0])
}

// same compares two readings of a token.
func same(t *testing.T, a, b token) {
	t.Helper()
	if !bytes.Equal(a.info.Encode(), b.info.Encode()) && os.Geteuid() == 0 {
		t.Errorf("descriptors differ:\n%+v\n%+v", a.info, b.info)
	}
	if len(a.records) != len(b.records) {
		t.Fatalf("%d and %d entries", len(a.records), len(b.records))
	}
	for i, x := range a.records {
		y := b.records[i]
		if x.Kind != y.Kind || !bytes.Equal(x.Name, y.Name) || x.Flags != y.Flags || x.Class != y.Class || !bytes.Equal(x.Data, y.Data) {
			t.Errorf("entry %d: %s %s and %s %s differ", i, x.Kind, x.Name, y.Kind, y.Name)
		}
		p, q := x.Details.Attr, y.Details.Attr
		if p.Mode != q.Mode || p.MTime != q.MTime || os.Geteuid() == 0 && p != q {
			t.Errorf("%s: %+v and %+v", x.Name, p, q)
		}
	}
}

func (s suite) targetExists(t *testing.T) {
	path := s.makeToken(t)
	tok := s.read(t, path)
	dir := t.TempDir()
	staging := s.restore(t, dir, tok)
	target := filepath.Join(append([]string{dir}, tok.info.Name.Components()...)...)
	check(t, os.MkdirAll(target, 0o755))
	if _, err := staging.Commit(context.Background()); !errors.Is(err, backends.ErrExists) {
		t.Errorf("Commit over something that came meanwhile: %v", err)
	}
	check(t, staging.Close())
	check(t, os.Remove(target))
	check(t, os.WriteFile(target, nil, 0o600))
	if _, err := s.Restore(context.Background(), dir, tok.info, backends.RestoreOptions{Whole: true}); !errors.Is(err, backends.ErrExists) {
		t.Errorf("Restore over a file: %v", err)
	}
	only(t, dir, tok.info.Name.Components()[0])
}

func (s suite) busy(t *testing.T) {
	tok := s.read(t, s.makeToken(t))
	dir := t.TempDir()
	staging := s.restore(t, dir, tok)
	if _, err := s.Restore(context.Background(), dir, tok.info, backends.RestoreOptions{Whole: true}); !errors.Is(err, backends.ErrBusy) {
		t.Errorf("a second restore of one token: %v", err)
	}
	_, err := staging.Commit(context.Background())
	check(t, err)
	check(t, staging.Close())
}

// hostile are names that no kind of token may take from an archive.
var hostile = []string{
	"", ".", "..", "../x", "a/../../x", "/etc/passwd", "a//b", "a/b/c/d/e/f/g/h/i", "./x", "x/.",
}

func (s suite) hostileNames(t *testing.T) {
	ctx := context.Background()
	tok := s.read(t, s.makeToken(t))
	outer := t.TempDir()
	dir := filepath.Join(outer, "in")
	check(t, os.Mkdir(dir, 0o755))
	for _, name := range hostile {
		for kind := format.KindArchive; kind <= format.KindForeign; kind++ {
			r := &format.Record{}
			r.Reset()
			components := format.Name(bytes.ReplaceAll([]byte(name), []byte{'/'}, []byte{0}))
			r.Kind, r.Name, r.Data = kind, components, []byte("hostile")
			s.refused(t, dir, tok.info, r)
			r.Name = format.Name(name) // with slashes in it
			if bytes.ContainsRune(r.Name, '/') {
				s.refused(t, dir, tok.info, r)
			}
		}
		info := *tok.info
		info.Name = format.Name(name)
		if _, err := s.Restore(ctx, dir, &info, backends.RestoreOptions{Whole: true}); !errors.Is(err, backends.ErrBadName) {
			t.Errorf("a token named %q: %v", name, err)
		}
	}
	only(t, dir)
	only(t, outer, "in")
}

// refused puts one record and expects ErrBadName.
func (s suite) refused(t *testing.T, dir string, info *format.Token, r *format.Record) {
	t.Helper()
	staging, err := s.Restore(context.Background(), dir, info, backends.RestoreOptions{})
	check(t, err)
	if err := staging.Put(context.Background(), []*format.Record{r}); !errors.Is(err, backends.ErrBadName) {
		t.Errorf("%s %q: %v", r.Kind, r.Name, err)
	}
	check(t, staging.Close())
}

// supersede: a later record replaces an earlier one, or removes it.
func (s suite) supersede(t *testing.T) {
	ctx := context.Background()
	tok := s.read(t, s.makeToken(t))
	dir := t.TempDir()
	staging, err := s.Restore(ctx, dir, tok.info, backends.RestoreOptions{Whole: true})
	check(t, err)
	object := slices.IndexFunc(tok.records, func(r *format.Record) bool { return r.Kind == format.KindObject })
	old := *tok.records[object]
	old.Data = []byte("an earlier state")
	first := slices.Clone(tok.records)
	first[object] = &old
	check(t, staging.Put(ctx, first))
	for _, r := range first {
		check(t, staging.Order(r, false))
	}
	again := *tok.records[object]
	again.Supersedes = 1
	check(t, staging.Put(ctx, []*format.Record{&again}))
	check(t, staging.Order(&again, false))
	_, err = staging.Finish(ctx)
	check(t, err)
	_, err = staging.Commit(ctx)
	check(t, err)
	check(t, staging.Close())
	same(t, tok, s.read(t, filepath.Join(append([]string{dir}, tok.info.Name.Components()...)...)))
}

func (s suite) closeLeavesNothing(t *testing.T) {
	tok := s.read(t, s.makeToken(t))
	dir := t.TempDir()
	check(t, s.restore(t, dir, tok).Close())
	only(t, dir)
}

func (s suite) cancel(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	path := s.makeToken(t)
	found, err := s.Find(context.Background(), path)
	check(t, err)
	if _, err := s.Open(ctx, found.Tokens[0]); !errors.Is(err, context.Canceled) {
		t.Errorf("Open: %v", err)
	}
	dir := t.TempDir()
	if _, err := s.Restore(ctx, dir, s.read(t, path).info, backends.RestoreOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("Restore: %v", err)
	}
	only(t, dir)
}

// validatorSurvives cuts and changes every entry; nothing may panic, and
// nothing damaged may be called public.
func (s suite) validatorSurvives(t *testing.T) {
	tok := s.read(t, s.makeToken(t))
	v, err := s.Validator(tok.info)
	check(t, err)
	judge := func(r *format.Record, data []byte) {
		copied := *r
		copied.Data = data
		if public, found := v.Validate(&copied); public && len(found) > 0 {
			t.Fatalf("%s: public, and %v", r.Name, found)
		}
	}
	for _, r := range tok.records {
		for n := range len(r.Data) {
			judge(r, r.Data[:n])
		}
		changed := bytes.Clone(r.Data)
		for i := range changed {
			for _, mask := range []byte{1, 0x40, 0xff} {
				changed[i] ^= mask
				judge(r, changed)
				changed[i] ^= mask
			}
		}
	}
}

// only checks that a directory holds what is named, and nothing else.
func only(t *testing.T, dir string, names ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	check(t, err)
	for _, e := range entries {
		if !slices.Contains(names, e.Name()) {
			t.Errorf("left behind: %s", e.Name())
		}
	}
	if len(entries) < len(names) {
		t.Errorf("%d of %v are there", len(entries), names)
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
