// SPDX-License-Identifier: Apache-2.0
/* A session: the K/V of the last prompt, and steps over rows of one or many sequences. Everything generation and
 * scoring do to the model goes through the step functions here. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "engine/engine.h"

static size_t pages_needed(size_t n_prompt, size_t n_sequences, size_t n_new)
{
    /* Each continuation may have to copy the page that the prompt's end cuts. */
    return (n_prompt + KV_PAGE - 1) / KV_PAGE + n_sequences * ((n_new + KV_PAGE - 1) / KV_PAGE + 1);
}

size_t gptjt_tokens_needed(size_t n_prompt, size_t n_sequences, size_t n_new)
{
    size_t each, own, tokens; /* as pages_needed(), but for whatever numbers a caller has */
    if (n_new > SIZE_MAX - 2 * KV_PAGE || n_prompt > SIZE_MAX - KV_PAGE) return SIZE_MAX;
    each = KV_PAGE * pages_needed(0, 1, n_new);
    if (__builtin_mul_overflow(n_sequences, each, &own)) return SIZE_MAX;
    return __builtin_add_overflow(own, KV_PAGE * pages_needed(n_prompt, 0, 0), &tokens) ? SIZE_MAX : tokens;
}

struct session_size session_size_for(const struct gptj_config *c, size_t max_tokens, enum dtype kv_dtype,
                                     int block_rows)
{
    struct session_size z = {.n_pages = kvcache_pages_for((int64_t)max_tokens)};
    /* A prompt is up to P rows of one step; one row each of all continuations, which have a page at least, another. */
    z.max_rows = z.n_pages < c->P / KV_PAGE ? z.n_pages * KV_PAGE : c->P > z.n_pages ? c->P : z.n_pages;
    z.kv_bytes = kvcache_bytes(c->L, c->H, c->K, z.n_pages, kv_dtype);
    /* Beside a pass that is put down goes a row of each continuation, and short prompts. */
    z.rows_beside = z.n_pages < block_rows ? block_rows : z.n_pages;
    const size_t row = 5 * sizeof(int32_t) + sizeof(void *) + sizeof(struct target);
    const size_t word = (LOGITS_BLOCK + 1) * sizeof(float) + 2 * sizeof(struct candidate) + sizeof(double) +
                        sizeof(int32_t);
    z.work_bytes = workspace_bytes(c, z.max_rows, block_rows) + (size_t)z.max_rows * row + (size_t)c->V * word +
                   2 * (size_t)c->P * sizeof(int32_t) + (size_t)kvcache_pages_for(c->P) * sizeof(int32_t);
    z.beside_bytes = workspace_bytes_beside(c, z.rows_beside) + (size_t)z.rows_beside * row;
    return z;
}

static bool alloc_sampling(struct sampling_room *r, size_t V, size_t P)
{
    r->seen = calloc(P, sizeof *r->seen);
    r->scores = calloc(V, sizeof *r->scores);
    r->counts = calloc(V, sizeof *r->counts);
    r->candidates = calloc(2 * V, sizeof *r->candidates);
    r->probability = calloc(V, sizeof *r->probability);
    return r->seen && r->scores && r->counts && r->candidates && r->probability;
}

static void free_sampling(struct sampling_room *r)
{
    free(r->seen);
    free(r->scores);
    free(r->counts);
    free(r->candidates);
    free(r->probability);
}

static enum status alloc_rows(struct step *t, int max_rows)
{
    const size_t n = (size_t)max_rows;
    t->max_rows = max_rows;
    t->token = calloc(n, sizeof *t->token);
    t->position = calloc(n, sizeof *t->position);
    t->lo = calloc(n, sizeof *t->lo);
    t->hi = calloc(n, sizeof *t->hi);
    t->sequence = calloc(n, sizeof *t->sequence);
    t->pages = calloc(n, sizeof *t->pages);
    t->targets = calloc(n, sizeof *t->targets);
    const bool ok = t->token && t->position && t->lo && t->hi && t->sequence && t->pages && t->targets;
    return ok ? OK : fail(E_NOMEM, "session: out of memory");
}

static void free_rows(struct step *t)
{
    workspace_free(t->workspace);
    free(t->token);
    free(t->position);
    free(t->lo);
    free(t->hi);
    free(t->sequence);
    free(t->pages);
    free(t->targets);
    *t = (struct step){0};
}

static enum status alloc_host(struct gptjt_session *s)
{
    const struct gptj_config *c = &s->engine->config.model;
    s->logits = calloc((size_t)LOGITS_BLOCK * (size_t)c->V, sizeof *s->logits);
    s->cached = calloc((size_t)c->P, sizeof *s->cached);
    const bool ok = s->logits && s->cached && alloc_sampling(&s->sampling, (size_t)c->V, (size_t)c->P);
    if (!ok) return fail(E_NOMEM, "session: out of memory");
    return kvcache_reserve(&s->prompt, kvcache_pages_for(c->P)); /* so that remembering a prompt cannot fail */
}

static enum status open_parts(struct gptjt_session *s, size_t max_tokens)
{
    const struct gptjt_engine *e = s->engine;
    const struct gptj_config *c = &e->config.model;
    const struct session_size size = session_size_for(c, max_tokens, e->kv_dtype, e->ops->block_rows);
    TRY(alloc_rows(&s->step, size.max_rows));
    TRY(alloc_host(s));
    TRY(kvcache_create(&s->kv, e->ops, e->model->last - e->model->first, c->H, c->K, size.n_pages, e->kv_dtype));
    TRY(workspace_create(&s->step.workspace, e->model, size.max_rows));
    if (!e->stages) return OK;
    s->kv->copies = &s->copies;
    return stage_lane_open(&s->lane, e->stages, size.n_pages, size.max_rows);
}

/* One for each stage: then all of them can be at work. */
static int lanes_wanted(const struct gptjt_engine *e)
{
    const int n = e->stages ? stage_head_ranks(e->stages)->n : 1;
    return n < SESSION_MOST_LANES ? n : SESSION_MOST_LANES;
}

static enum status open_other(struct gptjt_session *s, size_t max_tokens)
{
    struct gptjt_session *other = calloc(1, sizeof *other);
    if (!other) return fail(E_NOMEM, "session: out of memory");
    other->engine = s->engine;
    other->lane = -1;
    s->others[s->n_others++] = other;
    return open_parts(other, max_tokens);
}

enum gptjt_status gptjt_session_create(struct gptjt_session **out, struct gptjt_engine *e, size_t max_tokens)
{
    const struct gptj_config *c = &e->config.model;
    const size_t window = gptjt_tokens_needed((size_t)c->P, 1, KV_PAGE), most = (size_t)1 << 30;
    if (!max_tokens) max_tokens = window;
    if (max_tokens > most)
        return (enum gptjt_status)fail(E_LIMIT, "session of %zu tokens is more than %zu", max_tokens, most);
    struct gptjt_session *s = calloc(1, sizeof *s);
    if (!s) return (enum gptjt_status)fail(E_NOMEM, "session: out of memory");
    s->engine = e;
    s->lane = -1;
    enum status st = open_parts(s, max_tokens);
    for (int i = 1; st == OK && i < lanes_wanted(e); i++)
        st = open_other(s, max_tokens);
    if (st == OK)
        *out = s;
    else
        gptjt_session_close(s);
    return (enum gptjt_status)st;
}

void gptjt_session_close(struct gptjt_session *s)
{
    if (!s) return;
    for (int i = 0; i < s->n_others; i++)
        gptjt_session_close(s->others[i]);
    if (s->lane >= 0) stage_lane_close(s->engine->stages, s->lane);
    buf_free(&s->copies);
    kvcache_release(s->kv, &s->prompt);
    kvcache_free(s->kv);
    session_close_beside(s);
    free_rows(&s->step);
    free(s->logits);
    free(s->cached);
    free_sampling(&s->sampling);
    free(s);
}

void gptjt_session_set_progress(struct gptjt_session *s, gptjt_progress_fn *fn, void *user)
{
    s->progress = fn;
    s->progress_user = user;
    for (int i = 0; i < s->n_others; i++)
        gptjt_session_set_progress(s->others[i], fn, user);
}

static struct session_size size_of(const struct gptjt_session *s)
{
    struct gptj_config mine = s->engine->config.model;
    mine.L = s->kv->n_layers;
    return session_size_for(&mine, (size_t)s->kv->n_pages * KV_PAGE, s->kv->dtype, s->engine->ops->block_rows);
}

size_t gptjt_session_bytes(const struct gptjt_session *s)
{
    const struct session_size size = size_of(s);
    const size_t beside = s->beside.workspace ? size.beside_bytes : 0;
    return (size_t)(1 + s->n_others) * (size.kv_bytes + size.work_bytes) + beside;
}

enum status session_open_beside(struct gptjt_session *s)
{
    const int max_rows = size_of(s).rows_beside;
    enum status st = alloc_rows(&s->beside, max_rows);
    if (st == OK) st = workspace_create_beside(&s->beside.workspace, s->step.workspace, max_rows);
    if (st != OK) session_close_beside(s);
    return st;
}

void session_close_beside(struct gptjt_session *s)
{
    free_rows(&s->beside);
}

enum status session_check_free(const struct gptjt_session *s)
{
    return s->has_batch ? fail(E_ARG, "the session is in use by a batch, which has to be closed first") : OK;
}

enum gptjt_mask session_mask(const struct gptjt_session *s, enum gptjt_mask asked)
{
    return asked == GPTJT_MASK_AUTO ? s->engine->mask.mask : asked;
}

enum status session_check_ids(const struct gptjt_session *s, const int32_t *ids, size_t n, const char *what)
{
    const int V = s->engine->config.model.V;
    for (size_t i = 0; i < n; i++)
        if (ids[i] < 0 || ids[i] >= V)
            return fail(E_ARG, "%s: token %zu is %d, not within the vocabulary of %d", what, i, ids[i], V);
    return OK;
}

enum status session_admit(const struct gptjt_session *s, size_t n_prompt, size_t n_sequences, size_t n_new)
{
    const size_t P = (size_t)s->engine->config.model.P;
    if (n_prompt > P || n_new > P - n_prompt)
        return fail(E_LIMIT, "prompt of %zu tokens and %zu new ones do not fit the model's window of %zu", n_prompt,
                    n_new, P);
    if (n_sequences > (size_t)s->kv->n_pages || pages_needed(n_prompt, n_sequences, n_new) > (size_t)s->kv->n_pages)
        return fail(E_LIMIT, "session has room for %zu tokens; %zu + %zu x %zu need %zu",
                    (size_t)s->kv->n_pages * KV_PAGE, n_prompt, n_sequences, n_new,
                    gptjt_tokens_needed(n_prompt, n_sequences, n_new));
    return OK;
}

enum status session_check_top(const struct gptjt_session *s, int n_top)
{
    const int V = s->engine->config.model.V, most = V < GPTJT_MOST_TOP ? V : GPTJT_MOST_TOP;
    return n_top < 0 || n_top > most ? fail(E_ARG, "n_top is %d, not within 0..%d", n_top, most) : OK;
}

/* ---- Steps ---- */

void step_begin(struct step *t)
{
    t->T = t->first_wanted = 0;
    t->n_sequences = 0;
}

int step_add_sequence(struct step *t, const struct kv_sequence *kv)
{
    assert(t->n_sequences < t->max_rows);
    t->pages[t->n_sequences] = kv->pages;
    return t->n_sequences++;
}

void step_add_row(struct step *t, int sequence, int32_t token, size_t position, size_t lo, size_t hi)
{
    assert(t->T < t->max_rows && lo < hi);
    t->token[t->T] = token;
    t->position[t->T] = (int32_t)position;
    t->lo[t->T] = (int32_t)lo;
    t->hi[t->T] = (int32_t)hi;
    t->sequence[t->T] = sequence;
    t->T++;
}

void step_add_prompt(struct step *t, const struct kv_sequence *kv, const int32_t *ids, size_t from, size_t to,
                     size_t n_prefix)
{
    const int sequence = step_add_sequence(t, kv);
    for (size_t p = from; p < to; p++)
        step_add_row(t, sequence, ids[p], p, 0, p + 1 > n_prefix ? p + 1 : n_prefix);
}

static struct batch step_batch(const struct step *t)
{
    return (struct batch){t->T, t->token, t->position, t->lo, t->hi, t->sequence, t->pages, t->first_wanted};
}

void step_enter(const struct gptjt_session *s, struct step *t)
{
    t->rows = step_batch(t);
    forward_begin(&t->pass, s->engine->model, t->workspace, s->kv, &t->rows);
}

bool step_block(struct step *t)
{
    return forward_step(&t->pass);
}

enum status step_start(struct gptjt_session *s)
{
    if (s->lane < 0) return OK;
    const struct batch batch = step_batch(&s->step);
    return stage_lane_start(s->engine->stages, s->lane, &batch, s->step.n_sequences, &s->copies);
}

enum status step_drop(struct gptjt_session *s)
{
    return s->lane < 0 ? OK : stage_lane_finish(s->engine->stages, s->lane, NULL);
}

enum status step_end(struct gptjt_session *s, const struct step_work *work)
{
    struct step *t = &s->step;
    const struct step_work all = {0, (size_t)t->T, (size_t)t->T}, *w = work ? work : &all;
    if (s->lane >= 0) TRY(stage_lane_finish(s->engine->stages, s->lane, t->workspace));
    step_enter(s, t);
    const size_t blocks = forward_steps(s->engine->model, &t->rows);
    for (size_t block = 1; step_block(t); block++) {
        const size_t done = w->before + w->now * block / blocks;
        if (s->lane >= 0) TRY(net_progress(stage_head_ranks(s->engine->stages)->t));
        if (s->progress && !s->progress(s->progress_user, done, w->all))
            return fail(E_CANCELLED, "stopped after %zu of %zu tokens", done, w->all);
    }
    return OK;
}

enum status step_run(struct gptjt_session *s, const struct step_work *work)
{
    TRY(step_start(s));
    return step_end(s, work);
}

void step_logits(const struct gptjt_session *s, const struct step *t, int first, int n)
{
    int32_t rows[LOGITS_BLOCK];
    for (int k = 0; k < n; k++)
        rows[k] = first + k;
    forward_logits(s->engine->model, t->workspace, rows, n, s->logits);
}

enum status step_check(const struct gptjt_session *s, const struct step *t, int row, const float *logits)
{
    const size_t V = (size_t)s->engine->config.model.V, bad = s->engine->host.first_not_finite(logits, V);
    if (bad == V) return OK;
    return fail(E_NUMERIC, "logit of token %zu at position %d is not finite; gptjt inspect --verify names bad weights",
                bad, t->position[row]);
}

double session_read_token(const struct gptjt_session *s, const float *logits, int32_t id, float *logprob,
                          struct gptjt_top *top, int n_top)
{
    const struct kernels *host = &s->engine->host;
    const int V = s->engine->config.model.V;
    const double log_sum = host->log_sum_exp(logits, (size_t)V), value = (double)logits[id] - log_sum;
    if (n_top) sampling_top(host, top, n_top, logits, V, log_sum, s->sampling.candidates);
    *logprob = (float)value;
    return value;
}

/* ---- The prompt ---- */

void session_forget(struct gptjt_session *s)
{
    s->n_cached = 0;
    kvcache_truncate(s->kv, &s->prompt, 0);
}

void session_remember(struct gptjt_session *s, const struct kv_sequence *kv, struct gptjt_span prompt, size_t n_prefix)
{
    session_forget(s);
    const enum status st = kvcache_fork(s->kv, &s->prompt, kv, (int)prompt.n);
    assert(st == OK); /* its table has room for any prompt */
    (void)st;
    memcpy(s->cached, prompt.ids, prompt.n * sizeof *prompt.ids);
    s->n_cached = prompt.n;
    s->cached_prefix = n_prefix;
}

enum status session_prefill(struct gptjt_session *s, struct gptjt_span row, size_t n_prefix, bool every_row)
{
    session_forget(s);
    TRY(kvcache_extend(s->kv, &s->prompt, (int)row.n));
    step_begin(&s->step);
    step_add_prompt(&s->step, &s->prompt, row.ids, 0, row.n, n_prefix);
    if (!every_row) s->step.first_wanted = s->step.T - 1;
    return step_run(s, NULL);
}
