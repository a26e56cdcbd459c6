// SPDX-License-Identifier: Apache-2.0
/* An open-addressing hash table over words in one array, their bytes in one buffer. */
#include "tokenizer/words.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"

void words_free(struct words *w)
{
    free(w->items);
    free(w->slots);
    buf_free(&w->bytes);
    *w = (struct words){0};
}

/* The slot of this word, or the free one where it would go. */
static size_t slot_of(const struct words *w, const char *bytes, size_t len)
{
    const size_t mask = w->n_slots - 1;
    for (size_t i = hash_key(bytes, len) & mask;; i = (i + 1) & mask) {
        if (!w->slots[i]) return i;
        const struct word *word = &w->items[w->slots[i] - 1];
        if (word->len == len && !memcmp(w->bytes.data + word->at, bytes, len)) return i;
    }
}

static enum status grow(struct words *w)
{
    if (w->n == w->cap) {
        const size_t cap = w->cap ? w->cap * 2 : 1024;
        struct word *items = cap > UINT32_MAX ? NULL : reallocarray(w->items, cap, sizeof *items);
        if (!items) return fail(E_NOMEM, "out of memory for %zu different words", cap);
        w->items = items;
        w->cap = cap;
    }
    if (w->n < w->n_slots / 2) return OK;
    const struct words old = *w;
    w->n_slots = old.n_slots ? old.n_slots * 2 : 4096;
    w->slots = calloc(w->n_slots, sizeof *w->slots);
    if (!w->slots) {
        *w = old;
        return fail(E_NOMEM, "out of memory for %zu different words", w->n);
    }
    for (size_t i = 0; i < w->n; i++)
        w->slots[slot_of(w, w->bytes.data + w->items[i].at, w->items[i].len)] = (uint32_t)i + 1;
    free(old.slots);
    return OK;
}

enum status words_count(struct words *w, const char *bytes, size_t len)
{
    TRY(grow(w));
    const size_t slot = slot_of(w, bytes, len);
    if (!w->slots[slot]) {
        const size_t at = w->bytes.len;
        buf_append(&w->bytes, bytes, len);
        TRY(buf_status(&w->bytes));
        w->items[w->n++] = (struct word){.at = at, .len = len};
        w->slots[slot] = (uint32_t)w->n;
    }
    w->items[w->slots[slot] - 1].count++;
    return OK;
}
