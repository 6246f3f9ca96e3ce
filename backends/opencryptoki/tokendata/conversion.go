package tokendata

import (
	"fmt"

	"tokar/format/cryptoki"
)

// A Conversion makes a token's object files anew: in another format, under
// another master key, in another byte order. Safe from many goroutines.
type Conversion struct {
	From, To *MasterKey     // may be one
	Order    cryptoki.Order // of objects that show none themselves
	Turn     bool           // the objects themselves go into
	Into     cryptoki.Order // … this order; else their bytes stay
}

// Object makes the file of the object called name anew. A private object gets a
// new object key where To is of the new format. What is not a whole sound object
// of this token wraps ErrDamaged: it is not made into one.
func (c *Conversion) Object(name string, file []byte) ([]byte, error) {
	h := ParseObject(file, c.From.format)
	if h.Format != c.From.format {
		return nil, fmt.Errorf("it is in the %s format, in a token of the %s one: %w", h.Format, c.From.format, ErrDamaged)
	}
	object, err := c.open(file, h)
	if err != nil {
		return nil, err
	}
	if h.Private {
		defer clear(object)
	}
	if _, err := objectOrder(object, c.Order); err != nil {
		return nil, err
	}
	if inner := string(cryptoki.ObjectName(object)); inner != name {
		return nil, fmt.Errorf("the name inside it is %q: %w", inner, ErrDamaged)
	}
	order := h.Order
	if c.Turn {
		turned, err := Recode(object, c.Order, c.Into)
		if err != nil {
			return nil, err
		}
		if h.Private && &turned[0] != &object[0] {
			defer clear(turned)
		}
		object, order = turned, c.Into
	}
	if h.Private {
		return c.To.Seal(object, order), nil
	}
	return Public(c.To.format, object, order), nil
}

// open gives the object in a file, which must be all that is in it.
func (c *Conversion) open(file []byte, h Object) ([]byte, error) {
	if h.Private {
		return c.From.Open(file)
	}
	sound := false
	if h.Format == Old {
		_, sound = OldWord(file)
	} else if _, version := NewWord(file); version && h.At == NewPublicHeader {
		sound = int64(h.Order.Uint32(file[AtPublicLength:])) == int64(len(h.Body))
	}
	if !sound {
		return nil, fmt.Errorf("its header does not tell its %d bytes: %w", len(file), ErrDamaged)
	}
	return h.Body, nil
}
