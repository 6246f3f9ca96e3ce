package main_test

import (
	"bytes"
	"crypto/cipher"
	"crypto/des"
	"crypto/md5"
	"crypto/sha1"
	"encoding/binary"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tokar/backends"
	"tokar/backends/opencryptoki/tokendata"
)

// TestMigrateBad: what cannot be converted ends the run before anything is
// changed, and is named.
func TestMigrateBad(t *testing.T) {
	private, public := "20000000", "00000000"
	base := openedToken(t, "testdata/opencryptoki/swtok-old-small")
	for name := range base.objects(t) {
		file := bytesOf(t, base.dir, "TOK_OBJ", name)
		if file[tokendata.AtPrivate] == 1 {
			private = name
		} else {
			public = name
		}
	}
	change := func(name string, edit func(b []byte) []byte) func(t *testing.T, dir string) {
		return func(t *testing.T, dir string) {
			b := edit(bytesOf(t, dir, name))
			if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	flip := func(at int) func(b []byte) []byte {
		return func(b []byte) []byte { b[(at+len(b))%len(b)] ^= 1; return b }
	}
	to := func(n int) func(b []byte) []byte { return func(b []byte) []byte { return b[:min(n, len(b))] } }
	obj := "TOK_OBJ/"
	for what, c := range map[string]struct {
		do   func(t *testing.T, dir string)
		says string
	}{
		"private ciphertext":  {change(obj+private, flip(40)), private + " cannot be converted"},
		"private cut":         {change(obj+private, to(60)), private + " cannot be converted"},
		"private empty":       {change(obj+private, to(0)), private + " cannot be converted"},
		"private flag":        {change(obj+private, flip(4)), private + " cannot be converted"},
		"public flag":         {change(obj+public, flip(4)), public + " cannot be converted"},
		"public length":       {change(obj+public, flip(0)), public + " cannot be converted"},
		"public cut":          {change(obj+public, to(30)), public + " cannot be converted"},
		"public empty":        {change(obj+public, to(0)), public + " cannot be converted"},
		"public count":        {change(obj+public, flip(9)), public + " cannot be converted"},
		"another name inside": {change(obj+public, flip(5+8)), public + " cannot be converted: the name inside it is"},
		"an object of the new format": {func(t *testing.T, dir string) {
			new := tokendata.Public(tokendata.New, base.objects(t)[public], 0)
			if err := os.WriteFile(filepath.Join(dir, obj+public), new, 0o600); err != nil {
				t.Fatal(err)
			}
		}, public + " cannot be converted: it is in the new format, in a token of the old one"},
		"a private object under another key": {func(t *testing.T, dir string) {
			other := tokendata.ZeroKey(tokendata.Old)
			if err := os.WriteFile(filepath.Join(dir, obj+private), other.Seal(base.objects(t)[private], 0), 0o600); err != nil {
				t.Fatal(err)
			}
		}, private + " cannot be converted"},
		"a link among the objects": {func(t *testing.T, dir string) {
			if err := errors.Join(os.Rename(filepath.Join(dir, obj+public), dir+"/moved"), os.Symlink(dir+"/moved", filepath.Join(dir, obj+public))); err != nil {
				t.Fatal(err)
			}
		}, public + " cannot be converted: it cannot be taken along"},
		"a link beside": {func(t *testing.T, dir string) {
			if err := os.Symlink("/etc/passwd", filepath.Join(dir, "notes")); err != nil {
				t.Fatal(err)
			}
		}, "notes cannot be converted: it cannot be taken along"},
		"NVTOK.DAT empty": {change("NVTOK.DAT", to(0)), "NVTOK.DAT has 0 bytes"},
		"NVTOK.DAT cut":   {change("NVTOK.DAT", to(231)), "NVTOK.DAT has 231 bytes"},
		"MK_SO empty":     {change("MK_SO", to(0)), "the SO PIN is right, but MK_SO is damaged: it has 0 bytes"},
		"MK_USER cut":     {change("MK_USER", to(40)), "the user PIN is right, but MK_USER is damaged"},
		"MK_USER damaged": {change("MK_USER", flip(3)), "the user PIN is right, but MK_USER is damaged: it does not open"},
		"MK_SO gone":      {func(t *testing.T, dir string) { os.Remove(dir + "/MK_SO") }, "there is no MK_SO"},
		"MK_USER of another token": {func(t *testing.T, dir string) {
			other := bytesOf(t, "testdata/pins/swtok-old/MK_USER")
			if err := os.WriteFile(dir+"/MK_USER", other, 0o600); err != nil {
				t.Fatal(err)
			}
		}, "MK_SO and MK_USER hold different master keys"},
		"the user PIN changed, half": {change("NVTOK.DAT", flip(160)), "the user PIN is not the token's: wrong PIN"},
		"kept by an earlier run": {func(t *testing.T, dir string) {
			if err := os.Mkdir(dir+"_BAK", 0o700); err != nil {
				t.Fatal(err)
			}
		}, "swtok_BAK: what an earlier migration kept is there"},
		"left by pkcstok_migrate": {func(t *testing.T, dir string) {
			if err := os.CopyFS(dir+"_PKCSTOK_MIGRATE_TMP", os.DirFS(dir)); err != nil {
				t.Fatal(err)
			}
		}, "swtok_PKCSTOK_MIGRATE_TMP: it holds"},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			dir := placed(t, base.dir)
			c.do(t, dir)
			before := tree(t, filepath.Dir(dir))
			err := recoded(t, dir, backends.Recoding{Newest: true}, 0)
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v, want %q", err, c.says)
			}
			if after := tree(t, filepath.Dir(dir)); stripped(after) != stripped(before) {
				t.Errorf("it changed:\n%s", difference(stripped(after), stripped(before)))
			}
		})
	}
}

// TestMigrateOdd: what is odd and no damage is migrated.
func TestMigrateOdd(t *testing.T) {
	const small = "testdata/opencryptoki/swtok-old-small"
	index := func(edit func(s string) string) func(t *testing.T, dir string) {
		return func(t *testing.T, dir string) {
			path := filepath.Join(dir, "TOK_OBJ/OBJ.IDX")
			if err := os.WriteFile(path, []byte(edit(string(bytesOf(t, path)))), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	empty := func(t *testing.T, dir string) {
		if err := errors.Join(os.RemoveAll(filepath.Join(dir, "TOK_OBJ")), os.Mkdir(filepath.Join(dir, "TOK_OBJ"), 0o700)); err != nil {
			t.Fatal(err)
		}
	}
	for what, c := range map[string]struct {
		do      func(t *testing.T, dir string)
		objects int
	}{
		"no object and no OBJ.IDX": {empty, 0},
		"no object": {func(t *testing.T, dir string) {
			empty(t, dir)
			os.WriteFile(filepath.Join(dir, "TOK_OBJ/OBJ.IDX"), nil, 0o600)
		}, 0},
		"no TOK_OBJ":             {func(t *testing.T, dir string) { os.RemoveAll(filepath.Join(dir, "TOK_OBJ")) }, 0},
		"CR LF":                  {index(func(s string) string { return strings.ReplaceAll(s, "\n", "\r\n") }), 17},
		"no last LF":             {index(func(s string) string { return strings.TrimSuffix(s, "\n") }), 17},
		"a blank line":           {index(func(s string) string { return "\n" + s }), 17},
		"OBJ.IDX cut":            {index(func(s string) string { return s[:13] }), 17},
		"OBJ.IDX empty":          {index(func(string) string { return "" }), 17},
		"one is listed and gone": {func(t *testing.T, dir string) { os.Remove(filepath.Join(dir, "TOK_OBJ/00000000")) }, 16},
		"foreign files": {func(t *testing.T, dir string) {
			for _, name := range []string{"MK_SO.TMP", "key.pem", "TOK_OBJ/IDX.TMP", "notes"} {
				os.WriteFile(filepath.Join(dir, name), []byte(name), 0o640)
			}
		}, 17},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			dir := placed(t, small)
			c.do(t, dir)
			was := openedToken(t, dir).objects(t)
			foreign, _ := filepath.Glob(filepath.Join(dir, "*.TMP"))
			if err := recoded(t, dir, backends.Recoding{Newest: true}, 0); err != nil {
				t.Fatal(err)
			}
			if is := openedToken(t, dir).objects(t); len(is) != c.objects || !maps.EqualFunc(was, is, bytes.Equal) {
				t.Errorf("%d objects of %d", len(is), len(was))
			}
			if there, before := exists(dir+"/TOK_OBJ/OBJ.IDX"), exists(dir+"_BAK/TOK_OBJ/OBJ.IDX"); there != before {
				t.Errorf("OBJ.IDX is there: %v, before: %v", there, before)
			} else if there && !bytes.Equal(bytesOf(t, dir, "TOK_OBJ/OBJ.IDX"), bytesOf(t, dir+"_BAK", "TOK_OBJ/OBJ.IDX")) {
				t.Error("another OBJ.IDX")
			}
			for _, path := range foreign {
				if !exists(path) {
					t.Errorf("%s is gone", path)
				}
			}
		})
	}
	t.Run("unlisted and no object", func(t *testing.T) {
		dir := placed(t, small)
		if err := os.WriteFile(filepath.Join(dir, "TOK_OBJ/OBabcdef"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := recoded(t, dir, backends.Recoding{Newest: true}, 0); err != nil {
			t.Fatal(err)
		}
		if b := bytesOf(t, dir, "TOK_OBJ/OBabcdef"); len(b) != 0 {
			t.Error("it is another")
		}
	})
	t.Run("no user PIN", func(t *testing.T) {
		dir := placed(t, small)
		empty(t, dir)
		nvtok := bytesOf(t, dir, "NVTOK.DAT")
		nvtok[tokendata.AtFlags] &^= tokendata.UserPINSet
		if err := os.WriteFile(dir+"/NVTOK.DAT", nvtok, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := recoded(t, dir, backends.Recoding{Newest: true}, 0); err != nil {
			t.Fatal(err)
		}
		if exists(dir + "/MK_USER") {
			t.Error("MK_USER of a PIN that is not set stays")
		}
		if _, err := tokendata.SO.Open(bytesOf(t, dir, "NVTOK.DAT"), bytesOf(t, dir, "MK_SO"), []byte(soPIN)); err != nil {
			t.Error(err)
		}
	})
	t.Run("an old CCA master key", func(t *testing.T) {
		dir := placed(t, small)
		for name, pin := range map[string]string{"MK_SO": soPIN, "MK_USER": userPIN} {
			if err := os.WriteFile(filepath.Join(dir, name), oldCCAKeyFile(t, bytesOf(t, dir, name), pin), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if err := recoded(t, dir, backends.Recoding{Newest: true}, 0); err != nil {
			t.Fatal(err)
		}
		if n := len(bytesOf(t, dir, "MK_SO")); n != tokendata.KeyFileNew {
			t.Errorf("MK_SO has %d bytes", n)
		}
	})
	t.Run("TPM", func(t *testing.T) {
		dir := placed(t, "testdata/opencryptoki/tpmtok-old")
		if err := recoded(t, dir, backends.Recoding{Newest: true}, 0); err == nil || !strings.Contains(err.Error(), "a token of kind TPM") {
			t.Error(err)
		}
	})
	t.Run("of another slot", func(t *testing.T) {
		dir := placed(t, small)
		if err := recoded(t, dir, backends.Recoding{Newest: true, Variant: "ICA"}, 0); err == nil || !strings.Contains(err.Error(), "this is not the slot's token") {
			t.Error(err)
		}
	})
}

// oldCCAKeyFile makes of an MK file one as old CCA tokens have it: a master key of
// 64 bytes, of which 3DES takes the first 24.
func oldCCAKeyFile(t *testing.T, file []byte, pin string) []byte {
	t.Helper()
	sum := md5.Sum([]byte(pin))
	block, err := des.NewTripleDESCipher(append(sum[:], sum[:8]...))
	if err != nil {
		t.Fatal(err)
	}
	plain := make([]byte, len(file))
	cipher.NewCBCDecrypter(block, []byte("12345678")).CryptBlocks(plain, file)
	long := append(plain[:24:24], bytes.Repeat([]byte("more"), 10)...)
	hash := sha1.Sum(long)
	long = append(append(long, hash[:]...), 4, 4, 4, 4)
	cipher.NewCBCEncrypter(block, []byte("12345678")).CryptBlocks(long, long)
	return long
}

// TestMigrateCounter: a new private object begins with its name and the counter
// 1, under a key of its own.
func TestMigrateCounter(t *testing.T) {
	dir := placed(t, "testdata/opencryptoki/swtok-old-small")
	if err := recoded(t, dir, backends.Recoding{Newest: true}, 0); err != nil {
		t.Fatal(err)
	}
	keys := map[string]bool{}
	found, _ := filepath.Glob(dir + "/TOK_OBJ/????????")
	for _, path := range found {
		b := bytesOf(t, path)
		if b[tokendata.AtPrivate] == 0 {
			continue
		}
		if string(b[tokendata.AtIV:tokendata.AtIV+8]) != filepath.Base(path) || binary.BigEndian.Uint32(b[tokendata.AtIV+8:]) != 1 {
			t.Errorf("%s: IV %x", path, b[tokendata.AtIV:tokendata.AtIV+12])
		}
		keys[string(tokendata.WrappedKey(b))] = true
	}
	if len(keys) < 5 {
		t.Errorf("%d object keys", len(keys))
	}
}
