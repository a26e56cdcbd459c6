// SPDX-License-Identifier: Apache-2.0
/* Reads every byte of every tensor, so that the sanitizer sees a view that leaves its file. */
#ifndef GPTJT_FUZZ_TOUCH_H
#define GPTJT_FUZZ_TOUCH_H

#include <stdint.h>

#include "formats/source.h"

static volatile uint8_t touch_sink;

static inline void touch_all(const struct source *s)
{
    for (int i = 0; i < s->n_entries; i++) {
        const struct tensor *t = source_find(s, s->entries[i].name);
        const int64_t bytes = tensor_bytes(t);
        for (int64_t k = 0; k < bytes; k++)
            touch_sink = ((const uint8_t *)t->data)[k];
    }
}

#endif
