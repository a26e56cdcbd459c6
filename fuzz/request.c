// SPDX-License-Identifier: Apache-2.0
/* Hostile requests of every dialect: whatever the body is, it becomes an ask within the limits or an error of one line,
 * and answers to it are JSON. */
#include <stdlib.h>
#include <string.h>

#include "server/api_classify.h"

static const struct ask_limits limits = {
    .window = 64, .vocab_size = 256, .most_prompts = 8, .most_n = 4, .most_stops = 4};

static const struct render render = {.eos = 0, .model = "m", .id = "i"}; /* without a tokenizer: texts are empty */

static void require(bool promise)
{
    if (!promise) abort();
}

static void require_json(const struct buf *out)
{
    json_t *value = NULL;
    require(out->len && json_read_text(&value, out->data, out->len, "answer") == OK);
    json_decref(value);
}

static void check_ask(const struct ask *a)
{
    require(a->n_prompts >= 1 && a->n_prompts <= limits.most_prompts);
    require(a->n >= 1 && a->n <= a->best_of && a->best_of <= limits.most_n);
    require(a->stop.n <= limits.most_stops && a->n_top >= 0 && a->n_top <= GPTJT_MOST_TOP);
    require(a->top_p > 0 && a->top_p <= 1 && a->typical_p > 0 && a->typical_p <= 1 && a->repetition_penalty > 0);
    require(a->temperature >= 0 && a->temperature <= 1e6 && a->top_k >= 0 && a->max_new_tokens >= ASK_ROOM);
    require(!a->stream || a->best_of == a->n);
    for (int i = 0; i < a->n_prompts; i++)
        for (size_t k = 0; k < a->prompts[i].n_ids; k++)
            require(a->prompts[i].ids[k] >= 0 && a->prompts[i].ids[k] < limits.vocab_size);
    for (int i = 0; i < a->n_logit_bias; i++)
        require(a->logit_bias[i].id >= 0 && a->logit_bias[i].id < limits.vocab_size);
}

/* An answer of one token to each prompt. */
static void answer(const struct dialect *d, const struct ask *a)
{
    static const int32_t prompt[] = {1, 2};
    static const float logprobs[] = {-1};
    static const struct gptjt_top top[GPTJT_MOST_TOP];
    struct answer_prompt prompts[8];
    struct answer_text texts[8];
    memset(prompts, 0, sizeof prompts);
    memset(texts, 0, sizeof texts);
    struct answer all = {.prompts = prompts, .n = a->n_prompts, .n_top = (int)a->n_top};
    struct buf out = {0};
    const struct gptjt_token t = {
        .id = 1, .top = top, .n_top = (int)a->n_top, .text = "x", .text_len = 1, .last = true};
    for (int i = 0; i < all.n; i++) {
        prompts[i] = (struct answer_prompt){.ids = prompt, .n_ids = 2, .texts = &texts[i], .n_texts = 1};
        if (a->score_prompt) answer_add_scores(&all, i, 1, logprobs, top);
        answer_add_token(&all, i, &t);
        if (a->stream) d->token(&out, a, &all, &render, i, &t);
    }
    if (a->stream) {
        require(!out.failed && !strncmp(out.data, "data:", 5));
    } else {
        d->whole(&out, a, &all, &render);
        require_json(&out);
    }
    buf_free(&out);
    for (int i = 0; i < all.n; i++) {
        free(texts[i].ids);
        free(texts[i].logprobs);
        free(texts[i].top);
        buf_free(&texts[i].text);
        free(prompts[i].logprobs);
        free(prompts[i].top);
    }
}

static void check_error(const struct dialect *d)
{
    struct buf out = {0};
    require(*status_message() && !strchr(status_message(), '\n'));
    d->trouble(&out, TROUBLE_REQUEST, status_message());
    require_json(&out);
    buf_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct dialect *const dialects[] = {&dialect_tgi, &dialect_hf, &dialect_openai};
    const char *body = (const char *)data;
    for (size_t i = 0; i < sizeof dialects / sizeof *dialects; i++) {
        struct ask a;
        if (dialects[i]->parse(&a, body, size, &limits) == OK) {
            check_ask(&a);
            answer(dialects[i], &a);
        } else {
            check_error(dialects[i]);
        }
        ask_free(&a);
    }
    struct classify_ask c;
    if (classify_ask_parse(&c, body, size, &limits) == OK) {
        struct buf prompt = {0};
        require(c.n_inputs >= 1 && c.spec.n_labels >= 2 && c.spec.n_fields >= 1);
        for (int i = 0; i < c.n_inputs; i++)
            require(fewshot_build(&prompt, &c.spec, c.spec.n_shots, c.values + i * c.spec.n_fields) == OK);
        buf_free(&prompt);
    } else {
        check_error(&dialect_tgi);
    }
    classify_ask_free(&c);
    return 0;
}
