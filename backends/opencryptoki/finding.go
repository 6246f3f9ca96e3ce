package opencryptoki

import (
	"fmt"

	"tokar/backends"
	"tokar/format"
)

// The kinds of findings of this backend. File is the path below the token
// directory, Offset the byte in it at which the fault shows, or -1.
const (
	// Empty: a file of no bytes at all.
	Empty = "empty"
	// Truncated: a file ends before its header does, or before the length in
	// its header. Offset is where it ends.
	Truncated = "truncated"
	// Trailing: bytes after the end that the header tells. Offset is that end.
	Trailing = "trailing"
	// Length: a length that no sound file has. Offset is the length field's,
	// or -1 if the length is the file's own.
	Length = "length"
	// Header: a version word or reserved byte that no release writes.
	Header = "header"
	// PrivateFlag: the header's private flag is neither 0 nor 1, or says the
	// opposite of what the object is.
	PrivateFlag = "private-flag"
	// Format: an object in the other format than its token's, as a failed
	// migration leaves it. The library does not load it.
	Format = "format"
	// ByteOrder: an object in the other byte order than its token's.
	ByteOrder = "byte-order"
	// Name: the name inside an object is not its file's.
	Name = "name"
	// Attributes: a public object's attribute list breaks its encoding.
	Attributes = "attributes"
	// Class: CKA_CLASS is missing or no class that PKCS#11 has.
	Class = "class"
	// Key: the public parts of a key cannot be those of a key.
	Key = "key"
	// Certificate: CKA_VALUE of a certificate is no certificate.
	Certificate = "certificate"
	// TokenInfo: a field of NVTOK.DAT that no release writes.
	TokenInfo = "token-info"

	// LeftBehind: what a run made for itself and could not remove.
	LeftBehind = "left-behind"
	// NotConverted: a file with an object's name that OBJ.IDX does not name, and
	// that a migration could not bring into the new form.
	NotConverted = "not-converted"
	// Unopenable: a private object that the token's master key does not open.
	Unopenable = "unopenable"
	// MasterKey: MK_SO or MK_USER does not open with the right PIN, or the two
	// hold different keys.
	MasterKey = "master-key"
	// KeyPair: a private key is none of the public keys and certificates with its
	// CKA_ID.
	KeyPair = "key-pair"
	// NoPIN: a PIN was given that the token does not have set.
	NoPIN = "no-pin"

	// NoIndex: there are objects but no OBJ.IDX.
	NoIndex = "no-index"
	// Missing: a file that OBJ.IDX or NVTOK.DAT speaks of is not there. File is
	// that file.
	Missing = "missing"
	// Unlisted: an object file that OBJ.IDX does not name.
	Unlisted = "unlisted"
	// Duplicate: OBJ.IDX names an object more than once.
	Duplicate = "duplicate"
	// IndexLine: a line of OBJ.IDX that is no object name.
	IndexLine = "index-line"
	// LineEnd: a line of OBJ.IDX that ends in CR LF, or a last line without LF.
	LineEnd = "line-end"
	// Leftover: a NAME.TMP that a crash left.
	Leftover = "leftover"

	// Irregular: a symbolic link, FIFO, socket or device; never opened.
	Irregular = "irregular"
	// TooLarge: a file beyond what tokar reads.
	TooLarge = "too-large"
	// TooDeep: a directory below which tokar does not look.
	TooDeep = "too-deep"
	// Unreadable: the system refuses to read it.
	Unreadable = "unreadable"
	// NoPEM: a PEM file of a TPM token that is missing, or is no use.
	NoPEM = "no-pem"
	// OldPEM: a PEM file of a TPM token that holds another PIN than the token.
	OldPEM = "old-pem"
	// Changing: a file that changed each time while it was read.
	Changing = "changing"
	// Gone: listed, but removed before it was read.
	Gone = "gone"
	// Clash: a foreign file that has an object's name; it is left out.
	Clash = "clash"

	// NotKept: an access control list or label that cannot be archived.
	NotKept = "not-kept"

	// NotSet: owner, group, mode, access control list, label or time could not
	// be restored.
	NotSet = "not-set"
	// UnknownName: a user or group that was restored by number, for the host
	// does not know the name.
	UnknownName = "unknown-name"
	// PINsKept: the archive's PIN state was not restored, today's stays.
	PINsKept = "pins-kept"
	// Dropped: objects of the token that was replaced were not restored.
	Dropped = "dropped"
	// Segment: shared memory stays, and hides from programs what was restored.
	Segment = "segment"
	// Part: files of a token were restored without an object, where none stood.
	Part = "part"
	// NewIndex: OBJ.IDX was made anew of the objects restored.
	NewIndex = "new-index"
	// Unjudged: a private object differs from the archive's, and without a PIN
	// nobody can tell whether it is sound.
	Unjudged = "unjudged"
	// Unmended: a damaged state file, which the archive's need not fit.
	Unmended = backends.Unmended
	// NotMoved: an object could not be made one of the token that was to take it.
	NotMoved = backends.NotMoved
	// InTheWay: a damaged file of the token that takes objects has the name of one.
	InTheWay = "in-the-way"
	// Incomplete: the archive lost some of the token.
	Incomplete = "incomplete"

	// NoSlot: no slot of the configuration has the token.
	NoSlot = "no-slot"
	// SlotType: the slot's library is that of another type of token.
	SlotType = "slot-type"
	// SlotVersion: the slot's tokversion is not that of the token's format.
	SlotVersion = "slot-version"
	// Syntax: opencryptoki.conf cannot be read as pkcsslotd reads it.
	Syntax = "configuration"
	// NotWritten: a file of a configuration has no place on this host.
	NotWritten = "not-written"
	// SlotGroup: the token's directory has not the group that the slot wants.
	SlotGroup = "slot-group"
)

// maxFindings bounds what rides on one entry; format keeps 64.
const maxFindings = 60

func finding(kind, file string, offset int, form string, args ...any) format.Finding {
	return format.Finding{Kind: kind, File: file, Offset: int64(offset), Message: fmt.Sprintf(form, args...)}
}

// findings gathers what is wrong with one entry, and at last how much more.
type findings struct {
	list []format.Finding
	more int
}

func (f *findings) add(kind, file string, offset int, form string, args ...any) {
	if !f.full() {
		f.list = append(f.list, finding(kind, file, offset, form, args...))
	}
}

// full counts one finding more if there is no room for it.
func (f *findings) full() bool {
	if len(f.list) < maxFindings {
		return false
	}
	f.more++
	return true
}

// all closes the list.
func (f *findings) all() []format.Finding {
	if f.more > 0 {
		last := f.list[len(f.list)-1]
		f.list = append(f.list, finding(last.Kind, last.File, -1, "and %d findings more", f.more))
		f.more = 0
	}
	return f.list
}

// quote shows bytes of unknown origin in a message, cut to a bearable length.
func quote(b []byte) string { return fmt.Sprintf("%.40q", b) }
