// SPDX-License-Identifier: Apache-2.0
/* gptjt eval --tasks. */
#include "cli/eval.h"

enum status eval_tasks(const struct eval_settings *set)
{
    (void)set;
    return fail(E_UNSUPPORTED, "eval --tasks is being built");
}
