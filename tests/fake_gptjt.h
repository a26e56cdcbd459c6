// SPDX-License-Identifier: Apache-2.0
/* A stand-in for the engine behind gptjt.h, for tests of what is built on it: a token is a byte, and the
 * log-probability of a token is an arbitrary fixed function of the prompt and the tokens before it. */
#ifndef GPTJT_TESTS_FAKE_GPTJT_H
#define GPTJT_TESTS_FAKE_GPTJT_H

#include "gptjt.h"

struct gptjt_engine {
    int n_positions;
    bool has_tokenizer;
    int n_scored;     /* prompts that were scored */
    int fail_at;      /* the one that fails, then and whenever it comes again; 0: none */
    uint64_t failing; /* its hash */
    double poison;    /* added to every total */
    size_t longest_prompt, n_rows;
    size_t most_at_once;     /* requests of one call */
    const char *const *says; /* [n_says] what it generates, one of these for a prompt */
    int n_says, n_generated;
    char *last_continuation; /* of the last call, all continuations one after the other; owned by the test */
};

struct gptjt_engine *fake_engine(int n_positions);
void fake_engine_free(struct gptjt_engine *e);

#endif
