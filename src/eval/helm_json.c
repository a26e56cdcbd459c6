// SPDX-License-Identifier: Apache-2.0
/* Python's JSON read as strict JSON; see helm_json.h. */
#include "eval/helm_json.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>

#include "base/compiler.h"
#include "base/file.h"

enum { ESCAPE = 6 };

/* The code unit that \u and four digits at text[0..len) are, -1 if there are none. */
static int unit(const char *text, size_t len)
{
    if (len < ESCAPE || text[0] != '\\' || text[1] != 'u') return -1;
    int value = 0;
    for (int i = 2; i < ESCAPE; i++) {
        const int c = tolower((unsigned char)text[i]);
        if (!isxdigit(c)) return -1;
        value = value * 16 + (isdigit(c) ? c - '0' : c - 'a' + 10);
    }
    return value;
}

/* Bytes that belong together from text[0] on, which begins an escape in a string. *lone: it is half a pair. */
static size_t escape_bytes(const char *text, size_t len, bool *lone)
{
    const int u = unit(text, len);
    if (u < 0) return len < 2 ? len : 2;
    if (u < 0xd800 || u > 0xdfff) return ESCAPE;
    const int next = unit(text + ESCAPE, len - ESCAPE);
    *lone = u >= 0xdc00 || next < 0xdc00 || next > 0xdfff;
    return *lone ? ESCAPE : 2 * ESCAPE;
}

/* The length of a number at text[0..len) that only Python knows, 0 without one. */
static size_t python_number(const char *text, size_t len)
{
    static const char *const numbers[] = {"NaN", "Infinity", "-Infinity"};
    for (size_t i = 0; i < COUNT_OF(numbers); i++) {
        const size_t n = strlen(numbers[i]);
        if (len >= n && !memcmp(text, numbers[i], n)) return n;
    }
    return 0;
}

void helm_json_strict(struct buf *out, const char *text, size_t len)
{
    bool in_string = false;
    size_t kept = 0; /* text[kept..at) is still to be copied */
    for (size_t at = 0; at < len;) {
        const char c = text[at];
        size_t n = 1;
        bool lone = false;
        const char *instead = NULL;
        if (c == '"') {
            in_string = !in_string;
        } else if (in_string && c == '\\') {
            n = escape_bytes(text + at, len - at, &lone);
            if (lone) instead = "\\ufffd";
        } else if (!in_string && (c == 'N' || c == 'I' || c == '-')) {
            const size_t number = python_number(text + at, len - at);
            if (number) instead = "null";
            if (number) n = number;
        }
        if (instead) {
            buf_append(out, text + kept, at - kept);
            buf_puts(out, instead);
            kept = at + n;
        }
        at += n;
    }
    buf_append(out, text + kept, len - kept);
}

enum status helm_json_read_text(json_t **out, const char *text, size_t len, const char *name)
{
    struct buf strict = {0};
    helm_json_strict(&strict, text, len);
    enum status s = buf_status(&strict);
    if (s == OK) s = json_read_text(out, strict.data ? strict.data : "", strict.len, name);
    buf_free(&strict);
    return s;
}

enum status helm_json_read_file(json_t **out, const char *path)
{
    struct buf text = {0};
    enum status s = file_read(&text, path, HELM_JSON_MAX_BYTES);
    if (s == OK) s = helm_json_read_text(out, text.data ? text.data : "", text.len, path);
    buf_free(&text);
    return s;
}
