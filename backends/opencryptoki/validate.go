package opencryptoki

import (
	"bytes"

	"tokar/backends"
	"tokar/backends/opencryptoki/tokendata"
	"tokar/format"
	"tokar/format/cryptoki"
)

// validator checks entries of one token without a PIN. Private objects can be
// checked in length and header only: their bytes prove themselves to who has
// the master key. Public objects have no check value in either format, so all
// that they hold is looked at.
type validator struct {
	format     string
	order      cryptoki.Order
	orderKnown bool
	block      int // of the cipher of old private objects
}

// Validator checks entries of t.
func (Backend) Validator(t *format.Token) (backends.Validator, error) {
	v := &validator{format: t.Property(propFormat), block: tokendata.BlockDES}
	switch t.Property(propByteOrder) {
	case cryptoki.BigEndian.String():
		v.order, v.orderKnown = cryptoki.BigEndian, true
	case cryptoki.LittleEndian.String():
		v.orderKnown = true
	}
	if t.Property(propVariant) == tokendata.TPM {
		v.block = tokendata.BlockAES
	}
	return v, nil
}

// report gathers the findings on one record.
type report struct {
	findings
	r *format.Record
}

func (p *report) add(kind string, offset int, form string, args ...any) {
	p.findings.add(kind, entryPath(p.r.Kind, p.r.Name), offset, form, args...)
}

// Validate judges an entry by its bytes. The index is judged where it is
// listed, beside the directory; foreign files are not judged. An index of
// nothing but names is public, for an archive shows the names of objects anyway.
func (v *validator) Validate(r *format.Record) (public bool, found []format.Finding) {
	p := report{r: r}
	switch r.Kind {
	case format.KindObject:
		public = v.object(&p)
	case format.KindState:
		v.state(&p)
	case format.KindIndex:
		public = onlyNames(r.Data)
	}
	return public && len(p.list) == 0, p.all()
}

// object checks an object file; true if all it holds is public.
func (v *validator) object(p *report) bool {
	b := p.r.Data
	if len(b) == 0 {
		p.add(Empty, 0, "no bytes: a write that did not end, or a name without an object")
		return false
	}
	h := tokendata.ParseObject(b, v.format)
	if h.Private {
		p.r.Flags |= format.Private
	}
	if len(b) > tokendata.AtPrivate && b[tokendata.AtPrivate] > 1 {
		p.add(PrivateFlag, tokendata.AtPrivate, "the private flag is %d, neither 0 nor 1", b[tokendata.AtPrivate])
	}
	if v.format != tokendata.Unknown && h.Format != v.format {
		p.add(Format, 0, "an object in the %s format in a token of the %s one: the library does not load it", h.Format, v.format)
	}
	switch {
	case h.Private && v.looksPublic(b, h.Format):
		p.add(PrivateFlag, tokendata.AtPrivate, "marked private, but it holds a public object in clear")
		return false
	case !h.Private && v.looksPrivate(b, h.Format, p.r.Name):
		p.add(PrivateFlag, tokendata.AtPrivate, "marked public, but it holds an encrypted object")
		return false
	case h.Format == tokendata.Old:
		v.oldHeader(p, b, h)
	default:
		v.newHeader(p, b, h)
	}
	if h.Private || len(h.Body) == 0 {
		return false
	}
	return v.content(p, h)
}

// oldHeader checks the length word, and of private objects the body's length.
func (v *validator) oldHeader(p *report, b []byte, h tokendata.Object) {
	if len(b) < tokendata.OldHeader {
		p.add(Truncated, len(b), "ends after %d of the %d bytes of its header", len(b), tokendata.OldHeader)
		return
	}
	n := v.oldLength(b)
	if order, ok := tokendata.OldWord(b); ok && v.orderKnown && v.order.Uint32(b) != n {
		p.add(ByteOrder, 0, "%s-endian in a token of a %s-endian machine: the library does not load it", order, v.order)
	}
	p.length(0, n, tokendata.OldHeader, 0)
	body := len(b) - tokendata.OldHeader
	if h.Private && n == uint32(len(b)) && (body < tokendata.OldLeastBody || body%v.block != 0) {
		p.add(Length, 0, "an encrypted body of %d bytes; it has at least %d and is a multiple of %d", body, tokendata.OldLeastBody, v.block)
	}
}

// oldLength is the length word in the file's order, or, where the file does
// not tell that, in the token's.
func (v *validator) oldLength(b []byte) uint32 {
	if order, ok := tokendata.OldWord(b); ok {
		return order.Uint32(b)
	}
	if v.orderKnown {
		return v.order.Uint32(b)
	}
	return min(cryptoki.LittleEndian.Uint32(b), cryptoki.BigEndian.Uint32(b))
}

// newHeader checks version, reserved bytes, length and the name in the IV.
func (v *validator) newHeader(p *report, b []byte, h tokendata.Object) {
	header, tag, lengthAt, reserved := tokendata.NewPublicHeader, 0, tokendata.AtPublicLength, 7
	if h.Private {
		header, tag, lengthAt, reserved = tokendata.NewPrivateHeader, tokendata.NewTag, tokendata.AtPrivateLength, 3
	}
	if len(b) < header {
		p.add(Truncated, len(b), "ends after %d of the %d bytes of its header", len(b), header)
		return
	}
	if order, ok := tokendata.NewWord(b); !ok || h.Private && order != cryptoki.BigEndian {
		p.add(Header, 0, "version %x, not %08x", b[:4], tokendata.Version312)
	}
	if at := tokendata.AtPrivate + 1; !allZero(b[at : at+reserved]) {
		p.add(Header, at, "reserved bytes are %x, not zero", b[at:at+reserved])
	}
	if h.Private && !bytes.Equal(b[tokendata.AtIV:tokendata.AtIV+objectNameLen], p.r.Name) {
		p.add(Name, tokendata.AtIV, "the IV begins with the name %s: the object was renamed or damaged", quote(b[tokendata.AtIV:tokendata.AtIV+objectNameLen]))
	}
	p.length(lengthAt, h.Order.Uint32(b[lengthAt:]), header, tag)
}

// length compares a length field at offset with the file. In the old format it
// counts the whole file (header is then the least), in the new the body.
func (p *report) length(offset int, n uint32, header, tag int) {
	size := uint64(len(p.r.Data))
	want := uint64(n)
	if offset > 0 {
		want += uint64(header + tag)
	}
	switch {
	case n >= 1<<31 || want > format.MaxObject || want <= uint64(header+tag):
		p.add(Length, offset, "the length field says %d, which no object has", n)
	case want > size:
		p.add(Truncated, len(p.r.Data), "ends after %d of the %d bytes that its length field at byte %d tells", size, want, offset)
	case want < size:
		p.add(Trailing, int(want), "goes on for %d bytes after the end that its length field at byte %d tells", size-want, offset)
	}
}

// looksPublic says whether a file marked private is a whole public object:
// only its flag was changed then. Cipher text does not begin with the zeros
// that a public object has there.
func (v *validator) looksPublic(b []byte, objectFormat string) bool {
	at := tokendata.OldHeader
	if objectFormat == tokendata.New {
		at = tokendata.NewPublicHeader
	}
	if len(b) < at+cryptoki.ObjectHeader || !allZero(b[at:at+4]) {
		return false
	}
	list := cryptoki.ObjectList(b[at:], v.orderOf(b[at:]))
	for list.Next() {
	}
	return list.Err() == nil
}

// looksPrivate says whether a file marked public is a private object: in the
// new format by its header, in the old one by its length and a class word that
// is not the zero of every object in clear.
func (v *validator) looksPrivate(b []byte, objectFormat string, name format.Name) bool {
	if objectFormat == tokendata.New {
		return len(b) > tokendata.NewPrivateHeader+tokendata.NewTag && allZero(b[tokendata.AtPrivate:tokendata.AtPrivate+4]) &&
			bytes.Equal(b[tokendata.AtIV:tokendata.AtIV+objectNameLen], name) &&
			int64(cryptoki.BigEndian.Uint32(b[tokendata.AtPrivateLength:])) == int64(len(b)-tokendata.NewPrivateHeader-tokendata.NewTag)
	}
	body := len(b) - tokendata.OldHeader
	if body < tokendata.OldLeastBody || body%v.block != 0 || allZero(b[tokendata.OldHeader:tokendata.OldHeader+4]) {
		return false
	}
	list := cryptoki.ObjectList(b[tokendata.OldHeader:], v.orderOf(b[tokendata.OldHeader:]))
	return !list.Next()
}

// orderOf is the byte order inside an object: its own if it tells, else the
// token's.
func (v *validator) orderOf(body []byte) cryptoki.Order {
	if order, ok := cryptoki.OrderOf(body); ok {
		return order
	}
	return v.order
}

// state checks state files by name.
func (v *validator) state(p *report) {
	b := p.r.Data
	switch name := string(baseName(p.r.Name)); {
	case name == nvtokName:
		checkNVTOK(b, &p.findings)
	case name == soKeyName, name == userKeyName:
		v.masterKey(p)
	case name == tpmKeyName && len(b) != tokendata.KeyFileTPM:
		p.add(Length, -1, "%d bytes; it has %d", len(b), tokendata.KeyFileTPM)
	case len(name) > len(pemSuffix) && name[len(name)-len(pemSuffix):] == pemSuffix:
		checkPEM(p)
	}
}

// masterKey checks the length of MK_SO and MK_USER: they prove themselves to
// who has the PIN.
func (v *validator) masterKey(p *report) {
	n := len(p.r.Data)
	isOld := n == tokendata.KeyFileOld || n == tokendata.KeyFileCCA
	isNew := n == tokendata.KeyFileNew
	least := tokendata.KeyFileOld
	if v.format == tokendata.New {
		least = tokendata.KeyFileNew
	}
	switch {
	case isOld && v.format != tokendata.New, isNew && v.format != tokendata.Old:
	case n == 0:
		p.add(Empty, 0, "no bytes; it has %d", least)
	case n < least:
		p.add(Truncated, n, "ends after %d of %d bytes", n, least)
	default:
		p.add(Length, -1, "%d bytes; in a token of the %s format it has %d", n, v.format, least)
	}
}

// checkPEM looks for the first and last line of a PEM file.
func checkPEM(p *report) {
	b := p.r.Data
	switch {
	case len(b) == 0:
		p.add(Empty, 0, "no bytes")
	case !bytes.HasPrefix(b, []byte("-----BEGIN ")):
		p.add(Header, 0, "does not begin as a PEM file")
	case !bytes.Contains(b, []byte("\n-----END ")):
		p.add(Truncated, len(b), "the PEM block does not end")
	}
}

// Attributes walks the attributes of an object that the token shows without a
// PIN, and that validated.
func (v *validator) Attributes(r *format.Record) (cryptoki.List, bool) {
	h := tokendata.ParseObject(r.Data, v.format)
	if r.Kind != format.KindObject || h.Private {
		return cryptoki.List{}, false
	}
	return cryptoki.ObjectList(h.Body, v.orderOf(h.Body)), true
}
