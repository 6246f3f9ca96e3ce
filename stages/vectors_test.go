package stages

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"tokar/backends"
	"tokar/format"
	"tokar/format/keyslot"
)

var update = flag.Bool("update", false, "write testdata/format anew")

// vectorDir holds the vectors of docs/FORMAT.md: archives, their listings, and
// vectors.json, which says what to make of them.
const vectorDir = "../testdata/format"

// A vector is an archive and what each way of reading it must say. Hostile
// ones break one rule.
type vector struct {
	Name    string            `json:"name"`
	About   string            `json:"about"`
	Keys    string            `json:"keys"`              // which of the keys tK and mK are
	Open    map[string]string `json:"open,omitempty"`    // role → which of the identities; nothing: no slot, the keys themselves
	Signers string            `json:"signers,omitempty"` // which of the lists of signers; nothing: nobody asks
	Time    string            `json:"time,omitempty"`    // at which moment, as lists have it; nothing: now
	Expect  expected          `json:"expect"`            // class for each way of reading
}

// expected is a class for each way of reading: "ok", or one of format's.
type expected struct {
	Stream   string `json:"stream"`   // restore key, front to back
	Verifier string `json:"verifier"` // verifier's key, front to back
	Keyless  string `json:"keyless"`  // no key, front to back
	Index    string `json:"index"`    // restore key, from the footer to every record
}

type vectorFile struct {
	Identities map[string]string     `json:"identities"`
	Keys       map[string]vectorKeys `json:"keys"`
	Signers    map[string]string     `json:"signers"`
	Vectors    []vector              `json:"vectors"`
}

type vectorKeys struct {
	TK string `json:"tK"`
	MK string `json:"mK"`
}

// givenKey opens an archive without any slot.
type givenKey struct {
	role   format.Role
	secret []byte
}

func (g givenKey) Unwrap(_ context.Context, archive [32]byte, _ []format.Slot) (format.SlotKey, error) {
	return format.SlotKey{Role: g.role, Archive: archive, Secret: bytes.Clone(g.secret)}, nil
}

var classNames = map[error]string{
	format.ErrNotArchive:  "not-archive",
	format.ErrTruncated:   "truncated",
	format.ErrChecksum:    "checksum",
	format.ErrAuthentic:   "authentic",
	format.ErrMalformed:   "malformed",
	format.ErrUnsupported: "unsupported",
	format.ErrNoKey:       "no-key",
	format.ErrSigner:      "signer",
}

// className tells an error's one class.
func className(err error) string {
	if err == nil {
		return "ok"
	}
	var names []string
	for class, name := range classNames {
		if errors.Is(err, class) {
			names = append(names, name)
		}
	}
	if len(names) != 1 {
		return fmt.Sprintf("%d classes: %v", len(names), err)
	}
	return names[0]
}

func readVectors(t *testing.T) vectorFile {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(vectorDir, "vectors.json"))
	if err != nil {
		t.Fatal(err)
	}
	var f vectorFile
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&f); err != nil {
		t.Fatal(err)
	}
	return f
}

// identity makes what opens a vector in a role.
func (f *vectorFile) identity(t *testing.T, v *vector, role string) format.Identity {
	t.Helper()
	name := v.Open[role]
	if name == "" {
		text, r := f.Keys[v.Keys].TK, format.RoleRestore
		if role == "verify" {
			text, r = f.Keys[v.Keys].MK, format.RoleVerify
		}
		secret, err := hex.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		return givenKey{r, secret}
	}
	text, ok := f.Identities[name]
	if !ok {
		t.Fatalf("no identity %q", name)
	}
	if strings.HasPrefix(text, "AGE-") || strings.HasPrefix(text, "TOKAR-") {
		id, err := keyslot.ParseIdentities(strings.NewReader(text), name, nil)
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	return keyslot.NewPassphrase(func() ([]byte, error) { return []byte(text), nil })
}

// line is one record of a listing; docs/FORMAT.md, section 17, has its form.
func line(r *format.Record, restores bool) string {
	supersedes := "-"
	if r.Supersedes != format.NoSeq {
		supersedes = fmt.Sprint(r.Supersedes)
	}
	class := "-"
	if r.Class != format.ClassNone {
		class = fmt.Sprint(r.Class)
	}
	sum, label, id, findings := "-", "-", "-", "-"
	if !r.Kind.Descriptor() && (restores || r.Flags&format.Wrapped == 0) {
		s := sha256.Sum256(r.Data)
		sum = hex.EncodeToString(s[:])
		label, id = escape(r.Details.Label), escape(r.Details.ID)
		findings = fmt.Sprint(len(r.Details.Findings))
	}
	return fmt.Sprintf("%d token=%d kind=%d flags=%d class=%s size=%d supersedes=%s name=%s label=%s id=%s findings=%s sha256=%s",
		r.Seq, r.Token, r.Kind, r.Flags, class, r.Size, supersedes, escape([]byte(r.Name.String())), label, id, findings, sum)
}

// escape makes one word of bytes; of many, their digest.
func escape(b []byte) string {
	switch {
	case len(b) == 0:
		return "-"
	case len(b) > 512:
		return fmt.Sprintf("sha256:%x", sha256.Sum256(b))
	}
	var s strings.Builder
	for _, c := range b {
		if c <= ' ' || c >= 0x7f || c == '%' {
			fmt.Fprintf(&s, "%%%02X", c)
		} else {
			s.WriteByte(c)
		}
	}
	return s.String()
}

func lister(lines *[]string, restores bool) Each {
	return func(_ *format.Token, r *format.Record) { *lines = append(*lines, line(r, restores)) }
}

// ways reads an archive in each way and gives the class of each, with the
// listing of a restorer's stream.
func (f *vectorFile) ways(t *testing.T, v *vector, b []byte, workers int) (got expected, lines []string) {
	ctx := context.Background()
	with := func(role string, each Each) OpenOptions {
		o := f.options(t, v, role, workers)
		o.Each = each
		return o
	}
	_, err := Verify(ctx, stream(b), with("restore", lister(&lines, true)))
	got.Stream = className(err)
	_, err = Verify(ctx, stream(b), with("verify", nil))
	got.Verifier = className(err)
	_, err = VerifyFrames(ctx, stream(b))
	got.Keyless = className(err)
	got.Index = className(f.byIndex(ctx, with("restore", nil), b, nil))
	return got, lines
}

// byIndex lists and fetches every record that stands, from the footer on.
func (f *vectorFile) byIndex(ctx context.Context, o OpenOptions, b []byte, each Each) error {
	l, err := openLookup(ctx, bytes.NewReader(b), int64(len(b)), o)
	if err != nil {
		return err
	}
	o.Each = each
	return l.list(ctx, ListOptions{OpenOptions: o, Full: true})
}

// TestVectors judges every vector in every way, with one worker and with
// several, and wants nothing restored of what is not sound.
func TestVectors(t *testing.T) {
	if *update {
		writeVectors(t)
	}
	f := readVectors(t)
	hostile := 0
	for _, v := range f.Vectors {
		t.Run(v.Name, func(t *testing.T) {
			b := readVector(t, vectorDir, v.Name)
			var lines []string
			for _, workers := range []int{1, 3} {
				var got expected
				got, lines = f.ways(t, &v, b, workers)
				if got != v.Expect {
					t.Errorf("%s; with %d workers\n got %+v\nwant %+v", v.About, workers, got, v.Expect)
				}
			}
			if v.Signers != "" && v.Expect.Stream != "ok" && len(lines) > 0 {
				t.Errorf("%s: %d records were told of", v.About, len(lines))
			}
			f.extract(t, &v, b)
			f.listAndCat(t, &v, b)
			if v.Expect.Stream == "ok" {
				f.compareListing(t, &v, lines, b)
			}
		})
		if v.Expect != (expected{"ok", "ok", "ok", "ok"}) {
			hostile++
		}
	}
	t.Logf("%d vectors, %d of them hostile", len(f.Vectors), hostile)
	if hostile < 60 {
		t.Error("fewer than 60 hostile vectors")
	}
	compareDirectory(t, f)
}

func readVector(t *testing.T, dir, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, name+".tokar"))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// compareDirectory wants no file that no vector names.
func compareDirectory(t *testing.T, f vectorFile) {
	named := map[string]bool{"vectors.json": true, "reader.py": true}
	for _, v := range f.Vectors {
		named[v.Name+".tokar"] = true
		named[v.Name+".list"] = v.Expect.Stream == "ok"
	}
	files, err := os.ReadDir(vectorDir)
	if err != nil {
		t.Fatal(err)
	}
	total := int64(0)
	for _, file := range files {
		if file.IsDir() {
			continue
		}
		if !named[file.Name()] {
			t.Errorf("%s belongs to no vector", file.Name())
		}
		if info, err := file.Info(); err == nil && file.Name() != "reader.py" {
			total += info.Size()
		}
	}
	if total > 6<<18 {
		t.Errorf("the vectors take %d bytes; 1.5 MiB are enough", total)
	}
}

// extract restores into memory; what is not sound must leave nothing.
func (f *vectorFile) extract(t *testing.T, v *vector, b []byte) {
	m := newMemory()
	_, err := Extract(context.Background(), stream(b), ExtractOptions{
		OpenOptions: f.options(t, v, "restore", 2),
		Backend:     func(string) (backends.Backend, error) { return m, nil },
		Place:       func(*format.Token) Place { return Place{Dir: "", Wanted: true, Whole: true} },
		Select:      func(*format.Token, *format.Record) bool { return true },
	})
	if got := className(err); got != v.Expect.Stream {
		t.Errorf("%s: extract: %s, want %s", v.About, got, v.Expect.Stream)
	}
	if m.stagings != 0 {
		t.Errorf("extract left %d stagings", m.stagings)
	}
	if err != nil && len(m.restored) != 0 {
		t.Errorf("extract committed %d tokens of an archive that is %s", len(m.restored), v.Expect.Stream)
	}
}

// listAndCat want List to fall back to the stream's judgement or keep the
// index's, and Cat to write nothing of a stream that is not sound.
func (f *vectorFile) listAndCat(t *testing.T, v *vector, b []byte) {
	ctx := context.Background()
	o := f.options(t, v, "restore", 2)
	_, err := List(ctx, bytes.NewReader(b), ListOptions{OpenOptions: o, Full: true})
	if got := className(err); got != v.Expect.Index && got != v.Expect.Stream {
		t.Errorf("%s: list: %s, want %s or %s", v.About, got, v.Expect.Index, v.Expect.Stream)
	}
	var out bytes.Buffer
	_, err = Cat(ctx, stream(b), []string{"one/00000001"}, o, &out)
	var missing *NotFoundError
	if got := className(err); got != v.Expect.Stream && !errors.As(err, &missing) {
		t.Errorf("%s: cat of a stream: %s, want %s", v.About, got, v.Expect.Stream)
	}
	if v.Expect.Stream != "ok" && out.Len() > 0 {
		t.Errorf("%s: cat wrote %d bytes", v.About, out.Len())
	}
	out.Reset()
	o.Identities = []format.Identity{f.identity(t, v, "restore")}
	_, err = Cat(ctx, bytes.NewReader(b), []string{"one/00000001"}, o, &out)
	if got := className(err); got != "ok" && got != v.Expect.Index && !errors.As(err, &missing) {
		t.Errorf("%s: cat by index: %s, want %s", v.About, got, v.Expect.Index)
	}
}

// compareListing holds a restorer's stream to the listing that is kept, and
// what the index finds to the lines of it that stand.
func (f *vectorFile) compareListing(t *testing.T, v *vector, lines []string, b []byte) {
	want, err := os.ReadFile(filepath.Join(vectorDir, v.Name+".list"))
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(lines, "\n") + "\n"; got != string(want) {
		t.Errorf("listing:\n%s\nwant:\n%s", got, want)
	}
	if v.Expect.Index != "ok" {
		return
	}
	superseded := map[string]bool{}
	all := map[string]bool{}
	for _, l := range lines {
		all[l] = true
		if _, rest, ok := strings.Cut(l, "supersedes="); ok {
			superseded[strings.Fields(rest)[0]] = true
		}
	}
	n := 0
	err = f.byIndex(context.Background(), f.options(t, v, "restore", 1), b,
		func(_ *format.Token, r *format.Record) {
			n++
			if !all[line(r, true)] || superseded[fmt.Sprint(r.Seq)] {
				t.Errorf("the index lists\n%s", line(r, true))
			}
		})
	if err != nil || n != len(lines)-len(superseded)+boolInt(superseded["-"]) {
		t.Errorf("the index lists %d records of %d, %v", n, len(lines), err)
	}
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

// fixedKeys are a vector's keys and nonces: functions of its name and of what
// is sealed, so that a vector can be made again.
func fixedKeys(name string) (id, tK, mK [32]byte, nonces format.NonceSource) {
	of := func(what string) [32]byte { return sha256.Sum256([]byte("tokar vector " + what + " of " + name)) }
	return of("archive id"), of("tK"), of("mK"), func(aad []byte) [12]byte {
		sum := sha256.Sum256(aad)
		return [12]byte(sum[:12])
	}
}

// TestSameBytes makes an archive with fixed keys and nonces by different
// numbers of workers: the bytes must be the same.
func TestSameBytes(t *testing.T) {
	for _, codec := range []format.Codec{format.CodecZstd, format.CodecXZ, format.CodecNone} {
		var first []byte
		for run := range 8 {
			m := newMemory(madeToken("one", 900, 200), madeToken("two", 1200, 1500), madeToken("three", 0, 0))
			o := archiveOptions()
			o.Codec, o.Workers = codec, []int{1, 2, 4, 16}[run%4]
			o.Keys = func() (*format.Keys, error) {
				id, tK, mK, nonces := fixedKeys("same bytes")
				return format.NewKeys(id, tK[:], mK[:], nonces)
			}
			b := archive(t, m, o, "one", "two", "three")
			if first == nil {
				first = b
			} else if !bytes.Equal(first, b) {
				t.Fatalf("%s: %d workers write other bytes than one", codec, o.Workers)
			}
		}
	}
}

// TestFilterFalseHit asks for names until the archive's own chunk, whose
// filter has two bytes, claims to hold one.
func TestFilterFalseHit(t *testing.T) {
	b := archive(t, newMemory(madeToken("one", 3, 10)), archiveOptions(), "one")
	for i := range 5000 {
		var missing *NotFoundError
		_, err := Cat(context.Background(), bytes.NewReader(b), []string{fmt.Sprint("one/", i)}, opening(restoreKey), io.Discard)
		if !errors.As(err, &missing) {
			t.Fatalf("one/%d: %v", i, err)
		}
		if i > 300 && testing.Short() {
			return
		}
	}
}

// TestFormatExample holds the hex dump of docs/FORMAT.md, section 18, to its
// vector.
func TestFormatExample(t *testing.T) {
	doc, err := os.ReadFile("../docs/FORMAT.md")
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile(filepath.Join(vectorDir, "good-tiny.tokar"))
	if err != nil {
		t.Fatal(err)
	}
	var got []byte
	for _, m := range regexp.MustCompile(`(?m)^    ([0-9a-f]{4})  ([0-9a-f ]+)$`).FindAllSubmatch(doc, -1) {
		if string(m[1]) != fmt.Sprintf("%04x", len(got)) {
			t.Fatalf("the dump goes on at %s where %04x must be", m[1], len(got))
		}
		b, err := hex.DecodeString(strings.ReplaceAll(string(m[2]), " ", ""))
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, b...)
	}
	if !bytes.Equal(got, want) {
		t.Fatalf("the dump has %d bytes that are not the vector's %d", len(got), len(want))
	}
}
