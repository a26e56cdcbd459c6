// SPDX-License-Identifier: Apache-2.0
/* The tokens are kept sorted, so those that begin with a given prefix are one range, and matching narrows that range
 * byte by byte. There are some hundred of them and nearly all positions fail on the first byte. */
#include "tokenizer/added.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

void added_free(struct added *a)
{
    token_list_free(&a->ids);
    *a = (struct added){0};
}

enum status added_add(struct added *a, const struct vocab *v, const char *name, int32_t id)
{
    const struct vocab_token *token = vocab_token(v, id);
    if (token->len > ADDED_MAX_BYTES)
        return fail(E_LIMIT, "%s: added token %" PRId32 " has %" PRIu32 " bytes, more than %d", name, id, token->len,
                    ADDED_MAX_BYTES);
    TRY(token_list_append(&a->ids, id));
    a->first[(unsigned char)*vocab_bytes(v, token)] = true;
    return OK;
}

static int compare(const void *left, const void *right, void *user)
{
    const struct vocab *v = user;
    const struct vocab_token *l = vocab_token(v, *(const int32_t *)left), *r = vocab_token(v, *(const int32_t *)right);
    const int c = memcmp(vocab_bytes(v, l), vocab_bytes(v, r), l->len < r->len ? l->len : r->len);
    return c ? c : (l->len > r->len) - (l->len < r->len);
}

enum status added_seal(struct added *a, const struct vocab *v, const char *name)
{
    if (!a->ids.n) return OK;
    qsort_r(a->ids.ids, a->ids.n, sizeof *a->ids.ids, compare, (void *)(uintptr_t)v);
    for (size_t i = 1; i < a->ids.n; i++)
        if (!compare(&a->ids.ids[i - 1], &a->ids.ids[i], (void *)(uintptr_t)v))
            return fail(E_FORMAT, "%s: added token \"%.60s\" has ids %" PRId32 " and %" PRId32, name,
                        vocab_bytes(v, vocab_token(v, a->ids.ids[i])), a->ids.ids[i - 1], a->ids.ids[i]);
    return OK;
}

/* The first index in [low, high) whose token's byte at depth is >= byte. All of them are longer than depth. */
static size_t lower_bound(const struct added *a, const struct vocab *v, size_t low, size_t high, size_t depth, int byte)
{
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        const char *token = vocab_bytes(v, vocab_token(v, a->ids.ids[middle]));
        if ((unsigned char)token[depth] < byte)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

bool added_match(const struct added *a, const struct vocab *v, const char *text, size_t len, struct added_hit *hit)
{
    bool found = false;
    size_t low = 0, high = a->ids.n;
    for (size_t depth = 0; low < high; depth++) {
        /* [low, high) are the tokens that begin with text[0..depth); the one of that very length sorts first. */
        if (vocab_token(v, a->ids.ids[low])->len == depth) {
            *hit = (struct added_hit){.len = depth, .id = a->ids.ids[low++]};
            found = true;
        }
        if (depth == len) break;
        const int byte = (unsigned char)text[depth];
        low = lower_bound(a, v, low, high, depth, byte);
        high = lower_bound(a, v, low, high, depth, byte + 1);
    }
    return found;
}

bool added_find(const struct added *a, const struct vocab *v, const char *text, size_t len, size_t from,
                struct added_hit *hit)
{
    for (size_t at = from; at < len; at++) {
        if (!a->first[(unsigned char)text[at]] || !added_match(a, v, text + at, len - at, hit)) continue;
        hit->at = at;
        return true;
    }
    return false;
}
