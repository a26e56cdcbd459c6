// SPDX-License-Identifier: Apache-2.0
/* The desk: who waits for the model, in which order they are served, and how work ends that nobody wants any more. */
#include <pthread.h>
#include <stdlib.h>

#include "mixed_requests.h"

#include "base/clock.h"
#include "server/desk.h"

enum { MOST_ITEMS = 8, TOKENS = 10 };

static const int32_t prompt[] = {1, 2, 3, 4};

/* The desk's thread stands still at the first token of a job that is held, until release_all(). */
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static bool held, stands;
static int n_over; /* jobs; each one's place is what it was before */

struct work {
    struct gptjt_generate_request request;
    struct desk_item items[MOST_ITEMS];
    struct desk_job job;
    bool holds, keeps_deadline;
    int n_tokens, place; /* -1: not over */
};

static bool on_token(void *user, const struct gptjt_token *t)
{
    struct work *w = user;
    (void)t;
    w->n_tokens++;
    w->items[0].begun = true;
    pthread_mutex_lock(&mutex);
    while (w->holds && held) {
        stands = true;
        pthread_cond_broadcast(&changed);
        pthread_cond_wait(&changed, &mutex);
    }
    pthread_mutex_unlock(&mutex);
    return !(w->keeps_deadline && desk_job_late(&w->job));
}

static void ended(struct desk_job *job)
{
    struct work *w = job->user;
    pthread_mutex_lock(&mutex);
    w->place = n_over++;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&mutex);
}

static void hold_all(void)
{
    held = true;
    stands = false;
}

static void release_all(void)
{
    pthread_mutex_lock(&mutex);
    held = false;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&mutex);
}

static void wait_until_it_stands(void)
{
    pthread_mutex_lock(&mutex);
    while (!stands)
        pthread_cond_wait(&changed, &mutex);
    pthread_mutex_unlock(&mutex);
}

static void wait_until_over(const struct work *w)
{
    pthread_mutex_lock(&mutex);
    while (w->place < 0)
        pthread_cond_wait(&changed, &mutex);
    pthread_mutex_unlock(&mutex);
}

static void make(struct work *w, const char *client, int n_items, int n_tokens)
{
    *w = (struct work){.place = -1};
    gptjt_generate_init(&w->request);
    w->request.prompt = prompt;
    w->request.n_prompt = 4;
    w->request.max_new_tokens = n_tokens;
    w->request.on_token = on_token;
    w->request.user = w;
    for (int i = 0; i < n_items; i++)
        w->items[i].generate = &w->request;
    w->job = (struct desk_job){
        .client = client, .items = w->items, .n_items = (size_t)n_items, .ended = ended, .user = w};
}

static struct gptjt_engine *engine;

static int set_up(void **state)
{
    (void)state;
    struct gptjt_engine_options o;
    gptjt_engine_options_init(&o);
    o.threads = 1;
    engine = open_engine(MICRO_A, &o);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    gptjt_engine_close(engine);
    return 0;
}

static struct desk *open_desk(size_t most_running)
{
    const struct desk_options o = {.max_tokens = 1024,
                                   .most_waiting = 12,
                                   .most_waiting_each = 9,
                                   .most_running = most_running,
                                   .longest_stall_s = 0.5};
    struct desk *d;
    n_over = 0;
    assert_int_equal(desk_open(&d, engine, &o), OK);
    return d;
}

static void submit(struct desk *d, struct work *w)
{
    if (desk_submit(d, &w->job) != OK) fail_msg("%s", status_message());
}

static void clients_take_turns(void **state)
{
    (void)state;
    struct desk *d = open_desk(1);
    struct work first, greedy, late, second;
    make(&first, "first", 1, TOKENS);
    make(&greedy, "greedy", 6, TOKENS);
    make(&late, "greedy", 1, TOKENS);
    make(&second, "second", 2, TOKENS);
    first.holds = true;
    hold_all();
    submit(d, &first);
    wait_until_it_stands();
    submit(d, &greedy);
    submit(d, &late);
    submit(d, &second);
    release_all();
    wait_until_over(&late);
    wait_until_over(&greedy);
    desk_close(d);
    assert_int_equal(first.place, 0);
    assert_int_equal(second.place, 1); /* two of its turns against six before it, in a queue */
    assert_int_equal(greedy.place, 2);
    assert_int_equal(late.place, 3);
    assert_int_equal(greedy.n_tokens, 6 * TOKENS);
}

static void what_is_too_much_is_refused(void **state)
{
    (void)state;
    struct desk *d = open_desk(1);
    struct work first, a, b, c;
    make(&first, "first", 1, TOKENS);
    first.holds = true;
    hold_all();
    submit(d, &first);
    wait_until_it_stands();
    make(&a, "a", 8, TOKENS);
    submit(d, &a);
    make(&b, "a", 2, TOKENS);
    assert_int_equal(desk_submit(d, &b.job), E_LIMIT);
    assert_string_equal(status_message(), "8 of your requests are waiting already; try again later");
    make(&b, "b", 5, TOKENS);
    assert_int_equal(desk_submit(d, &b.job), E_LIMIT);
    assert_string_equal(status_message(), "8 requests are waiting already; try again later");
    make(&c, "b", 4, TOKENS);
    submit(d, &c);
    struct desk_state state_now;
    desk_state(d, &state_now);
    assert_int_equal(state_now.waiting, 12);
    assert_int_equal(state_now.jobs, 3);
    release_all();
    wait_until_over(&a);
    wait_until_over(&c);
    desk_state(d, &state_now);
    assert_int_equal(state_now.waiting, 0);
    desk_close(d);
}

static void cancelled_jobs_end_wherever_they_are(void **state)
{
    (void)state;
    struct desk *d = open_desk(1);
    struct work running, waiting, half, other;
    make(&running, "a", 1, 100);
    make(&waiting, "b", 3, TOKENS);
    make(&half, "a", 3, 100);
    make(&other, "c", 1, TOKENS);
    running.holds = true;
    hold_all();
    submit(d, &running);
    wait_until_it_stands();
    submit(d, &waiting);
    submit(d, &half);
    submit(d, &other);
    desk_cancel(d, &waiting.job);
    desk_cancel(d, &running.job);
    desk_cancel(d, &half.job);
    release_all();
    wait_until_over(&running);
    wait_until_over(&waiting);
    wait_until_over(&half);
    wait_until_over(&other);
    assert_int_equal(running.items[0].status, E_CANCELLED);
    assert_true(running.n_tokens < 100);
    for (int i = 0; i < 3; i++)
        assert_int_equal(waiting.items[i].status, E_CANCELLED);
    assert_int_equal(waiting.n_tokens, 0);
    assert_false(waiting.job.late);
    assert_int_equal(other.items[0].status, OK);
    assert_int_equal(other.n_tokens, TOKENS);
    desk_cancel(d, &other.job); /* over: nothing happens */
    desk_close(d);
}

static void deadlines_end_what_has_not_begun(void **state)
{
    (void)state;
    struct desk *d = open_desk(1);
    struct work running, waiting;
    make(&running, "a", 1, TOKENS);
    make(&waiting, "b", 2, TOKENS);
    running.holds = true;
    waiting.job.deadline_ns = clock_ns() + 1000;
    hold_all();
    submit(d, &running);
    wait_until_it_stands();
    submit(d, &waiting);
    release_all();
    wait_until_over(&waiting);
    wait_until_over(&running);
    assert_true(waiting.job.late && !running.job.late);
    assert_int_equal(waiting.items[0].status, E_CANCELLED);
    assert_int_equal(waiting.items[1].status, E_CANCELLED);
    assert_int_equal(waiting.n_tokens, 0);
    assert_int_equal(running.items[0].status, OK);
    desk_close(d);
}

static void hurry_makes_everybody_late(void **state)
{
    (void)state;
    struct desk *d = open_desk(4);
    struct work running, waiting;
    make(&running, "a", 1, 100);
    make(&waiting, "b", 6, TOKENS);
    running.holds = running.keeps_deadline = true;
    hold_all();
    submit(d, &running);
    wait_until_it_stands();
    submit(d, &waiting);
    desk_hurry(d);
    release_all();
    wait_until_over(&running);
    wait_until_over(&waiting);
    assert_true(waiting.job.late);
    assert_int_equal(waiting.items[5].status, E_CANCELLED);
    assert_int_equal(running.items[0].status, E_CANCELLED);
    assert_int_equal(running.n_tokens, 1);
    desk_close(d);
}

static void closing_ends_all(void **state)
{
    (void)state;
    struct desk *d = open_desk(1);
    struct work running, waiting;
    make(&running, "a", 1, 100);
    make(&waiting, "b", 6, TOKENS);
    running.holds = true;
    hold_all();
    submit(d, &running);
    wait_until_it_stands();
    submit(d, &waiting);
    release_all();
    desk_close(d);
    assert_true(running.place >= 0 && waiting.place >= 0);
}

static void what_the_engine_refuses_fails_alone(void **state)
{
    (void)state;
    static const int32_t outside[] = {100000};
    struct desk *d = open_desk(4);
    struct work bad, good;
    make(&bad, "a", 1, TOKENS);
    bad.request.prompt = outside;
    bad.request.n_prompt = 1;
    make(&good, "b", 1, TOKENS);
    submit(d, &bad);
    submit(d, &good);
    wait_until_over(&bad);
    wait_until_over(&good);
    assert_int_equal(bad.items[0].status, E_ARG);
    assert_non_null(strstr(bad.items[0].message, "100000"));
    assert_int_equal(good.items[0].status, OK);
    desk_close(d);
}

static void scores_are_the_engines(void **state)
{
    (void)state;
    static const int32_t yes[] = {5, 6}, no[] = {7};
    static const struct gptjt_span continuations[] = {{yes, 2}, {no, 1}};
    const struct gptjt_score_request request = {.prompt = {prompt, 4}, .continuations = continuations, .n = 2};
    struct gptjt_score truth[2];
    struct gptjt_session *s;
    check(gptjt_session_create(&s, engine, 0));
    check(gptjt_score(s, request.prompt, GPTJT_MASK_AUTO, continuations, 2, truth));
    struct desk *d = open_desk(4);
    struct work w;
    make(&w, "a", 1, TOKENS);
    w.items[0] = (struct desk_item){.score = &request};
    submit(d, &w);
    wait_until_over(&w);
    assert_int_equal(w.items[0].status, OK);
    for (int i = 0; i < 2; i++)
        assert_true(w.items[0].scores[i].total == truth[i].total);
    gptjt_scores_free(w.items[0].scores, 2);
    free(w.items[0].scores);
    gptjt_scores_free(truth, 2);
    gptjt_session_close(s);
    desk_close(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(clients_take_turns),
        cmocka_unit_test(what_is_too_much_is_refused),
        cmocka_unit_test(cancelled_jobs_end_wherever_they_are),
        cmocka_unit_test(deadlines_end_what_has_not_begun),
        cmocka_unit_test(hurry_makes_everybody_late),
        cmocka_unit_test(closing_ends_all),
        cmocka_unit_test(what_the_engine_refuses_fails_alone),
        cmocka_unit_test(scores_are_the_engines),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
