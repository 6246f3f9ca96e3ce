package opencryptoki

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tokar/backends/opencryptoki/tokendata"
	"tokar/format"
)

// damage is one way in which a token can be damaged, and what is to be found.
type damage struct {
	name   string
	file   string
	change func([]byte) []byte // nil: the file is removed
	kind   string              // "" where nothing shows without a PIN
	at     int
}

// damages make again what damage.py of the project's fixtures makes, for a
// token in which private and public are the second objects of their sort, and
// listed is the third of all.
func damages(t testing.TB, dir, form string, order binary.ByteOrder) []damage {
	index := read(t, dir, indexPath)
	lines := strings.Fields(string(index))
	var private, public []string
	for _, name := range lines {
		if read(t, dir, objectPath([]byte(name)))[tokendata.AtPrivate] == 1 {
			private = append(private, name)
		} else {
			public = append(public, name)
		}
	}
	ds := objectDamages(t, dir, form, order, "private", private[1])
	ds = append(ds, objectDamages(t, dir, form, order, "public", public[1])...)
	if form == tokendata.New {
		file := objectPath([]byte(private[1]))
		ds = append(ds,
			damage{"private-flipped-tag", file, flip(-1, 1), "", 0},
			damage{"private-flipped-wrapped-key", file, flip(20, 0x40), "", 0},
			damage{"private-flipped-version", file, flip(3, 0x40), Header, 0})
	}
	listed := objectPath([]byte(lines[2]))
	without := func([]byte) []byte { return []byte(strings.Join(append(lines[:2:2], lines[3:]...), "\n") + "\n") }
	return append(ds,
		damage{"listed-but-missing", listed, nil, Missing, -1},
		damage{"present-but-not-listed", indexPath, without, Unlisted, -1},
		damage{"index-listed-twice", indexPath, add(lines[2] + "\n"), Duplicate, len(index)},
		damage{"index-no-final-newline", indexPath, cut(len(index) - 1), LineEnd, len(index) - 1},
		damage{"index-missing", indexPath, nil, NoIndex, -1},
		damage{"index-garbage-line", indexPath, add("../../etc/passwd\n"), IndexLine, len(index)},
		damage{"nvtok-truncated", nvtokName, cut(100), Truncated, 100},
		damage{"mk-user-flipped", userKeyName, flip(5, 1), "", 0},
		damage{"mk-user-truncated", userKeyName, cut(20), Truncated, 20},
		damage{"mk-user-missing", userKeyName, nil, Missing, -1})
}

// objectDamages are the variants that exist for a private and a public object.
func objectDamages(t testing.TB, dir, form string, order binary.ByteOrder, sort, object string) []damage {
	file := objectPath([]byte(object))
	size := len(read(t, dir, file))
	lengthAt := 0
	flipped := 1 // the byte that counts 256s
	if order == binary.BigEndian {
		flipped = 2
	}
	if form == tokendata.New { // lengths there are big-endian on every machine
		order, flipped = binary.BigEndian, 2
		lengthAt = tokendata.AtPublicLength
		if sort == "private" {
			lengthAt = tokendata.AtPrivateLength
		}
	}
	put := func(v uint32) func([]byte) []byte {
		return func(b []byte) []byte {
			order.PutUint32(b[lengthAt:], v)
			return b
		}
	}
	ds := []damage{
		{"truncated-half", file, cut(size / 2), Truncated, size / 2},
		{"truncated-by-one", file, cut(size - 1), Truncated, size - 1},
		{"empty-file", file, cut(0), Empty, 0},
		{"three-bytes", file, cut(3), Truncated, 3},
		{"flipped-length", file, flip(lengthAt+flipped, 0x40), Truncated, size},
		{"length-0xffffffff", file, put(0xffffffff), Length, lengthAt},
		{"length-zero", file, put(0), Length, lengthAt},
		{"flipped-body-byte", file, flip(size/2+40, 0x40), "", 0},
		{"trailing-garbage", file, add("garbage!"), Trailing, size},
		{"flag-byte-flipped", file, flip(tokendata.AtPrivate, 1), PrivateFlag, tokendata.AtPrivate},
		{"flag-byte-7", file, func(b []byte) []byte { b[tokendata.AtPrivate] = 7; return b }, PrivateFlag, tokendata.AtPrivate},
	}
	for i := range ds {
		ds[i].name = sort + "-" + ds[i].name
	}
	return ds
}

func flip(at int, mask byte) func([]byte) []byte {
	return func(b []byte) []byte {
		if at < 0 {
			b[len(b)+at] ^= mask
		} else {
			b[at] ^= mask
		}
		return b
	}
}

func cut(n int) func([]byte) []byte { return func(b []byte) []byte { return b[:n] } }

func add(s string) func([]byte) []byte { return func(b []byte) []byte { return append(b, s...) } }

func read(t testing.TB, dir, file string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, file))
	check(t, err)
	return b
}

// do damages the copy of a token.
func (d damage) do(t testing.TB, dir string) {
	t.Helper()
	path := filepath.Join(dir, d.file)
	if d.change == nil {
		check(t, os.Remove(path))
		return
	}
	check(t, os.WriteFile(path, d.change(read(t, dir, d.file)), 0o660))
}

// expect looks for a finding of a kind on file at an offset.
func expect(t *testing.T, records []*format.Record, kind, file string, at int) {
	t.Helper()
	for _, r := range records {
		for _, f := range r.Details.Findings {
			if f.Kind == kind && f.File == file && f.Offset == int64(at) {
				return
			}
		}
	}
	t.Errorf("no finding %s on %s at %d", kind, file, at)
	for _, r := range records {
		for _, f := range r.Details.Findings {
			t.Logf("%s on %s at %d: %s", f.Kind, f.File, f.Offset, f.Message)
		}
	}
}

func TestDamage(t *testing.T) {
	for name, written := range map[string]struct {
		form  string
		order binary.ByteOrder
	}{
		"swtok-old-small":       {tokendata.Old, binary.LittleEndian},
		"swtok-new-small":       {tokendata.New, binary.LittleEndian},
		"swtok-old-bigendian":   {tokendata.Old, binary.BigEndian},
		"swtok-new-bigendian":   {tokendata.New, binary.BigEndian},
		"ep11tok-be-old-before": {tokendata.Old, binary.BigEndian},
		"ep11tok-be-new-before": {tokendata.New, binary.BigEndian},
	} {
		form, sound := written.form, filepath.Join(fixtureDir, name)
		for _, d := range damages(t, sound, form, written.order) {
			t.Run(name+"/"+d.name, func(t *testing.T) {
				dir := copyToken(t, sound, t.TempDir()+"/swtok")
				d.do(t, dir)
				info, records := readToken(t, dir)
				if info.Property(propFormat) != form {
					t.Errorf("format %q", info.Property(propFormat))
				}
				if d.kind == "" {
					return // nothing to be seen without a PIN, or by chance
				}
				expect(t, records, d.kind, damagedFile(d, sound), d.at)
			})
		}
	}
}

// damagedFile is the file that the finding names: of an object taken out of the
// index, its own.
func damagedFile(d damage, sound string) string {
	if d.kind == Unlisted {
		index, _ := os.ReadFile(filepath.Join(sound, indexPath))
		return objectPath(bytes.Fields(index)[2])
	}
	return d.file
}

// The damaged tokens that the project keeps; what is to be found in each.
func TestStoredDamage(t *testing.T) {
	type want struct {
		kind string
		at   int
	}
	wants := map[string][2]want{ // old, new
		"private-truncated":                {{Truncated, 214}, {Truncated, 378}},
		"private-length-flipped":           {{Trailing, 157}, {Truncated, 385}},
		"private-ciphertext-flipped":       {},
		"private-empty-file":               {{Empty, 0}, {Empty, 0}},
		"private-length-ffffffff":          {{Length, 0}, {Length, 60}},
		"private-flag-flipped":             {{PrivateFlag, 4}, {PrivateFlag, 4}},
		"private-renamed":                  {{}, {Name, 48}},
		"public-truncated":                 {{Truncated, 188}, {Truncated, 313}},
		"public-length-flipped":            {{Trailing, 131}, {Truncated, 320}},
		"public-value-flipped":             {},
		"public-empty-file":                {{Empty, 0}, {Empty, 0}},
		"public-length-zero":               {{Length, 0}, {Length, 12}},
		"public-length-ffffffff":           {{Length, 0}, {Length, 12}},
		"public-flag-flipped":              {{PrivateFlag, 4}, {PrivateFlag, 4}},
		"public-renamed":                   {{Name, 13}, {Name, 24}},
		"public-attribute-length-flipped":  {{Attributes, 29}, {Attributes, 40}},
		"public-attribute-count-plus-one":  {{Attributes, 195}, {Attributes, 320}},
		"public-attribute-count-minus-one": {{Attributes, 0}, {Attributes, 0}},
		"public-inner-name-changed":        {{Name, 13}, {Name, 24}},
		"listed-but-missing":               {{Missing, -1}, {Missing, -1}},
		"present-but-not-listed":           {{Unlisted, -1}, {Unlisted, -1}},
		"index-no-final-newline":           {{LineEnd, 53}, {LineEnd, 53}},
		"index-crlf":                       {{LineEnd, 8}, {LineEnd, 8}},
		"index-duplicate":                  {{Duplicate, 54}, {Duplicate, 54}},
		"nvtok-truncated":                  {{Truncated, 100}, {Truncated, 100}},
		"mk-user-flipped":                  {},
		"leftover-tmp":                     {{Leftover, -1}, {Leftover, -1}},
		"public-header-little-endian":      {},
		"public-in-old-format":             {{}, {Format, 0}},
		"private-tag-flipped":              {},
		"private-reserved-flipped":         {{}, {Header, 5}},
	}
	cases, err := filepath.Glob(filepath.Join(sharedDirs[0], "corrupt", "*", "*", nvtokName))
	check(t, err)
	if len(cases) == 0 {
		t.Skip("the project's stored damaged tokens are not here")
	}
	for _, c := range cases {
		dir := filepath.Dir(c)
		form, name := filepath.Base(filepath.Dir(dir)), filepath.Base(dir)
		if form == "corrupt" {
			continue // the undamaged ones
		}
		t.Run(form+"/"+name, func(t *testing.T) {
			pair, known := wants[name]
			if !known {
				t.Fatal("a case without expectation")
			}
			w := pair[0]
			if form == tokendata.New {
				w = pair[1]
			}
			_, records := readToken(t, dir)
			var about map[string]string
			check(t, json.Unmarshal(read(t, filepath.Dir(dir), "cases.json"), &about))
			file := objectPath([]byte(strings.Fields(about[name])[0]))
			switch w.kind {
			case "":
				for _, r := range records {
					for _, f := range r.Details.Findings {
						t.Errorf("unexpected: %+v", f)
					}
				}
				return
			case Duplicate, LineEnd:
				file = indexPath
			case Name:
				if strings.Contains(name, "renamed") {
					file = objectPath([]byte("ZZZZZZZZ"))
				}
			}
			if name == "nvtok-truncated" {
				file = nvtokName
			}
			if name == "public-attribute-count-minus-one" {
				w.at = lastAttribute(read(t, dir, file), form)
			}
			expect(t, records, w.kind, file, w.at)
		})
	}
}

// lastAttribute is where the last attribute of a little-endian public object
// begins.
func lastAttribute(b []byte, form string) int {
	at, last := tokendata.OldHeader, 0
	if form == tokendata.New {
		at = tokendata.NewPublicHeader
	}
	for at += 16; at < len(b); at += 12 + int(binary.LittleEndian.Uint32(b[at+8:])) {
		last = at
	}
	return last
}
