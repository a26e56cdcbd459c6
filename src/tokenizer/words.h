// SPDX-License-Identifier: Apache-2.0
/* Distinct pieces of text and how often each occurred: what a vocabulary is learned from. */
#ifndef GPTJT_TOKENIZER_WORDS_H
#define GPTJT_TOKENIZER_WORDS_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/status.h"

struct word {
    size_t at, len; /* in bytes */
    uint64_t count;
};

/* Zero-initialise; words_free(). */
struct words {
    struct word *items; /* [n], in the order they first came */
    size_t n, cap;
    struct buf bytes; /* of all words, one after another */
    uint32_t *slots;  /* [n_slots], a power of two: index + 1, 0 where free */
    size_t n_slots;
};

void words_free(struct words *w);
enum status words_count(struct words *w, const char *bytes, size_t len);

#endif
