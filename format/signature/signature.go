// Package signature knows who made an archive: it makes and checks the
// signature in the end block, and reads the list of those whose signatures
// count.
//
// A signature is an SSHSIG blob (sshsig.go; OpenSSH's PROTOCOL.sshsig) over the
// message that format.Header.Message gives. Verify says which key made it, a
// fact without trust. Signers (signers.go, signerline.go) is an allowed_signers file, as
// ssh-keygen(1) has it, and says whether that key is somebody's. A Key (key.go,
// agent.go) signs.
//
// Which keys and algorithms count is decided here and not by the SSH library,
// which would take SHA-1 and RSA keys of any length.
package signature

import (
	"bytes"
	"crypto/rsa"
	"fmt"
	"strings"

	"golang.org/x/crypto/ssh"
	"tokar/format"
)

// namespace is what signatures of archives are made for: one made for a file,
// a commit or a letter is none of an archive.
const namespace = "tokar-archive"

// minRSA is the shortest RSA modulus, in bits, as in SP 800-131A. The SSH
// library refuses those of more than 16,384.
const minRSA = 2048

// A Signature is one that holds over its message: who made it is a fact,
// whether that counts is for Signers to say.
type Signature struct {
	KeyType     string // "ssh-ed25519"
	Fingerprint string // "SHA256:…", as ssh-keygen -l shows it
	key         []byte // in wire form
}

func (s *Signature) String() string { return s.KeyType + " " + s.Fingerprint }

func made(key ssh.PublicKey) *Signature {
	return &Signature{KeyType: key.Type(), Fingerprint: ssh.FingerprintSHA256(key), key: key.Marshal()}
}

// algorithms are the signature algorithms of each type of key.
var algorithms = map[string][]string{
	ssh.KeyAlgoED25519:    {ssh.KeyAlgoED25519},
	ssh.KeyAlgoECDSA256:   {ssh.KeyAlgoECDSA256},
	ssh.KeyAlgoECDSA384:   {ssh.KeyAlgoECDSA384},
	ssh.KeyAlgoECDSA521:   {ssh.KeyAlgoECDSA521},
	ssh.KeyAlgoRSA:        {ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256}, // never ssh-rsa, which is SHA-1
	ssh.KeyAlgoSKED25519:  {ssh.KeyAlgoSKED25519},
	ssh.KeyAlgoSKECDSA256: {ssh.KeyAlgoSKECDSA256},
}

// parseKey reads a public key in wire form: of a type that signs archives,
// long enough, and in its one encoding. The error is a *keyError.
func parseKey(wire []byte) (ssh.PublicKey, error) {
	name, _, ok := cutString(wire)
	switch {
	case !ok:
		return nil, &keyError{format.ErrMalformed, "what is no public key"}
	case strings.Contains(string(name), "-cert-v"):
		return nil, &keyError{format.ErrUnsupported, "a certificate; only keys themselves count"}
	case algorithms[string(name)] == nil:
		return nil, &keyError{format.ErrUnsupported, fmt.Sprintf("a key of type %q, which does not count", name)}
	}
	key, err := ssh.ParsePublicKey(wire)
	if err != nil || !bytes.Equal(key.Marshal(), wire) {
		return nil, &keyError{format.ErrMalformed, fmt.Sprintf("what is no public key of type %s", name)}
	}
	if n := rsaBits(key); n > 0 && n < minRSA {
		return nil, &keyError{format.ErrAuthentic, fmt.Sprintf("an RSA key of %d bits, which are too few", n)}
	}
	return key, nil
}

// A keyError says what there is in the place of a key that can sign archives.
type keyError struct {
	class error // of an archive that has such a signature
	what  string
}

func (e *keyError) Error() string { return e.what }

// rsaBits is the length of an RSA key's modulus; 0 of other keys.
func rsaBits(key ssh.PublicKey) int {
	if c, ok := key.(ssh.CryptoPublicKey); ok {
		if k, ok := c.CryptoPublicKey().(*rsa.PublicKey); ok {
			return k.N.BitLen()
		}
	}
	return 0
}

// An UnknownError says that an archive is not signed by a known signer. It
// wraps format.ErrSigner.
type UnknownError struct {
	Signature *Signature // nil: there is none
	List      string     // the name of the list
	Why       string     // why lines with the key do not count; empty: there are none
	Untimely  bool       // … at the moment asked for
}

func (e *UnknownError) Error() string {
	switch {
	case e.Signature == nil:
		return format.ErrSigner.Error() + ": it has no signature"
	case e.Why != "":
		return fmt.Sprintf("%s: it is signed with %s, and %s: %s", format.ErrSigner, e.Signature, e.List, e.Why)
	}
	return fmt.Sprintf("%s: it is signed with %s, which %s does not list", format.ErrSigner, e.Signature, e.List)
}

func (e *UnknownError) Unwrap() error { return format.ErrSigner }
