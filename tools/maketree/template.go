package main

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// The attributes that are looked at or replaced; numbers of PKCS #11.
const (
	ckaClass    = 0x000
	ckaLabel    = 0x003
	ckaUniqueID = 0x004
	ckaValue    = 0x011
	ckaIssuer   = 0x081
	ckaSerial   = 0x082
	ckaKeyType  = 0x100
	ckaSubject  = 0x101
	ckaID       = 0x102
	ckaModulus  = 0x120
	ckaSPKI     = 0x129

	ckoCertificate = 1
	ckoPublicKey   = 2
	ckkRSA         = 0
)

// attribute is one attribute of an object, in its place.
type attribute struct {
	kind  uint32
	value []byte
}

// template is what of a real token the made ones repeat.
type template struct {
	since312    bool // format of 3.12
	nvtok       []byte
	mkSO        []byte
	mkUser      []byte
	publicKey   []attribute
	certificate []attribute
}

func readTemplate(dir string, since312 bool) (*template, error) {
	t := &template{since312: since312}
	for name, to := range map[string]*[]byte{"NVTOK.DAT": &t.nvtok, "MK_SO": &t.mkSO, "MK_USER": &t.mkUser} {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return nil, err
		}
		*to = b
	}
	index, err := os.ReadFile(filepath.Join(dir, "TOK_OBJ", "OBJ.IDX"))
	if err != nil {
		return nil, err
	}
	for _, name := range strings.Fields(string(index)) {
		b, err := os.ReadFile(filepath.Join(dir, "TOK_OBJ", name))
		if err != nil {
			return nil, err
		}
		if b[4] != 0 {
			continue // private
		}
		list, err := parseObject(b[headSize(since312):])
		if err != nil {
			return nil, fmt.Errorf("%s/%s: %w", dir, name, err)
		}
		class, keyType := number(list, ckaClass), number(list, ckaKeyType)
		switch {
		case class == ckoCertificate:
			t.certificate = list
		case class == ckoPublicKey && keyType == ckkRSA:
			t.publicKey = list
		}
	}
	if t.certificate == nil || t.publicKey == nil {
		return nil, fmt.Errorf("%s: no public RSA key or no certificate to take as template", dir)
	}
	return t, nil
}

// headSize is the size of a public object's file header.
func headSize(since312 bool) int {
	if since312 {
		return 16
	}
	return 5
}

// parseObject takes an object's bytes apart; they must be used up exactly.
func parseObject(b []byte) ([]attribute, error) {
	const head = 16 // class word, count, name
	if len(b) < head {
		return nil, fmt.Errorf("object of %d bytes", len(b))
	}
	count := binary.LittleEndian.Uint32(b[4:])
	b = b[head:]
	var list []attribute
	for range count {
		if len(b) < 12 || uint64(binary.LittleEndian.Uint32(b[8:])) > uint64(len(b)-12) {
			return nil, fmt.Errorf("attribute %d runs over the end", len(list))
		}
		size := binary.LittleEndian.Uint32(b[8:])
		list = append(list, attribute{binary.LittleEndian.Uint32(b), b[12 : 12+size]})
		b = b[12+size:]
	}
	if len(b) > 0 {
		return nil, fmt.Errorf("%d bytes after the last attribute", len(b))
	}
	return list, nil
}

// appendObject is the other way.
func appendObject(b []byte, name string, list []attribute) []byte {
	b = binary.LittleEndian.AppendUint32(b, 0)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(list)))
	b = append(b, name...)
	for _, a := range list {
		b = binary.LittleEndian.AppendUint32(b, a.kind)
		b = binary.LittleEndian.AppendUint32(b, 0)
		b = binary.LittleEndian.AppendUint32(b, uint32(len(a.value)))
		b = append(b, a.value...)
	}
	return b
}

// number is the value of a 4-byte attribute; all ones when it is not there.
func number(list []attribute, kind uint32) uint32 {
	for _, a := range list {
		if a.kind == kind && len(a.value) == 4 {
			return binary.LittleEndian.Uint32(a.value)
		}
	}
	return ^uint32(0)
}
