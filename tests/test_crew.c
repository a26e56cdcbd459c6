// SPDX-License-Identifier: Apache-2.0
/* Ranks that share calls, as threads: results are the bits of each request alone, however many ranks there are; and
 * what the leader sees when a request fails, when it is stopped, and when a helper cannot go on or has another model.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mixed_requests.h"

#include "base/compiler.h"
#include "engine/crew.h"
#include "engine/crew_message.h"
#include "net/local.h"

enum { V = 500, P = 128 }; /* of MICRO_A */

/* ---- Chunks ---- */

static void chunks_have_every_request_once_the_longest_first(void **state)
{
    (void)state;
    enum { MOST_REQUESTS = 300 };
    size_t work[MOST_REQUESTS], order[MOST_REQUESTS];
    struct crew_chunk chunks[MOST_REQUESTS];
    for (int n_ranks = 1; n_ranks <= 9; n_ranks += 4)
        for (size_t n = 1; n <= MOST_REQUESTS; n = 2 * n + 1) {
            bool seen[MOST_REQUESTS] = {false};
            size_t all = 0, next = 0, last = SIZE_MAX;
            for (size_t i = 0; i < n; i++)
                all += work[i] = draw(7, i, 2000);
            const size_t n_chunks = crew_cut(order, chunks, work, n, n_ranks, CREW_CHUNK_TOKENS);
            for (size_t c = 0, left = all; c < n_chunks; left -= chunks[c++].work) {
                const size_t share = left / (size_t)(3 * n_ranks), quarter = all / (size_t)(4 * n_ranks);
                const size_t least = quarter < CREW_CHUNK_TOKENS ? quarter : CREW_CHUNK_TOKENS;
                const size_t most = share > least ? share : least;
                size_t sum = 0;
                assert_int_equal(chunks[c].first, next);
                for (; next < chunks[c].first + chunks[c].n; next++) {
                    const size_t i = order[next];
                    assert_true(i < n && !seen[i] && work[i] <= last);
                    seen[i] = true;
                    last = work[i];
                    sum += work[i];
                }
                assert_int_equal(sum, chunks[c].work);
                assert_true(chunks[c].n == 1 || (chunks[c].n > 1 && sum <= most));
            }
            assert_int_equal(next, n);
        }
}

static void what_generates_is_dealt_out_like_cards(void **state)
{
    (void)state;
    const size_t work[] = {3, 9, 8, 1, 7, 5, 6};
    static const size_t dealt[] = {1, 6, 3, 2, 5, 4, 0}; /* 9 6 1, 8 5, 7 3 */
    size_t order[7];
    struct crew_chunk chunks[7];
    assert_int_equal(crew_cut(order, chunks, work, 7, 3, 0), 3);
    assert_memory_equal(order, dealt, sizeof order);
    assert_int_equal(chunks[0].work, 16);
    assert_int_equal(chunks[1].work, 13);
    assert_int_equal(chunks[2].work, 10);
    assert_int_equal(crew_cut(order, chunks, work, 2, 3, 0), 2);
}

/* ---- A crew ---- */

struct scene {
    void (*leader)(struct gptjt_engine *e, const struct scene *scene);
    struct gptjt_engine *(*open)(void);
    const struct truth *truth;
    crew_open_fn *helper_opens; /* NULL: as the leader */
    bool dies;                  /* the last rank, when it gets its first work */
    bool all_work;              /* to be checked */
};

static struct gptjt_engine *open_micro(void)
{
    struct gptjt_engine_options o;
    gptjt_engine_options_init(&o);
    o.threads = 1;
    return open_engine(MICRO_A, &o);
}

/* As every level computes it. */
static struct gptjt_engine *open_micro_in_fp32(void)
{
    struct gptjt_engine_options o;
    gptjt_engine_options_init(&o);
    o.threads = 1;
    o.compute = GPTJT_COMPUTE_FP32;
    return open_engine(MICRO_A, &o);
}

static void alone_on_micro(struct mix *x, struct truth *t)
{
    struct gptjt_engine *e = open_micro();
    mix_requests(x, N, V, P);
    alone(e, x, t);
    gptjt_engine_close(e);
}

static enum status open_as_leader(struct gptjt_engine **out, void *scene)
{
    *out = ((const struct scene *)scene)->open();
    return OK;
}

/* What a helper would do until it has work. */
static enum status die_at_work(struct transport *t)
{
    struct net_request r = {0};
    struct crew_order order;
    char body[4096];
    struct crew_report ready = {.kind = CREW_READY};
    for (int i = 0; i < 2; i++) {
        TRY(net_recv(t, &r, 0, NET_CONTROL, CREW_ORDER_TAG, &order, sizeof order));
        TRY(net_wait(t, &r));
        if (order.kind == CREW_SCORE) return fail(E_IO, "the power is gone");
        assert_true(order.kind == CREW_FORM && order.bytes <= sizeof body);
        TRY(net_recv(t, &r, 0, NET_CONTROL, CREW_ORDER_BODY_TAG, body, order.bytes));
        TRY(net_wait(t, &r));
        TRY(net_send(t, &r, 0, NET_CONTROL, CREW_REPORT_TAG, &ready, sizeof ready));
        TRY(net_wait(t, &r));
    }
    return OK;
}

static enum status one_rank(struct transport *t, void *user)
{
    struct scene *x = user;
    if (t->rank > 0 && x->dies && t->rank == t->size - 1) return die_at_work(t);
    if (t->rank > 0) return crew_help(t, x->helper_opens ? x->helper_opens : open_as_leader, x);
    struct crew *crew;
    struct gptjt_engine *e = x->open();
    TRY(crew_open(&crew, t, 1));
    const enum status s = crew_equip(crew, e, t->size);
    if (s == OK) x->leader(e, x);
    for (int peer = 1; x->all_work && peer < t->size; peer++) /* more than that it is ready, twice */
        assert_true(t->received[peer * NET_PURPOSES + NET_CONTROL].bytes > 2 * sizeof(struct crew_report));
    const enum status closed = crew_close(crew);
    gptjt_engine_close(e);
    return s == OK ? closed : s;
}

static void run_crew(int n, struct scene *x)
{
    if (local_run(n, one_rank, x) != OK) fail_msg("%d ranks: %s", n, status_message());
}

/* ---- The law ---- */

static void compare_in_little_and_much_room(struct gptjt_engine *e, const struct scene *scene)
{
    struct mix x;
    struct gptjt_info info;
    mix_requests(&x, N, V, P);
    gptjt_engine_info(e, &info);
    struct gptjt_session *shared = open_session(e, 0);
    struct gptjt_batch *b;
    assert_true(info.n_ranks > 1 && info.n_ranks_here == info.n_ranks);
    assert_int_equal(gptjt_batch_open(&b, shared, NULL), GPTJT_E_UNSUPPORTED);
    gptjt_session_close(shared);
    for (int i = 0; i < 2; i++) {
        struct gptjt_session *s = open_session(e, i ? x.room : x.most);
        compare_on(s, &x, scene->truth);
        compare_on(s, &x, scene->truth);
        gptjt_session_close(s);
    }
}

static void shared_requests_have_the_bits_they_have_alone(void **state)
{
    (void)state;
    struct mix x;
    struct truth t;
    alone_on_micro(&x, &t);
    for (int n = 2; n <= 5; n++)
        run_crew(n, &(struct scene){
                        .leader = compare_in_little_and_much_room, .open = open_micro, .truth = &t, .all_work = true});
    free_truth(&t, &x);
}

/* ---- Stopping ---- */

static void stop_everywhere(struct gptjt_engine *e, const struct scene *scene)
{
    struct mix x;
    struct truth got;
    mix_requests(&x, N, V, P);
    struct gptjt_session *s = open_session(e, x.room);
    int n_stopped = 0;
    for (size_t n = 1;; n += n) {
        struct meter m = {.stop_at = n};
        memset(&got, 0, sizeof got);
        gptjt_session_set_progress(s, advance, &m);
        const enum gptjt_status scored = gptjt_score_many(s, x.score, N, got.scores);
        gptjt_session_set_progress(s, NULL, NULL);
        if (scored == GPTJT_OK) break;
        n_stopped++;
        assert_int_equal(scored, GPTJT_E_CANCELLED);
        assert_null(got.scores[0].logprobs);
        compare_on(s, &x, scene->truth);
    }
    gptjt_scores_free(got.scores, x.n_scores);
    assert_true(n_stopped > 2);
    gptjt_session_close(s);
}

static void a_call_stopped_anywhere_changes_no_later_answer(void **state)
{
    (void)state;
    struct mix x;
    struct truth t;
    alone_on_micro(&x, &t);
    run_crew(3, &(struct scene){.leader = stop_everywhere, .open = open_micro, .truth = &t});
    free_truth(&t, &x);
}

/* ---- Callbacks ---- */

struct shown {
    int n_tokens, stop_at;
    struct buf text;
};

static bool show(void *user, const struct gptjt_token *t)
{
    struct shown *w = user;
    buf_append(&w->text, t->text, t->text_len);
    return ++w->n_tokens != w->stop_at;
}

static struct gptjt_engine *open_tiny(void)
{
    struct gptjt_engine_options o;
    gptjt_engine_options_init(&o);
    o.threads = 1;
    return open_engine(TINY, &o);
}

static void tell_everybody(struct gptjt_engine *e, const struct scene *scene)
{
    (void)scene;
    enum { REQUESTS = 5 };
    static const char prompt[] = "Input: India\nOutput:";
    static const char *const stops[] = {"e"};
    struct gptjt_generate_request r[REQUESTS];
    struct gptjt_generation g[REQUESTS] = {0};
    struct shown shown[REQUESTS] = {0};
    int32_t *ids;
    size_t n;
    check(gptjt_encode(gptjt_engine_tokenizer(e), prompt, strlen(prompt), true, &ids, &n));
    struct gptjt_session *s = open_session(e, 2048);
    for (int i = 0; i < REQUESTS; i++) {
        gptjt_generate_init(&r[i]);
        r[i].prompt = ids;
        r[i].n_prompt = n;
        r[i].max_new_tokens = 4 + i;
        r[i].stop = stops;
        r[i].n_stop = i % 2;
        r[i].on_token = show;
        r[i].user = &shown[i];
    }
    check(gptjt_generate_many(s, r, REQUESTS, g));
    for (int i = 0; i < REQUESTS; i++) {
        const struct gptjt_completion *c = &g[i].completions[0];
        assert_int_equal(shown[i].n_tokens, c->n_tokens);
        assert_int_equal(shown[i].text.len, c->text_len);
        if (c->text_len) assert_memory_equal(shown[i].text.data, c->text, c->text_len);
        gptjt_generation_free(&g[i]);
        shown[i].stop_at = i == 4 ? shown[i].n_tokens + 2 : 0;
    }
    memset(g, 0, sizeof g);
    assert_int_equal(gptjt_generate_many(s, r, REQUESTS, g), GPTJT_E_CANCELLED);
    assert_null(g[0].completions);
    for (int i = 0; i < REQUESTS; i++)
        buf_free(&shown[i].text);
    gptjt_session_close(s);
    gptjt_free(ids);
}

static void callbacks_hear_of_what_others_have_done(void **state)
{
    (void)state;
    run_crew(3, &(struct scene){.leader = tell_everybody, .open = open_tiny});
}

/* ---- Failure ---- */

static struct gptjt_engine *open_poisoned(void)
{
    struct gptjt_engine_options o;
    gptjt_engine_options_init(&o);
    o.weights = GPTJT_WEIGHTS_FP32;
    o.threads = 1;
    struct gptjt_engine *e = open_engine(MICRO_A, &o);
    const struct weight *wte = &e->model->wte;
    ((float *)(uintptr_t)wte->data)[(size_t)(V - 1) * (size_t)wte->I] = NAN;
    return e;
}

static void name_the_poisoned(struct gptjt_engine *e, const struct scene *scene)
{
    (void)scene;
    struct truth t = {0};
    struct mix x;
    mix_requests(&x, N, V - 1, P);
    struct gptjt_session *s = open_session(e, x.room);
    for (size_t bad = 0; bad < N; bad += 5) { /* of several lengths, so that several ranks have it */
        mix_requests(&x, N, V - 1, P);
        const size_t end = x.generate[bad].n_prompt - 1;
        if (end < 10) continue; /* where others' continuations are */
        x.ids[bad][end] = V - 1;
        char named[64];
        snprintf(named, sizeof named, "request %zu: logit of token", bad);
        assert_int_equal(gptjt_score_many(s, x.score, N, t.scores), GPTJT_E_NUMERIC);
        assert_ptr_equal(strstr(gptjt_error(), named), gptjt_error());
        if (x.generate[bad].max_new_tokens == 0) continue;
        assert_int_equal(gptjt_generate_many(s, x.generate, N, t.generations), GPTJT_E_NUMERIC);
        assert_ptr_equal(strstr(gptjt_error(), named), gptjt_error());
    }
    mix_requests(&x, N, V - 1, P);
    check(gptjt_score_many(s, x.score, N, t.scores));
    gptjt_scores_free(t.scores, x.n_scores);
    gptjt_session_close(s);
}

static void a_request_that_fails_anywhere_is_named_as_alone(void **state)
{
    (void)state;
    run_crew(4, &(struct scene){.leader = name_the_poisoned, .open = open_poisoned});
}

static void expect_a_death(struct gptjt_engine *e, const struct scene *scene)
{
    (void)scene;
    struct truth t = {0};
    struct mix x;
    mix_requests(&x, N, V, P);
    struct gptjt_session *s = open_session(e, x.room);
    assert_int_equal(gptjt_score_many(s, x.score, N, t.scores), GPTJT_E_IO);
    assert_non_null(strstr(gptjt_error(), "rank 2 failed: the power is gone"));
    assert_null(t.scores[0].logprobs);
    gptjt_session_close(s);
}

static void a_helper_that_dies_is_named(void **state)
{
    (void)state;
    struct scene x = {.leader = expect_a_death, .open = open_micro, .dies = true};
    assert_int_equal(local_run(3, one_rank, &x), E_IO);
    assert_string_equal(status_message(), "rank 2 failed: the power is gone");
}

static enum status open_nothing(struct gptjt_engine **out, void *user)
{
    (void)user;
    *out = NULL;
    return fail(E_IO, "no model here");
}

static enum status open_ref(struct gptjt_engine **out, void *user)
{
    struct gptjt_engine_options o;
    (void)user;
    gptjt_engine_options_init(&o);
    o.cpu = "ref";
    *out = open_engine(MICRO_A, &o);
    return OK;
}

static enum status open_other_weights(struct gptjt_engine **out, void *user)
{
    (void)user;
    *out = open_poisoned();
    const struct weight *w = &(*out)->model->wte;
    for (int i = 0; i < V * w->I; i++)
        ((float *)(uintptr_t)w->data)[i] = (float)(i % 7);
    return OK;
}

static struct gptjt_engine *open_fp32(void)
{
    struct gptjt_engine *e = open_poisoned();
    const struct weight *wte = &e->model->wte;
    ((float *)(uintptr_t)wte->data)[(size_t)(V - 1) * (size_t)wte->I] = 0;
    return e;
}

static void never(struct gptjt_engine *e, const struct scene *scene)
{
    (void)e, (void)scene;
    fail_msg("a crew of ranks with different models");
}

static void a_helper_without_the_leaders_model_is_named(void **state)
{
    (void)state;
    static const struct {
        struct gptjt_engine *(*leader)(void);
        crew_open_fn *opens;
        const char *says;
    } cases[] = {
        {open_micro, open_nothing, "failed: no model here"},
        {open_micro_in_fp32, open_ref, "failed: this rank has \"cpu ref\", rank 0 has \"cpu "},
        {open_fp32, open_other_weights, "failed: this rank's model or kernels give other numbers than rank 0's"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct scene x = {.leader = never, .open = cases[i].leader, .helper_opens = cases[i].opens};
        assert_true(local_run(2, one_rank, &x) != OK);
        if (!strstr(status_message(), cases[i].says)) fail_msg("%zu: %s", i, status_message());
    }
}

static enum status lead_nobody(struct transport *t, void *user)
{
    struct crew *crew;
    if (t->rank > 0) return crew_help(t, open_nothing, user);
    TRY(crew_open(&crew, t, 1));
    return crew_close(crew);
}

static void a_crew_that_never_forms_goes_home(void **state)
{
    (void)state;
    assert_int_equal(local_run(3, lead_nobody, NULL), OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chunks_have_every_request_once_the_longest_first),
        cmocka_unit_test(what_generates_is_dealt_out_like_cards),
        cmocka_unit_test(shared_requests_have_the_bits_they_have_alone),
        cmocka_unit_test(a_call_stopped_anywhere_changes_no_later_answer),
        cmocka_unit_test(callbacks_hear_of_what_others_have_done),
        cmocka_unit_test(a_request_that_fails_anywhere_is_named_as_alone),
        cmocka_unit_test(a_helper_that_dies_is_named),
        cmocka_unit_test(a_helper_without_the_leaders_model_is_named),
        cmocka_unit_test(a_crew_that_never_forms_goes_home),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
