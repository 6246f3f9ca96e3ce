package opencryptoki

import (
	"path/filepath"
	"strings"
	"testing"

	"tokar/backends/opencryptoki/tokendata"
	"tokar/format"
)

// fuzzEntry judges any bytes as one entry of a token of each format and byte
// order. Nothing may panic; what is public has no fault; a finding lies in
// the file.
func fuzzEntry(f *testing.F, kind format.Kind, name string, form string) {
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, order := range []string{"little", "big", tokendata.Unknown} {
			for _, variant := range []string{"Soft", tokendata.TPM} {
				v, err := Backend{}.Validator(&format.Token{Properties: []format.Property{
					{Key: propFormat, Value: form}, {Key: propByteOrder, Value: order}, {Key: propVariant, Value: variant}}})
				check(t, err)
				r := &format.Record{}
				r.Reset()
				r.Kind, r.Name, r.Data = kind, format.NameOf(name), b
				public, found := v.Validate(r)
				if public && (len(found) > 0 || r.Flags&format.Private != 0) {
					t.Fatalf("public, flags %b, %v", r.Flags, found)
				}
				for _, x := range found {
					if x.Offset < -1 || x.Offset > int64(len(b)) || x.Kind == "" || x.Message == "" || x.File == "" {
						t.Fatalf("%d bytes: %+v", len(b), x)
					}
				}
			}
		}
	})
}

// seedObjects adds every object of the fixtures whose format is form.
func seedObjects(f *testing.F, form string) {
	for _, dir := range fixtures(f) {
		if propertiesOf(filepath.Base(dir))[propFormat] != form || strings.Contains(dir, "shared") {
			continue
		}
		objects, _ := filepath.Glob(filepath.Join(dir, objectsName, "????????"))
		for _, path := range objects {
			f.Add(read(f, "", path))
		}
	}
}

func FuzzOldObject(f *testing.F) {
	seedObjects(f, tokendata.Old)
	fuzzEntry(f, format.KindObject, "10000000", tokendata.Old)
}

func FuzzNewObject(f *testing.F) {
	seedObjects(f, tokendata.New)
	fuzzEntry(f, format.KindObject, "10000000", tokendata.New)
}

func FuzzNVTOK(f *testing.F) {
	for _, name := range []string{"swtok-old-small", "swtok-new-small", "swtok-old-bigendian", "tpmtok-old"} {
		b := read(f, filepath.Join(fixtureDir, name), nvtokName)
		f.Add(b)
		f.Add(append(b, make([]byte, tokendata.ICSFRecord)...))
	}
	fuzzEntry(f, format.KindState, nvtokName, tokendata.Unknown)
}

func FuzzIndex(f *testing.F) {
	f.Add(read(f, filepath.Join(fixtureDir, "swtok-new-small"), indexPath))
	f.Add([]byte("00000000\r\n10000000\r\n"))
	f.Add([]byte("00000000\n00000000\n../../etc/passwd\n\n1000000"))
	f.Fuzz(func(t *testing.T, index []byte) {
		os := objects{{key: objectKey([]byte("00000000"))}, {key: objectKey([]byte("10000000"))}}
		var found findings
		order := os.order(index, &found)
		if len(order) > len(os) {
			t.Fatalf("%d objects of %d", len(order), len(os))
		}
		for _, at := range order {
			if os.find(index[at:at+objectNameLen]) == nil {
				t.Fatalf("an object at %d that is not there", at)
			}
		}
		for _, x := range found.all() {
			if x.Offset < -1 || x.Offset > int64(len(index)) {
				t.Fatalf("%d bytes: %+v", len(index), x)
			}
		}
		if len(found.all()) > maxFindings+1 {
			t.Fatalf("%d findings", len(found.all()))
		}
	})
}
