// SPDX-License-Identifier: Apache-2.0
/* Byte-pair merging: a piece of text starts as one token a byte, and the adjacent pair of the lowest rank (the
 * leftmost of equals) becomes one token until no pair has a rank. */
#ifndef GPTJT_TOKENIZER_BPE_H
#define GPTJT_TOKENIZER_BPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tokenizer/tokenizer.h"
#include "tokenizer/vocab.h"

struct bpe {
    struct bpe_merge *merges; /* [n_slots], a power of two: a hash table by pair */
    size_t n_slots;
    int32_t bytes[256];        /* the token of each byte, -1 where the vocabulary has none */
    const struct vocab *whole; /* not NULL: a piece that is an entry is that entry, whatever the merges say */
};

void bpe_free(struct bpe *b);
enum status bpe_reserve(struct bpe *b, size_t n_merges);

/* Merges are added in order of rank, at most n_merges of them. A repeated pair takes the later rank, as it does in
 * both of Hugging Face's implementations. */
void bpe_add(struct bpe *b, uint32_t rank, int32_t left, int32_t right, int32_t merged);

void bpe_find_bytes(struct bpe *b, const struct vocab *v);

/* Working memory of one call after another; zero-initialise. */
struct bpe_scratch {
    struct bpe_symbol *symbols;
    uint64_t *heap;
    size_t cap_symbols, cap_heap, n_heap;
};
void bpe_scratch_free(struct bpe_scratch *scratch);

/* Appends the tokens of one piece to out. Takes O(n log n) for n bytes. */
enum status bpe_encode(const struct bpe *b, struct bpe_scratch *scratch, struct token_list *out, const char *piece,
                       size_t len);

#endif
