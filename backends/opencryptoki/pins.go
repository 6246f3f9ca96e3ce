package opencryptoki

import (
	"bytes"
	"fmt"
)

// pinState holds the files that make up a token's PIN state, by their paths:
// NVTOK.DAT, MK_SO and MK_USER, or what a TPM or ICSF token has instead. They
// belong together (new_host.c): a PIN change writes NVTOK.DAT and one MK file.
type pinState map[string][]byte

// role is who has a PIN, and where NVTOK.DAT and its MK file keep it: SHA-1 of
// the PIN in the old format; rounds, salts and expected key in the new.
type role struct {
	name, key   string
	hash        int // 20 bytes, old format
	login, wrap int // 104 and 72 bytes, new format
	low         uint32
}

var roles = []role{
	{name: "SO PIN", key: soKeyName, hash: 184, login: 240, wrap: 448, low: 0x100000},
	{name: "user PIN", key: userKeyName, hash: 160, login: 344, wrap: 520, low: 0x10000},
}

// has says whether the role's PIN is set. C_InitToken of 3.8.1 leaves an
// MK_USER that belongs to the master key before: then it proves nothing.
func (r role) has(s pinState) bool {
	n := parseNVTOK(s[nvtokName])
	return n.format != unknown && (r.key == soKeyName || n.userPIN)
}

// same says whether the role's PIN is the same in both, as far as NVTOK.DAT
// shows: in the new format it was at least not set again, to whatever PIN.
func (r role) same(a, b pinState) bool {
	x, y := a[nvtokName], b[nvtokName]
	if parseNVTOK(x).format == formatOld {
		return bytes.Equal(x[r.hash:r.hash+20], y[r.hash:r.hash+20])
	}
	return bytes.Equal(x[r.login:r.login+104], y[r.login:r.login+104]) && bytes.Equal(x[r.wrap:r.wrap+72], y[r.wrap:r.wrap+72])
}

// wrong says what the flags tell of wrong PINs given; empty if none was.
func (r role) wrong(s pinState) string {
	b := s[nvtokName]
	n := parseNVTOK(b)
	if n.format == unknown {
		return ""
	}
	switch f := n.order.Uint32(b[nvFlags:]); {
	case f&(r.low<<2) != 0:
		return "locked"
	case f&(r.low<<1) != 0:
		return "before its last try"
	case f&r.low != 0:
		return "after a wrong try"
	}
	return ""
}

// pins says of each PIN whether it is the archive's.
func (c *comparison) pins() (words []string) {
	if c.tpm {
		if c.keys > 0 && c.held == c.keys {
			return []string{"the PINs are those of the archive"}
		}
		return []string{"the PINs are not those of the archive: a TPM token keeps them in its key objects, and these differ"}
	}
	a, b := parseNVTOK(c.archived[nvtokName]), parseNVTOK(c.live[nvtokName])
	if a.format == unknown || a.format != b.format {
		return []string{"whether the PINs are those of the archive cannot be told"}
	}
	for _, r := range roles {
		switch there, then := r.has(c.live), r.has(c.archived); {
		case !there && !then:
			continue
		case !then:
			words = append(words, "the "+r.name+" was not yet set in the archive")
		case !there:
			words = append(words, "the "+r.name+" is not set here; in the archive it is")
		case r.same(c.archived, c.live):
			words = append(words, "the "+r.name+" is that of the archive")
		case a.format == formatOld:
			words = append(words, "the "+r.name+" is not that of the archive")
		default:
			words = append(words, "the "+r.name+" was set anew since, perhaps to the same")
		}
		if now, then := r.wrong(c.live), r.wrong(c.archived); now != then {
			words = append(words, fmt.Sprintf("the %s is %s here, and %s in the archive", r.name, orFine(now), orFine(then)))
		}
	}
	return words
}

func orFine(state string) string {
	if state == "" {
		return "in order"
	}
	return state
}
