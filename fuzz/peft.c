// SPDX-License-Identifier: Apache-2.0
/* Hostile adapter_config.json: what is accepted keeps the promises of peft.h, what is refused says why in one line. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "formats/peft.h"

static void require(bool promise)
{
    if (!promise) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    json_t *j = NULL;
    struct peft_config c;
    if (json_read_text(&j, (const char *)data, size, "fuzz") != OK) return 0;
    if (peft_config_parse(&c, j, "fuzz") == OK)
        require(c.r >= 1 && isfinite(peft_scale(&c)) && strlen(c.base_model) < sizeof c.base_model);
    else
        require(*status_message() && !strchr(status_message(), '\n'));
    json_decref(j);
    return 0;
}
