// SPDX-License-Identifier: Apache-2.0
#include "server/keys.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/file.h"

enum { KEY_MIN = 8, KEY_MAX = 256, NAME_MAX_BYTES = 64, FILE_MAX = 1 << 20 };

struct key {
    unsigned char bytes[KEY_MAX]; /* zeros behind its end */
    size_t len;
    char name[NAME_MAX_BYTES];
};

struct keys {
    struct key *items; /* [n] */
    size_t n, cap;
};

static enum status add(struct keys *k, const char *line, size_t len, const char *name, int number)
{
    const char *end = line + len;
    size_t n = 0;
    while (n < len && line[n] != ' ' && line[n] != '\t')
        n++;
    if (n < KEY_MIN || n > KEY_MAX)
        return fail(E_FORMAT, "%s: line %d: a key has %d to %d characters", name, number, KEY_MIN, KEY_MAX);
    for (size_t i = 0; i < k->n; i++)
        if (k->items[i].len == n && !memcmp(k->items[i].bytes, line, n))
            return fail(E_FORMAT, "%s: line %d: this key was there already", name, number);
    if (k->n == k->cap) {
        const size_t cap = k->cap ? 2 * k->cap : 8;
        struct key *more = realloc(k->items, cap * sizeof *more);
        if (!more) return fail(E_NOMEM, "%s: out of memory", name);
        k->items = more;
        k->cap = cap;
    }
    struct key *key = &k->items[k->n++];
    *key = (struct key){.len = n};
    memcpy(key->bytes, line, n);
    const char *label = line + n;
    while (label < end && (*label == ' ' || *label == '\t'))
        label++;
    if (label < end)
        snprintf(key->name, sizeof key->name, "%.*s", (int)(end - label), label);
    else
        snprintf(key->name, sizeof key->name, "key %zu", k->n);
    return OK;
}

static enum status parse_lines(struct keys *k, const char *text, size_t len, const char *name)
{
    size_t at = 0;
    for (int number = 1; at < len; number++) {
        const char *line = text + at, *stop = memchr(line, '\n', len - at);
        size_t n = stop ? (size_t)(stop - line) : len - at;
        at += n + 1;
        while (n && strchr("\r \t", line[n - 1]) && line[n - 1])
            n--;
        if (memchr(line, 0, n)) return fail(E_FORMAT, "%s: line %d: a NUL byte", name, number);
        if (n && *line != '#') TRY(add(k, line, n, name, number));
    }
    return k->n ? OK : fail(E_FORMAT, "%s: no keys in it", name);
}

enum status keys_parse(struct keys **out, const char *text, size_t len, const char *name)
{
    struct keys *k = calloc(1, sizeof *k);
    if (!k) return fail(E_NOMEM, "%s: out of memory", name);
    const enum status s = parse_lines(k, text, len, name);
    if (s != OK) {
        keys_free(k);
        return s;
    }
    *out = k;
    return OK;
}

enum status keys_load(struct keys **out, const char *path)
{
    struct buf text = {0};
    enum status s = file_read(&text, path, FILE_MAX);
    if (s == OK) s = keys_parse(out, text.data ? text.data : "", text.len, path);
    if (text.data) explicit_bzero(text.data, text.cap);
    buf_free(&text);
    return s;
}

void keys_free(struct keys *k)
{
    if (!k) return;
    if (k->items) explicit_bzero(k->items, k->cap * sizeof *k->items);
    free(k->items);
    free(k);
}

/* All bytes are looked at, whatever they are. */
static unsigned different(const struct key *key, const unsigned char *given, size_t len)
{
    unsigned sum = (unsigned)(key->len ^ len);
    for (size_t i = 0; i < KEY_MAX; i++)
        sum |= (unsigned)(key->bytes[i] ^ given[i]);
    return sum;
}

const char *keys_find(const struct keys *k, const char *authorization)
{
    unsigned char given[KEY_MAX] = {0};
    if (!authorization || strncasecmp(authorization, "Bearer ", 7) != 0) return NULL;
    const char *text = authorization + 7;
    text += strspn(text, " ");
    const size_t len = strlen(text);
    if (len > KEY_MAX) return NULL;
    for (size_t i = 0; i < len; i++)
        given[i] = (unsigned char)text[i];
    const char *name = NULL;
    for (size_t i = 0; i < k->n; i++) /* to the end, also after the right one */
        if (!different(&k->items[i], given, len)) name = k->items[i].name;
    return name;
}
