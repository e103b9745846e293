#!/usr/bin/env python3
"""A second reader of envelopes, written from docs/envelope.md and sharing nothing with the library.

    reader.py PASSPHRASE FILE...    prints "SHA-256 of the content" or "refused: why" for each file

Python's standard library has HMAC and BLAKE2b but neither AES nor Argon2, so both are here (RFC 9106, FIPS 197,
NIST SP 800-38D). Slow, for small files, and of no use against side channels: a check of the format, not a tool.
"""
import hashlib, hmac, struct, sys, unicodedata

MASK = (1 << 64) - 1


def blake2b_long(data, length):  # RFC 9106, 3.3
    data = struct.pack("<I", length) + data
    if length <= 64:
        return hashlib.blake2b(data, digest_size=length).digest()
    out, v = b"", hashlib.blake2b(data).digest()
    while length - len(out) > 64:
        out, v = out + v[:32], hashlib.blake2b(v, digest_size=min(64, length - len(out) - 32)).digest()
    return out + v


ROUND = [(0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15), (0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14)]
ROWS = [[8 * i + j for j in range(16)] for i in range(0, 16, 2)]
COLUMNS = [[16 * j + 2 * i + k for j in range(8) for k in (0, 1)] for i in range(8)]
STEPS = [tuple(lane[i] for i in step) for lane in ROWS + COLUMNS for step in ROUND]


def compress(x, y):  # RFC 9106, 3.5 and 3.6
    v = [a ^ b for a, b in zip(x, y)]
    z, low, m = v[:], 0xFFFFFFFF, MASK
    for ia, ib, ic, id_ in STEPS:
        a, b, c, d = v[ia], v[ib], v[ic], v[id_]
        a = (a + b + 2 * (a & low) * (b & low)) & m; d ^= a; d = (d >> 32 | d << 32) & m
        c = (c + d + 2 * (c & low) * (d & low)) & m; b ^= c; b = (b >> 24 | b << 40) & m
        a = (a + b + 2 * (a & low) * (b & low)) & m; d ^= a; d = (d >> 16 | d << 48) & m
        c = (c + d + 2 * (c & low) * (d & low)) & m; b ^= c; b = (b >> 63 | b << 1) & m
        v[ia], v[ib], v[ic], v[id_] = a, b, c, d
    return [a ^ b for a, b in zip(v, z)]


def argon2id(password, salt, kib, passes, lanes, length=32):
    def le(data):
        return struct.pack("<I", len(data)) + data
    h0 = hashlib.blake2b(struct.pack("<6I", lanes, length, kib, passes, 0x13, 2) + le(password) + le(salt) + le(b"") * 2).digest()
    segment = kib // (4 * lanes)
    columns, blocks = 4 * segment, 4 * segment * lanes
    memory = [[None] * columns for _ in range(lanes)]
    for lane in range(lanes):
        for i in (0, 1):
            memory[lane][i] = list(struct.unpack("<128Q", blake2b_long(h0 + struct.pack("<2I", i, lane), 1024)))
    zero = [0] * 128
    for turn in range(passes):
        for part in range(4):
            for lane in range(lanes):
                independent = turn == 0 and part < 2
                for i in range(2 if turn == 0 and part == 0 else 0, segment):
                    at = part * segment + i
                    row, before = memory[lane], memory[lane][at - 1]
                    if independent:
                        if i % 128 == 0 or i == 2 and part == 0:
                            header = [turn, lane, part, blocks, passes, 2, i // 128 + 1] + [0] * 121
                            addresses = compress(zero, compress(zero, header))
                        j1, j2 = addresses[i % 128] & 0xFFFFFFFF, addresses[i % 128] >> 32
                    else:
                        j1, j2 = before[0] & 0xFFFFFFFF, before[0] >> 32
                    other = lane if turn == 0 and part == 0 else j2 % lanes
                    done = part * segment if turn == 0 else columns - segment
                    if other == lane:
                        area = done + i - 1
                    else:
                        area = done - (i == 0)
                    start = 0 if turn == 0 else (part + 1) * segment % columns
                    chosen = (start + area - 1 - (area * (j1 * j1 >> 32) >> 32)) % columns
                    block = compress(before, memory[other][chosen])
                    row[at] = [a ^ b for a, b in zip(block, row[at])] if turn else block
    last = zero
    for lane in range(lanes):
        last = [a ^ b for a, b in zip(last, memory[lane][-1])]
    return blake2b_long(struct.pack("<128Q", *last), length)


def tables():  # FIPS 197: S-box, and one table for a whole round
    power, log, x = [0] * 256, [0] * 256, 1
    for i in range(255):
        power[i], log[x] = x, i
        x ^= (x << 1) ^ (0x11B if x & 0x80 else 0)
        x &= 0xFF
    sbox = []
    for i in range(256):
        b = power[(255 - log[i]) % 255] if i else 0
        sbox.append((b ^ b << 1 ^ b << 2 ^ b << 3 ^ b << 4 ^ b >> 4 ^ b >> 5 ^ b >> 6 ^ b >> 7 ^ 0x63) & 0xFF)
    double = [(s << 1) ^ (0x11B if s & 0x80 else 0) for s in sbox]
    return sbox, [d << 24 | s << 16 | s << 8 | d ^ s for s, d in zip(sbox, double)]


SBOX, T0 = tables()
T1, T2, T3 = ([(t >> n | t << 32 - n) & 0xFFFFFFFF for t in T0] for n in (8, 16, 24))


def aes256_schedule(key):
    w, rcon = list(struct.unpack(">8I", key)), 1
    for i in range(8, 60):
        t = w[-1]
        if i % 8 == 0:
            t = (t << 8 | t >> 24) & 0xFFFFFFFF
        if i % 4 == 0:
            t = int.from_bytes(bytes(SBOX[b] for b in t.to_bytes(4, "big")), "big")
        if i % 8 == 0:
            t, rcon = t ^ rcon << 24, rcon << 1
        w.append(w[-8] ^ t)
    return w


def aes256(w, block):
    s = [a ^ b for a, b in zip(struct.unpack(">4I", block), w)]
    for r in range(4, 56, 4):
        s = [T0[s[i] >> 24] ^ T1[s[i - 3] >> 16 & 255] ^ T2[s[i - 2] >> 8 & 255] ^ T3[s[i - 1] & 255] ^ w[r + i] for i in range(4)]
    return struct.pack(">4I", *((SBOX[s[i] >> 24] << 24 | SBOX[s[i - 3] >> 16 & 255] << 16 | SBOX[s[i - 2] >> 8 & 255] << 8
                                 | SBOX[s[i - 1] & 255]) ^ w[56 + i] for i in range(4)))


def gcm_open(key, nonce, sealed):  # SP 800-38D with empty AAD
    w, text, tag = aes256_schedule(key), sealed[:-16], sealed[-16:]
    h = int.from_bytes(aes256(w, bytes(16)), "big")
    powers = []
    for _ in range(128):
        powers.append(h)
        h = h >> 1 ^ (0xE1 << 120 if h & 1 else 0)
    y = 0
    for block in [text[i:i + 16].ljust(16, b"\0") for i in range(0, len(text), 16)] + [struct.pack(">2Q", 0, 8 * len(text))]:
        x, y = y ^ int.from_bytes(block, "big"), 0
        while x:
            bit = x.bit_length()
            y ^= powers[128 - bit]
            x ^= 1 << bit - 1
    mask = int.from_bytes(aes256(w, nonce + b"\0\0\0\1"), "big")
    if (y ^ mask).to_bytes(16, "big") != tag:
        return None
    stream = b"".join(aes256(w, nonce + struct.pack(">I", i + 2)) for i in range((len(text) + 15) // 16))
    return bytes(a ^ b for a, b in zip(text, stream))


def mac(key, data):
    return hmac.new(key, data, hashlib.sha256).digest()


def expand(key, info, length):
    out, block = b"", b""
    while len(out) < length:
        block = mac(key, block + info + bytes([len(out) // 32 + 1]))
        out += block
    return out[:length]


def read(passphrase, data, keys):
    if len(data) < 104:
        raise ValueError("Truncated")
    if data[:8] != b"\x89AENV\r\n\x1a":
        raise ValueError("NotAnEnvelope")
    if data[96:104] != hashlib.sha256(b"AENVv1 header sum" + data[:96]).digest()[:8]:
        raise ValueError("HeaderCorrupt")
    version, suite, chunk_log2, flags, kdf, m, t, p = data[8:16]
    if (version, suite, flags, kdf) != (1, 1, 0, 1):
        raise ValueError("Unsupported")
    size = 1 << chunk_log2
    if len(data) < 120 or (len(data) - 104) % (size + 16) < 16:
        raise ValueError("Truncated")
    if data[13:32] not in keys:
        keys[data[13:32]] = argon2id(passphrase, data[16:32], 1 << m, t, p)
    kek, v, wrapped = keys[data[13:32]], data[32:64], data[64:96]
    pad = mac(expand(kek, b"AENVv1 wrap enc", 32), v)
    file_key = bytes(a ^ b for a, b in zip(wrapped, pad))
    if mac(expand(kek, b"AENVv1 wrap mac", 32), data[:32] + file_key) != v:
        raise ValueError("BadPassphrase")
    payload = expand(file_key, b"AENVv1 payload" + data[8:12], 44)
    plain = []
    for i, at in enumerate(range(104, len(data), size + 16)):
        nonce = bytes(a ^ b for a, b in zip(payload[32:], struct.pack(">IQ", 0, i)))
        chunk = gcm_open(payload[:32], nonce, data[at:at + size + 16])
        if chunk is None:
            raise ValueError(f"ChunkCorrupt({i})")
        plain.append(chunk)
    return b"".join(plain)


if __name__ == "__main__":
    words, derived = unicodedata.normalize("NFC", sys.argv[1]).encode(), {}
    for name in sys.argv[2:]:
        with open(name, "rb") as file:
            envelope = file.read()
        try:
            print(hashlib.sha256(read(words, envelope, derived)).hexdigest())
        except ValueError as why:
            print("refused:", why)
