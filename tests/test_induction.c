// SPDX-License-Identifier: Apache-2.0
/* A new model's copying circuit, element by element, against the formulas of induction.h. */
#include <math.h>

#include "scratch.h"
#include "scratch_directory.h"
#include "test.h"

#include "base/pool.h"
#include "formats/source.h"
#include "model/induction.h"
#include "model/synth.h"

static bool go_on(void *user, uint64_t bytes)
{
    (void)user;
    (void)bytes;
    return true;
}

static const float *weights_of(const struct source *source, const char *name)
{
    const struct tensor *t = source_find(source, name);
    assert_non_null(t);
    return t->data;
}

static double dot(const float *a, const float *b, int n)
{
    double sum = 0;
    for (int i = 0; i < n; i++)
        sum += (double)a[i] * (double)b[i];
    return sum;
}

/* The score that a head of layer 0 gives the position distance before its own, for the constant part of its input. */
static double positional_score(const struct source *source, const struct gptj_config *c, int h, int distance)
{
    const int first = h * c->D / c->H;
    const float *q = weights_of(source, "transformer.h.0.attn.q_proj.weight"),
                *k = weights_of(source, "transformer.h.0.attn.k_proj.weight"),
                *b = weights_of(source, "transformer.h.0.ln_1.bias");
    double score = 0;
    for (int pair = 0; pair < c->R / 2; pair++) {
        const double angle = distance * pow(10000, -2.0 * pair / c->R);
        const int even = (first + 2 * pair) * c->D, odd = even + c->D;
        const double q0 = dot(q + even, b, c->D), q1 = dot(q + odd, b, c->D);
        const double k0 = dot(k + even, b, c->D), k1 = dot(k + odd, b, c->D);
        const double turned0 = q0 * cos(angle) - q1 * sin(angle), turned1 = q0 * sin(angle) + q1 * cos(angle);
        score += turned0 * k0 + turned1 * k1;
    }
    return score / sqrt((double)c->D / c->H);
}

static void a_new_models_induction_heads_look_at_the_token_before_and_copy(void **state)
{
    (void)state;
    struct synth s = {.config = {.V = 300, .P = 64, .D = 128, .L = 2, .H = 4, .R = 16},
                      .dtype = DTYPE_F32,
                      .init = true,
                      .induction_heads = true,
                      .initializer_range = 0.06};
    struct pool *pool = NULL;
    struct source *source = NULL;
    assert_int_equal(synth_complete(&s.config), OK);
    assert_int_equal(induction_check(&s.config), OK);
    assert_int_equal(pool_create(&pool, 1), OK);
    assert_int_equal(synth_write(&s, directory, pool, go_on, NULL), OK);
    pool_free(pool);
    assert_int_equal(source_open_dir(&source, directory), OK);

    for (int h = 0; h < 3; h++) {
        const double best = positional_score(source, &s.config, h, h + 1);
        for (int distance = -50; distance <= 50; distance++)
            if (distance != h + 1) assert_true(best > positional_score(source, &s.config, h, distance) + 3);
    }

    /* wte and lm_head point the same way; what layer 0 notes of tokens is what layer 1 looks for. */
    const float *wte = weights_of(source, "transformer.wte.weight"), *head = weights_of(source, "lm_head.weight");
    for (int i = 0; i < 300 * 128; i++)
        assert_float_equal(head[i], wte[i] * 0.2F, 1e-6);
    const float *v0 = weights_of(source, "transformer.h.0.attn.v_proj.weight"),
                *o0 = weights_of(source, "transformer.h.0.attn.out_proj.weight"),
                *q1 = weights_of(source, "transformer.h.1.attn.q_proj.weight"),
                *k1 = weights_of(source, "transformer.h.1.attn.k_proj.weight"),
                *v1 = weights_of(source, "transformer.h.1.attn.v_proj.weight"),
                *o1 = weights_of(source, "transformer.h.1.attn.out_proj.weight");
    for (int row = 8; row < 32; row++)
        for (int col = 0; col < 128; col++) {
            const float *const notes = &o0[col * 128 + row];
            const float token = v0[row * 128 + col] * 1.7F;
            const float before[] = {notes[0] * 1.7F / 0.3F, notes[32] * 1.7F / 0.3F, notes[64] * 1.7F / 0.3F};
            const int part = (row - 8) / 8;
            const float looked_for = part > 0 ? before[part - 1] : token;
            assert_float_equal(q1[row * 128 + col], looked_for, 1e-5);
            assert_float_equal(k1[row * 128 + col], before[part], 1e-5);
        }
    for (int row = 0; row < 128; row++)
        for (int col = 0; col < 128; col++)
            assert_float_equal(o1[col * 128 + row], 0.6F * v1[row * 128 + col], 1e-6);
    source_close(source);
    scratch_drop(directory, "model.safetensors");
    scratch_drop(directory, "config.json");
}

static void induction_heads_need_layers_heads_and_rotary_positions(void **state)
{
    (void)state;
    const struct gptj_config fits = {.L = 2, .H = 3, .R = 16};
    struct gptj_config c = fits;
    assert_int_equal(induction_check(&c), OK);
    c.L = 1;
    assert_int_equal(induction_check(&c), E_ARG);
    c = fits;
    c.H = 2;
    assert_int_equal(induction_check(&c), E_ARG);
    c = fits;
    c.R = 0;
    assert_int_equal(induction_check(&c), E_ARG);
    c = fits;
    c.tied = true;
    assert_int_equal(induction_check(&c), E_ARG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_models_induction_heads_look_at_the_token_before_and_copy),
        cmocka_unit_test(induction_heads_need_layers_heads_and_rotary_positions),
    };
    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
