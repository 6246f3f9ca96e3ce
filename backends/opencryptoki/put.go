package opencryptoki

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"tokar/backends"
	"tokar/format"
)

const (
	// Creating in one directory is serial in the kernel; threads that try it
	// at once spin. So workers take turns, so many files each.
	turn = 64

	// Up to so many files each is synced by itself, beyond the file system is.
	fewFiles = 48
)

// created is a file that is made and not yet written.
type created struct {
	fd     int
	record *format.Record
}

// Put writes records into the place. Records of a name that came before must
// say so (Supersedes) and come from one goroutine, in order. A dry run looks at
// them as far.
func (s *staging) Put(ctx context.Context, rs []*format.Record) error {
	chooses := s.merge != nil && (s.merge.mend != nil || s.merge.adopt != nil) // and begins with the first that is put
	if !chooses {
		if err := s.start(ctx); err != nil {
			return err
		}
	}
	if s.merge != nil {
		var err error
		if rs, err = s.merge.choose(rs); err != nil {
			return s.unput(err)
		}
	}
	if chooses && len(rs) > 0 {
		if err := s.start(ctx); err != nil {
			return err
		}
	}
	for len(rs) > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		n := min(len(rs), turn)
		if err := s.putSome(rs[:n]); err != nil {
			return s.unput(err)
		}
		rs = rs[n:]
	}
	return nil
}

// unput is the error on an entry, which begins with its name.
func (s *staging) unput(err error) error {
	if s.o.Mend || s.o.Into {
		return s.refused(err)
	}
	return fmt.Errorf("token %s: cannot restore %w", s.token.Name, err)
}

func (s *staging) putSome(rs []*format.Record) error {
	if s.dir < 0 {
		return checkPlaces(rs)
	}
	files, err := s.create(rs)
	for _, f := range files {
		if err == nil {
			err = s.fill(f)
		}
		if e := unix.Close(f.fd); err == nil && e != nil {
			err = fmt.Errorf("%s: %w", f.record.Name, e)
		}
	}
	return err
}

// checkPlaces is what remains of putting in a dry run.
func checkPlaces(rs []*format.Record) error {
	for _, r := range rs {
		if _, err := placeOf(r.Kind, r.Name); err != nil {
			return err
		}
	}
	return nil
}

// objectsDir opens the directory that objects are put into.
func (s *staging) objectsDir() (int, error) {
	if s.merge != nil {
		return makeDirs(s.dir, s.merge.parts())
	}
	return makeDirs(s.dir, []string{objectsName})
}

// create makes the records' files, one worker at a time.
func (s *staging) create(rs []*format.Record) (files []created, err error) {
	s.creating.Lock()
	defer s.creating.Unlock()
	objects, err := s.objectsDir()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", objectsName, err)
	}
	defer unix.Close(objects)
	files = make([]created, 0, len(rs))
	for _, r := range rs {
		fd, err := s.createOne(objects, r)
		if err != nil {
			return files, fmt.Errorf("%s: %w", r.Name, err)
		}
		if fd >= 0 {
			files = append(files, created{fd, r})
		}
	}
	return files, nil
}

// createOne makes one file, or removes the one that a record says is gone (-1
// then).
func (s *staging) createOne(objects int, r *format.Record) (int, error) {
	parts, err := placeOf(r.Kind, r.Name)
	if err != nil {
		return -1, err
	}
	dir, name := objects, parts[len(parts)-1]
	if len(parts) != 2 || parts[0] != objectsName {
		dir, err = makeDirs(s.dir, parts[:len(parts)-1])
		if err != nil {
			return -1, err
		}
		defer unix.Close(dir)
	}
	if r.Supersedes != format.NoSeq {
		if err := unix.Unlinkat(dir, name, 0); err != nil && !errors.Is(err, unix.ENOENT) {
			return -1, err
		}
	}
	if r.Absent() {
		return -1, nil
	}
	fd, err := openat(dir, []byte(name), unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, s.attr(r).Mode&fileMode)
	if errors.Is(err, unix.EEXIST) {
		err = fmt.Errorf("two entries of one name: %w", backends.ErrBadName)
	}
	if err == nil && s.merge == nil {
		s.count(parts)
	}
	return fd, err
}

// count remembers the first files, which may all be synced by themselves.
func (s *staging) count(parts []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.files++; s.files <= fewFiles {
		s.names = append(s.names, parts)
	}
}

// fill writes a file and sets owner, mode and time, skipping what holds.
func (s *staging) fill(f created) error {
	r := f.record
	for rest := r.Data; len(rest) > 0; {
		n, err := unix.Write(f.fd, rest)
		if err != nil && err != unix.EINTR {
			return fmt.Errorf("%s: %w", r.Name, err)
		}
		rest = rest[max(n, 0):]
	}
	attr := s.attr(r)
	path := entryPath(r.Kind, r.Name)
	if attr.Mode&^fileMode != 0 {
		s.lack(modeBits, path, nil)
		attr.Mode &= fileMode
	}
	return s.setAttr(f.fd, path, attr, r.Details.Attr.Known)
}

// attr is what a record's file should have: its own, or the token's usual.
func (s *staging) attr(r *format.Record) format.Attr {
	switch {
	case r.Details.Attr.Known:
		return r.Details.Attr
	case s.token.Defaults.Known:
		return s.token.Defaults
	}
	return format.Attr{Mode: 0o600, UID: anyone, GID: anyone}
}
