// SPDX-License-Identifier: Apache-2.0
#include "bench/bench.h"

#include <stdlib.h>

#include "base/rng.h"
#include "bench/meter.h"

const char *const bench_phase_names[] = {"prefill", "decode"};

enum status bench_count(struct gptjt_engine *e)
{
    enum { MATRICES_A_LAYER = 6, OTHERS = 2 };
    struct ops *counted = NULL;
    TRY(ops_counted_create(&counted, e->ops, MATRICES_A_LAYER * e->config.model.L + OTHERS));
    e->ops = e->model->ops = counted;
    return OK;
}

/* ---- One run, and the median of several ---- */

struct run {
    double seconds, bytes, flop, could_read, could_compute, fraction;
    bool memory;
};

/* steps: how often the weights went by. */
static struct run run_of(const struct meter *t, const struct ops_counts *before, const struct ops_counts *after,
                         int steps)
{
    struct run r = {.seconds = t->seconds, .could_read = t->could_read, .could_compute = t->could_compute};
    for (int i = 0; i < OPS; i++) {
        r.bytes += after->of[i].bytes - before->of[i].bytes;
        r.flop += after->of[i].flop - before->of[i].flop;
    }
    const double cached = (double)BENCH_CACHES * (double)t->m->cache_bytes;
    const double read = r.bytes / steps < cached ? 0 : r.bytes / r.could_read, compute = r.flop / r.could_compute;
    r.memory = read > compute;
    r.fraction = r.memory ? read : compute;
    return r;
}

static int by_fraction(const void *a, const void *b)
{
    const double x = ((const struct run *)a)->fraction, y = ((const struct run *)b)->fraction;
    return (x > y) - (x < y);
}

/* tokens, steps: of one run. */
static void summarise(struct bench_row *row, struct run *runs, int n, int tokens, int steps)
{
    for (int i = 0; i < n; i++)
        row->counted_s += runs[i].seconds;
    qsort(runs, (size_t)n, sizeof *runs, by_fraction);
    const struct run *r = &runs[(n - 1) / 2];
    row->seconds = r->seconds / steps;
    row->tokens_per_s = tokens / r->seconds;
    row->bytes_per_s = r->bytes / r->seconds;
    row->flop_per_s = r->flop / r->seconds;
    row->fraction = r->fraction;
    row->memory = r->memory;
    row->read_rate = r->could_read / r->seconds;
    row->peak_rate = r->could_compute / r->seconds;
}

/* ---- A row in the making ---- */

struct job {
    const struct bench *b;
    struct gptjt_session *s;
    struct meter meter;
    size_t done; /* tokens */
    bool measuring;
    int32_t *prompt;           /* [context] */
    struct kv_sequence *forks; /* [batch]   */
    int32_t *last;             /* [batch]   */
    int context, batch, steps; /* prefill: batch 0, context the whole prompt */
};

static bool between_blocks(void *user, size_t done, size_t total)
{
    struct job *j = user;
    if (j->measuring) meter_look(&j->meter);
    if (j->batch) done = done < total ? 0 : (size_t)j->batch; /* the step's tokens are done together */
    return !j->b->progress || j->b->progress(j->b->user, j->measuring ? j->done + done : 0);
}

/* A page of memory costs its first user more than its next. */
static void touch_kv(const struct job *j)
{
    const struct kvcache *kv = j->s->kv;
    if (j->b->machine->device) return; /* its memory is there when it is allocated */
    static const float zeros[1 << 10];
    const size_t bytes = (size_t)kv->n_pages * ops_kv_page_bytes(kv->H, kv->K, kv->dtype);
    for (int l = 0; l < kv->n_layers; l++)
        for (size_t at = 0; at + sizeof zeros <= bytes; at += sizeof zeros) {
            kv->ops->fn->write(kv->ops, (char *)kv->layers[l].k + at, zeros, sizeof zeros);
            kv->ops->fn->write(kv->ops, (char *)kv->layers[l].v + at, zeros, sizeof zeros);
        }
}

static enum status job_open(struct job *j, const struct bench *b, int context, int batch, int steps)
{
    *j = (struct job){
        .b = b, .meter = {.m = b->machine, .unit = b->unit}, .context = context, .batch = batch, .steps = steps};
    const size_t sequence = gptjt_tokens_needed((size_t)context + (size_t)steps, 1, 0);
    TRY((enum status)gptjt_session_create(&j->s, b->engine, sequence * ((size_t)batch + 1)));
    j->prompt = calloc((size_t)context, sizeof *j->prompt);
    j->forks = calloc((size_t)batch + 1, sizeof *j->forks);
    j->last = calloc((size_t)batch + 1, sizeof *j->last);
    if (!j->prompt || !j->forks || !j->last) return fail(E_NOMEM, "bench: out of memory");
    touch_kv(j);
    gptjt_session_set_progress(j->s, between_blocks, j);
    return OK;
}

static void job_close(struct job *j)
{
    for (int i = 0; j->forks && i < j->batch; i++)
        kvcache_release(j->s->kv, &j->forks[i]);
    gptjt_session_close(j->s);
    free(j->prompt);
    free(j->forks);
    free(j->last);
}

/* n random tokens through the model, to the logits of the last. */
static enum status prefill(struct job *j, uint64_t stream, int n)
{
    struct gptjt_session *s = j->s;
    for (int i = 0; i < n; i++)
        j->prompt[i] = (int32_t)(rng_u64(0, stream, (uint64_t)i) % (uint64_t)s->engine->config.model.V);
    const bool prefix = session_mask(s, GPTJT_MASK_AUTO) == GPTJT_MASK_PREFIX;
    TRY(session_prefill(s, (struct gptjt_span){j->prompt, (size_t)n}, prefix ? (size_t)n : 0, false));
    step_logits(s, &s->step, n - 1, 1);
    return step_check(s, &s->step, n - 1, s->logits);
}

/* ---- Prefill ---- */

static enum status prefill_runs(struct job *j, struct bench_row *row)
{
    struct ops *ops = j->b->engine->ops;
    struct ops_counts before;
    struct run runs[BENCH_MAX_REPEATS];
    TRY(prefill(j, 0, 1)); /* every weight has been seen once */
    ops_counted_reset(ops);
    for (int r = 0; r < j->b->repeats; r++) {
        ops_counted_get(ops, &before);
        meter_begin(&j->meter);
        j->measuring = true;
        TRY(prefill(j, (uint64_t)r, j->context));
        j->measuring = false;
        meter_end(&j->meter);
        ops_counted_get(ops, &row->counts);
        runs[r] = run_of(&j->meter, &before, &row->counts, 1);
        j->done += (size_t)j->context;
    }
    summarise(row, runs, j->b->repeats, j->context, 1);
    return OK;
}

enum status bench_prefill(struct bench_row *out, const struct bench *b, int n)
{
    struct job j;
    struct bench_row row = {.phase = BENCH_PREFILL, .prompt = n, .batch = 1};
    enum status s = job_open(&j, b, n, 0, 0);
    if (s == OK) s = prefill_runs(&j, &row);
    job_close(&j);
    if (s == OK) *out = row;
    return s;
}

/* ---- Decode ---- */

/* Logits of the step's rows, and from them the next tokens. */
static enum status choose_next(struct job *j)
{
    struct gptjt_session *s = j->s;
    const size_t V = (size_t)s->engine->config.model.V;
    for (int i = 0; i < j->batch; i += LOGITS_BLOCK) {
        const int n = j->batch - i < LOGITS_BLOCK ? j->batch - i : LOGITS_BLOCK;
        step_logits(s, &s->step, i, n);
        for (int k = 0; k < n; k++) {
            TRY(step_check(s, &s->step, i + k, s->logits + (size_t)k * V));
            j->last[i + k] = (int32_t)s->engine->host.argmax(s->logits + (size_t)k * V, V);
        }
    }
    return OK;
}

static enum status decode_step(struct job *j, int position)
{
    struct step *t = &j->s->step;
    step_begin(t);
    for (int i = 0; i < j->batch; i++) {
        const int sequence = step_add_sequence(t, &j->forks[i]);
        step_add_row(t, sequence, j->last[i], (size_t)position, 0, (size_t)position + 1);
    }
    TRY(step_run(j->s, NULL));
    return choose_next(j);
}

/* Sequences that share nothing, as different users' would not. */
static enum status make_contexts(struct job *j)
{
    for (int i = 0; i < j->batch; i++) {
        TRY(prefill(j, (uint64_t)i, j->context));
        TRY(kvcache_fork(j->s->kv, &j->forks[i], &j->s->prompt, j->context));
        TRY(kvcache_extend(j->s->kv, &j->forks[i], j->context + j->steps));
        j->last[i] = (int32_t)j->s->engine->host.argmax(j->s->logits, (size_t)j->s->engine->config.model.V);
    }
    return OK;
}

static enum status decode_runs(struct job *j, struct bench_row *row)
{
    struct ops *ops = j->b->engine->ops;
    struct ops_counts before;
    struct run runs[BENCH_MAX_REPEATS];
    TRY(make_contexts(j));
    TRY(decode_step(j, j->context));
    ops_counted_reset(ops);
    for (int r = 0; r < j->b->repeats; r++) {
        ops_counted_get(ops, &before);
        meter_begin(&j->meter);
        j->measuring = true;
        for (int i = 0; i < j->steps; i++) {
            TRY(decode_step(j, j->context + i));
            j->done += (size_t)j->batch;
        }
        j->measuring = false;
        meter_end(&j->meter);
        ops_counted_get(ops, &row->counts);
        runs[r] = run_of(&j->meter, &before, &row->counts, j->steps);
    }
    summarise(row, runs, j->b->repeats, j->batch * j->steps, j->steps);
    return OK;
}

enum status bench_decode(struct bench_row *out, const struct bench *b, int context, int batch, int steps)
{
    struct job j;
    struct bench_row row = {.phase = BENCH_DECODE, .prompt = context, .batch = batch};
    enum status s = job_open(&j, b, context, batch, steps);
    if (s == OK) s = decode_runs(&j, &row);
    job_close(&j);
    if (s == OK) *out = row;
    return s;
}
