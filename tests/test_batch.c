// SPDX-License-Identifier: Apache-2.0
/* Batches: every result has the bits that the request has alone, whenever it came, whatever ran beside it, was put down
 * or cancelled; nobody waits longer than promised; and what callbacks may do. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "mixed_requests.h"

#include "engine/batch.h"

enum { V = 500, P = 128, LAYERS = 3 }; /* of MICRO_A */

static struct gptjt_engine *open_micro(void)
{
    struct gptjt_engine_options o;
    gptjt_engine_options_init(&o);
    o.threads = 1;
    return open_engine(MICRO_A, &o);
}

static struct gptjt_batch *open_batch(struct gptjt_session *s, double longest_stall_s)
{
    const struct gptjt_batch_options o = {longest_stall_s};
    struct gptjt_batch *b;
    check(gptjt_batch_open(&b, s, &o));
    return b;
}

static void close_batch(struct gptjt_batch *b, struct gptjt_session *s)
{
    gptjt_batch_close(b);
    session_forget(s);
    assert_int_equal(s->kv->n_free, s->kv->n_pages);
    gptjt_session_close(s);
}

/* ---- Who asks ---- */

/* A request of a mix and what became of it. */
struct client {
    const struct mix *x;
    size_t i;
    bool scores;
    uint64_t id;
    int ended;
    enum gptjt_status status;
    char message[200];
    struct gptjt_generation generation;
    struct gptjt_score score[MOST];
};

static void end(struct client *c, uint64_t id, enum gptjt_status status)
{
    assert_int_equal(id, c->id);
    c->ended++;
    c->status = status;
    if (status != GPTJT_OK) snprintf(c->message, sizeof c->message, "%s", gptjt_error());
}

static void generated(void *user, uint64_t id, enum gptjt_status status, struct gptjt_generation *g)
{
    struct client *c = user;
    end(c, id, status);
    assert_true(!g == (status != GPTJT_OK));
    if (g) c->generation = *g;
}

static void scored(void *user, uint64_t id, enum gptjt_status status, struct gptjt_score *scores, size_t n)
{
    struct client *c = user;
    end(c, id, status);
    assert_true(!scores == (status != GPTJT_OK));
    assert_int_equal(n, scores ? c->x->score[c->i].n : 0);
    for (size_t k = 0; k < n; k++)
        c->score[k] = scores[k];
}

static void ask(struct gptjt_batch *b, struct client *c)
{
    if (c->scores)
        check(gptjt_batch_score(b, &c->x->score[c->i], scored, c, &c->id));
    else
        check(gptjt_batch_generate(b, &c->x->generate[c->i], generated, c, &c->id));
}

static void compare(const struct client *c, const struct truth *t)
{
    assert_int_equal(c->ended, 1);
    if (c->status != GPTJT_OK) fail_msg("status %d: %s", (int)c->status, c->message);
    if (!c->scores) {
        same_generation(&c->generation, &t->generations[c->i]);
        return;
    }
    size_t at = 0;
    for (size_t i = 0; i < c->i; i++)
        at += c->x->score[i].n;
    same_scores(c->score, t->scores + at, c->x->score[c->i].n);
}

static void drop(struct client *c)
{
    if (c->status == GPTJT_OK && c->scores) gptjt_scores_free(c->score, c->x->score[c->i].n);
    if (c->status == GPTJT_OK && !c->scores) gptjt_generation_free(&c->generation);
}

static void run(struct gptjt_batch *b)
{
    int turns = 0;
    while (gptjt_batch_step(b))
        assert_true(turns++ < 100000);
}

/* ---- The law ---- */

enum { CLIENTS = 2 * N };

/* All of x's requests in a random order, a few between any two steps; some are cancelled before long. Returns how many.
 */
static int come_and_go(struct gptjt_batch *b, const struct mix *x, const struct truth *t, uint64_t seed)
{
    struct client *c = calloc(CLIENTS, sizeof *c);
    bool cancelled[CLIENTS] = {false};
    size_t order[CLIENTS], n = 0;
    int n_cancelled = 0;
    for (size_t i = 0; i < CLIENTS; i++) {
        const size_t k = draw(seed, i, i + 1);
        order[i] = order[k];
        order[k] = i;
        c[i] = (struct client){.x = x, .i = i / 2, .scores = i % 2};
    }
    for (uint64_t step = 0; n < CLIENTS || !scheduler_idle(&b->scheduler); step++) {
        for (size_t more = draw(seed, 1000 + step, 3); more > 0 && n < CLIENTS; more--)
            ask(b, &c[order[n++]]);
        gptjt_batch_step(b);
        if (n == 0 || draw(seed, 5000 + step, 6)) continue;
        const size_t k = order[draw(seed, 9000 + step, n)];
        if (c[k].ended) continue;
        cancelled[k] = true;
        n_cancelled++;
        assert_true(gptjt_batch_cancel(b, c[k].id));
        assert_int_equal(c[k].ended, 1);
        assert_false(gptjt_batch_cancel(b, c[k].id));
    }
    for (size_t i = 0; i < CLIENTS; i++) {
        if (cancelled[i])
            assert_int_equal(c[i].status, GPTJT_E_CANCELLED);
        else
            compare(&c[i], t);
        drop(&c[i]);
    }
    free(c);
    return n_cancelled;
}

static void whoever_comes_whenever_has_the_bits_it_has_alone(void **state)
{
    (void)state;
    static const double bounds[] = {1e-9, 1e-4, 3600}; /* put down after every block, sometimes, never */
    struct gptjt_engine *e = open_micro();
    struct truth t;
    struct mix x;
    mix_requests(&x, N, V, P);
    alone(e, &x, &t);
    for (size_t i = 0; i < sizeof bounds / sizeof *bounds; i++) {
        int n_cancelled = 0;
        for (int k = 0; k < 3; k++) {
            struct gptjt_session *s = open_session(e, k == 0 ? x.most : x.room / (k == 1 ? 3 : 1));
            struct gptjt_batch *b = open_batch(s, bounds[i]);
            n_cancelled += come_and_go(b, &x, &t, 10 * i + (uint64_t)k);
            n_cancelled += come_and_go(b, &x, &t, 100 + i);
            close_batch(b, s);
        }
        assert_true(n_cancelled > 3); /* or it was not tried */
    }
    free_truth(&t, &x);
    gptjt_engine_close(e);
}

/* ---- Waiting, in the time of a clock that goes on by the rows of every block ---- */

static int64_t ticks;
static const struct ops_table *real;

static int64_t now(void)
{
    return ticks;
}

static void tick_store(struct ops *o, const struct kv_pages *kv, const float *k, const float *v,
                       const struct batch *batch, int first, int T, int H, int K)
{
    ticks += T;
    real->kv_store(o, kv, k, v, batch, first, T, H, K);
}

static void tick_attention(struct ops *o, float *y, float *lse, const float *q, const struct kv_pages *kv,
                           const struct batch *batch, int first, int T, int H, int K)
{
    ticks += T;
    real->attention(o, y, lse, q, kv, batch, first, T, H, K);
}

static struct gptjt_engine *open_ticking(struct ops_table *table)
{
    struct gptjt_engine *e = open_micro();
    assert_ptr_equal(e->ops, e->model->ops);
    real = e->ops->fn;
    *table = *real;
    table->kv_store = tick_store;
    table->attention = tick_attention;
    e->ops->fn = table;
    return e;
}

static void close_ticking(struct gptjt_engine *e)
{
    e->ops->fn = real;
    gptjt_engine_close(e);
}

/* A batch with a bound in ticks. */
static struct gptjt_batch *open_with_clock(struct gptjt_session *s, int64_t bound)
{
    struct gptjt_batch *b = open_batch(s, (double)bound * 1e-9);
    assert_true(b->scheduler.bound == bound);
    b->scheduler.clock = now;
    return b;
}

/* A running answer that notes how long it waits for each token after its first. */
struct listener {
    int64_t last, longest;
    int n_tokens;
    bool ended;
};

static bool listen_to(void *user, const struct gptjt_token *t)
{
    struct listener *l = user;
    assert_int_equal(t->index, l->n_tokens++);
    if (t->index > 0 && ticks - l->last > l->longest) l->longest = ticks - l->last;
    l->last = ticks;
    return true;
}

static void stop_listening(void *user, uint64_t id, enum gptjt_status status, struct gptjt_generation *g)
{
    struct listener *l = user;
    (void)id;
    assert_int_equal(status, GPTJT_OK);
    l->ended = true;
    gptjt_generation_free(g);
}

static void ask_for_text(struct gptjt_batch *b, struct listener *l, const int32_t *ids, size_t n, int n_new)
{
    static const struct gptjt_bias never_ends = {499, -1e6F}; /* no end-of-text */
    struct gptjt_generate_request r;
    gptjt_generate_init(&r);
    r.prompt = ids;
    r.n_prompt = n;
    r.max_new_tokens = n_new;
    r.do_sample = true;
    r.logit_bias = &never_ends;
    r.n_logit_bias = 1;
    r.on_token = listen_to;
    r.user = l;
    check(gptjt_batch_generate(b, &r, stop_listening, l, NULL));
}

/* A row goes through 2 blocks a layer; of a prompt's all but the last row through one in the last layer. */
enum { ROW = 2 * LAYERS, LONG = 120, LONG_PASS = (LONG - 1) * (ROW - 1) + ROW };

/* Three answers run while long prompts come one after the other. Returns the longest any of them waited. */
static int64_t longest_wait(struct gptjt_engine *e, int64_t bound, int n_long, int *n_steps)
{
    int32_t ids[8][LONG];
    struct listener runs[3] = {{0}}, waits[8] = {{0}};
    struct gptjt_session *s = open_session(e, 4096);
    struct gptjt_batch *b = open_with_clock(s, bound);
    for (int i = 0; i < 8; i++)
        fill_prompt(ids[i], LONG, V - 1, 2 + 3 * (unsigned)i); /* nothing in common */
    for (int i = 0; i < 3; i++)
        ask_for_text(b, &runs[i], ids[i], 5, 110);
    while (runs[2].n_tokens < 2)
        assert_true(gptjt_batch_step(b));
    const int before = runs[0].n_tokens;
    for (int i = 0; i < n_long; i++)
        ask_for_text(b, &waits[i], ids[i], LONG, 1);
    for (int i = 0; i < 3; i++)
        runs[i].longest = 0;
    while (!waits[n_long - 1].ended)
        assert_true(gptjt_batch_step(b));
    *n_steps = runs[0].n_tokens - before;
    run(b);
    int64_t longest = 0;
    for (int i = 0; i < 3; i++)
        longest = runs[i].longest > longest ? runs[i].longest : longest;
    close_batch(b, s);
    return longest;
}

static void running_answers_wait_no_longer_than_the_bound_and_a_block(void **state)
{
    (void)state;
    enum { ANSWERS = 3 * ROW };
    struct ops_table table;
    struct gptjt_engine *e = open_ticking(&table);
    int n_steps;
    /* Without a bound they wait for a prompt's whole pass, and with one that this is longer than by more than a block
     * they would, too, if it were not put down. */
    assert_true(longest_wait(e, 1000000, 1, &n_steps) >= LONG_PASS);
    for (int64_t bound = 1; bound + LONG + ANSWERS < LONG_PASS; bound += 77) {
        const int64_t longest = longest_wait(e, bound, 4, &n_steps);
        if (longest > bound + LONG + ANSWERS) fail_msg("bound %d, waited for %d", (int)bound, (int)longest);
        /* Nor do prompts starve: a slice is a block and more, and at least the bound long. */
        const int slices = (int)(LONG_PASS / bound) + 1, blocks = ROW + 2;
        assert_true(n_steps <= 4 * (1 + (slices < blocks ? slices : blocks)));
        assert_true(n_steps >= 4);
    }
    close_ticking(e);
}

/* Short prompts and continuations to be scored go with the answers' steps, whatever else is under way. */
static void short_requests_go_with_the_steps_of_others(void **state)
{
    (void)state;
    enum { BOUND = LONG + 10 }; /* a little more than a block of the long prompt */
    struct ops_table table;
    struct gptjt_engine *e = open_ticking(&table);
    struct mix *x = malloc(sizeof *x);
    mix_requests(x, N, V - 1, P);
    struct gptjt_session *s = open_session(e, 8192);
    struct gptjt_batch *b = open_with_clock(s, BOUND);
    struct listener answer = {0}, prompt = {0}, other = {0}, brief = {0};
    struct client scores = {.x = x, .i = 11, .scores = true};
    int32_t ids[3][LONG];
    for (unsigned i = 0; i < 3; i++)
        fill_prompt(ids[i], LONG, V - 1, 2 + 3 * i);
    x->score[11].prompt.n = 8;
    x->score[11].n = 2;
    ask_for_text(b, &answer, ids[0], 40, 80); /* and a row's time is known */
    while (answer.n_tokens < 2)
        assert_true(gptjt_batch_step(b));
    ask_for_text(b, &prompt, ids[1], LONG, 1);
    while (!b->scheduler.under_way)
        assert_true(gptjt_batch_step(b));
    ask_for_text(b, &brief, ids[2], 10, 3);
    ask(b, &scores);
    ask_for_text(b, &other, ids[2], LONG, 1);
    assert_false(prompt.ended);
    answer.longest = 0;
    bool brief_began = false, scored_early = false;
    while (!prompt.ended) {
        assert_true(gptjt_batch_step(b));
        brief_began |= brief.n_tokens > 0 && !prompt.ended;
        scored_early |= scores.ended && !prompt.ended;
    }
    assert_true(brief_began && scored_early && !other.ended);
    run(b);
    assert_true(other.ended);
    /* Besides its own step and that of the brief one: a row each at least, and 16 in any case. */
    assert_true(answer.longest <= BOUND + LONG + 2 * ROW + 16 * ROW);
    drop(&scores);
    free(x);
    close_batch(b, s);
    close_ticking(e);
}

/* ---- Cancelling ---- */

/* Steps until the prompt of the only request is under way. */
static void begin_a_pass(struct gptjt_batch *b)
{
    assert_true(gptjt_batch_step(b));
    assert_true(b->scheduler.under_way);
}

static size_t tokens_free(const struct gptjt_batch *b)
{
    struct gptjt_batch_state st;
    gptjt_batch_state(b, &st);
    return st.tokens_free;
}

static void a_prompt_cancelled_half_way_gives_its_room_back(void **state)
{
    (void)state;
    struct gptjt_engine *e = open_micro();
    struct truth t;
    struct mix x;
    mix_requests(&x, N, V, P);
    alone(e, &x, &t);
    struct gptjt_session *s = open_session(e, x.room);
    struct gptjt_batch *b = open_batch(s, 1e-9);
    struct client c[5] = {
        {.x = &x, .i = 7}, {.x = &x, .i = 7}, {.x = &x, .i = 0}, {.x = &x, .i = 3}, {.x = &x, .i = 3}};
    const size_t room = tokens_free(b);
    /* Alone, after each number of blocks. */
    for (int blocks = 1; blocks < 2 * LAYERS; blocks++) {
        struct client one = c[0];
        ask(b, &one);
        for (int i = 0; i < blocks; i++)
            begin_a_pass(b);
        assert_true(tokens_free(b) < room);
        assert_true(gptjt_batch_cancel(b, one.id));
        assert_int_equal(one.status, GPTJT_E_CANCELLED);
        assert_int_equal(tokens_free(b), room);
        assert_false(gptjt_batch_step(b));
    }
    /* With others in its pass, of whom one shares pages that it computes: they go on. */
    for (int i = 0; i < 4; i++)
        ask(b, &c[i]);
    begin_a_pass(b);
    assert_true(gptjt_batch_cancel(b, c[2].id)); /* of 0 and 3, who are the same */
    assert_true(gptjt_batch_cancel(b, c[0].id));
    ask(b, &c[4]);
    run(b);
    assert_int_equal(c[0].status, GPTJT_E_CANCELLED);
    assert_int_equal(c[2].status, GPTJT_E_CANCELLED);
    compare(&c[1], &t);
    compare(&c[3], &t);
    compare(&c[4], &t);
    for (int i = 0; i < 5; i++)
        drop(&c[i]);
    assert_int_equal(tokens_free(b), room);
    free_truth(&t, &x);
    close_batch(b, s);
    gptjt_engine_close(e);
}

static void closing_ends_all_that_are_left(void **state)
{
    (void)state;
    struct gptjt_engine *e = open_micro();
    struct mix x;
    mix_requests(&x, N, V, P);
    for (int steps = 0; steps < 12; steps += 3) {
        struct client *c = calloc(CLIENTS, sizeof *c);
        struct gptjt_session *s = open_session(e, x.room / 2);
        struct gptjt_batch *b = open_batch(s, 1e-9);
        for (size_t i = 0; i < CLIENTS; i++) {
            c[i] = (struct client){.x = &x, .i = i / 2, .scores = i % 2};
            ask(b, &c[i]);
        }
        for (int i = 0; i < steps; i++)
            assert_true(gptjt_batch_step(b));
        close_batch(b, s);
        for (size_t i = 0; i < CLIENTS; i++) {
            assert_int_equal(c[i].ended, 1);
            assert_true(c[i].status == GPTJT_OK || c[i].status == GPTJT_E_CANCELLED);
            drop(&c[i]);
        }
        free(c);
    }
    gptjt_batch_close(NULL);
    gptjt_engine_close(e);
}

/* ---- Callbacks ---- */

/* At its third token (of its first sequence) adds a request; at its fourth, cancels one that runs, one that waits and,
 * perhaps, itself. */
struct meddler {
    struct gptjt_batch *b;
    struct client own, added, running, waiting;
    bool cancels_itself, says_no;
    int n_tokens;
};

static bool meddle(void *user, const struct gptjt_token *t)
{
    struct meddler *m = user;
    assert_int_equal(m->own.ended, 0);
    m->n_tokens++;
    if (t->sequence > 0) return true;
    if (t->index == 2) ask(m->b, &m->added);
    if (t->index != 3) return true;
    assert_true(gptjt_batch_cancel(m->b, m->running.id));
    assert_int_equal(m->running.ended, 1);
    assert_true(gptjt_batch_cancel(m->b, m->waiting.id));
    if (m->cancels_itself) {
        assert_true(gptjt_batch_cancel(m->b, m->own.id));
        assert_int_equal(m->own.ended, 1);
        assert_false(gptjt_batch_cancel(m->b, m->own.id));
    }
    return !m->says_no;
}

static void callbacks_may_add_and_cancel(void **state)
{
    (void)state;
    struct gptjt_engine *e = open_micro();
    struct truth t;
    struct mix x;
    mix_requests(&x, N, V, P);
    for (int i = 0; i < 2; i++) { /* two that run side by side, one of them with several sequences */
        x.generate[i].n_prompt = 9;
        x.generate[i].n_scored = 0;
        x.generate[i].max_new_tokens = 9;
    }
    x.generate[7].n_prompt = 110;
    x.generate[7].max_new_tokens = 9;
    alone(e, &x, &t);
    for (int way = 0; way < 12; way++) {
        /* Room for the two, not for the one that waits. */
        struct gptjt_session *s = open_session(e, gptjt_tokens_needed(9, 3, 9) + gptjt_tokens_needed(9, 1, 9));
        struct meddler m = {.own = {.x = &x, .i = (size_t)way % 2},
                            .added = {.x = &x, .i = 12},
                            .running = {.x = &x, .i = 1 - (size_t)way % 2},
                            .waiting = {.x = &x, .i = 7},
                            .cancels_itself = way / 2 % 2,
                            .says_no = way / 4 == 1};
        struct gptjt_generate_request *r = &x.generate[way % 2];
        m.b = open_batch(s, way < 8 ? 3600 : 1e-9);
        r->on_token = meddle;
        r->user = &m;
        if (way / 4 % 2) ask(m.b, &m.running); /* before it in the list, or after it */
        ask(m.b, &m.own);
        if (way / 4 % 2 == 0) ask(m.b, &m.running);
        ask(m.b, &m.waiting);
        run(m.b);
        r->on_token = NULL;
        assert_int_equal(m.own.ended, 1);
        if (m.cancels_itself || m.says_no)
            assert_int_equal(m.own.status, GPTJT_E_CANCELLED);
        else
            compare(&m.own, &t);
        assert_int_equal(m.running.status, GPTJT_E_CANCELLED);
        assert_int_equal(m.waiting.status, GPTJT_E_CANCELLED);
        compare(&m.added, &t);
        drop(&m.own);
        drop(&m.added);
        close_batch(m.b, s);
    }
    free_truth(&t, &x);
    gptjt_engine_close(e);
}

/* Cancels itself in the n-th callback, and is not called again. */
struct quitter {
    struct gptjt_batch *b;
    struct client own;
    int left;
};

static bool quit(struct quitter *q)
{
    assert_int_equal(q->own.ended, 0);
    if (--q->left == 0) assert_true(gptjt_batch_cancel(q->b, q->own.id));
    return true;
}

static bool quit_at_prompt(void *user, size_t n_scored, const float *logprobs, const struct gptjt_top *top)
{
    (void)n_scored, (void)logprobs, (void)top;
    return quit(user);
}

static bool quit_at_token(void *user, const struct gptjt_token *t)
{
    (void)t;
    return quit(user);
}

static void one_that_cancels_itself_hears_no_more(void **state)
{
    (void)state;
    struct gptjt_engine *e = open_micro();
    struct gptjt_session *s = open_session(e, 4096);
    struct mix x;
    mix_requests(&x, N, V, P);
    struct quitter q = {.b = open_batch(s, 1e-9)};
    x.generate[1].num_return_sequences = 3; /* whose first tokens are all chosen at once */
    x.generate[1].on_prompt = quit_at_prompt;
    x.generate[1].on_token = quit_at_token;
    x.generate[1].user = &q;
    for (int n = 1; n <= 6; n++) {
        q.own = (struct client){.x = &x, .i = 1};
        q.left = n;
        ask(q.b, &q.own);
        run(q.b);
        assert_int_equal(q.left, 0);
        assert_int_equal(q.own.status, GPTJT_E_CANCELLED);
    }
    close_batch(q.b, s);
    gptjt_engine_close(e);
}

/* Every end adds another request, until there have been many. */
struct chain {
    struct gptjt_batch *b;
    struct gptjt_generate_request r;
    int left;
};

static void add_another(void *user, uint64_t id, enum gptjt_status status, struct gptjt_generation *g)
{
    struct chain *c = user;
    uint64_t next;
    assert_int_equal(status, GPTJT_OK);
    gptjt_generation_free(g);
    if (--c->left == 0) return;
    check(gptjt_batch_generate(c->b, &c->r, add_another, c, &next));
    assert_int_equal(next, id + 1);
}

static void what_ends_may_be_followed_by_another(void **state)
{
    (void)state;
    static const int32_t ids[] = {1, 2, 3};
    struct gptjt_engine *e = open_micro();
    struct gptjt_session *s = open_session(e, 0);
    struct chain c = {.b = open_batch(s, 1), .left = 50};
    struct gptjt_batch_state st;
    gptjt_generate_init(&c.r);
    c.r.prompt = ids;
    c.r.n_prompt = 3;
    for (c.r.max_new_tokens = 0; c.r.max_new_tokens < 3; c.r.max_new_tokens++) {
        c.left = 50;
        check(gptjt_batch_generate(c.b, &c.r, add_another, &c, NULL));
        run(c.b);
        assert_int_equal(c.left, 0);
    }
    gptjt_batch_state(c.b, &st);
    assert_int_equal(st.n_done, 150);
    assert_int_equal(st.new_tokens, 50 * 1 + 50 * 2);
    assert_int_equal(st.prompt_tokens + st.reused_tokens, 100 * 3);
    assert_int_equal(st.n_waiting + st.n_running + st.n_sequences, 0);
    assert_int_equal(st.tokens_free, st.tokens_all);
    close_batch(c.b, s);
    gptjt_engine_close(e);
}

/* ---- Failing ---- */

static void one_that_fails_fails_alone(void **state)
{
    (void)state;
    struct gptjt_engine_options o;
    gptjt_engine_options_init(&o);
    o.weights = GPTJT_WEIGHTS_FP32;
    struct gptjt_engine *e = open_engine(MICRO_A, &o);
    const struct weight *wte = &e->model->wte;
    for (int i = 0; i < wte->I; i++)
        ((float *)(uintptr_t)wte->data)[499 * wte->I + i] = NAN;
    struct truth t;
    struct mix x;
    mix_requests(&x, N, 499, P);
    alone(e, &x, &t);
    struct gptjt_session *s = open_session(e, x.room / 2);
    for (int i = 0; i < 2; i++) {
        struct gptjt_batch *b = open_batch(s, i ? 1e-9 : 3600);
        struct client *c = calloc(CLIENTS + 2, sizeof *c);
        static int32_t poison[] = {3, 4, 499, 5};
        struct mix bad = x;
        for (size_t k = 0; k < 2; k++) {
            bad.generate[k] = x.generate[1];
            bad.generate[k].prompt = poison + (k ? 0 : 1);
            bad.generate[k].n_prompt = 3;
            bad.generate[k].n_scored = k;
            bad.score[k].prompt = (struct gptjt_span){poison, 4 - k};
        }
        for (size_t k = 0; k < CLIENTS; k++) {
            c[k] = (struct client){.x = &x, .i = k / 2, .scores = k % 2};
            if (k == 9 || k == 20) {
                c[CLIENTS + k / 20] = (struct client){.x = &bad, .i = k / 20, .scores = k == 20};
                ask(b, &c[CLIENTS + k / 20]);
            }
            ask(b, &c[k]);
        }
        run(b);
        for (size_t k = 0; k < CLIENTS; k++) {
            compare(&c[k], &t);
            drop(&c[k]);
        }
        for (size_t k = CLIENTS; k < CLIENTS + 2; k++) {
            assert_int_equal(c[k].ended, 1);
            assert_int_equal(c[k].status, GPTJT_E_NUMERIC);
            assert_non_null(strstr(c[k].message, "logit of token"));
        }
        free(c);
        gptjt_batch_close(b);
    }
    free_truth(&t, &x);
    gptjt_session_close(s);
    gptjt_engine_close(e);
}

static void what_cannot_be_served_is_refused_at_once(void **state)
{
    (void)state;
    static const int32_t ids[] = {1, 2, 3};
    static const double bounds[] = {0, -1, 3601, NAN};
    struct gptjt_engine *e = open_micro();
    struct gptjt_session *s = open_session(e, 256);
    struct gptjt_batch *b, *second;
    struct gptjt_generation g;
    struct gptjt_score score;
    for (size_t i = 0; i < sizeof bounds / sizeof *bounds; i++) {
        const struct gptjt_batch_options o = {bounds[i]};
        assert_int_equal(gptjt_batch_open(&b, s, &o), GPTJT_E_ARG);
    }
    const size_t bytes = gptjt_session_bytes(s);
    check(gptjt_batch_open(&b, s, NULL));
    assert_true(gptjt_session_bytes(s) > bytes);
    struct gptjt_generate_request r;
    gptjt_generate_init(&r);
    r.prompt = ids;
    r.n_prompt = 3;
    const struct gptjt_span row = {ids, 3};
    assert_int_equal(gptjt_batch_open(&second, s, NULL), GPTJT_E_ARG);
    assert_int_equal(gptjt_generate(s, &r, &g), GPTJT_E_ARG);
    assert_int_equal(gptjt_score(s, row, GPTJT_MASK_AUTO, &row, 1, &score), GPTJT_E_ARG);
    assert_int_equal(gptjt_logits(s, row, 0, NULL, NULL), GPTJT_E_ARG);
    assert_non_null(strstr(gptjt_error(), "batch"));

    r.max_new_tokens = 126;
    assert_int_equal(gptjt_batch_generate(b, &r, generated, NULL, NULL), GPTJT_E_LIMIT);
    r.max_new_tokens = 5;
    r.n_scored = 3;
    assert_int_equal(gptjt_batch_generate(b, &r, generated, NULL, NULL), GPTJT_E_ARG);
    const struct gptjt_score_request many = {row, GPTJT_MASK_AUTO, &row, 1, GPTJT_MOST_TOP + 1};
    assert_int_equal(gptjt_batch_score(b, &many, scored, NULL, NULL), GPTJT_E_ARG);
    assert_false(gptjt_batch_cancel(b, 0));
    assert_false(gptjt_batch_cancel(b, 1));
    assert_false(gptjt_batch_step(b));
    gptjt_batch_close(b);
    assert_int_equal(gptjt_session_bytes(s), bytes);
    r.n_scored = 0;
    check(gptjt_generate(s, &r, &g));
    gptjt_generation_free(&g);
    gptjt_session_close(s);
    gptjt_engine_close(e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whoever_comes_whenever_has_the_bits_it_has_alone),
        cmocka_unit_test(running_answers_wait_no_longer_than_the_bound_and_a_block),
        cmocka_unit_test(short_requests_go_with_the_steps_of_others),
        cmocka_unit_test(a_prompt_cancelled_half_way_gives_its_room_back),
        cmocka_unit_test(closing_ends_all_that_are_left),
        cmocka_unit_test(callbacks_may_add_and_cancel),
        cmocka_unit_test(one_that_cancels_itself_hears_no_more),
        cmocka_unit_test(what_ends_may_be_followed_by_another),
        cmocka_unit_test(one_that_fails_fails_alone),
        cmocka_unit_test(what_cannot_be_served_is_refused_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
