package opencryptoki

import (
	"bytes"
	"encoding/binary"
	"path/filepath"
	"testing"

	"tokar/backends/opencryptoki/tokendata"
	"tokar/format"
	"tokar/format/cryptoki"
)

// publicObject gives a sound public object of the new-format fixture.
func publicObject(t *testing.T, class, keyType uint32) (format.Record, *format.Token) {
	t.Helper()
	info, records := readToken(t, filepath.Join(fixtureDir, "swtok-new-small"))
	for _, r := range records {
		if r.Kind == format.KindObject && r.Class == class && (class == cryptoki.CKO_CERTIFICATE || r.Details.KeyType == keyType) {
			return *r, info
		}
	}
	t.Fatalf("no object of class %d, key type %d", class, keyType)
	return format.Record{}, nil
}

// valueAt is where an attribute's value begins in a new-format public object.
func valueAt(t *testing.T, b []byte, typ uint32) int {
	t.Helper()
	l := cryptoki.ObjectList(b[tokendata.NewPublicHeader:], cryptoki.LittleEndian)
	for l.Next() {
		if l.Type == typ {
			return tokendata.NewPublicHeader + l.Offset + cryptoki.AttributeHeader
		}
	}
	t.Fatalf("no %s", cryptoki.AttributeName(typ))
	return 0
}

func TestContentFaults(t *testing.T) {
	const publicKey, anyType = cryptoki.CKO_PUBLIC_KEY, 0
	for _, c := range []struct {
		name           string
		class, keyType uint32
		attribute      uint32
		change         func(b []byte, at int)
		kind           string
		at             int // from the attribute's value
	}{
		{"even modulus", publicKey, cryptoki.CKK_RSA, cryptoki.CKA_MODULUS, func(b []byte, at int) { b[at+255] &^= 1 }, Key, 0},
		{"short modulus", publicKey, cryptoki.CKK_RSA, cryptoki.CKA_MODULUS_BITS, func(b []byte, at int) { b[at] = 9 }, Key, 0},
		{"even exponent", publicKey, cryptoki.CKK_RSA, cryptoki.CKA_PUBLIC_EXPONENT, func(b []byte, at int) { b[at+2] = 2 }, Key, 0},
		{"no curve", publicKey, cryptoki.CKK_EC, cryptoki.CKA_EC_PARAMS, func(b []byte, at int) { b[at+1]++ }, Key, 0},
		{"off the curve", publicKey, cryptoki.CKK_EC, cryptoki.CKA_EC_POINT, func(b []byte, at int) { b[at+20] ^= 1 }, Key, 0},
		{"form of point", publicKey, cryptoki.CKK_EC, cryptoki.CKA_EC_POINT, func(b []byte, at int) { b[at+2] = 9 }, Key, 0},
		{"class", publicKey, cryptoki.CKK_RSA, cryptoki.CKA_CLASS, func(b []byte, at int) { b[at] = 0x77 }, Class, 0},
		{"CKA_PRIVATE", publicKey, cryptoki.CKK_RSA, cryptoki.CKA_PRIVATE, func(b []byte, at int) { b[at] = 1 }, PrivateFlag, 0},
		{"certificate's frame", cryptoki.CKO_CERTIFICATE, anyType, cryptoki.CKA_VALUE, func(b []byte, at int) { b[at+7]++ }, Certificate, 4},
		{"certificate's length", cryptoki.CKO_CERTIFICATE, anyType, cryptoki.CKA_VALUE, func(b []byte, at int) { b[at+3]-- }, Certificate, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, info := publicObject(t, c.class, c.keyType)
			r.Data = bytes.Clone(r.Data)
			at := valueAt(t, r.Data, c.attribute)
			c.change(r.Data, at)
			v, err := Backend{}.Validator(info)
			check(t, err)
			r.Details.Findings = nil
			public, found := v.Validate(&r)
			if public {
				t.Error("public")
			}
			r.Details.Findings = found
			if c.kind == Certificate && len(found) == 1 && found[0].Kind == Certificate && found[0].Offset >= int64(at) {
				return
			}
			expect(t, []*format.Record{&r}, c.kind, objectPath(r.Name), at+c.at)
		})
	}
}

// What is public is told so, and nothing else is.
func TestPublic(t *testing.T) {
	for _, dir := range fixtures(t) {
		info, records := readToken(t, dir)
		v, err := Backend{}.Validator(info)
		check(t, err)
		for _, r := range records {
			public, _ := v.Validate(r)
			class := r.Class == cryptoki.CKO_CERTIFICATE || r.Class == cryptoki.CKO_PUBLIC_KEY || r.Class == cryptoki.CKO_DOMAIN_PARAMETERS
			want := r.Kind == format.KindIndex || r.Kind == format.KindObject && r.Flags&format.Private == 0 && class
			if public != want {
				t.Errorf("%s: %s of class %d: public %v", dir, r.Name, r.Class, public)
			}
		}
	}
}

// An index is public while it holds names and nothing else.
func TestPublicIndex(t *testing.T) {
	v, err := Backend{}.Validator(&format.Token{Kind: Kind})
	check(t, err)
	for index, want := range map[string]bool{
		"": true, "00000000\n": true, "OBaZ09xy\n00000001\n": true,
		"00000000": false, "00000000\r\n": false, "00000000\n\n": false, "0000000\n": false, "00000000\nmy secret\n": false,
		"00000000\n00\x0000000\n": false,
	} {
		r := format.Record{Kind: format.KindIndex, Name: format.NameOf(objectsName, indexName), Data: []byte(index)}
		if public, found := v.Validate(&r); public != want || len(found) > 0 {
			t.Errorf("%q: public %v, %v", index, public, found)
		}
	}
}

// A private part in a public object keeps it from being called public, and so
// does what only private keys have: the classes of an EC key's two halves differ
// in one bit, and the private value stands where a certificate's does.
func TestSecretInPublicObject(t *testing.T) {
	const publicKey = cryptoki.CKO_PUBLIC_KEY
	for _, c := range []struct {
		name           string
		class, keyType uint32
		typ            uint32
		again          bool // the attribute, as it was, comes behind
	}{
		{"a private exponent", publicKey, cryptoki.CKK_RSA, cryptoki.CKA_PRIVATE_EXPONENT, false},
		{"an attribute that nobody knows", publicKey, cryptoki.CKK_RSA, 0x80424242, false},
		{"a private EC value", publicKey, cryptoki.CKK_EC, cryptoki.CKA_VALUE, false},
		{"a value in an RSA key", publicKey, cryptoki.CKK_RSA, cryptoki.CKA_VALUE, false},
		{"sensitive", publicKey, cryptoki.CKK_EC, cryptoki.CKA_SENSITIVE, false},
		{"extractable", publicKey, cryptoki.CKK_EC, cryptoki.CKA_EXTRACTABLE, false},
		{"never extractable", cryptoki.CKO_CERTIFICATE, 0, cryptoki.CKA_NEVER_EXTRACTABLE, false},
		{"always sensitive", cryptoki.CKO_CERTIFICATE, 0, cryptoki.CKA_ALWAYS_SENSITIVE, false},
		{"two values", cryptoki.CKO_CERTIFICATE, 0, cryptoki.CKA_VALUE, true},
		{"two labels", cryptoki.CKO_CERTIFICATE, 0, cryptoki.CKA_LABEL, true},
	} {
		r, info := publicObject(t, c.class, c.keyType)
		v, err := Backend{}.Validator(info)
		check(t, err)
		sound := r
		if public, found := v.Validate(&sound); !public || len(found) > 0 {
			t.Errorf("%s: public %v before, %v", c.name, public, found)
		}
		body := r.Data[tokendata.NewPublicHeader:]
		object := cryptoki.AppendAttribute(bytes.Clone(body), cryptoki.LittleEndian, c.typ, []byte("secret"))
		object[4]++
		if c.again {
			list := cryptoki.ObjectList(body, cryptoki.LittleEndian)
			for list.Next() {
				if list.Type == c.typ {
					object = cryptoki.AppendAttribute(object, cryptoki.LittleEndian, c.typ, list.Value)
					object[4]++
				}
			}
		}
		r.Data = append(bytes.Clone(r.Data[:tokendata.NewPublicHeader]), object...)
		binary.BigEndian.PutUint32(r.Data[tokendata.AtPublicLength:], uint32(len(object)))
		if public, found := v.Validate(&r); public || len(found) > 0 {
			t.Errorf("%s: public %v, %v", c.name, public, found)
		}
	}
}

// Objects of another machine, or of the other format, are not loaded there.
func TestForeignObjects(t *testing.T) {
	for _, c := range []struct{ from, into, file, kind string }{
		{"swtok-new-bigendian", "swtok-new-small", "", ByteOrder},
		{"swtok-old-bigendian", "swtok-old-small", "", ByteOrder},
		{"swtok-old-small", "swtok-new-small", "", Format},
		{"swtok-new-small", "swtok-old-small", "", Format},
	} {
		_, records := readToken(t, filepath.Join(fixtureDir, c.from))
		info, _ := readToken(t, filepath.Join(fixtureDir, c.into))
		v, err := Backend{}.Validator(info)
		check(t, err)
		for _, r := range records {
			if r.Kind != format.KindObject || c.from == "swtok-new-bigendian" && r.Flags&format.Private != 0 {
				continue
			}
			_, found := v.Validate(r)
			if len(found) != 1 || found[0].Kind != c.kind {
				t.Errorf("%s of %s in %s: %v", r.Name, c.from, c.into, found)
			}
		}
	}
}
