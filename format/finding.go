package format

// A Finding is something wrong with an object, a file or a token that does
// not stop the run: it is reported, travels in the archive with its record,
// and makes the exit code 1.
type Finding struct {
	Kind    string // a short constant word, such as "truncated"; each backend lists its own
	File    string // path below the token, such as "TOK_OBJ/10000000"; may be empty
	Offset  int64  // byte in File, or -1
	Message string // what is wrong, for people; no secret in it
}

// encode makes a finding's field value: offset, then kind, file and message,
// each closed by a zero byte but the last.
func (f Finding) encode() []byte {
	b := be.AppendUint64(nil, uint64(f.Offset))
	b = append(append(b, clip(f.Kind, 64)...), 0)
	b = append(append(b, clip(f.File, MaxName)...), 0)
	return append(b, clip(f.Message, 1024)...)
}

func decodeFinding(v []byte) (Finding, error) {
	if len(v) < 8 {
		return Finding{}, badf(ErrMalformed, "a finding of %d bytes", len(v))
	}
	kind, rest, ok1 := cutZero(v[8:])
	file, message, ok2 := cutZero(rest)
	if !ok1 || !ok2 {
		return Finding{}, badf(ErrMalformed, "a finding without its parts")
	}
	return Finding{
		Kind:    string(kind),
		File:    string(file),
		Offset:  int64(be.Uint64(v)),
		Message: string(message),
	}, nil
}
