package opencryptoki

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"tokar/backends"
	"tokar/backends/opencryptoki/config"
	"tokar/backends/swap"
)

// configurationName is what the file is called in its directory.
const configurationName = "opencryptoki.conf"

// configuration is an opencryptoki.conf on disk. It implements
// backends.Configuration.
type configuration struct {
	path string // without links
	data []byte // as it was read
	file *config.File
}

// Configuration reads an opencryptoki.conf, or the one in a directory.
func (Backend) Configuration(path string) (backends.Configuration, error) {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		path = filepath.Join(path, configurationName)
	}
	real, err := filepath.EvalSymlinks(path)
	if err == nil {
		real, err = filepath.Abs(real)
	}
	if err != nil {
		return nil, err
	}
	c := &configuration{path: real}
	if c.data, err = readConfiguration(real); err != nil {
		return nil, err
	}
	if c.file, err = config.Parse(c.data); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return c, nil
}

// readConfiguration reads a file of bounded size; FIFOs do not block.
func readConfiguration(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, errors.Join(err, fmt.Errorf("%s: %w", path, errIrregular))
	}
	data, err := io.ReadAll(io.LimitReader(f, config.MaxSize+1))
	if err == nil && len(data) > config.MaxSize {
		err = fmt.Errorf("%s: more than %d bytes", path, config.MaxSize)
	}
	return data, err
}

// Slots are those with a token.
func (c *configuration) Slots() (list []backends.Slot) {
	for i := range c.file.Slots {
		s := &c.file.Slots[i]
		if !s.Present() {
			continue
		}
		variant := variants[s.Type()]
		list = append(list, backends.Slot{
			Number: s.Number, Variant: cmp.Or(variant, s.STDLL), Directory: s.Directory(),
			Newest: s.TokVersion >= config.NewFormat, Migrates: migrates(variant),
		})
	}
	return list
}

// File is the path of the file, without links.
func (c *configuration) File() string { return c.path }

// backup is the name of the old configuration, as pkcstok_migrate has it.
func (c *configuration) backup() string { return c.path + bakSuffix }

// SetNewest gives slots tokversion = 3.12. The old file becomes the _BAK, in such
// an order that one of both is whole under each name at any moment. A _BAK that an
// earlier migration has left stays: it is the file of before all of them. One that
// is the file of today was left by a run that was killed before the change.
func (c *configuration) SetNewest(slots []int, dryRun bool) (changed []int, err error) {
	for _, n := range slots {
		if s := c.file.Slot(n); s == nil || s.TokVersion < config.NewFormat {
			changed = append(changed, n)
		}
	}
	_, made, err := c.with(changed, func(int) string { return config.NewFormat.String() })
	if err != nil {
		return nil, err
	}
	if len(changed) == 0 {
		return nil, c.clear(dryRun)
	}
	kept, old, err := c.kept()
	switch {
	case err != nil:
		return nil, err
	case old != nil && !c.migratedFrom(old):
		return nil, fmt.Errorf("%s: %w", c.backup(), backends.ErrKeptOther)
	case dryRun:
		return changed, nil
	}
	return changed, c.replace(made, kept == nil)
}

// with is the configuration in which slots have the tokversion that value gives.
func (c *configuration) with(slots []int, value func(slot int) string) (file *config.File, made []byte, err error) {
	file, made = c.file, c.data
	for _, n := range slots {
		if made, err = file.SetTokversion(n, value(n)); err == nil {
			file, err = config.Parse(made)
		}
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %w", c.path, err)
		}
	}
	return file, made, nil
}

// kept reads the _BAK; nil if there is none.
func (c *configuration) kept() (data []byte, file *config.File, err error) {
	data, err = readConfiguration(c.backup())
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil, nil
	}
	if err == nil {
		file, err = config.Parse(data)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", c.backup(), err)
	}
	return data, file, nil
}

// migratedFrom says whether the configuration differs from an old one in nothing
// but what migrations set.
func (c *configuration) migratedFrom(old *config.File) bool {
	var slots []int
	for i := range c.file.Slots {
		s := &c.file.Slots[i]
		if was := old.Slot(s.Number); was != nil && s.TokVersion >= config.NewFormat && was.TokVersion < config.NewFormat {
			slots = append(slots, s.Number)
		}
	}
	file, _, err := c.with(slots, func(n int) string { return tokversion(old.Slot(n)) })
	return err == nil && sameMeaning(file, old)
}

// tokversion is a slot's; empty if it has none.
func tokversion(s *config.Slot) string {
	if s == nil || s.TokVersion == 0 {
		return ""
	}
	return s.TokVersion.String()
}

// before is the tokversion that a slot had before a migration. The _BAK says it,
// unless it is of a later time or there is none; then the mark of a line that tokar
// added does. Where neither tells, the slot had what it has.
func (c *configuration) before(old *config.File, slot int) string {
	if old != nil {
		if was := old.Slot(slot); was != nil && was.TokVersion < config.NewFormat {
			return tokversion(was)
		}
	}
	if c.file.Added(slot) {
		return ""
	}
	return tokversion(c.file.Slot(slot))
}

// SetBack gives slots the tokversion of before. Where nothing else differs from
// the _BAK, that takes its place again.
func (c *configuration) SetBack(slots []int, dryRun bool) (changed []int, err error) {
	kept, old, err := c.kept()
	if err != nil {
		return nil, err
	}
	for _, n := range slots {
		if c.before(old, n) != tokversion(c.file.Slot(n)) {
			changed = append(changed, n)
		}
	}
	file, made, err := c.with(changed, func(n int) string { return c.before(old, n) })
	if err != nil {
		return nil, err
	}
	same := old != nil && sameMeaning(file, old)
	switch {
	case dryRun:
		return changed, nil
	case len(slots) == 0 || len(changed) == 0 && !same:
		return nil, c.clear(false)
	case len(changed) == 0 && bytes.Equal(kept, c.data): // a second name of the file, by a run that was killed
		return nil, errors.Join(c.clear(false), os.Remove(c.backup()), syncPath(filepath.Dir(c.path)))
	case same:
		if err := errors.Join(c.clear(false), c.unchanged()); err != nil {
			return nil, err
		}
		if err := os.Rename(c.backup(), c.path); err != nil {
			return nil, err
		}
		return changed, syncPath(filepath.Dir(c.path))
	}
	return changed, c.replace(made, false)
}

// sameMeaning says whether two configurations differ in their blanks alone:
// pkcstok_migrate sets those anew. A comment that was added since, or a line that
// belongs to no slot, must not go.
func sameMeaning(a, b *config.File) bool { return a.SaysAs(b) }

// unchanged refuses a file that somebody has edited since it was read.
func (c *configuration) unchanged() error {
	now, err := readConfiguration(c.path)
	if err == nil && !bytes.Equal(now, c.data) {
		err = fmt.Errorf("%s: %w: somebody has changed it meanwhile", c.path, backends.ErrBusy)
	}
	return err
}

// replace puts a new file in the place of the one of today, with its mode and
// owner, and keeps that as the _BAK if it is to.
func (c *configuration) replace(made []byte, keep bool) error {
	dir, temporary := filepath.Dir(c.path), c.temporary()
	if err := c.clear(false); err != nil {
		return err
	}
	f, err := os.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_EXCL|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(made)
	err = errors.Join(err, c.copyAccess(f), f.Sync(), f.Close(), c.unchanged())
	linked := false
	if err == nil && keep {
		err = os.Link(c.path, c.backup())
		linked = err == nil
	}
	if err == nil {
		err = syncPath(dir)
	}
	if err == nil {
		err = os.Rename(temporary, c.path)
	}
	if err != nil {
		err = errors.Join(err, os.Remove(temporary))
		if linked {
			err = errors.Join(err, os.Remove(c.backup()))
		}
		return err
	}
	err = syncPath(dir)
	if err != nil && linked {
		return errors.Join(err, partway(os.Rename(c.backup(), c.path)))
	}
	c.data = made
	c.file, _ = config.Parse(made) // it was made of a file that parsed, and parsed itself
	return partway(err)
}

// temporary is the name under which a new file is written.
func (c *configuration) temporary() string {
	dir, name := filepath.Split(c.path)
	return filepath.Join(dir, "."+name+swap.Suffix)
}

// clear removes what a run left that was killed before its file was in place.
func (c *configuration) clear(dryRun bool) error {
	if dryRun {
		return nil
	}
	err := os.Remove(c.temporary())
	if errors.Is(err, os.ErrNotExist) {
		err = nil
	}
	return err
}

// copyAccess gives f owner, group and mode of the configuration.
func (c *configuration) copyAccess(f *os.File) error {
	var st unix.Stat_t
	if err := unix.Stat(c.path, &st); err != nil {
		return err
	}
	if err := f.Chown(int(st.Uid), int(st.Gid)); err != nil && !errors.Is(err, os.ErrPermission) {
		return err
	}
	return f.Chmod(os.FileMode(st.Mode & 0o777))
}

func syncPath(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
