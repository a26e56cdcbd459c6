// SPDX-License-Identifier: Apache-2.0
#include "dist/bits.h"

#include <assert.h>
#include <string.h>

/* Eight numbers are as many whole bytes as they have bits each. */
static inline void pack_eight(uint8_t *bytes, const uint8_t *code, int bits)
{
    uint64_t all = 0;
    for (int i = 0; i < 8; i++)
        all = all << bits | code[i];
    for (int i = 0; i < bits; i++)
        bytes[i] = (uint8_t)(all >> 8 * (bits - 1 - i));
}

static inline void unpack_eight(uint8_t *code, const uint8_t *bytes, int bits)
{
    uint64_t all = 0;
    for (int i = 0; i < bits; i++)
        all = all << 8 | bytes[i];
    for (int i = 0; i < 8; i++)
        code[i] = (uint8_t)(all >> bits * (7 - i) & ((1u << bits) - 1));
}

/* With bits a constant where it is inlined. */
static inline void pack_all(uint8_t *bytes, const uint8_t *code, size_t eights, int bits)
{
    for (size_t i = 0; i < eights; i++)
        pack_eight(bytes + i * (size_t)bits, code + 8 * i, bits);
}

static inline void unpack_all(uint8_t *code, const uint8_t *bytes, size_t eights, int bits)
{
    for (size_t i = 0; i < eights; i++)
        unpack_eight(code + 8 * i, bytes + i * (size_t)bits, bits);
}

static void pack_fours(uint8_t *bytes, const uint8_t *code, size_t n_bytes)
{
    for (size_t i = 0; i < n_bytes; i++)
        bytes[i] = (uint8_t)(code[2 * i] << 4 | code[2 * i + 1]);
}

static void unpack_fours(uint8_t *code, const uint8_t *bytes, size_t n_bytes)
{
    for (size_t i = 0; i < n_bytes; i++) {
        code[2 * i] = bytes[i] >> 4;
        code[2 * i + 1] = bytes[i] & 15;
    }
}

static void pack_eights(uint8_t *bytes, const uint8_t *code, size_t eights, int bits)
{
    switch (bits) {
    case 1: pack_all(bytes, code, eights, 1); break;
    case 2: pack_all(bytes, code, eights, 2); break;
    case 3: pack_all(bytes, code, eights, 3); break;
    case 4: pack_fours(bytes, code, 4 * eights); break;
    case 8: memcpy(bytes, code, 8 * eights); break;
    default: pack_all(bytes, code, eights, bits); break;
    }
}

static void unpack_eights(uint8_t *code, const uint8_t *bytes, size_t eights, int bits)
{
    switch (bits) {
    case 1: unpack_all(code, bytes, eights, 1); break;
    case 2: unpack_all(code, bytes, eights, 2); break;
    case 3: unpack_all(code, bytes, eights, 3); break;
    case 4: unpack_fours(code, bytes, 4 * eights); break;
    case 8: memcpy(code, bytes, 8 * eights); break;
    default: unpack_all(code, bytes, eights, bits); break;
    }
}

void bits_pack(uint8_t *bytes, const uint8_t *code, size_t n, int bits)
{
    assert(bits >= 1 && bits <= 8);
    const size_t eights = n / 8, rest = n % 8;
    if (eights) pack_eights(bytes, code, eights, bits);
    if (!rest) return;
    uint8_t last_codes[8] = {0}, last_bytes[8];
    memcpy(last_codes, code + 8 * eights, rest);
    pack_eight(last_bytes, last_codes, bits);
    memcpy(bytes + eights * (size_t)bits, last_bytes, bits_bytes(rest, bits));
}

void bits_unpack(uint8_t *code, const uint8_t *bytes, size_t n, int bits)
{
    assert(bits >= 1 && bits <= 8);
    const size_t eights = n / 8, rest = n % 8;
    if (eights) unpack_eights(code, bytes, eights, bits);
    if (!rest) return;
    uint8_t last_codes[8], last_bytes[8] = {0};
    memcpy(last_bytes, bytes + eights * (size_t)bits, bits_bytes(rest, bits));
    unpack_eight(last_codes, last_bytes, bits);
    memcpy(code + 8 * eights, last_codes, rest);
}

bool bits_padded(const uint8_t *bytes, size_t n, int bits)
{
    const size_t used = n % 8 * (size_t)bits % 8;
    return !used || !(bytes[bits_bytes(n, bits) - 1] & 0xffu >> used);
}
