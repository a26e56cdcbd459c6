// SPDX-License-Identifier: Apache-2.0
/* A model written as every program reads it: a Hugging Face directory with safetensors of one float type, in one file
 * or in shards, and where the prompt is read in both directions with the attn.bias buffers that say so. An adapter may
 * be merged on the way. */
#ifndef GPTJT_MODEL_EXPORT_H
#define GPTJT_MODEL_EXPORT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/pool.h"
#include "base/progress.h"
#include "formats/gptj_config.h"
#include "formats/peft.h"
#include "formats/source.h"
#include "ops/ops.h"

struct export
{
    const struct gptj_config *config;
    const struct source *src;     /* checked, and not quantised                       */
    const char *from;             /* its directory                                    */
    enum config_mask prompt_mask; /* in config.json; prefix: as attn.bias, too        */
    enum weight_type type;        /* WEIGHT_F32, WEIGHT_F16 or WEIGHT_BF16            */
    int64_t max_shard_bytes;      /* a file has no more, unless one tensor has        */
    const struct peft *adapter;   /* merged into the matrices that it adapts; or NULL */
};

struct export_size {
    int64_t bytes; /* of all tensors */
    int n_files;
};
struct export_size export_size(const struct export *x);

/* Writes into dir, which exists. Weights appear last, the index of shards after all of them; after a failure no file is
 * there that was not there before. Takes some megabytes of memory whatever the model. A weight that is not finite, or
 * not in the new type, is E_NUMERIC. */
enum status export_write(const struct export *x, const char *dir, const struct kernels *k, struct pool *pool,
                         progress_bytes_fn *progress, void *user);

/* One row of a matrix with its adapter merged: to[I] = from[I] + scale b[r] a[r][I], summed in double and rounded once
 * to the type. room [I]. */
void export_merge_row(void *to, enum weight_type type, const float *from, const double *a, const double *b, int r,
                      double scale, int I, double *room);

#endif
