package opencryptoki

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"tokar/backends"
	"tokar/format"
)

// Finish completes the index, syncs every file, sets the directories' owners,
// modes and times, the deepest first, and syncs them.
func (s *staging) Finish(ctx context.Context) ([]format.Finding, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	var found findings
	for _, step := range []func() error{
		func() error { return s.finishIndex(&found) },
		s.syncFiles,
		s.finishDirs,
	} {
		if err := step(); err != nil {
			return nil, fmt.Errorf("cannot restore token %s: %w", s.token.Name, err)
		}
	}
	return append(found.all(), s.notSet.findings()...), nil
}

// syncFiles makes the files durable: few one by one, for syncfs waits for all
// other writers too; many at once, for fsync costs some 0.1 ms each.
func (s *staging) syncFiles() error {
	if s.files > len(s.names) {
		return unix.Syncfs(s.dir)
	}
	for _, parts := range s.names {
		err := s.syncFile(parts)
		if err != nil && !errors.Is(err, unix.ENOENT) { // a later record said it is gone
			return fmt.Errorf("%s: %w", format.NameOf(parts...), err)
		}
	}
	return nil
}

func (s *staging) syncFile(parts []string) error {
	dir, err := openPath(s.dir, parts)
	if err != nil {
		return err
	}
	defer unix.Close(dir)
	fd, err := openat(dir, []byte(parts[len(parts)-1]), openFlags, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return unix.Fsync(fd)
}

// finishDirs sets and syncs the directories; those of the descriptor stand
// parents first.
func (s *staging) finishDirs() error {
	for _, d := range slices.Backward(s.token.Directories) {
		if err := s.finishDir(d); err != nil {
			return fmt.Errorf("directory %s: %w", d.Name, err)
		}
	}
	return unix.Fsync(s.dir)
}

func (s *staging) finishDir(d format.Directory) error {
	var parts []string
	if len(d.Name) > 0 {
		parts = d.Name.Components()
	}
	fd, err := makeDirs(s.dir, parts)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	d.Attr.Mode &= dirMode
	if d.Attr.Known {
		if err := s.setAttr(fd, d.Name.String(), d.Attr, true); err != nil {
			return err
		}
	}
	return unix.Fsync(fd)
}

// Commit renames the place to the token's name, in one step that fails if
// something took the name meanwhile.
func (s *staging) Commit(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	parts := s.token.Name.Components()
	parent, err := s.makeParents(parts[:len(parts)-1])
	if err == nil {
		err = rename(s.base, s.place, parent, parts[len(parts)-1])
		if err == nil {
			s.committed = true
			err = errors.Join(unix.Fsync(parent), unix.Fsync(s.base))
		}
		unix.Close(parent)
	}
	if err != nil {
		return fmt.Errorf("cannot put token %s in place: %w", s.token.Name, err)
	}
	return nil
}

// makeParents makes the directories above a token, such as tpm above tpm/USER,
// where they are not there. Commit has no findings: what the system refuses to
// set on them stays as it is.
func (s *staging) makeParents(parts []string) (int, error) {
	fd, err := makeDirs(s.base, nil)
	for i := 0; i < len(parts) && err == nil; i++ {
		made := !exists(fd, parts[i])
		var next int
		next, err = makeDirs(fd, parts[i:i+1])
		unix.Close(fd)
		fd = next
		if err == nil && made {
			err = errors.Join(s.setAttr(fd, parts[i], s.parentAttr(), false), unix.Fsync(fd))
		}
	}
	return fd, err
}

// parentAttr is what the archive tells of the directory above the token, or
// else what openCryptoki's packages make it.
func (s *staging) parentAttr() format.Attr {
	a := format.Attr{Mode: 0o770, UID: anyone, GID: anyone}
	var mode, uid, gid uint32
	n, _ := fmt.Sscanf(s.token.Property(propParent), "%o %d %d", &mode, &uid, &gid)
	if n == 3 {
		a = format.Attr{Mode: mode & dirMode, UID: uid, GID: gid}
	}
	return a
}

// rename moves a directory to a name that must be free.
func rename(from int, place string, to int, name string) error {
	err := unix.Renameat2(from, place, to, name, unix.RENAME_NOREPLACE)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) {
		// A file system without that flag: look first. What slips in between
		// would have to be an empty directory to be replaced.
		err = unix.EEXIST
		if !exists(to, name) {
			err = unix.Renameat(from, place, to, name)
		}
	}
	if errors.Is(err, unix.EEXIST) || errors.Is(err, unix.ENOTEMPTY) {
		return backends.ErrExists
	}
	return err
}

// Close removes what was not committed, and the debris of an earlier run.
func (s *staging) Close() error {
	var err error
	if s.dir >= 0 && !s.committed {
		err = s.root.RemoveAll(s.place)
	}
	if s.dir >= 0 {
		err = errors.Join(err, s.root.RemoveAll(s.debris()))
	}
	if s.root != nil {
		s.root.Close()
		s.root = nil
	}
	for _, fd := range []*int{&s.dir, &s.base} {
		if *fd >= 0 {
			unix.Close(*fd)
			*fd = -1
		}
	}
	return err
}
