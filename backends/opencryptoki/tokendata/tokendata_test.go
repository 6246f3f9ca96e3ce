package tokendata

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"tokar/format/cryptoki"
)

const fixtures = "../../../testdata/opencryptoki"

// written is a token that a real library wrote, with its PINs.
type written struct {
	dir    string
	PIN    map[string][]byte // by MK file
	nvtok  []byte
	ofRole map[string][]byte // MK files
}

// tokens are the fixtures whose PINs are known and that have MK files.
func tokens(t testing.TB) (list []written) {
	for _, name := range []string{"swtok-old-small", "swtok-new-small", "swtok-old-bigendian", "swtok-new-bigendian"} {
		text, err := os.ReadFile(filepath.Join(fixtures, name+".json"))
		if err != nil {
			t.Fatal(err)
		}
		var told struct {
			SO   string `json:"so_pin"`
			User string `json:"user_pin"`
		}
		if err := json.Unmarshal(text, &told); err != nil || told.SO == "" || told.User == "" {
			t.Fatalf("%s.json: %v, PINs %q", name, err, told)
		}
		w := written{dir: filepath.Join(fixtures, name), ofRole: map[string][]byte{}, PIN: map[string][]byte{
			SO.KeyFile: []byte(told.SO), User.KeyFile: []byte(told.User),
		}}
		w.nvtok = w.read(t, "NVTOK.DAT")
		for _, r := range Roles {
			w.ofRole[r.KeyFile] = w.read(t, r.KeyFile)
		}
		list = append(list, w)
	}
	return list
}

func (w written) read(t testing.TB, name string) []byte {
	b, err := os.ReadFile(filepath.Join(w.dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (w written) open(t testing.TB, r Role) *MasterKey {
	k, err := r.Open(w.nvtok, w.ofRole[r.KeyFile], w.PIN[r.KeyFile])
	if err != nil {
		t.Fatalf("%s: %v", w.dir, err)
	}
	return k
}

// objects are the token's object files by their names.
func (w written) objects(t testing.TB) map[string][]byte {
	list, err := filepath.Glob(filepath.Join(w.dir, "TOK_OBJ", "????????"))
	if err != nil || len(list) == 0 {
		t.Fatalf("%s: %v, %d objects", w.dir, err, len(list))
	}
	all := map[string][]byte{}
	for _, path := range list {
		all[filepath.Base(path)] = w.read(t, filepath.Join("TOK_OBJ", filepath.Base(path)))
	}
	return all
}

func TestPINs(t *testing.T) {
	for _, w := range tokens(t) {
		so, user := w.open(t, SO), w.open(t, User)
		if !so.Equal(user) {
			t.Errorf("%s: MK_SO and MK_USER hold different keys", w.dir)
		}
		for _, r := range Roles {
			for _, pin := range []string{"", "00000000", string(w.PIN[r.KeyFile]) + " ", string(w.PIN[r.KeyFile][1:])} {
				if _, err := r.Open(w.nvtok, w.ofRole[r.KeyFile], []byte(pin)); !errors.Is(err, ErrPIN) || errors.Is(err, ErrDamaged) {
					t.Errorf("%s, %s %q: %v", w.dir, r.Name, pin, err)
				}
			}
		}
	}
}

// TestDamagedKeyFile: with the right PIN, damage is not called a wrong PIN.
func TestDamagedKeyFile(t *testing.T) {
	if testing.Short() {
		t.Skip("derives many keys from PINs")
	}
	for _, w := range tokens(t) {
		whole := w.ofRole[User.KeyFile]
		n := len(whole)
		if n == KeyFileOld {
			n -= BlockDES // padding, which nobody checks, is in the last block
		}
		for at := range n {
			b := bytes.Clone(whole)
			b[at] ^= 1
			if _, err := User.Open(w.nvtok, b, w.PIN[User.KeyFile]); !errors.Is(err, ErrDamaged) || errors.Is(err, ErrPIN) {
				t.Errorf("%s: byte %d of MK_USER changed: %v", w.dir, at, err)
			}
			if len(w.nvtok) == NVTOKNew && at > 2 {
				break // each takes a tenth of a second
			}
		}
		for _, size := range []int{0, 1, len(whole) - 1} {
			if _, err := User.Open(w.nvtok, whole[:size], w.PIN[User.KeyFile]); !errors.Is(err, ErrDamaged) {
				t.Errorf("%s: MK_USER of %d bytes: %v", w.dir, size, err)
			}
		}
	}
}

func TestDamagedNVTOK(t *testing.T) {
	for _, w := range tokens(t) {
		for size := range len(w.nvtok) {
			if err := User.Check(w.nvtok[:size], w.PIN[User.KeyFile]); size != NVTOKOld && !errors.Is(err, ErrDamaged) {
				t.Fatalf("%s: NVTOK.DAT of %d bytes: %v", w.dir, size, err)
			}
		}
		unset := bytes.Clone(w.nvtok)
		at := AtFlags
		if ParseNVTOK(unset).Order == cryptoki.BigEndian {
			at += 3
		}
		unset[at] &^= UserPINSet
		if err := User.Check(unset, w.PIN[User.KeyFile]); !errors.Is(err, ErrNoPIN) {
			t.Errorf("%s: %v", w.dir, err)
		}
		if len(w.nvtok) != NVTOKNew {
			continue
		}
		for _, at := range []int{User.login, User.wrap} {
			for _, v := range []byte{0, 0xFF} {
				b := bytes.Clone(w.nvtok)
				copy(b[at:], bytes.Repeat([]byte{v}, 8))
				if _, err := User.Open(b, w.ofRole[User.KeyFile], w.PIN[User.KeyFile]); !errors.Is(err, ErrDamaged) {
					t.Errorf("%s: rounds of %d at %d: %v", w.dir, v, at, err)
				}
			}
		}
	}
}

// TestObjects opens every private object of real tokens and makes each anew.
func TestObjects(t *testing.T) {
	for _, w := range tokens(t) {
		k := w.open(t, User)
		seen := 0
		for name, file := range w.objects(t) {
			h := ParseObject(file, k.Format())
			if !h.Private {
				if again := Public(k.Format(), h.Body, h.Order); !bytes.Equal(again, file) {
					t.Errorf("%s/%s: made anew, a public object is another", w.dir, name)
				}
				continue
			}
			seen++
			object, err := k.Open(file)
			if err != nil {
				t.Errorf("%s/%s: %v", w.dir, name, err)
				continue
			}
			if string(cryptoki.ObjectName(object)) != name {
				t.Errorf("%s/%s holds %q", w.dir, name, cryptoki.ObjectName(object))
			}
			order, _ := cryptoki.OrderOf(object)
			l := cryptoki.ObjectList(object, order)
			for l.Next() {
			}
			if l.Err() != nil {
				t.Errorf("%s/%s: %v", w.dir, name, l.Err())
			}
			again := k.Seal(object, h.Order)
			if k.Format() == Old && !bytes.Equal(again, file) {
				t.Errorf("%s/%s: made anew, it is another", w.dir, name)
			}
			if len(again) != len(file) {
				t.Errorf("%s/%s: made anew, it has %d bytes, not %d", w.dir, name, len(again), len(file))
			}
			if got, err := k.Open(again); err != nil || !bytes.Equal(got, object) {
				t.Errorf("%s/%s: made anew: %v", w.dir, name, err)
			}
			if other := NewMasterKey(); other.Format() == k.Format() {
				if _, err := other.Open(file); !errors.Is(err, ErrDamaged) {
					t.Errorf("%s/%s opens under another master key: %v", w.dir, name, err)
				}
			}
		}
		if seen == 0 {
			t.Errorf("%s: no private object", w.dir)
		}
	}
}

// TestEveryByte: no byte of a private object can change unseen.
func TestEveryByte(t *testing.T) {
	for _, w := range tokens(t)[:2] {
		k := w.open(t, User)
		for name, file := range w.objects(t) {
			if !ParseObject(file, k.Format()).Private || len(file) > 600 {
				continue
			}
			for at := range file {
				b := bytes.Clone(file)
				b[at] ^= 0x10
				if _, err := k.Open(b); !errors.Is(err, ErrDamaged) {
					t.Errorf("%s/%s: byte %d changed: %v", w.dir, name, at, err)
				}
			}
			for n := range file {
				if _, err := k.Open(file[:n]); !errors.Is(err, ErrDamaged) {
					t.Errorf("%s/%s: cut to %d bytes: %v", w.dir, name, n, err)
				}
			}
			if _, err := k.Open(append(bytes.Clone(file), 0)); !errors.Is(err, ErrDamaged) {
				t.Errorf("%s/%s: a byte more: %v", w.dir, name, err)
			}
		}
	}
}

// TestTPM: private objects of a TPM token open without PIN or TPM.
func TestTPM(t *testing.T) {
	w := written{dir: filepath.Join(fixtures, "tpmtok-old")}
	k, seen := ZeroKey(Old), 0
	for name, file := range w.objects(t) {
		if !ParseObject(file, Old).Private {
			continue
		}
		seen++
		if object, err := k.Open(file); err != nil || string(cryptoki.ObjectName(object)) != name {
			t.Errorf("%s: %v", name, err)
		}
	}
	if seen == 0 {
		t.Error("no private object")
	}
}

// TestKeyWrap is RFC 3394, 4.6.
func TestKeyWrap(t *testing.T) {
	unhex := func(s string) []byte {
		b, err := hex.DecodeString(s)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	kek := unhex("000102030405060708090A0B0C0D0E0F101112131415161718191A1B1C1D1E1F")
	key := unhex("00112233445566778899AABBCCDDEEFF000102030405060708090A0B0C0D0E0F")
	want := unhex("28C9F404C4B810F4CBCCB35CFB87F8263F5786E2D80ED326CBC7F0E71A99F43BFB988B9B7A02DD21")
	if got := wrapKey(kek, key); !bytes.Equal(got, want) {
		t.Errorf("wrapped %X", got)
	}
	if got, ok := unwrapKey(kek, want); !ok || !bytes.Equal(got, key) {
		t.Errorf("unwrapped %X, %v", got, ok)
	}
	want[39] ^= 1
	if got, ok := unwrapKey(kek, want); ok || got != nil {
		t.Errorf("damaged, it opens to %X", got)
	}
}

func FuzzOpen(f *testing.F) {
	for _, w := range tokens(f) {
		for _, file := range w.objects(f) {
			f.Add(file)
		}
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		for _, k := range []*MasterKey{ZeroKey(Old), ZeroKey(New), {Old, make([]byte, keyDES)}} {
			object, err := k.Open(file)
			if err != nil {
				continue
			}
			order := ParseObject(file, k.format).Order
			if len(object) >= cryptoki.ObjectHeader && k.format == Old && !bytes.Equal(k.Seal(object, order), file) {
				t.Errorf("%x opens and is made otherwise", file)
			}
		}
	})
}

func FuzzCheck(f *testing.F) {
	for _, w := range tokens(f) {
		f.Add(w.nvtok, w.ofRole[SO.KeyFile])
	}
	f.Fuzz(func(t *testing.T, nvtok, file []byte) {
		if len(nvtok) == NVTOKNew { // spare the derivation its rounds
			for _, at := range []int{SO.login, SO.wrap} {
				copy(nvtok[at:], []byte{0, 0, 0, 0, 0, 0, 0, nvtok[at+7]})
			}
		}
		if k, err := SO.Open(nvtok, file, []byte("87654321")); err == nil {
			k.Clear()
		}
	})
}
