package opencryptoki

import (
	"strconv"

	"tokar/backends/opencryptoki/tokendata"
	"tokar/format"
	"tokar/format/cryptoki"
)

// The kinds of cautions: nothing is damaged, and somebody should know.
const (
	// OldFormat: who has the files needs one MD5 and one SHA-1 to try a PIN.
	OldFormat = "old-format"
	// PINHashes: a migrated token still holds the unsalted hashes of its old PINs.
	PINHashes = "pin-hashes"
	// ZeroKey: private objects of a TPM token are in effect in clear.
	ZeroKey = "zero-key"
	// PINTries: a PIN is locked, or near it.
	PINTries = "pin-tries"
	// DefaultPIN: the SO PIN is the one that every new token has.
	DefaultPIN = "default-pin"
	// Group: the directory's group is not the usual one.
	Group = "group"
	// Others: everybody may read or change it.
	Others = "others"
	// NoGroup: members of the group cannot use it.
	NoGroup = "no-group"
	// ForeignOrder: a machine of the other byte order wrote the token.
	ForeignOrder = "foreign-order"
)

// The group that tokens have where the slot names no other, and the SO PIN that
// they are born with.
const (
	usualGroup   = "pkcs11"
	defaultSOPIN = "87654321"
)

// Cautions says what of a live token is sound and dangerous.
func (Backend) Cautions(t *format.Token, r *format.Record) []format.Finding {
	var c findings
	ofTPM := t.Property(propVariant) == tokendata.TPM
	attr := r.Details.Attr
	switch {
	case r.Kind == format.KindToken:
		c.ofToken(t, ofTPM)
		return c.list
	case r.Kind == format.KindState && string(r.Name) == nvtokName && !r.Absent():
		c.ofPINs(t, r.Data, ofTPM)
	}
	file := entryPath(r.Kind, r.Name)
	switch {
	case !attr.Known || r.Kind == format.KindForeign:
	case attr.Mode&0o007 != 0:
		c.add(Others, file, -1, "mode %04o: everybody on the machine has access; chmod o= takes it away", attr.Mode&0o7777)
	case !ofTPM && attr.Mode&0o060 != 0o060:
		c.add(NoGroup, file, -1, "mode %04o: members of the token's group cannot use it; chmod g+rw gives it to them", attr.Mode&0o7777)
	}
	return c.list
}

// ofToken looks at the format, and at the directories.
func (c *findings) ofToken(t *format.Token, ofTPM bool) {
	order := t.Property(propByteOrder)
	host := cryptoki.Host().String()
	if order != tokendata.Unknown && order != "" && order != host {
		c.add(ForeignOrder, "", -1, "written by a %s-endian machine, and this one is %s-endian: its library shows no object of it", order, host)
	}
	switch {
	case ofTPM:
		c.add(ZeroKey, "", -1, "private objects of a TPM token are under a key of zeros: who has the files reads all that is no key of the TPM")
	case t.Property(propFormat) == tokendata.Old:
		c.add(OldFormat, "", -1, "a token in the old format: one MD5 tries a PIN of 4 to 8 characters, so treat its files as keys in clear; tokar migrate fips brings it into the new one")
	}
	for _, d := range t.Directories {
		a := d.Attr
		if !a.Known || len(d.Name) > 0 && d.Name.String() != objectsName {
			continue
		}
		if a.Mode&0o007 != 0 {
			c.add(Others, d.Name.String(), -1, "a directory of mode %04o: everybody on the machine has access; chmod o= takes it away", a.Mode&0o7777)
		}
		if !ofTPM && len(d.Name) == 0 && a.Group != usualGroup {
			c.add(Group, "", -1, "its directory has the group %s, not %s: since 3.24 the library does not see the token, unless that is the slot's usergroup", groupName(a), usualGroup)
		}
	}
}

func groupName(a format.Attr) string {
	if a.Group == "" {
		return strconv.FormatUint(uint64(a.GID), 10)
	}
	return quote([]byte(a.Group))
}

// ofPINs looks at what NVTOK.DAT says of PINs.
func (c *findings) ofPINs(t *format.Token, nvtok []byte, ofTPM bool) {
	n := tokendata.ParseNVTOK(nvtok)
	if n.Format == tokendata.Unknown || ofTPM || n.ICSF {
		return
	}
	if n.Migrated {
		c.add(PINHashes, nvtokName, -1, "still holds the unsalted SHA-1 of both PINs of before the migration: tokar migrate --scrub --slot N clears them, with N the number of its slot")
	}
	for _, r := range tokendata.Roles {
		if tries := r.Tries(nvtok); tries != "" && r.Set(nvtok) {
			c.add(PINTries, nvtokName, -1, "the %s is %s", r.Name, tries)
		}
	}
	if tokendata.SO.Check(nvtok, []byte(defaultSOPIN)) == nil {
		c.add(DefaultPIN, nvtokName, -1, "the SO PIN is the one that every new token has; change it with pkcsconf -P")
	}
}
