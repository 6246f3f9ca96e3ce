package commands

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"tokar/backends/all"
	"tokar/format"
)

// explain says of what is no archive what it looks like.
func (a *archiveFile) explain(err error) error {
	head := a.beginning()
	foreign := !bytes.HasPrefix(head, []byte(format.Magic)) // its end may have been looked for first
	if !errors.Is(err, format.ErrNotArchive) && !(foreign && errors.Is(err, format.ErrTruncated)) {
		return err
	}
	what := looksLike(head)
	switch {
	case len(head) == 0 && a.Reader == io.Reader(a.file):
		return fmt.Errorf("%w: it is empty", format.ErrNotArchive)
	case len(head) == 0:
		return &failure{code: exitArchive, err: fmt.Errorf("%w: nothing came", format.ErrNotArchive), todo: "look whether the command before the pipe failed"}
	case a.endsAsArchive():
		return fmt.Errorf("%w: its beginning is lost or damaged", format.ErrTruncated)
	case what != "":
	case partOfToken(a.path):
		what = "a token's file; tokar create archives the token"
	case openPGP(head[0]):
		what = "a PGP message; gpg -d opens it"
	default:
		return err
	}
	return fmt.Errorf("%w: it looks like %s", format.ErrNotArchive, what)
}

// endsAsArchive says whether a file that does not begin as an archive ends as one.
func (a *archiveFile) endsAsArchive() bool {
	info, err := a.file.Stat()
	if err != nil || info.Size() < format.FooterSize {
		return false
	}
	end := make([]byte, format.FooterSize)
	if _, err := a.file.ReadAt(end, info.Size()-format.FooterSize); err != nil {
		return false
	}
	_, err = format.DecodeFooter(end)
	return err == nil
}

// beginning is how the file begins, which a pipe gives only once.
func (a *archiveFile) beginning() []byte {
	if head := a.head.first.Bytes(); len(head) > 0 {
		return head
	}
	head := make([]byte, headSize)
	n, _ := a.file.ReadAt(head, 0)
	return head[:n]
}

// partOfToken says whether a file stands in a token's directory, or in a
// directory of that.
func partOfToken(path string) bool {
	dir := filepath.Dir(path)
	return path != "" && (isToken(dir) || isToken(filepath.Dir(dir)))
}

// isToken says whether a directory is a token.
func isToken(dir string) bool {
	for _, b := range all.Backends() {
		found, err := b.Find(context.Background(), dir)
		if err != nil {
			continue
		}
		for _, l := range found.Tokens {
			if filepath.Clean(l.Path) == filepath.Clean(dir) {
				return true
			}
		}
	}
	return false
}

// directory says what to do with a directory that -f names.
func (s *session) directory(path string) error {
	if isToken(path) {
		return usagef(s.name, "%s is a token, no archive; tokar create archives it, tokar check looks at it", quote(path))
	}
	return usagef(s.name, "%s is a directory; -f takes an archive", quote(path))
}

// headSize reaches to tar's magic.
const headSize = 512

// A look is how files of a kind begin, or what stands at a place of theirs.
type look struct {
	at    int
	magic string
	what  string // what it is, and what to do with it
}

// looks are in order: what is special stands before what is general.
var looks = []look{
	{0, "\x1f\x8b", "gzip; gunzip opens it"},
	{0, "\x28\xb5\x2f\xfd", "zstd; zstd -d opens it"},
	{0, "\xfd7zXZ\x00", "xz; xz -d opens it"},
	{0, "BZh", "bzip2; bunzip2 opens it"},
	{0, "LZIP", "lzip; lzip -d opens it"},
	{0, "\x04\x22\x4d\x18", "lz4; lz4 -d opens it"},
	{0, "7z\xbc\xaf\x27\x1c", "7-Zip; 7z x opens it"},
	{0, "PK\x03\x04", "zip; unzip opens it"},
	{0, "PK\x05\x06", "zip, an empty one; unzip opens it"},
	{257, "ustar", "tar; tar opens it"},
	{0, "age-encryption.org/", "an age file; age -d opens it"},
	{0, "-----BEGIN AGE ENCRYPTED", "an age file; age -d opens it"},
	{0, "AGE-SECRET-KEY-", "an age identity; it opens archives with -i"},
	{0, "# created: ", "an identity; it opens archives with -i"},
	{0, "TOKAR-SECRET-KEY-", "an identity; it opens archives with -i"},
	{0, "-----BEGIN TOKAR LOCKED KEY", "a locked identity; it opens archives with -i"},
	{0, "tokar-hpke-", "recipients; create takes them with -R"},
	{0, "AGE-PLUGIN-", "an age plugin's identity; it opens archives with -i"},
	{0, "age1", "age recipients; create takes them with -R"},
	{0, "-----BEGIN OPENSSH PRIVATE KEY", "an SSH private key; it opens archives with -i"},
	{0, "ssh-ed25519 ", "an SSH public key; create takes it with -R"},
	{0, "ssh-rsa ", "an SSH public key; create takes it with -R"},
	{0, "-----BEGIN PGP", "a PGP message or key; gpg opens it"},
	{0, "-----BEGIN ", "a PEM file; openssl opens it"},
	{0, "SQLite format 3\x00", "an SQLite database; sqlite3 opens it"},
}

// looksLike names a file by its first bytes, and the program that opens it.
func looksLike(head []byte) string {
	for _, k := range looks {
		if len(head) >= k.at && bytes.HasPrefix(head[k.at:], []byte(k.magic)) {
			return k.what
		}
	}
	return ""
}

// openPGP says whether a byte begins a packet that begins a PGP message: a
// session key, for a public key or a passphrase. One byte is little to go by.
func openPGP(c byte) bool {
	const publicKey, passphrase = 1, 3
	tag := c & 0x3f
	if c&0x40 == 0 { // the old way: two bits are the length's
		tag >>= 2
	}
	return c&0x80 != 0 && (tag == publicKey || tag == passphrase)
}
