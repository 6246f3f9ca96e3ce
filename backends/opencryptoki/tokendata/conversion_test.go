package tokendata

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"strings"
	"testing"

	"tokar/format/cryptoki"
)

// inside is the object in a file.
func inside(t testing.TB, k *MasterKey, file []byte) []byte {
	t.Helper()
	h := ParseObject(file, k.format)
	if !h.Private {
		return h.Body
	}
	object, err := k.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	return object
}

// TestUpgrade: the new PIN state opens with the PINs of the old one, holds the
// new master key, and tells what the old one told, and no more.
func TestUpgrade(t *testing.T) {
	for _, w := range tokens(t) {
		if len(w.nvtok) != NVTOKOld {
			continue
		}
		master := NewMasterKey()
		so, user := w.PIN[SO.KeyFile], w.PIN[User.KeyFile]
		s, err := Upgrade(w.nvtok, so, user, master)
		if err != nil {
			t.Fatal(err)
		}
		if len(s.NVTOK) != NVTOKNew || len(s.SO) != KeyFileNew || len(s.User) != KeyFileNew {
			t.Errorf("sizes %d, %d, %d", len(s.NVTOK), len(s.SO), len(s.User))
		}
		for _, r := range Roles {
			file := map[string][]byte{SO.KeyFile: s.SO, User.KeyFile: s.User}[r.KeyFile]
			k, err := r.Open(s.NVTOK, file, w.PIN[r.KeyFile])
			if err != nil || !k.Equal(master) {
				t.Errorf("%s, %s: %v", w.dir, r.Name, err)
			}
			for use, at := range map[string]int{"login": r.login, "wrap": r.wrap} {
				salt := s.NVTOK[at+8 : at+8+saltSize]
				want := (r.purpose + "_" + use + "_purpose" + strings.Repeat("_", 32))[:32]
				if string(salt[:32]) != want || bytes.Count(salt[32:], []byte{0}) > 16 || binary.BigEndian.Uint64(s.NVTOK[at:]) != 100_000 {
					t.Errorf("%s, %s %s: salt %q", w.dir, r.Name, use, salt[:32])
				}
			}
		}
		was, is := ParseNVTOK(w.nvtok), ParseNVTOK(s.NVTOK)
		if is.Migrated || is.Format != New || is.Label != was.Label || is.Serial != was.Serial || is.Manufacturer != was.Manufacturer ||
			is.Model != was.Model || is.UserPIN != was.UserPIN || is.Initialised != was.Initialised {
			t.Errorf("%s: %+v became %+v", w.dir, was, is)
		}
		if !bytes.Equal(s.NVTOK[AtPINHashes:AtNextName], make([]byte, AtNextName-AtPINHashes)) {
			t.Errorf("%s: it keeps the old PIN hashes", w.dir)
		}
		for at := AtFlags; at < NVTOKOld; at += 4 {
			number := at < atVersions || at >= AtTweaks
			if number && was.Order.Uint32(w.nvtok[at:]) != binary.BigEndian.Uint32(s.NVTOK[at:]) ||
				!number && at < AtPINHashes && !bytes.Equal(w.nvtok[at:at+4], s.NVTOK[at:at+4]) {
				t.Errorf("%s: byte %d: %x became %x", w.dir, at, w.nvtok[at:at+4], s.NVTOK[at:at+4])
			}
		}
		again, _ := Upgrade(w.nvtok, so, user, master)
		if bytes.Equal(again.SO, s.SO) || bytes.Equal(again.NVTOK[SO.login+40:SO.login+72], s.NVTOK[SO.login+40:SO.login+72]) {
			t.Error("salts are drawn once only")
		}
		if _, err := Upgrade(s.NVTOK, so, user, master); !errors.Is(err, ErrDamaged) {
			t.Errorf("upgraded twice: %v", err)
		}
		if _, err := Upgrade(w.nvtok, so, nil, master); err == nil {
			t.Error("upgraded without the user PIN")
		}
	}
}

// TestUpgradeWithoutUser: no user PIN is set.
func TestUpgradeWithoutUser(t *testing.T) {
	if testing.Short() {
		t.Skip("derives many keys from PINs")
	}
	w := tokens(t)[0]
	nvtok := bytes.Clone(w.nvtok)
	n := ParseNVTOK(nvtok)
	flags := n.Order.Uint32(nvtok[AtFlags:]) &^ UserPINSet
	copy(nvtok[AtFlags:], n.Order.AppendUint32(nil, flags))
	master := NewMasterKey()
	s, err := Upgrade(nvtok, w.PIN[SO.KeyFile], nil, master)
	if err != nil || s.User != nil {
		t.Fatalf("%v, MK_USER of %d bytes", err, len(s.User))
	}
	if k, err := SO.Open(s.NVTOK, s.SO, w.PIN[SO.KeyFile]); err != nil || !k.Equal(master) {
		t.Error(err)
	}
	if err := User.Check(s.NVTOK, []byte(defaultUserPIN)); !errors.Is(err, ErrNoPIN) {
		t.Error(err)
	}
}

func TestScrub(t *testing.T) {
	for _, w := range tokens(t) {
		dirty := bytes.Clone(w.nvtok)
		copy(dirty[AtPINHashes:], bytes.Repeat([]byte{7}, AtNextName-AtPINHashes))
		clean := Scrub(dirty)
		if len(dirty) == NVTOKOld {
			if !bytes.Equal(clean, dirty) {
				t.Errorf("%s: scrubbed, though its PINs are there", w.dir)
			}
			continue
		}
		if !ParseNVTOK(dirty).Migrated || !bytes.Equal(clean, w.nvtok) {
			t.Errorf("%s: scrubbed otherwise", w.dir)
		}
	}
}

// TestConversion takes every object of every token through each conversion that
// there is: its bytes are the same, or turned and back.
func TestConversion(t *testing.T) {
	for _, w := range tokens(t) {
		k := w.open(t, User)
		to := NewMasterKey()
		for name, file := range w.objects(t) {
			object := inside(t, k, file)
			order, _ := cryptoki.OrderOf(object)
			upgrade := Conversion{From: k, To: to}
			made, err := upgrade.Object(name, file)
			if err != nil {
				t.Errorf("%s/%s: %v", w.dir, name, err)
				continue
			}
			if got := inside(t, to, made); !bytes.Equal(got, object) {
				t.Errorf("%s/%s: another object", w.dir, name)
			}
			h := ParseObject(made, New)
			want := len(object) + NewPublicHeader
			if h.Private {
				want = len(object) + NewPrivateHeader + NewTag
				if string(made[AtIV:AtIV+8]) != name || binary.BigEndian.Uint32(made[AtIV+8:]) != 1 {
					t.Errorf("%s/%s: IV %x", w.dir, name, made[AtIV:AtIV+12])
				}
			}
			if len(made) != want || binary.BigEndian.Uint32(made) != Version312 {
				t.Errorf("%s/%s: %d bytes, not %d", w.dir, name, len(made), want)
			}

			there := Conversion{From: k, To: k, Turn: true, Into: cryptoki.BigEndian - order}
			back := Conversion{From: k, To: k, Turn: true, Into: order}
			turned, err := there.Object(name, file)
			if err != nil {
				t.Errorf("%s/%s: %v", w.dir, name, err)
				continue
			}
			if o, ok := cryptoki.OrderOf(inside(t, k, turned)); !ok || o == order {
				t.Errorf("%s/%s was not turned", w.dir, name)
			}
			again, err := back.Object(name, turned)
			if err != nil || !bytes.Equal(inside(t, k, again), object) || len(again) != len(file) {
				t.Errorf("%s/%s: turned there and back, another object: %v", w.dir, name, err)
			}
			if k.Format() == Old && !bytes.Equal(again, file) {
				t.Errorf("%s/%s: turned there and back, another file", w.dir, name)
			}
			if _, err := upgrade.Object("another1", file); !errors.Is(err, ErrDamaged) {
				t.Errorf("%s/%s under another name: %v", w.dir, name, err)
			}
		}
		nvtok := RecodeNVTOK(RecodeNVTOK(w.nvtok, cryptoki.LittleEndian), cryptoki.BigEndian)
		n := ParseNVTOK(w.nvtok)
		if !bytes.Equal(RecodeNVTOK(nvtok, n.Order), w.nvtok) || n.Format == Old && ParseNVTOK(nvtok).Order != cryptoki.BigEndian {
			t.Errorf("%s: NVTOK.DAT there and back is another", w.dir)
		}
	}
}

// TestConversionRefuses: what is damaged is not made into a sound object.
func TestConversionRefuses(t *testing.T) {
	for _, w := range tokens(t)[:2] {
		k := w.open(t, User)
		c := Conversion{From: k, To: NewMasterKey()}
		for name, file := range w.objects(t) {
			for _, n := range []int{0, 1, 4, 5, 15, 16, len(file) - 1} {
				if _, err := c.Object(name, file[:n]); !errors.Is(err, ErrDamaged) {
					t.Errorf("%s/%s cut to %d bytes: %v", w.dir, name, n, err)
				}
			}
			if _, err := c.Object(name, append(bytes.Clone(file), 0)); !errors.Is(err, ErrDamaged) {
				t.Errorf("%s/%s with a byte more: %v", w.dir, name, err)
			}
			flag := bytes.Clone(file)
			flag[AtPrivate] ^= 1
			if _, err := c.Object(name, flag); !errors.Is(err, ErrDamaged) {
				t.Errorf("%s/%s with the other flag: %v", w.dir, name, err)
			}
			other := Conversion{From: NewMasterKey(), To: c.To}
			if k.Format() == Old {
				if _, err := other.Object(name, file); !errors.Is(err, ErrDamaged) {
					t.Errorf("%s/%s of the old format in a new token: %v", w.dir, name, err)
				}
			}
		}
	}
}

// TestRecode is an object by hand with every shape of value.
func TestRecode(t *testing.T) {
	make1 := func(o cryptoki.Order) []byte {
		ulong := func(v uint32) []byte {
			if o == cryptoki.BigEndian {
				return binary.BigEndian.AppendUint64(nil, uint64(v))
			}
			return binary.LittleEndian.AppendUint64(nil, uint64(v))
		}
		inner := cryptoki.AppendAttribute(nil, o, cryptoki.CKA_CLASS, o.AppendUint32(nil, 4))
		inner = cryptoki.AppendAttribute(inner, o, 0x166, ulong(0x1080))
		deep := cryptoki.AppendAttribute(nil, o, cryptoki.CKA_UNWRAP_TEMPLATE, inner)
		b := cryptoki.AppendObjectHeader(nil, o, 9, [8]byte([]byte("OBabcdef")))
		b = cryptoki.AppendAttribute(b, o, cryptoki.CKA_KEY_TYPE, o.AppendUint32(nil, 0x1F))
		b = cryptoki.AppendAttribute(b, o, 0x110, []byte("20260102"))           // CKA_START_DATE: 8 bytes and no number
		b = cryptoki.AppendAttribute(b, o, cryptoki.CKA_ID, []byte{1, 2, 3, 4}) // 4 bytes and no number
		b = cryptoki.AppendAttribute(b, o, 0x40000600, append(ulong(1), ulong(2)...))
		b = cryptoki.AppendAttribute(b, o, cryptoki.CKA_WRAP_TEMPLATE, deep)
		b = cryptoki.AppendAttribute(b, o, 0x800D0101, ulong(7))
		b = cryptoki.AppendAttribute(b, o, cryptoki.CKA_DERIVE_TEMPLATE, nil)
		b = cryptoki.AppendAttribute(b, o, 0x8001000A, make([]byte, 8)) // zeros are the same in any order
		return cryptoki.AppendAttribute(b, o, 0x80000001, []byte{1, 2, 3, 4, 5})
	}
	little, big := make1(cryptoki.LittleEndian), make1(cryptoki.BigEndian)
	for _, c := range []struct {
		from, want []byte
		to         cryptoki.Order
	}{{little, big, cryptoki.BigEndian}, {big, little, cryptoki.LittleEndian}, {little, little, cryptoki.LittleEndian}} {
		if got, err := Recode(c.from, cryptoki.LittleEndian, c.to); err != nil || !bytes.Equal(got, c.want) {
			t.Errorf("%v\n%x\n%x", err, got, c.want)
		}
	}
	for _, typ := range []uint32{0x80FFFFFF, 0x8001000E, 0x0000FFFF} {
		for _, n := range []int{4, 8} {
			b := cryptoki.AppendObjectHeader(nil, cryptoki.BigEndian, 1, [8]byte{})
			b = cryptoki.AppendAttribute(b, cryptoki.BigEndian, typ, []byte("12345678")[:n])
			if _, err := Recode(b, cryptoki.BigEndian, cryptoki.LittleEndian); err == nil || !strings.Contains(err.Error(), cryptoki.AttributeName(typ)) {
				t.Errorf("attribute %x of %d bytes: %v", typ, n, err)
			}
		}
	}
}

// FuzzRecode: what is turned once is turned back to the same bytes.
func FuzzRecode(f *testing.F) {
	for _, w := range tokens(f) {
		k := w.open(f, User)
		for _, file := range w.objects(f) {
			f.Add(inside(f, k, file))
		}
	}
	f.Fuzz(func(t *testing.T, object []byte) {
		order, _ := cryptoki.OrderOf(object)
		other := cryptoki.BigEndian - order
		turned, err := Recode(object, order, other)
		if err != nil {
			return
		}
		back, err := Recode(turned, other, order)
		if err != nil || !bytes.Equal(back, object) {
			t.Errorf("%x turned to %x and back to %x: %v", object, turned, back, err)
		}
	})
}

// TestUpgradeNextName keeps the name of the next object: releases 3.12 to 3.17 count
// on from it in the new format too (obj_mgr.c). From zeros they would come to
// 10000000, which is there, and write over it.
func TestUpgradeNextName(t *testing.T) {
	old, err := os.ReadFile("../../../testdata/opencryptoki/swtok-old-small/NVTOK.DAT")
	if err != nil {
		t.Fatal(err)
	}
	s, err := Upgrade(old, []byte("76543210"), []byte("01234567"), NewMasterKey())
	if err != nil {
		t.Fatal(err)
	}
	for _, made := range [][]byte{s.NVTOK, Scrub(s.NVTOK)} {
		if got, want := made[AtNextName:AtTweaks], old[AtNextName:AtTweaks]; !bytes.Equal(got, want) || want[0] == 0 {
			t.Errorf("next name %q, was %q", got, want)
		}
		if len(bytes.Trim(made[AtPINHashes:AtNextName], "\x00")) > 0 {
			t.Error("hashes of the PINs are left")
		}
	}
}
