// SPDX-License-Identifier: Apache-2.0
/* gptjt eval --helm. */
#include "cli/eval.h"

enum status eval_helm(const struct eval_settings *set)
{
    (void)set;
    return fail(E_UNSUPPORTED, "eval --helm is being built");
}
