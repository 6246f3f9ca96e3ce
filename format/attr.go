package format

import (
	"bytes"
	"strings"
)

// Attr is what the file system says of a file or directory. Two that are equal
// say the same.
type Attr struct {
	Known bool   // false for what is no file
	Mode  uint32 // the twelve permission bits
	UID   uint32
	GID   uint32
	MTime int64 // nanoseconds since 1970 UTC

	Owner      string // what UID was called where it was read, if anything
	Group      string // the same of GID
	ACL        ACL    // who else has access; none: the mode says all
	DefaultACL ACL    // of a directory: what is made in it begins with this
	Security   string // SELinux's label, without its terminating zero byte, if any
}

// append encodes a on its own, as a token's descriptor has it.
func (a Attr) append(b []byte) []byte {
	b = be.AppendUint32(b, a.Mode)
	b = be.AppendUint32(b, a.UID)
	b = be.AppendUint32(b, a.GID)
	b = be.AppendUint64(b, uint64(a.MTime))
	b = appendIDName(b, a.Owner)
	b = appendIDName(b, a.Group)
	for _, v := range []string{string(a.ACL), string(a.DefaultACL), security(a.Security)} {
		b = be.AppendUint16(b, uint16(len(v)))
		b = append(b, v...)
	}
	return b
}

// decodeAttr reads what append wrote, and gives what stands behind it.
func decodeAttr(v []byte) (a Attr, rest []byte, err error) {
	r := byteReader{b: v}
	a = Attr{Known: true, Mode: r.u32(), UID: r.u32(), GID: r.u32(), MTime: int64(r.u64())}
	if a.Owner, err = r.idName(); err != nil {
		return a, nil, err
	}
	if a.Group, err = r.idName(); err != nil {
		return a, nil, err
	}
	if a.ACL, err = decodeACL(r.bytes(int(r.u16())), true); err != nil {
		return a, nil, err
	}
	if a.DefaultACL, err = decodeACL(r.bytes(int(r.u16())), false); err != nil {
		return a, nil, err
	}
	if a.Security, err = decodeSecurity(r.bytes(int(r.u16()))); err != nil {
		return a, nil, err
	}
	if r.err == nil && a.Mode&^0o7777 != 0 {
		r.err = badf(ErrMalformed, "file mode %#o", a.Mode)
	}
	return a, r.b, r.err
}

// appendDifferences encodes, as fields of details, what of a is not the
// token's default. A field without bytes says that the default has something
// there, and the file nothing.
func (a *Attr) appendDifferences(b []byte, def *Attr) []byte {
	if a.Owner != def.Owner {
		b = appendField(b, tagOwner, []byte(idName(a.Owner)))
	}
	if a.Group != def.Group {
		b = appendField(b, tagGroup, []byte(idName(a.Group)))
	}
	if a.ACL != def.ACL {
		b = appendField(b, tagACL, []byte(a.ACL))
	}
	if a.Security != def.Security {
		b = appendField(b, tagSecurity, []byte(security(a.Security)))
	}
	return b
}

// appendIDName writes the name of a user or group behind its length (u8).
func appendIDName(b []byte, name string) []byte {
	name = idName(name)
	return append(append(b, byte(len(name))), name...)
}

// idName is a name as archives have it; of what is no name, none.
func idName(name string) string {
	if len(name) > MaxIDName || strings.IndexByte(name, 0) >= 0 {
		return ""
	}
	return name
}

// idName takes off what appendIDName wrote.
func (r *byteReader) idName() (string, error) {
	v := r.bytes(int(r.u8()))
	if r.err != nil {
		return "", r.err
	}
	return decodeIDName(v)
}

func decodeIDName(v []byte) (string, error) {
	if len(v) > MaxIDName || bytes.IndexByte(v, 0) >= 0 {
		return "", badf(ErrMalformed, "the name of a user or group has %d bytes, or a zero byte", len(v))
	}
	return string(v), nil
}

// security is a label as archives have it: of another kind than labels are, it
// is none.
func security(s string) string {
	if len(s) > MaxSecurity || strings.IndexByte(s, 0) >= 0 {
		return ""
	}
	return s
}

func decodeSecurity(v []byte) (string, error) {
	if len(v) > MaxSecurity || bytes.IndexByte(v, 0) >= 0 {
		return "", badf(ErrMalformed, "a security label has %d bytes, or a zero byte", len(v))
	}
	return string(v), nil
}
