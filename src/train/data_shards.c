// SPDX-License-Identifier: Apache-2.0
#include "train/data_shards.h"

#include <stdlib.h>

int data_shards_count(const struct recipe *r, int n_replicas)
{
    return r->data_shards ? (int)r->data_shards : n_replicas;
}

enum status data_shards_open(struct data_shards *s, const struct recipe *r, const struct tokenizer *tokenizer,
                             int replica, int n_replicas)
{
    const int all = data_shards_count(r, n_replicas);
    *s = (struct data_shards){.first = replica, .stride = n_replicas};
    s->data = calloc((size_t)(all / n_replicas), sizeof *s->data);
    if (!s->data) return fail(E_NOMEM, "training: out of memory");
    for (; s->n < all / n_replicas; s->n++)
        TRY(data_open(&s->data[s->n], &r->data, tokenizer, s->first + s->n * s->stride, all, (int)r->data_workers));
    s->beginning = data_shards_state(s);
    return s->beginning ? OK : fail(E_NOMEM, "training: out of memory");
}

void data_shards_close(struct data_shards *s)
{
    for (int i = 0; i < s->n; i++)
        data_close(s->data[i]);
    free(s->data);
    json_decref(s->beginning);
    *s = (struct data_shards){0};
}

enum status data_shards_draw(struct data_shards *s, struct train_batch *b)
{
    return train_batch_draw(b, s->data, s->n);
}

enum status data_shards_rewind(struct data_shards *s)
{
    return data_shards_restore(s, s->beginning);
}

json_t *data_shards_state(const struct data_shards *s)
{
    json_t *list = json_array();
    for (int i = 0; list && i < s->n; i++) {
        json_t *one = json_pack("{s:i, s:o}", "shard", s->first + i * s->stride, "state", data_state(s->data[i]));
        if (!json_array_append_new(list, one)) continue;
        json_decref(list);
        list = NULL;
    }
    return list;
}

static const json_t *state_of(const json_t *list, int shard)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *one = json_array_get(list, i), *number = json_object_get(one, "shard");
        if (json_is_integer(number) && json_integer_value(number) == shard) return json_object_get(one, "state");
    }
    return NULL;
}

enum status data_shards_restore(struct data_shards *s, const json_t *list)
{
    for (int i = 0; i < s->n; i++) {
        const int shard = s->first + i * s->stride;
        const json_t *state = state_of(list, shard);
        if (!state)
            return fail(E_FORMAT, "the checkpoint knows nothing of shard %d of the data: it has %zu; see data_shards",
                        shard, json_array_size(list));
        TRY(data_restore(s->data[i], state));
    }
    return OK;
}
