// SPDX-License-Identifier: Apache-2.0
/* The dialect of OpenAI's completions: POST /v1/completions and GET /v1/models.
 *
 *     {"model", "prompt": TEXT | [TEXT, ...] | [ID, ...] | [[ID, ...], ...], "max_tokens": 16, "temperature": 1,
 * "top_p", "n", "best_of", "stream", "stream_options", "logprobs": 0..20, "echo", "stop", "seed", "presence_penalty",
 *      "frequency_penalty", "logit_bias", "user"}
 *     -> {"id", "object": "text_completion", "created", "model", "choices": [{"text", "index", "logprobs",
 *         "finish_reason"}], "usage"}
 *     -> data: {the same with one choice} ... data: [DONE]
 *
 * Also top_k, typical_p, repetition_penalty, prompt_mask and prefix_tokens, as the other dialects have them, and what
 * Hugging Face's JavaScript client leaves in when it rewrites a request for this path (do_sample, return_full_text,
 * ...). With "echo" and "logprobs" the prompt's tokens are scored, causally unless prefix_tokens says where the prompt
 * proper ends: then the first prefix_tokens see each other, as the model's mask has it, and have no log-probabilities.
 */
#ifndef GPTJT_SERVER_API_OPENAI_H
#define GPTJT_SERVER_API_OPENAI_H

#include "server/dialect.h"

/* {"object": "list", "data": [...]}, and one of these; created: Unix time of the server's start. */
void openai_put_models(struct buf *out, const char *const *names, int n, int64_t created);
void openai_put_model(struct buf *out, const char *name, int64_t created);

#endif
