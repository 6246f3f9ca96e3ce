package commands

import (
	"strings"
	"testing"
)

// Of each kind of file at least one real beginning is told for what it is.
func TestLooksLike(t *testing.T) {
	told := map[string]bool{}
	for head, want := range map[string]string{
		"\x1f\x8b\x08\x00":                       "gunzip opens it",
		"\x28\xb5\x2f\xfd\x04":                   "zstd -d opens it",
		"\xfd7zXZ\x00\x00\x04":                   "xz -d opens it",
		"BZh91AY&SY":                             "bunzip2 opens it",
		"LZIP\x01":                               "lzip -d opens it",
		"\x04\x22\x4d\x18\x64":                   "lz4 -d opens it",
		"7z\xbc\xaf\x27\x1c\x00\x04":             "7z x opens it",
		"PK\x03\x04\x14":                         "zip; unzip opens it",
		"PK\x05\x06\x00":                         "zip, an empty one",
		strings.Repeat("a", 257) + "ustar\x0000": "tar opens it",
		"age-encryption.org/v1\n-> X":            "age -d opens it",
		"-----BEGIN AGE ENCRYPTED FILE-":         "age -d opens it",
		"# created: 2026-11-01T":                 "an identity; it opens archives with -i",
		"AGE-SECRET-KEY-PQ-1":                    "an age identity; it opens archives with -i",
		"TOKAR-SECRET-KEY-HPKE-P256-AAAA":        "an identity; it opens archives with -i",
		"-----BEGIN TOKAR LOCKED KEY-----":       "a locked identity; it opens archives with -i",
		"tokar-hpke-p256-aaaa":                   "recipients; create takes them with -R",
		"AGE-PLUGIN-YUBIKEY-1":                   "plugin's identity",
		"age1pq1":                                "create takes them with -R",
		"-----BEGIN OPENSSH PRIVATE KEY-----":    "an SSH private key; it opens archives with -i",
		"ssh-ed25519 AAAA":                       "an SSH public key",
		"ssh-rsa AAAA":                           "an SSH public key",
		"-----BEGIN PGP MESSAGE-----":            "gpg opens it",
		"-----BEGIN CERTIFICATE-----":            "openssl opens it",
		"SQLite format 3\x00\x10":                "sqlite3 opens it",
	} {
		got := looksLike([]byte(head))
		if !strings.Contains(got, want) {
			t.Errorf("%.20q looks like %q, want %s", head, got, want)
		}
		told[got] = true
	}
	for _, k := range looks {
		if !told[k.what] {
			t.Errorf("nothing looks like %s", k.what)
		}
	}
	for _, head := range []string{"", "some words", "toka", "\x00", "\x84"} {
		if got := looksLike([]byte(head)); got != "" {
			t.Errorf("%q looks like %s", head, got)
		}
	}
}

// RFC 9580, 5: of what gpg writes, a message for keys begins with packet 1, one
// for a passphrase with packet 3; in the old way with two bits of length.
func TestOpenPGP(t *testing.T) {
	begins := "\x84\x85\x86\x87\x8c\x8d\x8e\x8f\xc1\xc3"
	for c := range 256 {
		if got := openPGP(byte(c)); got != strings.Contains(begins, string([]byte{byte(c)})) {
			t.Errorf("%#x: %v", c, got)
		}
	}
}
