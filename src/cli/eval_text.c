// SPDX-License-Identifier: Apache-2.0
/* gptjt eval --text. */
#include "cli/eval.h"

enum status eval_text(const struct eval_settings *set)
{
    (void)set;
    return fail(E_UNSUPPORTED, "eval --text is being built");
}
