// SPDX-License-Identifier: Apache-2.0
/* The byte alphabet, computed instead of tabulated: its three unprintable ranges are 0..0x20, 0x7f..0xa0 and 0xad. */
#include "tokenizer/alphabet.h"

#include "base/utf8.h"

enum { FIRST_RANGE = 0x21, SECOND_RANGE = 0xa1 - 0x7f, UNPRINTABLE = FIRST_RANGE + SECOND_RANGE + 1 };

static int byte_of(unsigned c)
{
    if ((c > 0x20 && c < 0x7f) || (c > 0xa0 && c < 0x100 && c != 0xad)) return (int)c;
    if (c < 0x100 || c >= 0x100 + UNPRINTABLE) return -1;
    const int k = (int)c - 0x100;
    if (k < FIRST_RANGE) return k;
    if (k < FIRST_RANGE + SECOND_RANGE) return k - FIRST_RANGE + 0x7f;
    return 0xad;
}

bool alphabet_decode(struct buf *out, const char *text, size_t len)
{
    const size_t before = out->len;
    char chunk[64]; /* most tokens are shorter */
    size_t n_chunk = 0;
    for (size_t at = 0; at < len;) {
        const int n = utf8_char(text + at, len - at);
        const unsigned char *p = (const unsigned char *)text + at;
        /* The whole alphabet lies below U+0800. */
        const int byte = n == 1 ? byte_of(p[0]) : n == 2 ? byte_of((p[0] & 0x1fu) << 6 | (p[1] & 0x3fu)) : -1;
        if (byte < 0) {
            if (out->data) out->data[out->len = before] = 0;
            return false;
        }
        chunk[n_chunk++] = (char)byte;
        at += (size_t)n;
        if (n_chunk < sizeof chunk && at < len) continue;
        buf_append(out, chunk, n_chunk);
        n_chunk = 0;
    }
    return true;
}

static unsigned character_of(unsigned byte)
{
    if (byte < FIRST_RANGE) return 0x100 + byte;
    if (byte >= 0x7f && byte <= 0xa0) return 0x100 + FIRST_RANGE + byte - 0x7f;
    return byte == 0xad ? 0x100 + UNPRINTABLE - 1 : byte;
}

void alphabet_encode(struct buf *out, const char *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        const unsigned c = character_of((unsigned char)bytes[i]);
        const char one = (char)c, two[2] = {(char)(0xc0 | c >> 6), (char)(0x80 | (c & 0x3f))};
        if (c < 0x80)
            buf_append(out, &one, 1);
        else
            buf_append(out, two, 2);
    }
}
