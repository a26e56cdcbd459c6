// SPDX-License-Identifier: Apache-2.0
/* The data that one replica trains on. The data are cut into shards, which have different documents; sequence i of a
 * step's whole batch is the next one of shard i % n. Replica r of R has the shards r, r + R, ..., so a step's batch is
 * the same whatever the number of replicas, as long as it divides the number of shards. */
#ifndef GPTJT_TRAIN_DATA_SHARDS_H
#define GPTJT_TRAIN_DATA_SHARDS_H

#include "data/data.h"
#include "train/batch.h"
#include "train/recipe.h"

struct data_shards {
    struct data **data; /* [n], owned */
    int n;
    int first, stride; /* data[i] is shard first + i * stride */
    json_t *beginning; /* their state before the first draw; owned */
};

/* How many there are of a recipe that n_replicas train. */
int data_shards_count(const struct recipe *r, int n_replicas);

enum status data_shards_open(struct data_shards *out, const struct recipe *r, const struct tokenizer *tokenizer,
                             int replica, int n_replicas);
void data_shards_close(struct data_shards *s); /* accepts a zero-initialised one */

enum status data_shards_draw(struct data_shards *s, struct train_batch *b);

/* What comes next is what came first: the same sequences, with the same prefixes and spans. */
enum status data_shards_rewind(struct data_shards *s);

/* [{"shard": 3, "state": data_state()}, ...], of these and maybe others when it is read. New reference, NULL without
 * memory. E_FORMAT: one of these is missing or is not a state. */
json_t *data_shards_state(const struct data_shards *s);
enum status data_shards_restore(struct data_shards *s, const json_t *list);

#endif
