package main_test

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"
	"time"

	"tokar/format"
	"tokar/format/keyslot"
	"tokar/stages"
)

// What a verifier's key opens of two copies of a token that differ in their PINs
// alone is the same, field by field: nothing there helps to guess a PIN. Left out
// are the MAC of a record and the sealed bytes of what is wrapped: under keys that
// are drawn for each archive, over ciphertext under one that verifiers have not.
func TestVerifierSeesNoPIN(t *testing.T) {
	tokar := buildTokar(t)
	r := &rig{tokar: tokar}
	home := t.TempDir()
	restore, verify := filepath.Join(home, "restore.key"), filepath.Join(home, "verify.key")
	for _, key := range []string{restore, verify} {
		r.must(t, "keygen", "-q", "--x25519", "-o", key)
	}
	f, err := os.Open(verify)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	verifier, err := keyslot.ParseIdentities(f, verify, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range [][2]string{
		{"testdata/opencryptoki/swtok-new-small", "testdata/pins/swtok-new-small-userpin-changed"},
		{"testdata/opencryptoki/swtok-new-small", "testdata/pins/swtok-new-small-sopin-changed"},
		{"testdata/pins/swtok-old", "testdata/pins/swtok-old-userpin-changed"},
		{"testdata/pins/swtok-old", "testdata/pins/swtok-old-sopin-changed"},
	} {
		t.Run(filepath.Base(c[1]), func(t *testing.T) {
			var seen [2][]format.Record
			var sealed [2]int
			for i, pins := range []string{"", c[1]} {
				dir := filepath.Join(t.TempDir(), "swtok")
				place(t, c[0], dir)
				overlay(t, pins, dir)
				atOneTime(t, dir)
				archive := filepath.Join(t.TempDir(), "archive")
				r.must(t, "create", "-q", "-R", restore+".pub", "--verifier-file", verify+".pub", "-f", archive, dir)
				seen[i], sealed[i] = opensFor(t, verifier, archive)
			}
			if len(seen[0]) != len(seen[1]) || sealed[0] == 0 || sealed[0] != sealed[1] {
				t.Fatalf("%d and %d records, %d and %d sealed", len(seen[0]), len(seen[1]), sealed[0], sealed[1])
			}
			for i := range seen[0] {
				same(t, seen[0][i].Name.String(), seen[0][i], seen[1][i])
			}
		})
	}
}

// overlay puts the files of one directory over those of another.
func overlay(t *testing.T, from, to string) {
	t.Helper()
	if from == "" {
		return
	}
	files, err := os.ReadDir(from)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		b, err := os.ReadFile(filepath.Join(from, f.Name()))
		if err == nil {
			err = os.WriteFile(filepath.Join(to, f.Name()), b, 0o660)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// atOneTime gives every file one time: when a PIN was changed is not what this
// is about.
func atOneTime(t *testing.T, dir string) {
	t.Helper()
	when := time.Unix(1_700_000_000, 0)
	paths, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	inside, _ := filepath.Glob(filepath.Join(dir, "TOK_OBJ", "*"))
	for _, path := range append(append(inside, paths...), dir) {
		if err := os.Chtimes(path, when, when); err != nil {
			t.Fatal(err)
		}
	}
}

// opensFor gives every record as a key opens it, and counts those that stay
// sealed.
func opensFor(t *testing.T, id format.Identity, archive string) (records []format.Record, sealed int) {
	t.Helper()
	f, err := os.Open(archive)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	_, err = stages.Verify(t.Context(), struct{ *os.File }{f}, stages.OpenOptions{
		Identities: []format.Identity{id},
		Each: func(_ *format.Token, r *format.Record) {
			if r.Kind == format.KindArchive {
				return // when and where it was made
			}
			kept := *r
			kept.Name, kept.Metadata, kept.Data = slices.Clone(r.Name), slices.Clone(r.Metadata), slices.Clone(r.Data)
			kept.Details.Label, kept.Details.ID = slices.Clone(r.Details.Label), slices.Clone(r.Details.ID)
			kept.Details.Findings = slices.Clone(r.Details.Findings)
			if kept.MAC = [32]byte{}; r.Flags&format.Wrapped != 0 {
				kept.Payload = nil
				sealed++
				if len(r.Data) > 0 {
					t.Errorf("%s is wrapped, and its bytes are there", r.Name)
				}
			} else {
				kept.Payload = slices.Clone(r.Payload)
			}
			records = append(records, kept)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return records, sealed
}

// same names the fields in which two records differ.
func same(t *testing.T, name string, a, b format.Record) {
	t.Helper()
	x, y := reflect.ValueOf(a), reflect.ValueOf(b)
	for i := range x.NumField() {
		if p, q := x.Field(i).Interface(), y.Field(i).Interface(); !reflect.DeepEqual(p, q) {
			t.Errorf("%s: %s tells the PINs apart: %s, %s", name, x.Type().Field(i).Name, fmt.Sprint(p), fmt.Sprint(q))
		}
	}
}
