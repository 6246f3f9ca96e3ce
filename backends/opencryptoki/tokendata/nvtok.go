package tokendata

import (
	"bytes"
	"strings"

	"tokar/format/cryptoki"
)

// NVTOK.DAT is a C structure in old tokens, in the writer's byte order, and
// big-endian in new ones, which append version and PIN derivation data
// (host_defs.h, loadsave.c). ICSF appends a slot record of 20,752 bytes to
// either (icsf_specific.c).
const (
	NVTOKOld   = 232
	NVTOKNew   = 592
	ICSFRecord = 20752

	AtFlags      = 96  // u32
	AtMaxPIN     = 116 // u32, then the least length
	atVersions   = 140 // of hardware and firmware, two bytes each
	AtPINHashes  = 160 // SHA-1 of user and SO PIN, 20 + 4 bytes each
	AtNextName   = 208
	AtTweaks     = 216 // four u32, each 0 or 1
	AtVersion    = 232
	AtIterations = 240 // u64 at 240, 344, 448 and 520

	// Version312 is the version word of the new format: 3.12.
	Version312 = 0x0003000C

	UserPINSet  = 0x8   // CKF_USER_PIN_INITIALIZED
	initialised = 0x400 // CKF_TOKEN_INITIALIZED

	// MaxIterations is a thousand times what the library writes: beyond it a
	// count is damage.
	MaxIterations = 100_000_000
)

// NVTOK is what NVTOK.DAT says.
type NVTOK struct {
	Label, Manufacturer, Model, Serial string
	Format                             string // told by the size; Unknown if damaged
	Order                              cryptoki.Order
	OrderKnown                         bool // false in the new format
	ICSF                               bool // a slot record is appended
	Migrated                           bool // a new one that still holds hashes of the PINs, as pkcstok_migrate leaves them
	UserPIN, Initialised               bool
}

// ParseNVTOK reads as much of NVTOK.DAT as is there.
func ParseNVTOK(b []byte) (n NVTOK) {
	n.Format = Unknown
	size := len(b)
	if size > ICSFRecord {
		n.ICSF = true
		size -= ICSFRecord
	}
	switch {
	case size == NVTOKOld:
		n.Format = Old
	case size == NVTOKNew:
		n.Format = New
	default:
		n.ICSF = false
	}
	n.Label, n.Manufacturer = text(b, 0, 32), text(b, 32, 32)
	n.Model, n.Serial = text(b, 64, 16), text(b, 80, 16)
	if n.Format == Unknown {
		return n
	}
	n.Order, n.OrderKnown = cryptoki.BigEndian, n.Format == Old
	if n.Format == Old && cryptoki.LittleEndian.Uint32(b[AtMaxPIN:]) < cryptoki.BigEndian.Uint32(b[AtMaxPIN:]) {
		n.Order = cryptoki.LittleEndian
	}
	flags := n.Order.Uint32(b[AtFlags:])
	n.UserPIN, n.Initialised = flags&UserPINSet != 0, flags&initialised != 0
	n.Migrated = n.Format == New && len(bytes.Trim(b[AtPINHashes:AtNextName], "\x00")) > 0
	return n
}

// Variant tells the kind of token from the model: "IBM SoftTok", "Soft",
// "IBM ICA", "EP11", "TPM v1.1 Token" and so on.
func (n NVTOK) Variant() string {
	if n.ICSF {
		return ICSF
	}
	model := strings.ToUpper(n.Model)
	for _, v := range []string{"Soft", ICSF, "ICA", "CCA", "EP11", TPM} {
		if strings.Contains(model, strings.ToUpper(v)) {
			return v
		}
	}
	return Unknown
}

// text is a blank-padded field, as far as the file has it.
func text(b []byte, at, n int) string {
	b = b[min(at, len(b)):min(at+n, len(b))]
	return string(bytes.TrimRight(b, " \x00"))
}
