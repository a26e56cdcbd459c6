// SPDX-License-Identifier: Apache-2.0
#include "train/batch.h"

#include <stdlib.h>

size_t train_batch_bytes(int64_t sequences, int64_t seq_len)
{
    return (size_t)sequences * ((size_t)seq_len * 4 * sizeof(int32_t) + 2 * sizeof(int));
}

enum status train_batch_create(struct train_batch *out, int sequences, int seq_len)
{
    const size_t n = (size_t)sequences * (size_t)seq_len;
    int32_t *rows = calloc(4 * n, sizeof *rows);
    int *numbers = calloc(2 * (size_t)sequences, sizeof *numbers);
    if (!rows || !numbers) {
        free(rows);
        free(numbers);
        return fail(E_NOMEM, "out of memory for a batch of %d sequences of %d tokens", sequences, seq_len);
    }
    *out = (struct train_batch){sequences,           seq_len, rows, rows + n, rows + 2 * n, rows + 3 * n, numbers,
                                numbers + sequences, 0};
    return OK;
}

void train_batch_free(struct train_batch *b)
{
    free(b->token);
    free(b->source);
    *b = (struct train_batch){0};
}

enum status train_batch_draw(struct train_batch *b, struct data *const *data, int n)
{
    b->targets = 0;
    for (int i = 0; i < b->sequences; i++) {
        const size_t at = (size_t)i * (size_t)b->seq_len;
        struct data_sequence s = {.token = b->token + at, .lo = b->lo + at, .hi = b->hi + at, .target = b->target + at};
        TRY(data_next(data[i % n], &s));
        b->source[i] = s.source;
        b->n_targets[i] = s.n_targets;
        b->targets += s.n_targets;
    }
    return OK;
}

struct train_rows train_batch_rows(const struct train_batch *b, int first, int n)
{
    const size_t at = (size_t)first * (size_t)b->seq_len;
    return (struct train_rows){n, b->seq_len, b->token + at, b->lo + at, b->hi + at, b->target + at};
}

double train_flops(const struct gptj_config *c, double rows, double pairs, double targets)
{
    const double D = c->D;
    return c->L * (2 * rows * (4 * D * D + 2 * D * c->F) + 4 * pairs * D) + 2 * targets * c->V * D;
}

double train_batch_flops(const struct train_batch *b, const struct gptj_config *c)
{
    double pairs = 0; /* of a row and a position that it sees */
    for (size_t i = 0; i < (size_t)b->sequences * (size_t)b->seq_len; i++)
        pairs += b->hi[i] - b->lo[i];
    return train_flops(c, (double)b->sequences * b->seq_len, pairs, (double)b->targets);
}

void train_batch_add_losses(const struct train_batch *b, int first, int n, const double *loss, struct loss_sum *all,
                            struct loss_sum *by_source)
{
    for (int i = first; i < first + n; i++) {
        struct loss_sum *source = &by_source[b->source[i]];
        for (int t = 0; t < b->n_targets[i]; t++, loss++) {
            all->sum += *loss;
            source->sum += *loss;
        }
        all->n += b->n_targets[i];
        source->n += b->n_targets[i];
    }
}
