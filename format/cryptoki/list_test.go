package cryptoki

import (
	"bytes"
	"testing"
)

// sample is an object with a template of two attributes, one of them a
// template in its turn.
func sample(order Order) []byte {
	inner := AppendAttribute(nil, order, CKA_LABEL, []byte("inner"))
	template := AppendAttribute(nil, order, CKA_UNWRAP_TEMPLATE, inner)
	template = AppendAttribute(template, order, CKA_ID, nil)
	b := AppendObjectHeader(nil, order, 3, [8]byte([]byte("10000000")))
	b = AppendAttribute(b, order, CKA_CLASS, order.AppendUint32(nil, CKO_SECRET_KEY))
	b = AppendAttribute(b, order, CKA_WRAP_TEMPLATE, template)
	return AppendAttribute(b, order, CKA_LABEL, []byte("outer"))
}

func TestList(t *testing.T) {
	for _, order := range []Order{LittleEndian, BigEndian} {
		object := sample(order)
		if got, ok := OrderOf(object); got != order || !ok {
			t.Errorf("order of a %s-endian object: %s, %v", order, got, ok)
		}
		if string(ObjectName(object)) != "10000000" {
			t.Errorf("name %q", ObjectName(object))
		}
		var types []uint32
		var walk func(l List)
		walk = func(l List) {
			for l.Next() {
				types = append(types, l.Type)
				if inner, ok := l.Nested(); ok {
					walk(inner)
				}
				if l.Type == CKA_CLASS {
					if v, ok := order.Ulong(l.Value); v != CKO_SECRET_KEY || !ok {
						t.Errorf("class %x", l.Value)
					}
				}
			}
			if err := l.Err(); err != nil {
				t.Error(err)
			}
		}
		walk(ObjectList(object, order))
		want := []uint32{CKA_CLASS, CKA_WRAP_TEMPLATE, CKA_UNWRAP_TEMPLATE, CKA_LABEL, CKA_ID, CKA_LABEL}
		if len(types) != len(want) {
			t.Fatalf("types %x", types)
		}
		for i := range want {
			if types[i] != want[i] {
				t.Errorf("types %x, want %x", types, want)
			}
		}
	}
}

func TestListFaults(t *testing.T) {
	const at = ObjectHeader + AttributeHeader + 4 // of the template's header
	for _, c := range []struct {
		name   string
		change func(b []byte) []byte
		offset int
	}{
		{"no header", func(b []byte) []byte { return b[:15] }, 15},
		{"count too high", func(b []byte) []byte { b[4]++; return b }, -1},
		{"count too low", func(b []byte) []byte { b[4]--; return b }, -2},
		{"cut", func(b []byte) []byte { return b[:len(b)-1] }, len(sample(LittleEndian)) - 5 - 4},
		{"zero word", func(b []byte) []byte { b[ObjectHeader+5] = 1; return b }, ObjectHeader + 4},
		{"value too long", func(b []byte) []byte { b[ObjectHeader+11] = 0xff; return b }, ObjectHeader + 8},
		{"nested value too long", func(b []byte) []byte { b[at+12+8]++; return b }, -3},
		{"template cut", func(b []byte) []byte { b[at+12+8] = 200; return b }, at + 12 + 8},
	} {
		b := c.change(sample(LittleEndian))
		l := ObjectList(b, LittleEndian)
		for l.Next() {
		}
		err := l.Err()
		switch {
		case err == nil:
			t.Errorf("%s: no error", c.name)
		case c.offset == -1 && err.Offset != len(b), c.offset == -2 && err.Offset != len(b)-17, c.offset >= 0 && err.Offset != c.offset:
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestNestingIsBounded(t *testing.T) {
	var b []byte
	for range 100 {
		b = AppendAttribute(nil, LittleEndian, CKA_DERIVE_TEMPLATE, b)
	}
	b = append(AppendObjectHeader(nil, LittleEndian, 1, [8]byte{}), b...)
	l := ObjectList(b, LittleEndian)
	for l.Next() {
	}
	if l.Err() == nil {
		t.Error("a hundred templates within each other are taken")
	}
}

func TestWalkAllocatesNothing(t *testing.T) {
	object := sample(BigEndian)
	if n := testing.AllocsPerRun(100, func() {
		l := ObjectList(object, BigEndian)
		for l.Next() {
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestUlong(t *testing.T) {
	for _, c := range []struct {
		order Order
		b     []byte
		v     uint32
		ok    bool
	}{
		{LittleEndian, []byte{1, 2, 0, 0}, 0x201, true},
		{BigEndian, []byte{0, 0, 1, 2}, 0x102, true},
		{LittleEndian, []byte{1, 0, 0, 0, 0, 0, 0, 0}, 1, true},
		{BigEndian, []byte{0, 0, 0, 0, 0, 0, 0, 1}, 1, true},
		{LittleEndian, []byte{1, 0, 0, 0, 1, 0, 0, 0}, 1, false},
		{BigEndian, []byte{1}, 0, false},
		{BigEndian, nil, 0, false},
	} {
		if v, ok := c.order.Ulong(c.b); v != c.v || ok != c.ok {
			t.Errorf("%s %x: %#x, %v", c.order, c.b, v, ok)
		}
	}
}

// What a walk accepts, writing it again gives byte for byte.
func FuzzList(f *testing.F) {
	for _, order := range []Order{LittleEndian, BigEndian} {
		f.Add(sample(order), order == BigEndian)
		f.Add(sample(order)[:40], order == BigEndian)
		f.Add(AppendObjectHeader(nil, order, 0, [8]byte{}), order == BigEndian)
	}
	f.Fuzz(func(t *testing.T, b []byte, big bool) {
		OrderOf(b)
		order := LittleEndian
		if big {
			order = BigEndian
		}
		l := ObjectList(b, order)
		if len(b) < ObjectHeader {
			if l.Next() || l.Err() == nil {
				t.Fatal("an object without a header is taken")
			}
			return
		}
		count := uint32(0)
		again := AppendObjectHeader(nil, order, 0, [8]byte(ObjectName(b)))
		for l.Next() {
			count++
			again = AppendAttribute(again, order, l.Type, l.Value)
			if inner, ok := l.Nested(); ok {
				for inner.Next() {
				}
				if inner.Err() != nil {
					t.Fatal("a template was taken that does not hold")
				}
			}
		}
		if err := l.Err(); err != nil {
			if err.Offset < 0 || err.Offset > len(b) {
				t.Fatalf("offset %d of %d", err.Offset, len(b))
			}
			return
		}
		copy(again, b[:4])
		copy(again[4:], order.AppendUint32(nil, count))
		if !bytes.Equal(again, b) {
			t.Fatalf("written again: %x, was %x", again, b)
		}
	})
}
