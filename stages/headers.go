package stages

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"tokar/format"
)

// maxHeaders bounds how many headers a salvage tries to open: a passphrase is
// tried on each.
const maxHeaders = 16

// foundHeader is a header in a damaged archive.
type foundHeader struct {
	*format.Header
	offset int64
	whole  bool // its checksum holds
}

// unlock looks for headers and opens one: the first whole one that an identity
// opens, or as a last resort one whose checksum does not hold.
func (s *survey) unlock(ctx context.Context, o OpenOptions) error {
	if err := s.findHeaders(ctx); err != nil {
		return err
	}
	why := fmt.Errorf("%w: no copy of a header is left in it, and nothing opens without one", format.ErrChecksum)
	locked := false
	for _, whole := range []bool{true, false} {
		for _, h := range s.headers {
			if h.whole != whole {
				continue
			}
			var section error
			keys, err := unlockWith(ctx, h.Header, o, func(key format.SlotKey, n format.NonceSource) (k *format.Keys, err error) {
				k, section, err = h.OpenDamaged(key, n)
				return k, err
			})
			switch {
			case err == nil:
				s.header, s.keys = h.Header, keys
				s.checkHeaders(h, section)
				return nil
			case !locked:
				why, locked = err, errors.Is(err, format.ErrNoKey)
			}
		}
	}
	return why
}

// findHeaders lists the headers of the file, whole ones and others, without
// copies.
func (s *survey) findHeaders(ctx context.Context) error {
	w := window{at: s.at, size: s.size}
	buf := make([]byte, format.MaxHeader)
	for from := int64(0); len(s.headers) < maxHeaders; {
		at, err := w.find(ctx, from, []byte(format.Magic))
		if err != nil || at < 0 {
			return err
		}
		from = at + 1
		n, err := s.at.ReadAt(buf[:format.HeaderForm], at)
		if err != nil && err != io.EOF {
			return err
		}
		switch like := format.LikeHeader(buf[:n]); {
		case like && err == nil: // there is more
			if n, err = s.at.ReadAt(buf, at); err != nil && err != io.EOF {
				return err
			}
		case !like && at > 0:
			continue
		}
		h, err := format.ReadHeader(bytes.NewReader(buf[:n]))
		if at == 0 && errors.Is(err, format.ErrUnsupported) {
			return err
		}
		whole := err == nil
		if whole {
			from = at + int64(len(h.Bytes()))
		} else if h, err = format.DamagedHeader(bytes.Clone(buf[:n])); err != nil {
			continue
		}
		s.headers = append(s.headers, foundHeader{h, at, whole})
	}
	return nil
}

// checkHeaders notes which bytes are headers of the archive, and says what is
// wrong with them. A foreign header is named by the survey's end.
func (s *survey) checkHeaders(used foundHeader, section error) {
	if section != nil {
		s.tell("key-slots", used.offset, "somebody changed the key slots, or they are damaged; the key that opens is the archive's all the same")
	}
	for _, h := range s.headers {
		switch {
		case !h.whole:
			continue // if nothing else stands there, it is named as damage
		case h.Archive != s.header.Archive:
			s.tell("other-archive", h.offset, "another archive begins or ends here; to salvage that one, cut it out")
		case used.whole && !h.Equal(used.Header):
			s.tell("key-slots", h.offset, "this copy of the header differs from the one that was used")
		}
		s.cover(h.offset, int64(len(h.Bytes())))
	}
	if !used.whole {
		s.tell("header", used.offset, "no copy of the header is whole; a key slot of this one opens")
	}
}
