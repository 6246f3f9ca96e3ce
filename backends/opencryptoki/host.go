package opencryptoki

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"tokar/backends"
	"tokar/backends/opencryptoki/config"
	"tokar/backends/opencryptoki/tokendata"
	"tokar/format"
)

// ConfigKind is how archives name a host's configuration.
const ConfigKind = "opencryptoki-config"

// Host is what a host says of its tokens: opencryptoki.conf with the files that belong to it. The zero
// value is that of no host.
type Host struct {
	path string // of opencryptoki.conf, as the operator named it
	base string // of the tokens
	file *config.File
}

// Host reads opencryptoki.conf.
func (Backend) Host(path, base string, absent bool) (backends.Host, error) {
	c := Host{path: path, base: cmp.Or(base, os.Getenv(appStore), defaultBase), file: &config.File{}}
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	real, err := filepath.EvalSymlinks(abs)
	if absent && errors.Is(err, fs.ErrNotExist) {
		return c, nil
	}
	var data []byte
	if err == nil {
		data, err = readConfiguration(real)
	}
	if err == nil {
		c.file, err = config.Parse(data)
	}
	if cause := (*fs.PathError)(nil); errors.As(err, &cause) {
		err = cause.Err
	}
	if err != nil {
		return nil, err
	}
	return c, nil
}

// Base is the directory of the tokens.
func (c Host) Base() string { return c.base }

// Select finds the tokens of the slots that a word means.
func (c Host) Select(ctx context.Context, word string) (found backends.Found, err error) {
	if word == "" {
		return c.present(ctx)
	}
	if n, err := strconv.Atoi(word); err == nil && c.file.Slot(n) != nil {
		return c.slot(ctx, c.file.Slot(n))
	}
	if strings.Contains(word, "/") { // one user's TPM token
		found, err = c.present(ctx)
		found.Passed = nil
		found.Tokens = slices.DeleteFunc(found.Tokens, func(l backends.Location) bool { return l.Name.String() != word })
		return found, err
	}
	var meant []*config.Slot
	var what []string
	for i := range c.file.Slots {
		s := &c.file.Slots[i]
		label := c.label(s)
		if !s.Present() || word != s.Directory() && word != label {
			continue
		}
		meant = append(meant, s)
		what = append(what, fmt.Sprintf("slot %d (%s, label %s)", s.Number, quote([]byte(s.Directory())), quote([]byte(label))))
	}
	switch len(meant) {
	case 0:
		return found, nil
	case 1:
		return c.slot(ctx, meant[0])
	}
	return found, fmt.Errorf("%q means %s; give the number of one", word, strings.Join(what, " and "))
}

// present finds the tokens of all slots, and below the base those that no slot
// has. A slot whose token nobody has used yet has no directory.
func (c Host) present(ctx context.Context) (found backends.Found, err error) {
	seen := map[string]bool{}
	for i := range c.file.Slots {
		s := &c.file.Slots[i]
		if !s.Present() || seen[s.Directory()] {
			continue
		}
		seen[s.Directory()] = true
		f, err := c.slot(ctx, s)
		if err != nil {
			return found, err
		}
		found.Tokens = append(found.Tokens, f.Tokens...)
		found.Passed = append(found.Passed, f.Passed...)
	}
	found.Passed = append(found.Passed, c.slotless(ctx, seen, found.Passed)...)
	return found, ctx.Err()
}

// slotless are the initialised tokens below the base whose directory no slot has.
// A slot whose directory is not there may be meant for one.
func (c Host) slotless(ctx context.Context, named map[string]bool, passed []backends.Passed) (list []backends.Passed) {
	absent := ""
	for _, p := range passed {
		if p.Absent {
			absent += "; " + quote([]byte(filepath.Base(p.Path))) + " is not there (" + p.Reason + ")"
		}
	}
	below, err := Backend{}.Find(ctx, c.base)
	if err != nil {
		return nil // which the slots' tokens have told
	}
	told := map[string]bool{}
	for _, l := range below.Tokens {
		name := l.Name.Components()[0]
		if named[name] || told[name] || l.Path == c.base || !initialised(l.Real) {
			continue
		}
		told[name] = true
		list = append(list, backends.Passed{Path: filepath.Join(c.base, name), NoSlot: true,
			Reason: fmt.Sprintf("an initialised token, and no slot of %q has it%s", c.path, absent)})
	}
	return list
}

// initialised says whether somebody initialised the token in a directory.
func initialised(real string) bool {
	dir, err := openPlace(real)
	if err != nil {
		return false
	}
	defer unix.Close(dir)
	f, _ := readFile(dir, []byte(nvtokName), make([]byte, tokendata.NVTOKNew+tokendata.ICSFRecord+1))
	return tokendata.ParseNVTOK(f.data).Initialised
}

// slot finds the token of a slot, or of a TPM slot that of each user.
func (c Host) slot(ctx context.Context, s *config.Slot) (found backends.Found, err error) {
	pass := func(path, form string, args ...any) (backends.Found, error) {
		reason := fmt.Sprintf("slot %d: ", s.Number) + fmt.Sprintf(form, args...)
		return backends.Found{Passed: []backends.Passed{{Path: path, Reason: reason}}}, nil
	}
	name := s.Directory()
	switch {
	case !s.Present():
		return pass(c.path, "it has no stdll, and so no token")
	case name == "":
		return pass(c.path, "it has no tokname, and %s is no token type whose directory is known", quote([]byte(s.STDLL)))
	}
	path := filepath.Join(c.base, name)
	if found, err = (Backend{}).Find(ctx, path); errors.Is(err, fs.ErrNotExist) {
		reason := fmt.Sprintf("slot %d: there is no directory: nobody has used the token yet, or tokname or stdll is mistyped", s.Number)
		return backends.Found{Passed: []backends.Passed{{Path: path, Reason: reason, Absent: true}}}, nil
	}
	if err != nil {
		return found, fmt.Errorf("slot %d: %w", s.Number, err)
	}
	// A directory that is no token is searched for tokens below it; only a TPM
	// slot has such.
	below := func(path string) bool { return path != filepath.Join(c.base, name) }
	found.Passed = slices.DeleteFunc(found.Passed, func(p backends.Passed) bool { return below(p.Path) && !p.Hidden })
	found.Tokens = slices.DeleteFunc(found.Tokens, func(l backends.Location) bool { return below(l.Path) && s.Type() != "tpm" })
	for i, l := range found.Tokens {
		if below(l.Path) {
			found.Tokens[i].Name = format.NameOf(name, filepath.Base(l.Path))
		}
	}
	lost := remains(path)
	switch {
	case len(found.Tokens)+len(found.Passed) > 0:
	case lost != "":
		found.Passed = []backends.Passed{{Path: path, Hidden: true, Reason: fmt.Sprintf(
			"slot %d: it has %s and no %s: the library does not see the token; tokar diff says how to put it back", s.Number, lost, nvtokName)}}
	default:
		return pass(path, "no %s: nobody has used the token yet", nvtokName)
	}
	return found, nil
}

// label is the label of a slot's token; empty if there is none.
func (c Host) label(s *config.Slot) string {
	if s.Directory() == "" {
		return ""
	}
	real, err := filepath.EvalSymlinks(filepath.Join(c.base, s.Directory()))
	if err != nil {
		return ""
	}
	if real, err = filepath.Abs(real); err != nil {
		return ""
	}
	dir, err := openPlace(real)
	if err != nil {
		return ""
	}
	defer unix.Close(dir)
	f, _ := readFile(dir, []byte(nvtokName), make([]byte, tokendata.NVTOKNew+tokendata.ICSFRecord+1))
	return tokendata.ParseNVTOK(f.data).Label
}

// Misfits says in what a token is not what its slot says.
func (c Host) Misfits(t *format.Token) []format.Finding {
	if t.Kind != Kind || c.file.Slots == nil {
		return nil
	}
	var s *config.Slot
	for i := range c.file.Slots {
		if c.file.Slots[i].Present() && c.file.Slots[i].Directory() == t.Name.Components()[0] {
			s = &c.file.Slots[i]
			break
		}
	}
	var found findings
	add := func(kind, form string, args ...any) { found.add(kind, "", -1, form, args...) }
	if s == nil {
		add(NoSlot, "no slot of %q has a token of this name", c.path)
		return found.all()
	}
	if is, says := t.Property(propVariant), variants[s.Type()]; is != tokendata.Unknown && says != "" && is != says {
		add(SlotType, "it is a token of the type %s, and slot %d has stdll = %s", is, s.Number, s.STDLL)
	}
	switch is := t.Property(propFormat); {
	case is == tokendata.New && s.TokVersion == 0:
		add(SlotVersion, "its files have the new format, and slot %d has no tokversion: the library takes them for the old one", s.Number)
	case is == tokendata.New && s.TokVersion < config.NewFormat:
		add(SlotVersion, "its files have the new format, and slot %d has tokversion = %s: the library takes them for the old one", s.Number, s.TokVersion)
	case is == tokendata.Old && s.TokVersion >= config.NewFormat:
		add(SlotVersion, "its files have the old format, and slot %d has tokversion = %s: the library takes them for the new one", s.Number, s.TokVersion)
	}
	if group := cmp.Or(s.UserGroup, defaultGroup); s.Type() != "tpm" {
		for _, d := range t.Directories {
			own := len(d.Name) == 0 || d.Name.String() == objectsName
			if is := groupOf(d.Attr); own && d.Attr.Known && is != group {
				where := "its directory"
				if len(d.Name) > 0 {
					where = "its " + objectsName
				}
				add(SlotGroup, "%s has the group %s, and slot %d wants %s: since 3.24 the library does not see such a token", where, is, s.Number, group)
				break
			}
		}
	}
	return found.all()
}

// defaultGroup is the group of the tokens of slots that name none.
const defaultGroup = "pkcs11"

// groupOf is a group's name, or its number if it has none.
func groupOf(a format.Attr) string {
	return cmp.Or(a.Group, strconv.FormatUint(uint64(a.GID), 10))
}
