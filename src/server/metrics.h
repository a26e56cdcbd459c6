// SPDX-License-Identifier: Apache-2.0
/* What a server counts, and Prometheus's text of it. All functions may be called by any thread. */
#ifndef GPTJT_SERVER_METRICS_H
#define GPTJT_SERVER_METRICS_H

#include <stdint.h>

#include "base/buf.h"
#include "server/desk.h"

struct metrics;

struct metrics *metrics_create(void); /* NULL without memory. Owned: metrics_free() */
void metrics_free(struct metrics *m);

/* An exchange is over. route: static, of a limited set. status 0: the client went away before there was one. */
void metrics_request(struct metrics *m, const char *route, int status, double seconds);

void metrics_first_token(struct metrics *m, double seconds); /* from the request to its first token */
void metrics_next_token(struct metrics *m, double seconds);  /* from one token of a text to the next */

/* What is counted elsewhere. */
struct metrics_now {
    const struct desk_state *desk; /* NULL: the model is not there yet */
    int connections;
    const char *version, *model;
    double seconds; /* since the start */
};
void metrics_put(struct buf *out, struct metrics *m, const struct metrics_now *now);

#endif
