package keyslot

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"filippo.io/age"
	"filippo.io/age/agessh"
	"filippo.io/age/plugin"
	"filippo.io/age/tag"
	"golang.org/x/crypto/ssh"
	"tokar/format"
)

// ParseRecipient reads one recipient: tokar-hpke-…, age1… (X25519), age1pq1…
// (hybrid post-quantum), age1tag1… and age1tagpq1… (hardware keys), age1NAME1…
// (a plugin), or an ssh-ed25519 or ssh-rsa public key as in authorized_keys.
// Errors never repeat the text: it may be a secret in the wrong place.
func ParseRecipient(text string, ui *UI) (format.Recipient, error) {
	text = strings.TrimSpace(text)
	switch {
	case strings.ContainsAny(text, "\r\n"):
		return nil, errors.New("several lines where one recipient belongs")
	case isIdentity(text):
		return nil, errIsIdentity
	case strings.HasPrefix(text, hpkePublicPrefix):
		r, err := parseHPKERecipient(text)
		if err != nil {
			return nil, err
		}
		return r, nil
	}
	if err := refuseFIPS(); err != nil {
		return nil, err
	}
	to, err := ageRecipientOf(text, ui)
	if err != nil {
		return nil, err
	}
	return &ageRecipient{to: to, short: shortName(text)}, nil
}

// ParseRecipients reads a file of recipients, one a line; empty lines and
// lines that begin with # say nothing. A wrong line is named by its number,
// and refuses the whole file: a recipient left out could not open the archive.
func ParseRecipients(r io.Reader, name string, ui *UI) ([]format.Recipient, error) {
	b, err := readBounded(r, maxFile)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	defer clear(b) // it may be the wrong file
	var all []format.Recipient
	for n, line := range lines(b) {
		to, err := ParseRecipient(line, ui)
		if err != nil {
			return nil, fmt.Errorf("%s: line %d: %w", name, n, err)
		}
		all = append(all, to)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%s: no recipient in it", name)
	}
	return all, nil
}

// lines yields what a key file says, with line numbers.
func lines(b []byte) func(yield func(int, string) bool) {
	return func(yield func(int, string) bool) {
		n := 0
		for line := range bytes.Lines(b) {
			n++
			line = bytes.TrimSpace(line)
			if len(line) > 0 && line[0] != '#' && !yield(n, string(line)) {
				return
			}
		}
	}
}

var (
	errBadRecipient = errors.New("malformed recipient; mistyped or cut off?")
	errNotRecipient = errors.New("not a recipient: tokar-hpke-…, age1… or an ssh-ed25519 or ssh-rsa public key is")
	errIsIdentity   = errors.New("this is a secret key; " +
		"its public half is in its .pub file, or after \"# public key:\" in itself")
)

// ageRecipientOf chooses by the prefix, as the age program does.
func ageRecipientOf(text string, ui *UI) (to age.Recipient, err error) {
	switch prefix, _ := splitBech32(text); {
	case prefix == "age":
		to, err = age.ParseX25519Recipient(text)
	case prefix == "age1pq":
		to, err = age.ParseHybridRecipient(text)
	case prefix == "age1tag", prefix == "age1tagpq":
		to, err = tag.ParseRecipient(text)
	case strings.HasPrefix(prefix, "age1"):
		to, err = plugin.NewRecipient(text, ui.plugin())
	case strings.HasPrefix(text, "age1"):
		return nil, errBadRecipient
	default:
		return sshRecipient(text)
	}
	if err != nil {
		return nil, errBadRecipient // age's own would repeat the text
	}
	return to, nil
}

// IsSecretKey says whether a text begins as a secret key of tokar or age does,
// in either case. A plugin's identity is none: what it opens is in the device.
func IsSecretKey(text string) bool {
	up := strings.ToUpper(text)
	return strings.HasPrefix(up, "TOKAR-SECRET-KEY-") || strings.HasPrefix(up, "AGE-SECRET-KEY-")
}

func isIdentity(text string) bool {
	return IsSecretKey(text) || strings.HasPrefix(strings.ToUpper(text), "AGE-PLUGIN-") || strings.HasPrefix(text, "-----BEGIN")
}

// splitBech32 cuts at the last 1, which ends the readable part.
func splitBech32(text string) (prefix, data string) {
	if strings.ContainsAny(text, " \t") {
		return "", "" // an SSH key
	}
	i := strings.LastIndexByte(text, '1')
	if i < 0 {
		return "", ""
	}
	return text[:i], text[i+1:]
}

// sshRecipient reads a line of authorized_keys, options before the key
// allowed. The agessh package refuses RSA below 2,048 bits.
func sshRecipient(text string) (age.Recipient, error) {
	key, _, options, _, err := ssh.ParseAuthorizedKey([]byte(text))
	if err != nil {
		if strings.HasPrefix(text, "ssh-") {
			return nil, errBadRecipient
		}
		return nil, errNotRecipient
	}
	if slices.Contains(options, "cert-authority") {
		return nil, errors.New("a certificate authority's key is nobody's recipient")
	}
	switch key.Type() {
	case ssh.KeyAlgoED25519:
		to, err := agessh.NewEd25519Recipient(key)
		return to, err
	case ssh.KeyAlgoRSA:
		to, err := agessh.NewRSARecipient(key)
		if err != nil {
			return nil, errors.New("an ssh-rsa key below 2048 bits is too weak")
		}
		return to, nil
	}
	return nil, fmt.Errorf("SSH keys of type %s cannot be recipients; ssh-ed25519 and ssh-rsa can", key.Type())
}

// shortName is enough of a recipient to tell it from others.
func shortName(text string) string {
	if key, comment, _, _, err := ssh.ParseAuthorizedKey([]byte(text)); err == nil {
		if comment != "" {
			return fmt.Sprintf("%s %q", key.Type(), comment)
		}
		return key.Type() + " " + ssh.FingerprintSHA256(key)
	}
	prefix, data := splitBech32(text)
	return prefix + "1" + data[:min(len(data), 8)] + "…"
}
