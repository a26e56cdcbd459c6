// SPDX-License-Identifier: Apache-2.0
/* FNV-1a, 64 bits (Fowler, Noll, Vo): a name for bytes, no defence against anyone. What is in files is made of
 * hash_bytes(), so it must stay what it is. */
#ifndef GPTJT_BASE_HASH_H
#define GPTJT_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

#define HASH_BEGIN UINT64_C(0xcbf29ce484222325)

/* value as one unit, which need not be a byte. */
static inline uint64_t hash_value(uint64_t hash, uint64_t value)
{
    return (hash ^ value) * UINT64_C(0x100000001b3);
}

static inline uint64_t hash_bytes(uint64_t hash, const char *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++)
        hash = hash_value(hash, (unsigned char)bytes[i]);
    return hash;
}

/* For tables: then the finalizer of MurmurHash3, since short keys that differ in their last byte must not share slots.
 */
static inline uint64_t hash_key(const char *bytes, size_t len)
{
    uint64_t hash = hash_bytes(HASH_BEGIN, bytes, len);
    hash = (hash ^ hash >> 33) * UINT64_C(0xff51afd7ed558ccd);
    return hash ^ hash >> 33;
}

#endif
