// SPDX-License-Identifier: Apache-2.0
/* GPT-2's byte-level BPE: text is split by GPT-2's pattern, bytes are mapped to printable characters, and each piece is
 * merged by rank. Immutable after open, so threads share one. */
#ifndef GPTJT_TOKENIZER_TOKENIZER_H
#define GPTJT_TOKENIZER_TOKENIZER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/status.h"

struct tokenizer;

/* Reads from dir, as transformers does, tokenizer.json if it is there, else vocab.json and merges.txt, with added
 * tokens from tokenizer_config.json, special_tokens_map.json and added_tokens.json as far as those exist; an entry
 * "<|endoftext|>" of vocab.json is always one. *out is owned: tokenizer_close(). E_IO naming the files when neither
 * form is there. A file that asks for anything but GPT-2's way of tokenizing (another model, a normalizer, tokens put
 * in front, added tokens that strip spaces) is E_UNSUPPORTED. */
enum status tokenizer_open(struct tokenizer **out, const char *dir);
void tokenizer_close(struct tokenizer *t); /* accepts NULL */

/* The same from the files' contents, for those who have no directory (tests, fuzzing). Either json or both vocab and
 * merges; json wins here too. Nothing is kept of them after the call. */
struct tokenizer_source {
    const char *name; /* for messages: the path */
    const char *data; /* borrowed; NULL: no such file */
    size_t len;
};
struct tokenizer_sources {
    struct tokenizer_source json, vocab, merges;
    struct tokenizer_source added, special, config; /* added_tokens, special_tokens_map, tokenizer_config */
};
enum status tokenizer_open_memory(struct tokenizer **out, const struct tokenizer_sources *sources);

/* True if dir has files tokenizer_open() would read. */
bool tokenizer_exists(const char *dir);

struct token_list {
    int32_t *ids; /* [n], owned: token_list_free(); zero-initialise */
    size_t n, cap;
};
void token_list_free(struct token_list *l);
enum status token_list_append(struct token_list *l, int32_t id);

/* Appends the ids of text to out. added: match added tokens such as <|endoftext|> in the text, as Hugging Face does by
 * default; otherwise they are plain text. Text that is not UTF-8 is encoded byte by byte where it is broken, so any
 * bytes round-trip. */
enum status tokenizer_encode(const struct tokenizer *t, struct token_list *out, const char *text, size_t len,
                             bool added);

/* Appends the exact bytes of ids to out; they need not be valid UTF-8. Unknown ids (the model's vocabulary may be
 * larger than the tokenizer's) are E_ARG. */
enum status tokenizer_decode(const struct tokenizer *t, struct buf *out, const int32_t *ids, size_t n);

/* The bytes of one token, borrowed from t, or NULL when there is no such id. */
const char *tokenizer_token(const struct tokenizer *t, int32_t id, size_t *len);

/* The id of an added token or whole vocabulary entry by its bytes ("<|endoftext|>", " the"), or -1. */
int32_t tokenizer_find(const struct tokenizer *t, const char *text);

bool tokenizer_is_special(const struct tokenizer *t, int32_t id); /* an added token */
int32_t tokenizer_size(const struct tokenizer *t);                /* one more than the largest id */

/* Streaming decode: feed tokens, take text. Text comes out in whole UTF-8 characters; a cut one is held back until its
 * rest arrives, and broken bytes come out as U+FFFD as soon as they cannot become a character. */
struct token_stream {
    char held[4];
    int n_held;
};
enum status tokenizer_stream(const struct tokenizer *t, struct token_stream *s, struct buf *out, int32_t id);
void tokenizer_stream_end(struct token_stream *s, struct buf *out); /* a character still held is U+FFFD */

#endif
