package keyslot

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"filippo.io/age"
	"filippo.io/age/armor"
)

// GenerateHybrid makes a post-quantum identity: the text of its file, which
// the caller zeroes, and its recipient. Backups of keys outlive the classical
// ones, so it is the default.
func GenerateHybrid(now time.Time) (file []byte, recipient string, err error) {
	if err := refuseFIPS(); err != nil {
		return nil, "", err
	}
	id, err := age.GenerateHybridIdentity()
	if err != nil {
		return nil, "", err
	}
	recipient = id.Recipient().String()
	return identityFile(now, recipient, id.String()), recipient, nil
}

// GenerateX25519 is GenerateHybrid for a short classical identity.
func GenerateX25519(now time.Time) (file []byte, recipient string, err error) {
	if err := refuseFIPS(); err != nil {
		return nil, "", err
	}
	id, err := age.GenerateX25519Identity()
	if err != nil {
		return nil, "", err
	}
	recipient = id.Recipient().String()
	return identityFile(now, recipient, id.String()), recipient, nil
}

// identityFile is the form that age-keygen writes.
func identityFile(now time.Time, recipient, identity string) []byte {
	return fmt.Appendf(nil, "# created: %s\n# public key: %s\n%s\n", now.Format(time.RFC3339), recipient, identity)
}

// Lock encrypts an identity file with a passphrase into an armored age file,
// as age -p does; age and ParseIdentities open it. It zeroes neither.
func Lock(identityFile, passphrase []byte) ([]byte, error) {
	return lock(identityFile, passphrase, 18) // age's own default: 256 MiB, a second
}

func lock(file, passphrase []byte, logN int) ([]byte, error) {
	if err := refuseFIPS(); err != nil {
		return nil, err
	}
	if len(passphrase) == 0 {
		return nil, errors.New("an empty passphrase")
	}
	to, err := age.NewScryptRecipient(string(passphrase))
	if err != nil {
		return nil, err
	}
	to.SetWorkFactor(logN)
	var out bytes.Buffer
	a := armor.NewWriter(&out)
	w, err := age.Encrypt(a, to)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(file); err != nil {
		return nil, err
	}
	if err := errors.Join(w.Close(), a.Close()); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}
