package cryptoki

import (
	"cmp"
	"fmt"
	"slices"
)

// entry is one code with its name in the standard and its name in listings.
type entry struct {
	code        uint32
	name, short string
}

// ClassName is the standard's name of an object class, such as
// "CKO_PRIVATE_KEY"; of a code without a name, its hexadecimal number.
func ClassName(code uint32) string { return find(classes[:], code).name }

// ShortClass is a class as listings show it, such as "private key".
func ShortClass(code uint32) string { return find(classes[:], code).short }

// KeyTypeName is the standard's name of a key type, such as "CKK_RSA".
func KeyTypeName(code uint32) string { return find(keyTypes[:], code).name }

// ShortKeyType is a key type as listings show it, such as "rsa".
func ShortKeyType(code uint32) string { return find(keyTypes[:], code).short }

// CertificateTypeName is the standard's name of a certificate type, such as
// "CKC_X_509".
func CertificateTypeName(code uint32) string { return find(certificateTypes[:], code).name }

// AttributeName is the standard's name of an attribute type, such as
// "CKA_LABEL".
func AttributeName(code uint32) string { return find(attributes[:], code).name }

// KnownClass says whether an object class has a name or is a vendor's own.
func KnownClass(code uint32) bool { return code >= CKA_VENDOR_DEFINED || known(classes[:], code) }

// KnownAttribute says whether an attribute type has a name.
func KnownAttribute(code uint32) bool { return known(attributes[:], code) }

func find(table []entry, code uint32) entry {
	if i, ok := search(table, code); ok {
		return table[i]
	}
	number := fmt.Sprintf("0x%08X", code)
	return entry{code, number, number}
}

func known(table []entry, code uint32) bool {
	_, ok := search(table, code)
	return ok
}

func search(table []entry, code uint32) (int, bool) {
	return slices.BinarySearchFunc(table, code, func(e entry, code uint32) int {
		return cmp.Compare(e.code, code)
	})
}

// MaybeSecret says whether an attribute can hold what must not be seen even in
// an object of a public class: private parts of keys, what only private and
// secret keys have (so that the class is wrong), and what nothing is known
// about. CKA_VALUE is public in certificates and some public keys.
func MaybeSecret(code uint32) bool {
	switch {
	case code == CKA_SENSITIVE, code >= CKA_EXTRACTABLE && code <= CKA_ALWAYS_SENSITIVE && code != 0x163: // CKA_LOCAL
		return true
	case code >= CKA_PRIVATE_EXPONENT && code <= CKA_COEFFICIENT, code == 0x637: // RSA; CKA_SEED
		return true
	case code < CKA_VENDOR_DEFINED:
		return false
	case code >= 0x800D0003 && code <= 0x800D0007, code >= 0x800D000B && code <= 0x800D000D: // CKA_IBM_ML_DSA_…, CKA_IBM_ML_KEM_SK, seeds
		return true
	}
	return !KnownAttribute(code)
}
