package opencryptoki

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"tokar/backends"
	"tokar/backends/opencryptoki/tokendata"
)

// standing is what stands where a token is to be restored.
type standing struct {
	dir, objects int // descriptors; of TOK_OBJ -1 if there is none
	inode        uint64
	scan         *scan
	looked       time.Time
	watched      watched // at that time
	bare         bool    // directories only, as packages make them for each token
	unused       bool    // as the library makes a token of those: nobody initialised it
}

// openStanding opens what stands at parts below base, following no link; nil
// if nothing does.
func openStanding(base int, parts []string) (*standing, error) {
	if insideToken(base, parts) {
		return nil, errInside
	}
	parent, err := openPath(base, parts)
	if errors.Is(err, unix.ENOENT) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer unix.Close(parent)
	name := parts[len(parts)-1]
	if !exists(parent, name) {
		return nil, nil
	}
	s := &standing{dir: -1, objects: -1}
	if s.dir, err = openDir(parent, name); err != nil {
		return nil, fmt.Errorf("%w and is no directory: %w", backends.ErrExists, err)
	}
	if err = s.look(); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

var errInside = fmt.Errorf("it would lie inside another token: %w", backends.ErrBadName)

// insideToken says whether a directory above the last of parts is a token. Users'
// TPM tokens may stand in the one that releases 3.8 to 3.11 made for all.
func insideToken(base int, parts []string) bool {
	for n := 1; n < len(parts); n++ {
		dir, err := openPath(base, parts[:n+1])
		if err != nil {
			return false // nothing is below it, or it is not to be entered
		}
		token := exists(dir, nvtokName)
		unix.Close(dir)
		if token && (n > 1 || parts[0] != tpmBase) {
			return true
		}
	}
	return false
}

func (s *standing) look() (err error) {
	id, err := idAt(s.dir, ".")
	if err != nil {
		return err
	}
	s.inode = id.ino
	if s.objects, err = openDir(s.dir, objectsName); err != nil && !isNoDirectory(err) {
		return fmt.Errorf("%s: %w", objectsName, err)
	}
	if err = s.rescan(); err != nil {
		return err
	}
	s.bare = len(s.scan.state) == 0 && len(s.scan.foreign) == 0 && len(s.scan.objects) == 0 && s.scan.indexEntry == nil
	if !s.bare && len(s.scan.state) == 0 && len(s.scan.objects) == 0 && s.scan.indexEntry == nil {
		return fmt.Errorf("%w and is no token", backends.ErrExists)
	}
	return nil
}

// rescan lists the directories, and from then on watches for changes.
func (s *standing) rescan() (err error) {
	s.looked, s.watched = time.Now(), watch(s.dir, s.objects)
	f, err := readFile(s.dir, []byte(nvtokName), make([]byte, tokendata.NVTOKNew+tokendata.ICSFRecord+1))
	if err != nil && !ofEntry(err) {
		return fmt.Errorf("cannot read %s: %w", nvtokName, err)
	}
	n := tokendata.ParseNVTOK(f.data)
	if s.scan, err = scanToken(s.dir, s.objects, n.Variant() == tokendata.TPM); err != nil {
		return err
	}
	s.unused = n.Format != tokendata.Unknown && !n.Initialised && !n.UserPIN && len(s.scan.objects) == 0 && len(s.scan.index) == 0
	return nil
}

// holdsTokens names a token that stands below this one: users' below a TPM
// token of releases 3.8 to 3.11.
func (s *standing) holdsTokens() (name string, err error) {
	lerr := readDir(s.dir, func(entry []byte, typ byte) {
		if typ != unix.DT_DIR || name != "" || err != nil {
			return
		}
		fd, oerr := openDir(s.dir, string(entry))
		if oerr != nil {
			err = fmt.Errorf("cannot look for tokens in %s: %w", entry, oerr)
			return
		}
		if exists(fd, nvtokName) {
			name = string(entry)
		}
		unix.Close(fd)
	})
	return name, errors.Join(err, lerr)
}

func (s *standing) close() {
	for _, fd := range []*int{&s.dir, &s.objects} {
		if *fd >= 0 {
			unix.Close(*fd)
			*fd = -1
		}
	}
}
