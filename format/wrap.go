package format

// The wrapped payloads of a part are one plaintext, details and own bytes of
// each wrapped record in order, sealed together with those records' headers.
// So a record costs its own bytes and no nonce and tag, and one that is wanted
// alone is opened with its part, which has to be read for it anyway.

const (
	nonceSize = 12
	macSize   = 32
)

// PayloadWrap wraps and unwraps the payloads of parts. It belongs to one
// goroutine.
type PayloadWrap struct {
	keys *Keys
	aad  []byte
}

// PayloadWrap gives a worker its own. Without tK it opens nothing.
func (k *Keys) PayloadWrap() *PayloadWrap { return &PayloadWrap{keys: k} }

// Wrap appends to dst the sealed payloads of those of recs that are wrapped,
// and nothing where none is. plain is, of each, Stored bytes: its details and
// its own bytes. It sets the records' payloads, which are part of what it
// returns.
func (p *PayloadWrap) Wrap(dst, plain []byte, recs []Record) ([]byte, error) {
	if !anyWrapped(recs) {
		return dst, nil
	}
	at := len(dst) + nonceSize
	dst, err := p.keys.payload.seal(dst, plain, p.bind(recs))
	if err != nil {
		return nil, err
	}
	for i := range recs {
		if r := &recs[i]; r.Flags&Wrapped != 0 {
			end := at + int(r.Stored)
			r.Payload, at = dst[at:end:end], end
		}
	}
	return dst, nil
}

// Unwrap appends to dst what was wrapped, of each wrapped record Stored bytes.
// beside is the part's, as Unpack got it.
func (p *PayloadWrap) Unwrap(dst []byte, recs []Record, beside []byte) ([]byte, error) {
	if !anyWrapped(recs) {
		return dst, nil
	}
	first, last := recs[0].Seq, recs[len(recs)-1].Seq
	if !p.keys.Restores() {
		return dst, badf(ErrNoKey, "records %d to %d: the payloads are wrapped, and a verifier's key does not open them", first, last)
	}
	out, err := p.keys.payload.open(dst, beside[:len(beside)-len(recs)*macSize], p.bind(recs))
	if err != nil {
		return dst, badf(ErrAuthentic, "records %d to %d: their wrap does not open", first, last)
	}
	return out, nil
}

// bind makes the additional data: archive id and the whole headers of the
// records that are wrapped.
func (p *PayloadWrap) bind(recs []Record) []byte {
	p.aad = append(p.aad[:0], p.keys.archive[:]...)
	for i := range recs {
		if r := &recs[i]; r.Flags&Wrapped != 0 {
			p.aad = r.AppendHeader(p.aad, int(r.Stored))
		}
	}
	return p.aad
}

func anyWrapped(recs []Record) bool {
	for i := range recs {
		if recs[i].Flags&Wrapped != 0 {
			return true
		}
	}
	return false
}
