// SPDX-License-Identifier: Apache-2.0
#include "server/order.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/rng.h"
#include "eval/api.h"

enum status order_encode(const struct gptjt_engine *engine, const char *text, size_t len, int32_t **ids, size_t *n)
{
    const struct gptjt_tokenizer *t = gptjt_engine_tokenizer(engine);
    if (!t) return fail(E_ARG, "request: this model has no tokenizer files: give token ids");
    return api_status(gptjt_encode(t, text, len, true, ids, n));
}

/* Which tokens of a prompt are run: its last ones where it is to be cut. */
static enum status take_prompt(struct order *o, const struct ask *ask, const struct gptjt_engine *engine, int i)
{
    const struct ask_prompt *p = &ask->prompts[i];
    struct gptjt_generate_request *r = &o->requests[i];
    r->prompt = p->ids;
    r->n_prompt = p->n_ids;
    if (p->text) {
        TRY(order_encode(engine, p->text, p->text_len, &o->owned[i], &r->n_prompt));
        r->prompt = o->owned[i];
    }
    if (!r->n_prompt) return fail(E_ARG, "request: a prompt is empty; <|endoftext|> starts from nothing");
    if (ask->truncate && r->n_prompt > (size_t)ask->truncate) {
        r->prompt += r->n_prompt - (size_t)ask->truncate;
        r->n_prompt = (size_t)ask->truncate;
    }
    return OK;
}

static enum status take_length(const struct order *o, const struct ask *ask, const struct gptjt_info *info, int i)
{
    struct gptjt_generate_request *r = &o->requests[i];
    const int64_t window = info->n_positions, room = window - (int64_t)r->n_prompt;
    if (room < (ask->max_new_tokens != 0))
        return fail(E_LIMIT, "the prompt has %zu tokens, which leaves no room for new ones in the window of %" PRId64,
                    r->n_prompt, window);
    int64_t wanted = ask->max_new_tokens;
    if (wanted == ASK_ROOM) wanted = room < ask->most_new_tokens ? room : ask->most_new_tokens;
    if (wanted > room)
        return fail(E_LIMIT, "a prompt of %zu tokens and %" PRId64 " new ones do not fit in the window of %" PRId64,
                    r->n_prompt, wanted, window);
    r->max_new_tokens = (int)wanted;
    return OK;
}

static enum status take_scores(const struct order *o, const struct ask *ask, const struct gptjt_info *info, int i)
{
    struct gptjt_generate_request *r = &o->requests[i];
    const enum gptjt_mask asked = (enum gptjt_mask)ask->prompt_mask;
    const bool prefix = (asked == GPTJT_MASK_AUTO ? info->prompt_mask : asked) == GPTJT_MASK_PREFIX;
    if (!ask->score_prompt) return OK;
    if (ask->prefix_tokens >= (int64_t)r->n_prompt)
        return fail(E_ARG, "request: \"prefix_tokens\" is %" PRId64 ", and the prompt has %zu tokens",
                    ask->prefix_tokens, r->n_prompt);
    /* Under the causal mask a prefix is as good as any other tokens. */
    const size_t unscored = prefix && ask->prefix_tokens ? (size_t)ask->prefix_tokens : 1;
    r->n_scored = r->n_prompt - unscored;
    return OK;
}

static void take_sampling(struct gptjt_generate_request *r, const struct ask *ask)
{
    r->prompt_mask = (enum gptjt_mask)ask->prompt_mask;
    r->do_sample = ask->do_sample;
    r->num_return_sequences = ask->do_sample ? (int)ask->best_of : 1;
    r->temperature = ask->temperature;
    r->top_k = (int)ask->top_k;
    r->top_p = ask->top_p;
    r->typical_p = ask->typical_p;
    r->repetition_penalty = ask->repetition_penalty;
    r->presence_penalty = ask->presence_penalty;
    r->frequency_penalty = ask->frequency_penalty;
    r->logit_bias = ask->logit_bias;
    r->n_logit_bias = ask->n_logit_bias;
    r->seed = ask->seeded ? ask->seed : rng_fresh_seed();
    r->stop = ask->stop.items;
    r->n_stop = ask->stop.n;
    r->n_top = (int)ask->n_top;
}

static enum status open_answer(struct order *o, int i)
{
    const struct gptjt_generate_request *r = &o->requests[i];
    struct answer_prompt *p = &o->answer.prompts[i];
    p->ids = r->prompt;
    p->n_ids = r->n_prompt;
    p->seed = r->seed;
    p->texts = calloc((size_t)r->num_return_sequences, sizeof *p->texts);
    if (!p->texts) return fail(E_NOMEM, "request: out of memory");
    p->n_texts = r->num_return_sequences;
    return OK;
}

static enum status fill(struct order *o, const struct ask *ask, const struct gptjt_engine *engine, int i)
{
    struct gptjt_info info;
    gptjt_engine_info(engine, &info);
    gptjt_generate_init(&o->requests[i]);
    TRY(take_prompt(o, ask, engine, i));
    TRY(take_length(o, ask, &info, i));
    take_sampling(&o->requests[i], ask);
    TRY(take_scores(o, ask, &info, i));
    return open_answer(o, i);
}

enum status order_make(struct order *out, const struct ask *ask, const struct gptjt_engine *engine)
{
    const size_t n = (size_t)ask->n_prompts;
    *out = (struct order){.n = ask->n_prompts, .answer = {.n = ask->n_prompts, .n_top = (int)ask->n_top}};
    out->requests = calloc(n, sizeof *out->requests);
    out->owned = calloc(n, sizeof *out->owned);
    out->answer.prompts = calloc(n, sizeof *out->answer.prompts);
    enum status s = OK;
    if (!out->requests || !out->owned || !out->answer.prompts) {
        out->n = out->answer.n = 0;
        s = fail(E_NOMEM, "request: out of memory");
    }
    for (int i = 0; s == OK && i < out->n; i++)
        s = fill(out, ask, engine, i);
    if (s != OK) order_free(out);
    return s;
}

void order_free(struct order *o)
{
    for (int i = 0; i < o->n; i++)
        gptjt_free(o->owned[i]);
    free(o->owned);
    free(o->requests);
    answer_free(&o->answer);
    *o = (struct order){0};
}
