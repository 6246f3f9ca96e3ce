package tokendata

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"tokar/format/cryptoki"
)

// Rounds is how often the library derives a key from a PIN (new_host.c).
const Rounds = 100_000

// defaultUserPIN is what the library makes login data of where no user PIN is
// set. Nobody logs in with it: C_InitPIN comes first.
const defaultUserPIN = "12345678"

// State is the PIN state of a token: NVTOK.DAT and the MK files, User nil if no
// user PIN is set.
type State struct {
	NVTOK, SO, User []byte
}

// Upgrade makes the PIN state of the new format from an NVTOK.DAT of the old
// one, with the PINs of today, under a new master key. All that NVTOK.DAT tells
// of the token is kept; the SHA-1 of the PINs are not. The name of the next object
// is: releases 3.12 to 3.17 count on from it (obj_mgr.c), and with zeros there
// would give out the names of objects that exist, and write over them. user is nil if no user PIN is set. The PINs must have been checked.
func Upgrade(nvtok, so, user []byte, master *MasterKey) (*State, error) {
	n := ParseNVTOK(nvtok)
	switch {
	case n.Format != Old || n.ICSF:
		return nil, fmt.Errorf("NVTOK.DAT has %d bytes, and the old format's %d: %w", len(nvtok), NVTOKOld, ErrDamaged)
	case n.UserPIN && user == nil:
		return nil, errors.New("the user PIN is set and not given")
	}
	out := make([]byte, NVTOKNew)
	copy(out, nvtok)
	if n.Order == cryptoki.LittleEndian {
		turnNumbers(out)
	}
	clear(out[AtPINHashes:AtNextName])
	binary.BigEndian.PutUint32(out[AtVersion:], Version312)
	s := &State{NVTOK: out, SO: SO.set(out, so, master)}
	if n.UserPIN {
		s.User = User.set(out, user, master)
		return s, nil
	}
	User.set(out, []byte(defaultUserPIN), nil)
	return s, nil
}

// set draws the salts of a role in a new NVTOK.DAT, and gives its MK file; nil
// without a master key.
func (r Role) set(nvtok, pin []byte, master *MasterKey) (file []byte) {
	key := deriveKey(pin, r.salt(nvtok, r.login, "login"), Rounds)
	copy(nvtok[r.login+8+saltSize:], key)
	clear(key)
	salt := r.salt(nvtok, r.wrap, "wrap")
	if master == nil {
		return nil
	}
	kek := deriveKey(pin, salt, Rounds)
	defer clear(kek)
	return wrapKey(kek, master.key)
}

// salt writes rounds and a new salt at an offset of NVTOK.DAT.
func (r Role) salt(nvtok []byte, at int, use string) []byte {
	binary.BigEndian.PutUint64(nvtok[at:], Rounds)
	salt := nvtok[at+8 : at+8+saltSize]
	purpose := salt[:saltSize/2]
	n := copy(purpose, r.purpose+"_"+use+"_purpose")
	copy(purpose[n:], bytes.Repeat([]byte("_"), len(purpose)))
	rand.Read(salt[saltSize/2:])
	return salt
}

// Scrub gives an NVTOK.DAT of the new format without what pkcstok_migrate leaves
// of the old one: the SHA-1 of both PINs.
func Scrub(nvtok []byte) []byte {
	out := slices.Clone(nvtok)
	if ParseNVTOK(nvtok).Format == New {
		clear(out[AtPINHashes:AtNextName])
	}
	return out
}
