package stages

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"iter"
	"path/filepath"
	"strings"
	"sync"

	"tokar/backends"
	"tokar/format"
)

// memory is a backend whose tokens are made of nothing: for faults, sizes and
// orders that no real token can be made to show.
type memory struct {
	mu       sync.Mutex
	tokens   map[string]*memToken
	restored map[string]map[string][]byte // by token, then entry
	order    map[string][]string
	partly   map[string]bool // tokens restored though some of them is lost
	stagings int
	open     int // tokens being read
	mostOpen int

	fails map[string]error            // by step and token, as "commit one"
	says  map[string][]format.Finding // likewise, of what was restored
}

type memToken struct {
	name    string
	entries []memEntry
	changed []backends.Entry
	again   map[string][]byte // what a changed entry holds when read again
	failAt  string
	dirs    []format.Directory
}

type memEntry struct {
	name   string
	kind   format.Kind
	data   []byte
	label  []byte
	public bool
	gone   bool

	refused bool        // a link
	attr    format.Attr // if known, instead of what all have
}

func newMemory(tokens ...*memToken) *memory {
	m := &memory{tokens: map[string]*memToken{}, restored: map[string]map[string][]byte{}, order: map[string][]string{}, partly: map[string]bool{}}
	for _, t := range tokens {
		m.tokens[t.name] = t
	}
	return m
}

// madeToken has n objects of about size bytes, every fourth public.
func madeToken(name string, n, size int) *memToken {
	t := &memToken{name: name, entries: []memEntry{
		{name: "NVTOK.DAT", kind: format.KindState, data: []byte("state of " + name)},
	}}
	for i := range n {
		sum := sha256.Sum256(fmt.Append(nil, name, i))
		data := make([]byte, 0, size+i%7)
		for len(data) < size+i%7 {
			data = append(data, sum[:]...)
		}
		t.entries = append(t.entries, memEntry{
			name:   fmt.Sprintf("%08d", i),
			kind:   format.KindObject,
			data:   data[:size+i%7],
			public: i%4 == 0,
		})
	}
	return t
}

func (m *memory) inputs(names ...string) []Input {
	var in []Input
	for _, n := range names {
		name, _ := format.ParseName(n)
		in = append(in, Input{Backend: m, Location: backends.Location{Kind: "memory", Name: name, Path: n}})
	}
	return in
}

func (m *memory) Kind() string { return "memory" }

// step is what a step with a token comes to, and what is said of it.
func (m *memory) step(what, token string) ([]format.Finding, error) {
	return m.says[what+" "+token], m.fails[what+" "+token]
}

// Find finds a token by its name.
func (m *memory) Find(_ context.Context, path string) (found backends.Found, err error) {
	if _, err := m.step("find", path); err != nil {
		return found, err
	}
	if t := m.tokens[path]; t != nil {
		dir, _ := filepath.Abs(filepath.Dir(path))
		dir, err = filepath.EvalSymlinks(dir)
		real := filepath.Join(dir, filepath.Base(path))
		found.Tokens = []backends.Location{{Kind: "memory", Path: path, Real: real}}
	}
	return found, err
}

// IndexNames takes every byte of an index for a name.
func (m *memory) IndexNames(index []byte) []string { return strings.Split(string(index), "") }

func (m *memory) Open(_ context.Context, loc backends.Location) (backends.Token, error) {
	t := m.tokens[loc.Path]
	if t == nil {
		return nil, errors.New("no such token")
	}
	if _, err := m.step("open", loc.Path); err != nil {
		return nil, err
	}
	info := &format.Token{Name: loc.Name, Kind: "memory", Label: t.name, Defaults: format.Attr{Known: true, Mode: 0o660, UID: 1, GID: 2}, Directories: t.dirs}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.open++
	m.mostOpen = max(m.mostOpen, m.open)
	return &memOpen{m: m, t: t, info: info}, nil
}

func (m *memory) Advice(string, backends.Subject) string { return "" }

func (m *memory) Validator(*format.Token) (backends.Validator, error) { return memValidator{m}, nil }

type memValidator struct{ m *memory }

func (v memValidator) Validate(r *format.Record) (bool, []format.Finding) {
	if r.Kind == format.KindObject && len(r.Data) > 0 {
		r.Class = uint32(r.Data[0]) % 3
		if string(r.Data) == "damaged" {
			return false, []format.Finding{{Kind: "damaged", File: r.Name.String(), Offset: 3, Message: "made so"}}
		}
		return r.Name[len(r.Name)-1]%4 == 0, nil
	}
	return false, nil
}

type memOpen struct {
	m      *memory
	t      *memToken
	info   *format.Token
	second bool
}

func (o *memOpen) Info() *format.Token { return o.info }

func (o *memOpen) Close() error {
	o.m.mu.Lock()
	defer o.m.mu.Unlock()
	o.m.open--
	return nil
}

func (o *memOpen) Entries(context.Context) iter.Seq2[backends.Entry, error] {
	return func(yield func(backends.Entry, error) bool) {
		for i, e := range o.t.entries {
			if !yield(backends.Entry{Kind: e.kind, Name: format.Name(e.name), Place: uint64(i)}, nil) {
				return
			}
		}
		if _, err := o.m.step("list", o.t.name); err != nil {
			yield(backends.Entry{}, err)
		}
	}
}

func (o *memOpen) Read(_ context.Context, e *backends.Entry, r *format.Record, buf []byte) error {
	if e.Name.String() == o.t.failAt {
		return fmt.Errorf("%s/%s: made to fail", o.t.name, e.Name)
	}
	entry := o.t.entries[e.Place]
	data := entry.data
	if again, ok := o.t.again[entry.name]; ok && o.second {
		data = again
	}
	if entry.gone || data == nil {
		r.Flags |= format.Vanished
		return nil
	}
	if entry.refused {
		r.Flags |= format.Refused
		r.Details.Findings = append(r.Details.Findings, format.Finding{Kind: "link", Offset: -1, Message: "a link"})
		return nil
	}
	r.Data = append(buf[:0:len(buf)], data...)
	r.Details.Label = entry.label
	r.Details.Attr = format.Attr{Known: true, Mode: 0o640, UID: 1, GID: 2, MTime: int64(e.Place)}
	if entry.attr.Known {
		r.Details.Attr = entry.attr
	}
	return nil
}

func (o *memOpen) Recheck(context.Context) ([]backends.Entry, bool, error) {
	o.second = true
	if _, err := o.m.step("recheck", o.t.name); err != nil {
		return nil, false, err
	}
	return o.t.changed, len(o.t.changed) == 0, nil
}

func (m *memory) Restore(_ context.Context, _ string, t *format.Token, o backends.RestoreOptions) (backends.Staging, error) {
	if o.Note != nil {
		o.Note("restored to " + t.Name.String())
	}
	if _, err := m.step("restore", t.Name.String()); err != nil {
		return nil, err
	}
	m.mu.Lock()
	if m.stagings++; o.Partly {
		m.partly[t.Name.String()] = true
	}
	m.mu.Unlock()
	return &memStaging{m: m, name: t.Name.String(), put: map[string][]byte{}}, nil
}

type memStaging struct {
	m     *memory
	mu    sync.Mutex
	name  string
	put   map[string][]byte
	order []string
}

func (s *memStaging) Put(_ context.Context, rs []*format.Record) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := s.m.step("put", s.name); err != nil {
		return err
	}
	for _, r := range rs {
		if r.Flags&format.Vanished != 0 {
			delete(s.put, r.Name.String())
			continue
		}
		s.put[r.Name.String()] = append([]byte(nil), r.Data...)
	}
	return nil
}

func (s *memStaging) Order(r *format.Record, _ bool) error {
	s.order = append(s.order, r.Name.String())
	_, err := s.m.step("order", s.name)
	return err
}

func (s *memStaging) Finish(context.Context) ([]format.Finding, error) {
	return s.m.step("finish", s.name)
}

func (s *memStaging) Commit(context.Context) ([]format.Finding, error) {
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	said, err := s.m.step("commit", s.name)
	if err == nil {
		s.m.restored[s.name], s.m.order[s.name] = s.put, s.order
	}
	return said, err
}

func (s *memStaging) Close() error {
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	s.m.stagings--
	_, err := s.m.step("close", s.name)
	return err
}

// plainSlot is a recipient and an identity that wrap nothing: tests of the
// stages are not about slots.
type plainSlot struct{ role format.Role }

func (p plainSlot) Wrap(_ context.Context, k format.SlotKey) (format.Slot, error) {
	return format.Slot{Type: 0x7777, Role: k.Role, Body: append([]byte(nil), k.Secret...)}, nil
}

func (p plainSlot) Unwrap(_ context.Context, id [32]byte, all []format.Slot) (format.SlotKey, error) {
	for _, s := range all {
		if s.Type == 0x7777 && s.Role == p.role {
			return format.SlotKey{Role: s.Role, Archive: id, Secret: append([]byte(nil), s.Body...)}, nil
		}
	}
	return format.SlotKey{}, format.ErrNotForMe
}
