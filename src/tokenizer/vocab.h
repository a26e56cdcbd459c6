// SPDX-License-Identifier: Apache-2.0
/* The tokens: id -> bytes for all of them, and bytes -> id for those that merging can produce. An added token may have
 * the bytes of a vocabulary entry under another id (runs of spaces often do), so added ones are not in that index. */
#ifndef GPTJT_TOKENIZER_VOCAB_H
#define GPTJT_TOKENIZER_VOCAB_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/status.h"

enum { VOCAB_MAX_IDS = 1 << 24 };

enum vocab_kind {
    VOCAB_NONE,    /* no token has this id                                                   */
    VOCAB_ENTRY,   /* in the byte alphabet                                                   */
    VOCAB_LITERAL, /* a vocabulary entry outside the byte alphabet: must turn out to be added */
    VOCAB_ADDED,
};

struct vocab_token {
    uint32_t at, len; /* in bytes */
    enum vocab_kind kind;
};

struct vocab {
    struct vocab_token *tokens; /* [n_ids] */
    int32_t n_ids, cap_ids;
    struct buf bytes; /* of all tokens, each followed by a NUL */
    uint32_t *slots;  /* [n_slots], a power of two: id + 1 of an entry, 0 where free */
    size_t n_slots, n_used;
    int32_t n_literal; /* tokens of that kind */
};

void vocab_free(struct vocab *v);

/* An entry as the files write it, in the byte alphabet. name is the file, for messages. */
enum status vocab_add(struct vocab *v, const char *name, int64_t id, const char *text, size_t len);

/* An added token: text is plain. It may already be an entry, with the same id. */
enum status vocab_add_added(struct vocab *v, const char *name, int64_t id, const char *text, size_t len);

/* To be called when all are in: entries outside the byte alphabet must be added tokens. */
enum status vocab_check(const struct vocab *v, const char *name);

int32_t vocab_find(const struct vocab *v, const char *bytes, size_t len); /* an entry's id, or -1 */

/* The same by the text that vocab.json writes the entry as. */
enum status vocab_find_text(const struct vocab *v, const char *text, size_t len, int32_t *id);

const struct vocab_token *vocab_token(const struct vocab *v, int64_t id); /* NULL when there is no such token */

static inline const char *vocab_bytes(const struct vocab *v, const struct vocab_token *token)
{
    return v->bytes.data + token->at;
}

#endif
