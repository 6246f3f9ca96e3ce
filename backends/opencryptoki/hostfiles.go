package opencryptoki

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"tokar/backends"
	"tokar/backends/opencryptoki/config"
	"tokar/format"
)

// A host's configuration is archived as a token of its own. Its entries are files:
//
//	NAME                  beside opencryptoki.conf, and that itself
//	HSM_MK_CHANGE/NAME    below the tokens' base directory: a change of HSM master keys
//	DIR/…/NAME            /DIR/…/NAME, which a slot's confname names
//
// opencryptoki.conf is the one that is called as the token is.

// Properties of a configuration's descriptor.
const (
	propPath = "path" // of opencryptoki.conf on its host
	propBase = "base" // of the tokens there
)

const (
	usualConfig   = "opencryptoki.conf"
	maxOperations = 4096 // files in HSM_MK_CHANGE: a few for each slot
)

// Kind is "opencryptoki-config".
func (Host) Kind() string { return ConfigKind }

// Files is where opencryptoki.conf is.
func (c Host) Files() backends.Location {
	found, _ := c.Find(context.Background(), c.path)
	for _, l := range found.Tokens {
		return l
	}
	return backends.Location{Kind: ConfigKind, Name: format.NameOf(filepath.Base(c.path)), Path: c.path, Real: c.path}
}

// Find takes a file for a configuration if it is called opencryptoki.conf, or can
// be read as one that has slots.
func (c Host) Find(_ context.Context, path string) (found backends.Found, err error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return found, err
	}
	real, err := filepath.EvalSymlinks(abs)
	if err != nil {
		return found, err
	}
	info, err := os.Lstat(real)
	if err != nil || !info.Mode().IsRegular() {
		return found, err
	}
	name := filepath.Base(abs)
	if name != usualConfig {
		if info.Size() > config.MaxSize {
			return found, nil
		}
		data, err := readConfiguration(real)
		f, perr := config.Parse(data)
		if err != nil || perr != nil || len(f.Slots) == 0 {
			return found, err
		}
	}
	found.Tokens = []backends.Location{{Kind: ConfigKind, Name: format.NameOf(name), Path: path, Real: real}}
	return found, nil
}

// configFile is one file of a configuration.
type configFile struct {
	name format.Name
	path string
}

// pathIn is where a file is, on a host with this opencryptoki.conf and base.
func pathIn(name format.Name, conf, base string) (path string, ok bool) {
	parts := name.Components()
	for _, p := range parts {
		if p == "." || p == ".." || strings.HasSuffix(p, oldSuffix) || strings.HasSuffix(p, newSuffix) {
			return "", false
		}
	}
	switch {
	case len(parts) == 1:
		return filepath.Join(filepath.Dir(conf), parts[0]), true
	case parts[0] == masterState:
		return filepath.Join(base, masterState, parts[1]), len(parts) == 2
	}
	return "/" + strings.Join(parts, "/"), true
}

// nameOf is what a file that a configuration names is called.
func nameOf(file, conf string) (name format.Name, path string) {
	switch path = filepath.Clean(file); {
	case !filepath.IsAbs(path):
		return format.NameOf(path), filepath.Join(filepath.Dir(conf), path)
	case filepath.Dir(path) == filepath.Dir(conf):
		return format.NameOf(filepath.Base(path)), path
	}
	return format.NameOf(strings.Split(path[1:], "/")...), path
}

// configToken is a configuration, open for reading.
type configToken struct {
	info     format.Token
	files    []configFile
	findings []format.Finding // on opencryptoki.conf
}

// Open lists the files of the configuration at loc.
func (c Host) Open(ctx context.Context, loc backends.Location) (backends.Token, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	base, err := filepath.Abs(cmp.Or(c.base, defaultBase))
	if err != nil {
		return nil, err
	}
	data, err := readConfiguration(loc.Real)
	if err != nil {
		return nil, fmt.Errorf("configuration %s: %w", loc.Name, err)
	}
	t := &configToken{files: []configFile{{loc.Name, loc.Real}}}
	t.info = format.Token{Name: loc.Name, Kind: ConfigKind, Properties: []format.Property{
		{Key: propPath, Value: loc.Real}, {Key: propBase, Value: base},
	}}
	f, err := config.Parse(data)
	if err != nil {
		f = &config.File{} // the validator says it
	}
	t.beside(f, loc, base)
	operations, err := os.ReadDir(filepath.Join(base, masterState))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.findings = append(t.findings, finding(Unreadable, masterState, -1, "it cannot be listed: %v", err))
	}
	for _, o := range operations[:min(len(operations), maxOperations)] {
		t.files = append(t.files, configFile{format.NameOf(masterState, o.Name()), filepath.Join(base, masterState, o.Name())})
	}
	if len(operations) > 0 {
		t.info.Notes = append(t.info.Notes, "a change of HSM master keys was under way, or its state was left behind: pkcshsm_mk_change tells")
	}
	return t, nil
}

// beside adds the files that a configuration names and that are there. One that
// is not matters if its slot has a token.
func (t *configToken) beside(f *config.File, loc backends.Location, base string) {
	for _, file := range f.Beside() {
		name, path := nameOf(file, loc.Real)
		if back, ok := pathIn(name, loc.Real, base); name.Check() != nil || !ok || back != path {
			t.findings = append(t.findings, finding(NotKept, file, -1, "an archive has no name for this path"))
			continue
		}
		if _, err := os.Lstat(path); err == nil {
			t.files = append(t.files, configFile{name, path})
			continue
		}
		for i := range f.Slots {
			s := &f.Slots[i]
			if s.ConfName != file || s.Directory() == "" {
				continue
			}
			if holds, _ := holdsToken(filepath.Join(base, s.Directory())); holds {
				t.findings = append(t.findings, finding(Missing, file, -1, "slot %d names it, and it is not there", s.Number))
			}
		}
	}
}

// Info describes the configuration.
func (t *configToken) Info() *format.Token { return &t.info }

// Close has nothing to give back.
func (t *configToken) Close() error { return nil }

// Entries lists opencryptoki.conf first.
func (t *configToken) Entries(ctx context.Context) iter.Seq2[backends.Entry, error] {
	return func(yield func(backends.Entry, error) bool) {
		for i, f := range t.files {
			e := backends.Entry{Kind: format.KindState, Name: f.name, Place: uint64(i)}
			if i == 0 {
				e.Findings = t.findings
			}
			if err := ctx.Err(); !yield(e, err) || err != nil {
				return
			}
		}
	}
}

// Read reads one file. Links are followed to its directory, and not from there.
func (t *configToken) Read(_ context.Context, e *backends.Entry, r *format.Record, buf []byte) error {
	f, err := readBeside(t.files[e.Place].path, buf)
	if err != nil && !ofEntry(err) && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("configuration %s: cannot read %s: %w", t.info.Name, e.Name, err)
	}
	switch kind := kindOf(err); {
	case err == nil:
	case kind == Gone:
		r.Flags |= format.Vanished
		r.Details.Findings = append(r.Details.Findings, finding(kind, e.Name.String(), -1, "removed after it was listed"))
		return nil
	default:
		r.Flags |= format.Refused
		r.Details.Findings = append(r.Details.Findings, finding(kind, e.Name.String(), -1, "cannot read it: %v", err))
		return nil
	}
	r.Data, r.Details.Attr = f.data, f.attr()
	return nil
}

// readBeside reads a file that is no link, in a directory that may be one.
func readBeside(path string, buf []byte) (f file, err error) {
	fd, err := openReal(filepath.Dir(path))
	if err != nil {
		return f, err
	}
	defer unix.Close(fd)
	f, err = readFile(fd, []byte(filepath.Base(path)), buf)
	if err == nil && len(f.data) > config.MaxSize {
		err = errTooLarge
	}
	return f, err
}

// configValidator judges opencryptoki.conf. What is in a token's configuration is
// its own matter. Nothing is public: some of it may be secret, and nobody needs it
// who does not restore.
type configValidator struct{ conf format.Name }

// Validator checks a configuration's files.
func (Host) Validator(t *format.Token) (backends.Validator, error) {
	return configValidator{t.Name}, nil
}

func (v configValidator) Validate(r *format.Record) (public bool, found []format.Finding) {
	if !bytes.Equal(r.Name, v.conf) {
		return false, nil
	}
	if _, err := config.Parse(r.Data); err != nil {
		found = []format.Finding{finding(Syntax, r.Name.String(), -1, "%v", err)}
	}
	return false, found
}

// configAdvice is what to do about findings on configurations, where that is not
// what is to be done about those on tokens.
var configAdvice = map[string]string{
	Missing: "the token whose slot names it does not start; write it, or put it back with tokar extract --configuration",
	NotKept: "keep a copy of it beside the archive, or give it a place beside opencryptoki.conf",
}

// Advice says what to do about a finding of this kind.
func (Host) Advice(kind string, _ backends.Subject) string {
	if a := configAdvice[kind]; a != "" {
		return a
	}
	a := strings.TrimSuffix(strings.TrimSuffix(advice[kind], backends.PutBack), backends.Repair)
	return strings.TrimSuffix(a, "; ")
}

// secretFile says whether a slot of a type whose configuration may hold secrets
// names the file.
func secretFile(name format.Name, conf string, files ...*config.File) bool {
	return slices.ContainsFunc(files, func(f *config.File) bool {
		return slices.ContainsFunc(f.Slots, func(s config.Slot) bool {
			of, _ := nameOf(s.ConfName, conf)
			return s.ConfName != "" && bytes.Equal(of, name) && s.Type() != "ep11" && s.Type() != "cca"
		})
	})
}
