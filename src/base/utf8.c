// SPDX-License-Identifier: Apache-2.0
#include "base/utf8.h"

int utf8_char(const char *text, size_t len)
{
    const unsigned char *p = (const unsigned char *)text;
    const unsigned char b = p[0];
    if (b < 0x80) return 1;
    /* Unicode table 3-7: only the second byte's range depends on the first. */
    int n;
    unsigned char low = 0x80, high = 0xbf;
    if (b >= 0xc2 && b <= 0xdf) {
        n = 2;
    } else if (b >= 0xe0 && b <= 0xef) {
        n = 3;
        if (b == 0xe0) low = 0xa0;
        if (b == 0xed) high = 0x9f;
    } else if (b >= 0xf0 && b <= 0xf4) {
        n = 4;
        if (b == 0xf0) low = 0x90;
        if (b == 0xf4) high = 0x8f;
    } else {
        return 0;
    }
    for (int i = 1; i < n; i++) {
        if ((size_t)i >= len) return -1;
        if (p[i] < low || p[i] > high) return 0;
        low = 0x80;
        high = 0xbf;
    }
    return n;
}

size_t utf8_invalid_at(const char *text, size_t len)
{
    size_t at = 0;
    while (at < len) {
        const int n = utf8_char(text + at, len - at);
        if (n <= 0) return at;
        at += (size_t)n;
    }
    return len;
}

bool utf8_valid(const char *text, size_t len)
{
    return utf8_invalid_at(text, len) == len;
}

/* How many bytes of an ill-formed sequence one U+FFFD stands for: the longest well-formed beginning, at least 1. */
static size_t bad_length(const char *text, size_t len)
{
    size_t n = 1;
    while (n < len && n < 4 && utf8_char(text, n + 1) == -1)
        n++;
    return n;
}

void utf8_append_replaced(struct buf *out, const char *text, size_t len)
{
    size_t at = 0;
    while (at < len) {
        const size_t good = utf8_invalid_at(text + at, len - at);
        buf_append(out, text + at, good);
        at += good;
        if (at == len) break;
        buf_puts(out, "\xef\xbf\xbd");
        at += bad_length(text + at, len - at);
    }
}

size_t utf8_characters(const char *text, size_t len)
{
    size_t n = 0;
    for (size_t i = 0; i < len; i++)
        n += ((unsigned char)text[i] & 0xc0) != 0x80;
    return n;
}
