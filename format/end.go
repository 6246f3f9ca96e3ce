package format

import (
	"bytes"
	"crypto/hmac"
	"fmt"
	"hash/crc32"
)

// End is the end block: what stands before it, and the proof of it.
type End struct {
	Counts
	Root      [32]byte
	Signature []byte // SSHSIG over the message; empty: not signed
	Proof     [32]byte
}

// Message is M, what a signature and T stand over. Whether a signature holds is
// for package signature to say: this one knows no SSH.
func (h *Header) Message(e *End) []byte {
	b := append([]byte("tokar/1 end\x00"), 0, Suite)
	b = append(b, h.core[:]...)
	b = e.Counts.append(b)
	return append(b, e.Root[:]...)
}

func (c Counts) append(b []byte) []byte {
	for _, n := range []uint64{c.Data, c.Index, c.Records, c.Tokens, c.Superseded} {
		b = be.AppendUint64(b, n)
	}
	return b
}

// proof is T: it shows every restorer that who wrote the end had tK.
func (e *End) proof(h *Header, k *Keys) (t [32]byte) {
	mac := newHMAC(k.proof)
	mac.Write(h.Message(e))
	mac.Write(be.AppendUint32(nil, uint32(len(e.Signature))))
	mac.Write(e.Signature)
	mac.Sum(t[:0])
	return t
}

// NewEnd makes the end of what d lists. sign makes the signature of a message;
// nil leaves it out.
func (h *Header) NewEnd(k *Keys, d *FrameDirectory, sign func(message []byte) ([]byte, error)) (*End, error) {
	e := &End{Counts: d.Counts(), Root: Root(d.Bytes())}
	if sign != nil {
		var err error
		if e.Signature, err = sign(h.Message(e)); err != nil {
			return nil, err
		}
		if len(e.Signature) > MaxSignature {
			return nil, fmt.Errorf("a signature of %d bytes; an archive has room for %d", len(e.Signature), MaxSignature)
		}
	}
	e.Proof = e.proof(h, k)
	return e, nil
}

// Encode makes the end block's front.
func (e *End) Encode() []byte {
	b := e.Counts.append(nil)
	b = append(b, e.Root[:]...)
	b = be.AppendUint32(b, uint32(len(e.Signature)))
	b = append(b, e.Signature...)
	return append(b, e.Proof[:]...)
}

// DecodeEnd reads the end block's front and, with tK, checks T. It bounds the
// signature and does not look into it. What it gives is not part of b.
func (h *Header) DecodeEnd(k *Keys, b []byte) (*End, error) {
	r := &byteReader{b: b}
	e := &End{Counts: Counts{Data: r.u64(), Index: r.u64(), Records: r.u64(), Tokens: r.u64(), Superseded: r.u64()}}
	copy(e.Root[:], r.bytes(32))
	n := r.u32()
	if n > MaxSignature {
		return nil, badf(ErrMalformed, "a signature of %d bytes", n)
	}
	e.Signature = bytes.Clone(r.bytes(int(n)))
	copy(e.Proof[:], r.bytes(32))
	if err := r.end("the end block"); err != nil {
		return nil, err
	}
	if k.Restores() {
		if t := e.proof(h, k); !hmac.Equal(t[:], e.Proof[:]) {
			return nil, badf(ErrAuthentic, "the end's proof does not hold: not written by who had the restore key")
		}
	}
	return e, nil
}

// FooterMagic begins the footer.
const FooterMagic = "tokarEND"

// FooterSize is the length of the footer, the last bytes of an archive.
const FooterSize = 40

// Footer says where to look. It is a hint: what is found through it proves
// itself.
type Footer struct {
	Frames    uint64 // length of all frames
	Directory uint64 // offset of the first directory block, from the first frame
	End       uint64 // offset of the end block
	Header    uint32 // length of the end copy of the header
}

// Encode makes the footer: magic, the three numbers as u64, Header as u32,
// CRC-32C.
func (f Footer) Encode() []byte {
	b := append(make([]byte, 0, FooterSize), FooterMagic...)
	b = be.AppendUint64(b, f.Frames)
	b = be.AppendUint64(b, f.Directory)
	b = be.AppendUint64(b, f.End)
	b = be.AppendUint32(b, f.Header)
	return be.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

// DecodeFooter reads the last bytes of an archive.
func DecodeFooter(b []byte) (Footer, error) {
	if len(b) != FooterSize || string(b[:8]) != FooterMagic {
		return Footer{}, badf(ErrTruncated, "no footer at its end")
	}
	if crc32.Checksum(b[:FooterSize-4], castagnoli) != be.Uint32(b[FooterSize-4:]) {
		return Footer{}, badf(ErrChecksum, "the footer's checksum does not hold")
	}
	f := Footer{Frames: be.Uint64(b[8:]), Directory: be.Uint64(b[16:]), End: be.Uint64(b[24:]), Header: be.Uint32(b[32:])}
	if f.Frames > 1<<62 || f.Directory > f.End || f.End > f.Frames || f.Header > MaxHeader {
		return Footer{}, badf(ErrChecksum, "a footer that contradicts itself")
	}
	return f, nil
}
