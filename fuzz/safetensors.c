// SPDX-License-Identifier: Apache-2.0
/* Any bytes as a safetensors file: refused, or every tensor lies within them. If it is the checkpoint of a certain
 * small model, possibly quantised, so does every weight as the program reads it. */
#include <stdint.h>
#include <stdlib.h>

#include "formats/safetensors.h"
#include "model/gptj.h"
#include "touch.h"

static const struct gptj_config small = {
    .V = 17, .P = 4, .D = 2, .L = 1, .H = 1, .K = 2, .R = 2, .F = 3, .eps = 1e-5, .bos = -1, .eos = -1};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum status touch_weight(void *user, const struct gptj_tensor_spec *spec)
{
    struct weight w;
    if (!gptj_stored_weight(&w, user, spec)) return fail(E_FORMAT, "checked, and missing");
    const size_t bytes = weight_bytes(w.type, w.O, w.I);
    for (size_t i = 0; i < bytes; i++)
        touch_sink = ((const uint8_t *)w.data)[i];
    return OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct source *s;
    if (safetensors_open_memory(&s, data, size, "fuzz") != OK) return 0;
    touch_all(s);
    for (int i = 0; i < s->n_notes; i++)
        touch_sink = (uint8_t)*source_note(s, s->notes[i].key);
    if (gptj_check(&small, s) == OK && gptj_each_tensor(&small, touch_weight, s) != OK) abort();
    source_close(s);
    return 0;
}
