package opencryptoki

import (
	"bytes"
	"encoding/binary"
	"strings"

	"tokar/format/cryptoki"
)

// NVTOK.DAT is a C structure in old tokens, in the writer's byte order, and
// big-endian in new ones, which append version and PIN derivation data
// (host_defs.h, loadsave.c). ICSF appends a slot record of 20,752 bytes to
// either (icsf_specific.c).
const (
	nvtokOld   = 232
	nvtokNew   = 592
	icsfRecord = 20752

	nvFlags      = 96  // u32
	nvMaxPIN     = 116 // u32, then the least length
	nvPINHashes  = 160 // SHA-1 of user and SO PIN, 20 + 4 bytes each
	nvNextName   = 208
	nvTweaks     = 216 // four u32, each 0 or 1
	nvVersion    = 232
	nvIterations = 240 // u64 at 240, 344, 448 and 520

	// newVersion is the version word of the new format: 3.12.
	newVersion = 0x0003000C

	userPINSet  = 0x8   // CKF_USER_PIN_INITIALIZED
	initialised = 0x400 // CKF_TOKEN_INITIALIZED

	// A thousand times what the library writes: beyond it a count is damage.
	maxIterations = 100_000_000
)

// nvtok is what NVTOK.DAT says.
type nvtok struct {
	label, manufacturer, model, serial string
	format                             string // told by the size; unknown if damaged
	order                              cryptoki.Order
	orderKnown                         bool // false in the new format
	icsf, migrated                     bool
	userPIN, initialised               bool
}

// parseNVTOK reads as much of NVTOK.DAT as is there.
func parseNVTOK(b []byte) (n nvtok) {
	n.format = unknown
	size := len(b)
	if size > icsfRecord {
		n.icsf = true
		size -= icsfRecord
	}
	switch {
	case size == nvtokOld:
		n.format = formatOld
	case size == nvtokNew:
		n.format = formatNew
	default:
		n.icsf = false
	}
	n.label, n.manufacturer = text(b, 0, 32), text(b, 32, 32)
	n.model, n.serial = text(b, 64, 16), text(b, 80, 16)
	if n.format == unknown {
		return n
	}
	n.order, n.orderKnown = cryptoki.BigEndian, n.format == formatOld
	if n.format == formatOld && cryptoki.LittleEndian.Uint32(b[nvMaxPIN:]) < cryptoki.BigEndian.Uint32(b[nvMaxPIN:]) {
		n.order = cryptoki.LittleEndian
	}
	flags := n.order.Uint32(b[nvFlags:])
	n.userPIN, n.initialised = flags&userPINSet != 0, flags&initialised != 0
	n.migrated = n.format == formatNew && !allZero(b[nvPINHashes:nvNextName])
	return n
}

// variant tells the kind of token from the model: "IBM SoftTok", "Soft",
// "IBM ICA", "EP11", "TPM v1.1 Token" and so on.
func (n nvtok) variant() string {
	if n.icsf {
		return variantICSF
	}
	model := strings.ToUpper(n.model)
	for _, v := range []string{"Soft", "ICSF", "ICA", "CCA", "EP11", variantTPM} {
		if strings.Contains(model, strings.ToUpper(v)) {
			return v
		}
	}
	return unknown
}

// checkNVTOK says what is wrong with NVTOK.DAT.
func checkNVTOK(b []byte, found *findings) {
	n := parseNVTOK(b)
	switch {
	case len(b) == 0:
		found.add(Empty, nvtokName, 0, "no bytes; the library needs %d or %d", nvtokOld, nvtokNew)
		return
	case n.format == unknown && len(b) < nvtokOld:
		found.add(Truncated, nvtokName, len(b), "ends after %d of %d bytes", len(b), nvtokOld)
		return
	case n.format == unknown:
		found.add(Length, nvtokName, len(b), "%d bytes; a sound one has %d (old format) or %d (new)", len(b), nvtokOld, nvtokNew)
		return
	}
	most, least := n.order.Uint32(b[nvMaxPIN:]), n.order.Uint32(b[nvMaxPIN+4:])
	if least > most || most > 1<<16 {
		found.add(TokenInfo, nvtokName, nvMaxPIN, "PINs of %d to %d characters", least, most)
	}
	for at := nvTweaks; at < nvVersion; at += 4 {
		if v := n.order.Uint32(b[at:]); v > 1 {
			found.add(TokenInfo, nvtokName, at, "a yes-or-no field holds %d", v)
		}
	}
	if n.format == formatNew {
		checkDerivation(b, found)
	}
}

// checkDerivation checks what the new format appends.
func checkDerivation(b []byte, found *findings) {
	if v := binary.BigEndian.Uint32(b[nvVersion:]); v != newVersion {
		found.add(TokenInfo, nvtokName, nvVersion, "version %#08x; new format is %#08x", v, newVersion)
	}
	for _, at := range []int{nvIterations, 344, 448, 520} {
		if n := binary.BigEndian.Uint64(b[at:]); n > maxIterations {
			found.add(TokenInfo, nvtokName, at, "PIN derivation of %d rounds", n)
		}
	}
}

// text is a blank-padded field, as far as the file has it.
func text(b []byte, at, n int) string {
	b = b[min(at, len(b)):min(at+n, len(b))]
	return string(bytes.TrimRight(b, " \x00"))
}

func allZero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}

// Sizes of MK_SO and MK_USER: AES key wrap of 32 bytes; 3DES of 24 bytes and
// their SHA-1; the same of CCA's old master keys of 64 bytes. And of MK_PRIVATE,
// an RSA block.
const (
	keyFileNew = 40
	keyFileOld = 48
	keyFileCCA = 88
	tpmKeyFile = 256
)
