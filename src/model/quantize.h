// SPDX-License-Identifier: Apache-2.0
/* A checkpoint rewritten with its matrices in another type: q8 and q4 as the kernels stream them (docs/FORMATS.md), or
 * floats, which every program reads. Vectors become fp32. */
#ifndef GPTJT_MODEL_QUANTIZE_H
#define GPTJT_MODEL_QUANTIZE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/pool.h"
#include "base/progress.h"
#include "formats/gptj_config.h"
#include "formats/source.h"
#include "ops/ops.h"

struct quantize {
    const struct gptj_config *config;
    const struct source *src;     /* checked, and not quantised already               */
    const char *from;             /* the directory they came from                     */
    enum config_mask prompt_mask; /* recorded in config.json, as attn.bias is left out */
    enum weight_type type;
    bool keep_head; /* leaves embedding and head as they are */
};

/* Bytes of weights. */
int64_t quantize_bytes(const struct quantize *q);

/* Writes config.json, model.safetensors and the other files into dir, which exists. The weights appear last, and whole.
 * Takes some megabytes of memory whatever the model. A weight that is not finite, or not in the new type, is E_NUMERIC.
 * After a failure no file is there that was not there before. */
enum status quantize_write(const struct quantize *q, const char *dir, const struct kernels *k, struct pool *pool,
                           progress_bytes_fn *progress, void *user);

#endif
