// SPDX-License-Identifier: Apache-2.0
/* A request that generates, as a job of a scheduler: a prompt, then one row a step for every sequence that goes on. */
#ifndef GPTJT_ENGINE_GENERATION_H
#define GPTJT_ENGINE_GENERATION_H

#include "engine/scheduler.h"
#include "engine/stop.h"

struct stream; /* one continuation in the making */

struct generation {
    struct job job; /* first: a pointer to one is a pointer to the other */
    struct gptjt_session *s;
    const struct gptjt_generate_request *r;
    const struct tokenizer *tokenizer; /* NULL: no text */
    struct stop_list stop;
    bool greedy, processed; /* processed: there are bias or penalties */
    struct sampling sampling;
    struct stream *streams;     /* [n] */
    struct gptjt_generation to; /* what becomes the result, but for the streams' */
    int n, n_live;
    int64_t begun_ns, done_ns; /* when the first token was there, and the last */
};

/* Whether r can be served by s, by itself. */
enum status generation_check(const struct gptjt_session *s, const struct gptjt_generate_request *r);

/* r, which has been checked, is borrowed. generation_close() also after a failure. */
enum status generation_open(struct generation *g, struct gptjt_session *s, const struct gptjt_generate_request *r);
void generation_finish(struct generation *g, struct gptjt_generation *out); /* moves the result out */
void generation_close(struct generation *g);

/* False: it is done without ever being a job. */
bool generation_has_work(const struct generation *g);

#endif
