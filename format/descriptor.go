package format

import (
	"slices"
	"strings"
)

// Archive is what record 0 says of the archive as a whole.
type Archive struct {
	Made    int64    // seconds since 1970 UTC
	Host    string   // name of the host that wrote it
	Writer  string   // program and version
	Options []string // how it was made, such as "codec=zstd"
}

// Encode makes the metadata of record 0.
func (a *Archive) Encode() []byte {
	b := appendU64(nil, 1, uint64(a.Made))
	b = appendText(b, 2, clip(a.Host, 255))
	b = appendText(b, 3, clip(a.Writer, 255))
	for _, o := range a.Options {
		b = appendText(b, 4, clip(o, 255))
	}
	return b
}

// DecodeArchive reads the metadata of record 0.
func DecodeArchive(b []byte) (*Archive, error) {
	a := &Archive{}
	for f, err := range fields(b, "\x04") {
		if err != nil {
			return nil, err
		}
		switch f.tag {
		case 1:
			var t uint64
			t, err = f.u64()
			a.Made = int64(t)
		case 2:
			a.Host = string(f.value)
		case 3:
			a.Writer = string(f.value)
		case 4:
			a.Options = append(a.Options, string(f.value))
		default:
			err = f.unknown("the archive's descriptor")
		}
		if err != nil {
			return nil, err
		}
	}
	return a, nil
}

// Token is what a token's descriptor says: enough to name the token, to
// validate its objects without it, and to make its directory again.
type Token struct {
	Name         Name   // as operands name it; the record's own name on the wire
	Kind         string // backend, such as "opencryptoki"
	Label        string // CK_TOKEN_INFO, blanks cut
	Manufacturer string
	Model        string
	Serial       string
	Properties   []Property  // what the backend needs, such as format and byte order
	Defaults     Attr        // what most entries have; of MTime what is near theirs; DefaultACL unused
	Directories  []Directory // the token's own directories, the token directory first
	Notes        []string    // what an operator must know, such as that objects live elsewhere
}

// Property is one word about a token that its backend understands.
type Property struct{ Key, Value string }

// Directory is one of a token's directories; an empty Name is the token
// directory itself.
type Directory struct {
	Name Name
	Attr Attr
}

// Property gives the value of a property, or nothing.
func (t *Token) Property(key string) string {
	for _, p := range t.Properties {
		if p.Key == key {
			return p.Value
		}
	}
	return ""
}

// Encode makes the metadata of a token's descriptor record.
func (t *Token) Encode() []byte {
	b := appendText(nil, 1, clip(t.Kind, 64))
	b = appendText(b, 2, clip(t.Label, 1024))
	b = appendText(b, 3, clip(t.Manufacturer, 1024))
	b = appendText(b, 4, clip(t.Model, 1024))
	b = appendText(b, 5, clip(t.Serial, 1024))
	for _, p := range t.Properties {
		b = appendText(b, 6, clip(p.Key+"="+p.Value, 4096))
	}
	if t.Defaults.Known {
		b = appendField(b, 7, t.Defaults.append(nil))
	}
	for _, d := range t.Directories {
		b = appendField(b, 8, append(d.Attr.append(nil), d.Name...))
	}
	for _, n := range t.Notes {
		b = appendText(b, 9, clip(n, 4096))
	}
	return b
}

// DecodeToken reads the metadata of a token's descriptor record.
func DecodeToken(name Name, b []byte) (*Token, error) {
	if err := name.Check(); err != nil {
		return nil, err
	}
	t := &Token{Name: slices.Clone(name)}
	for f, err := range fields(b, "\x06\x08\x09") {
		if err != nil {
			return nil, err
		}
		switch f.tag {
		case 1:
			t.Kind = string(f.value)
		case 2:
			t.Label = string(f.value)
		case 3:
			t.Manufacturer = string(f.value)
		case 4:
			t.Model = string(f.value)
		case 5:
			t.Serial = string(f.value)
		case 6:
			key, value, _ := strings.Cut(string(f.value), "=")
			t.Properties = append(t.Properties, Property{key, value})
		case 7:
			var rest []byte
			t.Defaults, rest, err = decodeAttr(f.value)
			if err == nil && (len(rest) > 0 || t.Defaults.DefaultACL != "") {
				err = badf(ErrMalformed, "a token's attributes with what no file has, or %d bytes after them", len(rest))
			}
		case 8:
			var d Directory
			var rest []byte
			d.Attr, rest, err = decodeAttr(f.value)
			if err == nil && len(rest) > 0 {
				d.Name = Name(strings.Clone(string(rest)))
				err = d.Name.Check()
			}
			t.Directories = append(t.Directories, d)
		case 9:
			t.Notes = append(t.Notes, string(f.value))
		default:
			err = f.unknown("a token's descriptor")
		}
		if err != nil {
			return nil, err
		}
	}
	if t.Kind == "" {
		return nil, badf(ErrMalformed, "a token without a kind")
	}
	return t, nil
}

// EndOfToken is what a token's last record says.
type EndOfToken struct {
	Live   uint64 // entries that stand: not superseded, not vanished
	All    uint64 // all records of the token between descriptor and end
	Stable bool   // nothing changed while it was read
}

// Encode makes the metadata of an end-of-token record.
func (e EndOfToken) Encode() []byte {
	b := be.AppendUint64(nil, e.Live)
	b = be.AppendUint64(b, e.All)
	if e.Stable {
		return append(b, 1)
	}
	return append(b, 0)
}

// DecodeEndOfToken reads the metadata of an end-of-token record.
func DecodeEndOfToken(b []byte) (EndOfToken, error) {
	if len(b) != 17 || b[16] > 1 {
		return EndOfToken{}, badf(ErrMalformed, "an end-of-token record of %d bytes", len(b))
	}
	return EndOfToken{Live: be.Uint64(b), All: be.Uint64(b[8:]), Stable: b[16] == 1}, nil
}
