package commands

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"time"

	"tokar/backends"
	"tokar/format"
	"tokar/format/cryptoki"
)

// appendRow appends one entry as list shows it:
//
//	op- private-key rsa 1231 swtok/10000000 label=backup id=01
//
// kind and marks, class, key type, size, name: what the index tells. A long row
// has mode, owner and time too,
//
//	op- rw-rw---- root/pkcs11 private-key rsa 1231 2026-11-01T10:00:00Z swtok/10000000
//
// which of most entries lie inside the wrap; a plus after the mode says that an
// access control list goes on from there. What a verifier's key does not
// show is a question mark.
//
// A list may have millions of them, so nothing is allocated for most.
func appendRow(b []byte, t *format.Token, r *format.Record, long bool) []byte {
	b = append(b, kindLetter(r.Kind))
	b = append(b, marks(r)...)
	b = append(b, ' ')
	when := ""
	if long {
		var mode string
		mode, when = attributes(r.Details.Attr)
		b = append(b, mode...)
	}
	b = padded(b, class(r), 18)
	b = padded(b, keyType(r), 15)
	var digits [10]byte
	size := strconv.AppendUint(digits[:0], uint64(r.Size), 10)
	b = append(b, "       "[min(len(size), 7):]...)
	b = append(b, size...)
	b = append(b, ' ')
	b = append(b, when...)
	start := len(b)
	b = append(append(append(b, t.Name...), '/'), r.Name...)
	for i := range b[start:] {
		if b[start+i] == 0 {
			b[start+i] = '/'
		}
	}
	b = quoted(b, start)
	if len(r.Details.Label) > 0 {
		b = append(b, " label="...)
		start = len(b)
		b = quoted(append(b, r.Details.Label...), start)
	}
	if len(r.Details.ID) > 0 {
		b = hex.AppendEncode(append(b, " id="...), r.Details.ID)
	}
	return b
}

// quoted quotes what stands in b from start on, if that is needed; of words with
// blanks between them it makes no string.
func quoted(b []byte, start int) []byte {
	blank := false
	for _, c := range b[start:] {
		if c < ' ' || c >= 0x7f || c == '"' || c == '\\' {
			return append(b[:start], quote(string(b[start:]))...)
		}
		blank = blank || c == ' '
	}
	if blank {
		b = append(slices.Insert(b, start, '"'), '"')
	}
	return b
}

// padded appends a word, its blanks as hyphens, and blanks up to width, one at
// least.
func padded(b []byte, word string, width int) []byte {
	for i := range len(word) {
		c := word[i]
		if c == ' ' {
			c = '-'
		}
		b = append(b, c)
	}
	b = append(b, ' ')
	for n := len(word) + 1; n < width; n++ {
		b = append(b, ' ')
	}
	return b
}

// attributes are the columns that only a long row has.
func attributes(a format.Attr) (modeOwner, when string) {
	if !a.Known {
		return fmt.Sprintf("%-10s %-11s ", "?????????", "?/?"), fmt.Sprintf("%-20s ", "?")
	}
	mode := modeWord(a.Mode)
	if a.ACL != "" {
		mode += "+"
	}
	owner := nameOr(a.Owner, a.UID) + "/" + nameOr(a.Group, a.GID)
	return fmt.Sprintf("%-10s %-11s ", mode, owner), time.Unix(0, a.MTime).UTC().Format("2006-01-02T15:04:05Z ")
}

// nameOr is the name of a user or group, or of one without a name the number.
func nameOr(name string, id uint32) string {
	if name == "" {
		return fmt.Sprint(id)
	}
	return quote(name)
}

func kindLetter(k format.Kind) byte {
	switch k {
	case format.KindObject:
		return 'o'
	case format.KindState:
		return 's'
	case format.KindIndex:
		return 'i'
	case format.KindForeign:
		return 'f'
	}
	return '?'
}

// modeWord is the twelve permission bits as ls shows them.
func modeWord(m uint32) string {
	b := []byte("rwxrwxrwx")
	for i := range b {
		if m&(0o400>>i) == 0 {
			b[i] = '-'
		}
	}
	for i, c := range []byte("sst") {
		at := 3*i + 2
		switch {
		case m&(0o4000>>i) == 0:
		case b[at] == 'x':
			b[at] = c
		default:
			b[at] = c - 'a' + 'A'
		}
	}
	return string(b)
}

// marks are two letters: p for private, and the worst of what else is to say.
func marks(r *format.Record) string {
	private, state := "-", "-"
	if r.Flags&format.Private != 0 {
		private = "p"
	}
	switch {
	case r.Flags&format.Vanished != 0:
		state = "v"
	case r.Flags&format.Refused != 0:
		state = "r"
	case r.Flags&format.Damaged != 0:
		state = "d"
	case r.Flags&format.Unlisted != 0:
		state = "u"
	}
	return private + state
}

func class(r *format.Record) string {
	if r.Class == format.ClassNone {
		return "-"
	}
	return cryptoki.ShortClass(r.Class)
}

func keyType(r *format.Record) string {
	if r.Details.KeyType == format.ClassNone {
		return "-"
	}
	return cryptoki.ShortKeyType(r.Details.KeyType)
}

// heading introduces a token.
func heading(t *format.Token) string {
	line := quote(t.Name.String()) + ": " + escape(t.Kind)
	for _, p := range []struct{ word, value string }{
		{"label", t.Label}, {"manufacturer", t.Manufacturer}, {"model", t.Model}, {"serial", t.Serial},
	} {
		if p.value != "" {
			line += ", " + p.word + " " + quote(p.value)
		}
	}
	return line
}

// origin is the archive's own line.
func origin(a *format.Archive) string {
	return fmt.Sprintf("archive of %s, made on %s by %s", time.Unix(a.Made, 0).UTC().Format(time.RFC3339), quote(a.Host), quote(a.Writer))
}

// An attributer is a validator that can show the attributes of an object that
// its token shows without a PIN.
type attributer interface {
	Attributes(r *format.Record) (cryptoki.List, bool)
}

// shownAttributes are an object's attributes by name, in hex, as far as the key
// at hand opens it. Values that can be secret are named and not shown.
func shownAttributes(v backends.Validator, r *format.Record) (names []string, values map[string]string) {
	a, ok := v.(attributer)
	if !ok || r.Kind != format.KindObject || r.Flags&(format.Private|format.Damaged) != 0 || len(r.Data) == 0 {
		return nil, nil
	}
	list, ok := a.Attributes(r)
	if !ok {
		return nil, nil
	}
	values = map[string]string{}
	for list.Next() {
		name := cryptoki.AttributeName(list.Type)
		names = append(names, name)
		values[name] = hex.EncodeToString(list.Value)
		if secret(r, list.Type) {
			values[name] = fmt.Sprintf("(%d bytes, not shown)", len(list.Value))
		}
	}
	return names, values
}

// short is a value for people: of a long one, such as a modulus, the beginning.
func short(value string) string {
	const shown = 64
	switch {
	case value == "":
		return "(empty)"
	case len(value) > shown:
		return fmt.Sprintf("%s… (%d bytes)", value[:shown], len(value)/2)
	}
	return value
}

// secret says whether an attribute's value stays out of listings: CKA_VALUE of
// all but certificates and public keys, what may be part of a private key, and
// of wrapped objects what a vendor defined, such as key blobs.
func secret(r *format.Record, attribute uint32) bool {
	switch {
	case attribute == cryptoki.CKA_VALUE:
		return r.Class != cryptoki.CKO_CERTIFICATE && r.Class != cryptoki.CKO_PUBLIC_KEY
	case attribute >= cryptoki.CKA_VENDOR_DEFINED && r.Flags&format.Wrapped != 0:
		return true
	}
	return cryptoki.MaybeSecret(attribute)
}
