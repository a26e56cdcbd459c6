// SPDX-License-Identifier: Apache-2.0
/* A model whose layers lie on several ranks, as threads, against the whole one: the same bits of every result, with
 * steps of several lanes under way; the bytes between stages; and what is stopped, or cannot be opened. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mixed_requests.h"

#include "base/compiler.h"
#include "engine/crew.h"
#include "engine/identity.h"
#include "net/local.h"

struct way {
    const char *dir;
    enum gptjt_weights weights;
    enum gptjt_compute compute;
};

static const struct way micro = {MICRO_A, GPTJT_WEIGHTS_AUTO, GPTJT_COMPUTE_FP32};
static const struct way tiny = {TINY, GPTJT_WEIGHTS_AUTO, GPTJT_COMPUTE_AUTO};

static struct gptjt_engine_options options_of(const struct way *w)
{
    struct gptjt_engine_options o;
    gptjt_engine_options_init(&o);
    o.weights = w->weights;
    o.compute = w->compute;
    o.threads = 1;
    return o;
}

struct scene {
    void (*act)(struct gptjt_engine *e, struct transport *t, const struct scene *scene);
    const struct way *way;
    int n_stages;
    const struct truth *truth;
    const struct way *other; /* what stages but the last have; NULL: the same */
};

/* ---- Ranks ---- */

struct stage {
    const struct scene *scene;
    struct stage_ranks ranks;
    struct gptjt_engine *engine;
};

static enum status open_stage(const struct gptj **out, enum dtype *kv_dtype, void *user, const char *identity, size_t n)
{
    struct stage *x = user;
    const struct way *w = x->scene->other ? x->scene->other : x->scene->way;
    const struct gptjt_engine_options o = options_of(w);
    struct buf mine = {0};
    TRY(engine_open_stage(&x->engine, w->dir, &o, &x->ranks));
    enum status s = identity_put(&mine, x->engine);
    if (s == OK) s = identity_compare(&mine, identity, n);
    buf_free(&mine);
    *out = x->engine->model;
    *kv_dtype = x->engine->kv_dtype;
    return s;
}

static enum status open_head(struct gptjt_engine **out, const struct scene *x, struct stage_head *h)
{
    const struct gptjt_engine_options o = options_of(x->way);
    TRY(engine_open_stage(out, x->way->dir, &o, stage_head_ranks(h)));
    return engine_form_stages(*out, h);
}

struct helper {
    const struct scene *scene;
    struct stage_head *head;
};

static enum status open_for_crew(struct gptjt_engine **out, void *user)
{
    const struct helper *h = user;
    return open_head(out, h->scene, h->head);
}

static enum status lead(struct transport *t, const struct scene *x, struct stage_head *h)
{
    struct crew *crew = NULL;
    struct gptjt_engine *e = NULL;
    enum status s = t->size > x->n_stages ? crew_open(&crew, t, x->n_stages) : OK;
    if (s == OK) s = open_head(&e, x, h);
    if (s == OK && crew) s = crew_equip(crew, e, t->size);
    if (s == OK) x->act(e, t, x);
    const enum status closed = crew_close(crew);
    gptjt_engine_close(e);
    return s == OK ? closed : s;
}

static enum status one_rank(struct transport *t, void *user)
{
    const struct scene *x = user;
    const struct stage_ranks ranks = {.t = t, .first = t->rank / x->n_stages * x->n_stages, .n = x->n_stages};
    struct stage_head *h;
    if (t->rank > ranks.first) {
        struct stage stage = {.scene = x, .ranks = ranks};
        const enum status s = stage_serve(&ranks, open_stage, &stage);
        gptjt_engine_close(stage.engine);
        return s;
    }
    TRY(stage_head_open(&h, &ranks));
    const enum status s = t->rank ? crew_help(t, open_for_crew, &(struct helper){x, h}) : lead(t, x, h);
    const enum status closed = stage_head_close(h);
    return s == OK ? closed : s;
}

static void run_scene(int n_ranks, struct scene *x)
{
    if (local_run(n_ranks, one_rank, x) != OK) fail_msg("%d ranks: %s", n_ranks, status_message());
}

/* ---- The law ---- */

static void mix_for(struct mix *x, const struct gptjt_engine *e)
{
    struct gptjt_info info;
    gptjt_engine_info(e, &info);
    mix_requests(x, N, (size_t)info.vocab_size, 128);
}

static void find_truth(struct truth *t, struct mix *x, const struct way *w)
{
    const struct gptjt_engine_options o = options_of(w);
    struct gptjt_engine *e = open_engine(w->dir, &o);
    mix_for(x, e);
    alone(e, x, t);
    gptjt_engine_close(e);
}

static void compare_in_little_and_much_room(struct gptjt_engine *e, struct transport *t, const struct scene *scene)
{
    struct mix x;
    (void)t;
    mix_for(&x, e);
    assert_true(e->model->first > 0); /* or the model is all here */
    for (int i = 0; i < 2; i++) {
        struct gptjt_session *s = open_session(e, i ? x.room : x.most);
        assert_int_equal(s->n_others, scene->n_stages - 1);
        compare_on(s, &x, scene->truth);
        compare_on(s, &x, scene->truth); /* with a prompt remembered */
        gptjt_session_close(s);
    }
}

static void stages_have_the_bits_of_the_whole_model(void **state)
{
    (void)state;
    static const struct {
        struct way way;
        int n_stages, n_ranks;
    } cases[] = {
        {{MICRO_A, GPTJT_WEIGHTS_AUTO, GPTJT_COMPUTE_FP32}, 2, 2}, /* one layer and two */
        {{MICRO_A, GPTJT_WEIGHTS_AUTO, GPTJT_COMPUTE_FP32}, 3, 3},
        {{MICRO_A, GPTJT_WEIGHTS_BF16, GPTJT_COMPUTE_BF16}, 3, 3},
        {{MICRO_A, GPTJT_WEIGHTS_Q8, GPTJT_COMPUTE_AUTO}, 2, 2},
        {{MICRO_A, GPTJT_WEIGHTS_AUTO, GPTJT_COMPUTE_FP32}, 2, 6}, /* three models */
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct truth t;
        struct mix x;
        find_truth(&t, &x, &cases[i].way);
        run_scene(cases[i].n_ranks, &(struct scene){.act = compare_in_little_and_much_room,
                                                    .way = &cases[i].way,
                                                    .n_stages = cases[i].n_stages,
                                                    .truth = &t});
        free_truth(&t, &x);
    }
}

/* ---- Rows of logits, and bytes ---- */

enum { ROW = 40 };

struct rows {
    float *logits; /* [ROW][V] */
    size_t V, n;
};

static bool keep_row(void *user, size_t position, const float *logits)
{
    struct rows *r = user;
    memcpy(r->logits + position * r->V, logits, r->V * sizeof *logits);
    r->n++;
    return true;
}

static struct rows read_rows(struct gptjt_engine *e)
{
    struct gptjt_info info;
    gptjt_engine_info(e, &info);
    int32_t ids[ROW];
    for (int i = 0; i < ROW; i++)
        ids[i] = (int32_t)draw(5, (uint64_t)i, (size_t)info.vocab_size);
    struct rows r = {.V = (size_t)info.vocab_size};
    r.logits = calloc(ROW * r.V, sizeof *r.logits);
    struct gptjt_session *s = open_session(e, 0);
    check(gptjt_logits(s, (struct gptjt_span){ids, ROW}, 20, keep_row, &r));
    assert_int_equal(r.n, ROW);
    gptjt_session_close(s);
    return r;
}

static void count_bytes(struct gptjt_engine *e, struct transport *t, const struct scene *scene)
{
    const struct gptjt_engine_options o = options_of(scene->way);
    struct gptjt_engine *whole = open_engine(scene->way->dir, &o);
    const uint64_t before = net_received(t, NET_ACTIVATIONS).bytes;
    struct rows ours = read_rows(e), truth = read_rows(whole);
    assert_memory_equal(ours.logits, truth.logits, ROW * truth.V * sizeof *truth.logits);
    assert_int_equal(net_received(t, NET_ACTIVATIONS).bytes - before, ROW * (size_t)e->config.model.D * sizeof(float));
    assert_int_equal(net_sent(t, NET_ACTIVATIONS).bytes, 0);
    free(ours.logits);
    free(truth.logits);
    gptjt_engine_close(whole);
}

static void a_row_between_stages_takes_its_activations(void **state)
{
    (void)state;
    run_scene(3, &(struct scene){.act = count_bytes, .way = &tiny, .n_stages = 3});
}

/* ---- Stopping and failing ---- */

static bool stop_after(void *user, size_t done, size_t total)
{
    (void)done, (void)total;
    return --*(int *)user > 0;
}

static void stop_everywhere(struct gptjt_engine *e, struct transport *t, const struct scene *scene)
{
    struct mix x;
    (void)t;
    mix_for(&x, e);
    struct gptjt_session *s = open_session(e, x.room / 2);
    int n_stopped = 0;
    for (int n = 1;; n += n) {
        struct truth got = {0};
        int left = n;
        gptjt_session_set_progress(s, stop_after, &left);
        const enum gptjt_status scored = gptjt_score_many(s, x.score, N, got.scores);
        gptjt_session_set_progress(s, NULL, NULL);
        if (scored == GPTJT_OK) gptjt_scores_free(got.scores, x.n_scores);
        if (scored == GPTJT_OK) break;
        assert_int_equal(scored, GPTJT_E_CANCELLED);
        n_stopped++;
        compare_on(s, &x, scene->truth);
    }
    assert_true(n_stopped > 2);
    gptjt_session_close(s);
}

static void a_call_stopped_anywhere_changes_no_later_answer(void **state)
{
    (void)state;
    struct truth t;
    struct mix x;
    find_truth(&t, &x, &micro);
    run_scene(2, &(struct scene){.act = stop_everywhere, .way = &micro, .n_stages = 2, .truth = &t});
    free_truth(&t, &x);
}

static void never(struct gptjt_engine *e, struct transport *t, const struct scene *scene)
{
    (void)e, (void)t, (void)scene;
    fail_msg("stages of different models");
}

static void stages_that_do_not_belong_together_are_refused(void **state)
{
    (void)state;
    static const struct way q8 = {TINY, GPTJT_WEIGHTS_Q8, GPTJT_COMPUTE_AUTO}, gone = {"no/such", 0, 0};
    static const struct {
        const struct way *way, *other;
        int n_stages;
        const char *says;
    } cases[] = {
        {&tiny, &micro, 2, "rank 1 failed: this rank has \"layers"},
        {&tiny, &q8, 3, "failed: this rank has \"weights q8\", rank 0 has \"weights "},
        {&tiny, &gone, 2, "rank 1 failed: no/such: is not a directory"},
        {&tiny, NULL, 7, "has 6 layers, too few for 7 pipeline stages"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct scene x = {.act = never, .way = cases[i].way, .other = cases[i].other, .n_stages = cases[i].n_stages};
        assert_true(local_run(x.n_stages, one_rank, &x) != OK);
        if (!strstr(status_message(), cases[i].says)) fail_msg("%zu: %s", i, status_message());
    }
}

static void use_up_lanes(struct gptjt_engine *e, struct transport *t, const struct scene *scene)
{
    struct gptjt_session *sessions[STAGE_MAX_LANES + 1];
    (void)t, (void)scene;
    int n = 0;
    while (n <= STAGE_MAX_LANES && gptjt_session_create(&sessions[n], e, 64) == GPTJT_OK)
        n++;
    assert_int_equal(n, STAGE_MAX_LANES / 2); /* two a session */
    assert_non_null(strstr(gptjt_error(), "lanes"));
    gptjt_session_close(sessions[3]);
    check(gptjt_session_create(&sessions[3], e, 64));
    while (n)
        gptjt_session_close(sessions[--n]);
}

static void lanes_come_and_go(void **state)
{
    (void)state;
    run_scene(2, &(struct scene){.act = use_up_lanes, .way = &micro, .n_stages = 2});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stages_have_the_bits_of_the_whole_model),
        cmocka_unit_test(a_row_between_stages_takes_its_activations),
        cmocka_unit_test(a_call_stopped_anywhere_changes_no_later_answer),
        cmocka_unit_test(stages_that_do_not_belong_together_are_refused),
        cmocka_unit_test(lanes_come_and_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
