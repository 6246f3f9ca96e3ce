package commands

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"tokar/format"
)

// explain says of what is no archive what it looks like.
func (a *archiveFile) explain(err error) error {
	if !errors.Is(err, format.ErrNotArchive) {
		return err
	}
	head := a.head.Bytes()
	if len(head) == 0 {
		head = make([]byte, headSize)
		n, _ := a.file.ReadAt(head, 0)
		head = head[:n]
	}
	switch what := looksLike(head); {
	case len(head) == 0 && a.Reader == io.Reader(a.file):
		return fmt.Errorf("%w: it is empty", format.ErrNotArchive)
	case len(head) == 0:
		return &failure{code: exitArchive, err: fmt.Errorf("%w: nothing came", format.ErrNotArchive), todo: "look whether the command before the pipe failed"}
	case what != "":
		return fmt.Errorf("%w: it looks like %s", format.ErrNotArchive, what)
	}
	return err
}

// headSize reaches to tar's magic.
const headSize = 512

// looksLike names a file by its first bytes, and the program that opens it.
func looksLike(head []byte) string {
	for _, k := range []struct {
		at          int
		magic, name string
	}{
		{0, "\x1f\x8b", "gzip; gunzip opens it"},
		{0, "\x28\xb5\x2f\xfd", "zstd; zstd -d opens it"},
		{0, "\xfd7zXZ\x00", "xz; xz -d opens it"},
		{0, "BZh", "bzip2; bunzip2 opens it"},
		{0, "age-encryption.org/", "an age file; age -d opens it"},
		{0, "-----BEGIN AGE ENCRYPTED", "an age file; age -d opens it"},
		{0, "-----BEGIN PGP", "a PGP message; gpg -d opens it"},
		{0, "SQLite format 3\x00", "an SQLite database; sqlite3 opens it"},
		{0, "PK\x03\x04", "zip; unzip opens it"},
		{257, "ustar", "tar; tar opens it"},
	} {
		if len(head) >= k.at && bytes.HasPrefix(head[k.at:], []byte(k.magic)) {
			return k.name
		}
	}
	if len(head) == 0 {
		return ""
	}
	if c := head[0]; c&0xc0 == 0xc0 && (c&0x3f == 1 || c&0x3f == 3) || c == 0x85 || c == 0x8c {
		return "a PGP message; gpg -d opens it"
	}
	return ""
}
