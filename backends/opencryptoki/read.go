package opencryptoki

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"tokar/backends"
	"tokar/format"
)

// Read reads one entry: one openat, one read, one fstat, one flistxattr, one
// close.
func (t *token) Read(ctx context.Context, e *backends.Entry, r *format.Record, buf []byte) error {
	if e.Flags&format.Refused != 0 {
		r.Flags |= format.Refused
		return nil
	}
	if e.Place == inIndex {
		r.Data, r.Details.Attr = t.scan.index, t.scan.indexAttr
		return nil
	}
	f, err := t.readEntry(e, buf)
	if err != nil && !ofEntry(err) {
		return t.unread(e, err)
	}
	if err != nil {
		t.refuse(r, e, err)
	}
	if err != nil && err != errChanging {
		return nil
	}
	r.Data, r.Details.Attr = f.data, f.attr()
	if f.xattrs.lost != nil {
		r.Details.Findings = append(r.Details.Findings, f.xattrs.finding(entryPath(e.Kind, e.Name)))
	}
	if f.stat.Ctim.Nano() > t.opened {
		t.mu.Lock()
		t.late = append(t.late, backends.Entry{Kind: e.Kind, Flags: e.Flags, Name: e.Name, Place: e.Place})
		t.mu.Unlock()
	}
	return nil
}

// readEntry gives an entry that was read already, or reads it.
func (t *token) readEntry(e *backends.Entry, buf []byte) (file, error) {
	if t.live != nil {
		if k, ok := t.kept.get(e); ok {
			return k.file, k.err
		}
	}
	return t.readPlace(e, buf)
}

// Prefetch has the kernel read an entry's file.
func (t *token) Prefetch(e *backends.Entry) {
	dir := t.dir
	switch {
	case e.Flags&format.Refused != 0 || t.live != nil && t.live.still:
		return
	case e.Place == inObjects:
		dir = t.objects
	case e.Place != inToken:
		return // few, and in other directories
	}
	fd, err := openat(dir, baseName(e.Name), openFlags, 0)
	if err != nil {
		return
	}
	unix.Fadvise(fd, 0, 0, unix.FADV_WILLNEED)
	unix.Close(fd)
}

// readPlace opens an entry's file where its place says.
func (t *token) readPlace(e *backends.Entry, buf []byte) (file, error) {
	switch e.Place {
	case inToken:
		return readFile(t.dir, e.Name, buf)
	case inObjects:
		return readFile(t.objects, baseName(e.Name), buf)
	case fromPEMs:
		return t.readPEM(e, buf)
	}
	return readBelow(t.dir, e.Name, buf)
}

// readBelow reads a file by its path.
func readBelow(dir int, name format.Name, buf []byte) (file, error) {
	parent, err := openPath(dir, name.Components())
	if err != nil {
		return file{}, err
	}
	defer unix.Close(parent)
	return readFile(parent, baseName(name), buf)
}

// unread is the error that ends a run.
func (t *token) unread(e *backends.Entry, err error) error {
	return fmt.Errorf("token %s: cannot read %s in %s: %w", t.info.Name, e.Name, t.directory(), err)
}

// ofEntry: this entry cannot be had, others can.
func ofEntry(err error) bool {
	for _, e := range []error{errIrregular, errTooLarge, errChanging,
		unix.ENOENT, unix.ELOOP, unix.ENXIO, unix.EACCES, unix.EPERM, unix.EIO, unix.ENAMETOOLONG, unix.ENOTDIR, unix.EISDIR, unix.EAGAIN} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// refuse tells why an entry's bytes are not there, or not to be trusted.
func (t *token) refuse(r *format.Record, e *backends.Entry, err error) {
	kind, message := kindOf(err), fmt.Sprintf("cannot read it: %v", err)
	if e.Place == fromPEMs {
		message = fmt.Sprintf("cannot read %s: %v", quote([]byte(t.pems[string(e.Name)])), err)
	}
	switch kind {
	case Changing:
		// its last bytes are archived
	case Gone:
		message = "removed after the token was listed"
		r.Flags |= format.Vanished
		t.mu.Lock()
		defer t.mu.Unlock()
		if t.vanished == nil {
			t.vanished = map[string]bool{}
		}
		t.vanished[string(e.Name)] = true
	default:
		r.Flags |= format.Refused
	}
	r.Details.Findings = append(r.Details.Findings, finding(kind, entryPath(e.Kind, e.Name), -1, "%s", message))
}

// kindOf is the kind of finding that an error on one file is.
func kindOf(err error) string {
	switch {
	case errors.Is(err, unix.ENOENT):
		return Gone
	case errors.Is(err, errTooLarge):
		return TooLarge
	case errors.Is(err, errChanging):
		return Changing
	case errors.Is(err, errIrregular), errors.Is(err, unix.ELOOP), errors.Is(err, unix.ENXIO):
		return Irregular
	}
	return Unreadable
}

// entryPath is an entry's path below the token directory.
func entryPath(kind format.Kind, name format.Name) string {
	if kind == format.KindObject {
		return objectPath(name)
	}
	return name.String()
}
