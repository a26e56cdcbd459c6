// SPDX-License-Identifier: Apache-2.0
/* An ask made ready for the model: prompts as tokens, cut or refused where they do not fit, a request to the engine for
 * each, and an answer that waits to be filled. */
#ifndef GPTJT_SERVER_ORDER_H
#define GPTJT_SERVER_ORDER_H

#include "server/answer.h"
#include "server/ask.h"

struct order {
    struct gptjt_generate_request *requests; /* [n], owned; what they point to belongs to the order or the ask */
    int32_t **owned;                         /* [n] tokens of prompts that came as text */
    int n;
    struct answer answer;
};

/* The ask is borrowed until order_free(). Callbacks and user of the requests are left for the caller. E_ARG and E_LIMIT
 * are about the ask. *out is freed after a failure. */
enum status order_make(struct order *out, const struct ask *ask, const struct gptjt_engine *engine);
void order_free(struct order *o);

/* The tokens of a text as prompts have them. *ids: owned, gptjt_free(). */
enum status order_encode(const struct gptjt_engine *engine, const char *text, size_t len, int32_t **ids, size_t *n);

#endif
