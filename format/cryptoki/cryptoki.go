// Package cryptoki knows the words of PKCS#11: names for the codes of object
// classes, key types, certificate types and attributes (names.go and its
// tables), and the attribute lists in which openCryptoki stores objects, in
// either byte order (list.go).
package cryptoki

// The object classes that decide what may stay in clear.
const (
	CKO_DATA              = 0
	CKO_CERTIFICATE       = 1
	CKO_PUBLIC_KEY        = 2
	CKO_PRIVATE_KEY       = 3
	CKO_SECRET_KEY        = 4
	CKO_DOMAIN_PARAMETERS = 6
)

// The key types whose parts are checked.
const (
	CKK_RSA           = 0x00
	CKK_EC            = 0x03
	CKK_DES           = 0x13
	CKK_DES2          = 0x14
	CKK_DES3          = 0x15
	CKK_AES           = 0x1f
	CKK_AES_XTS       = 0x35
	CKK_EC_EDWARDS    = 0x40
	CKK_EC_MONTGOMERY = 0x41
)

// The certificate type of X.509 public-key certificates.
const CKC_X_509 = 0

// The attributes that tokar reads.
const (
	CKA_CLASS             = 0x000
	CKA_TOKEN             = 0x001
	CKA_PRIVATE           = 0x002
	CKA_LABEL             = 0x003
	CKA_VALUE             = 0x011
	CKA_CERTIFICATE_TYPE  = 0x080
	CKA_KEY_TYPE          = 0x100
	CKA_ID                = 0x102
	CKA_SENSITIVE         = 0x103
	CKA_MODULUS           = 0x120
	CKA_MODULUS_BITS      = 0x121
	CKA_PUBLIC_EXPONENT   = 0x122
	CKA_PRIVATE_EXPONENT  = 0x123
	CKA_PRIME_1           = 0x124
	CKA_PRIME_2           = 0x125
	CKA_EXPONENT_1        = 0x126
	CKA_EXPONENT_2        = 0x127
	CKA_COEFFICIENT       = 0x128
	CKA_VALUE_LEN         = 0x161
	CKA_EXTRACTABLE       = 0x162
	CKA_NEVER_EXTRACTABLE = 0x164
	CKA_ALWAYS_SENSITIVE  = 0x165
	CKA_EC_PARAMS         = 0x180
	CKA_EC_POINT          = 0x181

	CKA_WRAP_TEMPLATE        = 0x40000211
	CKA_UNWRAP_TEMPLATE      = 0x40000212
	CKA_DERIVE_TEMPLATE      = 0x40000213
	CKA_ENCAPSULATE_TEMPLATE = 0x4000062A
	CKA_DECAPSULATE_TEMPLATE = 0x4000062B
	CKA_VENDOR_DEFINED       = 0x80000000

	CKA_IBM_OPAQUE = 0x80000001 // of secure keys: the blob that only the HSM opens
)
