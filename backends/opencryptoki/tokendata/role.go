package tokendata

import "bytes"

// Role is who has a PIN, and where NVTOK.DAT and its MK file keep it.
type Role struct {
	Name    string // "SO PIN" or "user PIN"
	KeyFile string // MK_SO or MK_USER

	hash        int // SHA-1 of the PIN, 20 bytes, old format
	login, wrap int // rounds, salt and, of login, expected key: 104 and 72 bytes, new format
	low         uint32
	purpose     string // with which salts begin
}

// The roles of PKCS#11.
var (
	SO   = Role{Name: "SO PIN", KeyFile: "MK_SO", hash: 184, login: 240, wrap: 448, low: 0x100000, purpose: "so"}
	User = Role{Name: "user PIN", KeyFile: "MK_USER", hash: 160, login: 344, wrap: 520, low: 0x10000, purpose: "user"}
)

// Roles are both.
var Roles = []Role{SO, User}

// Set says whether the role's PIN is set. C_InitToken of 3.8.1 leaves an
// MK_USER that belongs to the master key before: then it proves nothing.
func (r Role) Set(nvtok []byte) bool {
	n := ParseNVTOK(nvtok)
	return n.Format != Unknown && (r.KeyFile == SO.KeyFile || n.UserPIN)
}

// Same says whether the role's PIN is the same in two NVTOK.DAT of one format,
// as far as they show: in the new format it was at least not set again, to
// whatever PIN.
func (r Role) Same(a, b []byte) bool {
	if ParseNVTOK(a).Format == Old {
		return bytes.Equal(a[r.hash:r.hash+20], b[r.hash:r.hash+20])
	}
	return bytes.Equal(a[r.login:r.login+104], b[r.login:r.login+104]) && bytes.Equal(a[r.wrap:r.wrap+72], b[r.wrap:r.wrap+72])
}

// Tries says what the flags tell of wrong PINs given; empty if none was.
func (r Role) Tries(nvtok []byte) string {
	n := ParseNVTOK(nvtok)
	if n.Format == Unknown {
		return ""
	}
	switch f := n.Order.Uint32(nvtok[AtFlags:]); {
	case f&(r.low<<2) != 0:
		return "locked"
	case f&(r.low<<1) != 0:
		return "before its last try"
	case f&r.low != 0:
		return "after a wrong try"
	}
	return ""
}
