// SPDX-License-Identifier: Apache-2.0
#include "engine/parcel.h"

#include <stdlib.h>
#include <string.h>

enum { ALIGNMENT = 8 };

/* ---- Bytes ---- */

static size_t padding(size_t n)
{
    return (ALIGNMENT - n % ALIGNMENT) % ALIGNMENT;
}

void parcel_put(struct buf *out, const void *bytes, size_t n)
{
    static const char zeros[ALIGNMENT];
    buf_append(out, bytes, n);
    buf_append(out, zeros, padding(n));
}

const void *parcel_take(struct parcel *p, size_t n)
{
    const char *at = p->at;
    if (n > p->left || padding(n) > p->left - n) p->bad = true;
    if (p->bad || n == 0) return NULL;
    p->at += n + padding(n);
    p->left -= n + padding(n);
    return at;
}

void parcel_put_number(struct buf *out, uint64_t number)
{
    parcel_put(out, &number, sizeof number);
}

uint64_t parcel_number(struct parcel *p)
{
    const uint64_t *number = parcel_take(p, sizeof *number);
    return number ? *number : 0;
}

static enum status broken(void)
{
    return fail(E_FORMAT, "a message between ranks is not what it should be");
}

enum status parcel_end(const struct parcel *p)
{
    return p->bad || p->left ? broken() : OK;
}

/* A list of n items that may be in the parcel: no more than it has bytes. */
static void *list(struct parcel *p, size_t n, size_t item)
{
    if (n > p->left) p->bad = true;
    return p->bad ? NULL : calloc(n + 1, item);
}

static enum status list_missing(const struct parcel *p)
{
    return p->bad ? broken() : fail(E_NOMEM, "out of memory for a message");
}

/* A copy of the next n items; NULL: there are none. */
static void *copy(struct parcel *p, size_t n, size_t item, enum status *s)
{
    const void *from = n > p->left ? NULL : parcel_take(p, n * item);
    if (n && !from) p->bad = true;
    void *to = p->bad ? NULL : malloc(n * item + 1);
    if (to && from) memcpy(to, from, n * item);
    if (!to && *s == OK) *s = list_missing(p);
    return to;
}

/* ---- Requests ---- */

static void put_ids(struct buf *out, const int32_t *ids, size_t n)
{
    parcel_put_number(out, n);
    parcel_put(out, ids, n * sizeof *ids);
}

static const int32_t *take_ids(struct parcel *p, size_t *n)
{
    *n = parcel_number(p);
    if (*n > p->left) p->bad = true;
    return p->bad ? NULL : parcel_take(p, *n * sizeof(int32_t));
}

void parcel_put_score_request(struct buf *out, const struct gptjt_score_request *r)
{
    parcel_put_number(out, (uint64_t)r->prompt_mask);
    parcel_put_number(out, (uint64_t)r->n_top);
    put_ids(out, r->prompt.ids, r->prompt.n);
    parcel_put_number(out, r->n);
    for (size_t i = 0; i < r->n; i++)
        put_ids(out, r->continuations[i].ids, r->continuations[i].n);
}

enum status parcel_score_request(struct parcel *p, struct gptjt_score_request *out)
{
    struct gptjt_score_request r = {.prompt_mask = (enum gptjt_mask)parcel_number(p)};
    r.n_top = (int)parcel_number(p);
    r.prompt.ids = take_ids(p, &r.prompt.n);
    r.n = parcel_number(p);
    struct gptjt_span *spans = list(p, r.n, sizeof *spans);
    if (!spans) return list_missing(p);
    for (size_t i = 0; i < r.n; i++)
        spans[i].ids = take_ids(p, &spans[i].n);
    if (p->bad) {
        free(spans);
        return broken();
    }
    r.continuations = spans;
    *out = r;
    return OK;
}

void parcel_put_generate_request(struct buf *out, const struct gptjt_generate_request *r)
{
    struct gptjt_generate_request plain = *r;
    plain.prompt = NULL;
    plain.stop = NULL;
    plain.logit_bias = NULL;
    plain.on_prompt = NULL;
    plain.on_token = NULL;
    plain.user = NULL;
    parcel_put(out, &plain, sizeof plain);
    put_ids(out, r->prompt, r->n_prompt);
    parcel_put(out, r->logit_bias, (size_t)r->n_logit_bias * sizeof *r->logit_bias);
    for (int i = 0; i < r->n_stop; i++) {
        parcel_put_number(out, strlen(r->stop[i]) + 1);
        parcel_put(out, r->stop[i], strlen(r->stop[i]) + 1);
    }
}

enum status parcel_generate_request(struct parcel *p, struct gptjt_generate_request *out)
{
    const struct gptjt_generate_request *plain = parcel_take(p, sizeof *plain);
    if (!plain || plain->n_stop < 0 || plain->n_logit_bias < 0) return broken();
    struct gptjt_generate_request r = *plain;
    r.prompt = take_ids(p, &r.n_prompt);
    r.logit_bias = parcel_take(p, (size_t)r.n_logit_bias * sizeof *r.logit_bias);
    const char **stops = list(p, (size_t)r.n_stop, sizeof *stops);
    if (!stops) return list_missing(p);
    for (int i = 0; i < r.n_stop; i++) {
        const size_t n = parcel_number(p);
        stops[i] = n > p->left ? NULL : parcel_take(p, n);
        if (!stops[i] || stops[i][n - 1]) p->bad = true;
    }
    if (p->bad) {
        free(stops);
        return broken();
    }
    r.stop = stops;
    *out = r;
    return OK;
}

/* ---- Results ---- */

/* top: [n][n_top] */
static void put_top(struct buf *out, const struct gptjt_top *top, size_t n, int n_top)
{
    parcel_put_number(out, (uint64_t)n_top);
    parcel_put(out, top, n * (size_t)n_top * sizeof *top);
}

static struct gptjt_top *take_top(struct parcel *p, size_t n, int *n_top, enum status *s)
{
    const uint64_t number = parcel_number(p);
    if (number > GPTJT_MOST_TOP || (number && n > p->left)) p->bad = true;
    *n_top = p->bad ? 0 : (int)number;
    return n && number ? copy(p, n * number, sizeof(struct gptjt_top), s) : NULL;
}

void parcel_put_score(struct buf *out, const struct gptjt_score *s)
{
    parcel_put_number(out, s->n);
    parcel_put(out, &s->total, sizeof s->total);
    parcel_put_number(out, s->greedy);
    parcel_put(out, s->logprobs, s->n * sizeof *s->logprobs);
    put_top(out, s->top, s->n, s->n_top);
}

static double take_double(struct parcel *p)
{
    const double *number = parcel_take(p, sizeof *number);
    return number ? *number : 0;
}

enum status parcel_score(struct parcel *p, struct gptjt_score *out)
{
    enum status s = OK;
    out->n = parcel_number(p);
    out->total = take_double(p);
    out->greedy = parcel_number(p) != 0;
    out->logprobs = copy(p, out->n, sizeof *out->logprobs, &s);
    out->top = take_top(p, out->n, &out->n_top, &s);
    return s;
}

static void put_completion(struct buf *out, const struct gptjt_completion *c)
{
    parcel_put_number(out, c->n_tokens);
    parcel_put_number(out, (uint64_t)c->finish);
    parcel_put_number(out, c->text != NULL);
    parcel_put_number(out, c->text_len);
    parcel_put(out, c->tokens, c->n_tokens * sizeof *c->tokens);
    parcel_put(out, c->logprobs, c->n_tokens * sizeof *c->logprobs);
    put_top(out, c->top, c->n_tokens, c->n_top);
    if (c->text) parcel_put(out, c->text, c->text_len + 1);
}

static enum status take_completion(struct parcel *p, struct gptjt_completion *c)
{
    enum status s = OK;
    c->n_tokens = parcel_number(p);
    c->finish = (enum gptjt_finish)parcel_number(p);
    const bool has_text = parcel_number(p) != 0;
    c->text_len = parcel_number(p);
    c->tokens = copy(p, c->n_tokens, sizeof *c->tokens, &s);
    c->logprobs = copy(p, c->n_tokens, sizeof *c->logprobs, &s);
    c->top = take_top(p, c->n_tokens, &c->n_top, &s);
    if (has_text && s == OK) c->text = copy(p, c->text_len + 1, 1, &s);
    return s;
}

void parcel_put_generation(struct buf *out, const struct gptjt_generation *g)
{
    parcel_put_number(out, (uint64_t)g->n);
    parcel_put_number(out, g->n_reused);
    parcel_put(out, &g->prefill_s, sizeof g->prefill_s);
    parcel_put(out, &g->decode_s, sizeof g->decode_s);
    parcel_put_number(out, g->n_scored);
    parcel_put(out, g->prompt_logprobs, g->n_scored * sizeof *g->prompt_logprobs);
    put_top(out, g->prompt_top, g->n_scored, g->n_top);
    for (int i = 0; i < g->n; i++)
        put_completion(out, &g->completions[i]);
}

enum status parcel_generation(struct parcel *p, struct gptjt_generation *out)
{
    const size_t n = parcel_number(p);
    out->n_reused = parcel_number(p);
    out->prefill_s = take_double(p);
    out->decode_s = take_double(p);
    enum status s = OK;
    out->n_scored = parcel_number(p);
    if (out->n_scored) out->prompt_logprobs = copy(p, out->n_scored, sizeof *out->prompt_logprobs, &s);
    out->prompt_top = take_top(p, out->n_scored, &out->n_top, &s);
    TRY(s);
    out->completions = list(p, n, sizeof *out->completions);
    if (!out->completions) return list_missing(p);
    for (out->n = 0; s == OK && (size_t)out->n < n; out->n++)
        s = take_completion(p, &out->completions[out->n]);
    return s;
}
