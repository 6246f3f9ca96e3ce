package opencryptoki

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"tokar/backends/opencryptoki/tokendata"
	"tokar/format"
	"tokar/format/cryptoki"
)

// judge says what becomes of an archived object.
func (n *mend) judge(r *format.Record, buf []byte) (*choice, error) {
	name := string(r.Name)
	c := &choice{
		private: tokendata.ParseObject(r.Data, n.m.s.token.Property(propFormat)).Private,
		listed:  r.Flags&format.Unlisted == 0,
	}
	n.forget(name)
	if r.Absent() {
		return c, nil
	}
	o := n.objects.find(r.Name)
	switch {
	case o == nil && n.missing[name]:
		c.why = "OBJ.IDX listed it, and the file was missing"
	case o == nil && n.lossy:
		c.why = "it was missing, and OBJ.IDX could not tell whether it was deleted"
	case o == nil:
		n.mu.Lock()
		n.gone[name] = sha256.Sum256(r.Data)
		n.mu.Unlock()
		return c, nil
	}
	if o == nil {
		return n.take(c, r)
	}
	return c, n.beside(c, o, r, buf)
}

// remember keeps what is to be put, and says whether an earlier record of the
// name was.
func (n *mend) remember(r *format.Record, c *choice) bool {
	n.m.mu.Lock()
	defer n.m.mu.Unlock()
	before := n.m.chosen[string(r.Name)]
	if before != nil && !r.Absent() {
		c.put, c.why = true, before.why
	}
	delete(n.m.chosen, string(r.Name))
	if c.put {
		n.m.chosen[string(r.Name)] = c
	}
	return before != nil
}

// forget takes back what was said of an object that the archive has again.
func (n *mend) forget(name string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.gone, name)
	delete(n.changed, name)
	delete(n.doubtful, name)
	delete(n.spoilt, name)
	delete(n.relisted, name)
}

// take has the archive's object written, if that can be opened.
func (n *mend) take(c *choice, r *format.Record) (*choice, error) {
	if found := n.sealed(r.Name, r.Data); len(found) > 0 {
		n.mu.Lock()
		n.spoilt[string(r.Name)] = found[0]
		n.mu.Unlock()
		return c, nil
	}
	c.put = true
	n.prove(c)
	return c, nil
}

// prove notes that today's master key opened a private object of the archive. All
// TPM tokens have one master key, zeros.
func (n *mend) prove(c *choice) {
	if c.private && n.key != nil && !n.m.s.same.tpm {
		n.mu.Lock()
		n.proved = true
		n.mu.Unlock()
	}
}

// beside compares an object of the archive with the file of its name.
func (n *mend) beside(c *choice, o *object, r *format.Record, buf []byte) error {
	n.meet(o)
	c.there = true
	f, err := readFile(n.m.s.live.objects, r.Name, buf)
	if err != nil && (!ofEntry(err) || errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM) || errors.Is(err, unix.ENOENT)) {
		return fmt.Errorf("cannot read what is there: %w", err)
	}
	c.was = stampOf(n.m.s.live.objects, string(r.Name))
	if err != nil {
		c.why = fmt.Sprintf("what was there could not be read: %v", err)
		_, err := n.take(c, r)
		return err
	}
	c.equal = bytes.Equal(f.data, r.Data)
	var found []format.Finding
	if c.equal {
		found = n.sealed(r.Name, f.data) // the rest was looked at when it came
	} else {
		found = n.faults(r.Name, f.data)
	}
	if len(found) > 0 {
		c.why = "it was damaged: " + found[0].Message
		if c.equal {
			n.mu.Lock()
			n.spoilt[string(r.Name)] = found[0]
			n.mu.Unlock()
			return nil
		}
		_, err := n.take(c, r)
		return err
	}
	if c.equal {
		n.prove(c)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if !o.listed && c.listed {
		n.relisted[string(r.Name)] = true
	}
	switch {
	case c.equal:
	case c.private && n.key == nil:
		n.doubtful[string(r.Name)] = doubt(f.data, r.Data, n.m.s.token.Property(propFormat))
	default:
		n.changed[string(r.Name)] = true
	}
	return nil
}

func (n *mend) meet(o *object) {
	i, _ := slices.BinarySearchFunc(n.objects, o.key, func(o object, key uint64) int {
		switch {
		case o.key < key:
			return -1
		case o.key > key:
			return 1
		}
		return 0
	})
	n.met[i] = true
}

// doubt says what can be seen of two private objects without the master key. No
// release uses an object key twice with one counter.
func doubt(today, archived []byte, ofToken string) string {
	h := tokendata.ParseObject(today, ofToken)
	if h.Format == tokendata.New && len(today) >= tokendata.NewPrivateHeader && len(archived) >= tokendata.NewPrivateHeader &&
		bytes.Equal(today[:tokendata.AtIV+12], archived[:tokendata.AtIV+12]) {
		return "it differs from the archive's and has the same nonce: one of them is damaged"
	}
	return "it differs from the archive's, and without a PIN nobody can tell whether it is sound"
}

// faults says what is wrong with an object file.
func (n *mend) faults(name format.Name, file []byte) []format.Finding {
	n.mu.Lock()
	_, found := n.validator.Validate(&format.Record{Kind: format.KindObject, Name: name, Data: file})
	n.mu.Unlock()
	if len(found) > 0 {
		return found
	}
	return n.sealed(name, file)
}

// sealed says what is wrong inside a private object, where the master key is at
// hand. What an archive has must open too before it is taken.
func (n *mend) sealed(name format.Name, file []byte) []format.Finding {
	h := tokendata.ParseObject(file, n.m.s.token.Property(propFormat))
	if n.key == nil || !h.Private {
		return nil
	}
	var found findings
	object, err := n.key.Open(file)
	defer clear(object)
	if err != nil {
		found.add(Header, objectPath(name), -1, "it does not open: %v", err)
		return found.list
	}
	checkInside(name, object, &found)
	return found.list
}

// checkInside says what is wrong with what a private object holds.
func checkInside(name format.Name, object []byte, found *findings) {
	path := objectPath(name)
	order, ok := cryptoki.OrderOf(object)
	if !ok {
		found.add(Attributes, path, -1, "what it holds does not begin as an object")
		return
	}
	if inner := cryptoki.ObjectName(object); !bytes.Equal(inner, name) {
		found.add(Name, path, -1, "the name inside is %s", quote(inner))
	}
	list := cryptoki.ObjectList(object, order)
	for list.Next() {
	}
	if list.Err() != nil {
		found.add(Attributes, path, -1, "its attribute list breaks its encoding")
	}
}
