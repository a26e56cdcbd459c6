// SPDX-License-Identifier: Apache-2.0
/* Engines and sessions of the public API, of the bundled model and the small ones of tests/data/goldens. */
#ifndef GPTJT_TESTS_ENGINES_H
#define GPTJT_TESTS_ENGINES_H

#include <stdlib.h>

#include "test.h"

#include "gptjt.h"

#define GOLDENS "tests/data/goldens/"
#define MICRO_A GOLDENS "micro-a/bin-fp16-prefix"
#define TINY    "models/gpt-jt-tiny"

static inline void check(enum gptjt_status s)
{
    if (s != GPTJT_OK) fail_msg("status %d: %s", s, gptjt_error());
}

static inline struct gptjt_engine *open_engine(const char *dir, const struct gptjt_engine_options *o)
{
    struct gptjt_engine *e;
    check(gptjt_engine_open(&e, dir, o));
    return e;
}

static inline struct gptjt_engine *open_in_fp32(const char *dir, int threads, const char *cpu)
{
    struct gptjt_engine_options o;
    gptjt_engine_options_init(&o);
    o.compute = GPTJT_COMPUTE_FP32;
    o.threads = threads;
    o.cpu = cpu;
    o.device = getenv("GPTJT_DEVICE"); /* by hand: what may not differ in bits on a GPU fails there */
    return open_engine(dir, &o);
}

static inline struct gptjt_session *open_session(struct gptjt_engine *e, size_t max_tokens)
{
    struct gptjt_session *s;
    check(gptjt_session_create(&s, e, max_tokens));
    return s;
}

#endif
