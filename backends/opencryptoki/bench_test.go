package opencryptoki

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"tokar/backends"
	"tokar/format"
)

// large makes a token of n objects out of a fixture's.
func large(tb testing.TB, n int) string {
	dir := copyToken(tb, filepath.Join(fixtureDir, "swtok-new-small"), tb.TempDir()+"/swtok")
	var index []byte
	src, err := filepath.Glob(dir + "/TOK_OBJ/OB??????")
	check(tb, err)
	for i := range n {
		b, err := os.ReadFile(src[i%len(src)])
		check(tb, err)
		name := fmt.Sprintf("OB%06d", i)
		check(tb, os.WriteFile(dir+"/TOK_OBJ/"+name, b, 0o660))
		index = append(append(index, name...), '\n')
	}
	check(tb, os.WriteFile(dir+"/TOK_OBJ/OBJ.IDX", index, 0o660))
	return dir
}

func BenchmarkRead(b *testing.B) {
	tok := openToken(b, large(b, 5000))
	defer tok.Close()
	var entries []backends.Entry
	for e := range tok.Entries(context.Background()) {
		if e.Kind == format.KindObject && e.Flags == 0 {
			entries = append(entries, e)
		}
	}
	buf := make([]byte, 64<<10)
	ctx := context.Background()
	var r format.Record
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		check(b, tok.Read(ctx, &entries[i%len(entries)], &r, buf))
	}
}

func BenchmarkOpenAndList(b *testing.B) {
	dir := large(b, 5000)
	b.ReportAllocs()
	for b.Loop() {
		tok := openToken(b, dir)
		for range tok.Entries(context.Background()) {
		}
		tok.Close()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/5000, "ns/object")
}

func BenchmarkValidate(b *testing.B) {
	info, records := readToken(b, filepath.Join(fixtureDir, "swtok-new-small"))
	v, err := Backend{}.Validator(info)
	check(b, err)
	sorts := map[string][]*format.Record{}
	for _, r := range records {
		switch {
		case r.Kind != format.KindObject:
		case r.Flags&format.Private != 0:
			sorts["private"] = append(sorts["private"], r)
		case r.Class == 1:
			sorts["certificate"] = append(sorts["certificate"], r)
		case r.Class == 2 && r.Details.KeyType == 0:
			sorts["rsa"] = append(sorts["rsa"], r)
		case r.Class == 2 && r.Details.KeyType == 3:
			sorts["ec"] = append(sorts["ec"], r)
		}
	}
	for sort, rs := range sorts {
		b.Run(sort, func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				v.Validate(rs[i%len(rs)])
			}
		})
	}
}

func BenchmarkRestore(b *testing.B) {
	info, records := readToken(b, filepath.Join(fixtureDir, "swtok-new-small"))
	r := *records[5]
	ctx := context.Background()
	dir := b.TempDir()
	s, err := Backend{}.Restore(ctx, dir, info, backends.RestoreOptions{Whole: true})
	check(b, err)
	n := 0
	for b.Loop() {
		batch := make([]*format.Record, 64)
		for i := range batch {
			again := r
			again.Name = format.NameOf(fmt.Sprintf("%08d", n))
			batch[i] = &again
			n++
		}
		check(b, s.Put(ctx, batch))
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/object")
	_, err = s.Finish(ctx)
	check(b, err)
	check(b, s.Close())
}
