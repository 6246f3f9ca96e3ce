package main

import (
	"bytes"
	"crypto/x509"
	"encoding/binary"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func tree(t *testing.T, seed uint64) string {
	t.Helper()
	dir := t.TempDir()
	if err := Make(dir, Options{Tokens: 2, Objects: 200, Seed: seed, Fixtures: "../../testdata/opencryptoki"}); err != nil {
		t.Fatal(err)
	}
	return dir
}

func files(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	all := map[string][]byte{}
	err := fs.WalkDir(os.DirFS(dir), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(filepath.Join(dir, name))
		all[name] = b
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestSameSeedSameBytes(t *testing.T) {
	a, b, c := files(t, tree(t, 1)), files(t, tree(t, 1)), files(t, tree(t, 2))
	equal := 0
	for name := range a {
		if !bytes.Equal(a[name], b[name]) {
			t.Errorf("%s differs", name)
		}
		if bytes.Equal(a[name], c[name]) {
			equal++
		}
	}
	if len(a) != len(b) || equal > 16 {
		t.Errorf("%d and %d files; %d the same with another seed", len(a), len(b), equal)
	}
}

// TestObjects reads every object as strictly as tokar does without a PIN.
func TestObjects(t *testing.T) {
	total, objects, private, certificates := 0, 0, 0, 0
	for path, b := range files(t, tree(t, 1)) {
		name := filepath.Base(path)
		if !strings.Contains(path, "TOK_OBJ") || name == "OBJ.IDX" {
			continue
		}
		objects++
		total += len(b)
		since312 := strings.HasPrefix(path, "tok001")
		if b[4] == 1 {
			private++
			if since312 {
				if string(b[48:56]) != name || int(binary.BigEndian.Uint32(b[60:]))+80 != len(b) {
					t.Errorf("%s: private header", path)
				}
			} else if int(binary.LittleEndian.Uint32(b)) != len(b) || (len(b)-5)%8 != 0 || len(b)-5 < 48 {
				t.Errorf("%s: private header", path)
			}
			continue
		}
		head := headSize(since312)
		if string(b[head+8:head+16]) != name {
			t.Errorf("%s: inner name %q", path, b[head+8:head+16])
		}
		list, err := parseObject(b[head:])
		if err != nil {
			t.Errorf("%s: %v", path, err)
		}
		if number(list, ckaClass) == ckoCertificate {
			certificates++
			for _, a := range list {
				if a.kind != ckaValue {
					continue
				}
				if _, err := x509.ParseCertificate(a.value); err != nil {
					t.Errorf("%s: %v", path, err)
				}
			}
		}
	}
	if objects != 400 || private != 240 || certificates != 60 {
		t.Errorf("%d objects, %d private, %d certificates", objects, private, certificates)
	}
	if mean := total / objects; mean < 1230 || mean > 1350 {
		t.Errorf("mean size %d", mean)
	}
}
