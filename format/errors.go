package format

import (
	"errors"
	"fmt"
)

// The classes of what can be wrong with an archive. Every error about one
// wraps exactly one of them; the hostile vectors name the class they expect.
var (
	// ErrNotArchive: it does not begin with the magic of an archive.
	ErrNotArchive = errors.New("not a tokar archive")
	// ErrTruncated: it ends before its footer.
	ErrTruncated = errors.New("archive is cut short")
	// ErrChecksum: a CRC-32C does not hold, or a frame stands where none may.
	// Found without any key.
	ErrChecksum = errors.New("archive is damaged")
	// ErrAuthentic: a seal, a MAC, a commitment, the end's proof or a signature
	// does not hold: changed after it was written, or put together from other archives.
	ErrAuthentic = errors.New("archive is not authentic")
	// ErrMalformed: authentic, but it breaks a rule of the format.
	ErrMalformed = errors.New("archive breaks the format's rules")
	// ErrUnsupported: a version, suite or critical kind that this program
	// does not know.
	ErrUnsupported = errors.New("archive needs a newer tokar")
	// ErrNoKey: no identity or passphrase given opens a key slot.
	ErrNoKey = errors.New("no key given opens this archive")
	// ErrSigner: a known signer's signature is wanted, and it has none.
	ErrSigner = errors.New("not signed by a known signer")
)

// badf makes an error of the given class.
func badf(class error, form string, args ...any) error {
	return fmt.Errorf("%w: %s", class, fmt.Sprintf(form, args...))
}
