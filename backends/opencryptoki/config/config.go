// Package config reads opencryptoki.conf as pkcsslotd does, and changes one value
// of it without touching a byte of anything else. It works on bytes and opens no
// files.
//
// The language is that of openCryptoki's usr/lib/config/cfglex.l and cfgparse.y,
// its meaning that of usr/sbin/pkcsslotd/slotmgr.c, both of 3.27. Releases before
// 3.17 read less: no comment inside braces, one element a line.
package config

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

const (
	// MaxSize bounds a configuration, in bytes.
	MaxSize = 1 << 20
	// slots are numbered below this.
	slotNumbers = 1024
)

// NewFormat is the tokversion from which on a token's files have the new format.
const NewFormat Version = 3<<16 | 12

// Version is major<<16 | minor.
type Version uint32

// String is such as "3.12".
func (v Version) String() string { return fmt.Sprintf("%d.%d", v>>16, v&0xFFFF) }

// Error is what pkcsslotd would not start with.
type Error struct {
	Line    int // from 1
	Message string
}

func (e *Error) Error() string { return fmt.Sprintf("line %d: %s", e.Line, e.Message) }

// File is a configuration. Nobody changes it; SetTokversion makes another.
type File struct {
	Slots []Slot // in the order in which they are first named

	data []byte
}

// Slot is what a configuration says of one slot. What it does not say is empty,
// or 0.
type Slot struct {
	Number       int
	Line         int    // of its first word, from 1
	STDLL        string // the token's library; without one the slot is absent
	Description  string
	Manufacturer string
	Hardware     Version
	Firmware     Version
	ConfName     string // the token's own configuration: a file name, or an absolute path
	TokName      string // the name of its directory
	TokVersion   Version
	UserGroup    string

	open, close int // the last block's inside
	tokversions []element
	last        element // of the last block; without one its key is 0 to 0
}

// element is where KEY = VALUE stands.
type element struct{ key, value, end int }

// Slot is the slot of this number, or nil.
func (f *File) Slot(number int) *Slot {
	for i := range f.Slots {
		if f.Slots[i].Number == number {
			return &f.Slots[i]
		}
	}
	return nil
}

// Present says that the slot has a token.
func (s *Slot) Present() bool { return s.STDLL != "" }

// Type is the token's: ica, cca, sw, ep11, tpm or icsf, or whatever else the
// library's name libpkcs11_TYPE.so has there.
func (s *Slot) Type() string {
	name, _, _ := strings.Cut(path.Base(s.STDLL), ".so")
	kind, ok := strings.CutPrefix(name, "libpkcs11_")
	if !ok {
		return ""
	}
	return kind
}

// directories are where tokens lie whose slots do not say it (usr/lib/*_stdll/tok_struct.h).
var directories = map[string]string{
	"sw": "swtok", "ica": "lite", "cca": "ccatok", "ep11": "ep11tok", "tpm": "tpm", "icsf": "icsf",
}

// Directory is the name of the token's directory, below the base directory. It is
// empty where neither the slot nor its type tells it.
func (s *Slot) Directory() string {
	if s.TokName != "" {
		return s.TokName
	}
	return directories[s.Type()]
}

// Beside lists the files that belong to the configuration: those that slots name,
// and those that the library looks for. Names are relative to the configuration's
// directory unless they are absolute; whether the files exist is not known here.
func (f *File) Beside() []string {
	var names []string
	add := func(name string) {
		if name != "" && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	for i := range f.Slots {
		s := &f.Slots[i]
		if add(s.ConfName); s.ConfName == "" && s.Type() == "ep11" {
			add("ep11tok.conf")
		}
	}
	add("strength.conf")
	add("policy.conf")
	return names
}
