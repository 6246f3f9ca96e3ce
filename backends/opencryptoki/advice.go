package opencryptoki

import (
	"strings"

	"tokar/backends"
	"tokar/backends/opencryptoki/tokendata"
	"tokar/format"
)

// advice is what to do about each kind of finding, and why where it is not
// plain: most of this damage the library passes over without a word. What it
// does was seen on releases 3.8.1 and the head after 3.27.0.
var advice = map[string]string{
	Empty:       "the library drops that object alone, with a line in syslog; " + backends.PutBack,
	Truncated:   "the library drops that object alone (syslog: Cannot read token object); " + backends.PutBack,
	Trailing:    "the library shows the object and passes over the rest; if what it shows is not right, " + backends.PutBack,
	Length:      "the library drops that object alone, with a line in syslog; " + backends.PutBack,
	Header:      "a private object with it hides itself and, without a word, all private objects after it in OBJ.IDX; " + backends.PutBack,
	PrivateFlag: "the library drops it, with a line in syslog; " + backends.PutBack,
	Format:      "a migration left it behind, and its master key is only in the copy TOKEN_BAK: keep that until the object is back; " + backends.Repair,
	ByteOrder:   "the library of this machine does not load it; use the token on a machine of its own byte order, or " + backends.PutBack,
	Name:        "since 3.18 the library drops it; " + backends.Repair,
	Attributes:  "the library drops it (syslog: Cannot restore token object), or shows a part of it where it counts too few; " + backends.PutBack,
	Class:       "programs that look for objects of its class do not find it; " + backends.PutBack,
	Key:         "the library gives the key out as good; before a program uses it, " + backends.PutBack,
	Certificate: "the library gives it out as good; before a program uses it, " + backends.PutBack,
	TokenInfo:   "the library believes NVTOK.DAT as it stands; " + backends.PutBack,

	Unopenable: "the library hides it and, without a word, every private object after it in OBJ.IDX; the login succeeds; " + backends.PutBack,
	MasterKey:  "nobody logs in with that PIN, though it is right; NVTOK.DAT, MK_SO and MK_USER belong together: " + backends.Repair,
	KeyPair:    "programs that look for a key's certificate by CKA_ID take one that does not fit; give one of them another CKA_ID, or " + backends.PutBack,
	NoPIN:      "give the other PIN; the SO sets the user's",

	NoIndex:      "the library shows an empty token, without a word; " + backends.Repair,
	Missing:      "the library passes over it without a word; " + backends.PutBack,
	Unlisted:     "the library does not see it; remove it only if nobody wants it, else " + backends.Repair,
	LeftBehind:   "the next run for this token removes it",
	NotConverted: "remove the file if nobody wants it: in the token as it is now nothing opens it",
	Duplicate:    "programs see the object twice; " + backends.Repair,
	IndexLine:    "the library passes over it; " + backends.Repair,
	LineEnd:      "3.8.1 loses all objects of lines in CR LF, releases up to 3.27.0 the last without LF, both without a word; " + backends.Repair,
	Leftover:     "no program reads it; remove it while no program uses the token",

	Irregular:  "put the file itself there, or remove it: since 3.27.0 the library follows no link and says nothing",
	TooLarge:   "no token has such a file; look what it is, and move it out of the token",
	TooDeep:    "no token has such a directory; move it out of the token",
	Unreadable: "try again as root; if root cannot read it either, the disk is failing: copy what can be read and " + backends.PutBack,
	NoPEM:      "the token works on its own TPM, and no other takes it; look for the right file, and archive the token again with --pem-dir",
	OldPEM:     "for another TPM, put the file in the token and change the PIN, which writes it anew; until then keep the PIN before",
	Changing:   "try again while no program uses the token",
	Gone:       "try again while no program uses the token",
	Clash:      "move the file out of the token's directory",

	NotKept:     "an archive keeps lists of up to 128 entries, no user and no group twice; shorten the list, or keep beside the archive what getfacl says",
	UnknownName: "make the user or group and extract again, or set owner, group and list by hand",
	NotSet:      "extract again as root, or set it by hand",
	PINsKept:    "if you know the PINs of today there is nothing to do; else extract again with --roll-back-pins",
	Dropped:     "if they are wanted, put them back from the old copy beside the token, or from a later archive",
	Segment:     "remove the shared memory when no program uses the token any more",
	Part:        "restore the whole token; this one is no use by itself, and stands in its way",
	NewIndex:    "if the archive's own index is wanted, restore the whole token, with --damaged what is damaged too",
	Unjudged:    "repair again with --pin, which tells; or, if the archive's is wanted, extract the object with --overwrite",
	Unmended:    "if the PINs of then are known, and what was added since is in an archive of its own, take the whole token as it was then, with its PINs: who knows only those of today is locked out",
	NotMoved:    "restore the whole token under another name with --as, and see there what the object is",
	InTheWay:    "repair that token from an archive of its own; if nobody wants the file, remove it and its line in OBJ.IDX while no program uses the token",
	Incomplete:  "restore the token from another archive, and put into it from here what that one does not have",

	Syntax:      "pkcsslotd does not start with it; mend it with an editor",
	NotWritten:  "tokar cat shows it: put it there yourself if it is wanted",
	NoSlot:      "add a slot for it to the configuration, with the stdll of its type and tokname = its name",
	SlotType:    "give the token's slot the stdll of its type, or the token another place",
	SlotVersion: "set tokversion = 3.12 in the slot of a token of the new format; take tokversion out of that of one of the old format, or migrate the token",
	SlotGroup:   "give the directory, and what is in it, the slot's group (pkcstok_admin chown does it), or set usergroup in the slot",
}

// Advice says what to do about a finding of this kind.
func (Backend) Advice(kind string, about backends.Subject) string {
	words := ""
	switch {
	case about.Repaired && kind == Unlisted:
		return "remove it only if nobody wants it, else add its name to OBJ.IDX while no program uses the token"
	case about.Repaired && kind == Name:
		return "remove the file if nobody wants what is in it: the library does not show it"
	case about.Kind == format.KindState:
		words = stateAdvice(kind, about)
	case about.Kind == format.KindObject:
		words = objectAdvice(kind, about)
	}
	if words == "" {
		words = advice[kind]
	}
	if rest, ok := strings.CutSuffix(words, backends.Repair); ok && about.Repaired {
		return rest + "repair it with another archive"
	}
	return words
}

// stateAdvice is what a finding means on a file of the token's state.
func stateAdvice(kind string, about backends.Subject) string {
	const soMends = "; who knows the SO PIN can also have C_InitPIN write it anew, which keeps the objects (pkcsconf -u); else "
	name := string(baseName(format.NameOf(about.Name)))
	switch kind {
	case MasterKey:
		switch name {
		case nvtokName:
			return "nobody logs in; when it is sound, check the PIN again; " + backends.PutBack
		case userKeyName:
			return "nobody logs in with that PIN, though it is right" + soMends + backends.PutBack
		}
	case Empty, Truncated, Length, Missing:
		switch name {
		case nvtokName:
			return "the library finds no token there (CKR_TOKEN_NOT_PRESENT); " + backends.PutBack
		case userKeyName:
			return "a login with the user PIN fails" + soMends + backends.PutBack
		case soKeyName:
			return "a login with the SO PIN fails; " + backends.PutBack
		}
		return "the token cannot use it; " + backends.PutBack
	case Header:
		return "the token cannot use it; " + backends.PutBack
	}
	return ""
}

// objectAdvice is what a finding means on an object, where that hangs on its
// being private, or on the token's format.
func objectAdvice(kind string, about backends.Subject) string {
	const hides = "the library hides it and, without a word, the private objects after it in OBJ.IDX; "
	isOld := about.Token != nil && about.Token.Property(propFormat) == tokendata.Old
	switch {
	case !about.Private:
		return ""
	case kind == PrivateFlag && isOld:
		return hides + backends.PutBack
	case kind == Name:
		return "since 3.18 " + hides + backends.Repair
	}
	return ""
}
