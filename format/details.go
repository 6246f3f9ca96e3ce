package format

import "math/bits"

// Details is what a record says of its object besides the fixed header. It
// stands in clear in the metadata of a record that is not wrapped, and before
// the object's bytes inside the wrap of one that is.
type Details struct {
	KeyType  uint32 // CKA_KEY_TYPE, or ClassNone
	Label    []byte // CKA_LABEL
	ID       []byte // CKA_ID
	Attr     Attr
	Findings []Finding
}

const (
	tagKeyType = 1 + iota
	tagLabel
	tagID
	tagMode
	tagUID
	tagGID
	tagMTime
	tagFinding
	tagOwner
	tagGroup
	tagACL
	tagSecurity
)

// Append encodes d onto b. What of d.Attr equals the token's default is left
// out; the time is the difference from the default's.
func (d *Details) Append(b []byte, def Attr) []byte {
	if d.KeyType != ClassNone {
		b = appendU32(b, tagKeyType, d.KeyType)
	}
	if len(d.Label) > 0 {
		b = appendField(b, tagLabel, d.Label[:min(len(d.Label), 1<<15)])
	}
	if len(d.ID) > 0 {
		b = appendField(b, tagID, d.ID[:min(len(d.ID), 1<<12)])
	}
	if d.Attr.Known {
		if !def.Known || d.Attr.Mode != def.Mode {
			b = appendU32(b, tagMode, d.Attr.Mode)
		}
		if !def.Known || d.Attr.UID != def.UID {
			b = appendU32(b, tagUID, d.Attr.UID)
		}
		if !def.Known || d.Attr.GID != def.GID {
			b = appendU32(b, tagGID, d.Attr.GID)
		}
		b = appendSigned(b, tagMTime, d.Attr.MTime-def.MTime)
	}
	for _, f := range d.Findings[:min(len(d.Findings), 64)] {
		b = appendField(b, tagFinding, f.encode())
	}
	if d.Attr.Known {
		b = d.Attr.appendDifferences(b, &def)
	}
	return b
}

// Decode reads details that Append wrote. Label and ID stay in b.
func (d *Details) Decode(b []byte, def Attr) error {
	*d = Details{KeyType: ClassNone}
	attr := def
	attr.Known = false
	for f, err := range fields(b, string(rune(tagFinding))) {
		if err != nil {
			return err
		}
		switch f.tag {
		case tagKeyType:
			d.KeyType, err = f.u32()
		case tagLabel:
			d.Label = f.value
		case tagID:
			d.ID = f.value
		case tagMode:
			attr.Mode, err = f.u32()
		case tagUID:
			attr.UID, err = f.u32()
		case tagGID:
			attr.GID, err = f.u32()
		case tagMTime:
			var after int64
			after, err = f.signed()
			attr.MTime, attr.Known = def.MTime+after, true
		case tagFinding:
			var finding Finding
			finding, err = decodeFinding(f.value)
			d.Findings = append(d.Findings, finding)
		case tagOwner:
			attr.Owner, err = decodeIDName(f.value)
		case tagGroup:
			attr.Group, err = decodeIDName(f.value)
		case tagACL:
			attr.ACL, err = decodeACL(f.value, true)
		case tagSecurity:
			attr.Security, err = decodeSecurity(f.value)
		default:
			err = f.unknown("an entry's details")
		}
		if err != nil {
			return err
		}
	}
	if attr.Known {
		if attr.Mode&^0o7777 != 0 {
			return badf(ErrMalformed, "file mode %#o", attr.Mode)
		}
		d.Attr = attr
	}
	return nil
}

func appendU32(b []byte, tag byte, v uint32) []byte {
	b = append(b, tag, 0, 4)
	return be.AppendUint32(b, v)
}

func appendU64(b []byte, tag byte, v uint64) []byte {
	b = append(b, tag, 0, 8)
	return be.AppendUint64(b, v)
}

// appendSigned writes v in as few bytes of two's complement as hold it, 0 in
// none.
func appendSigned(b []byte, tag byte, v int64) []byte {
	n := signedLen(v)
	b = append(b, tag, 0, byte(n))
	for ; n > 0; n-- {
		b = append(b, byte(v>>(8*(n-1))))
	}
	return b
}

func signedLen(v int64) int {
	if v == 0 {
		return 0
	}
	return bits.Len64(uint64(v^v>>63))/8 + 1
}
