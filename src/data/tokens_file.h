// SPDX-License-Identifier: Apache-2.0
/* Documents as token ids in one memory-mapped file, so that big runs tokenize once. docs/FORMATS.md describes it. */
#ifndef GPTJT_DATA_TOKENS_FILE_H
#define GPTJT_DATA_TOKENS_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/file.h"
#include "base/status.h"
#include "tokenizer/tokenizer.h"

#define TOKENS_FILE_EXTENSION ".tokens"

/* Which tokenizer ids are of: their number, and a hash of the bytes of each. */
struct tokens_file_vocab {
    uint32_t n_ids;
    uint64_t hash;
};
struct tokens_file_vocab tokens_file_vocab_of(const struct tokenizer *t);

struct tokens_file {
    struct mapping map;
    char *path;
    struct tokens_file_vocab vocab;
    uint64_t n_documents, n_tokens;
    size_t id_bytes;                      /* 2 or 4 */
    const uint8_t *ids, *ends, *prefixes; /* in map; prefixes NULL when documents have none */
};

/* Checks the header against the file's size and the tokenizer. Owned: tokens_file_close(). */
enum status tokens_file_open(struct tokens_file *out, const char *path, const struct tokens_file_vocab *vocab);
void tokens_file_close(struct tokens_file *f);

/* Document i < n_documents. Replaces out's ids. *prefix: how many of them are the prompt, -1 where that is not known.
 * E_FORMAT where the file's numbers cannot be. */
enum status tokens_file_document(const struct tokens_file *f, uint64_t i, struct token_list *out, int64_t *prefix);

/* The file appears whole at the end or not at all. */
struct tokens_writer {
    struct file_writer ids, ends, prefixes; /* the last two wait beside the first until it is complete */
    struct tokens_file_vocab vocab;
    bool with_prefixes;
    uint64_t n_documents, n_tokens;
};
enum status tokens_writer_open(struct tokens_writer *w, const char *path, const struct tokens_file_vocab *vocab,
                               bool with_prefixes);
enum status tokens_writer_add(struct tokens_writer *w, const int32_t *ids, size_t n, int64_t prefix);
enum status tokens_writer_commit(struct tokens_writer *w); /* closes; on error nothing is left */
void tokens_writer_abort(struct tokens_writer *w);         /* does nothing after commit or a failed open */

#endif
