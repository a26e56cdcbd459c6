// SPDX-License-Identifier: Apache-2.0
/* Symbols form a doubly linked list over the bytes of the piece; a binary heap holds the pairs that have a rank, keyed
 * by (rank, position). Entries are never removed when a pair dies: a popped entry counts only if its symbol still
 * begins a pair of that rank. Every merge adds at most two entries, so a piece of n bytes costs O(n log n) whatever it
 * is made of. */
#include "tokenizer/bpe.h"

#include <stdlib.h>

enum { MAX_PIECE = 1 << 30 };
#define NO_RANK UINT32_MAX
#define NO_PAIR UINT64_MAX

struct bpe_merge {
    uint64_t pair; /* left << 32 | right; NO_PAIR where free */
    uint32_t rank;
    int32_t merged;
};

struct bpe_symbol {
    int32_t id, merged;  /* merged: what this symbol and its right neighbour become */
    int32_t left, right; /* neighbours, -1 at the ends */
    uint32_t rank;       /* of the pair with the right neighbour; NO_RANK for none, or when this symbol is gone */
};

void bpe_free(struct bpe *b)
{
    free(b->merges);
    *b = (struct bpe){0};
}

enum status bpe_reserve(struct bpe *b, size_t n_merges)
{
    size_t n_slots = 16;
    while (n_slots / 2 <= n_merges)
        n_slots *= 2;
    b->merges = malloc(n_slots * sizeof *b->merges);
    if (!b->merges) return fail(E_NOMEM, "out of memory for %zu merges", n_merges);
    for (size_t i = 0; i < n_slots; i++)
        b->merges[i].pair = NO_PAIR;
    b->n_slots = n_slots;
    return OK;
}

static struct bpe_merge *slot_of(const struct bpe *b, uint64_t pair)
{
    const size_t mask = b->n_slots - 1;
    uint64_t h = pair * 0x9e3779b97f4a7c15;
    h ^= h >> 32;
    for (size_t i = h & mask;; i = (i + 1) & mask)
        if (b->merges[i].pair == pair || b->merges[i].pair == NO_PAIR) return &b->merges[i];
}

static uint64_t pair_of(int32_t left, int32_t right)
{
    return (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
}

void bpe_add(struct bpe *b, uint32_t rank, int32_t left, int32_t right, int32_t merged)
{
    const uint64_t pair = pair_of(left, right);
    *slot_of(b, pair) = (struct bpe_merge){.pair = pair, .rank = rank, .merged = merged};
}

void bpe_find_bytes(struct bpe *b, const struct vocab *v)
{
    for (int i = 0; i < 256; i++)
        b->bytes[i] = vocab_find(v, &(char){(char)i}, 1);
}

void bpe_scratch_free(struct bpe_scratch *scratch)
{
    free(scratch->symbols);
    free(scratch->heap);
    *scratch = (struct bpe_scratch){0};
}

static enum status scratch_reserve(struct bpe_scratch *scratch, size_t len)
{
    if (len <= scratch->cap_symbols) return OK;
    const size_t cap = len < 64 ? 64 : len + len / 2;
    free(scratch->symbols);
    scratch->cap_symbols = 0;
    scratch->symbols = malloc(cap * sizeof *scratch->symbols);
    if (!scratch->symbols) return fail(E_NOMEM, "out of memory for a piece of %zu bytes", len);
    scratch->cap_symbols = cap;
    return OK;
}

static enum status heap_push(struct bpe_scratch *scratch, uint64_t key)
{
    if (scratch->n_heap == scratch->cap_heap) {
        const size_t cap = scratch->cap_heap ? scratch->cap_heap * 2 : 64;
        uint64_t *heap = realloc(scratch->heap, cap * sizeof *heap);
        if (!heap) return fail(E_NOMEM, "out of memory for %zu pairs", cap);
        scratch->heap = heap;
        scratch->cap_heap = cap;
    }
    size_t i = scratch->n_heap++;
    for (; i && scratch->heap[(i - 1) / 2] > key; i = (i - 1) / 2)
        scratch->heap[i] = scratch->heap[(i - 1) / 2];
    scratch->heap[i] = key;
    return OK;
}

static uint64_t heap_pop(struct bpe_scratch *scratch)
{
    uint64_t *heap = scratch->heap;
    const uint64_t top = heap[0], last = heap[--scratch->n_heap];
    const size_t n = scratch->n_heap;
    size_t i = 0;
    for (size_t child; (child = 2 * i + 1) < n; i = child) {
        if (child + 1 < n && heap[child + 1] < heap[child]) child++;
        if (heap[child] >= last) break;
        heap[i] = heap[child];
    }
    heap[i] = last;
    return top;
}

/* Looks up what the symbol at and its right neighbour merge to, and queues the pair if that is anything. */
static enum status queue_pair(const struct bpe *b, struct bpe_scratch *scratch, int32_t at)
{
    struct bpe_symbol *symbol = &scratch->symbols[at];
    symbol->rank = NO_RANK;
    if (symbol->right < 0) return OK;
    const uint64_t pair = pair_of(symbol->id, scratch->symbols[symbol->right].id);
    const struct bpe_merge *merge = slot_of(b, pair);
    if (merge->pair == NO_PAIR) return OK;
    symbol->rank = merge->rank;
    symbol->merged = merge->merged;
    return heap_push(scratch, (uint64_t)merge->rank << 32 | (uint32_t)at);
}

static enum status merge_all(const struct bpe *b, struct bpe_scratch *scratch)
{
    struct bpe_symbol *symbols = scratch->symbols;
    while (scratch->n_heap) {
        const uint64_t key = heap_pop(scratch);
        const int32_t at = (int32_t)(key & UINT32_MAX);
        struct bpe_symbol *symbol = &symbols[at];
        if (symbol->rank != key >> 32) continue; /* a neighbour has changed since */
        struct bpe_symbol *gone = &symbols[symbol->right];
        symbol->id = symbol->merged;
        symbol->right = gone->right;
        if (gone->right >= 0) symbols[gone->right].left = at;
        gone->rank = NO_RANK;
        TRY(queue_pair(b, scratch, at));
        if (symbol->left >= 0) TRY(queue_pair(b, scratch, symbol->left));
    }
    return OK;
}

enum status bpe_encode(const struct bpe *b, struct bpe_scratch *scratch, struct token_list *out, const char *piece,
                       size_t len)
{
    if (len > MAX_PIECE) return fail(E_LIMIT, "a word of %zu bytes, more than %d", len, MAX_PIECE);
    const int32_t whole = b->whole ? vocab_find(b->whole, piece, len) : -1;
    if (whole >= 0) return token_list_append(out, whole);
    TRY(scratch_reserve(scratch, len));
    scratch->n_heap = 0;
    const int32_t n = (int32_t)len;
    for (int32_t i = 0; i < n; i++) {
        const int byte = (unsigned char)piece[i];
        if (b->bytes[byte] < 0) return fail(E_UNSUPPORTED, "the vocabulary has no token for byte 0x%02x", byte);
        scratch->symbols[i] = (struct bpe_symbol){.id = b->bytes[byte], .left = i - 1, .right = i + 1 < n ? i + 1 : -1};
    }
    for (int32_t i = 0; i < n; i++)
        TRY(queue_pair(b, scratch, i));
    TRY(merge_all(b, scratch));
    for (int32_t i = 0; n && i >= 0; i = scratch->symbols[i].right)
        TRY(token_list_append(out, scratch->symbols[i].id));
    return OK;
}
