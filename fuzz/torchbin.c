// SPDX-License-Identifier: Apache-2.0
/* Any bytes as a pytorch file, zip or legacy: refused, or every tensor lies within them. */
#include <stdint.h>

#include "formats/torchbin.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static volatile uint8_t sink;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct source *s;
    if (torchbin_open_memory(&s, data, size, "fuzz") != OK) return 0;
    for (int i = 0; i < s->n_entries; i++) {
        const struct tensor *t = source_find(s, s->entries[i].name);
        const int64_t bytes = tensor_bytes(t);
        for (int64_t k = 0; k < bytes; k++)
            sink = ((const uint8_t *)t->data)[k];
    }
    source_close(s);
    return 0;
}
