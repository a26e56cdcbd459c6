// SPDX-License-Identifier: Apache-2.0
/* What the answers of a Hub mean for whoever asked: gated and private models, wrong names, tokens that are missing. */
#ifndef GPTJT_HUB_ANSWER_H
#define GPTJT_HUB_ANSWER_H

#include "hub/response.h"

/* What was asked for; all borrowed. */
struct hub_subject {
    const struct hub_model *model;
    const char *file; /* NULL: about the model itself */
    const char *endpoint;
    const char *token_file; /* where a token is looked for, for hints */
    bool token;             /* one was sent */
};

/* OK for 200 and 206; else an error that says what to do, and *broken whether another try may change it. */
enum status hub_answer_check(const struct hub_response *r, const struct hub_subject *x, bool *broken);

#endif
