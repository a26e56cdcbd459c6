// SPDX-License-Identifier: Apache-2.0
/* Normalises answers and compares them as HELM does; see helm_text.h. */
#include "eval/helm_text.h"

#include <ctype.h>
#include <string.h>
#include <wctype.h>

#include "base/utf8.h"

enum status helm_text_locale(locale_t *out)
{
    const locale_t l = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
    if (!l) return fail(E_UNSUPPORTED, "this system has no locale C.UTF-8, which says what letters are");
    *out = l;
    return OK;
}

/* The character at text[0..len), len >= 1, and its length. */
static wint_t character(const char *text, size_t len, size_t *bytes)
{
    const int n = utf8_char(text, len);
    const unsigned char *p = (const unsigned char *)text;
    *bytes = n > 0 ? (size_t)n : 1;
    if (n <= 1) return p[0];
    wint_t c = p[0] & (0xffu >> (n + 1));
    for (int i = 1; i < n; i++)
        c = c << 6 | (p[i] & 0x3fu);
    return c;
}

static void put(struct buf *out, wint_t c)
{
    const char bytes[4] = {(char)(0xf0 | c >> 18), (char)(0x80 | (c >> 12 & 0x3f)), (char)(0x80 | (c >> 6 & 0x3f)),
                           (char)(0x80 | (c & 0x3f))};
    const char two = (char)(0xc0 | c >> 6), three = (char)(0xe0 | c >> 12), one = (char)c;
    if (c < 0x80) {
        buf_append(out, &one, 1);
    } else if (c < 0x800) {
        buf_append(out, &two, 1);
        buf_append(out, bytes + 3, 1);
    } else if (c < 0x10000) {
        buf_append(out, &three, 1);
        buf_append(out, bytes + 2, 2);
    } else {
        buf_append(out, bytes, 4);
    }
}

/* What Python's str.isspace() is true of. */
static bool is_space(wint_t c)
{
    if (c < 0x80) return (c >= 9 && c <= 13) || (c >= 28 && c <= 32);
    return c == 0x85 || c == 0xa0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 ||
           c == 0x202f || c == 0x205f || c == 0x3000;
}

struct helm_text helm_strip(struct helm_text text)
{
    size_t n;
    while (text.len && is_space(character(text.data, text.len, &n))) {
        text.data += n;
        text.len -= n;
    }
    while (text.len) {
        size_t at = text.len - 1;
        while (at && ((unsigned char)text.data[at] & 0xc0) == 0x80)
            at--;
        if (!is_space(character(text.data + at, text.len - at, &n))) break;
        text.len = at;
    }
    return text;
}

/* text in lower case and without ASCII punctuation */
static void simplify(struct buf *out, struct helm_text text, locale_t locale)
{
    for (size_t at = 0, n; at < text.len; at += n) {
        const wint_t c = character(text.data + at, text.len - at, &n);
        if (c >= 0x80)
            put(out, towlower_l(c, locale));
        else if (!ispunct_l((int)c, locale))
            put(out, (wint_t)tolower_l((int)c, locale));
    }
}

/* Bytes of letters and digits at text[0..len). */
static size_t word_bytes(const char *text, size_t len, locale_t locale)
{
    size_t at = 0, n;
    while (at < len && iswalnum_l(character(text + at, len - at, &n), locale))
        at += n;
    return at;
}

static bool is_article(const char *word, size_t len)
{
    return (len == 1 && word[0] == 'a') || (len == 2 && !memcmp(word, "an", 2)) ||
           (len == 3 && !memcmp(word, "the", 3));
}

void helm_normalize(struct buf *out, struct helm_text text, locale_t locale)
{
    struct buf simple = {0};
    simplify(&simple, text, locale);
    out->failed |= simple.failed;
    const size_t start = out->len;
    bool space = false;
    for (size_t at = 0, n; at < simple.len; at += n) {
        const char *part = simple.data + at;
        const wint_t c = character(part, simple.len - at, &n);
        const size_t word = word_bytes(part, simple.len - at, locale);
        if (word) n = word;
        if (is_space(c) || is_article(part, word)) {
            space = true;
            continue;
        }
        if (space && out->len > start) buf_puts(out, " ");
        space = false;
        buf_append(out, part, n);
    }
    buf_free(&simple);
}

static bool equal(struct helm_text a, struct helm_text b)
{
    return a.len == b.len && (!a.len || !memcmp(a.data, b.data, a.len));
}

static bool begins_with(struct helm_text text, struct helm_text prefix)
{
    if (text.len > prefix.len) text.len = prefix.len;
    return equal(text, prefix);
}

enum status helm_match(bool *right, struct helm_text gold, struct helm_text prediction, locale_t locale)
{
    memset(right, 0, HELM_N_MATCHES * sizeof *right);
    gold = helm_strip(gold);
    prediction = helm_strip(prediction);
    if (!prediction.len) return OK;
    right[HELM_EXACT] = equal(gold, prediction);
    right[HELM_PREFIX] = begins_with(prediction, gold);
    struct buf g = {0}, p = {0};
    helm_normalize(&g, gold, locale);
    helm_normalize(&p, prediction, locale);
    const struct helm_text quasi_gold = {g.data, g.len}, quasi = {p.data, p.len};
    right[HELM_QUASI] = equal(quasi_gold, quasi);
    right[HELM_QUASI_PREFIX] = begins_with(quasi, quasi_gold);
    enum status s = buf_status(&g);
    if (s == OK) s = buf_status(&p);
    buf_free(&g);
    buf_free(&p);
    return s;
}
