// SPDX-License-Identifier: Apache-2.0
/* A request that scores, as a job of a scheduler: a prompt, then the rows of its continuations, as many a step as there
 * is room for. */
#ifndef GPTJT_ENGINE_SCORING_H
#define GPTJT_ENGINE_SCORING_H

#include "engine/scheduler.h"

struct scoring {
    struct job job; /* first: a pointer to one is a pointer to the other */
    struct gptjt_session *s;
    const struct gptjt_span *c; /* [n] continuations */
    size_t n;
    struct gptjt_score *scores; /* [n] */
    struct kv_sequence *forks;  /* [n] */
    size_t at, token;           /* the continuation and its token that are the next row */
    int n_left, n_unread;       /* rows not in a step yet; rows not read yet, the prompt's last included */
};

/* Whether r can be served by s, by itself. */
enum status scoring_check(const struct gptjt_session *s, const struct gptjt_score_request *r);

/* r, which has been checked, is not needed afterwards, but what it points to is. scores and forks, [n] zeros, are
 * borrowed; gptjt_scores_free() also after a failure. */
enum status scoring_open(struct scoring *g, struct gptjt_session *s, const struct gptjt_score_request *r,
                         struct gptjt_score *scores, struct kv_sequence *forks);

#endif
