// SPDX-License-Identifier: Apache-2.0
/* Finds added tokens in a text: the leftmost, and the longest of those that begin at the same place, as Hugging Face's
 * Aho-Corasick automaton does. */
#ifndef GPTJT_TOKENIZER_ADDED_H
#define GPTJT_TOKENIZER_ADDED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tokenizer/tokenizer.h"
#include "tokenizer/vocab.h"

enum { ADDED_MAX_BYTES = 1024 }; /* of one token; with it a search takes at most that many steps a byte of text */

struct added {
    struct token_list ids; /* sorted by the tokens' bytes after added_seal() */
    bool first[256];       /* bytes some token begins with */
};

struct added_hit {
    size_t at, len;
    int32_t id;
};

void added_free(struct added *a);

/* Takes in a token that v knows. */
enum status added_add(struct added *a, const struct vocab *v, const char *name, int32_t id);

/* To be called once when all are in; finds tokens of equal bytes. */
enum status added_seal(struct added *a, const struct vocab *v, const char *name);

/* The longest token at the beginning of text; hit->at is 0. */
bool added_match(const struct added *a, const struct vocab *v, const char *text, size_t len, struct added_hit *hit);

/* The first token at or after from. */
bool added_find(const struct added *a, const struct vocab *v, const char *text, size_t len, size_t from,
                struct added_hit *hit);

#endif
