package opencryptoki

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"sync"

	"tokar/backends"
	"tokar/backends/opencryptoki/tokendata"
	"tokar/format"
	"tokar/format/cryptoki"
)

// vault opens a token's master key with PINs, from copies of NVTOK.DAT, MK_SO
// and MK_USER, and with it private objects. A TPM token needs none: its private
// objects are under a key of zeros.
type vault struct {
	validator
	ofTPM  bool // its PINs are checked by its PEM files, not here
	logins backends.Logins
	keys   []*tokendata.MasterKey // of the user's file and the SO's, where they differ

	mu     sync.Mutex
	state  pinState
	opened bool
	again  bool // the state changed after it was opened
	found  findings
	wrong  []error
	pairs  pairs
	roots  rootKeys // of a TPM token
}

// Unlock prepares to open what t keeps behind PINs.
func (b Backend) Unlock(t *format.Token, l backends.Logins) backends.Vault {
	v, err := b.Validator(t)
	ofTPM := t.Property(propVariant) == tokendata.TPM
	if err != nil || t.Property(propVariant) == tokendata.ICSF || !ofTPM && !l.Given() {
		return nil
	}
	vt := &vault{validator: *v.(*validator), ofTPM: ofTPM, logins: l, state: pinState{}, pairs: pairs{}}
	if ofTPM {
		form := tokendata.Old
		if vt.format == tokendata.New {
			form = tokendata.New
		}
		vt.keys, vt.opened = []*tokendata.MasterKey{tokendata.ZeroKey(form)}, true
	}
	return vt
}

// Learn keeps the files that PINs open the token with.
func (v *vault) Learn(r *format.Record) {
	name := string(r.Name)
	if v.ofTPM {
		if _, ok := hierarchyOf(r.Name.String()); ok && r.Kind == format.KindState && !r.Absent() && v.logins.Given() {
			v.mu.Lock()
			v.roots.learn(r)
			v.mu.Unlock()
		}
		return
	}
	if r.Kind != format.KindState || r.Absent() || name != nvtokName && name != soKeyName && name != userKeyName {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	data := r.Data[:min(len(r.Data), maxState+1)] // more is no state, however much
	if v.opened && !bytes.Equal(v.state[name], data) {
		v.again = true
	}
	v.state[name] = bytes.Clone(data)
}

// maxState is the length of the longest file that is learned.
const maxState = tokendata.NVTOKNew + tokendata.ICSFRecord

// open opens the master key, once.
func (v *vault) open() []*tokendata.MasterKey {
	v.mu.Lock()
	defer v.mu.Unlock()
	if !v.opened {
		v.opened = true
		v.keys = v.openKeys()
	}
	return v.keys
}

// openKeys opens the MK file of each PIN given. Both must hold the same key.
func (v *vault) openKeys() (keys []*tokendata.MasterKey) {
	v.found, v.wrong = findings{}, nil
	for _, p := range []struct {
		tokendata.Role
		pin []byte
	}{{tokendata.User, v.logins.User}, {tokendata.SO, v.logins.SO}} {
		if p.pin == nil {
			continue
		}
		key, err := p.Open(v.state[nvtokName], v.state[p.KeyFile], p.pin)
		switch {
		case errors.Is(err, tokendata.ErrPIN):
			v.wrong = append(v.wrong, wrongPIN(p.Role, "what was given is not the "+p.Name))
		case errors.Is(err, tokendata.ErrNoPIN):
			v.found.add(NoPIN, nvtokName, -1, "the %s is not set: what was given could not be tried", p.Name)
		case err != nil && tokendata.ParseNVTOK(v.state[nvtokName]).Format == tokendata.Unknown:
			v.found.add(MasterKey, nvtokName, -1, "whether the %s is right cannot be told: NVTOK.DAT is no sound one", p.Name)
		case err != nil:
			v.found.add(MasterKey, p.KeyFile, -1, "%s", v.closed(p.Role))
		case len(keys) > 0 && !keys[0].Equal(key):
			v.found.add(MasterKey, p.KeyFile, -1, "both PINs are right, and %s holds another master key than %s", soKeyName, userKeyName)
			keys = append(keys, key)
		case len(keys) > 0:
			key.Clear()
		default:
			keys = append(keys, key)
		}
	}
	return keys
}

// closed says of an MK file that the right PIN does not open it, and what a
// login meets.
func (v *vault) closed(r tokendata.Role) string {
	file, there := v.state[r.KeyFile]
	code := "CKR_FUNCTION_FAILED"
	if v.format == tokendata.New && len(file) == tokendata.KeyFileNew {
		code = "CKR_GENERAL_ERROR"
	}
	if !there {
		return fmt.Sprintf("the %s is right, and there is no %s: a login fails with %s", r.Name, r.KeyFile, code)
	}
	if len(file) == 0 {
		return fmt.Sprintf("the %s is right, and %s is empty: a login fails with %s", r.Name, r.KeyFile, code)
	}
	return fmt.Sprintf("the %s is right and does not open it: it is damaged, or of another time than NVTOK.DAT, as when a change of the PIN was caught half-way; a login fails with %s", r.Name, code)
}

// Examine opens an object.
func (v *vault) Examine(r *format.Record) (c backends.Content, found []format.Finding) {
	if r.Kind != format.KindObject || r.Absent() || len(r.Data) == 0 {
		return c, nil
	}
	h := tokendata.ParseObject(r.Data, v.format)
	if !h.Private {
		v.pair(r.Name, h.Body, r.Class)
		if v.ofTPM && v.logins.Given() {
			v.mu.Lock()
			v.roots.object(r.Name, h.Body, v.orderOf(h.Body))
			v.mu.Unlock()
		}
		return c, nil
	}
	keys := v.open()
	if len(keys) == 0 {
		return c, nil
	}
	object, err := openWith(keys, v.asTold(r.Data, h))
	p := report{r: r}
	switch {
	case err != nil && slices.ContainsFunc(r.Details.Findings, tellsMore):
		return c, nil
	case err != nil:
		p.add(Unopenable, -1, "under the token's master key %v", err)
		return c, p.all()
	}
	defer clear(object)
	c = v.inside(&p, object)
	v.pair(r.Name, object, c.Class)
	return c, p.all()
}

// tellsMore: what does not open is told of more precisely, by its header.
func tellsMore(f format.Finding) bool {
	return slices.Contains([]string{Empty, Truncated, Length, Header, PrivateFlag, Format, ByteOrder, Name}, f.Kind)
}

// asTold is a private object without what follows the end that its header
// tells, which the library does not read.
func (v *vault) asTold(file []byte, h tokendata.Object) []byte {
	var end uint64
	switch {
	case h.Format == tokendata.New && len(file) >= tokendata.NewPrivateHeader:
		end = tokendata.NewPrivateHeader + uint64(cryptoki.BigEndian.Uint32(file[tokendata.AtPrivateLength:])) + tokendata.NewTag
	case h.Format == tokendata.Old && len(file) >= tokendata.OldHeader:
		end = uint64(v.oldLength(file))
	}
	if end > tokendata.OldHeader && end < uint64(len(file)) {
		return file[:end]
	}
	return file
}

// openWith tries the keys, of which there is one but for tokens whose MK files
// differ.
func openWith(keys []*tokendata.MasterKey, file []byte) (object []byte, err error) {
	for _, k := range keys {
		if object, err = k.Open(file); err == nil {
			return object, nil
		}
	}
	return nil, err
}

// Close tells what was found of the whole token.
func (v *vault) Close() ([]format.Finding, error) {
	v.open()
	v.mu.Lock()
	defer v.mu.Unlock()
	clearKeys(v.keys)
	if v.again { // it was read again: the last counts
		clearKeys(v.openKeys())
	}
	v.wrong = append(v.wrong, v.roots.judge(func(r tokendata.Role) []byte {
		if r.Name == tokendata.SO.Name {
			return v.logins.SO
		}
		return v.logins.User
	}, &v.found)...)
	v.roots.forget()
	v.found.list = append(v.found.list, v.pairs.judge()...)
	return v.found.all(), errors.Join(v.wrong...)
}

func wrongPIN(r tokendata.Role, message string) error {
	return &backends.PINError{SO: r.Name == tokendata.SO.Name, Message: message}
}

func clearKeys(keys []*tokendata.MasterKey) {
	for _, k := range keys {
		k.Clear()
	}
}
