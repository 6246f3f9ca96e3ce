package opencryptoki

import (
	"bytes"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"tokar/backends/opencryptoki/tokendata"
	"tokar/format"
)

// NVTOK.DAT, MK_SO and MK_USER belong together, and a PIN change writes only one
// of the MK files with NVTOK.DAT. So one of them is taken from the archive only
// where the others show that it is of the same PIN and the same master key: an MK
// file is nothing but the master key under the PIN, and in the new format under
// the salt that is in NVTOK.DAT.

// planState chooses the state files to be put back.
func (n *mend) planState(found *findings) {
	c := n.m.s.same
	const whole = "; only the whole PIN state of the archive can be put back, and with it the PINs of then"
	if fault := nvtokFault(c.live); fault != "" {
		if why := n.nvtokFits(); why != "" {
			found.add(Unmended, nvtokName, -1, "%s; the archive's may not belong to what is there: %s"+whole, fault, why)
			return
		}
		data := bytes.Clone(c.archived[nvtokName])
		var others []uint64
		for _, o := range n.objects {
			others = append(others, o.key)
		}
		raiseNext(data, others)
		words := fault + "; the archive's belongs to the master key files of today, and so do its PINs. Wrong tries that were counted since are forgotten"
		if c.tpm {
			words = fault + "; the key objects of today are the archive's, and so are the PINs"
		}
		n.putState(nvtokName, data, words)
	} else {
		n.planKeys(found, whole)
	}
	n.planRest(found)
}

func (n *mend) putState(name string, data []byte, why string) {
	n.state[name] = mendedFile{data, why, stampOf(n.m.s.live.dir, name)}
}

// nvtokFault says what is wrong with NVTOK.DAT; empty if nothing is.
func nvtokFault(s pinState) string {
	b, there := s[nvtokName]
	if !there {
		return "it was missing"
	}
	var found findings
	if checkNVTOK(b, &found); len(found.list) > 0 {
		return "it was damaged: " + found.list[0].Message
	}
	return ""
}

// nvtokFits says why the archive's NVTOK.DAT may not be that of today's token;
// empty if it is.
func (n *mend) nvtokFits() string {
	c := n.m.s.same
	if nvtokFault(c.archived) != "" {
		return "the archive has no sound one"
	}
	if c.tpm {
		if c.keys == 0 || c.held < c.keys {
			return "the key objects, which hold the PINs, are not the archive's"
		}
		return ""
	}
	if tokendata.ParseNVTOK(c.archived[nvtokName]).ICSF {
		return "it is an ICSF token's"
	}
	for _, r := range tokendata.Roles {
		if a := c.archived[r.KeyFile]; r.Set(c.archived[nvtokName]) && (len(a) == 0 || !bytes.Equal(a, c.live[r.KeyFile])) {
			return r.KeyFile + " is not the archive's"
		}
	}
	return ""
}

// planKeys looks at MK_SO and MK_USER beside a sound NVTOK.DAT.
func (n *mend) planKeys(found *findings, whole string) {
	c := n.m.s.same
	live, archived := c.live[nvtokName], c.archived[nvtokName]
	now := tokendata.ParseNVTOK(live)
	if c.tpm || now.ICSF {
		return
	}
	for _, r := range tokendata.Roles {
		if !r.Set(live) {
			continue
		}
		sameRole := nvtokFault(c.archived) == "" && tokendata.ParseNVTOK(archived).Format == now.Format &&
			r.Set(archived) && r.Same(archived, live) && len(c.archived[r.KeyFile]) >= tokendata.KeyFileNew
		fault := n.keyFault(r, now.Format, sameRole)
		switch {
		case fault == "":
		case !sameRole:
			found.add(Unmended, r.KeyFile, -1, "%s; the %s is not that of the archive, or was set anew since, so that the archive's does not fit%s", fault, r.Name, whole)
		case !n.sameKey(r):
			found.add(Unmended, r.KeyFile, -1, "%s; nothing shows that the archive's holds the master key of today%s", fault, whole)
		default:
			n.putState(r.KeyFile, bytes.Clone(c.archived[r.KeyFile]), fault+"; the "+r.Name+" and the master key are those of the archive")
		}
	}
}

// keyFault says what is wrong with an MK file; empty if nothing is, or nothing
// that can be seen.
func (n *mend) keyFault(r tokendata.Role, ofToken string, sameRole bool) string {
	c := n.m.s.same
	b, there := c.live[r.KeyFile]
	sound := len(b) == tokendata.KeyFileNew
	if ofToken == tokendata.Old {
		sound = len(b) == tokendata.KeyFileOld || len(b) == tokendata.KeyFileCCA
	}
	err, tried := n.byPIN[r.KeyFile]
	switch {
	case !there:
		return "it was missing"
	case !sound:
		return fmt.Sprintf("it had %d bytes", len(b))
	case tried && err != nil:
		return "it did not open: " + err.Error()
	case tried:
		return ""
	case sameRole && !bytes.Equal(b, c.archived[r.KeyFile]) && n.sameKey(r):
		return "it was not the master key under the PIN that is in NVTOK.DAT"
	}
	return ""
}

// sameKey says whether anything but the MK file of this role shows that today's
// master key is the archive's.
func (n *mend) sameKey(but tokendata.Role) bool {
	c := n.m.s.same
	if n.proved || c.equal > 0 {
		return true
	}
	for _, r := range tokendata.Roles {
		x, y := c.archived[r.KeyFile], c.live[r.KeyFile]
		if r.KeyFile != but.KeyFile && len(x) >= tokendata.KeyFileNew && bytes.Equal(x, y) &&
			r.Set(c.archived[nvtokName]) && r.Set(c.live[nvtokName]) && r.Same(c.archived[nvtokName], c.live[nvtokName]) {
			return true
		}
	}
	return false
}

// planRest looks at the other state files: of a TPM token they belong to its key
// objects.
func (n *mend) planRest(found *findings) {
	c := n.m.s.same
	stands := map[string]bool{nvtokName: true, soKeyName: true, userKeyName: true} // those have their own rules
	defer func() {
		for _, name := range sorted(c.archived) {
			if !stands[name] {
				n.m.s.note("%s is in the archive and not in the token, and stays away; tokar cat shows it, if the library installed needs it", name)
			}
		}
	}()
	for i := range n.m.s.live.scan.state {
		e := &n.m.s.live.scan.state[i]
		name := e.Name.String()
		stands[name] = true
		if name == nvtokName || name == soKeyName || name == userKeyName || len(e.Name.Components()) > 1 {
			continue
		}
		b, read := c.live[name]
		if !read {
			found.add(Irregular, name, -1, "it is no file; it stays as it is")
			continue
		}
		_, faults := n.validator.Validate(&format.Record{Kind: format.KindState, Name: e.Name, Data: b})
		switch {
		case len(faults) == 0:
		case c.tpm && c.keys > 0 && c.held == c.keys && len(c.archived[name]) > 0 && !bytes.Equal(c.archived[name], b):
			n.putState(name, bytes.Clone(c.archived[name]), "it was damaged: "+faults[0].Message+"; the key objects, which hold the PINs, are those of the archive")
		default:
			found.add(Unmended, name, int(faults[0].Offset), "%s; nothing shows that the archive's belongs to the PINs of today", faults[0].Message)
		}
	}
}

// rebuild makes the whole token directory anew beside the new TOK_OBJ, of hard
// links to everything in it, with the state files that are put back: so that
// these and the objects come in one step.
func (n *mend) rebuild() error {
	s := n.m.s
	if s.dir < 0 {
		return nil
	}
	for _, d := range s.live.scan.dirs {
		if d.Name.String() == objectsName {
			continue
		}
		if err := n.linkDir(d); err != nil {
			return err
		}
	}
	for name, f := range n.state {
		r := format.Record{Kind: format.KindState, Name: format.NameOf(name), Supersedes: format.NoSeq, Data: f.data}
		r.Details.Attr = s.order.attrs[name]
		if old, err := readFile(s.live.dir, []byte(name), make([]byte, 4<<10)); err == nil {
			mtime := r.Details.Attr.MTime
			r.Details.Attr = old.attr()
			r.Details.Attr.MTime = mtime
			clear(old.data)
		}
		if err := s.putSome([]*format.Record{&r}); err != nil {
			return err
		}
		if err := s.syncFile([]string{name}); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	for _, d := range slices.Backward(s.live.scan.dirs) {
		if d.Name.String() == objectsName {
			continue
		}
		if err := s.finishDir(d); err != nil {
			return fmt.Errorf("directory %s: %w", d.Name, err)
		}
	}
	return nil
}

// linkDir links what is in a directory of the token, but for directories, which
// come by themselves, and what is put back.
func (n *mend) linkDir(d format.Directory) (err error) {
	s := n.m.s
	var parts []string
	from := s.live.dir
	if len(d.Name) > 0 {
		parts = d.Name.Components()
		parent, err := openPath(s.live.dir, parts)
		if err != nil {
			return err
		}
		from, err = openDir(parent, parts[len(parts)-1])
		unix.Close(parent)
		if err != nil {
			return fmt.Errorf("directory %s: %w", d.Name, err)
		}
		defer unix.Close(from)
	}
	to, err := makeDirs(s.dir, parts)
	if err != nil {
		return err
	}
	defer unix.Close(to)
	known := func(name string) bool {
		full := format.NameOf(append(slices.Clone(parts), name)...)
		return slices.ContainsFunc(s.live.scan.dirs, func(d format.Directory) bool { return string(d.Name) == string(full) })
	}
	lerr := readDir(from, func(name []byte, typ byte) {
		if err != nil {
			return
		}
		_, put := n.state[string(name)]
		switch {
		case put && len(parts) == 0:
		case typ != unix.DT_DIR:
			if e := unix.Linkat(from, string(name), to, string(name), 0); e != nil {
				err = fmt.Errorf("cannot link %s: %w", name, e)
			}
		case !known(string(name)):
			err = fmt.Errorf("there is a directory %s beside the token's files: they cannot be put back beside it; move it away first", name)
		}
	})
	if err == nil {
		err = lerr
	}
	return err
}
