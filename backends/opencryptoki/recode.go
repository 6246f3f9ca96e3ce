package opencryptoki

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"tokar/backends"
	"tokar/backends/opencryptoki/tokendata"
	"tokar/format"
	"tokar/format/cryptoki"
)

// recoder brings a token into the new format, or into the other byte order, or
// both. It implements backends.Recoder.
type recoder struct {
	info     format.Token
	was, is  map[string][]byte // NVTOK.DAT and MK files, as they are and as they will be
	userPIN  bool              // it is set
	upgrades bool
	tokendata.Conversion
}

// Recode opens the token at loc with its PINs.
func (Backend) Recode(ctx context.Context, loc backends.Location, o backends.Recoding) (backends.Recoder, error) {
	open, err := Backend{}.Open(ctx, loc)
	if err != nil {
		return nil, err
	}
	defer open.Close()
	r := &recoder{was: map[string][]byte{}, is: map[string][]byte{}}
	if err := r.begin(open.(*token), o); err != nil {
		r.Close()
		return nil, fmt.Errorf("token %s: %w", loc.Name, err)
	}
	return r, nil
}

// pinFiles are what a migration makes anew besides objects.
var pinFiles = []string{nvtokName, soKeyName, userKeyName}

func (r *recoder) begin(t *token, o backends.Recoding) error {
	for _, name := range pinFiles {
		f, err := readFile(t.dir, []byte(name), make([]byte, tokendata.NVTOKNew+tokendata.ICSFRecord+1))
		if err != nil && !errors.Is(err, unix.ENOENT) {
			return fmt.Errorf("cannot read %s: %w", name, err)
		}
		if err == nil {
			r.was[name] = f.data
		}
	}
	nvtok := r.was[nvtokName]
	n := tokendata.ParseNVTOK(nvtok)
	if n.Format == tokendata.Unknown {
		return fmt.Errorf("%s has %d bytes, which no format has: restore it from an archive first", nvtokName, len(nvtok))
	}
	if err := ofVariant(t.variant(n), o.Variant); err != nil {
		return err
	}
	order := t.byteOrder(n)
	r.upgrades = o.Newest && n.Format == tokendata.Old
	r.Turn = o.Order != "" && o.Order != order
	if !r.upgrades && !r.Turn {
		return backends.ErrAlready
	}
	r.userPIN = n.UserPIN
	r.Order = orderOf(order)
	r.Into = orderOf(o.Order)
	r.describe(t, o)
	return r.open(nvtok, o.PIN)
}

// ofVariant refuses kinds of token that have no other form.
func ofVariant(variant, wanted string) error {
	switch {
	case variant == tokendata.TPM || variant == tokendata.ICSF:
		return fmt.Errorf("a token of kind %s, which pkcstok_migrate and tokar leave as they are: its keys hang on what is not in its files", variant)
	case wanted != "" && variant != tokendata.Unknown && variant != wanted:
		return fmt.Errorf("it is a token of kind %s, and its slot is one for %s: this is not the slot's token", variant, wanted)
	}
	return nil
}

func orderOf(word string) cryptoki.Order {
	if word == cryptoki.BigEndian.String() {
		return cryptoki.BigEndian
	}
	return cryptoki.LittleEndian
}

// describe makes the descriptor of the token as it will be.
func (r *recoder) describe(t *token, o backends.Recoding) {
	r.info = t.info
	r.info.Properties = nil
	for _, p := range t.info.Properties {
		switch {
		case p.Key == propMigrated:
			continue
		case p.Key == propFormat && r.upgrades:
			p.Value = tokendata.New
		case p.Key == propByteOrder && r.Turn:
			p.Value = o.Order
		}
		r.info.Properties = append(r.info.Properties, p)
	}
}

// open opens the master key with the PINs, and makes the PIN state that the
// token will have. Into the new format both PINs are needed; for the byte order
// either opens the objects.
func (r *recoder) open(nvtok []byte, ask func(so bool) ([]byte, error)) error {
	pins := map[string][]byte{}
	defer func() {
		for _, pin := range pins {
			clear(pin)
		}
	}()
	var wrong []error
	for _, role := range []tokendata.Role{tokendata.SO, tokendata.User} {
		if !role.Set(nvtok) || !r.upgrades && role.KeyFile == soKeyName && r.userPIN {
			continue
		}
		pin, err := ask(role.KeyFile == soKeyName)
		if err != nil {
			return err
		}
		pins[role.KeyFile] = pin
		if err := r.unlock(role, nvtok, pin); err != nil {
			wrong = append(wrong, err)
		}
	}
	if len(wrong) > 0 {
		return errors.Join(wrong...)
	}
	if !r.upgrades {
		r.To = r.From
		for name, b := range r.was {
			r.is[name] = b
		}
		r.is[nvtokName] = tokendata.RecodeNVTOK(nvtok, r.Into)
		return nil
	}
	r.To = tokendata.NewMasterKey()
	state, err := tokendata.Upgrade(nvtok, pins[soKeyName], pins[userKeyName], r.To)
	if err != nil {
		return err
	}
	r.is[nvtokName], r.is[soKeyName] = state.NVTOK, state.SO
	if state.User != nil {
		r.is[userKeyName] = state.User
	}
	return nil
}

// unlock opens a role's MK file, which must hold the key that the other's does.
func (r *recoder) unlock(role tokendata.Role, nvtok, pin []byte) error {
	file, there := r.was[role.KeyFile]
	if !there {
		return fmt.Errorf("there is no %s, so that nothing opens what the token holds: restore it from an archive first", role.KeyFile)
	}
	key, err := role.Open(nvtok, file, pin)
	switch {
	case errors.Is(err, tokendata.ErrPIN):
		return fmt.Errorf("the %s is not the token's: %w", role.Name, backends.ErrPIN)
	case err != nil:
		return err
	case r.From == nil:
		r.From = key
	case !key.Equal(r.From):
		key.Clear()
		return errors.New("MK_SO and MK_USER hold different master keys: one of them is of another time than the other; restore both from one archive first")
	}
	return nil
}

// Info describes the token as it will be.
func (r *recoder) Info() *format.Token { return &r.info }

var (
	errNotTaken = errors.New("it cannot be taken along, and nothing is left behind unsaid; put a file in its place, or move it away if nobody needs it")
	errMeddled  = fmt.Errorf("%w: it changed while it was read", backends.ErrInUse)
)

// Recode brings an entry into the new form. Files that are not the library's
// stay as they are, and so do objects that OBJ.IDX does not name and that do not
// open.
func (r *recoder) Recode(rec *format.Record) (keep bool, err error) {
	name := rec.Name.String()
	switch {
	case rec.Flags&format.Vanished != 0:
		return false, errMeddled
	case rec.Absent():
		if why := rec.Details.Findings; len(why) > 0 {
			return false, fmt.Errorf("%w: %s", errNotTaken, why[0].Message)
		}
		return false, errNotTaken
	case rec.Kind == format.KindState && slices.Contains(pinFiles, name):
		was, is := r.was[name], r.is[name]
		if !bytes.Equal(was, rec.Data) {
			return false, errMeddled
		}
		rec.Data = is
		return is != nil, nil
	case rec.Kind == format.KindObject:
		made, err := r.Object(name, rec.Data)
		if err != nil && rec.Flags&format.Unlisted != 0 {
			f := finding(NotConverted, objectPath(rec.Name), -1, "%v; OBJ.IDX does not name it, so it is taken along as it is", err)
			rec.Details.Findings = append(rec.Details.Findings, f)
			return true, nil
		}
		rec.Data = made
		return err == nil, err
	}
	return true, nil
}

// Close zeroes the keys.
func (r *recoder) Close() error {
	for _, k := range []*tokendata.MasterKey{r.From, r.To} {
		if k != nil {
			k.Clear()
		}
	}
	for name := range r.was {
		clear(r.was[name])
	}
	return nil
}

// variants are the kinds of token by the middle of their library's name.
var variants = map[string]string{
	"sw": "Soft", "ica": "ICA", "cca": "CCA", "ep11": "EP11", "tpm": tokendata.TPM, "icsf": tokendata.ICSF,
}

// migrates says whether tokens of a kind have a newer format.
func migrates(variant string) bool {
	return slices.Contains([]string{"Soft", "ICA", "CCA", "EP11"}, variant)
}
