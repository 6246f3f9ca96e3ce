package format

import (
	"bytes"
	"math"
	"reflect"
	"testing"
)

// Everything that details tell comes back, whatever is usual in the token; and
// what is usual is not written.
func TestDetails(t *testing.T) {
	usual := Attr{Known: true, Mode: 0o660, UID: 7, GID: 9, Owner: "root", Group: "pkcs11", Security: "system_u:object_r:t:s0"}
	same := usual
	same.MTime = 5
	other := Attr{Known: true, Mode: 0o4600, UID: 8, GID: 10, MTime: -1, Owner: "joe", Group: "users", Security: "u:r:t:s0"}
	for what, d := range map[string]Details{
		"nothing":    {KeyType: ClassNone},
		"key type 0": {KeyType: 0},
		"all": {KeyType: 31, Label: []byte("label\xff"), ID: []byte{0, 1}, Attr: other, Findings: []Finding{
			{Kind: "truncated", File: "TOK_OBJ/1", Offset: 17, Message: "it ends"}, {Kind: "gone", Offset: -1}}},
		"usual":    {KeyType: ClassNone, Attr: same},
		"earliest": {KeyType: ClassNone, Attr: Attr{Known: true, MTime: math.MinInt64}},
		"latest":   {KeyType: ClassNone, Attr: Attr{Known: true, MTime: math.MaxInt64}},
		"no names": {KeyType: ClassNone, Attr: Attr{Known: true, Mode: 0o660, UID: 7, GID: 9}},
	} {
		for _, def := range []Attr{usual, {}, {Known: true, MTime: math.MinInt64}, {Known: true, MTime: math.MaxInt64}} {
			b := d.Append(nil, def)
			var got Details
			if err := got.Decode(b, def); err != nil || !reflect.DeepEqual(got, d) && d.Attr.Known || got.KeyType != d.KeyType || !bytes.Equal(got.Label, d.Label) {
				t.Errorf("%s: %v, %+v, want %+v", what, err, got, d)
			}
			if what == "usual" && reflect.DeepEqual(def, usual) && len(b) != 3+1 {
				t.Errorf("%d bytes for what is usual but the time", len(b))
			}
		}
	}
}

// What a hostile token has of label, id and findings is cut, so that the details
// of one entry stay small.
func TestDetailsBounded(t *testing.T) {
	d := Details{KeyType: ClassNone, Label: make([]byte, 1<<15+1), ID: make([]byte, 1<<12+1), Findings: make([]Finding, 65)}
	for i := range d.Findings {
		d.Findings[i] = Finding{Kind: "damaged", Offset: int64(i)}
	}
	var got Details
	if err := got.Decode(d.Append(nil, Attr{}), Attr{}); err != nil {
		t.Fatal(err)
	}
	if len(got.Label) != 1<<15 || len(got.ID) != 1<<12 || len(got.Findings) != 64 || got.Findings[63].Offset != 63 {
		t.Errorf("a label of %d bytes, an id of %d, %d findings", len(got.Label), len(got.ID), len(got.Findings))
	}
}
