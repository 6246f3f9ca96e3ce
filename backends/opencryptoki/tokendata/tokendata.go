// Package tokendata reads and writes the bytes of openCryptoki's token files:
// NVTOK.DAT, MK_SO and MK_USER, and object files, in the format before release
// 3.12 ("old") and since ("new"). With a PIN it opens the master key and, with
// that, private objects. It touches no file.
//
//	nvtok.go      NVTOK.DAT; role.go who has a PIN, and where it keeps it
//	pin.go        whether a PIN is right; masterkey.go MK_SO and MK_USER
//	object.go     the header of an object file
//	private.go    private objects, opened and made
//
// The facts about the formats were proved on real tokens of releases 3.8.1,
// 3.23.0 and the head after 3.27.0; comments name upstream's source files.
package tokendata

// The formats, as descriptors and messages name them.
const (
	Old     = "old"
	New     = "new"
	Unknown = "unknown"
)

// Kinds of token that differ from the rest, as descriptors name them.
const (
	TPM  = "TPM"
	ICSF = "ICSF"
)

// Sizes of MK_SO and MK_USER: AES key wrap of 32 bytes; 3DES of 24 bytes and
// their SHA-1; the same of CCA's old master keys of 64 bytes. And of
// MK_PRIVATE, an RSA block.
const (
	KeyFileNew = 40
	KeyFileOld = 48
	KeyFileCCA = 88
	KeyFileTPM = 256
)
