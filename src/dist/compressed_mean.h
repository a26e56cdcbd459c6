// SPDX-License-Identifier: Apache-2.0
/* The mean of a vector over the members of a group, compressed on both of its ways: each member sends the values of a
 * chunk to the chunk's owner, who takes their mean and sends it to all. What compression leaves out is not lost: a
 * member knows what its messages say (sent), and keeps the rest; the owner adds what its last result left out
 * (error). As in CocktailSGD (Wang et al. 2023) and, before it, DoubleSqueeze (Tang et al. 2019, arXiv:1905.05957).
 *
 * It goes on while a rank does other things: begin, progress now and then, finish. A member of n sends its messages for
 * the n - 1 other chunks, and its result to n - 1 others: 2 (n - 1) / n of the vector's compressed size. */
#ifndef GPTJT_DIST_COMPRESSED_MEAN_H
#define GPTJT_DIST_COMPRESSED_MEAN_H

#include "dist/sparse.h"
#include "net/collectives.h"

struct mean_codec {
    struct dense values;
    bool sparse;     /* only the largest of each chunk are sent */
    double keep;     /* sparse: which part */
    size_t multiple; /* sparse: of how many are kept, where there are so many */
    enum positions_code positions;
};

struct mean_peer;

struct compressed_mean {
    struct group *g; /* borrowed */
    struct mean_codec codec;
    size_t most;      /* values of the largest chunk */
    size_t max_bytes; /* of a message */
    float *sent;      /* [n]: what this member's messages say of its x; of the last begin() */
    size_t n;         /* values of all chunks, at most */
    /* The rest is its own. */
    uint8_t *in, *out;       /* [members][max_bytes] */
    struct mean_peer *peers; /* [members] */
    struct sparse_entries entries;
    float *row, *sum; /* [most] */
    float *error;
    const size_t *bounds;
    int phase;
    enum status status; /* of progress() */
};

/* For vectors of n values with chunks of `most` at most. E_ARG for a codec that is none. */
enum status compressed_mean_open(struct compressed_mean *m, struct group *g, size_t n, size_t most,
                                 const struct mean_codec *codec);
void compressed_mean_close(struct compressed_mean *m); /* accepts a zero-initialised one; after net_fail() if begun */

/* Begins with x, cut at bounds [members + 1] (0 = bounds[0] < ... : no empty chunks). x may be changed at once, bounds
 * and error are borrowed until finish(). error [chunk me]: added to the result, and then what it leaves out. */
enum status compressed_mean_begin(struct compressed_mean *m, const float *x, const size_t *bounds, float *error);

/* Without waiting. A failure is kept for finish(). */
void compressed_mean_progress(struct compressed_mean *m);

/* mean [bounds[members]], the same bits everywhere. */
enum status compressed_mean_finish(struct compressed_mean *m, float *mean);

/* What member me of n sends, where chunk c has chunk(user, c) values; at most, where positions are coded as GOLOMB. And
 * what compressed_mean_open() allocates. */
typedef size_t mean_chunk_fn(const void *user, int c);
size_t compressed_mean_bytes(const struct mean_codec *codec, int n, int me, mean_chunk_fn *chunk, const void *user);
size_t compressed_mean_memory(const struct mean_codec *codec, int members, size_t n, size_t most);

#endif
