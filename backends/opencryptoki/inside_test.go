package opencryptoki

import (
	"context"
	"errors"
	"maps"
	"os"
	"testing"

	"tokar/backends"
	"tokar/format"
)

// No token is restored into another one, however deep.
func TestInsideAnother(t *testing.T) {
	base := stand(t, fixtureDir+"/swtok-old-small")
	check(t, os.Mkdir(base+"/swtok/sub", 0o770))
	info, records := readToken(t, fixtureDir+"/swtok-old-small")
	before := files(t, base)
	for _, name := range []format.Name{
		format.NameOf("swtok", "x"), format.NameOf("swtok", "sub", "x"), format.NameOf("swtok", "new", "x", "y"),
		format.NameOf("swtok", "TOK_OBJ", "x"), format.NameOf("tpm", "TOK_OBJ"),
	} {
		info.Name = name
		for _, o := range []backends.RestoreOptions{{Whole: true}, {Whole: true, DryRun: true}, {}} {
			if _, _, err := put(t, base, info, records, o); !errors.Is(err, backends.ErrBadName) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	if !maps.Equal(before, files(t, base)) {
		t.Error("something changed")
	}
}

// Nor into one that came with it.
func TestInsideCommitted(t *testing.T) {
	base := t.TempDir()
	info, records := readToken(t, fixtureDir+"/swtok-old-small")
	info.Name = format.NameOf("swtok", "x")
	s, err := Backend{}.Restore(context.Background(), base, info, backends.RestoreOptions{Whole: true})
	check(t, err)
	check(t, s.Put(context.Background(), records))
	_, err = s.Finish(context.Background())
	check(t, err)
	check(t, os.Mkdir(base+"/swtok", 0o700))
	check(t, os.WriteFile(base+"/swtok/NVTOK.DAT", nil, 0o600))
	if _, err := s.Commit(context.Background()); !errors.Is(err, backends.ErrBadName) {
		t.Error(err)
	}
	check(t, s.Close())
}
