// SPDX-License-Identifier: Apache-2.0
/* The dialect of Hugging Face's text-generation-inference: POST /generate and /generate_stream,
 *
 *     {"inputs": TEXT, "parameters": {...}}
 *     -> {"generated_text": TEXT, "details": {finish_reason, generated_tokens, seed, prefill, tokens, top_tokens, ...}}
 *     -> data:{"index": 1, "token": {id, text, logprob, special}, "generated_text": null, "details": null} ...
 *
 * its errors {"error", "error_type"}, and POST /tokenize. Beyond TGI's parameters there are prompt_mask and
 * prefix_tokens. Unlike TGI's, a text ends before the stop string. */
#ifndef GPTJT_SERVER_API_TGI_H
#define GPTJT_SERVER_API_TGI_H

#include "server/dialect.h"

/* How long a text becomes when nobody says it. */
enum { TGI_NEW_TOKENS = 1024 };

/* The entries of a table of options on struct ask for what is in "parameters". */
#define TGI_FIELD(field) .offset = offsetof(struct ask, field)
#define TGI_REFUSED(name_, reason)                                                                                     \
    {                                                                                                                  \
        .name = name_, .type = OPTION_REFUSED, .help = reason                                                          \
    }
#define TGI_PARAMETERS                                                                                                 \
    {.name = "best-of", .type = OPTION_INT, TGI_FIELD(best_of), .min = 1, .max = 1024},                                \
        {.name = "temperature", .type = OPTION_NUMBER, TGI_FIELD(temperature), .max = 1e6},                            \
        {.name = "repetition-penalty", .type = OPTION_NUMBER, TGI_FIELD(repetition_penalty), .max = 1e6},              \
        {.name = "frequency-penalty", .type = OPTION_NUMBER, TGI_FIELD(frequency_penalty), .min = -2, .max = 2},       \
        {.name = "presence-penalty", .type = OPTION_NUMBER, TGI_FIELD(presence_penalty), .min = -2, .max = 2},         \
        {.name = "top-k", .type = OPTION_INT, TGI_FIELD(top_k), .min = 1, .max = INT32_MAX},                           \
        {.name = "top-p", .type = OPTION_NUMBER, TGI_FIELD(top_p), .max = 1},                                          \
        {.name = "typical-p", .type = OPTION_NUMBER, TGI_FIELD(typical_p), .max = 1},                                  \
        {.name = "do-sample", .type = OPTION_FLAG, TGI_FIELD(do_sample)},                                              \
        {.name = "max-new-tokens", .type = OPTION_INT, TGI_FIELD(max_new_tokens), .min = 1, .max = INT32_MAX},         \
        {.name = "return-full-text", .type = OPTION_FLAG, TGI_FIELD(full_text)},                                       \
        {.name = "stop", .type = OPTION_STRINGS, TGI_FIELD(stop)},                                                     \
        {.name = "truncate", .type = OPTION_INT, TGI_FIELD(truncate), .min = 1, .max = INT32_MAX},                     \
        {.name = "details", .type = OPTION_FLAG, TGI_FIELD(details)},                                                  \
        {.name = "decoder-input-details", .type = OPTION_FLAG, TGI_FIELD(score_prompt)},                               \
        {.name = "seed", .type = OPTION_SEED, TGI_FIELD(seed)},                                                        \
        {.name = "top-n-tokens", .type = OPTION_INT, TGI_FIELD(n_top), .max = GPTJT_MOST_TOP},                         \
        {.name = "prompt-mask", .type = OPTION_CHOICE, TGI_FIELD(prompt_mask), .choices = "auto|prefix|causal"},       \
        {.name = "prefix-tokens", .type = OPTION_INT, TGI_FIELD(prefix_tokens), .min = 1, .max = INT32_MAX},           \
        {.name = "watermark", .type = OPTION_FLAG, TGI_FIELD(watermark)},                                              \
        TGI_REFUSED("grammar", "answers are not constrained by a grammar"),                                            \
        TGI_REFUSED("adapter-id", "the server has the one adapter it was started with"),                               \
        TGI_REFUSED("num-beams", "there is no beam search; decoding is greedy or sampled")

/* What the entries above leave to be checked and completed. given: of a table that has them. */
enum status tgi_finish_parameters(struct ask *a, const struct option *table, option_given given,
                                  const struct ask_limits *limits);

/* {"generated_text", "details"?} of text number `text` of a prompt; chosen [ask->n]: which are shown. */
json_t *tgi_generated(const struct ask *ask, const struct answer *answer, const struct render *r, int prompt,
                      const int *chosen, int text);

/* Of struct dialect, also for the Inference API: its streams are TGI's. */
void tgi_token(struct buf *out, const struct ask *ask, const struct answer *answer, const struct render *r, int prompt,
               const struct gptjt_token *t);
void tgi_end(struct buf *out, const struct ask *ask, const struct answer *answer, const struct render *r);

/* /tokenize: [{"id", "text", "start", "stop"}], places in characters. ids are the prompt's. */
void tgi_put_tokens(struct buf *out, const struct render *r, const int32_t *ids, size_t n);

#endif
