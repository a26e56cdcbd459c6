// SPDX-License-Identifier: Apache-2.0
/* Generation: one prefill, then one row a step for every sequence that still goes on. All sequences of a request fork
 * from the prompt's K/V and step together. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/rng.h"
#include "base/utf8.h"
#include "engine/engine.h"
#include "engine/sampling.h"
#include "engine/stop.h"

void gptjt_generate_init(struct gptjt_generate_request *r)
{
    *r = (struct gptjt_generate_request){
        .max_new_tokens = 20, .num_return_sequences = 1, .temperature = 1, .top_p = 1, .repetition_penalty = 1};
}

const char *gptjt_finish_name(enum gptjt_finish f)
{
    static const char *const names[] = {"length", "eos_token", "stop_sequence"};
    return names[f];
}

/* One continuation in the making. */
struct stream {
    struct kv_sequence kv;
    struct gptjt_completion c;
    struct token_stream decoder;
    struct buf text; /* all of it, stop string included */
    size_t shown;    /* of text, given to the callback */
    bool done;
};

struct generator {
    struct gptjt_session *s;
    const struct gptjt_generate_request *r;
    const struct tokenizer *tokenizer; /* NULL: no text */
    struct stop_list stop;
    bool greedy;
    struct sampling sampling;
    struct stream *streams; /* [n] */
    int n;
    int32_t *seen;                /* [prompt + max_new_tokens] scratch of the repetition penalty */
    float *scores;                /* [V] */
    uint8_t *marks;               /* [V] */
    struct candidate *candidates; /* [2 V] */
    double *probability;          /* [V] */
};

static enum status check_stops(const struct gptjt_generate_request *r, bool has_tokenizer)
{
    if (r->n_stop && !has_tokenizer)
        return fail(E_ARG, "stop strings need the model's tokenizer files, which are missing");
    for (int i = 0; i < r->n_stop; i++) {
        if (!r->stop[i][0]) return fail(E_ARG, "stop string %d is empty", i + 1);
        if (!utf8_valid(r->stop[i], strlen(r->stop[i]))) return fail(E_ARG, "stop string %d is not valid UTF-8", i + 1);
    }
    return OK;
}

static enum status check_request(const struct gptjt_session *s, const struct gptjt_generate_request *r)
{
    if (r->n_prompt == 0)
        return fail(E_ARG, "prompt is empty; give at least one token (a lone <|endoftext|> starts from nothing)");
    if (r->max_new_tokens < 0) return fail(E_ARG, "max_new_tokens is %d, not 0 or more", r->max_new_tokens);
    if (r->num_return_sequences < 1)
        return fail(E_ARG, "num_return_sequences is %d, not 1 or more", r->num_return_sequences);
    if (!(r->temperature >= 0 && r->temperature <= 1e6))
        return fail(E_ARG, "temperature is %g, not within 0..1000000", r->temperature);
    if (r->top_k < 0) return fail(E_ARG, "top_k is %d, not 0 or more", r->top_k);
    if (!(r->top_p > 0 && r->top_p <= 1)) return fail(E_ARG, "top_p is %g, not above 0 and up to 1", r->top_p);
    if (!(r->repetition_penalty > 0 && r->repetition_penalty <= 1e6))
        return fail(E_ARG, "repetition_penalty is %g, not above 0 and up to 1000000", r->repetition_penalty);
    if (r->num_return_sequences > 1 && (!r->do_sample || r->temperature == 0))
        return fail(E_ARG, "num_return_sequences is %d, but greedy decoding has one answer; use do_sample",
                    r->num_return_sequences);
    TRY(check_stops(r, s->engine->tokenizer.bpe != NULL));
    TRY(session_check_ids(s, r->prompt, r->n_prompt, "prompt"));
    return session_admit(s, r->n_prompt, (size_t)r->num_return_sequences, (size_t)r->max_new_tokens);
}

static enum status generator_open(struct generator *g, struct gptjt_session *s, const struct gptjt_generate_request *r)
{
    const size_t V = (size_t)s->engine->config.model.V, most = r->n_prompt + (size_t)r->max_new_tokens;
    *g = (struct generator){.s = s,
                            .r = r,
                            .tokenizer = s->engine->tokenizer.bpe,
                            .stop = {r->stop, r->n_stop},
                            .greedy = !r->do_sample || r->temperature == 0,
                            .sampling = {r->temperature, r->top_k, r->top_p, r->repetition_penalty},
                            .n = r->num_return_sequences};
    g->streams = calloc((size_t)g->n, sizeof *g->streams);
    g->seen = calloc(most, sizeof *g->seen);
    g->scores = calloc(V, sizeof *g->scores);
    g->marks = calloc(V, 1);
    g->candidates = calloc(2 * V, sizeof *g->candidates);
    g->probability = calloc(V, sizeof *g->probability);
    bool ok = g->streams && g->seen && g->scores && g->marks && g->candidates && g->probability;
    for (int i = 0; ok && i < g->n; i++) {
        const size_t n = r->max_new_tokens ? (size_t)r->max_new_tokens : 1;
        g->streams[i].c.tokens = calloc(n, sizeof(int32_t));
        g->streams[i].c.logprobs = calloc(n, sizeof(float));
        if (g->tokenizer) buf_append(&g->streams[i].text, "", 0); /* no text is "", not NULL */
        ok = g->streams[i].c.tokens && g->streams[i].c.logprobs && !g->streams[i].text.failed;
    }
    return ok ? OK : fail(E_NOMEM, "generate: out of memory");
}

static void generator_close(struct generator *g)
{
    for (int i = 0; g->streams && i < g->n; i++) {
        struct stream *t = &g->streams[i];
        kvcache_release(g->s->kv, &t->kv);
        free(t->c.tokens);
        free(t->c.logprobs);
        buf_free(&t->text);
    }
    free(g->streams);
    free(g->seen);
    free(g->scores);
    free(g->marks);
    free(g->candidates);
    free(g->probability);
}

/* The next token of stream i from its logits. */
static int32_t choose(struct generator *g, int i, const float *logits)
{
    const struct gptjt_generate_request *r = g->r;
    const struct stream *t = &g->streams[i];
    const int V = g->s->engine->config.model.V;
    memcpy(g->scores, logits, (size_t)V * sizeof *logits);
    if (r->repetition_penalty != 1) {
        memcpy(g->seen, r->prompt, r->n_prompt * sizeof *g->seen);
        memcpy(g->seen + r->n_prompt, t->c.tokens, t->c.n_tokens * sizeof *g->seen);
        sampling_penalise(g->scores, V, g->seen, r->n_prompt + t->c.n_tokens, r->repetition_penalty, g->marks);
    }
    if (g->greedy) return (int32_t)g->s->engine->host.argmax(g->scores, (size_t)V);
    int n;
    sampling_distribution(&g->s->engine->host, g->candidates, g->probability, &n, g->scores, V, &g->sampling);
    return sampling_pick(g->candidates, g->probability, n, rng_uniform(r->seed, (uint64_t)i, t->c.n_tokens));
}

/* Adds the token's text, looks for a stop string, and says how much may be shown. */
static enum status take_text(struct generator *g, struct stream *t, int32_t id, bool last)
{
    size_t len;
    const size_t before = t->text.len, longest = stop_longest(&g->stop);
    if (id != g->s->engine->config.model.eos && tokenizer_token(g->tokenizer, id, &len))
        TRY(tokenizer_stream(g->tokenizer, &t->decoder, &t->text, id));
    if (last) tokenizer_stream_end(&t->decoder, &t->text);
    TRY(buf_status(&t->text));
    const size_t from = before > longest ? before - longest : 0;
    const size_t at = stop_find(&g->stop, t->text.data, t->text.len, from);
    if (at < t->text.len) {
        t->c.finish = GPTJT_FINISH_STOP;
        t->done = true;
        t->text.len = at;
    }
    return OK;
}

static enum status show(struct generator *g, int i, int32_t id)
{
    struct stream *t = &g->streams[i];
    if (!g->r->on_token) return OK;
    const char *text = g->tokenizer ? "" : NULL;
    size_t len = 0;
    if (g->tokenizer && t->text.data) {
        const size_t safe = t->done ? t->text.len : stop_safe(&g->stop, t->text.data, t->text.len);
        if (safe > t->shown) {
            text = t->text.data + t->shown;
            len = safe - t->shown;
            t->shown = safe;
        }
    }
    return g->r->on_token(g->r->user, i, id, text, len) ? OK : fail(E_CANCELLED, "generation was cancelled");
}

/* Appends the next token of stream i, given the logits at its end. */
static enum status take_token(struct generator *g, int i, const float *logits)
{
    struct stream *t = &g->streams[i];
    const size_t V = (size_t)g->s->engine->config.model.V;
    const int32_t id = choose(g, i, logits);
    t->c.logprobs[t->c.n_tokens] = (float)((double)logits[id] - g->s->engine->host.log_sum_exp(logits, V));
    t->c.tokens[t->c.n_tokens++] = id;
    if (id == g->s->engine->config.model.eos) {
        t->c.finish = GPTJT_FINISH_EOS;
        t->done = true;
    } else if (t->c.n_tokens == (size_t)g->r->max_new_tokens) {
        t->c.finish = GPTJT_FINISH_LENGTH;
        t->done = true;
    }
    if (g->tokenizer) TRY(take_text(g, t, id, t->done));
    return show(g, i, id);
}

/* One decoding step for the streams that go on; *active tells whether any did. */
static enum status decode_step(struct generator *g, bool *active)
{
    struct gptjt_session *s = g->s;
    const size_t V = (size_t)s->engine->config.model.V;
    int row_of[LOGITS_BLOCK];
    int32_t rows[LOGITS_BLOCK];
    step_begin(s);
    for (int i = 0; i < g->n; i++) {
        const struct stream *t = &g->streams[i];
        if (t->done) continue;
        const size_t position = g->r->n_prompt + t->c.n_tokens - 1;
        step_add_row(s, step_add_sequence(s, &t->kv), t->c.tokens[t->c.n_tokens - 1], position, 0, position + 1);
    }
    *active = s->step.T > 0;
    if (!*active) return OK;
    TRY(step_run(s));
    int row = 0, n = 0;
    for (int i = 0; i < g->n; i++) {
        if (!g->streams[i].done) {
            row_of[n] = i;
            rows[n++] = row++;
        }
        if (n < LOGITS_BLOCK && i + 1 < g->n) continue;
        if (n) TRY(step_logits(s, rows, n));
        for (int k = 0; k < n; k++)
            TRY(take_token(g, row_of[k], s->logits + (size_t)k * V));
        n = 0;
    }
    return OK;
}

static enum status begin(struct generator *g, size_t *n_reused)
{
    struct gptjt_session *s = g->s;
    const struct gptjt_generate_request *r = g->r;
    const bool prefix = session_mask(s, r->prompt_mask) == GPTJT_MASK_PREFIX;
    TRY(session_prefill(s, r->prompt, r->n_prompt, prefix ? r->n_prompt : 0, false, n_reused));
    const int32_t last = (int32_t)(r->n_prompt - 1 - *n_reused);
    TRY(step_logits(s, &last, 1));
    for (int i = 0; i < g->n; i++) {
        /* The worst case is reserved now, so that nothing can run out of pages half-way. */
        TRY(kvcache_fork(s->kv, &g->streams[i].kv, &s->prompt, (int)r->n_prompt));
        TRY(kvcache_extend(s->kv, &g->streams[i].kv, (int)r->n_prompt + r->max_new_tokens));
    }
    for (int i = 0; i < g->n; i++)
        TRY(take_token(g, i, s->logits));
    return OK;
}

/* Moves the streams' results out. */
static enum status finish(struct generator *g, struct gptjt_generation *out)
{
    struct gptjt_completion *all = calloc((size_t)g->n, sizeof *all);
    if (!all) return fail(E_NOMEM, "generate: out of memory");
    for (int i = 0; i < g->n; i++) {
        struct stream *t = &g->streams[i];
        t->c.text_len = t->text.len;
        all[i] = t->c;
        all[i].text = t->text.data;
        if (all[i].text) all[i].text[all[i].text_len] = 0;
        t->text = (struct buf){0};
        t->c = (struct gptjt_completion){0};
    }
    out->completions = all;
    out->n = g->n;
    return OK;
}

enum gptjt_status gptjt_generate(struct gptjt_session *s, const struct gptjt_generate_request *r,
                                 struct gptjt_generation *out)
{
    const enum status bad = check_request(s, r);
    if (bad != OK) return (enum gptjt_status)bad;
    struct generator g;
    struct gptjt_generation result = {0};
    const int64_t start = clock_ns();
    int64_t prefilled = start;
    enum status st = generator_open(&g, s, r);
    if (st == OK && r->max_new_tokens > 0) {
        st = begin(&g, &result.n_reused);
        prefilled = clock_ns();
        for (bool active = true; st == OK && active;)
            st = decode_step(&g, &active);
    }
    if (st == OK) st = finish(&g, &result);
    generator_close(&g);
    if (st != OK) return (enum gptjt_status)st;
    result.prefill_s = clock_seconds(start, prefilled);
    result.decode_s = clock_seconds(prefilled, clock_ns());
    *out = result;
    return GPTJT_OK;
}

void gptjt_generation_free(struct gptjt_generation *g)
{
    for (int i = 0; i < g->n; i++) {
        free(g->completions[i].tokens);
        free(g->completions[i].logprobs);
        free(g->completions[i].text);
    }
    free(g->completions);
    *g = (struct gptjt_generation){0};
}
