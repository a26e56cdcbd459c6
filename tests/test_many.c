// SPDX-License-Identifier: Apache-2.0
/* Many requests at once against each of them alone: the same bits whatever runs beside it, in whatever room, at every
 * instruction set and number of threads; and what happens to the others when one fails or is stopped. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mixed_requests.h"

#include "engine/scheduler.h"

/* ---- The law ---- */

static void compare_in(struct gptjt_engine *e, size_t room, const struct mix *x, const struct truth *t)
{
    struct gptjt_session *s = open_session(e, room);
    compare_on(s, x, t);
    gptjt_session_close(s);
}

struct way {
    const char *dir;
    enum gptjt_weights weights;
    enum gptjt_compute compute;
};

/* NULL if this machine lacks the level. */
static struct gptjt_engine *open_way(const struct way *w, const char *cpu, int threads)
{
    struct gptjt_engine_options o;
    struct gptjt_engine *e;
    gptjt_engine_options_init(&o);
    o.cpu = cpu;
    o.weights = w->weights;
    o.compute = w->compute;
    o.threads = threads;
    if (gptjt_engine_open(&e, w->dir, &o) == GPTJT_OK) return e;
    assert_non_null(strstr(gptjt_error(), cpu));
    return NULL;
}

/* In room for one at a time, for some, and for all with more pages than a step wants rows; then with other numbers of
 * threads. The reference level takes its time over every row, so it gets fewer. */
static bool compare_at(const struct way *w, const char *cpu)
{
    struct gptjt_engine *e = open_way(w, cpu, 1);
    if (!e) return false;
    const bool slow = !strcmp(cpu, "ref");
    struct gptjt_info info;
    struct truth t;
    struct mix x;
    gptjt_engine_info(e, &info);
    mix_requests(&x, slow ? 7 : N, (size_t)info.vocab_size, slow ? 40 : (size_t)info.n_positions);
    alone(e, &x, &t);
    compare_in(e, x.room / 2, &x, &t);
    if (!slow) compare_in(e, x.most, &x, &t);
    if (!slow) compare_in(e, 1300 * KV_PAGE, &x, &t);
    gptjt_engine_close(e);
    for (int threads = 2; threads <= 5; threads += 3) {
        e = open_way(w, cpu, threads);
        compare_in(e, x.room, &x, &t);
        gptjt_engine_close(e);
    }
    free_truth(&t, &x);
    return true;
}

static void many_are_each_alone_at_every_level(void **state)
{
    (void)state;
    static const char *const levels[] = {"ref", "avx2", "avx512", "avx512bf16", "amx"};
    static const struct way ways[] = {
        {MICRO_A, GPTJT_WEIGHTS_AUTO, GPTJT_COMPUTE_FP32},
        {MICRO_A, GPTJT_WEIGHTS_BF16, GPTJT_COMPUTE_BF16},
        {MICRO_A, GPTJT_WEIGHTS_Q4, GPTJT_COMPUTE_INT8}, /* and q8: embedding and head */
        {GOLDENS "micro-b/bin-fp16-prefix", GPTJT_WEIGHTS_AUTO, GPTJT_COMPUTE_AUTO},
        {GOLDENS "micro-c/bin-fp16-prefix", GPTJT_WEIGHTS_Q8, GPTJT_COMPUTE_AUTO},
    };
    for (size_t l = 0; l < sizeof levels / sizeof *levels; l++) {
        bool here = true;
        for (size_t w = 0; here && w < sizeof ways / sizeof *ways; w++)
            here = compare_at(&ways[w], levels[l]);
        if (!here) print_message("%s: SKIPPED, this machine lacks it\n", levels[l]);
    }
}

/* ---- Text ---- */

struct shown {
    char text[MOST][1024];
    size_t len[MOST];
    int n_tokens;
};

static bool show(void *user, const struct gptjt_token *t)
{
    struct shown *w = user;
    const int sequence = t->sequence;
    assert_true(w->len[sequence] + t->text_len < sizeof w->text[sequence]);
    memcpy(w->text[sequence] + w->len[sequence], t->text, t->text_len);
    w->len[sequence] += t->text_len;
    w->n_tokens++;
    return true;
}

static void stop_strings_and_callbacks_are_each_requests_own(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "Input: India\nOutput:", "Return the currency.\n\nInput: Japan\nOutput:", "The quick", "Hello"};
    static const char *const stops[] = {"\n", "e", "\n\n", " "}; /* what any model says before long */
    struct gptjt_engine *e = open_engine(TINY, NULL);
    struct gptjt_session *s = open_session(e, 16 * 512), *small = open_session(e, 1024);
    struct gptjt_generate_request r[N];
    struct gptjt_generation together[N], one;
    struct shown *shown = calloc(N + 1, sizeof *shown);
    int32_t *ids[N];
    int stopped = 0;
    for (int i = 0; i < N; i++) {
        gptjt_generate_init(&r[i]);
        check(
            gptjt_encode(gptjt_engine_tokenizer(e), texts[i % 4], strlen(texts[i % 4]), true, &ids[i], &r[i].n_prompt));
        r[i].prompt = ids[i];
        r[i].max_new_tokens = 3 * i;
        r[i].do_sample = i % 3 > 0;
        r[i].num_return_sequences = i % 3 == 2 ? 4 : 1;
        r[i].seed = (uint64_t)i;
        r[i].stop = stops + i % 4;
        r[i].n_stop = 1 + (i % 4 == 1 || i % 4 == 2);
        r[i].on_token = show;
        r[i].user = &shown[i];
    }
    check(gptjt_generate_many(s, r, N, together));
    for (int i = 0; i < N; i++) {
        r[i].user = &shown[N];
        shown[N] = (struct shown){.n_tokens = 0};
        check(gptjt_generate(small, &r[i], &one));
        same_generation(&together[i], &one);
        assert_memory_equal(&shown[N], &shown[i], sizeof *shown);
        for (int k = 0; k < one.n; k++)
            stopped += one.completions[k].finish == GPTJT_FINISH_STOP;
        gptjt_generation_free(&one);
        gptjt_generation_free(&together[i]);
        gptjt_free(ids[i]);
    }
    assert_true(stopped > N / 2); /* or stop strings were not tried */
    free(shown);
    gptjt_session_close(small);
    gptjt_session_close(s);
    gptjt_engine_close(e);
}

/* ---- Progress, failure, limits ---- */

static bool stop_some(void *user, const struct gptjt_token *t)
{
    (void)t;
    int *left = user;
    assert_true(*left > 0); /* not called again once it has said no */
    return --*left > 0;
}

static void progress_counts_every_row_once(void **state)
{
    (void)state;
    struct gptjt_engine *e = open_engine(MICRO_A, NULL);
    struct mix x;
    struct truth t;
    mix_requests(&x, N, 500, 128);
    size_t prompts = 0, scored = 0;
    for (size_t i = 0; i < N; i++) {
        if (x.generate[i].max_new_tokens || x.generate[i].n_scored) prompts += x.generate[i].n_prompt;
        if (x.score[i].n) scored += x.score[i].prompt.n;
        for (size_t k = 0; k < x.score[i].n; k++)
            scored += x.spans[i][k].n - 1;
    }
    for (size_t room = x.most; room <= x.room; room *= 3) {
        struct gptjt_session *s = open_session(e, room);
        struct meter m = {0};
        gptjt_session_set_progress(s, advance, &m);
        check(gptjt_generate_many(s, x.generate, N, t.generations));
        assert_true(m.total == prompts && m.last == prompts);
        m = (struct meter){0};
        check(gptjt_score_many(s, x.score, N, t.scores));
        assert_true(m.total == scored && m.last == scored);
        free_truth(&t, &x);
        gptjt_session_close(s);
    }
    gptjt_engine_close(e);
}

static void calls_stopped_anywhere_give_nothing_and_change_no_later_answer(void **state)
{
    (void)state;
    struct gptjt_engine *e = open_engine(MICRO_A, NULL);
    struct mix x;
    struct truth t, got;
    mix_requests(&x, N, 500, 128);
    alone(e, &x, &t);
    struct gptjt_session *s = open_session(e, x.room / 2);
    for (size_t n = 1;; n += n) {
        struct meter m = {.stop_at = n};
        memset(&got, 0, sizeof got);
        gptjt_session_set_progress(s, advance, &m);
        const enum gptjt_status generated = gptjt_generate_many(s, x.generate, N, got.generations);
        m = (struct meter){.stop_at = n};
        const enum gptjt_status scored = gptjt_score_many(s, x.score, N, got.scores);
        gptjt_session_set_progress(s, NULL, NULL);
        if (generated == GPTJT_OK && scored == GPTJT_OK) break;
        if (generated != GPTJT_OK) assert_null(got.generations[0].completions);
        if (scored != GPTJT_OK) assert_null(got.scores[0].logprobs);
        if (generated == GPTJT_OK) /* the decoding steps call too */
            for (size_t i = 0; i < N; i++)
                gptjt_generation_free(&got.generations[i]);
        if (scored == GPTJT_OK) gptjt_scores_free(got.scores, x.n_scores);
        compare_on(s, &x, &t);
    }
    free_truth(&got, &x);
    for (int left = 1; left < 20; left++) {
        int n = left;
        memset(&got, 0, sizeof got);
        x.generate[8].on_token = stop_some;
        x.generate[8].user = &n;
        x.generate[8].max_new_tokens = 9;
        const enum gptjt_status st = gptjt_generate_many(s, x.generate, N, got.generations);
        if (st == GPTJT_OK) {
            assert_true(left > 1);
            break;
        }
        assert_int_equal(st, GPTJT_E_CANCELLED);
        assert_non_null(strstr(gptjt_error(), "request 8: "));
        assert_null(got.generations[0].completions);
    }
    for (size_t i = 0; i < N; i++)
        gptjt_generation_free(&got.generations[i]);
    mix_requests(&x, N, 500, 128);
    compare_on(s, &x, &t);
    free_truth(&t, &x);
    gptjt_session_close(s);
    gptjt_engine_close(e);
}

static void bad_requests_are_named_before_any_begins(void **state)
{
    (void)state;
    struct gptjt_engine *e = open_engine(MICRO_A, NULL);
    struct truth t;
    struct mix x;
    mix_requests(&x, N, 500, 128);
    struct gptjt_session *s = open_session(e, x.most - KV_PAGE);
    struct meter m = {0};
    gptjt_session_set_progress(s, advance, &m);
    assert_int_equal(gptjt_generate_many(s, x.generate, 0, NULL), GPTJT_OK);
    assert_int_equal(gptjt_score_many(s, x.score, 0, NULL), GPTJT_OK);

    x.generate[19].temperature = -1;
    assert_int_equal(gptjt_generate_many(s, x.generate + 19, 1, t.generations), GPTJT_E_ARG);
    assert_null(strstr(gptjt_error(), "request"));
    x.generate[19].temperature = 1;
    const struct gptjt_generate_request fits = x.generate[0];
    for (size_t i = 0; i < N; i++)
        x.generate[i] = fits;
    x.generate[13].num_return_sequences = 50;
    x.generate[13].do_sample = true;
    assert_int_equal(gptjt_generate_many(s, x.generate, N, t.generations), GPTJT_E_LIMIT);
    assert_non_null(strstr(gptjt_error(), "request 13: session has room for"));

    const struct gptjt_score_request good = x.score[0];
    for (size_t i = 0; i < N; i++)
        x.score[i] = good;
    x.score[7].prompt.n = 0;
    assert_int_equal(gptjt_score_many(s, x.score, N, t.scores), GPTJT_E_ARG);
    assert_non_null(strstr(gptjt_error(), "request 7: prompt is empty"));
    assert_true(m.calls == 0);
    gptjt_session_close(s);
    gptjt_engine_close(e);
}

/* An engine whose model makes NaN of a token. */
static struct gptjt_engine *open_poisoned(int32_t token)
{
    struct gptjt_engine_options o;
    gptjt_engine_options_init(&o);
    o.weights = GPTJT_WEIGHTS_FP32;
    struct gptjt_engine *e = open_engine(MICRO_A, &o);
    const struct weight *wte = &e->model->wte;
    assert_true(wte->owned_bytes > 0); /* a copy of the file's fp16: ours to write */
    ((float *)(uintptr_t)wte->data)[(size_t)token * (size_t)wte->I] = NAN;
    return e;
}

static void a_request_whose_numbers_are_none_is_named(void **state)
{
    (void)state;
    struct gptjt_engine *e = open_poisoned(499);
    struct mix x;
    struct truth t;
    mix_requests(&x, N, 499, 128);
    struct gptjt_session *s = open_session(e, x.room);
    check(gptjt_generate_many(s, x.generate, N, t.generations));
    check(gptjt_score_many(s, x.score, N, t.scores));
    free_truth(&t, &x);
    const size_t end = x.generate[15].n_prompt - 1;
    assert_true(end > 9); /* not where others' continuations are */
    x.ids[15][end] = 499;
    assert_int_equal(gptjt_generate_many(s, x.generate, N, t.generations), GPTJT_E_NUMERIC);
    assert_non_null(strstr(gptjt_error(), "request 15: logit of token"));
    assert_int_equal(gptjt_score_many(s, x.score, N, t.scores), GPTJT_E_NUMERIC);
    assert_non_null(strstr(gptjt_error(), "request 15: logit of token"));
    gptjt_session_close(s);
    gptjt_engine_close(e);
}

/* ---- The scheduler itself: who comes and goes while it runs, and one that fails alone ---- */

enum { PATHS = 2 };

/* Goes on with the likeliest token, and beside it with the one after that, and keeps all logits it saw. */
struct walker {
    struct job job;
    struct gptjt_session *s;
    struct kv_sequence kv[PATHS];
    int32_t last[PATHS];
    int steps, fail_at; /* -1: never */
    int taken;          /* rows read */
    float logits[PATHS * 8][500];
};

static int one_row_a_path(const struct job *j)
{
    (void)j;
    return PATHS;
}

static enum status add_rows(struct job *j, struct scheduler *c, int n)
{
    struct walker *w = (struct walker *)j;
    assert_int_equal(n, PATHS);
    for (int i = 0; i < PATHS; i++) {
        const size_t position = j->prompt.n + (size_t)(w->taken - 1) / PATHS;
        scheduler_add_row(c, step_add_sequence(c->step, &w->kv[i]), w->last[i], position, (struct target){j, i, 0});
    }
    return OK;
}

static enum status read_row(struct job *j, struct scheduler *c, const struct target *t, const float *logits)
{
    struct walker *w = (struct walker *)j;
    if (w->taken == w->fail_at) return fail(E_NUMERIC, "as asked");
    memcpy(w->logits[w->taken++], logits, sizeof w->logits[0]);
    int32_t best = 0;
    for (int v = 1; v < 500; v++)
        if (logits[v] > logits[best]) best = v;
    for (int i = 0; i < PATHS; i++) {
        if (t->sequence == TARGET_PROMPT) TRY(scheduler_fork(c, j, &w->kv[i], j->prompt.n + 8));
        if (t->sequence == TARGET_PROMPT || t->sequence == i) w->last[i] = (best + i) % 499;
    }
    j->done = w->taken == 1 + PATHS * w->steps;
    return OK;
}

static void leave(struct job *j, struct kvcache *kv)
{
    struct walker *w = (struct walker *)j;
    for (int i = 0; i < PATHS; i++)
        kvcache_release(kv, &w->kv[i]);
}

static const struct job_kind walking = {.rows = one_row_a_path, .add = add_rows, .read = read_row, .leave = leave};

static void walker_init(struct walker *w, struct gptjt_session *s, const int32_t *ids, size_t n, int steps)
{
    *w = (struct walker){.s = s, .steps = steps, .fail_at = steps == 5 ? 3 : -1};
    w->job = (struct job){.kind = &walking, .prompt = {ids, n}, .n_prefix = n, .n_read = 1};
    w->job.n_promised = PATHS * scheduler_pages(n, n + 8);
}

static int n_failed;

static enum status go_on(struct scheduler *c, struct job *j)
{
    (void)c;
    assert_int_equal(j->status, E_NUMERIC);
    n_failed++;
    return OK;
}

static void jobs_come_and_go_between_steps_and_fail_alone(void **state)
{
    (void)state;
    struct gptjt_engine *e = open_poisoned(499);
    struct mix x;
    mix_requests(&x, N, 499, 128);
    x.ids[6][1] = 499;
    struct walker *w = calloc(2 * N, sizeof *w);
    struct gptjt_session *s = open_session(e, x.room / 3);
    struct scheduler c;
    scheduler_open(&c, s, go_on);
    n_failed = 0;
    for (size_t i = 0; i < N || !scheduler_idle(&c);) {
        if (i < N) {
            walker_init(&w[i], s, x.ids[i], x.generate[i].n_prompt, (int)i % 8);
            scheduler_add(&c, &w[i++].job);
        }
        assert_int_equal(scheduler_step(&c), OK);
    }
    assert_int_equal(n_failed, 3); /* once each: the one with the poison, and those of five steps */
    scheduler_close(&c);
    assert_int_equal(c.n_promised, 0);
    for (size_t i = 0; i < N; i++) {
        struct walker *lone = &w[N + i];
        struct gptjt_session *own = open_session(e, 0);
        walker_init(lone, own, x.ids[i], x.generate[i].n_prompt, (int)i % 8);
        scheduler_open(&c, own, go_on);
        scheduler_add(&c, &lone->job);
        assert_int_equal(scheduler_run(&c), OK);
        assert_int_equal(w[i].taken, lone->taken);
        assert_int_equal(w[i].job.status, i == 6 || i % 8 == 5 ? E_NUMERIC : OK);
        assert_memory_equal(w[i].logits, lone->logits, sizeof lone->logits);
        gptjt_session_close(own);
    }
    session_forget(s);
    assert_int_equal(s->kv->n_free, s->kv->n_pages);
    free(w);
    gptjt_session_close(s);
    gptjt_engine_close(e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(many_are_each_alone_at_every_level),
        cmocka_unit_test(stop_strings_and_callbacks_are_each_requests_own),
        cmocka_unit_test(progress_counts_every_row_once),
        cmocka_unit_test(calls_stopped_anywhere_give_nothing_and_change_no_later_answer),
        cmocka_unit_test(bad_requests_are_named_before_any_begins),
        cmocka_unit_test(a_request_whose_numbers_are_none_is_named),
        cmocka_unit_test(jobs_come_and_go_between_steps_and_fail_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
