// Package opencryptoki reads, validates and restores the token directories of
// openCryptoki: Soft, ICA, CCA, EP11, TPM and ICSF tokens, in the format before
// release 3.12 ("old") and since ("new"), written by machines of either byte
// order.
//
// A token directory holds NVTOK.DAT (token information and PIN verifiers),
// MK_SO and MK_USER (the master key under each PIN) and TOK_OBJ with one file
// an object and OBJ.IDX, the list of their names. A TPM token has PEM files
// and MK_PRIVATE instead of MK_SO and MK_USER.
//
//	find.go      where tokens are, and what only looks like one
//	token.go     a token open for reading: descriptor, directory handles
//	scan.go      what its directories hold; index.go reads OBJ.IDX
//	entries.go   the list of entries; read.go one entry; recheck.go what changed
//	still.go     a token that programs use: read whole under its lock (lock.go,
//	             hold.go) into memory (kept.go)
//	pems.go      PEM files of TPM tokens; rootkeys.go opens them with the PINs
//	xattr.go     access lists (acl.go) and labels (label.go) of what is read
//	nvtok.go     NVTOK.DAT; tokendata has the formats of all files
//	validate.go  each kind of entry; content.go, key.go, certificate.go what
//	             public objects hold
//	attr.go      owner (owner.go), access (access.go) and more of what is
//	             restored; notset.go what could not be set
//	host.go      opencryptoki.conf: tokens by slot, and what does not fit;
//	             hostfiles.go archives it, hostrestore.go compares, hostwrite.go
//	             writes
//	staging.go   a token being restored; finish.go makes it durable and swaps;
//	             comparison.go and decide.go: whether it is the same token, and
//	             whose PINs it keeps; merge.go single objects into one
//	mend.go      what repair puts right, as mendjudge.go judges it; adopt.go the
//	             objects of a token with another master key
//	vault.go     private objects opened with the PINs
//	recode.go    the old format into the new, and byte orders; undo.go takes it
//	             back; configuration.go changes opencryptoki.conf with it
//
// The facts about the formats were proved on real tokens of releases 3.8.1,
// 3.23.0 and the head after 3.27.0; comments name upstream's source files.
package opencryptoki

import (
	"bytes"
	"strings"

	"tokar/format"
)

// Kind is how archives name this kind of token.
const Kind = "opencryptoki"

// Backend implements backends.Backend for openCryptoki's token directories.
type Backend struct{}

// Kind is "opencryptoki".
func (Backend) Kind() string { return Kind }

// Names within a token directory (loadsave.c, new_host.c, tpm_specific.h).
const (
	nvtokName   = "NVTOK.DAT"
	soKeyName   = "MK_SO"
	userKeyName = "MK_USER"
	objectsName = "TOK_OBJ"
	indexName   = "OBJ.IDX"

	racfName    = "RACF"       // ICSF
	tpmKeyName  = "MK_PRIVATE" // TPM
	pemSuffix   = ".pem"       // TPM: PUBLIC_ROOT_KEY.pem, PRIVATE_ROOT_KEY.pem
	tpmBase     = "tpm"        // the directory of the per-user TPM tokens
	masterState = "HSM_MK_CHANGE"

	objectNameLen = 8
	maxParts      = 4 // components of an entry's name
)

// Properties of a token's descriptor.
const (
	propFormat    = "format"     // old, new or unknown
	propByteOrder = "byte-order" // little, big or unknown: the writer's
	propVariant   = "variant"    // Soft, ICA, CCA, EP11, TPM, ICSF or unknown
	propMigrated  = "migrated"   // yes: pkcstok_migrate made it from an old token
	propParent    = "parent"     // of tpm/USER: mode (octal), owner and group of tpm, by number and name
	propWritten   = "written "   // and a PEM file's path: when it was last written, and its PIN changed

	migratedWord = "yes"
)

// isObjectName says whether an object can have this name: eight of 0-9A-Za-z.
// Up to 3.17 names count from 00000000, since 3.18 they are OB and six random
// characters (object.c).
func isObjectName[T ~string | ~[]byte](name T) bool {
	if len(name) != objectNameLen {
		return false
	}
	for i := range objectNameLen {
		c := name[i]
		if !('0' <= c && c <= '9' || 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z') {
			return false
		}
	}
	return true
}

// stateRank orders the state files of a token directory: 0 is no state file.
// MK_PRIVATE and the PEM files may stand in a user's directory below a TPM
// token's (releases 3.8 to 3.11).
func stateRank(parts []string) int {
	name := parts[len(parts)-1]
	ofTPM := name == tpmKeyName || strings.HasSuffix(name, pemSuffix) && len(name) > len(pemSuffix)
	switch {
	case len(parts) == 2 && ofTPM && parts[0] != objectsName:
		return 5
	case len(parts) != 1:
		return 0
	case name == nvtokName:
		return 1
	case name == soKeyName:
		return 2
	case name == userKeyName:
		return 3
	case name == racfName || ofTPM:
		return 4
	}
	return 0
}

// tempOf is the file whose write left NAME.TMP; ok is false for other names.
func tempOf(name string) (file string, ok bool) {
	file, ok = strings.CutSuffix(name, ".TMP")
	return file, ok && (isObjectName(file) || file != "" && stateRank([]string{file}) > 0)
}

// baseName is a name's last component.
func baseName(n format.Name) []byte { return n[bytes.LastIndexByte(n, 0)+1:] }
