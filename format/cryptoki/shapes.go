package cryptoki

import "slices"

// Shape is how an attribute's value depends on the machine that wrote it.
type Shape uint8

// The shapes.
const (
	Bytes    Shape = iota // the same everywhere: bytes, text, dates, one byte of CK_BBOOL
	Ulong                 // a CK_ULONG, in 4 bytes or the machine's 8
	Ulongs                // CK_ULONGs of 8 bytes, one after the other
	Template              // attributes
)

// ulongs are the attributes that hold a CK_ULONG, in ascending order (PKCS#11
// 3.2; upstream's attribute table in attributes.c, EP11's in ep11.h).
var ulongs = [...]uint32{
	CKA_CLASS, 0x80 /* CERTIFICATE_TYPE */, 0x87 /* CERTIFICATE_CATEGORY */, 0x88 /* JAVA_MIDP_SECURITY_DOMAIN */, 0x8c, /* NAME_HASH_ALGORITHM */
	CKA_KEY_TYPE, 0x121 /* MODULUS_BITS */, 0x133 /* PRIME_BITS */, 0x134 /* SUBPRIME_BITS */, 0x160 /* VALUE_BITS */, 0x161, /* VALUE_LEN */
	0x166 /* KEY_GEN_MECHANISM */, 0x201, /* AUTH_PIN_FLAGS */
	0x220, 0x221, 0x222, 0x224, 0x225, 0x226, 0x227, // OTP
	0x300 /* HW_FEATURE_TYPE */, 0x400, 0x401, 0x402, 0x403, 0x404, 0x406, /* of displays */
	0x500 /* MECHANISM_TYPE */, 0x601, /* PROFILE_ID */
	0x603, 0x60f, 0x610, 0x611, // X2RATCHET
	0x617, 0x618, 0x619, 0x61c, // HSS
	0x61d /* PARAMETER_SET */, 0x61e, 0x61f, 0x621, 0x623, 0x624, /* of validations */
	0x62c, 0x62d, 0x62e, 0x62f, 0x630, 0x631, 0x632, // TRUST
	0x80010005 /* IBM_KEYTYPE */, 0x800d0001 /* IBM_DILITHIUM_KEYFORM */, 0x800d0009, /* IBM_KYBER_KEYFORM */
	0x800d0101 /* IBM_CCA_AES_KEY_MODE */, 0x800d0102, /* IBM_CCA_ML_DSA_KEY_MODE */
}

// undecided are known attributes of which no description tells whether the
// machine's order shows in them.
var undecided = [...]uint32{0x80010009, 0x8001000a, 0x8001000e, 0x8001000f, 0x80010010, 0x80020001}

// ShapeOf tells the shape of an attribute with a value of n bytes; ok is false
// if that cannot be told.
func ShapeOf(typ uint32, n int) (s Shape, ok bool) {
	switch typ {
	case CKA_WRAP_TEMPLATE, CKA_UNWRAP_TEMPLATE, CKA_DERIVE_TEMPLATE,
		CKA_ENCAPSULATE_TEMPLATE, CKA_DECAPSULATE_TEMPLATE:
		return Template, true
	case 0x40000600, 0x61a, 0x61b: // ALLOWED_MECHANISMS, HSS_LMS_TYPES, HSS_LMOTS_TYPES
		return Ulongs, n%8 == 0
	}
	if _, is := slices.BinarySearch(ulongs[:], typ); is {
		return Ulong, n == 0 || n == 4 || n == 8
	}
	if n != 4 && n != 8 {
		return Bytes, true // no CK_ULONG, whatever it is
	}
	_, open := slices.BinarySearch(undecided[:], typ)
	return Bytes, KnownAttribute(typ) && !open
}
