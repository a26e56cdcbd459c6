// SPDX-License-Identifier: Apache-2.0
/* A request to /classify, from its body to its answer. */
#ifndef GPTJT_SERVER_CLASSIFY_CALL_H
#define GPTJT_SERVER_CLASSIFY_CALL_H

#include "server/service.h"

/* In the exchange's handler. */
void classify_start(struct service *s, struct exchange *x);

#endif
