// SPDX-License-Identifier: Apache-2.0
/* Any bytes as a pytorch file, zip or legacy: refused, or every tensor lies within them. */
#include <stdint.h>

#include "formats/torchbin.h"
#include "touch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct source *s;
    if (torchbin_open_memory(&s, data, size, "fuzz") != OK) return 0;
    touch_all(s);
    source_close(s);
    return 0;
}
