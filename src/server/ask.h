// SPDX-License-Identifier: Apache-2.0
/* What a client wants continued, in no dialect: the prompts, how to go on from them, and what the answer shall show.
 * Names are those of include/gptjt.h where it has them. A dialect (api_*.h) makes one from a body. */
#ifndef GPTJT_SERVER_ASK_H
#define GPTJT_SERVER_ASK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/json.h"
#include "base/options.h"
#include "gptjt.h"

/* Whether the answer is a stream: as the body says, or as the path does. */
enum ask_stream { ASK_AS_BODY_SAYS, ASK_WHOLE, ASK_STREAM };

/* What a server allows. */
struct ask_limits {
    int window; /* of the model: prompt and new tokens together */
    int vocab_size;
    int most_prompts; /* of one request */
    int most_n;       /* answers to one prompt: best_of, n, num_return_sequences */
    int most_stops;
    enum ask_stream stream;
};

struct ask_prompt {
    const char *text; /* [text_len], borrowed from the body; NULL: it came as token ids */
    size_t text_len;
    int32_t *ids; /* [n_ids], owned */
    size_t n_ids;
};

struct ask {
    json_t *body;      /* owned; texts borrow from it */
    const char *model; /* whom the request is meant for; NULL: it does not say */

    struct ask_prompt *prompts; /* [n_prompts], owned */
    int n_prompts;
    bool many; /* they came as a list: so do the answers */

    int64_t max_new_tokens; /* ASK_ROOM: as many as the window has room for, up to most_new_tokens */
    int64_t most_new_tokens;
    bool do_sample;
    double temperature;
    int64_t top_k;
    double top_p, typical_p, repetition_penalty, presence_penalty, frequency_penalty;
    struct gptjt_bias *logit_bias; /* [n_logit_bias], owned */
    int n_logit_bias;
    struct option_strings stop;
    uint64_t seed;
    bool seeded;        /* it was given */
    int prompt_mask;    /* enum gptjt_mask */
    int64_t n, best_of; /* answers to a prompt: shown, made */
    int64_t truncate;   /* a prompt's last tokens that are kept; 0: all */
    bool truncate_to_fit;
    double max_time; /* seconds, after which the answer is what there is; 0: none of its own */

    bool score_prompt;     /* the prompt's tokens get log-probabilities, ... */
    int64_t prefix_tokens; /* ... those after so many, which see each other; 0: all but the first, causally */

    /* What the answer shows. */
    bool stream;
    bool watermark; /* is wanted, and is not built */
    bool details;   /* tokens with log-probabilities */
    bool full_text; /* the prompt in front */
    bool usage;     /* counts at a stream's end */
    int64_t n_top;
};

enum { ASK_ROOM = -1 };

/* Greedy, one answer, everything off, ASK_ROOM new tokens. */
void ask_init(struct ask *a);
void ask_free(struct ask *a);

/* Reads a request's body into a->body: E_FORMAT unless it is an object. */
enum status ask_read(struct ask *a, const char *body, size_t len);

/* Prompts from a JSON value named what: a string, or if lists are allowed an array of them, or if ids are allowed
 * token ids or an array of arrays of them, as OpenAI has it. E_ARG. */
enum status ask_take_prompts(struct ask *a, const json_t *value, const char *what, bool lists, bool ids,
                             const struct ask_limits *limits);

/* Whether it is, given what the body says. */
bool ask_streams(const struct ask_limits *limits, bool body);

/* What all dialects check alike, in the words of the field names. where begins messages: "parameters". */
enum status ask_check(const struct ask *a, const char *where, const struct ask_limits *limits);

/* E_ARG unless value is above 0, which the range of a table of options cannot say. */
enum status ask_positive(double value, const char *where, const char *name);

#endif
