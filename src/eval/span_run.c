// SPDX-License-Identifier: Apache-2.0
#include "eval/span_run.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#include "base/hash.h"
#include "base/json.h"
#include "eval/api.h"
#include "eval/batching.h"

/* ---- The part file ---- */

static uint64_t fingerprint(const struct span_run *r)
{
    uint64_t h = part_file_hash(HASH_BEGIN, gptjt_version());
    h = part_file_hash(h, r->settings);
    for (int i = 0; i < r->n_masks; i++)
        h = part_file_hash(h, api_mask_name(r->masks[i]));
    for (size_t i = 0; i < r->n_spans; i++) {
        const struct span *s = &r->spans[i];
        char text[96];
        snprintf(text, sizeof text, "%zu %zu %zu", s->begin, s->split, s->end);
        h = part_file_hash(h, text);
    }
    for (size_t i = 0; r->n_spans && i < r->spans[r->n_spans - 1].end; i++) {
        char text[16];
        snprintf(text, sizeof text, "%" PRId32, r->ids[i]);
        h = part_file_hash(h, text);
    }
    return h;
}

static enum status write_score(struct span_run *r)
{
    if (!r->out_path) return OK;
    const size_t i = r->n_done % r->n_spans;
    const struct span_score *s = &r->scores[r->n_done];
    struct buf line = {0};
    buf_printf(&line, "{\"mask\":\"%s\",\"span\":%zu,\"tokens\":%zu,\"log_likelihood\":%.17g,\"greedy\":%s}\n",
               api_mask_name(r->masks[r->n_done / r->n_spans]), i, r->spans[i].end - r->spans[i].split,
               s->log_likelihood, s->greedy ? "true" : "false");
    const enum status st = part_file_write(&r->part, &line);
    buf_free(&line);
    return st;
}

static enum status take_up(void *run, const char *line, size_t len)
{
    struct span_run *r = run;
    json_t *object;
    int64_t span = -1;
    const char *where = r->part.path;
    if (r->n_done == r->n) return fail(E_FORMAT, "%s: has more scores than there are spans; remove it", where);
    struct span_score *s = &r->scores[r->n_done];
    TRY(json_read_text(&object, line, len, where));
    enum status st = json_get_int(object, where, "span", 0, INT64_MAX, &span);
    if (st == OK) st = json_get_number(object, where, "log_likelihood", &s->log_likelihood);
    if (st == OK) st = json_get_bool(object, where, "greedy", &s->greedy);
    if (st == OK && span != (int64_t)(r->n_done % r->n_spans))
        st = fail(E_FORMAT, "%s: line %zu is not the score that was to be there; remove the file", where,
                  r->n_done + 1);
    r->n_done += st == OK;
    json_decref(object);
    return st;
}

enum status span_run_open(struct span_run *r)
{
    r->n = r->n_spans * (size_t)r->n_masks;
    r->scores = calloc(r->n, sizeof *r->scores);
    if (!r->scores) return fail(E_NOMEM, "out of memory for %zu scores", r->n);
    if (!r->out_path) return OK;
    TRY(part_file_open(&r->part, r->out_path, fingerprint(r)));
    return part_file_resume(&r->part, take_up, r, &r->n_resumed);
}

/* ---- Scoring ---- */

struct scoring {
    struct span_run *run;
    struct gptjt_session *session;
    span_progress_fn *progress;
    void *user;
    struct gptjt_span continuations[BATCHING_MOST];
    struct gptjt_score_request requests[BATCHING_MOST];
    struct gptjt_score scores[BATCHING_MOST];
};

static bool go_on(void *scoring, size_t done, size_t total)
{
    const struct scoring *x = scoring;
    (void)done;
    (void)total;
    return x->progress(x->user, x->run->n_done);
}

static enum status open_session(struct scoring *x, struct gptjt_engine *engine)
{
    size_t one = 0;
    for (size_t i = 0; i < x->run->n_spans; i++) {
        const struct span *s = &x->run->spans[i];
        const size_t tokens = gptjt_tokens_needed(s->split - s->begin, 1, s->end - s->split);
        one = tokens > one ? tokens : one;
    }
    TRY(api_status(gptjt_session_create(&x->session, engine, batching_room(engine, one))));
    gptjt_session_set_progress(x->session, go_on, x);
    return OK;
}

/* The next n spans, all under one mask. */
static enum status score(struct scoring *x, int n)
{
    struct span_run *r = x->run;
    const struct span *spans = &r->spans[r->n_done % r->n_spans];
    for (int i = 0; i < n; i++) {
        const struct span *s = &spans[i];
        x->continuations[i] = (struct gptjt_span){.ids = r->ids + s->split, .n = s->end - s->split};
        x->requests[i] = (struct gptjt_score_request){.prompt = {.ids = r->ids + s->begin, .n = s->split - s->begin},
                                                      .prompt_mask = r->masks[r->n_done / r->n_spans],
                                                      .continuations = &x->continuations[i],
                                                      .n = 1};
    }
    TRY(api_status(gptjt_score_many(x->session, x->requests, (size_t)n, x->scores)));
    enum status s = OK;
    for (int i = 0; i < n && s == OK; i++) {
        r->scores[r->n_done] = (struct span_score){.log_likelihood = x->scores[i].total, .greedy = x->scores[i].greedy};
        if (!isfinite(x->scores[i].total)) s = fail(E_NUMERIC, "the score of a span is not a finite number");
        if (s == OK) s = write_score(r);
        r->n_done += s == OK;
    }
    gptjt_scores_free(x->scores, (size_t)n);
    return s;
}

enum status span_run_all(struct span_run *r, struct gptjt_engine *engine, span_progress_fn *progress, void *user)
{
    struct scoring *x = calloc(1, sizeof *x);
    if (!x) return fail(E_NOMEM, "out of memory");
    *x = (struct scoring){.run = r, .progress = progress, .user = user};
    struct batching batching = batching_for(engine);
    enum status s = r->n_done < r->n ? open_session(x, engine) : OK;
    while (s == OK && r->n_done < r->n) {
        const size_t left = r->n_spans - r->n_done % r->n_spans;
        s = progress(user, r->n_done) ? score(x, batching_next(&batching, left)) : fail(E_CANCELLED, "stopped");
    }
    gptjt_session_close(x->session);
    free(x);
    return s;
}

enum status span_run_finish(struct span_run *r)
{
    return r->out_path ? part_file_finish(&r->part, r->out_path) : OK;
}

void span_run_free(struct span_run *r)
{
    part_file_close(&r->part);
    free(r->scores);
    r->scores = NULL;
}
