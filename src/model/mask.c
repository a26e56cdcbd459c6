// SPDX-License-Identifier: Apache-2.0
/* What a checkpoint's attn.bias says. GPT-JT was exported with every layer's bias set to one, which is how the 2022
 * library ran its prompt bidirectionally; a GPT-J has the lower triangle. Later libraries drop the buffer unread. */
#include <stdio.h>

#include "model/gptj.h"

static bool is_set(const struct tensor *t, int64_t i)
{
    /* uint8 and bool are what exists in practice; a 6 B checkpoint has 117 million of them */
    return dtype_bytes(t->dtype) == 1 ? ((const uint8_t *)t->data)[i] != 0 : tensor_value(t, i) != 0;
}

/* The buffer is [1][1][P][P] of any number type. */
static enum stored_mask mask_of(const struct tensor *t)
{
    if (t->n_dims < 2) return STORED_MASK_OTHER;
    const int64_t P = t->shape[t->n_dims - 1];
    if (P < 1 || t->shape[t->n_dims - 2] != P || tensor_elements(t) != P * P) return STORED_MASK_OTHER;
    bool ones = true, triangle = true;
    for (int64_t row = 0; row < P && (ones || triangle); row++) {
        for (int64_t col = 0; col < P; col++) {
            const bool set = is_set(t, row * P + col);
            ones &= set;
            triangle &= set == (col <= row);
        }
    }
    /* One position cannot tell the two apart, and need not. */
    return ones && P > 1 ? STORED_MASK_PREFIX : triangle ? STORED_MASK_CAUSAL : STORED_MASK_OTHER;
}

enum stored_mask gptj_stored_mask(const struct gptj_config *cfg, const struct source *src)
{
    enum stored_mask all = STORED_MASK_ABSENT;
    for (int l = 0; l < cfg->L; l++) {
        char name[64];
        snprintf(name, sizeof name, "transformer.h.%d.attn.bias", l);
        const struct tensor *t = source_find(src, name);
        if (!t) continue;
        const enum stored_mask m = mask_of(t);
        if (all == STORED_MASK_ABSENT) all = m;
        if (m != all) return STORED_MASK_OTHER;
    }
    return all;
}
