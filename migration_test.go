package main_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"tokar/backends"
	"tokar/backends/all"
	"tokar/backends/opencryptoki/tokendata"
	"tokar/format"
	"tokar/format/cryptoki"
	"tokar/stages"
)

// PINs of the fixtures that are migrated.
const (
	soPIN   = "76543210"
	userPIN = "01234567"
)

func migrater(t testing.TB) backends.Migrater {
	t.Helper()
	m, ok := all.Backends()[0].(backends.Migrater)
	if !ok {
		t.Fatal("it does not migrate")
	}
	return m
}

// recoded brings the token at path into another form where it stands.
func recoded(t testing.TB, path string, o backends.Recoding, workers int) error {
	t.Helper()
	m := migrater(t)
	found, err := m.Find(t.Context(), path)
	if err != nil || len(found.Tokens) != 1 {
		t.Fatalf("%s: %v, %d tokens", path, err, len(found.Tokens))
	}
	o.PIN = func(so bool) ([]byte, error) {
		if so {
			return []byte(soPIN), nil
		}
		return []byte(userPIN), nil
	}
	loc := found.Tokens[0]
	r, err := m.Recode(t.Context(), loc, o)
	if err != nil {
		return err
	}
	defer r.Close()
	_, err = stages.Migrate(t.Context(), []stages.Move{{
		Input: stages.Input{Backend: m, Location: loc}, Dir: filepath.Dir(path), Recoder: r,
	}}, stages.MigrateOptions{
		Workers:   workers,
		Note:      func(_ *format.Token, message string) { t.Log(message) },
		Finding:   func(_ *format.Token, f format.Finding) { t.Log(f.Message) },
		Ready:     func() (func() error, error) { return func() error { return nil }, nil },
		Committed: func(*format.Token) {},
	})
	return err
}

// opened is a token directory with its master key.
type opened struct {
	dir   string
	nvtok []byte
	key   *tokendata.MasterKey
}

// openedToken opens a token with both PINs, whose MK files must agree.
func openedToken(t testing.TB, dir string) *opened {
	t.Helper()
	o := &opened{dir: dir, nvtok: bytesOf(t, dir, "NVTOK.DAT")}
	for _, role := range tokendata.Roles {
		pin := map[string]string{"MK_SO": soPIN, "MK_USER": userPIN}[role.KeyFile]
		key, err := role.Open(o.nvtok, bytesOf(t, dir, role.KeyFile), []byte(pin))
		if err != nil {
			t.Fatalf("%s: %v", dir, err)
		}
		if o.key != nil && !o.key.Equal(key) {
			t.Fatalf("%s: two master keys", dir)
		}
		o.key = key
	}
	return o
}

func bytesOf(t testing.TB, path ...string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// objects are what the object files hold, by their names.
func (o *opened) objects(t testing.TB) map[string][]byte {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(o.dir, "TOK_OBJ", "????????"))
	if err != nil {
		t.Fatal(err)
	}
	objects := map[string][]byte{}
	for _, path := range found {
		file := bytesOf(t, path)
		h := tokendata.ParseObject(file, o.key.Format())
		object := h.Body
		if h.Private {
			if object, err = o.key.Open(file); err != nil {
				t.Fatalf("%s: %v", path, err)
			}
		}
		objects[filepath.Base(path)] = object
	}
	return objects
}

func placed(t testing.TB, from string) string {
	t.Helper()
	home := ""
	if test, ok := t.(*testing.T); ok {
		home = quickDir(test)
	} else {
		home = t.TempDir()
	}
	to := filepath.Join(home, "swtok")
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	return to
}

// TestMigratedAsTheOriginal compares with what the real pkcstok_migrate made of
// the same tokens: every object's bytes after decryption, every public file, all
// that NVTOK.DAT tells of the token, all sizes. Only the PIN hashes, which that
// leaves in NVTOK.DAT, are gone.
func TestMigratedAsTheOriginal(t *testing.T) {
	for from, made := range map[string]string{
		"testdata/opencryptoki/swtok-old-small":     "testdata/migrated/swtok-old-small-migrated",
		"testdata/pins/swtok-old":                   "testdata/migrated/swtok-migrated",
		"testdata/opencryptoki/swtok-old-bigendian": "testdata/migrated/swtok-old-bigendian-migrated",
	} {
		t.Run(filepath.Base(made), func(t *testing.T) {
			t.Parallel()
			dir := placed(t, from)
			if err := recoded(t, dir, backends.Recoding{Newest: true}, 0); err != nil {
				t.Fatal(err)
			}
			ours, theirs := openedToken(t, dir), openedToken(t, made)
			if a, b := ours.objects(t), theirs.objects(t); !maps.EqualFunc(a, b, bytes.Equal) || len(a) < 5 {
				t.Errorf("%d objects, and %d of the original's, differ", len(a), len(b))
			}
			for name := range theirs.objects(t) {
				a, b := bytesOf(t, dir, "TOK_OBJ", name), bytesOf(t, made, "TOK_OBJ", name)
				private := b[tokendata.AtPrivate] == 1
				switch {
				case len(a) != len(b):
					t.Errorf("%s has %d bytes, the original's %d", name, len(a), len(b))
				case !private && !bytes.Equal(a, b):
					t.Errorf("%s is another public file", name)
				case private && (!bytes.Equal(a[:8], b[:8]) || !bytes.Equal(a[48:64], b[48:64])): // header, IV, length
					t.Errorf("%s begins %x, the original's %x", name, a[:64], b[:64])
				case private && bytes.Equal(a[8:48], b[8:48]):
					t.Errorf("%s has the original's object key", name)
				}
			}
			for _, name := range []string{"TOK_OBJ/OBJ.IDX", "MK_SO", "MK_USER", "NVTOK.DAT"} {
				a, b := bytesOf(t, dir, name), bytesOf(t, made, name)
				if len(a) != len(b) || strings.HasPrefix(name, "TOK") && !bytes.Equal(a, b) {
					t.Errorf("%s differs", name)
				}
			}
			sameTold(t, ours.nvtok, theirs.nvtok)
			if a, b := tree(t, dir+"_BAK"), tree(t, from); stripped(a) != stripped(b) {
				t.Errorf("what is kept is another:\n%s", difference(stripped(a), stripped(b)))
			}
		})
	}
}

// stripped leaves names and bytes of a tree.
func stripped(tree string) string {
	var b strings.Builder
	for line := range strings.Lines(tree) {
		f := strings.Fields(line)
		fmt.Fprintln(&b, f[0], f[4:])
	}
	return b.String()
}

// sameTold compares two NVTOK.DAT of the new format but for hashes, salts and keys.
func sameTold(t *testing.T, a, b []byte) {
	t.Helper()
	if !bytes.Equal(a[:tokendata.AtPINHashes], b[:tokendata.AtPINHashes]) ||
		!bytes.Equal(a[tokendata.AtNextName:tokendata.AtIterations], b[tokendata.AtNextName:tokendata.AtIterations]) {
		t.Errorf("NVTOK.DAT tells otherwise:\n%x\n%x", a[:tokendata.AtIterations], b[:tokendata.AtIterations])
	}
	for _, at := range []int{240, 344, 448, 520} {
		if !bytes.Equal(a[at:at+40], b[at:at+40]) { // rounds, and the purpose in the salt
			t.Errorf("byte %d: %x, not %x", at, a[at:at+40], b[at:at+40])
		}
	}
	if !bytes.Equal(a[tokendata.AtPINHashes:tokendata.AtNextName], make([]byte, 48)) {
		t.Error("PIN hashes are left")
	}
	if bytes.Equal(b[tokendata.AtPINHashes:tokendata.AtNextName], make([]byte, 48)) {
		t.Error("pkcstok_migrate's has none, so that nothing is shown")
	}
}

// TestMigrateKinds migrates tokens of other kinds and releases.
func TestMigrateKinds(t *testing.T) {
	tokens := []string{"testdata/migrated/icatok-old-bigendian", "testdata/migrated/ep11tok-old-before", "testdata/opencryptoki/ep11tok-be-old-before"}
	for _, more := range []string{"swtok-old-300", "swtok-old-by-newest"} {
		if dir := "../shared/fixtures/opencryptoki/" + more; exists(dir) {
			tokens = append(tokens, dir)
		}
	}
	for _, from := range tokens {
		t.Run(filepath.Base(from), func(t *testing.T) {
			t.Parallel()
			before := openedToken(t, from).objects(t)
			dir := placed(t, from)
			if err := recoded(t, dir, backends.Recoding{Newest: true}, 0); err != nil {
				t.Fatal(err)
			}
			after := openedToken(t, dir)
			if after.key.Format() != tokendata.New || !maps.EqualFunc(before, after.objects(t), bytes.Equal) || len(before) == 0 {
				t.Errorf("%d objects, after it others", len(before))
			}
		})
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// TestByteOrder recodes tokens for the other kind of machine, and back: then
// every object is what it was, in the old format every file.
func TestByteOrder(t *testing.T) {
	for _, from := range []string{
		"testdata/opencryptoki/swtok-old-small", "testdata/opencryptoki/swtok-old-bigendian",
		"testdata/opencryptoki/swtok-new-small", "testdata/opencryptoki/swtok-new-bigendian",
		"testdata/migrated/icatok-old-bigendian", "testdata/opencryptoki/ep11tok-be-new-before", "testdata/opencryptoki/ep11tok-be-old-before",
	} {
		t.Run(filepath.Base(from), func(t *testing.T) {
			t.Parallel()
			before := openedToken(t, from)
			was := before.objects(t)
			orders := []string{"big", "little"}
			if strings.Contains(from, "big") || strings.Contains(from, "-be-") {
				slices.Reverse(orders)
			}
			dir := placed(t, from)
			for i, order := range orders {
				if err := recoded(t, dir, backends.Recoding{Order: order}, 0); err != nil {
					t.Fatal(err)
				}
				if err := os.Rename(dir+"_BAK", fmt.Sprint(dir, i)); err != nil {
					t.Fatal(err)
				}
				now := openedToken(t, dir)
				if !now.key.Equal(before.key) {
					t.Error("another master key")
				}
				is := now.objects(t)
				if equal := maps.EqualFunc(was, is, bytes.Equal); equal != (i == 1) {
					t.Errorf("into %s: the objects are the same: %v", order, equal)
				}
				for name, object := range is {
					if o, ok := cryptoki.OrderOf(object); !ok || o.String() != order {
						t.Errorf("%s is not in order %s", name, order)
					}
				}
				if err := recoded(t, dir, backends.Recoding{Order: order}, 0); !errors.Is(err, backends.ErrAlready) {
					t.Errorf("once more: %v", err)
				}
			}
			if a, b := stripped(tree(t, dir)), stripped(tree(t, from)); before.key.Format() == tokendata.Old && a != b {
				t.Errorf("there and back, it is another:\n%s", difference(a, b))
			}
		})
	}
	t.Run("with the migration", func(t *testing.T) {
		dir := placed(t, "testdata/opencryptoki/swtok-old-bigendian")
		if err := recoded(t, dir, backends.Recoding{Newest: true, Order: "little"}, 0); err != nil {
			t.Fatal(err)
		}
		for name, object := range openedToken(t, dir).objects(t) {
			if o, _ := cryptoki.OrderOf(object); o != cryptoki.LittleEndian {
				t.Errorf("%s is not little-endian", name)
			}
		}
	})
}

// grownToken adds objects to a token in the old format, private and public ones,
// each a copy of one that is there.
func grownToken(t testing.TB, n, size int) string {
	t.Helper()
	dir := placed(t, "testdata/opencryptoki/swtok-old-small")
	o := openedToken(t, dir)
	var index bytes.Buffer
	index.Write(bytesOf(t, dir, "TOK_OBJ/OBJ.IDX"))
	for i := range n {
		name := fmt.Sprintf("ZZ%06d", i)
		b := cryptoki.AppendObjectHeader(nil, cryptoki.LittleEndian, 4, [8]byte([]byte(name)))
		b = cryptoki.AppendAttribute(b, cryptoki.LittleEndian, cryptoki.CKA_CLASS, make([]byte, 4))
		b = cryptoki.AppendAttribute(b, cryptoki.LittleEndian, cryptoki.CKA_TOKEN, []byte{1})
		b = cryptoki.AppendAttribute(b, cryptoki.LittleEndian, cryptoki.CKA_PRIVATE, []byte{byte(i & 1)})
		b = cryptoki.AppendAttribute(b, cryptoki.LittleEndian, cryptoki.CKA_VALUE, bytes.Repeat([]byte(name), size/8))
		file := tokendata.Public(tokendata.Old, b, cryptoki.LittleEndian)
		if i&1 == 1 {
			file = o.key.Seal(b, cryptoki.LittleEndian)
		}
		if err := os.WriteFile(filepath.Join(dir, "TOK_OBJ", name), file, 0o600); err != nil {
			t.Fatal(err)
		}
		index.WriteString(name + "\n")
	}
	if err := os.WriteFile(filepath.Join(dir, "TOK_OBJ/OBJ.IDX"), index.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestMigrateMany migrates a token of as many objects as one has at most, with any
// number of workers to the same objects, in memory that does not grow with it.
func TestMigrateMany(t *testing.T) {
	if testing.Short() {
		t.Skip("thousands of files")
	}
	for workers, objects := range map[int]int{1: 400, 4: 4096} {
		dir := grownToken(t, objects-17, 512)
		before := openedToken(t, dir).objects(t)
		runtime.GC()
		var from, to runtime.MemStats
		runtime.ReadMemStats(&from)
		if err := recoded(t, dir, backends.Recoding{Newest: true}, workers); err != nil {
			t.Fatal(err)
		}
		runtime.GC()
		runtime.ReadMemStats(&to)
		if grown := int64(to.HeapAlloc) - int64(from.HeapAlloc); grown > 8<<20 {
			t.Errorf("%d workers: %d bytes stay", workers, grown)
		}
		if sys := int64(to.HeapSys) - int64(from.HeapSys); sys > 64<<20 {
			t.Errorf("%d workers: the heap grew by %d bytes", workers, sys)
		}
		if after := openedToken(t, dir).objects(t); len(after) != objects || !maps.EqualFunc(before, after, bytes.Equal) {
			t.Errorf("%d workers: %d objects, of them some are others", workers, len(after))
		}
	}
}

// BenchmarkMigrate compares a migration with reading the token: both as they are
// used, the migration without what deriving keys from PINs costs once a token.
func BenchmarkMigrate(b *testing.B) {
	dir := grownToken(b, 2000, 1024)
	m := migrater(b)
	found, err := m.Find(b.Context(), dir)
	if err != nil || len(found.Tokens) != 1 {
		b.Fatal(err)
	}
	in := stages.Input{Backend: m, Location: found.Tokens[0]}
	b.Run("read", func(b *testing.B) {
		for b.Loop() {
			if _, err := stages.Check(b.Context(), []stages.Input{in}, stages.CheckOptions{Problem: func(p stages.Problem) { b.Error(p.Err) }}); err != nil {
				b.Fatal(err)
			}
		}
	})
	for name, dry := range map[string]bool{"convert": true, "migrate": false} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				b.StopTimer()
				r, err := m.Recode(b.Context(), in.Location, backends.Recoding{Newest: true, PIN: func(so bool) ([]byte, error) {
					if so {
						return []byte(soPIN), nil
					}
					return []byte(userPIN), nil
				}})
				if err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
				_, err = stages.Migrate(context.Background(), []stages.Move{{Input: in, Dir: filepath.Dir(dir), Recoder: r}}, stages.MigrateOptions{
					DryRun: dry,
					Note:   func(*format.Token, string) {}, Finding: func(*format.Token, format.Finding) {}, Committed: func(*format.Token) {},
					Ready: func() (func() error, error) { return nil, nil },
				})
				b.StopTimer()
				if err != nil {
					b.Fatal(err)
				}
				r.Close()
				if !dry {
					if err := errors.Join(os.RemoveAll(dir), os.Rename(dir+"_BAK", dir)); err != nil {
						b.Fatal(err)
					}
				}
				b.StartTimer()
			}
		})
	}
}
