// SPDX-License-Identifier: Apache-2.0
#include "fake_gptjt.h"

#include <stdlib.h>
#include <string.h>

struct gptjt_tokenizer {
    int unused;
};

struct gptjt_session {
    struct gptjt_engine *engine;
    size_t max_tokens;
};

static const struct gptjt_tokenizer tokenizer;

struct gptjt_engine *fake_engine(int n_positions)
{
    struct gptjt_engine *e = calloc(1, sizeof *e);
    e->n_positions = n_positions;
    e->has_tokenizer = true;
    return e;
}

void fake_engine_free(struct gptjt_engine *e)
{
    free(e->last_continuation);
    free(e);
}

const char *gptjt_version(void)
{
    return "fake";
}

const char *gptjt_error(void)
{
    return "the fake engine was told to fail";
}

enum gptjt_status gptjt_encode(const struct gptjt_tokenizer *t, const char *text, size_t text_len, bool added_tokens,
                               int32_t **ids, size_t *n_ids)
{
    (void)t;
    (void)added_tokens;
    int32_t *out = malloc((text_len + 1) * sizeof *out);
    for (size_t i = 0; i < text_len; i++)
        out[i] = (unsigned char)text[i];
    *ids = out;
    *n_ids = text_len;
    return GPTJT_OK;
}

enum gptjt_status gptjt_decode(const struct gptjt_tokenizer *t, const int32_t *ids, size_t n_ids, char **text,
                               size_t *text_len)
{
    (void)t;
    char *out = malloc(n_ids + 1);
    for (size_t i = 0; i < n_ids; i++)
        out[i] = (char)ids[i];
    out[n_ids] = 0;
    *text = out;
    *text_len = n_ids;
    return GPTJT_OK;
}

void gptjt_free(void *p)
{
    free(p);
}

const struct gptjt_tokenizer *gptjt_engine_tokenizer(const struct gptjt_engine *e)
{
    return e->has_tokenizer ? &tokenizer : NULL;
}

void gptjt_engine_info(const struct gptjt_engine *e, struct gptjt_info *out)
{
    *out = (struct gptjt_info){.name = "fake", .n_positions = e->n_positions, .vocab_size = 256};
}

enum gptjt_status gptjt_session_create(struct gptjt_session **out, struct gptjt_engine *e, size_t max_tokens)
{
    *out = malloc(sizeof **out);
    **out = (struct gptjt_session){.engine = e, .max_tokens = max_tokens};
    return GPTJT_OK;
}

void gptjt_session_close(struct gptjt_session *s)
{
    free(s);
}

size_t gptjt_tokens_needed(size_t n_prompt, size_t n_sequences, size_t n_new)
{
    return n_prompt + n_sequences * n_new;
}

static uint64_t mix(uint64_t h, struct gptjt_span s)
{
    for (size_t i = 0; i < s.n; i++)
        h = (h ^ (uint64_t)s.ids[i]) * 0x9e3779b97f4a7c15, h ^= h >> 29;
    return h;
}

static void remember(struct gptjt_engine *e, const struct gptjt_span *continuations, size_t n)
{
    size_t len = 0;
    for (size_t i = 0; i < n; i++)
        len += continuations[i].n;
    char *at = e->last_continuation = realloc(e->last_continuation, len + 1);
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < continuations[i].n; k++)
            *at++ = (char)continuations[i].ids[k];
    *at = 0;
}

enum gptjt_status gptjt_score(struct gptjt_session *s, struct gptjt_span prompt, enum gptjt_mask prompt_mask,
                              const struct gptjt_span *continuations, size_t n, struct gptjt_score *scores)
{
    (void)prompt_mask;
    struct gptjt_engine *e = s->engine;
    if (++e->n_scored == e->fail_at) e->failing = mix(1, prompt);
    if (e->failing && mix(1, prompt) == e->failing) return GPTJT_E_NUMERIC;
    size_t longest = 0;
    for (size_t i = 0; i < n; i++)
        if (continuations[i].n > longest) longest = continuations[i].n;
    if (prompt.n + longest > (size_t)e->n_positions) return GPTJT_E_LIMIT;
    if (gptjt_tokens_needed(prompt.n, n, longest) > s->max_tokens) return GPTJT_E_LIMIT;
    if (prompt.n > e->longest_prompt) e->longest_prompt = prompt.n;
    remember(e, continuations, n);
    for (size_t i = 0; i < n; i++) {
        const uint64_t h = mix(mix(1, prompt), continuations[i]);
        scores[i] = (struct gptjt_score){.n = continuations[i].n, .total = e->poison - (double)(h % 1000) / 100};
        scores[i].logprobs = calloc(continuations[i].n, sizeof(float));
    }
    return GPTJT_OK;
}

enum gptjt_status gptjt_score_many(struct gptjt_session *s, const struct gptjt_score_request *requests, size_t n,
                                   struct gptjt_score *scores)
{
    size_t done = 0;
    if (n > s->engine->most_at_once) s->engine->most_at_once = n;
    for (size_t i = 0; i < n; i++) {
        const struct gptjt_score_request *r = &requests[i];
        const enum gptjt_status e = gptjt_score(s, r->prompt, r->prompt_mask, r->continuations, r->n, scores + done);
        if (e != GPTJT_OK) {
            gptjt_scores_free(scores, done);
            return e;
        }
        done += r->n;
    }
    return GPTJT_OK;
}

void gptjt_session_set_progress(struct gptjt_session *s, gptjt_progress_fn *fn, void *user)
{
    (void)s;
    (void)fn;
    (void)user;
}

const char *gptjt_finish_name(enum gptjt_finish f)
{
    static const char *const names[] = {"length", "eos_token", "stop_sequence"};
    return names[f];
}

void gptjt_generate_init(struct gptjt_generate_request *r)
{
    *r = (struct gptjt_generate_request){.max_new_tokens = 20, .num_return_sequences = 1, .top_p = 1};
}

/* Says the line of engine->says whose place is the prompt's hash, with one space in front as a model would. */
static enum gptjt_status say(struct gptjt_engine *e, const struct gptjt_generate_request *r,
                             struct gptjt_generation *out)
{
    const struct gptjt_span prompt = {r->prompt, r->n_prompt};
    if (r->n_prompt + (size_t)r->max_new_tokens > (size_t)e->n_positions) return GPTJT_E_LIMIT;
    const char *text = e->says[mix(1, prompt) % (uint64_t)e->n_says];
    struct gptjt_completion *c = calloc(1, sizeof *c);
    c->text = malloc(strlen(text) + 2);
    c->text[0] = ' ';
    strcpy(c->text + 1, text);
    c->text_len = strlen(c->text);
    *out = (struct gptjt_generation){.completions = c, .n = 1};
    e->n_generated++;
    return GPTJT_OK;
}

enum gptjt_status gptjt_generate_many(struct gptjt_session *s, const struct gptjt_generate_request *requests, size_t n,
                                      struct gptjt_generation *out)
{
    for (size_t i = 0; i < n; i++) {
        const enum gptjt_status e = say(s->engine, &requests[i], &out[i]);
        if (e == GPTJT_OK) continue;
        while (i)
            gptjt_generation_free(&out[--i]);
        return e;
    }
    return GPTJT_OK;
}

void gptjt_generation_free(struct gptjt_generation *g)
{
    for (int i = 0; i < g->n; i++)
        free(g->completions[i].text);
    free(g->completions);
}

void gptjt_scores_free(struct gptjt_score *scores, size_t n)
{
    for (size_t i = 0; i < n; i++)
        free(scores[i].logprobs);
}
