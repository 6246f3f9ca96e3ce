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

// Finish decides what happens to the token that stands there, completes the
// index, syncs every file, sets the directories' owners, modes and times, the
// deepest first, and syncs them.
func (s *staging) Finish(ctx context.Context) ([]format.Finding, error) {
	if s.merge != nil && s.merge.mend != nil {
		return s.finishMending(ctx)
	}
	if err := errors.Join(ctx.Err(), s.start(ctx)); err != nil {
		return nil, err
	}
	var found findings
	steps := []func(*findings) error{s.decide, s.reportDropped, s.finishIndex, s.tellTPM, s.syncFiles, s.finishDirs}
	if s.merge != nil {
		steps = []func(*findings) error{s.merge.allowed, s.merge.build, s.merge.mayRaise}
		if s.merge.adopt != nil {
			steps[0] = s.merge.adopt.finish
		}
	} else if s.dir < 0 {
		steps = steps[:4]
	}
	for _, step := range steps {
		if err := step(&found); err != nil {
			return nil, s.refused(err)
		}
	}
	if s.o.DryRun {
		s.freshen(&found)
	}
	return append(found.all(), s.takeNotSet()...), nil
}

// finishMending is Finish where what is damaged is put right.
func (s *staging) finishMending(ctx context.Context) ([]format.Finding, error) {
	var found findings
	n := s.merge.mend
	if err := errors.Join(ctx.Err(), n.finish(ctx, &found)); err != nil {
		return nil, s.refused(err)
	}
	n.done = n.told()
	if s.o.DryRun {
		if len(n.done.Entries) > 0 {
			s.freshen(&found)
		}
		s.tellMended()
	}
	return append(found.all(), s.takeNotSet()...), nil
}

func (s *staging) tellMended() {
	if s.o.Mended != nil {
		s.o.Mended(s.merge.mend.done)
	}
}

// syncFiles makes the files durable: few one by one, for syncfs waits for all
// other writers too; many at once, for fsync costs some 0.1 ms each.
func (s *staging) syncFiles(*findings) error {
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
	return errors.Join(unix.Fsync(fd), unix.Close(fd))
}

// finishDirs sets and syncs the directories; those of the descriptor stand
// parents first.
func (s *staging) finishDirs(*findings) error {
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

// Commit swaps the place with what stands there, under the token's lock, and
// removes the shared memory that would hide it.
func (s *staging) Commit(ctx context.Context) ([]format.Finding, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	err := s.commit(ctx)
	if err != nil {
		return nil, fmt.Errorf("cannot put token %s in place: %w", s.token.Name, err)
	}
	var found findings
	if s.merge == nil || s.merge.mend == nil || s.merge.changes {
		s.freshen(&found)
	}
	if s.merge != nil && s.merge.mend != nil {
		s.tellMended()
	}
	return append(found.all(), s.takeNotSet()...), nil
}

func (s *staging) commit(ctx context.Context) error {
	if s.merge != nil && s.merge.mend != nil && !s.merge.changes {
		return nil
	}
	if s.merge == nil || !s.o.InUse {
		if err := s.where.inUse(); err != nil {
			return err
		}
	}
	unlock, err := s.where.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	if s.merge != nil {
		return s.merge.commit()
	}
	parts := s.token.Name.Components()
	if insideToken(s.base, parts) { // one of the same archive, put in its place just now
		return errInside
	}
	parent, err := s.makeParents(parts[:len(parts)-1])
	if err != nil {
		return err
	}
	unix.Close(parent)
	inode, keep := uint64(0), ""
	if s.live != nil {
		if watch(s.live.dir, s.live.objects) != s.live.watched {
			return fmt.Errorf("%w: it changed meanwhile", backends.ErrInUse)
		}
		inode = s.live.inode
	}
	if s.live != nil && !s.live.bare && !s.o.NoKeep {
		keep = s.keptAs()
	}
	if err := s.swap.Swap(parts, inode, keep); err != nil {
		return err
	}
	if keep != "" {
		s.note("the token that stood here is kept as %s; remove it when it is no longer needed", keep)
	}
	return nil
}

// freshen removes the token's stale shared memory, in a dry run only looks at
// it, and tells what users of the token will see if it stays.
func (s *staging) freshen(found *findings) {
	stays, err := s.where.stale(!s.o.DryRun)
	switch {
	case err != nil:
		found.add(Segment, "", -1, "its shared memory could not be removed: %v; until it is, programs do not see what was restored", err)
	case stays != "":
		found.add(Segment, "", -1, "%s; programs may not see what was restored, not even new ones, before all that use the token have ended and the same command has run again, which then removes it", stays)
	}
}

// makeParents makes the directories above a token, such as tpm above tpm/USER,
// where they are not there.
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
	var was format.Attr
	n, _ := fmt.Sscanf(s.token.Property(propParent), "%o %d %d %q %q", &was.Mode, &was.UID, &was.GID, &was.Owner, &was.Group)
	if n == 5 && was.Mode&^dirMode == 0 {
		a = was
	}
	return a
}
