package opencryptoki

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"tokar/backends"
	"tokar/backends/opencryptoki/tokendata"
	"tokar/format"
	"tokar/format/cryptoki"
)

// token is a token directory, open for reading. It implements backends.Token
// and backends.Rechecker.
type token struct {
	loc          backends.Location
	path         string
	dir, objects int   // descriptors of the token directory and TOK_OBJ; the latter may be -1
	opened       int64 // ns since 1970, before anything was looked at
	info         format.Token
	scan         *scan
	nvtok        file
	noObjects    error   // why there is no TOK_OBJ
	watched      watched // what stood when it was listed
	live         *live   // nil where it has no lock: no library used it since the system started
	kept         keptEntries
	pems         map[string]string // where entries are that stand in the operator's directory of PEM files
	notes        []string
	changing     []format.Finding // PINs did not stand still

	mu       sync.Mutex
	late     []backends.Entry // read, but last changed after the token was opened
	vanished map[string]bool  // listed, but gone when their turn came
}

// Open prepares to read the token at loc. One that programs may be using is read
// under its lock here, so that it is not held while anything waits for anybody.
// It wraps backends.ErrLocked where the lock cannot be had in time.
func (Backend) Open(ctx context.Context, loc backends.Location) (backends.Token, error) {
	t, err := openFor(ctx, loc, false)
	if err != nil {
		return nil, err
	}
	return t, nil
}

// openFor opens the token; of one that programs may be using it reads all that
// it can, or the state that PINs are in alone.
func openFor(ctx context.Context, loc backends.Location, stateOnly bool) (*token, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	t := &token{path: loc.Path, dir: -1, objects: -1, opened: time.Now().UnixNano()}
	if err := t.open(ctx, loc, stateOnly); err != nil {
		t.Close()
		return nil, fmt.Errorf("token %s: %w", loc.Name, err)
	}
	return t, nil
}

// open takes the descriptors, looks at the directories and describes the token.
func (t *token) open(ctx context.Context, loc backends.Location, stateOnly bool) (err error) {
	t.dir, err = openPlace(loc.Real)
	if err != nil {
		return fmt.Errorf("cannot open its directory %s: %w", t.path, err)
	}
	t.loc = loc
	if err := t.list(); err != nil {
		return err
	}
	t.describe(loc.Name)
	if err := t.openLive(loc); err != nil {
		return err
	}
	if t.live != nil {
		t.opened -= clockStep.Nanoseconds()
		if err := t.readLive(ctx, stateOnly); err != nil {
			return err
		}
		t.describe(loc.Name)
	}
	t.info.Notes = append(t.info.Notes, t.notes...)
	t.checkState()
	if !stateOnly && !loc.Reading.Listing {
		t.judgePEMs()
	}
	t.scan.report(t.changing)
	return nil
}

// list looks at the directories. TOK_OBJ may be another than before: a restore
// exchanges it.
func (t *token) list() (err error) {
	objects, err := openDir(t.dir, objectsName)
	t.noObjects = err
	if err != nil && !isNoDirectory(err) {
		return fmt.Errorf("cannot open %s: %w", objectsName, err)
	}
	if t.objects >= 0 {
		unix.Close(t.objects)
	}
	t.objects = objects
	t.watched = watch(t.dir, t.objects)
	t.nvtok, err = readFile(t.dir, []byte(nvtokName), make([]byte, tokendata.NVTOKNew+tokendata.ICSFRecord+1))
	if err != nil && !ofEntry(err) {
		return fmt.Errorf("cannot read %s: %w", nvtokName, err)
	}
	t.scan, err = scanToken(t.dir, t.objects, tokendata.ParseNVTOK(t.nvtok.data).Variant() == tokendata.TPM)
	if err == nil {
		t.addPEMs(t.loc)
	}
	return err
}

// Info describes the token.
func (t *token) Info() *format.Token { return &t.info }

// describe fills the descriptor.
func (t *token) describe(name format.Name) {
	n := tokendata.ParseNVTOK(t.nvtok.data)
	t.info = format.Token{
		Name: name, Kind: Kind,
		Label: n.Label, Manufacturer: n.Manufacturer, Model: n.Model, Serial: n.Serial,
		Directories: t.scan.dirs,
	}
	t.info.Defaults = t.scan.indexAttr
	if !t.info.Defaults.Known && t.nvtok.data != nil {
		t.info.Defaults = t.nvtok.attr()
	}
	t.info.Defaults.DefaultACL = ""
	if n.Format == tokendata.Unknown {
		n.Format = t.formatByKeys()
	}
	add := func(key, value string) {
		t.info.Properties = append(t.info.Properties, format.Property{Key: key, Value: value})
	}
	add(propFormat, n.Format)
	add(propByteOrder, t.byteOrder(n))
	add(propVariant, t.variant(n))
	if n.Migrated {
		add(propMigrated, migratedWord)
	}
	if parent, ok := t.parent(name); ok {
		add(propParent, parent)
	}
	if n.Variant() == tokendata.ICSF {
		t.info.Notes = append(t.info.Notes, "an ICSF token: its objects live on the z/OS host and are not in this archive")
	}
}

// parent describes the directory of the users' TPM tokens, which must let its
// group in and belongs to none of them.
func (t *token) parent(name format.Name) (property string, ok bool) {
	var st unix.Stat_t
	if len(name.Components()) < 2 || unix.Fstatat(t.dir, "..", &st, unix.AT_SYMLINK_NOFOLLOW) != nil {
		return "", false
	}
	a := attrOf(&st)
	return fmt.Sprintf("%04o %d %d %q %q", a.Mode&dirMode, a.UID, a.GID, a.Owner, a.Group), true
}

// formatByKeys tells the format from the length of MK_SO where NVTOK.DAT does
// not.
func (t *token) formatByKeys() string {
	var st unix.Stat_t
	if unix.Fstatat(t.dir, soKeyName, &st, unix.AT_SYMLINK_NOFOLLOW) != nil {
		return tokendata.Unknown
	}
	switch st.Size {
	case tokendata.KeyFileNew:
		return tokendata.New
	case tokendata.KeyFileOld, tokendata.KeyFileCCA:
		return tokendata.Old
	}
	return tokendata.Unknown
}

// variant tells a TPM token by its files where the model does not.
func (t *token) variant(n tokendata.NVTOK) string {
	if v := n.Variant(); v != tokendata.Unknown {
		return v
	}
	for _, e := range t.scan.state {
		if stateRank([]string{string(baseName(e.Name))}) == 4 && string(baseName(e.Name)) != racfName {
			return tokendata.TPM
		}
	}
	return tokendata.Unknown
}

// byteOrder tells the writer's byte order: in the old format from NVTOK.DAT,
// in the new, which is big-endian outside, from the inside of a public object
// among the first ones. Old objects tell it too, where NVTOK.DAT is damaged.
func (t *token) byteOrder(n tokendata.NVTOK) string {
	if n.OrderKnown {
		return n.Order.String()
	}
	buf := make([]byte, 16<<10)
	for _, at := range t.scan.order[:min(len(t.scan.order), 16)] {
		f, err := readFile(t.objects, t.scan.index[at:at+objectNameLen], buf)
		if err != nil {
			continue
		}
		h := tokendata.ParseObject(f.data, n.Format)
		order, ok := cryptoki.OrderOf(h.Body)
		switch {
		case h.Format == tokendata.Old:
			order, ok = tokendata.OldWord(f.data)
		case h.Private:
			ok = false
		}
		if ok {
			return order.String()
		}
	}
	return tokendata.Unknown
}

// checkState reports what is missing beside NVTOK.DAT.
func (t *token) checkState() {
	n := tokendata.ParseNVTOK(t.nvtok.data)
	var found findings
	variant := t.variant(n)
	ownKeys := variant != tokendata.TPM && variant != tokendata.ICSF
	if ownKeys && !exists(t.dir, soKeyName) {
		found.add(Missing, soKeyName, -1, "there is no %s: the SO cannot log in", soKeyName)
	}
	if ownKeys && n.UserPIN && !exists(t.dir, userKeyName) {
		found.add(Missing, userKeyName, -1, "there is no %s, and NVTOK.DAT says that the user PIN is set: the user cannot log in", userKeyName)
	}
	if ownKeys && t.noObjects == unix.ENOENT {
		found.add(Missing, objectsName, -1, "there is no directory %s", objectsName)
	}
	if !slices.ContainsFunc(t.scan.state, func(e backends.Entry) bool { return string(e.Name) == nvtokName }) {
		found.add(Missing, nvtokName, -1, "it is no file: the library does not see the token")
	}
	t.scan.report(found.all())
}

// Close gives descriptors and memory back.
func (t *token) Close() error {
	t.kept.clear()
	if t.live != nil {
		t.live.locks.close()
		t.live.locks = nil
	}
	for _, fd := range []*int{&t.dir, &t.objects} {
		if *fd >= 0 {
			unix.Close(*fd)
			*fd = -1
		}
	}
	return nil
}

// directory is where the token is, for messages.
func (t *token) directory() string { return filepath.Clean(t.path) }

// isNoDirectory: there is none, or what is there is a link or a file, which
// the scan lists.
func isNoDirectory(err error) bool {
	return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP)
}

// exists says whether a directory has something of this name.
func exists(dir int, name string) bool {
	var st unix.Stat_t
	return unix.Fstatat(dir, name, &st, unix.AT_SYMLINK_NOFOLLOW) == nil
}
