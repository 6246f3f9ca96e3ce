package opencryptoki

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	"tokar/backends"
	"tokar/backends/opencryptoki/tokendata"
	"tokar/format"
)

// kinship is how a token that stands somewhere is related to an archived one.
type kinship int

const (
	unknownKin kinship = iota // cannot be told without a PIN
	samePINs                  // its PIN state is the archive's, byte for byte
	sameToken                 // its master key is the archive's, its PIN state is not
	otherToken                // its master key is another
)

// comparison learns an archived token, entry by entry, and compares it with one
// that stands in a directory, without a PIN.
type comparison struct {
	objects  int // descriptor of its TOK_OBJ, or -1
	close    func() error
	format   string
	tpm      bool
	live     pinState
	archived pinState

	met, equal int // private objects in both; equal, or with equal wrapped keys
	keys, held int // of a TPM token: objects that hold its PINs; those there as archived
	buf        []byte
}

// Limits on what is learned of a hostile archive.
const (
	maxStateFiles = 64
	maxStateFile  = 64 << 10
	maxMet        = 256 // private objects compared without one that is equal
)

// Compare begins to compare the token at loc with the archived t.
func (Backend) Compare(ctx context.Context, loc backends.Location, t *format.Token) (backends.Comparison, error) {
	on, err := openFor(ctx, loc, true)
	if err != nil {
		return nil, err
	}
	c, err := compareWith(on.objects, on.scan, t, func(e *backends.Entry) (file, error) { return on.readEntry(e, make([]byte, 4<<10)) })
	if err != nil {
		on.Close()
		return nil, fmt.Errorf("token %s: %w", loc.Name, err)
	}
	c.close = on.Close
	return c, nil
}

// compareWith reads the PIN state of a token directory.
func compareWith(objects int, s *scan, t *format.Token, read func(*backends.Entry) (file, error)) (*comparison, error) {
	c := &comparison{
		objects: objects, close: func() error { return nil },
		format: t.Property(propFormat), tpm: t.Property(propVariant) == tokendata.TPM,
		live: pinState{}, archived: pinState{}, buf: make([]byte, 4<<10),
	}
	for i := range s.state {
		e := &s.state[i]
		if e.Flags&format.Refused != 0 || len(c.live) == maxStateFiles {
			continue
		}
		f, err := read(e)
		if err != nil {
			return nil, fmt.Errorf("cannot read %s: %w", e.Name, err)
		}
		c.live[e.Name.String()] = bytes.Clone(f.data)
	}
	return c, nil
}

// Learn takes an archived entry.
func (c *comparison) Learn(r *format.Record) {
	switch {
	case r.Kind == format.KindState && r.Absent():
		delete(c.archived, r.Name.String())
	case r.Kind == format.KindState:
		if len(c.archived) < maxStateFiles && len(r.Data) <= maxStateFile {
			c.archived[r.Name.String()] = bytes.Clone(r.Data)
		}
	case r.Kind == format.KindObject && !r.Absent():
		c.object(r)
	}
}

// tpmKeys are the CKA_IDs of the objects that a TPM token's PINs live in.
var tpmKeys = []string{"PUBLIC ROOT KEY", "PUBLIC LEAF KEY", "PRIVATE ROOT KEY", "PRIVATE LEAF KEY"}

// object compares what tells of the master key, or a TPM token's PINs.
func (c *comparison) object(r *format.Record) {
	h := tokendata.ParseObject(r.Data, c.format)
	pinKey := c.tpm && slices.Contains(tpmKeys, string(r.Details.ID))
	if pinKey {
		c.keys++
	}
	if c.objects < 0 || !isObjectName(r.Name) || !pinKey && (c.tpm || !h.Private || c.equal > 0 || c.met >= maxMet) {
		return // all TPM tokens have the same master key: zeros
	}
	f, err := readFile(c.objects, r.Name, c.buf)
	if err != nil {
		return
	}
	if pinKey && bytes.Equal(f.data, r.Data) {
		c.held++
	}
	there := tokendata.ParseObject(f.data, c.format)
	if !h.Private || !there.Private || h.Format != there.Format {
		return
	}
	c.met++
	if bytes.Equal(f.data, r.Data) || h.Format == tokendata.New && bytes.Equal(tokendata.WrappedKey(f.data), tokendata.WrappedKey(r.Data)) {
		c.equal++
	}
}

// samePINState compares the files; the name of the next object, which is in
// NVTOK.DAT up to 3.17, has nothing to do with PINs. A PEM file that one of them
// has and the other has off the disk tells of no other PIN.
func (c *comparison) samePINState() bool {
	if c.tpm && !c.sameKeys() {
		return false
	}
	for name, a := range c.archived {
		b, there := c.live[name]
		if !there && c.detached(name) {
			continue
		}
		if !there || !bytes.Equal(withoutNext(name, a), withoutNext(name, b)) {
			return false
		}
	}
	for name := range c.live {
		if _, there := c.archived[name]; !there && !c.detached(name) {
			return false
		}
	}
	return len(c.live) > 0
}

// sameKeys says of a TPM token whether the objects that its PINs live in are the
// archive's.
func (c *comparison) sameKeys() bool { return c.keys > 0 && c.held == c.keys }

// detached says whether a state file may be kept off the disk.
func (c *comparison) detached(name string) bool {
	_, pem := hierarchyOf(name)
	return c.tpm && pem
}

func withoutNext(name string, b []byte) []byte {
	if name != nvtokName || len(b) < tokendata.AtTweaks {
		return b
	}
	return slices.Concat(b[:tokendata.AtNextName], b[tokendata.AtTweaks:])
}

// kinship tells how the two are related, and why. What points both ways, or
// nowhere, is not decided here.
func (c *comparison) kinship() (kinship, string) {
	if c.samePINState() {
		return samePINs, ""
	}
	same, other := c.proofs()
	switch {
	case same != "" && other == "":
		return sameToken, same
	case other != "" && same == "":
		return otherToken, other
	case same != "":
		return unknownKin, same + ", but " + other
	}
	return unknownKin, "nothing that both hold shows it"
}

func (c *comparison) proofs() (same, other string) {
	a, b := tokendata.ParseNVTOK(c.archived[nvtokName]), tokendata.ParseNVTOK(c.live[nvtokName])
	known := a.Format != tokendata.Unknown && b.Format != tokendata.Unknown
	if known && a.Format != b.Format {
		other = fmt.Sprintf("it is in the %s format, the archive's in the %s", b.Format, a.Format)
	} else if known && a.OrderKnown && a.Order != b.Order {
		other = fmt.Sprintf("it was written by a %s-endian machine, the archive's by a %s-endian", b.Order, a.Order)
	} else if x, y := a.Variant(), b.Variant(); known && x != tokendata.Unknown && y != tokendata.Unknown && x != y {
		other = fmt.Sprintf("it is a token of kind %s, the archive's of kind %s", y, x)
	}
	for _, r := range tokendata.Roles {
		x, y := c.archived[r.KeyFile], c.live[r.KeyFile]
		if len(x) < tokendata.KeyFileNew || len(x) != len(y) || !r.Set(c.archived[nvtokName]) || !r.Set(c.live[nvtokName]) {
			continue
		}
		switch equal := bytes.Equal(x, y); {
		case equal:
			same = r.KeyFile + " is the same"
		case known && a.Format == b.Format && r.Same(c.archived[nvtokName], c.live[nvtokName]):
			other = "the " + r.Name + " is the same and the master key in " + r.KeyFile + " is not"
		}
	}
	switch {
	case c.equal > 0:
		same = "it holds a private object of the archive under the same master key"
	case c.met > 0 && c.format == tokendata.New:
		other = "its private objects are under another master key"
	case c.held > 0:
		same = "it holds a key of the archive that a PIN protects"
	}
	return same, other
}

// Other says whether nothing of the archive opens in what stands there.
func (c *comparison) Other() bool {
	kin, _ := c.kinship()
	return kin == otherToken
}

// Words says whether it is the same token, and whose PINs it has.
func (c *comparison) Words() []string {
	kin, why := c.kinship()
	switch kin {
	case samePINs:
		return []string{"the PINs are those of the archive"}
	case otherToken:
		words := []string{"another token than the archive's: " + why}
		if c.againKin() {
			words = append(words, "its label and kind are those of the archive's: it was probably initialised again since, with another master key, and its PINs open nothing that the archive holds")
		}
		return words
	case unknownKin:
		return append([]string{"whether it is the archive's token cannot be told without a PIN: " + why}, c.pins()...)
	}
	return append([]string{"the same token as the archive's: " + why}, c.pins()...)
}

// againKin says of another token whether all but the master key speaks for its
// being the archive's, initialised again.
func (c *comparison) againKin() bool {
	a, b := tokendata.ParseNVTOK(c.archived[nvtokName]), tokendata.ParseNVTOK(c.live[nvtokName])
	return a.Format != tokendata.Unknown && a.Format == b.Format && a.Variant() == b.Variant() && a.Label == b.Label && a.Serial == b.Serial
}

// Close forgets what was learned.
func (c *comparison) Close() error {
	for _, s := range []pinState{c.live, c.archived} {
		for _, b := range s {
			clear(b)
		}
		clear(s)
	}
	return c.close()
}
