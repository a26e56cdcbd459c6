// SPDX-License-Identifier: Apache-2.0
/* Generation: a prompt, then one row a step for every sequence that still goes on. All sequences of a request fork from
 * the prompt's K/V and step together, with those of all other requests. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/rng.h"
#include "base/utf8.h"
#include "engine/crew.h"
#include "engine/generation.h"

void gptjt_generate_init(struct gptjt_generate_request *r)
{
    *r = (struct gptjt_generate_request){.max_new_tokens = 20,
                                         .num_return_sequences = 1,
                                         .temperature = 1,
                                         .top_p = 1,
                                         .typical_p = 1,
                                         .repetition_penalty = 1};
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

static const struct job_kind generation_kind;

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

static enum status check_sampling(const struct gptjt_generate_request *r)
{
    static const double most = 1e6;
    if (!(r->temperature >= 0 && r->temperature <= most))
        return fail(E_ARG, "temperature is %g, not within 0..1000000", r->temperature);
    if (r->top_k < 0) return fail(E_ARG, "top_k is %d, not 0 or more", r->top_k);
    if (!(r->top_p > 0 && r->top_p <= 1)) return fail(E_ARG, "top_p is %g, not above 0 and up to 1", r->top_p);
    if (!(r->typical_p > 0 && r->typical_p <= 1))
        return fail(E_ARG, "typical_p is %g, not above 0 and up to 1", r->typical_p);
    if (!(r->repetition_penalty > 0 && r->repetition_penalty <= most))
        return fail(E_ARG, "repetition_penalty is %g, not above 0 and up to 1000000", r->repetition_penalty);
    if (!(fabs(r->presence_penalty) <= most))
        return fail(E_ARG, "presence_penalty is %g, not within -1000000..1000000", r->presence_penalty);
    if (!(fabs(r->frequency_penalty) <= most))
        return fail(E_ARG, "frequency_penalty is %g, not within -1000000..1000000", r->frequency_penalty);
    if (r->num_return_sequences > 1 && (!r->do_sample || r->temperature == 0))
        return fail(E_ARG, "num_return_sequences is %d, but greedy decoding has one answer; use do_sample",
                    r->num_return_sequences);
    return OK;
}

static enum status check_bias(const struct gptjt_session *s, const struct gptjt_generate_request *r)
{
    if (r->n_logit_bias < 0) return fail(E_ARG, "n_logit_bias is %d", r->n_logit_bias);
    for (int i = 0; i < r->n_logit_bias; i++) {
        TRY(session_check_ids(s, &r->logit_bias[i].id, 1, "logit_bias"));
        if (!isfinite(r->logit_bias[i].bias))
            return fail(E_ARG, "logit_bias of token %d is not finite", (int)r->logit_bias[i].id);
    }
    return OK;
}

enum status generation_check(const struct gptjt_session *s, const struct gptjt_generate_request *r)
{
    if (r->n_prompt == 0)
        return fail(E_ARG, "prompt is empty; give at least one token (a lone <|endoftext|> starts from nothing)");
    if (r->max_new_tokens < 0) return fail(E_ARG, "max_new_tokens is %d, not 0 or more", r->max_new_tokens);
    if (r->num_return_sequences < 1)
        return fail(E_ARG, "num_return_sequences is %d, not 1 or more", r->num_return_sequences);
    if (r->n_scored >= r->n_prompt)
        return fail(E_ARG, "n_scored is %zu of a prompt of %zu tokens; nothing predicts the first", r->n_scored,
                    r->n_prompt);
    TRY(session_check_top(s, r->n_top));
    TRY(check_sampling(r));
    TRY(check_stops(r, s->engine->tokenizer.bpe != NULL));
    TRY(check_bias(s, r));
    TRY(session_check_ids(s, r->prompt, r->n_prompt, "prompt"));
    return session_admit(s, r->n_prompt, (size_t)r->num_return_sequences, (size_t)r->max_new_tokens);
}

/* n places' most likely tokens, [n][n_top]; with none of them NULL, which is OK. */
static bool alloc_top(struct gptjt_top **out, size_t n, int n_top)
{
    *out = n && n_top ? calloc(n * (size_t)n_top, sizeof **out) : NULL;
    return *out || !n || !n_top;
}

static bool alloc_stream(struct stream *t, const struct generation *g)
{
    const size_t most = (size_t)g->r->max_new_tokens, n = most ? most : 1;
    t->c.n_top = g->r->n_top;
    t->c.tokens = calloc(n, sizeof *t->c.tokens);
    t->c.logprobs = calloc(n, sizeof *t->c.logprobs);
    if (g->tokenizer) buf_append(&t->text, "", 0); /* no text is "", not NULL */
    return t->c.tokens && t->c.logprobs && alloc_top(&t->c.top, most, t->c.n_top) && !t->text.failed;
}

static bool alloc_result(struct gptjt_generation *to, const struct gptjt_generate_request *r)
{
    to->n = r->num_return_sequences;
    to->n_scored = r->n_scored;
    to->n_top = r->n_top;
    to->completions = calloc((size_t)to->n, sizeof *to->completions);
    to->prompt_logprobs = r->n_scored ? calloc(r->n_scored, sizeof *to->prompt_logprobs) : NULL;
    return to->completions && (to->prompt_logprobs || !r->n_scored) &&
           alloc_top(&to->prompt_top, r->n_scored, r->n_top);
}

enum status generation_open(struct generation *g, struct gptjt_session *s, const struct gptjt_generate_request *r)
{
    const size_t end = r->n_prompt + (size_t)r->max_new_tokens;
    const bool prefix = session_mask(s, r->prompt_mask) == GPTJT_MASK_PREFIX;
    *g = (struct generation){.s = s,
                             .r = r,
                             .tokenizer = s->engine->tokenizer.bpe,
                             .stop = {r->stop, r->n_stop},
                             .greedy = !r->do_sample || r->temperature == 0,
                             .processed = r->n_logit_bias || r->repetition_penalty != 1 || r->presence_penalty != 0 ||
                                          r->frequency_penalty != 0,
                             .sampling = {r->temperature, r->top_k, r->top_p, r->typical_p},
                             .n = r->num_return_sequences,
                             .n_live = r->num_return_sequences};
    g->job = (struct job){.kind = &generation_kind,
                          .prompt = {r->prompt, r->n_prompt},
                          .n_prefix = prefix ? r->n_prompt - r->n_scored : 0,
                          .n_read = 1 + (int)r->n_scored,
                          .work = r->n_prompt,
                          .n_promised = g->n * scheduler_pages(r->n_prompt, end)};
    g->streams = calloc((size_t)g->n, sizeof *g->streams);
    bool ok = alloc_result(&g->to, r) && g->streams;
    for (int i = 0; ok && i < g->n; i++)
        ok = alloc_stream(&g->streams[i], g);
    return ok ? OK : fail(E_NOMEM, "generate: out of memory");
}

void generation_close(struct generation *g)
{
    for (int i = 0; g->streams && i < g->n; i++) {
        struct stream *t = &g->streams[i];
        free(t->c.tokens);
        free(t->c.logprobs);
        free(t->c.top);
        buf_free(&t->text);
    }
    free(g->streams);
    free(g->to.completions);
    free(g->to.prompt_logprobs);
    free(g->to.prompt_top);
}

bool generation_has_work(const struct generation *g)
{
    return g->r->max_new_tokens > 0 || g->r->n_scored > 0;
}

/* What stream t's next token is chosen by: its logits, after bias and penalties. */
static const float *process(const struct generation *g, const struct stream *t, const float *logits)
{
    const struct gptjt_generate_request *r = g->r;
    const struct sampling_room *room = &g->s->sampling;
    const int V = g->s->engine->config.model.V;
    if (!g->processed) return logits;
    memcpy(room->scores, logits, (size_t)V * sizeof *logits);
    memcpy(room->seen, r->prompt, r->n_prompt * sizeof *room->seen);
    memcpy(room->seen + r->n_prompt, t->c.tokens, t->c.n_tokens * sizeof *room->seen);
    sampling_bias(room->scores, r->logit_bias, r->n_logit_bias);
    sampling_penalise(room->scores, V, room->seen, r->n_prompt + t->c.n_tokens, r->repetition_penalty, room->counts);
    sampling_subtract(room->scores, V, t->c.tokens, t->c.n_tokens, r->presence_penalty, r->frequency_penalty,
                      room->counts);
    return room->scores;
}

/* The next token of stream i from its logits. */
static int32_t choose(const struct generation *g, int i, const float *logits)
{
    const struct kernels *host = &g->s->engine->host;
    const struct stream *t = &g->streams[i];
    const struct sampling_room *room = &g->s->sampling;
    const int V = g->s->engine->config.model.V;
    const float *scores = process(g, t, logits);
    if (g->greedy) return (int32_t)host->argmax(scores, (size_t)V);
    int n;
    sampling_distribution(host, room->candidates, room->probability, &n, scores, V, &g->sampling);
    return sampling_pick(room->candidates, room->probability, n, rng_uniform(g->r->seed, (uint64_t)i, t->c.n_tokens));
}

/* Adds the token's text, looks for a stop string, and says how much may be shown. */
static enum status take_text(struct generation *g, struct stream *t, int32_t id, bool last)
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

static enum status show(struct generation *g, int i)
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
    const size_t index = t->c.n_tokens - 1;
    const struct gptjt_token token = {.sequence = i,
                                      .index = index,
                                      .id = t->c.tokens[index],
                                      .logprob = t->c.logprobs[index],
                                      .top = t->c.top ? t->c.top + index * (size_t)t->c.n_top : NULL,
                                      .n_top = t->c.n_top,
                                      .text = text,
                                      .text_len = len,
                                      .last = t->done,
                                      .finish = t->c.finish};
    if (!g->r->on_token(g->r->user, &token)) return fail(E_CANCELLED, "generation was cancelled");
    return g->job.status; /* the callback may have cancelled it */
}

/* Appends the next token of stream i, given the logits at its end. */
static enum status take_token(struct generation *g, int i, const float *logits)
{
    struct stream *t = &g->streams[i];
    const int32_t id = choose(g, i, logits);
    session_read_token(g->s, logits, id, &t->c.logprobs[t->c.n_tokens],
                       t->c.top ? t->c.top + t->c.n_tokens * (size_t)t->c.n_top : NULL, t->c.n_top);
    t->c.tokens[t->c.n_tokens++] = id;
    if (id == g->s->engine->config.model.eos) {
        t->c.finish = GPTJT_FINISH_EOS;
        t->done = true;
    } else if (t->c.n_tokens == (size_t)g->r->max_new_tokens) {
        t->c.finish = GPTJT_FINISH_LENGTH;
        t->done = true;
    }
    if (g->tokenizer) TRY(take_text(g, t, id, t->done));
    if (t->done) {
        g->n_live--;
        kvcache_truncate(g->s->kv, &t->kv, 0); /* others may wait for its pages */
    }
    return show(g, i);
}

/* ---- What the scheduler asks for ---- */

static int live_rows(const struct job *j)
{
    return ((const struct generation *)j)->n_live;
}

static enum status add_rows(struct job *j, struct scheduler *c, int n)
{
    (void)n; /* all of them */
    struct generation *g = (struct generation *)j;
    for (int i = 0; i < g->n; i++) {
        const struct stream *t = &g->streams[i];
        if (t->done) continue;
        scheduler_add_row(c, step_add_sequence(c->step, &t->kv), t->c.tokens[t->c.n_tokens - 1],
                          g->r->n_prompt + t->c.n_tokens - 1, (struct target){j, i, 0});
    }
    return OK;
}

/* The prompt is there: every sequence goes on from it, with the first token from the same logits. */
static enum status begin(struct generation *g, struct scheduler *c, const float *logits)
{
    const struct gptjt_generate_request *r = g->r;
    if (r->on_prompt && !r->on_prompt(r->user, r->n_scored, g->to.prompt_logprobs, g->to.prompt_top))
        return fail(E_CANCELLED, "generation was cancelled");
    TRY(g->job.status); /* the callback may have cancelled it */
    if (r->max_new_tokens == 0) g->n_live = 0;
    for (int i = 0; i < g->n_live; i++)
        TRY(scheduler_fork(c, &g->job, &g->streams[i].kv, r->n_prompt + (size_t)r->max_new_tokens));
    for (int i = 0, n = g->n_live; i < n; i++)
        TRY(take_token(g, i, logits));
    g->begun_ns = clock_ns();
    return OK;
}

/* Row i of the prompt's that are read; the last of them is the prompt's last. */
static enum status read_prompt(struct generation *g, struct scheduler *c, size_t i, const float *logits)
{
    const struct gptjt_generate_request *r = g->r;
    if (i == r->n_scored) return begin(g, c, logits);
    session_read_token(g->s, logits, r->prompt[r->n_prompt - r->n_scored + i], &g->to.prompt_logprobs[i],
                       g->to.prompt_top ? g->to.prompt_top + i * (size_t)r->n_top : NULL, r->n_top);
    return OK;
}

static enum status read_row(struct job *j, struct scheduler *c, const struct target *t, const float *logits)
{
    struct generation *g = (struct generation *)j;
    if (t->sequence == TARGET_PROMPT)
        TRY(read_prompt(g, c, (size_t)t->token, logits));
    else
        TRY(take_token(g, t->sequence, logits));
    j->done = g->n_live == 0;
    if (j->done) g->done_ns = clock_ns();
    return OK;
}

static void leave(struct job *j, struct kvcache *kv)
{
    struct generation *g = (struct generation *)j;
    for (int i = 0; i < g->n; i++)
        kvcache_release(kv, &g->streams[i].kv);
}

static const struct job_kind generation_kind = {.rows = live_rows, .add = add_rows, .read = read_row, .leave = leave};

/* ---- Calls ---- */

static enum status open_all(struct generation *all, struct gptjt_session *s,
                            const struct gptjt_generate_request *requests, size_t n, const uint64_t *index, size_t of)
{
    for (size_t i = 0; i < n; i++) {
        TRY(generation_open(&all[i], s, &requests[i]));
        all[i].job.index = index ? index[i] : i;
        all[i].job.of = of;
    }
    return OK;
}

static enum status run_all(struct generation *all, struct gptjt_session *s, size_t n)
{
    struct scheduler c[SESSION_MOST_LANES];
    const int n_lanes = 1 + s->n_others;
    scheduler_lanes_open(c, n_lanes, s, scheduler_fail_all);
    for (size_t i = 0; i < n; i++)
        if (generation_has_work(&all[i])) all[i].s = scheduler_lanes_add(c, n_lanes, &all[i].job);
    const enum status st = scheduler_lanes_run(c, n_lanes);
    scheduler_lanes_close(c, n_lanes);
    return st;
}

void generation_finish(struct generation *g, struct gptjt_generation *out)
{
    for (int i = 0; i < g->n; i++) {
        struct stream *t = &g->streams[i];
        t->c.text_len = t->text.len;
        t->c.text = t->text.data;
        if (t->c.text) t->c.text[t->c.text_len] = 0;
        g->to.completions[i] = t->c;
        t->text = (struct buf){0};
        t->c = (struct gptjt_completion){0};
    }
    *out = g->to;
    out->n_reused = g->job.n_reused;
    out->prefill_s = clock_seconds(g->job.joined_ns, g->begun_ns);
    out->decode_s = clock_seconds(g->begun_ns, g->done_ns);
    g->to = (struct gptjt_generation){0};
}

enum status generate_here(struct gptjt_session *s, const struct gptjt_generate_request *requests, size_t n,
                          const uint64_t *index, size_t of, struct gptjt_generation *out)
{
    struct generation *all = calloc(n, sizeof *all);
    enum status st = all ? OK : fail(E_NOMEM, "generate: out of memory");
    if (st == OK) st = open_all(all, s, requests, n, index, of);
    if (st == OK) st = run_all(all, s, n);
    for (size_t i = 0; st == OK && i < n; i++)
        generation_finish(&all[i], &out[i]);
    for (size_t i = 0; all && i < n; i++)
        generation_close(&all[i]);
    free(all);
    return st;
}

enum gptjt_status gptjt_generate_many(struct gptjt_session *s, const struct gptjt_generate_request *requests, size_t n,
                                      struct gptjt_generation *out)
{
    if (n == 0) return GPTJT_OK;
    const enum status taken = session_check_free(s);
    if (taken != OK) return (enum gptjt_status)taken;
    for (size_t i = 0; i < n; i++) {
        const enum status bad = generation_check(s, &requests[i]);
        if (bad != OK) return (enum gptjt_status)scheduler_name(bad, i, n);
    }
    if (s->engine->crew && n > 1) return (enum gptjt_status)crew_generate(s, requests, n, out);
    return (enum gptjt_status)generate_here(s, requests, n, NULL, n, out);
}

enum gptjt_status gptjt_generate(struct gptjt_session *s, const struct gptjt_generate_request *r,
                                 struct gptjt_generation *out)
{
    return gptjt_generate_many(s, r, 1, out);
}

void gptjt_generation_free(struct gptjt_generation *g)
{
    for (int i = 0; i < g->n; i++) {
        free(g->completions[i].tokens);
        free(g->completions[i].logprobs);
        free(g->completions[i].top);
        free(g->completions[i].text);
    }
    free(g->completions);
    free(g->prompt_logprobs);
    free(g->prompt_top);
    *g = (struct gptjt_generation){0};
}
