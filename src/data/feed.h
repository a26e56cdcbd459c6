// SPDX-License-Identifier: Apache-2.0
/* One source as documents of tokens, without end: what packing (pack.h) takes its tokens from. Files, formats and
 * shuffling are below it; rows, prefixes and denoisers above. */
#ifndef GPTJT_DATA_FEED_H
#define GPTJT_DATA_FEED_H

#include "data/data.h"
#include "data/draws.h"
#include "data/records.h"
#include "tokenizer/tokenizer.h"

/* All that the next documents depend on besides settings and files. No text and no tokens: those are read again. */
struct feed_cursor {
    struct records_place block; /* tokens files: epoch only */
    uint64_t n_blocks;          /* read before this one, of all epochs */
    uint64_t next;              /* record of the block, in its shuffled order; tokens files: of the epoch */
    uint64_t token;             /* tokens of that record that have been taken */
    uint64_t rows;              /* begun so far */
    uint64_t skipped;           /* documents without text */
};

struct feed_settings {
    const char *name; /* of the source, for messages */
    const struct data_source *source;
    const struct tokenizer *tokenizer;
    uint64_t seed;
    int index, rank, n_ranks; /* index: of the source */
    bool join;
    size_t row_tokens; /* of a row at most: how long a text that has no end of its own must be */
};

struct feed;

/* settings' pointers are borrowed. Owned: feed_close(). */
enum status feed_open(struct feed **out, const struct feed_settings *settings);
void feed_close(struct feed *f); /* accepts NULL */

/* Documents know how many of their tokens are the prompt. */
bool feed_has_prefixes(const struct feed *f);

/* A row takes documents from the front: what it has not taken of the last one stays for the next row, except for P3 and
 * Natural-Instructions, whose texts belong to one row. */
void feed_begin_row(struct feed *f);
enum status feed_document(struct feed *f, const int32_t **ids, size_t *n, int64_t *prefix); /* the rest of this one */
void feed_take(struct feed *f, size_t n);
void feed_end_row(struct feed *f);

struct feed_cursor feed_at(const struct feed *f);

/* Goes on from there: reads its block again. E_FORMAT where there is no such place. */
enum status feed_restore(struct feed *f, const struct feed_cursor *c);

/* A number that other files, or files of other sizes, will not have. */
uint64_t feed_fingerprint(const struct feed *f);

#endif
