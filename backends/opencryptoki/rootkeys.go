package opencryptoki

import (
	"bytes"
	"crypto/rsa"
	"errors"
	"math/big"
	"path"
	"slices"

	"tokar/backends/opencryptoki/tokendata"
	"tokar/format"
	"tokar/format/cryptoki"
)

// A TPM token has two hierarchies, each a root key and a leaf key below it, as
// objects of these CKA_IDs, always public. The leaf's private object carries the
// PIN: a change of PIN writes it anew, under another name, and then the PEM file
// (tpm_specific.c).
type hierarchy struct {
	root, leaf string
	pem        string
	role       tokendata.Role
}

var hierarchies = []hierarchy{
	{"PUBLIC ROOT KEY", "PUBLIC LEAF KEY", "PUBLIC_ROOT_KEY.pem", tokendata.SO},
	{"PRIVATE ROOT KEY", "PRIVATE LEAF KEY", "PRIVATE_ROOT_KEY.pem", tokendata.User},
}

// hierarchyOf is the one that a PEM file belongs to, by its name alone.
func hierarchyOf(file string) (h hierarchy, ok bool) {
	i := slices.IndexFunc(hierarchies, func(h hierarchy) bool { return path.Base(file) == h.pem })
	if i < 0 {
		return h, false
	}
	return hierarchies[i], true
}

// tpmKey is an object of a hierarchy.
type tpmKey struct {
	id              string
	class           uint32
	modulus, opaque []byte
}

// tpmKeyOf reads an object of a hierarchy; ok is false for all others.
func tpmKeyOf(body []byte, order cryptoki.Order) (k tpmKey, ok bool) {
	list := cryptoki.ObjectList(body, order)
	for list.Next() {
		switch list.Type {
		case cryptoki.CKA_CLASS:
			k.class, _ = order.Ulong(list.Value)
		case cryptoki.CKA_ID:
			k.id = string(list.Value)
		case cryptoki.CKA_MODULUS:
			k.modulus = list.Value
		case cryptoki.CKA_IBM_OPAQUE:
			k.opaque = list.Value
		}
	}
	return k, list.Err() == nil && slices.Contains(tpmKeys, k.id)
}

// rootKeys judge a TPM token's PEM files by its PINs.
type rootKeys struct {
	pems    map[string][]byte // by path
	objects map[string]tpmKey // by name
	old     map[string]bool   // paths of files that were last written before the PIN
}

const maxRootKeys = 64 // files, and objects, of a hostile token

func (k *rootKeys) learn(r *format.Record) {
	name, file := r.Name.String(), r.Data
	if k.pems == nil {
		k.pems, k.old = map[string][]byte{}, map[string]bool{}
	}
	if _, again := k.pems[name]; again || len(k.pems) < maxRootKeys && len(file) <= maxStateFile {
		clear(k.pems[name])
		k.pems[name] = bytes.Clone(file)
		k.old[name] = slices.ContainsFunc(r.Details.Findings, func(f format.Finding) bool { return f.Kind == OldPEM })
	}
}

func (k *rootKeys) object(name format.Name, body []byte, order cryptoki.Order) {
	found, ok := tpmKeyOf(body, order)
	if !ok || len(k.objects) >= maxRootKeys {
		return
	}
	if k.objects == nil {
		k.objects = map[string]tpmKey{}
	}
	found.modulus, found.opaque = bytes.Clone(found.modulus), bytes.Clone(found.opaque)
	k.objects[string(name)] = found
}

// judge opens each file whose PIN is given. A PIN that opens no file of its role
// is refused, unless a file is known to be older than the PIN.
func (k *rootKeys) judge(pin func(tokendata.Role) []byte, found *findings) (wrong []error) {
	closed, opened := map[string]string{}, map[string]bool{}
	for _, name := range sorted(k.pems) {
		file := k.pems[name]
		h, ok := hierarchyOf(name)
		if !ok || pin(h.role) == nil {
			continue
		}
		key, err := tokendata.OpenRootKey(file, pin(h.role))
		switch {
		case errors.Is(err, tokendata.ErrPIN):
			closed[name] = h.role.Name
			opened[h.role.Name] = opened[h.role.Name] || k.old[name]
		case err != nil:
			found.add(NoPEM, name, -1, "%v", err)
		default:
			opened[h.role.Name] = true
			k.key(name, h, key, pin(h.role), found)
		}
	}
	for _, name := range sorted(closed) {
		h, _ := hierarchyOf(name)
		if opened[h.role.Name] {
			found.add(OldPEM, name, -1, "it does not open with the %s given: that is another, or the file holds the one before", h.role.Name)
			continue
		}
		wrong = append(wrong, wrongPIN(h.role, "what was given does not open "+name+": it is not the "+h.role.Name+", or, which cannot be told, the file holds the one before"))
	}
	return wrong
}

// key compares an opened root key with the objects.
func (k *rootKeys) key(name string, h hierarchy, key *rsa.PrivateKey, pin []byte, found *findings) {
	roots, leaves, same := 0, 0, false
	for _, o := range k.objects {
		switch {
		case o.id == h.root && o.class == cryptoki.CKO_PUBLIC_KEY: // CKA_MODULUS of the private one is the encrypted part
			roots++
			if key.N.Cmp(new(big.Int).SetBytes(o.modulus)) != 0 {
				found.add(NoPEM, name, -1, "it holds another key than the object %s: it is of another token", h.root)
				return
			}
		case o.id == h.leaf && o.class == cryptoki.CKO_PRIVATE_KEY:
			is, opened := tokendata.LeafPIN(key, o.opaque, pin)
			same = same || is
			if opened {
				leaves++
			}
		}
	}
	switch {
	case roots == 0:
		found.add(NoPEM, name, -1, "there is no object %s to compare it with", h.root)
	case leaves == 0:
		found.add(NoPEM, name, -1, "the key in it does not open the object %s", h.leaf)
	case !same:
		found.add(OldPEM, name, -1, "it opens with the %s given, but the token has another: the file holds the PIN before", h.role.Name)
	}
}

// forget zeroes what was learned.
func (k *rootKeys) forget() {
	for _, b := range k.pems {
		clear(b)
	}
	k.pems, k.objects, k.old = nil, nil, nil
}
