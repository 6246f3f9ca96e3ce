// Package plain keeps what is left of a token when nothing tells any more of
// which kind it was: salvage's last resort. Each entry is a file of its own,
// with the entry's own bytes and mode 0600; no program takes the directory for a
// token. Nothing is read, found or checked here.
package plain

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"tokar/backends"
	"tokar/backends/swap"
	"tokar/format"
)

// Backend implements backends.Backend for tokens of no known kind.
type Backend struct{}

// Kind is "unknown".
func (Backend) Kind() string { return "unknown" }

// Find finds nothing.
func (Backend) Find(context.Context, string) (found backends.Found, err error) { return found, nil }

// Open opens nothing.
func (Backend) Open(context.Context, backends.Location) (backends.Token, error) {
	return nil, errors.New("a token of no known kind")
}

// Validator takes everything for sound, and nothing for public.
func (Backend) Validator(*format.Token) (backends.Validator, error) { return validator{}, nil }

// Advice has none.
func (Backend) Advice(string, backends.Subject) string { return "" }

type validator struct{}

func (validator) Validate(*format.Record) (public bool, findings []format.Finding) { return false, nil }

// Restore begins a directory for what is left of t. What stands there is left
// alone: Commit fails.
func (Backend) Restore(_ context.Context, dir string, t *format.Token, o backends.RestoreOptions) (backends.Staging, error) {
	s := &staging{token: t, name: []string{t.Name.String()}}
	if o.DryRun {
		return s, nil
	}
	err := s.open(dir)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("cannot restore %s into %s: %w", t.Name, dir, err), s.Close())
	}
	return s, nil
}

// staging is a directory being built; without a place nothing is made.
type staging struct {
	token *format.Token
	name  []string
	root  *os.Root
	place *swap.Place
	mu    sync.Mutex
}

func (s *staging) open(dir string) (err error) {
	if s.root, err = os.OpenRoot(dir); err == nil {
		s.place, _, err = swap.Open(s.root, s.name)
	}
	return err
}

// Put writes each record as KIND/NAME.
func (s *staging) Put(ctx context.Context, rs []*format.Record) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range rs {
		if s.place == nil {
			continue
		}
		if err := errors.Join(ctx.Err(), s.put(r)); err != nil {
			return fmt.Errorf("%s: cannot restore %s: %w", s.token.Name, r.Name, err)
		}
	}
	return nil
}

func (s *staging) put(r *format.Record) error {
	kind := r.Kind.String()
	if err := unix.Mkdirat(s.place.Dir(), kind, 0o700); err != nil && !errors.Is(err, unix.EEXIST) {
		return err
	}
	dir, err := unix.Openat(s.place.Dir(), kind, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(dir)
	name := FileName(r)
	if r.Supersedes != format.NoSeq {
		earlier := format.Record{Name: r.Name, Seq: r.Supersedes}
		if err := unix.Unlinkat(dir, FileName(&earlier), 0); err != nil && !errors.Is(err, unix.ENOENT) {
			return err
		}
	}
	if r.Absent() {
		return unix.Fsync(dir)
	}
	fd, err := unix.Openat(dir, name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(fd), name)
	_, err = f.Write(r.Data)
	return errors.Join(err, f.Sync(), f.Close(), unix.Fsync(dir))
}

// FileName is the file of an entry: its name with %2F between components, or,
// where that is long or has bytes beside letters, digits, ".", "_" and "-", the
// record's number.
func FileName(r *format.Record) string {
	name := strings.Join(r.Name.Components(), "%2F")
	for _, c := range []byte(r.Name) {
		plain := '0' <= c && c <= '9' || 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z' || strings.IndexByte("._-\x00", c) >= 0
		if !plain || len(name) > 255 {
			return fmt.Sprintf("%%record-%d", r.Seq)
		}
	}
	return name
}

// Order takes no notice: there is no index.
func (s *staging) Order(*format.Record, bool) error { return nil }

// Finish makes the directory durable.
func (s *staging) Finish(context.Context) ([]format.Finding, error) {
	if s.place == nil {
		return nil, nil
	}
	return nil, unix.Fsync(s.place.Dir())
}

// Commit gives the directory its name.
func (s *staging) Commit(ctx context.Context) ([]format.Finding, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := s.place.Swap(s.name, 0, ""); err != nil {
		return nil, fmt.Errorf("cannot put %s in place: %w", s.token.Name, err)
	}
	return nil, nil
}

// Close removes what was not committed.
func (s *staging) Close() error {
	var err error
	if s.place != nil {
		err = s.place.Close()
	}
	if s.root != nil {
		s.root.Close()
	}
	return err
}
