package tokendata

import (
	"bytes"
	"fmt"
	"slices"

	"tokar/format/cryptoki"
)

// objectOrder is the byte order of an object that parses whole.
func objectOrder(object []byte, ofToken cryptoki.Order) (cryptoki.Order, error) {
	order, ok := cryptoki.OrderOf(object)
	if !ok {
		order = ofToken
	}
	l := cryptoki.ObjectList(object, order)
	for l.Next() {
	}
	if err := l.Err(); err != nil {
		return order, fmt.Errorf("its attributes: %w: %w", err, ErrDamaged)
	}
	return order, nil
}

// Recode gives an object, as it stands inside its file, in the byte order to.
// It is the same bytes where it is in that order already. ofToken is the order
// of an object that shows none itself. An attribute of which nobody knows
// whether it is a number is refused by name; nothing is guessed. What does not
// parse wraps ErrDamaged.
func Recode(object []byte, ofToken, to cryptoki.Order) ([]byte, error) {
	from, err := objectOrder(object, ofToken)
	if err != nil || from == to {
		return object, err
	}
	out := slices.Clone(object)
	turn(out[0:4])
	turn(out[4:8])
	l := cryptoki.ObjectList(object, from)
	if err := recodeList(out, &l); err != nil {
		clear(out)
		return nil, err
	}
	return out, nil
}

// recodeList turns the numbers of a list, which lies in out as in the object.
func recodeList(out []byte, l *cryptoki.List) error {
	for l.Next() {
		for at := l.Offset; at < l.Offset+cryptoki.AttributeHeader; at += 4 {
			turn(out[at : at+4])
		}
		at := l.Offset + cryptoki.AttributeHeader
		value := out[at : at+len(l.Value)]
		shape, ok := cryptoki.ShapeOf(l.Type, len(value))
		switch {
		case !ok && uniform(value): // the same in any order
		case !ok:
			return fmt.Errorf("attribute %s of %d bytes at byte %d: it is not known whether that is a number of the machine's", cryptoki.AttributeName(l.Type), len(value), l.Offset)
		case shape == cryptoki.Ulong:
			turn(value)
		case shape == cryptoki.Ulongs:
			for n := range slices.Chunk(value, 8) {
				turn(n)
			}
		case shape == cryptoki.Template:
			inner, _ := l.Nested()
			if err := recodeList(out, &inner); err != nil {
				return err
			}
		}
	}
	if err := l.Err(); err != nil {
		return fmt.Errorf("its attributes: %w: %w", err, ErrDamaged)
	}
	return nil
}

// uniform says whether all bytes are one.
func uniform(value []byte) bool { return bytes.Count(value, value[:1]) == len(value) }

func turn(number []byte) { slices.Reverse(number) }

// RecodeNVTOK gives an NVTOK.DAT of the old format in the byte order to. That of
// the new format is the same for all machines.
func RecodeNVTOK(nvtok []byte, to cryptoki.Order) []byte {
	out := slices.Clone(nvtok)
	if n := ParseNVTOK(nvtok); n.Format == Old && n.Order != to {
		turnNumbers(out)
	}
	return out
}

// turnNumbers turns the flags, the ten counts after them and the four tweaks.
func turnNumbers(nvtok []byte) {
	for at := AtFlags; at < atVersions; at += 4 {
		turn(nvtok[at : at+4])
	}
	for at := AtTweaks; at < NVTOKOld; at += 4 {
		turn(nvtok[at : at+4])
	}
}
