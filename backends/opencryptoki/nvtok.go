package opencryptoki

import (
	"encoding/binary"

	"tokar/backends/opencryptoki/tokendata"
)

// checkNVTOK says what is wrong with NVTOK.DAT.
func checkNVTOK(b []byte, found *findings) {
	n := tokendata.ParseNVTOK(b)
	switch {
	case len(b) == 0:
		found.add(Empty, nvtokName, 0, "no bytes; the library needs %d or %d", tokendata.NVTOKOld, tokendata.NVTOKNew)
		return
	case n.Format == tokendata.Unknown && len(b) < tokendata.NVTOKOld:
		found.add(Truncated, nvtokName, len(b), "ends after %d of %d bytes", len(b), tokendata.NVTOKOld)
		return
	case n.Format == tokendata.Unknown:
		found.add(Length, nvtokName, len(b), "%d bytes; a sound one has %d (old format) or %d (new)", len(b), tokendata.NVTOKOld, tokendata.NVTOKNew)
		return
	}
	most, least := n.Order.Uint32(b[tokendata.AtMaxPIN:]), n.Order.Uint32(b[tokendata.AtMaxPIN+4:])
	if least > most || most > 1<<16 {
		found.add(TokenInfo, nvtokName, tokendata.AtMaxPIN, "PINs of %d to %d characters", least, most)
	}
	for at := tokendata.AtTweaks; at < tokendata.AtVersion; at += 4 {
		if v := n.Order.Uint32(b[at:]); v > 1 {
			found.add(TokenInfo, nvtokName, at, "a yes-or-no field holds %d", v)
		}
	}
	if n.Format == tokendata.New {
		checkDerivation(b, found)
	}
}

// checkDerivation checks what the new format appends.
func checkDerivation(b []byte, found *findings) {
	if v := binary.BigEndian.Uint32(b[tokendata.AtVersion:]); v != tokendata.Version312 {
		found.add(TokenInfo, nvtokName, tokendata.AtVersion, "version %#08x; new format is %#08x", v, tokendata.Version312)
	}
	for _, at := range []int{tokendata.AtIterations, 344, 448, 520} {
		if n := binary.BigEndian.Uint64(b[at:]); n > tokendata.MaxIterations {
			found.add(TokenInfo, nvtokName, at, "PIN derivation of %d rounds", n)
		}
	}
}

func allZero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}
