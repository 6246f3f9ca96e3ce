package main

import (
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/big"
	"math/rand/v2"
	"os"
	"path/filepath"
)

// generator makes one token; what it draws depends on seed and number only.
type generator struct {
	*template
	ca     *authority
	number int
	draw   *rand.ChaCha8
	rand   *rand.Rand
}

func newGenerator(t *template, ca *authority, seed uint64, number int) *generator {
	draw := source(seed, uint64(number)+1)
	return &generator{t, ca, number, draw, rand.New(draw)}
}

// source is the stream of random bytes number n of a seed.
func source(seed, n uint64) *rand.ChaCha8 {
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], seed)
	binary.LittleEndian.PutUint64(key[8:], n)
	return rand.NewChaCha8(key)
}

func (g *generator) random(n int) []byte {
	b := make([]byte, n)
	g.draw.Read(b)
	return b
}

// token writes a whole token directory.
func (g *generator) token(dir string, objects int) error {
	if err := os.MkdirAll(filepath.Join(dir, "TOK_OBJ"), 0o770); err != nil {
		return err
	}
	var index []byte
	names := map[string]bool{}
	name := ""
	for i := range objects {
		name = g.name(i, names)
		body, err := g.object(i, name)
		if err != nil {
			return err
		}
		if err := write(dir, "TOK_OBJ/"+name, body); err != nil {
			return err
		}
		index = append(index, name+"\n"...)
	}
	nvtok := append([]byte(nil), g.nvtok...)
	copy(nvtok[:32], fmt.Sprintf("%-32s", fmt.Sprintf("measured token %d", g.number)))
	if !g.since312 {
		copy(nvtok[208:216], oldName(objects)) // the next name
	}
	for file, b := range map[string][]byte{
		"NVTOK.DAT": nvtok, "MK_SO": g.mkSO, "MK_USER": g.mkUser, "TOK_OBJ/OBJ.IDX": index,
	} {
		if err := write(dir, file, b); err != nil {
			return err
		}
	}
	return nil
}

func write(dir, name string, b []byte) error {
	return os.WriteFile(filepath.Join(dir, name), b, 0o660)
}

// object makes number i: of every 20 objects 12 private, 5 keys, 3 certificates.
func (g *generator) object(i int, name string) ([]byte, error) {
	switch i * 7 % 20 {
	case 1, 4, 8, 12, 16:
		list := g.key(i)
		return g.public(name, list), nil
	case 2, 10, 18:
		list, err := g.cert(i)
		return g.public(name, list), err
	}
	return g.private(name), nil
}

const digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"

// oldName counts as releases up to 3.17 do: the first character goes fastest.
func oldName(i int) string {
	name := []byte("00000000")
	for p := 0; i > 0; p++ {
		name[p] = digits[i%len(digits)]
		i /= len(digits)
	}
	return string(name)
}

// name is a fresh one: counted in the old format, OB and six random
// characters in the new.
func (g *generator) name(i int, taken map[string]bool) string {
	if !g.since312 {
		return oldName(i)
	}
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	for {
		name := []byte("OB------")
		for p := 2; p < len(name); p++ {
			name[p] = letters[g.rand.IntN(len(letters))]
		}
		if !taken[string(name)] {
			taken[string(name)] = true
			return string(name)
		}
	}
}

// public puts the file header of a public object before its attributes.
func (g *generator) public(name string, list []attribute) []byte {
	object := appendObject(nil, name, list)
	var b []byte
	if g.since312 {
		b = binary.BigEndian.AppendUint32(b, 0x0003000C)
		b = append(b, make([]byte, 8)...)
		b = binary.BigEndian.AppendUint32(b, uint32(len(object)))
	} else {
		b = binary.LittleEndian.AppendUint32(b, uint32(5+len(object)))
		b = append(b, 0)
	}
	return append(b, object...)
}

// private is an object that nobody can open: true headers and lengths, random
// bytes where ciphertext is. Two of three have the size of a private RSA key,
// the rest that of a secret key.
func (g *generator) private(name string) []byte {
	rsa, secret := 1530, 350 // length of the plain object, with labels of varying length
	if g.since312 {
		rsa, secret = 2070, 560
	}
	n := secret
	if g.rand.IntN(3) < 2 {
		n = rsa
	}
	n += g.rand.IntN(40)

	var b []byte
	if g.since312 {
		b = binary.BigEndian.AppendUint32(b, 0x0003000C)
		b = append(b, 1, 0, 0, 0)
		b = append(b, g.random(40)...)          // object key, wrapped
		b = append(b, name...)                  // IV: the name
		b = binary.BigEndian.AppendUint32(b, 1) // and a counter
		b = binary.BigEndian.AppendUint32(b, uint32(n))
		return append(b, g.random(n+16)...) // and the tag
	}
	body := (4 + n + 20 + 8) / 8 * 8 // length, object, SHA-1, 1 to 8 of padding
	b = binary.LittleEndian.AppendUint32(b, uint32(5+body))
	b = append(b, 1)
	return append(b, g.random(body)...)
}

// key is a public RSA key of its own.
func (g *generator) key(i int) []attribute {
	n := g.ca.modulus(g.draw)
	return g.fill(g.publicKey, map[uint32][]byte{
		ckaLabel:   fmt.Appendf(nil, "server key %d-%d", g.number, i),
		ckaID:      g.random(8),
		ckaModulus: n.FillBytes(make([]byte, 256)),
		ckaSPKI:    spki(n),
	})
}

// cert is a certificate of its own, signed.
func (g *generator) cert(i int) ([]attribute, error) {
	serial := new(big.Int).SetBytes(g.random(15))
	subject := pkix.Name{
		Organization: []string{"tokar measures"},
		CommonName:   fmt.Sprintf("host-%d-%d.example.org", g.number, i),
	}
	c, err := g.ca.certificate(subject, serial, g.ca.modulus(g.draw))
	if err != nil {
		return nil, err
	}
	number, err := asn1.Marshal(serial)
	if err != nil {
		return nil, err
	}
	return g.fill(g.template.certificate, map[uint32][]byte{
		ckaLabel:   fmt.Appendf(nil, "certificate %d-%d", g.number, i),
		ckaID:      g.random(8),
		ckaSubject: c.RawSubject,
		ckaIssuer:  c.RawIssuer,
		ckaSerial:  number,
		ckaValue:   c.Raw,
	}), nil
}

// fill is the template with other values in those attributes that it has;
// one that is empty there stays empty.
func (g *generator) fill(t []attribute, values map[uint32][]byte) []attribute {
	list := make([]attribute, len(t))
	for i, a := range t {
		list[i] = a
		if v, ok := values[a.kind]; ok && len(a.value) > 0 {
			list[i].value = v
		}
		if a.kind == ckaUniqueID {
			list[i].value = []byte(hex.EncodeToString(g.random(32)))
		}
	}
	return list
}
