// SPDX-License-Identifier: Apache-2.0
/* The records of a source's files in shuffled order, for one rank of several.
 *
 * An epoch goes through all files, in an order drawn for it, and hands each record to one rank: record k of epoch e to
 * rank (k + e) mod n_ranks, so that ranks see different ones and, over epochs, all of them. A rank's records are read
 * in blocks of up to RECORDS_BLOCK, or RECORDS_BLOCK_BYTES of text, and each block is shuffled. That is as good as a
 * buffer from which random records are taken and refilled, but where a run stands is one place in one file and a
 * number: to resume is to read one block again. */
#ifndef GPTJT_DATA_RECORDS_H
#define GPTJT_DATA_RECORDS_H

#include "data/paths.h"
#include "data/stream.h"

enum { RECORDS_BLOCK = 8192, RECORDS_BLOCK_BYTES = 64 << 20 };

struct records_settings {
    const char *name; /* of the source, for messages */
    struct stream_options stream;
    uint64_t seed;
    int source, rank, n_ranks;
};

/* Where a block begins. */
struct records_place {
    uint64_t epoch, file; /* file: how many of the epoch's order are done */
    struct stream_place place;
    uint64_t record; /* of the epoch, those of other ranks too */
};

struct record {
    const char *data; /* borrowed until the next block */
    size_t len;
    bool is_json;
    const char *path; /* with number for stream_where() */
    uint64_t number;
};

struct records;

/* settings' strings and paths are borrowed. Owned: records_close(). */
enum status records_open(struct records **out, const struct records_settings *settings, const struct paths *paths);
void records_close(struct records *r); /* accepts NULL */

/* Reads the block that begins at from; number, of the block, decides its order. E_FORMAT where no file has a record. */
enum status records_load(struct records *r, const struct records_place *from, uint64_t number);
size_t records_count(const struct records *r); /* of the block, at least 1 */
struct record records_get(const struct records *r, size_t i);

/* Where the block after this one begins. */
struct records_place records_next(const struct records *r);

#endif
