package main

import (
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"math/rand/v2"
	"time"
)

// authority signs the certificates. Its key depends on the seed; never use it
// for anything but these trees.
type authority struct {
	key  *rsa.PrivateKey
	name pkix.Name
	from time.Time
}

func newAuthority(seed uint64) *authority {
	draw := source(seed, 0)
	p, q := prime(draw), prime(draw)
	one := big.NewInt(1)
	phi := new(big.Int).Mul(new(big.Int).Sub(p, one), new(big.Int).Sub(q, one))
	key := &rsa.PrivateKey{Primes: []*big.Int{p, q}}
	key.N = new(big.Int).Mul(p, q)
	key.E = 65537
	key.D = new(big.Int).ModInverse(big.NewInt(int64(key.E)), phi)
	key.Precompute()
	return &authority{key, pkix.Name{Organization: []string{"tokar measures"}, CommonName: "authority"},
		time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
}

// prime is the first of 1024 bits for which 65537 will do. crypto/rand.Prime
// and rsa.GenerateKey would not be repeatable.
func prime(draw *rand.ChaCha8) *big.Int {
	b := make([]byte, 128)
	e := big.NewInt(65537)
	for {
		draw.Read(b)
		b[0] |= 0xC0
		b[len(b)-1] |= 1
		p := new(big.Int).SetBytes(b)
		less := new(big.Int).Sub(p, big.NewInt(1))
		if new(big.Int).Mod(less, e).Sign() != 0 && p.ProbablyPrime(20) {
			return p
		}
	}
}

// modulus is a number that looks like the product of two primes.
func (ca *authority) modulus(draw *rand.ChaCha8) *big.Int {
	b := make([]byte, 256)
	draw.Read(b)
	b[0] |= 0x80
	b[len(b)-1] |= 1
	return new(big.Int).SetBytes(b)
}

func spki(n *big.Int) []byte {
	b, err := x509.MarshalPKIXPublicKey(&rsa.PublicKey{N: n, E: 65537})
	if err != nil {
		panic(err) // of a key of this type it cannot fail
	}
	return b
}

func (ca *authority) certificate(subject pkix.Name, serial, modulus *big.Int) (*x509.Certificate, error) {
	leaf := &x509.Certificate{
		SerialNumber: serial,
		Subject:      subject,
		DNSNames:     []string{subject.CommonName},
		NotBefore:    ca.from,
		NotAfter:     ca.from.AddDate(3, 0, 0),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	issuer := &x509.Certificate{Subject: ca.name}
	der, err := x509.CreateCertificate(nil, leaf, issuer, &rsa.PublicKey{N: modulus, E: 65537}, ca.key)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}
