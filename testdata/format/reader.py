#!/usr/bin/python3
"""An independent reader of tokar archives, written from docs/FORMAT.md.

    reader.py list    ARCHIVE KEY...          a line for every record
    reader.py extract ARCHIVE DIRECTORY KEY...
    reader.py verify  ARCHIVE [KEY...]        without a key: checksums and order only
    reader.py salvage ARCHIVE KEY             a line for every record that a damaged one still has
    reader.py judge   DIRECTORY               every vector of a vectors.json, in every way

KEY is the name of a file with an HPKE or an age identity (X25519) or, with
passphrase:FILE, tK:HEX or mK:HEX, something else. It is slow, keeps whole archives in memory, and
shares no line with tokar. It wants python3-cryptography and python3-zstandard.
Numbers in comments are sections of docs/FORMAT.md.
"""

import base64
import binascii
import bisect
import datetime
import fnmatch
import hashlib
import hmac
import io
import json
import lzma
import os
import re
import struct
import sys

import zstandard
from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

MIB = 1 << 20
PIECE = 256 << 10
MAX_BODY = 68161536
NOTHING = 2**64 - 1
NO_CLASS = 2**32 - 1
SUITE = b"\x00\x01"
WRAPPED, VANISHED, REFUSED = 0x01, 0x10, 0x20
ARCHIVE, TOKEN, END_OF_TOKEN = 1, 2, 3
DATA, INDEX, DIRECTORY, END = 1, 2, 3, 4
RESTORE, VERIFY = 1, 2


class Refused(Exception):
    """An archive is refused, by a class of section 2."""

    def __init__(self, klass, why):
        super().__init__(f"{klass}: {why}")
        self.klass = klass


def need(truth, klass, why):
    if not truth:
        raise Refused(klass, why)


def rule(truth, why):
    need(truth, "malformed", why)


# CRC-32C, bit by bit into a table.
CRC = []
for n in range(256):
    for _ in range(8):
        n = n >> 1 ^ (0x82F63B78 if n & 1 else 0)
    CRC.append(n)


def crc32c(data):
    c = 0xFFFFFFFF
    for b in data:
        c = CRC[(c ^ b) & 0xFF] ^ c >> 8
    return struct.pack(">I", c ^ 0xFFFFFFFF)


def hkdf(secret, salt, info):
    return HKDF(hashes.SHA256(), 32, salt, info).derive(secret)


def mac(key, *parts):
    return hmac.new(key, b"".join(parts), hashlib.sha256).digest()


def same(a, b):
    return hmac.compare_digest(a, b)


def unseal(key, sealed, aad, why):
    try:
        return AESGCM(key).decrypt(sealed[:12], sealed[12:], aad)
    except (InvalidTag, ValueError):
        raise Refused("authentic", why) from None


class Cursor:
    """Takes structures off bytes; running short is of the class given."""

    def __init__(self, data, short="malformed"):
        self.data, self.at, self.short = data, 0, short

    def left(self):
        return len(self.data) - self.at

    def take(self, n):
        need(n <= self.left(), self.short, f"{n} bytes wanted, {self.left()} there")
        self.at += n
        return self.data[self.at - n : self.at]

    def u(self, n):
        return int.from_bytes(self.take(n), "big")

    def end(self, what):
        rule(self.left() == 0, f"{self.left()} bytes after {what}")


def fields(data, known, repeatable=()):
    """10.5. known: tag -> width, or None for any."""
    c, last, found = Cursor(data), -1, []
    while c.left():
        tag = c.u(1)
        value = c.take(c.u(2))
        rule(tag > last or tag == last and tag in repeatable, f"field {tag} out of order")
        last = tag
        if tag >= 128:
            continue
        need(tag in known, "unsupported", f"field {tag}")
        rule(known[tag] is None or len(value) == known[tag], f"field {tag} of {len(value)} bytes")
        found.append((tag, value))
    return found


def check_name(name):
    """10.2"""
    parts = name.split(b"\0")
    rule(len(name) <= 1024 and len(parts) <= 8, "a name too long")
    for p in parts:
        rule(1 <= len(p) <= 255 and p not in (b".", b"..") and b"/" not in p, f"name component {p!r}")


def check_difference(value):
    """10.8: a number in its shortest two's complement"""
    rule(len(value) <= 8, "a time of more than 8 bytes")
    n = int.from_bytes(value, "big", signed=True)
    shortest = 0 if n == 0 else ((n if n >= 0 else ~n).bit_length() + 8) // 8
    rule(len(value) == shortest, "a time that could be shorter")


def check_id_name(name):
    """10.9"""
    rule(len(name) <= 128 and 0 not in name, "the name of a user or group")


def check_label(label):
    """10.9"""
    rule(len(label) <= 4096 and 0 not in label, "a label")


def check_acl(data, of_file):
    """10.9"""
    c, last, tags = Cursor(data), (0, 0), []
    while c.left():
        tag, perm, number = c.u(2), c.u(2), c.u(4)
        name = c.take(c.u(1))
        check_id_name(name)
        rule(tag in (1, 2, 4, 8, 16, 32) and perm <= 7, "an entry of an access control list")
        named = tag in (2, 8)
        rule(named == (number != NO_CLASS) and (named or not name), "who an access control list names")
        rule((tag, number) > last, "entries out of order")
        last = tag, number
        tags.append(tag)
    if tags:
        rule(len(tags) <= 128 and {1, 4, 32} <= set(tags), "entries of an access control list")
        rule(16 in tags or not of_file and not {2, 8} & set(tags), "no mask")


def read_attributes(data):
    """10.9; the default list, and what follows"""
    c = Cursor(data)
    rule(c.u(4) <= 0o7777, "a mode")
    c.take(16)
    for _ in range(2):
        check_id_name(c.take(c.u(1)))
    check_acl(c.take(c.u(2)), True)
    inherit = c.take(c.u(2))
    check_acl(inherit, False)
    check_label(c.take(c.u(2)))
    return inherit, c.take(c.left())


class Header:
    """6"""

    def __init__(self, c):
        start = c.at
        magic = c.data[start : start + 8]
        need(magic and b"\x89TOKAR\r\n".startswith(magic), "not-archive", "another magic")
        c.take(8)
        length = c.u(4)
        need(248 <= length <= MIB, "checksum", f"a header of {length} bytes")
        c.take(length - 12)
        self.raw = c.data[start : c.at]
        need(crc32c(self.raw[:-4]) == self.raw[-4:], "checksum", "the header's checksum")
        self.whole()

    def whole(self):
        c = Cursor(self.raw[12:-4])
        self.read_core(c)
        self.read_slots(c)
        c.end("the slot section")

    def read_core(self, c):
        need(c.u(2) == 1, "unsupported", "version")
        need(c.u(2) == 1, "unsupported", "suite")
        self.id, self.emk = c.take(32), c.take(60)
        self.commit_t, self.commit_m = c.take(32), c.take(32)
        length = c.u(2)
        rule(length <= 4096, "fields of the core too long")
        fields(c.take(length), {})
        self.core = hashlib.sha256(c.data[: c.at]).digest()

    def read_slots(self, c):
        start = c.at
        self.slots = []
        self.generation, count = c.u(4), c.u(2)
        rule(1 <= count <= 64, f"{count} slots")
        for _ in range(count):
            kind, role, zero, length = c.u(2), c.u(1), c.u(1), c.u(4)
            rule(zero == 0 and role in (RESTORE, VERIFY) and length <= 65536, "a slot")
            self.slots.append((kind, role, c.take(length)))
        self.section = c.data[start : c.at]
        self.mt, self.mm = c.take(32), c.take(32)

    @classmethod
    def damaged(cls, data):
        """15.5, step 1: what begins with the magic, without length and checksum."""
        self, c = cls.__new__(cls), Cursor(data[12:MIB])
        self.read_core(c)
        try:
            self.read_slots(c)
        except Refused:
            need(self.slots, "checksum", "a header without a slot")
        return self

    def key(self, secret, purpose):
        """5"""
        info = b"tokar/1\0" + SUITE + bytes([len(purpose)]) + purpose
        return hkdf(secret, self.id, info)

    def open(self, identity, section=True):
        """6.2; without section the slot section's MACs are not asked for"""
        role, secret, guessed = identity(self)
        need(len(secret) == 32, "authentic", "a key of another length")
        keys, mk = {}, secret
        other = "no-key" if guessed else "authentic"
        if role == RESTORE:
            for p in ("commitment", "emK", "payload", "restore proof", "slot MAC"):
                keys["tK " + p] = self.key(secret, b"tK " + p.encode())
            need(same(keys["tK commitment"], self.commit_t), other, "C_t")
            mk = unseal(keys["tK emK"], self.emk, b"tokar/1 emK\0" + SUITE + self.id, "emK")
        for p in ("commitment", "seal", "record MAC", "slot MAC"):
            keys["mK " + p] = self.key(mk, b"mK " + p.encode())
        need(same(keys["mK commitment"], self.commit_m), other if role == VERIFY else "authentic", "C_m")
        for key, want in (("mK slot MAC", self.mm), ("tK slot MAC", self.mt)):
            if section and key in keys:
                got = mac(keys[key], b"tokar/1 slots\0", self.core, self.section)
                need(same(got, want), "authentic", "the slot section's MAC")
        return keys


# Identities: functions of a header that give role, secret, and whether it was guessed.


def given(role, secret):
    return lambda header: (role, secret, False)


def passphrase(text):
    """7.2"""

    def identity(header):
        for role in (RESTORE, VERIFY):
            bodies = [body for kind, r, body in header.slots if (kind, r) == (2, role)]
            for body in bodies:
                rule(len(body) == 96, "a passphrase slot's length")
                rule(100_000 <= int.from_bytes(body[32:36], "big") <= 10_000_000, "a passphrase slot's cost")
            rule(len(bodies) <= 1, "two passphrase slots")
            if not bodies:
                continue
            b = bodies[0]
            key = hashlib.pbkdf2_hmac("sha256", text, b[:32], int.from_bytes(b[32:36], "big"), 32)
            aad = b"tokar/1 passphrase\0" + SUITE + header.id + bytes([role]) + b[:36]
            try:
                return role, AESGCM(key).decrypt(b[36:48], b[48:], aad), True
            except InvalidTag:
                pass
        raise Refused("no-key", "no slot opens")

    return identity


def bech32(text):
    """The 32 bytes of an age identity; its checksum is not looked at."""
    letters = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
    bits = "".join(f"{letters.index(c):05b}" for c in text.lower().rsplit("1", 1)[1][:-6])
    return bytes(int(bits[i : i + 8], 2) for i in range(0, 256, 8))


def age(text):
    """7.1, for X25519"""
    private = X25519PrivateKey.from_private_bytes(bech32(text))
    public = private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)

    def identity(header):
        for role in (RESTORE, VERIFY):
            for kind, slot_role, body in header.slots:
                if kind != 1 or slot_role != role:
                    continue
                plain = age_open(private, public, body)
                if plain is None:
                    continue
                place = b"tokar/1 slot\0" + SUITE + bytes([role]) + header.id
                need(len(plain) == 80 and plain.startswith(place), "authentic", "a slot of another place")
                return role, plain[48:], False
        raise Refused("no-key", "no slot opens")

    return identity


def unpadded(text):
    return base64.b64decode(text + b"=" * (-len(text) % 4))


def age_open(private, public, body):
    """The plaintext of an age file of one chunk; None if it is not for us."""
    head = re.match(rb"age-encryption\.org/v1\n((?:-> [^\n]+\n(?:[A-Za-z0-9+/]{64}\n)*[A-Za-z0-9+/]{0,63}\n)+)---( [A-Za-z0-9+/]{43})\n", body)
    if not head:
        return None
    stanzas = []
    for stanza in re.split(rb"^-> ", head[1], flags=re.M)[1:]:
        args, _, rest = stanza.partition(b"\n")
        stanzas.append((args.split(b" "), unpadded(rest.replace(b"\n", b""))))
    if len(stanzas) > 16 or any(args[0] == b"scrypt" for args, _ in stanzas):
        return None
    for args, sealed in stanzas:
        if args[0] != b"X25519" or len(args) != 2 or len(sealed) != 32:
            continue
        share = unpadded(args[1])
        shared = private.exchange(X25519PublicKey.from_public_bytes(share))
        key = hkdf(shared, share + public, b"age-encryption.org/v1/X25519")
        try:
            file_key = ChaCha20Poly1305(key).decrypt(bytes(12), sealed, None)
        except InvalidTag:
            continue
        want = mac(hkdf(file_key, b"", b"header"), body[: head.start(2)])
        need(same(want, unpadded(head[2][1:])), "authentic", "the MAC of an age slot")
        payload = body[head.end() :]
        key = hkdf(file_key, payload[:16], b"payload")
        try:
            return ChaCha20Poly1305(key).decrypt(bytes(11) + b"\1", payload[16:], None)
        except (InvalidTag, ValueError):
            raise Refused("authentic", "an age slot's payload") from None
    return None


# HPKE, 7.3.

ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
P256, HYBRID = b"\x00\x10", b"\x00\x50"


def hpke(text):
    """7.3, 7.4"""
    prefix, _, data = text.rpartition("-")
    key = base64.b32decode(data + "=" * (-len(data) % 8))
    key, check = key[:-4], key[-4:]
    assert hashlib.sha256((prefix + "-").encode() + key).digest()[:4] == check, "a mistyped key"
    kem, size, decap = {
        "TOKAR-SECRET-KEY-HPKE-P256": (P256, 65, dhkem),
        "TOKAR-SECRET-KEY-HPKE-MLKEM768P256": (HYBRID, 1153, hybrid),
    }[prefix]

    def identity(header):
        for role in (RESTORE, VERIFY):
            for kind, slot_role, body in header.slots:
                if kind != 3 or slot_role != role or body[:2] != kem:
                    continue
                rule(len(body) == 2 + size + 48, "an HPKE slot's length")
                enc = body[2 : 2 + size]
                info, aad = b"tokar/1 HPKE\0" + SUITE + header.id, b"\0\3" + bytes([role])
                try:
                    sealing, nonce = key_schedule(kem, decap(key, enc), info)
                    return role, AESGCM(sealing).decrypt(nonce, body[2 + size :], aad), False
                except (InvalidTag, ValueError):
                    continue
        raise Refused("no-key", "no slot opens")

    return identity


def extract_label(suite, salt, label, ikm):
    """RFC 9180, 4: LabeledExtract with HKDF-SHA256."""
    return mac(salt or bytes(32), b"HPKE-v1" + suite + label + ikm)


def expand_label(suite, prk, label, info, n):
    """RFC 9180, 4: LabeledExpand; one block of HKDF-SHA256 is enough here."""
    return mac(prk, n.to_bytes(2, "big") + b"HPKE-v1" + suite + label + info, b"\1")[:n]


def key_schedule(kem, shared, info, aead=2):
    """RFC 9180, 5.1, mode base: key and first nonce."""
    suite = b"HPKE" + kem + b"\0\1" + bytes([0, aead])
    context = b"\0" + extract_label(suite, b"", b"psk_id_hash", b"") + extract_label(suite, b"", b"info_hash", info)
    secret = extract_label(suite, shared, b"secret", b"")
    return expand_label(suite, secret, b"key", context, 16 * aead), expand_label(suite, secret, b"base_nonce", context, 12)


def exchange(scalar, share):
    """Diffie-Hellman on P-256; the common x, and our point. ValueError if share is no point."""
    if share[:1] != b"\4":
        raise ValueError("another form of point")
    private = ec.derive_private_key(scalar, ec.SECP256R1())
    point = private.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    return private.exchange(ec.ECDH(), ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), share)), point


def dhkem(key, enc):
    """RFC 9180, 4.1: Decap of DHKEM(P-256, HKDF-SHA256)."""
    common, point = exchange(int.from_bytes(key, "big"), enc)
    suite = b"KEM" + P256
    return expand_label(suite, extract_label(suite, b"", b"eae_prk", common), b"shared_secret", enc + point, 32)


def hybrid(seed, enc):
    """7.3: MLKEM768-P256."""
    stream = hashlib.shake_256(seed).digest(64 + 32 * 8)
    candidates = (int.from_bytes(stream[at : at + 32], "big") for at in range(64, len(stream), 32))
    scalar = next(n for n in candidates if 0 < n < ORDER)
    secret = ml_kem_768(stream[:32], stream[32:64], enc[:1088])
    common, point = exchange(scalar, enc[1088:])
    return hashlib.sha3_256(secret + common + enc[1088:] + point + b"MLKEM768-P256").digest()


# ML-KEM-768, FIPS 203. Algorithms are numbered as there. Not in constant time.

Q, K = 3329, 3
ZETA = [pow(17, int(f"{i:07b}"[::-1], 2), Q) for i in range(128)]
GAMMA = [pow(17, 2 * int(f"{i:07b}"[::-1], 2) + 1, Q) for i in range(128)]


def bits(data):
    return [b >> i & 1 for b in data for i in range(8)]


def byte_encode(f, d):
    """5"""
    return sum(x << d * i for i, x in enumerate(f)).to_bytes(32 * d, "little")


def byte_decode(data, d):
    """6"""
    n = int.from_bytes(data, "little")
    return [(n >> d * i & (1 << d) - 1) % (Q if d == 12 else 1 << d) for i in range(256)]


def compress(f, d):
    return [((x << d) + Q // 2) // Q % (1 << d) for x in f]


def decompress(f, d):
    return [(x * Q + (1 << d - 1)) >> d for x in f]


def sample_ntt(seed):
    """7"""
    stream, f = hashlib.shake_128(seed).digest(4096), []
    for at in range(0, len(stream) - 2, 3):
        a, b, c = stream[at : at + 3]
        f += [x for x in (a + 256 * (b % 16), b // 16 + 16 * c) if x < Q]
    return f[:256]


def sample_cbd(key, n):
    """8, of PRF with eta 2"""
    b = bits(hashlib.shake_256(key + bytes([n])).digest(128))
    return [(b[i] + b[i + 1] - b[i + 2] - b[i + 3]) % Q for i in range(0, 1024, 4)]


def ntt(f):
    """9"""
    f, i, length = f[:], 1, 128
    while length >= 2:
        for start in range(0, 256, 2 * length):
            for j in range(start, start + length):
                t = ZETA[i] * f[j + length]
                f[j], f[j + length] = (f[j] + t) % Q, (f[j] - t) % Q
            i += 1
        length //= 2
    return f


def ntt_inverse(f):
    """10"""
    f, i, length = f[:], 127, 2
    while length <= 128:
        for start in range(0, 256, 2 * length):
            for j in range(start, start + length):
                t = f[j]
                f[j], f[j + length] = (t + f[j + length]) % Q, ZETA[i] * (f[j + length] - t) % Q
            i -= 1
        length *= 2
    return [x * 3303 % Q for x in f]


def times(f, g):
    """11"""
    h = []
    for i in range(128):
        a, b, c, d = f[2 * i], f[2 * i + 1], g[2 * i], g[2 * i + 1]
        h += [(a * c + b * d * GAMMA[i]) % Q, (a * d + b * c) % Q]
    return h


def plus(*fs):
    return [sum(x) % Q for x in zip(*fs)]


def dot(fs, gs):
    return plus(*(times(f, g) for f, g in zip(fs, gs)))


def pke_encrypt(ek, message, r):
    """14"""
    t = [byte_decode(ek[384 * i : 384 * i + 384], 12) for i in range(K)]
    rho = ek[384 * K :]
    y = [ntt(sample_cbd(r, n)) for n in range(K)]
    out = b""
    for i in range(K):
        column = [sample_ntt(rho + bytes([i, j])) for j in range(K)]
        out += byte_encode(compress(plus(ntt_inverse(dot(column, y)), sample_cbd(r, K + i)), 10), 10)
    mu = decompress(byte_decode(message, 1), 1)
    return out + byte_encode(compress(plus(ntt_inverse(dot(t, y)), sample_cbd(r, 2 * K), mu), 4), 4)


def ml_kem_768(d, z, c):
    """16 (KeyGen_internal, with 13) and 18 (Decaps_internal, with 15)"""
    seeds = hashlib.sha3_512(d + bytes([K])).digest()
    rho, sigma = seeds[:32], seeds[32:]
    s = [ntt(sample_cbd(sigma, n)) for n in range(K)]
    ek = b""
    for i in range(K):
        row = [sample_ntt(rho + bytes([j, i])) for j in range(K)]
        ek += byte_encode(plus(dot(row, s), ntt(sample_cbd(sigma, K + i))), 12)
    ek += rho
    u = [ntt(decompress(byte_decode(c[320 * i : 320 * i + 320], 10), 10)) for i in range(K)]
    v = decompress(byte_decode(c[320 * K :], 4), 4)
    w = [(a - b) % Q for a, b in zip(v, ntt_inverse(dot(s, u)))]
    message = byte_encode(compress(w, 1), 1)
    shared = hashlib.sha3_512(message + hashlib.sha3_256(ek).digest()).digest()
    if pke_encrypt(ek, message, shared[32:]) != c:
        return hashlib.shake_256(z + c).digest(32)
    return shared[:32]


# Bodies, 9.


def unpack(codec, packed, n):
    need(codec in (0, 1, 2), "unsupported", f"codec {codec}")
    if codec == 0:
        rule(len(packed) == n, "a stored front of another length")
        return packed
    try:
        front = unpack_zstd(packed, n) if codec == 1 else unpack_xz(packed, n)
    except (zstandard.ZstdError, lzma.LZMAError, IndexError, struct.error) as e:
        raise Refused("malformed", str(e)) from None
    rule(len(front) == n, "a front of another length")
    return front


def unpack_zstd(packed, n):
    rule(packed[:4] == b"\x28\xb5\x2f\xfd", "no zstd frame")
    flags = packed[4]
    single = flags >> 5 & 1
    at = 5 + (1 - single)
    width = (0, 1, 2, 4)[flags & 3]
    rule(int.from_bytes(packed[at : at + width], "little") == 0, "a zstd dictionary")
    at += width
    width = (single, 2, 4, 8)[flags >> 6]
    window = int.from_bytes(packed[at : at + width], "little") + (256 if width == 2 else 0)
    if not single:
        base = 1 << 10 + (packed[5] >> 3)
        window = base + base // 8 * (packed[5] & 7)
    rule(window <= 8 * MIB, "a zstd window too large")  # libzstd passes over its own check when all is at hand
    at += width
    last = False
    while not last:
        block = int.from_bytes(packed[at : at + 3], "little")
        rule(at + 3 <= len(packed), "a zstd frame cut short")
        last = block & 1
        at += 3 + (1 if block >> 1 & 3 == 1 else block >> 3)
    rule(at + (4 if flags & 4 else 0) == len(packed), "not one zstd frame")
    d = zstandard.ZstdDecompressor(max_window_size=8 * MIB)
    with d.stream_reader(io.BytesIO(packed)) as r:
        return r.read(n + 1)


def unpack_xz(packed, n):
    rule(packed[:6] == b"\xfd7zXZ\0", "no xz stream")
    rule(packed[12] != 0 and packed[13] == 0 and packed[14:16] == b"\x21\x01", "an xz block of another form")
    bits = packed[16]
    rule(bits <= 40 and (2 | bits & 1) << (bits // 2 + 11) <= 8 * MIB, "an xz dictionary too large")
    at = 12 + 4 * (packed[12] + 1)
    while packed[at]:  # chunks of LZMA2
        if packed[at] >= 0x80:
            at += 5 + (packed[at] >= 0xC0) + int.from_bytes(packed[at + 3 : at + 5], "big") + 1
        else:
            rule(packed[at] <= 2, "an LZMA2 chunk")
            at += 3 + int.from_bytes(packed[at + 1 : at + 3], "big") + 1
    at = (at + 4) & ~3
    at += (0, 4, 4, 4, 8, 8, 8, 16, 16, 16, 32, 32, 32, 64, 64, 64)[packed[7] & 15]
    rule(packed[at] == 0, "a second xz block")
    d = lzma.LZMADecompressor(lzma.FORMAT_XZ)
    out = d.decompress(packed, n + 1)
    while not d.eof and not d.needs_input and len(out) <= n:
        out += d.decompress(b"", n + 1 - len(out))
    rule(d.eof and not d.unused_data, "not one xz stream")
    return out


class Frame:
    """8, 9: everything that a frame shows by itself."""

    def __init__(self, header, c, keys):
        self.start = c.at
        need(c.take(4) == b"\xf7TKB", "checksum", "no frame where one must be")
        c.at = self.start
        head = Cursor(c.take(32))
        head.take(4)
        need(head.take(8) == header.id[:8], "checksum", "a frame of another archive")
        self.kind, self.last, zero = head.u(1), head.u(1), head.u(2)
        self.number, self.part, length = head.u(8), head.u(4), head.u(4)
        need(16 <= length <= MAX_BODY + 44, "checksum", f"a frame of {length} bytes")
        sealed, checksum = c.take(12 + length), c.take(4)
        self.length = c.at - self.start
        need(crc32c(c.data[self.start : c.at - 4]) == checksum, "checksum", "a frame's checksum")
        need(1 <= self.kind <= 4 or self.kind >= 0x80, "unsupported", f"block kind {self.kind}")
        rule(self.last <= 1 and zero == 0, "a frame's flags")
        rule(self.kind == DATA or self.part == 0 and self.last == 1, "parts of no data block")
        if keys is None:
            return
        aad = header.core + struct.pack(">BQIB", self.kind, self.number, self.part, self.last)
        body = Cursor(unseal(keys["mK seal"], sealed, aad, "a frame's seal"))
        if self.kind >= 0x80:
            return
        codec, zero = body.u(1), body.u(3)
        n, packed, beside = body.u(4), body.u(4), body.u(4)
        rule(zero == 0 and n + beside <= MAX_BODY, "a body's head")
        packed, self.beside = body.take(packed), body.take(beside)
        body.end("a body")
        self.front = unpack(codec, packed, n)
        rule(self.kind == DATA or not self.beside, "bytes beside the front of no data block")

    def place(self):
        return self.kind, self.number, self.part, self.last


class Record:
    """10.1, from the 44 bytes with the true sequence number."""

    def __init__(self, fixed):
        self.fixed = fixed
        (self.seq, self.supersedes, self.token, self.kind, self.flags, self.klass, self.size, self.names, zero,
         self.metas, self.payloads) = struct.unpack(">QQIHHIIHHII", fixed)
        need(1 <= self.kind <= 7 or self.kind >= 0x8000, "unsupported", f"record kind {self.kind}")
        need(self.flags & ~0x3F == 0, "unsupported", f"flags {self.flags}")
        self.descriptor = self.kind <= END_OF_TOKEN
        absent, wrapped = self.flags & (VANISHED | REFUSED), self.flags & WRAPPED
        rule(zero == 0, "zero bytes")
        rule(self.names <= 1024 and self.metas <= MIB and self.payloads <= MAX_BODY and self.size <= 64 * MIB, "limits")
        if self.descriptor:
            rule(self.flags == self.payloads == self.size == 0 and self.klass == NO_CLASS, "a descriptor with more")
            rule(self.supersedes == NOTHING, "a descriptor that supersedes")
        rule((self.names == 0) == (self.kind in (ARCHIVE, END_OF_TOKEN)), "a name that must, or must not, be there")
        rule((self.token == 0) == (self.kind == ARCHIVE), "token 0")
        rule(not absent or self.payloads == self.size == wrapped == 0, "an absent entry with a payload")
        if wrapped:
            rule(self.metas == 0 and self.payloads >= self.size, "a wrapped payload")
        else:
            rule(self.payloads == self.size, "a payload of another length")
        rule(self.supersedes == NOTHING or self.supersedes < self.seq, "supersedes a later record")
        self.data = self.details = self.payload = self.plain = self.mac = None

    def header(self):
        return self.fixed + self.name

    def read_metadata(self, plain=None):
        """10.6 to 10.8"""
        if self.kind == ARCHIVE:
            fields(self.meta, {1: 8, 2: None, 3: None, 4: None}, (4,))
        elif self.kind == TOKEN:
            self.read_token()
        elif self.kind == END_OF_TOKEN:
            rule(len(self.meta) == 17 and self.meta[16] <= 1, "an end of token")
            self.live, self.all = struct.unpack(">QQ", self.meta[:16])
        else:
            self.details = fields(self.meta if plain is None else plain,
                                  {1: 4, 2: None, 3: None, 4: 4, 5: 4, 6: 4} | dict.fromkeys(range(7, 13)), (8,))
            tags = dict(self.details)
            rule(7 not in tags or int.from_bytes(tags.get(4, b""), "big") <= 0o7777, "a mode")
            for tag, value in self.details:
                rule(tag != 8 or len(value) >= 8 and value[8:].count(b"\0") >= 2, "a finding")
                if tag == 7:
                    check_difference(value)
                elif tag in (9, 10):
                    check_id_name(value)
                elif tag == 11:
                    check_acl(value, True)
                elif tag == 12:
                    check_label(value)

    def read_token(self):
        found = fields(self.meta, dict.fromkeys(range(1, 10)), (6, 8, 9))
        rule(dict(found).get(1), "a token without a kind")
        for tag, value in found:
            if tag in (7, 8):
                inherit, name = read_attributes(value)
                rule(tag == 8 or not inherit + name, "attributes that no file has")
                if name:
                    check_name(name)

    def check_mac(self, keys):
        """10.4"""
        got = mac(keys["mK record MAC"], self.header(), self.meta, self.payload)
        need(same(got, self.mac), "authentic", f"the MAC of record {self.seq}")

    def open(self):
        """What is inside, as far as the part was unwrapped."""
        if self.flags & WRAPPED == 0:
            self.data = self.payload
            self.read_metadata()
        elif self.plain is not None:
            split = len(self.plain) - self.size
            self.data = self.plain[split:]
            self.read_metadata(self.plain[:split])

    def line(self):
        """17"""
        label = ident = findings = digest = "-"
        if not self.descriptor and self.data is not None:
            tags = dict(self.details)
            label, ident = word(tags.get(2, b"")), word(tags.get(3, b""))
            findings = sum(tag == 8 for tag, _ in self.details)
            digest = hashlib.sha256(self.data).hexdigest()
        supersedes = "-" if self.supersedes == NOTHING else self.supersedes
        klass = "-" if self.klass == NO_CLASS else self.klass
        return (f"{self.seq} token={self.token} kind={self.kind} flags={self.flags} class={klass} size={self.size} "
                f"supersedes={supersedes} name={word(self.name.replace(bytes(1), b'/'))} label={label} id={ident} "
                f"findings={findings} sha256={digest}")


def word(data):
    if len(data) > 512:
        return "sha256:" + hashlib.sha256(data).hexdigest()
    return "".join(f"%{b:02X}" if b <= 32 or b >= 0x7F or b == 0x25 else chr(b) for b in data) or "-"


def read_table(c):
    """11"""
    n, names, metas = c.u(4), c.u(4), c.u(4)
    rule(1 <= n <= 65536, f"a table of {n} records")
    planes, names, metas = c.take(44 * n), Cursor(c.take(names)), Cursor(c.take(metas))
    records, seq = [], 0
    for i in range(n):
        row = planes[i::n]
        step = int.from_bytes(row[:8], "big")
        seq += step
        rule((i == 0 or step > 0) and seq <= NOTHING, "sequence numbers")
        length = (int.from_bytes(row[40:], "big") + int.from_bytes(row[28:32], "big")) % 2**32
        r = Record(seq.to_bytes(8, "big") + row[8:40] + length.to_bytes(4, "big"))
        r.name, r.meta = b"", metas.take(r.metas)
        records.append(r)
    metas.end("the metadata")
    rest = records
    while rest := [r for r in rest if len(r.name) < r.names]:
        for r in rest:
            r.name += names.take(1)
    names.end("the names")
    for r in records:
        if r.name:
            check_name(r.name)
    return records


def write_table(records):
    rows, last = [], 0
    for r in records:
        rows.append((r.seq - last).to_bytes(8, "big") + r.fixed[8:40] + ((r.payloads - r.size) % 2**32).to_bytes(4, "big"))
        last = r.seq
    longest = max(len(r.name) for r in records)
    names = b"".join(r.name[i : i + 1] for i in range(longest) for r in records)
    metas = b"".join(r.meta for r in records)
    planes = b"".join(bytes(row[i] for row in rows) for i in range(44))
    return struct.pack(">III", len(records), len(names), len(metas)) + planes + names + metas


def read_data(frame):
    """11"""
    front, beside = Cursor(frame.front), Cursor(frame.beside)
    records = read_table(front)
    rule(len(records) == 1 or len(frame.front) + len(frame.beside) <= 8 * MIB, "a large part of several records")
    wrapped = [r for r in records if r.flags & WRAPPED]
    if wrapped:
        beside.take(12)
    for i, r in enumerate(records):
        rule(r.seq == records[0].seq + i, "a sequence number left out")
        r.payload = (beside if r.flags & WRAPPED else front).take(r.payloads)
    if wrapped:
        beside.take(16)
    for r in records:
        r.mac = beside.take(32)
    front.end("the payloads")
    beside.end("the MACs")
    return records


def open_wrap(frame, records, header, keys):
    """10.3: the payloads of a part are one plaintext"""
    wrapped = [r for r in records if r.flags & WRAPPED]
    if not wrapped or "tK payload" not in keys:
        return
    sealed = frame.beside[: len(frame.beside) - 32 * len(records)]
    aad = header.id + b"".join(r.header() for r in wrapped)
    plain = Cursor(unseal(keys["tK payload"], sealed, aad, f"the wrap of the records from {records[0].seq} on"))
    for r in wrapped:
        r.plain = plain.take(r.payloads)


def data_digest(frame, records):
    """12"""
    macs = 32 * len(records)
    proof = frame.beside[-macs:]
    if any(r.flags & WRAPPED for r in records):
        proof = frame.beside[:12] + frame.beside[-macs - 16 : -macs] + proof
    return hashlib.sha256(proof).digest()


def read_chunk(front):
    """12"""
    c = Cursor(front)
    token = c.u(4)
    records = read_table(c)
    c.end("an index chunk")
    rule(all(r.token == token for r in records), "a chunk with another token's record")
    return token, records


def check_chunk(records):
    """15.3, step 8"""
    for i, r in enumerate(records):
        rule(r.kind != TOKEN or i == 0, "a token's descriptor in the middle")
        rule(r.kind != END_OF_TOKEN or i == len(records) - 1, "a token's end in the middle")
        if r.descriptor:
            r.read_metadata()


def probes(length, token, name):
    h = 0xCBF29CE484222325
    for b in token + b"\0\0" + name:
        h = (h ^ b) * 0x100000001B3 & NOTHING
    return [((h & 0xFFFFFFFF) + i * (h >> 32 | 1)) % (8 * length) for i in range(7)]


def make_filter(token, records):
    f = bytearray((10 * len(records) + 7) // 8)
    for r in records:
        for bit in probes(len(f), token, r.name):
            f[bit // 8] |= 1 << bit % 8
    return bytes(f)


class Places:
    """Numbers, parts and order of frames: 4, 8."""

    def __init__(self):
        self.next, self.part, self.last = {}, 0, None

    def take(self, f):
        rule(f.number == self.next.get(f.kind, 0), "a block number")
        rule(f.part == (self.part if f.kind == DATA else 0), "a part number")
        if f.kind == DIRECTORY:
            rule(self.last in (INDEX, DIRECTORY) and self.part == 0, "a directory out of place")
        elif f.kind == END:
            rule(self.last == DIRECTORY, "an end block out of place")
        else:
            rule(self.last != DIRECTORY, "a block after the directory")
        if f.kind == DATA:
            self.part = 0 if f.last else self.part + 1
        if f.last:
            self.next[f.kind] = f.number + 1
        self.last = f.kind


class Ledger:
    """14"""

    def __init__(self):
        self.next, self.names, self.open, self.tokens = 0, {}, {}, 0

    def add(self, r):
        rule(r.seq == self.next, "a sequence number")
        self.next += 1
        rule((r.seq == 0) == (r.kind == ARCHIVE), "record 0")
        if r.kind == ARCHIVE:
            return
        if r.kind == TOKEN:
            rule(r.token == self.tokens + 1, "the number of a token")
            rule(r.name not in self.names.values(), "two tokens of one name")
            self.tokens += 1
            self.names[r.token] = r.name
            self.open[r.token] = {"entries": {}, "all": 0}
            return
        rule(r.token in self.open, "a token that is not open")
        t = self.open[r.token]
        if r.kind == END_OF_TOKEN:
            live = sum(not e.flags & VANISHED for e in t["entries"].values())
            rule((r.live, r.all) == (live, t["all"]), "the counts of a token")
            del self.open[r.token]
            return
        t["all"] += 1
        earlier = t["entries"].get((r.kind, r.name))
        rule(r.supersedes == (NOTHING if earlier is None else earlier.seq), "what a record supersedes")
        t["entries"][r.kind, r.name] = r


class Index:
    """12, and the directory that comes of it: 13.1"""

    def __init__(self):
        self.open, self.due, self.names = {}, [], {0: b""}
        self.entries, self.tails, self.superseded = bytearray(), bytearray(), bytearray()
        self.counts = [0, 0, 0, 0, 0]

    def add(self, r):
        if r.kind == TOKEN:
            self.names[r.token] = r.name
            self.counts[3] += 1
        if r.supersedes != NOTHING:
            self.superseded += r.supersedes.to_bytes(8, "big")
            self.counts[4] += 1
        self.counts[2] += 1
        chunk, size = self.open.get(r.token, ([], 0))
        chunk.append(r)
        size += len(r.name) + len(r.meta)
        self.open[r.token] = chunk, size
        if r.kind in (ARCHIVE, END_OF_TOKEN) or len(chunk) == 4096 or size >= 256 * 1024:
            self.due.append((r.token, chunk))
            del self.open[r.token]

    def frame(self, f, offset, records, d):
        self.counts[0 if f.kind == DATA else 1] += 1
        self.entries += struct.pack(">BBHIQQIIQ", f.kind, f.last, 0, f.part, f.number, offset, f.length,
                                    len(records), records[0].seq) + d

    def chunk(self, f, offset):
        rule(self.due, "an index chunk where none is due")
        token, records = self.due.pop(0)
        rule(f.front == struct.pack(">I", token) + write_table(records), "an index chunk")
        self.frame(f, offset, records, hashlib.sha256(f.front).digest())
        bits = make_filter(self.names[token], records)
        self.tails += struct.pack(">III", token, len(records), len(bits)) + bits

    def directory(self):
        return bytes(self.entries + self.tails + self.superseded)


# Signatures, 13.4.


def string(c):
    return c.take(c.u(4))


def mpint(c):
    n = string(c)
    rule(n and n[0] < 0x80 and n.strip(b"\0") and (n[0] or n[1] >= 0x80), "a number")
    return int.from_bytes(n, "big")


def strings(*parts):
    return b"".join(struct.pack(">I", len(p)) + p for p in parts)


SK_ED25519, SK_P256 = b"sk-ssh-ed25519@openssh.com", b"sk-ecdsa-sha2-nistp256@openssh.com"
CURVES = {b"nistp256": (ec.SECP256R1(), hashes.SHA256()), b"nistp384": (ec.SECP384R1(), hashes.SHA384()),
          b"nistp521": (ec.SECP521R1(), hashes.SHA512())}


def public_key(wire):
    """Its type, the key for python3-cryptography, and a security key's application."""
    c = Cursor(wire)
    kind = string(c)
    curve = kind.removeprefix(b"ecdsa-sha2-") if kind != SK_P256 else b"nistp256"
    application = None
    try:
        if kind in (b"ssh-ed25519", SK_ED25519):
            key = Ed25519PublicKey.from_public_bytes(string(c))
        elif curve in CURVES and kind != curve:
            rule(string(c) == curve, "a key's curve")
            point = string(c)
            rule(point[:1] == b"\4", "a point")
            key = ec.EllipticCurvePublicKey.from_encoded_point(CURVES[curve][0], point)
        elif kind == b"ssh-rsa":
            e, n = mpint(c), mpint(c)
            rule(n.bit_length() <= 16384 and e < 1 << 24, "an RSA key too long")
            key = rsa.RSAPublicNumbers(e, n).public_key()
        else:
            raise Refused("unsupported", f"a key of type {kind}")
    except ValueError as e:
        raise Refused("malformed", f"a key: {e}") from None
    if kind in (SK_ED25519, SK_P256):
        application = string(c)
    c.end("a key")
    need(kind != b"ssh-rsa" or key.key_size >= 2048, "authentic", "a short RSA key")
    return kind, key, application


def check_signature(blob, message):
    """Returns the key."""
    c = Cursor(blob)
    rule(c.take(6) == b"SSHSIG", "the magic of a signature")
    need(c.u(4) == 1, "unsupported", "a signature's version")
    wire, namespace, reserved, digest, signature = (string(c) for _ in range(5))
    c.end("a signature")
    rule(not reserved, "a signature's reserved string")
    need(digest == b"sha512", "unsupported", "a signature's digest")
    need(namespace == b"tokar-archive", "authentic", "a signature's namespace")
    kind, key, application = public_key(wire)
    data = b"SSHSIG" + strings(namespace, b"", digest, hashlib.sha512(message).digest())
    c = Cursor(signature)
    algorithm = string(c)
    need(kind != b"ssh-rsa" or algorithm != kind, "authentic", "SHA-1")
    need(algorithm in ((b"rsa-sha2-256", b"rsa-sha2-512") if kind == b"ssh-rsa" else (kind,)), "unsupported", "an algorithm")
    value = string(c)
    if application is not None:
        after = c.take(5)
        data = hashlib.sha256(application).digest() + after + hashlib.sha256(data).digest()
    c.end("a signature")
    need(application is None or after[0] & 1, "authentic", "nobody touched the security key")
    try:
        if kind in (b"ssh-ed25519", SK_ED25519):
            rule(len(value) == 64, "an Ed25519 signature")
            key.verify(value, data)
        elif kind == b"ssh-rsa":
            rule(len(value) == (key.key_size + 7) // 8, "an RSA signature")
            key.verify(value, data, padding.PKCS1v15(), hashes.SHA256() if algorithm.endswith(b"256") else hashes.SHA512())
        else:
            c = Cursor(value)
            value = encode_dss_signature(mpint(c), mpint(c))
            c.end("an ECDSA signature")
            key.verify(value, data, ec.ECDSA(CURVES[b"nistp256" if kind == SK_P256 else kind[-8:]][1]))
    except InvalidSignature:
        raise Refused("authentic", "the signature") from None
    return wire


# Lists of signers, 13.5.


def moment(text):
    zone = datetime.timezone.utc if text.endswith("Z") else None
    text = text.removesuffix("Z")
    form = {8: "%Y%m%d", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}[len(text)]
    return datetime.datetime.strptime(text, form).replace(tzinfo=zone).astimezone()


SIGNER_OPTIONS = ("cert-authority", "namespaces", "valid-after", "valid-before")


def lists(line, wire, now):
    """Whether a line of a list lists a key."""
    parts = re.fullmatch(r'[ \t]*("[^"]*"|[^\s"#][^\s]*)[ \t]+((?:"(?:\\"|[^"])*"|[^\s"])+[ \t]+)?'
                         r"((?:ssh|ecdsa|sk)-[^\s]*)[ \t]+([A-Za-z0-9+/=]+)(?:[ \t].*)?", line.rstrip("\r"))
    if not parts or all(p[:1] in ("!", "") for p in parts[1].strip('"').split(",")):
        return False
    if any('"' in p or p.lower().split("=")[0] in SIGNER_OPTIONS for p in parts[1].removeprefix('"').removesuffix('"').split(",")):
        return False
    try:
        key = base64.b64decode(parts[4], validate=True)
        kind, _, _ = public_key(key)
    except (binascii.Error, Refused):
        return False
    if key != wire or kind.decode() != parts[3]:
        return False
    options = re.findall(r'([^=,]+)(="((?:\\"|[^"])*)")?(?:,|$)', (parts[2] or "").strip())
    names = [name.lower() for name, _, _ in options]
    if len(set(names)) < len(names):
        return False
    for name, given, value in zip(names, (o[1] for o in options), (o[2].replace('\\"', '"') for o in options)):
        if name == "namespaces" and given:
            found = [p for p in value.split(",") if fnmatch.fnmatchcase("tokar-archive", p.removeprefix("!"))]
            if not found or any(p.startswith("!") for p in found):
                return False
        elif name in ("valid-after", "valid-before") and given:
            bound = moment(value)
            if now < bound if name == "valid-after" else now > bound:
                return False
        else:
            return False
    return True


class EndBlock:
    """13.2; signers: None, or the text of a list and a moment or None"""

    def __init__(self, front, header, keys, signers):
        c = Cursor(front)
        counts = c.take(40)
        self.counts, self.root = list(struct.unpack(">QQQQQ", counts)), c.take(32)
        length = c.u(4)
        rule(length <= 16384, "a signature too long")
        signature, proof = c.take(length), c.take(32)
        c.end("the end block")
        m = b"tokar/1 end\0" + SUITE + header.core + counts + self.root
        if "tK restore proof" in keys:
            got = mac(keys["tK restore proof"], m, length.to_bytes(4, "big"), signature)
            need(same(got, proof), "authentic", "T")
        key = check_signature(signature, m) if signature else None
        if signers:
            now = moment(signers[1]) if signers[1] else datetime.datetime.now().astimezone()
            known = key and any(lists(line, key, now) for line in signers[0].split("\n"))
            need(known, "signer", "not signed by a known signer")


def root(directory):
    return hashlib.sha256(b"tokar/1 R\0" + directory).digest()


def read_footer(raw):
    """13.3"""
    need(len(raw) == 40 and raw[:8] == b"tokarEND", "truncated", "no footer")
    need(crc32c(raw[:36]) == raw[36:], "checksum", "the footer's checksum")
    b, directory, end, header = struct.unpack(">QQQI", raw[8:36])
    need(b <= 1 << 62 and directory <= end <= b and header <= MIB, "checksum", "the footer contradicts itself")
    return b, directory, end, header


def read_stream(data, identity, each=lambda r: None, signers=None):
    """15.1; without an identity 15.2"""
    c = Cursor(data, "truncated")
    header = Header(c)
    keys = header.open(identity) if identity else None
    base, places, ledger, index = c.at, Places(), Ledger(), Index()
    pieces, directory_at = None, 0
    while True:
        at = c.at - base
        f = Frame(header, c, keys)
        records = []
        if keys and f.kind == DATA:
            records = read_data(f)
            for r in records:
                r.check_mac(keys)
            open_wrap(f, records, header, keys)
            for r in records:
                r.open()
        places.take(f)
        if f.kind == DIRECTORY and f.number == 0:
            directory_at = at
        if keys and f.kind == DATA:
            rule(not index.due, "a data frame where an index chunk is due")
            for r in records:
                ledger.add(r)
                index.add(r)
                each(r)
            index.frame(f, at, records, data_digest(f, records))
        elif keys and f.kind == INDEX:
            index.chunk(f, at)
        elif keys and f.kind == DIRECTORY:
            if pieces is None:
                rule(not index.due and not ledger.open, "a token or a chunk is open")
                whole = index.directory()
                pieces = [whole[i : i + PIECE] for i in range(0, len(whole), PIECE)]
            rule(pieces and f.front == pieces.pop(0), "a piece of the directory")
        elif f.kind == END:
            if keys:
                rule(pieces == [], "the directory is not all there")
                end = EndBlock(f.front, header, keys, signers)
                rule(end.counts == index.counts, "the end block's counts")
                need(same(end.root, root(index.directory())), "authentic", "R")
            end_at = at
            break
    b = c.at - base
    need(c.left(), "truncated", "nothing after the end block")
    try:
        again = Header(c)
    except Refused as e:
        raise Refused("malformed", "no end copy") if e.klass == "not-archive" else e from None
    rule(again.raw == header.raw, "the end copy differs")
    rule(c.left() <= 40, "bytes after the footer")
    footer = read_footer(c.take(c.left()))
    rule(footer == (b, directory_at, end_at, len(header.raw)), "the footer says something else")


def read_index(data, identity, each=lambda r: None, signers=None):
    """15.3"""
    b, directory_at, end_at, length = read_footer(data[-40:])
    base = len(data) - 40 - length - b
    need(base >= 0, "truncated", "less than the footer says")
    header = choose_header(data, base, len(data) - 40 - length)
    keys = header.open(identity)

    def frame(at, want):
        c = Cursor(data, "truncated")
        c.at = base + at
        f = Frame(header, c, None)
        rule(f.place() == want, "another frame than is listed")
        c.at = base + at
        return Frame(header, c, keys)

    end = EndBlock(frame(end_at, (END, 0, 0, 1)).front, header, keys, signers)
    n_data, n_index, n_records, n_tokens, n_superseded = end.counts
    rule(max(n_data, n_index) <= b // 64 and n_records <= b // 32 and n_superseded <= n_records, "counts")
    limit = 72 * (n_data + n_index) + 13 * n_index + 2 * n_records + 8 * n_superseded
    directory, at, number = b"", directory_at, 0
    while at < end_at:
        f = frame(at, (DIRECTORY, number, 0, 1))
        rule(0 < len(f.front) <= PIECE and len(directory) % PIECE == 0, "a piece of the directory")
        directory += f.front
        rule(len(directory) <= limit, "a directory too long")
        at, number = at + f.length, number + 1
    rule(at == end_at, "the end block does not follow the directory")
    need(same(root(directory), end.root), "authentic", "R")
    data_frames, chunks, superseded = read_directory(directory, end.counts)

    def listed(entry):
        place, offset, length, count, first, d = entry
        f = frame(offset, place)
        rule(f.length == length, "a frame of another length")
        if f.kind == INDEX:
            need(same(hashlib.sha256(f.front).digest(), d), "authentic", "D of a chunk")
            token, records = read_chunk(f.front)
            check_chunk(records)
        else:
            records = read_data(f)
            need(same(data_digest(f, records), d), "authentic", "D of a block")
            open_wrap(f, records, header, keys)
        wrong = "authentic" if f.kind == DATA else "malformed"
        need(len(records) == count and records[0].seq == first, wrong, "a frame of other records")
        return records

    described, held = set(), (None, None)
    firsts = [e[4] for e in data_frames]
    for entry in chunks:
        for r in listed(entry):
            if r.descriptor:
                described.add(r.token)
            if r.seq in superseded:
                continue
            if r.kind == ARCHIVE:
                each(r)
                continue
            rule(r.token in described, "a token that nothing describes")
            if r.descriptor:
                each(r)
                continue
            rule(r.seq < n_records, "a record that no block holds")
            at = data_frames[bisect.bisect_right(firsts, r.seq) - 1]
            if held[0] != at:
                held = at, listed(at)
            whole = held[1][r.seq - at[4]]
            rule(whole.fixed[:40] == r.fixed[:40] and whole.name == r.name and whole.meta == r.meta, "a record that its chunk gives otherwise")
            whole.check_mac(keys)
            whole.open()
            each(whole)


def choose_header(data, base, copy_at):
    """15.3, step 2"""

    def read(at):
        c = Cursor(data, "truncated")
        c.at = at
        try:
            return Header(c), None
        except Refused as e:
            return None, e

    (front, error), (copy, copy_error) = read(0), read(copy_at)

    def whole(e):
        return e is None or e.klass in ("unsupported", "malformed")

    if error:
        if whole(error) or copy_error:
            raise error
        return copy
    rule(not whole(copy_error) or copy and copy.raw == front.raw, "the end copy differs")
    rule(base == len(front.raw), "the first frame does not follow the header")
    return front


def read_directory(directory, counts):
    """15.3, step 7"""
    n_data, n_index, n_records, n_tokens, n_superseded = counts
    c = Cursor(directory)
    data_frames, chunks = [], []
    number, part, at, records = 0, 0, 0, 0
    for _ in range(n_data + n_index):
        kind, last, zero, p = c.u(1), c.u(1), c.u(2), c.u(4)
        n, offset, length, count, first, d = c.u(8), c.u(8), c.u(4), c.u(4), c.u(8), c.take(32)
        rule(kind in (DATA, INDEX) and last <= 1 and zero == 0, "a directory entry")
        rule(64 <= length <= MAX_BODY + 108 and 1 <= count <= 65536 and at <= offset <= 1 << 62, "a directory entry")
        at = offset + length
        entry = (kind, n, p, last), offset, length, count, first, d
        if kind == INDEX:
            rule((n, p, last) == (len(chunks), 0, 1), "an index entry's number")
            chunks.append(entry)
            continue
        rule((n, p) == (number, part), "a data entry's number")
        number, part = (number + 1, 0) if last else (number, part + 1)
        rule(first == records, "a data entry's first record")
        records += count
        data_frames.append(entry)
    rule(part == 0 and len(data_frames) == n_data, "data entries")
    rule(records == n_records == sum(e[3] for e in chunks), "records")
    tokens = 0
    for e in chunks:
        token, count = c.u(4), c.u(4)
        c.take(c.u(4))
        rule(count == e[3], "a tail's count")
        tokens = max(tokens, token)
    superseded = {c.u(8) for _ in range(n_superseded)}
    c.end("the directory")
    rule(tokens == n_tokens and len(superseded) == n_superseded, "tokens and superseded records")
    return data_frames, chunks, superseded


# Vectors.


def salvage(data, identity, each):
    """15.5: what is whole of a damaged archive."""
    found = []
    for at in (m.start() for m in re.finditer(re.escape(b"\x89TOKAR\r\n"), data)):
        c = Cursor(data, "truncated")
        c.at = at
        for whole, read in ((True, lambda: Header(c)), (False, lambda: Header.damaged(data[at:]))):
            try:
                found.append((not whole, at, read()))
                break
            except Refused:
                pass
    why = Refused("checksum", "no header is left")
    for _, _, header in sorted(found, key=lambda f: f[:2]):
        try:
            keys = header.open(identity, section=False)
            break
        except Refused as e:
            why = e
    else:
        raise why
    parts, at = {}, 0
    while (at := data.find(b"\xf7TKB" + header.id[:8], at)) >= 0:
        c = Cursor(data, "truncated")
        c.at = at
        try:
            f = Frame(header, c, keys)
        except Refused:
            at += 1
            continue
        at = c.at
        if f.kind == DATA:
            parts.setdefault((f.number, f.part), f)
    following = 0
    for _, f in sorted(parts.items()):
        try:
            records = read_data(f)
            rule(records[0].seq >= following, "sequence numbers again")
        except Refused:
            continue
        following = records[-1].seq + 1
        wrap = True
        try:
            open_wrap(f, records, header, keys)
        except Refused:
            wrap = False
        for r in records:
            try:
                r.check_mac(keys)
                need(wrap or not r.flags & WRAPPED, "authentic", "its wrap")
                r.open()
            except Refused:
                continue
            each(r)
    need(following, "checksum", "no block of records is left")


def verdict(read, *args):
    try:
        read(*args)
        return "ok"
    except Refused as e:
        return e.klass


def judge(where):
    """17: prints every disagreement."""
    with open(os.path.join(where, "vectors.json")) as f:
        file = json.load(f)

    def identity(vector, role):
        name = vector.get("open", {}).get(role)
        if not name:
            key = "tK" if role == "restore" else "mK"
            return given(RESTORE if key == "tK" else VERIFY, bytes.fromhex(file["keys"][vector["keys"]][key]))
        text = file["identities"][name]
        return secret_key(text) or passphrase(text.encode())

    wrong = judgements = 0
    for v in file["vectors"]:
        with open(os.path.join(where, v["name"] + ".tokar"), "rb") as f:
            data = f.read()
        lines, by_index = [], []
        signers = (file["signers"][v["signers"]], v.get("time")) if "signers" in v else None
        got = {
            "stream": verdict(read_stream, data, identity(v, "restore"), lambda r: lines.append(r.line()), signers),
            "verifier": verdict(read_stream, data, identity(v, "verify"), lambda r: None, signers),
            "keyless": verdict(read_stream, data, None),
            "index": verdict(read_index, data, identity(v, "restore"), lambda r: by_index.append(r.line()), signers),
        }
        judgements += 4
        for way, klass in v["expect"].items():
            if klass == "refused" and got[way] != "ok":  # whatever the class
                got[way] = klass
        if got != v["expect"]:
            wrong += 1
            print(f"{v['name']}: {v['about']}\n  got  {got}\n  want {v['expect']}")
        if v["expect"]["stream"] == "ok":
            with open(os.path.join(where, v["name"] + ".list")) as f:
                want = f.read().splitlines()
            superseded = set(re.findall(r" supersedes=(\d+) ", "\n".join(lines)))
            stands = [x for x in want if x.split(" ")[0] not in superseded]
            judgements += 1
            if lines != want or got["index"] == "ok" and sorted(by_index) != sorted(stands):
                wrong += 1
                print(f"{v['name']}: another listing")
    print(f"{len(file['vectors'])} vectors, {judgements} judgements, {wrong} disagreements")
    return wrong


def identity_of(args):
    """What KEY says; several are not tried."""
    if not args:
        return None
    kind, _, rest = args[0].partition(":")
    if kind in ("tK", "mK"):
        return given(RESTORE if kind == "tK" else VERIFY, bytes.fromhex(rest))
    if kind == "passphrase":
        with open(rest, "rb") as f:
            return passphrase(f.read().rstrip(b"\r\n"))
    with open(args[0]) as f:
        return next(key for key in map(secret_key, map(str.strip, f)) if key)


def secret_key(text):
    if text.startswith("TOKAR-SECRET-KEY-HPKE-"):
        return hpke(text)
    return age(text) if text.startswith("AGE-SECRET-KEY-1") else None


def extract(data, where, identity):
    """Writes entries below a new directory after everything was verified."""
    records = []
    read_stream(data, identity, records.append)
    tokens = {r.token: r.name for r in records if r.kind == TOKEN}
    superseded = {r.supersedes for r in records}
    os.mkdir(where)
    for r in records:
        if r.descriptor or r.kind >= 0x8000 or r.seq in superseded or r.flags & (VANISHED | REFUSED):
            continue
        if r.data is None:
            raise Refused("no-key", "a verifier's key opens no payload")
        parts = [os.fsencode(where)] + tokens[r.token].split(b"\0") + r.name.split(b"\0")
        path = os.path.join(*parts)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "xb") as f:
            f.write(r.data)


def main(args):
    if len(args) >= 2 and args[0] == "judge":
        return 1 if judge(args[1]) else 0
    if len(args) < 2 or args[0] not in ("list", "extract", "verify", "salvage"):
        print(__doc__, file=sys.stderr)
        return 2
    with open(args[1], "rb") as f:
        data = f.read()
    try:
        if args[0] == "salvage":
            salvage(data, identity_of(args[2:]), lambda r: print(r.line()))
        elif args[0] == "extract":
            extract(data, args[2], identity_of(args[3:]))
        else:
            show = (lambda r: print(r.line())) if args[0] == "list" else lambda r: None
            read_stream(data, identity_of(args[2:]), show)
    except Refused as e:
        print(e, file=sys.stderr)
        return 6 if e.klass == "no-key" else 7
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
