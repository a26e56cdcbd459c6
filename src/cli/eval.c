// SPDX-License-Identifier: Apache-2.0
/* What the kinds of evaluation share: the masks they run under, and their results. */
#include "cli/eval.h"

#include <stdio.h>

#include "base/file.h"

int eval_masks(enum gptjt_mask masks[2], const struct eval_settings *set, enum gptjt_mask otherwise)
{
    masks[0] = set->common.prompt_mask ? (enum gptjt_mask)set->common.prompt_mask : otherwise;
    if (!set->compare_masks) return 1;
    masks[0] = GPTJT_MASK_PREFIX;
    masks[1] = GPTJT_MASK_CAUSAL;
    return 2;
}

json_t *eval_describe(const struct cli_model *m, const struct eval_settings *set)
{
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:I}", "model", m->name, "weights", m->info.weights, "compute",
                     m->info.compute, "device", m->info.device, "cpu", m->info.cpu, "limit", (json_int_t)set->limit);
}

double eval_number(const json_t *o, const char *key)
{
    return json_number_value(json_object_get(o, key));
}

double eval_bound(const json_t *o, size_t end)
{
    return json_number_value(json_array_get(json_object_get(o, "interval"), end));
}

enum status eval_write_results(const struct eval_settings *set, const json_t *results)
{
    char path[4096];
    if (set->output) {
        TRY(file_join(path, sizeof path, set->output, "results.json"));
        TRY(json_write_file(results, path));
    }
    return set->json ? json_write_stream(results, stdout, false) : OK;
}
