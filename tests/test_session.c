// SPDX-License-Identifier: Apache-2.0
/* What a session promises about room and reuse, tried over many shapes: a call that fits gptjt_tokens_needed() is
 * served to its end, one that does not is refused before it begins, and neither what ran before nor a call that was
 * stopped half-way changes any later answer. */
#include <stdlib.h>
#include <string.h>

#include "mixed_requests.h"

enum { PAGE = 32 };

static struct gptjt_engine *open_micro(void)
{
    struct gptjt_engine_options o;
    gptjt_engine_options_init(&o);
    o.compute = GPTJT_COMPUTE_FP32;
    o.threads = 1;
    return open_engine(MICRO_A, &o);
}

/* Prompts that share beginnings: the first n of a sequence that seed changes from position n/2 on. */
static void fill(int32_t *ids, size_t n, unsigned seed)
{
    for (size_t i = 0; i < n; i++)
        ids[i] = (int32_t)((i * 37 + (i >= n / 2 ? seed * 101 : 0)) % 256);
}

static struct gptjt_generate_request request(const int32_t *prompt, size_t n, int n_sequences, int n_new)
{
    struct gptjt_generate_request r;
    gptjt_generate_init(&r);
    r.prompt = prompt;
    r.n_prompt = n;
    r.num_return_sequences = n_sequences;
    r.max_new_tokens = n_new;
    r.do_sample = n_sequences > 1;
    r.seed = 7;
    return r;
}

/* Generates on used and on a fresh session with exactly enough room: both must serve it, with the same bits. */
static void compare_generate(struct gptjt_engine *e, struct gptjt_session *used, const struct gptjt_generate_request *r)
{
    const size_t needed = gptjt_tokens_needed(r->n_prompt, (size_t)r->num_return_sequences, (size_t)r->max_new_tokens);
    struct gptjt_session *fresh = open_session(e, needed);
    struct gptjt_generation a, b;
    check(gptjt_generate(used, r, &a));
    check(gptjt_generate(fresh, r, &b));
    same_generation(&a, &b);
    gptjt_generation_free(&a);
    check(gptjt_generate(fresh, r, &a));
    same_generation(&a, &b);
    gptjt_generation_free(&a);
    gptjt_generation_free(&b);
    gptjt_session_close(fresh);
}

static const size_t prompts[] = {1, 2, 31, 32, 33, 64, 65};
static const int news[] = {0, 1, 2, 31, 32, 33};
static const int counts[] = {1, 2, 5};

#define EACH(type, name, of) for (const type *name = of; name < of + sizeof of / sizeof of[0]; name++)

static void every_shape_that_fits_is_served_whatever_ran_before(void **state)
{
    (void)state;
    struct gptjt_engine *e = open_micro();
    struct gptjt_session *used = open_session(e, gptjt_tokens_needed(65, 5, 33));
    unsigned seed = 0;
    EACH(size_t, n, prompts) EACH(int, n_new, news) EACH(int, count, counts)
    {
        int32_t ids[65];
        fill(ids, *n, seed % 3);
        struct gptjt_generate_request r = request(ids, *n, *count, *n_new);
        r.prompt_mask = seed++ % 2 ? GPTJT_MASK_PREFIX : GPTJT_MASK_CAUSAL;
        compare_generate(e, used, &r);
    }
    gptjt_session_close(used);
    gptjt_engine_close(e);
}

/* One page less is refused at once or is enough: never a failure half-way, which would be E_LIMIT of the K/V store. */
static void a_smaller_session_refuses_before_it_begins(void **state)
{
    (void)state;
    struct gptjt_engine *e = open_micro();
    EACH(size_t, n, prompts) EACH(int, n_new, news) EACH(int, count, counts)
    {
        int32_t ids[65];
        fill(ids, *n, 0);
        const struct gptjt_generate_request r = request(ids, *n, *count, *n_new);
        struct gptjt_generation g;
        struct gptjt_session *s = open_session(e, gptjt_tokens_needed(*n, (size_t)*count, (size_t)*n_new) - PAGE);
        assert_int_equal(gptjt_generate(s, &r, &g), GPTJT_E_LIMIT);
        assert_non_null(strstr(gptjt_error(), "session has room for"));
        const struct gptjt_generate_request small = request(ids, 1, 1, 0);
        const size_t room = gptjt_tokens_needed(*n, (size_t)*count, (size_t)*n_new) - PAGE;
        if (room >= gptjt_tokens_needed(1, 1, 0)) {
            check(gptjt_generate(s, &small, &g));
            gptjt_generation_free(&g);
        }
        gptjt_session_close(s);
    }
    gptjt_engine_close(e);
}

static void there_may_be_more_continuations_than_positions_in_the_window(void **state)
{
    (void)state;
    enum { COUNT = 300 }; /* the window is 128 */
    struct gptjt_engine *e = open_micro();
    struct gptjt_session *s = open_session(e, gptjt_tokens_needed(3, COUNT, 3));
    const int32_t prompt[] = {5, 6, 7};
    const struct gptjt_generate_request r = request(prompt, 3, COUNT, 3);
    compare_generate(e, s, &r);

    int32_t ids[COUNT][3];
    struct gptjt_span spans[COUNT];
    struct gptjt_score scores[COUNT], single;
    for (int i = 0; i < COUNT; i++) {
        fill(ids[i], 3, (unsigned)i);
        spans[i] = (struct gptjt_span){ids[i], 1 + (size_t)i % 3};
    }
    check(gptjt_score(s, (struct gptjt_span){prompt, 3}, GPTJT_MASK_AUTO, spans, COUNT, scores));
    for (int i = 0; i < COUNT; i += 7) {
        check(gptjt_score(s, (struct gptjt_span){prompt, 3}, GPTJT_MASK_AUTO, &spans[i], 1, &single));
        assert_true(single.total == scores[i].total);
        gptjt_scores_free(&single, 1);
    }
    gptjt_scores_free(scores, COUNT);
    gptjt_session_close(s);
    gptjt_engine_close(e);
}

static void tokens_needed_of_absurd_numbers_is_absurd_and_not_small(void **state)
{
    (void)state;
    static const size_t much[] = {SIZE_MAX, SIZE_MAX - 1, SIZE_MAX - 63, SIZE_MAX / 2, SIZE_MAX / 32};
    EACH(size_t, n, much)
    {
        assert_true(gptjt_tokens_needed(*n, 1, 1) >= *n);
        assert_true(gptjt_tokens_needed(1, *n, 1) >= *n);
        assert_true(gptjt_tokens_needed(1, 1, *n) >= *n);
        assert_true(gptjt_tokens_needed(*n, *n, *n) == SIZE_MAX);
    }
    struct gptjt_engine *e = open_micro();
    struct gptjt_session *s;
    assert_int_equal(gptjt_session_create(&s, e, gptjt_tokens_needed(1, SIZE_MAX / 64, 1)), GPTJT_E_LIMIT);
    gptjt_engine_close(e);
}

/* Stops at the n-th call of either callback. */
struct fuse {
    int left;
};

static bool burn(void *user, size_t done, size_t total)
{
    struct fuse *f = user;
    assert_true(done <= total);
    return f->left-- > 0;
}

static bool burn_token(void *user, const struct gptjt_token *t)
{
    (void)t;
    return burn(user, 0, 0);
}

static bool burn_logits(void *user, size_t position, const float *logits)
{
    (void)logits;
    return burn(user, position, position);
}

static void a_call_stopped_anywhere_changes_no_later_answer(void **state)
{
    (void)state;
    struct gptjt_engine *e = open_micro();
    struct gptjt_session *s = open_session(e, gptjt_tokens_needed(40, 2, 4));
    int32_t ids[40];
    struct fuse f;
    gptjt_session_set_progress(s, burn, &f);
    for (int n = 0;; n++) {
        fill(ids, 40, (unsigned)n % 2);
        const struct gptjt_span row = {ids, 40}, span = {ids + 3, 4};
        struct gptjt_generate_request r = request(ids, 40, 2, 4);
        struct gptjt_generation g;
        struct gptjt_score score;
        r.prompt_mask = n % 3 ? GPTJT_MASK_CAUSAL : GPTJT_MASK_PREFIX;
        r.on_token = burn_token;
        r.user = &f;
        f.left = n;
        const enum gptjt_status generated = gptjt_generate(s, &r, &g);
        f.left = n;
        const enum gptjt_status scored = gptjt_score(s, row, r.prompt_mask, &span, 1, &score);
        f.left = n;
        const enum gptjt_status read = gptjt_logits(s, row, SIZE_MAX, burn_logits, &f);
        assert_true(read == GPTJT_OK || read == GPTJT_E_CANCELLED);
        if (scored == GPTJT_OK) gptjt_scores_free(&score, 1);
        if (generated == GPTJT_OK) gptjt_generation_free(&g);
        f.left = 1 << 20;
        r.on_token = NULL;
        compare_generate(e, s, &r);
        if (generated == GPTJT_OK && scored == GPTJT_OK && read == GPTJT_OK) break;
        assert_true(n < 200);
    }
    gptjt_session_close(s);
    gptjt_engine_close(e);
}

static void options_outside_their_range_are_refused(void **state)
{
    (void)state;
    struct gptjt_engine_options o[5];
    struct gptjt_engine *e;
    for (int i = 0; i < 5; i++)
        gptjt_engine_options_init(&o[i]);
    o[0].prompt_mask = (enum gptjt_mask)3;
    o[1].weights = (enum gptjt_weights)6;
    o[2].weights = (enum gptjt_weights)1000000;
    o[3].compute = (enum gptjt_compute)4;
    o[4].cpu = "abacus";
    for (int i = 0; i < 5; i++)
        assert_int_equal(gptjt_engine_open(&e, MICRO_A, &o[i]), GPTJT_E_ARG);
    assert_int_equal(gptjt_engine_open(&e, "tests/data", NULL), GPTJT_E_IO);
}

static void nothing_can_be_closed(void **state)
{
    (void)state;
    struct gptjt_generation g = {0};
    gptjt_engine_close(NULL);
    gptjt_session_close(NULL);
    gptjt_tokenizer_close(NULL);
    gptjt_free(NULL);
    gptjt_generation_free(&g);
    gptjt_generation_free(&g);
    gptjt_scores_free(NULL, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_shape_that_fits_is_served_whatever_ran_before),
        cmocka_unit_test(a_smaller_session_refuses_before_it_begins),
        cmocka_unit_test(there_may_be_more_continuations_than_positions_in_the_window),
        cmocka_unit_test(tokens_needed_of_absurd_numbers_is_absurd_and_not_small),
        cmocka_unit_test(a_call_stopped_anywhere_changes_no_later_answer),
        cmocka_unit_test(options_outside_their_range_are_refused),
        cmocka_unit_test(nothing_can_be_closed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
