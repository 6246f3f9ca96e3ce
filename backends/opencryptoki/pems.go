package opencryptoki

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"tokar/backends"
	"tokar/backends/opencryptoki/tokendata"
	"tokar/format"
	"tokar/format/cryptoki"
)

// The PEM files of a TPM token are needed for another TPM only, and are best kept
// off the disk. Releases 3.8 to 3.11 have them in tpm/USER, below a token that
// stands in tpm itself.

// maxKeyObjects bounds how many objects are looked at for those of a hierarchy.
const maxKeyObjects = 4096

// isThere says whether something is at path. What cannot be looked at may be: to
// read it tells why not.
func isThere(path string) bool {
	_, err := os.Lstat(path)
	return !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, unix.ENOTDIR)
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// Detached says of a PEM file that it may be kept off the disk.
func (Backend) Detached(t *format.Token, name format.Name) string {
	if _, pem := hierarchyOf(name.String()); !pem || t.Property(propVariant) != tokendata.TPM {
		return ""
	}
	return "nothing to do on the token's own TPM if it is kept off the disk: --pem-dir DIR says where, and compares it; for another TPM put it back from there, or with tokar cat from the archive"
}

// addPEMs adds the files that stand in the operator's directory, DIR/USER or DIR
// itself, and not in the token, as if they stood there.
func (t *token) addPEMs(loc backends.Location) {
	if loc.Reading.PEMs == "" || t.variant(tokendata.ParseNVTOK(t.nvtok.data)) != tokendata.TPM {
		return
	}
	there := map[string]bool{}
	for i := range t.scan.state {
		there[t.scan.state[i].Name.String()] = true
	}
	for _, user := range t.users(loc) {
		for _, h := range hierarchies {
			name := format.NameOf(append(user.below, h.pem)...)
			from := filepath.Join(loc.Reading.PEMs, user.name, h.pem)
			if !isThere(from) {
				from = filepath.Join(loc.Reading.PEMs, h.pem)
			}
			if there[name.String()] || !isThere(from) {
				continue
			}
			if t.pems == nil {
				t.pems = map[string]string{}
			}
			t.pems[string(name)] = from
			t.scan.state = append(t.scan.state, backends.Entry{Kind: format.KindState, Name: name, Place: fromPEMs})
		}
	}
}

// A tpmUser is one whose PEM files a token has: below it in a directory of theirs,
// or in the token itself, which is theirs.
type tpmUser struct {
	name  string
	below []string
}

func (t *token) users(loc backends.Location) (list []tpmUser) {
	if parts := partsOf(loc); len(parts) == 2 || filepath.Base(loc.Real) != tpmBase && len(t.userDirs()) == 0 {
		return []tpmUser{{name: parts[len(parts)-1]}}
	}
	dirs := t.userDirs()
	for _, dir := range dirs {
		if len(dirs) == 1 || isDir(filepath.Join(loc.Reading.PEMs, dir)) {
			list = append(list, tpmUser{dir, []string{dir}})
		}
	}
	return list
}

// userDirs are the directories of users below the token.
func (t *token) userDirs() (names []string) {
	for _, d := range t.scan.dirs {
		if parts := d.Name.Components(); len(d.Name) > 0 && len(parts) == 1 && parts[0] != objectsName {
			names = append(names, parts[0])
		}
	}
	return names
}

// readPEM reads a file from the operator's directory. Its owner and mode there
// say nothing of those that it has in the token: the token's own count.
func (t *token) readPEM(e *backends.Entry, buf []byte) (file, error) {
	dir, err := unix.Open(filepath.Dir(t.pems[string(e.Name)]), unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return file{}, err
	}
	defer unix.Close(dir)
	f, err := readFile(dir, baseName(e.Name), buf)
	f.stat.Mode = unix.S_IFREG | 0o600
	f.stat.Uid, f.stat.Gid = t.nvtok.stat.Uid, t.nvtok.stat.Gid
	f.xattrs = xattrs{}
	return f, err
}

// A keyTime is when an object of a hierarchy was last written.
type keyTime struct{ public, private int64 }

// keyTimes looks for the objects of the hierarchies.
func (t *token) keyTimes() map[string]keyTime {
	times := map[string]keyTime{}
	buf := make([]byte, 16<<10)
	for i, at := range t.scan.order {
		if i == maxKeyObjects {
			break
		}
		e := backends.Entry{Name: t.scan.index[at : at+objectNameLen], Place: inObjects}
		f, err := t.readEntry(&e, buf)
		if err != nil {
			continue
		}
		h := tokendata.ParseObject(f.data, tokendata.ParseNVTOK(t.nvtok.data).Format)
		order, _ := cryptoki.OrderOf(h.Body)
		if h.Private {
			continue
		}
		if k, ok := tpmKeyOf(h.Body, order); ok {
			had := times[k.id]
			if k.class == cryptoki.CKO_PRIVATE_KEY {
				had.private = max(had.private, f.stat.Mtim.Nano())
			} else {
				had.public = max(had.public, f.stat.Mtim.Nano())
			}
			times[k.id] = had
		}
	}
	return times
}

// togetherWithin: a leaf's two objects are made one after the other. If they
// were written further apart, the private one came anew with another PIN.
const togetherWithin = 2 * time.Second

// judgePEMs tells which files are missing and which were written before their
// PIN was changed last, and records the times of both.
func (t *token) judgePEMs() {
	if t.info.Property(propVariant) != tokendata.TPM {
		return
	}
	times := t.keyTimes()
	for _, h := range hierarchies {
		leaf, made := times[h.leaf]
		found := false
		for i := range t.scan.state {
			e := &t.scan.state[i]
			if string(baseName(e.Name)) != h.pem {
				continue
			}
			found = true
			s := t.stampOfTime(e)
			t.info.Properties = append(t.info.Properties, format.Property{
				Key:   propWritten + e.Name.String(),
				Value: stampText(s) + "; " + h.role.Name + " " + stampText(leaf.private),
			})
			if made && leaf.private-leaf.public > togetherWithin.Nanoseconds() && s != 0 && s < leaf.private {
				e.Findings = append(e.Findings, finding(OldPEM, e.Name.String(), -1,
					"last written %s, before the %s was changed at %s: it holds the PIN before", stampText(s), h.role.Name, stampText(leaf.private)))
			}
		}
		_, rooted := times[h.root]
		switch pems := t.loc.Reading.PEMs; {
		case found || !rooted:
		case pems != "":
			t.scan.report([]format.Finding{finding(NoPEM, h.pem, -1, "it is neither in the token nor in %s: without it no other TPM takes the token", quote([]byte(pems)))})
		default:
			t.info.Notes = append(t.info.Notes, h.pem+" is not there: without it no other TPM takes the token, so an archive alone does not survive the loss of the TPM; "+
				"if it is kept elsewhere, --pem-dir says where")
		}
	}
}

// stampOfTime is when an entry's file was written; 0 if it cannot be told.
func (t *token) stampOfTime(e *backends.Entry) int64 {
	f, err := t.readEntry(e, make([]byte, 4<<10))
	if err != nil {
		return 0
	}
	return f.stat.Mtim.Nano()
}

func stampText(ns int64) string {
	if ns == 0 {
		return "unknown"
	}
	return time.Unix(0, ns).UTC().Format(time.RFC3339)
}

// tellTPM tells of a TPM token that was restored whole what another TPM needs,
// and what is to be done there.
func (s *staging) tellTPM(found *findings) error {
	if s.token.Property(propVariant) != tokendata.TPM || !s.o.Whole {
		return nil
	}
	if !s.order.nvtok {
		found.add(NoPEM, nvtokName, -1, "it is not restored: no library sees the token without it")
	}
	for _, h := range hierarchies {
		if s.order.ofTPM[h.root] && !s.order.ofTPM[h.pem] {
			found.add(NoPEM, h.pem, -1, "it is not in the archive: only the TPM that the token was on takes it")
		}
	}
	s.note("a TPM token: on the TPM that it was on there is nothing to be done. Another TPM takes it with the first logins, which wrap its root keys anew: " +
		"first the SO logs in, then the user, each with the PIN of the archive; before that a user's login fails with CKR_USER_PIN_NOT_INITIALIZED and changes nothing. " +
		"After both, take PUBLIC_ROOT_KEY.pem and PRIVATE_ROOT_KEY.pem off the disk again")
	return nil
}
