// SPDX-License-Identifier: Apache-2.0
/* The K/V cache: a store of pages and, for each sequence, a page table over them.
 *
 *     sequence A   [ p7 ][ p2 ][ p9 ]         positions 0..31, 32..63, 64..
 *     sequence B   [ p7 ][ p2 ][ p4 ]         forked from A at 70: shares the full pages, has a copy of the cut one
 *
 * A page number stands for KV_PAGE positions of K and of V in every layer. Pages are counted by the tables that point
 * at them and written only while one does (copy on write), so label B of a classification sees the shared prompt and
 * its own tokens, contiguous in logical positions, and never label A's. Everything is allocated at creation. */
#ifndef GPTJT_MODEL_KVCACHE_H
#define GPTJT_MODEL_KVCACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/status.h"
#include "ops/ops.h"

struct kvcache {
    struct ops *ops; /* borrowed */
    int n_layers, H, K;
    enum dtype dtype;
    int n_pages, n_free;
    struct kv_pages *layers; /* [n_layers], each of n_pages on the device */
    int32_t *free_pages;     /* [n_pages], the first n_free are free */
    int32_t *references;     /* [n_pages] */
    struct buf *copies;      /* NULL, or gets a pair of int32, to and from, of every page that is copied. Borrowed */
};

/* A sequence's page table. Zero-initialise. */
struct kv_sequence {
    int32_t *pages; /* [n_pages], room for cap */
    int n_pages, cap;
    int length; /* positions it may use: 0 .. length-1 */
};

int kvcache_pages_for(int64_t tokens); /* pages that hold that many positions of one sequence */
size_t kvcache_bytes(int n_layers, int H, int K, int n_pages, enum dtype dtype);

/* dtype: F32 or F16. */
enum status kvcache_create(struct kvcache **out, struct ops *ops, int n_layers, int H, int K, int n_pages,
                           enum dtype dtype);
void kvcache_free(struct kvcache *c); /* accepts NULL */

/* Makes room in the table for so many pages, so that no later call has to: then only the store can be too small. */
enum status kvcache_reserve(struct kv_sequence *s, int n_pages);

/* Pages that kvcache_extend() would take from the store. */
int kvcache_pages_to_extend(const struct kvcache *c, const struct kv_sequence *s, int new_length);

/* Makes positions length .. new_length-1 writable: takes pages, and copies the last one if it is shared. E_LIMIT when
 * the store has too few free pages; the sequence is then unchanged. */
enum status kvcache_extend(struct kvcache *c, struct kv_sequence *s, int new_length);

/* to (empty) becomes the first length positions of from, sharing its pages. */
enum status kvcache_fork(struct kvcache *c, struct kv_sequence *to, const struct kv_sequence *from, int length);

/* For a store that follows another one's copies: page to becomes what from is, in every layer. */
void kvcache_copy_page(struct kvcache *c, int32_t to, int32_t from);

void kvcache_truncate(struct kvcache *c, struct kv_sequence *s, int length); /* gives back what is not needed */
void kvcache_release(struct kvcache *c, struct kv_sequence *s);              /* gives back all, frees the table */

#endif
