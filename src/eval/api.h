// SPDX-License-Identifier: Apache-2.0
/* The public API as the evaluators use it: its status as ours, its masks by name. */
#ifndef GPTJT_EVAL_API_H
#define GPTJT_EVAL_API_H

#include "base/status.h"
#include "gptjt.h"

_Static_assert((int)GPTJT_E_ARG == (int)E_ARG && (int)GPTJT_E_CANCELLED == (int)E_CANCELLED, "the same codes");

/* The status of a call as ours; a failure keeps its message. */
static inline enum status api_status(enum gptjt_status s)
{
    return s == GPTJT_OK ? OK : fail((enum status)s, "%s", gptjt_error());
}

static inline const char *api_mask_name(enum gptjt_mask mask)
{
    return mask == GPTJT_MASK_PREFIX ? "prefix" : "causal";
}

#endif
