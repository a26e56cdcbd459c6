// SPDX-License-Identifier: Apache-2.0
/* Tokenizers small enough to be written in a test, in both file forms. */
#ifndef GPTJT_TESTS_SMALL_TOKENIZER_H
#define GPTJT_TESTS_SMALL_TOKENIZER_H

#include <string.h>

#include "tokenizer/tokenizer.h"

static inline enum status open_three(struct tokenizer **out, const char *vocab, const char *merges, const char *added)
{
    const struct tokenizer_sources sources = {.vocab = {"vocab.json", vocab, strlen(vocab)},
                                              .merges = {"merges.txt", merges, strlen(merges)},
                                              .added = {"added_tokens.json", added, added ? strlen(added) : 0}};
    return tokenizer_open_memory(out, &sources);
}

static inline enum status open_json(struct tokenizer **out, const char *json)
{
    const struct tokenizer_sources sources = {.json = {"tokenizer.json", json, strlen(json)}};
    return tokenizer_open_memory(out, &sources);
}

#define PRE                   "\"pre_tokenizer\": {\"type\": \"ByteLevel\", \"add_prefix_space\": false}"
#define LETTERS               "{\"a\": 0, \"b\": 1, \"c\": 2, \"ab\": 3, \"abc\": 4, \"bc\": 5, \"\xc4\xa0\": 6, \"aa\": 7}"
#define BARE                  "{\"a\": 0, \"b\": 1, \"c\": 2, \"ab\": 3, \"aa\": 7}" /* room for added tokens */
#define ADDED(id, text, more) "{\"id\": " #id ", \"content\": \"" text "\"" more "}"

#endif
