package cryptoki

import (
	"slices"
	"strings"
	"testing"
)

func TestTablesAreSorted(t *testing.T) {
	for prefix, table := range map[string][]entry{"CKO_": classes[:], "CKK_": keyTypes[:], "CKC_": certificateTypes[:], "CKA_": attributes[:]} {
		for i, e := range table {
			if i > 0 && table[i-1].code >= e.code {
				t.Errorf("%s stands after %s", e.name, table[i-1].name)
			}
			if !strings.HasPrefix(e.name, prefix) {
				t.Errorf("%s among the %s", e.name, prefix)
			}
		}
	}
}

func TestNames(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{ClassName(CKO_PRIVATE_KEY), "CKO_PRIVATE_KEY"},
		{ShortClass(CKO_PRIVATE_KEY), "private key"},
		{ShortClass(0x80000007), "0x80000007"},
		{KeyTypeName(CKK_EC), "CKK_EC"},
		{ShortKeyType(0x80010025), "ibm-ml-dsa"},
		{ShortKeyType(0x10), "generic-secret"},
		{CertificateTypeName(CKC_X_509), "CKC_X_509"},
		{AttributeName(CKA_UNWRAP_TEMPLATE), "CKA_UNWRAP_TEMPLATE"},
		{AttributeName(0x80000001), "CKA_IBM_OPAQUE"},
		{AttributeName(0x80000003), "CKA_IBM_OPAQUE_REENC"},
		{AttributeName(0x80000004), "CKA_IBM_OPAQUE_OLD"},
		{AttributeName(0x8001000C), "CKA_IBM_PROTKEY_EXTRACTABLE"},
		{AttributeName(0x800D0100), "CKA_IBM_OPAQUE_PKEY"},
		{AttributeName(0x800D0101), "CKA_IBM_CCA_AES_KEY_MODE"},
		{AttributeName(0x81000000), "CKA_HIDDEN"},
		{AttributeName(0x81000001), "CKA_ENC_AUTHDATA"},
		{AttributeName(0x4), "CKA_UNIQUE_ID"},
		{AttributeName(0x9999), "0x00009999"},
	} {
		if c.got != c.want {
			t.Errorf("%s, want %s", c.got, c.want)
		}
	}
}

// Everything that can be a private part is taken for one; nothing that every
// public object has is.
func TestMaybeSecret(t *testing.T) {
	public := []uint32{CKA_CLASS, CKA_VALUE, CKA_MODULUS, CKA_PUBLIC_EXPONENT, CKA_EC_POINT, 0x129, 0x163, 0x80000001, 0x81000000}
	for _, a := range attributes {
		secret := strings.HasPrefix(a.name, "CKA_PRIME_1") || slices.Contains([]string{
			"CKA_PRIVATE_EXPONENT", "CKA_PRIME_2", "CKA_EXPONENT_1", "CKA_EXPONENT_2", "CKA_COEFFICIENT", "CKA_SEED",
			"CKA_SENSITIVE", "CKA_EXTRACTABLE", "CKA_NEVER_EXTRACTABLE", "CKA_ALWAYS_SENSITIVE",
			"CKA_IBM_ML_DSA_PRIVATE_SEED", "CKA_IBM_ML_DSA_SEED", "CKA_IBM_ML_KEM_SK", "CKA_IBM_ML_KEM_PRIVATE_SEED"}, a.name)
		if secret && !MaybeSecret(a.code) || slices.Contains(public, a.code) && MaybeSecret(a.code) {
			t.Errorf("%s: %v", a.name, MaybeSecret(a.code))
		}
	}
	if !MaybeSecret(0x80424242) {
		t.Error("an unknown vendor's attribute is taken for public")
	}
}
