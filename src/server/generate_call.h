// SPDX-License-Identifier: Apache-2.0
/* A request for text in some dialect, from its body to the end of its answer. */
#ifndef GPTJT_SERVER_GENERATE_CALL_H
#define GPTJT_SERVER_GENERATE_CALL_H

#include "server/service.h"

/* In the exchange's handler. */
void generate_start(struct service *s, struct exchange *x, const struct dialect *d, enum ask_stream as);

#endif
