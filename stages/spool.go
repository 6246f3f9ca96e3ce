package stages

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// keep copies an archive from a pipe, sealed as it is, into a file that is gone
// when it is closed.
func keep(r io.Reader, why string) (*os.File, error) {
	file, err := os.CreateTemp("", "tokar-")
	if err != nil {
		return nil, notKept(why, err)
	}
	w := &keeping{w: file}
	if w.err = os.Remove(file.Name()); w.err == nil {
		_, err = io.Copy(w, r)
	}
	if err == nil && w.err == nil {
		_, w.err = file.Seek(0, io.SeekStart)
	}
	if w.err != nil {
		err = notKept(why, w.err)
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	return file, nil
}

// keeping tells errors of the file from those of the pipe.
type keeping struct {
	w   io.Writer
	err error
}

func (k *keeping) Write(p []byte) (int, error) {
	n, err := k.w.Write(p)
	k.err = err
	return n, err
}

// A SpoolError says that an archive that came through a pipe could not be kept
// in a file.
type SpoolError struct {
	why string // what it is kept for: "while it is salvaged"
	err error
}

func notKept(why string, err error) *SpoolError {
	if p := (*fs.PathError)(nil); errors.As(err, &p) {
		err = p.Err // the file has no name any more
	}
	return &SpoolError{why, err}
}

func (e *SpoolError) Error() string {
	return fmt.Sprintf("the archive is kept in %s %s: %v", os.TempDir(), e.why, e.err)
}

func (e *SpoolError) Unwrap() error { return e.err }
