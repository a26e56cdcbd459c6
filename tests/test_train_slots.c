// SPDX-License-Identifier: Apache-2.0
/* What pipelines need of a training pass: several micro-batches in flight, backward in two halves, and models cut into
 * stages. Neither changes a bit of any gradient, and memory is what it is said to be. Models are synthetic, of four
 * layers, with weights large enough for every gradient to be a number of its own in fp16 too. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "test.h"

#include "base/hash.h"
#include "base/rng.h"
#include "model/synth_source.h"
#include "ops/train.h"
#include "train/optimizer.h"
#include "train/trainee.h"

enum { SEQUENCES = 2, SEQ_LEN = 20, ROWS = SEQUENCES * SEQ_LEN, MICROS = 4, LAYERS = 4, V = 67, D = 32, RANK = 3 };

static void must(enum status s)
{
    if (s != OK) fail_msg("%s", status_message());
}

/* ---- Models ---- */

/* With a head of its own, with a tied one, and with a head of its own that begins as the latter's embedding. */
struct models {
    struct gptj_config untied, tied;
    struct source *untied_src, *tied_src;
    struct source copied_head;
    struct source_entry *entries;
};

static struct source *synthetic(struct gptj_config *c, bool tied)
{
    struct synth s = {.config = {.V = V, .P = 48, .D = D, .L = LAYERS, .H = 4, .R = 4, .tied = tied}, .seed = 5};
    struct source *src = NULL;
    struct pool *pool = NULL;
    must(synth_complete(&s.config));
    must(pool_create(&pool, 1));
    must(synth_source_open(&src, &s, SYNTH_DISTINCT, pool));
    pool_free(pool);
    *c = s.config;
    return src;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct source_entry *)a)->name, ((const struct source_entry *)b)->name);
}

static int open_models(void **state)
{
    struct models *m = calloc(1, sizeof *m);
    m->untied_src = synthetic(&m->untied, false);
    m->tied_src = synthetic(&m->tied, true);
    const int n = m->tied_src->n_entries;
    m->entries = calloc((size_t)n + 1, sizeof *m->entries);
    memcpy(m->entries, m->tied_src->entries, (size_t)n * sizeof *m->entries);
    m->entries[n] = (struct source_entry){"lm_head.weight", *source_find(m->tied_src, "transformer.wte.weight")};
    qsort(m->entries, (size_t)n + 1, sizeof *m->entries, by_name);
    m->copied_head = *m->tied_src;
    m->copied_head.entries = m->entries;
    m->copied_head.n_entries = n + 1;
    *state = m;
    return 0;
}

static int close_models(void **state)
{
    struct models *m = *state;
    source_close(m->untied_src);
    source_close(m->tied_src);
    free(m->entries);
    free(m);
    return 0;
}

/* What is varied: every combination of it. */
struct kind {
    enum train_precision precision;
    bool recompute, lora, tied;
};

enum { KINDS = 3 * 2 * 2 * 2 };

static struct kind kind_of(int i)
{
    return (struct kind){(enum train_precision)(i % 3), i / 3 % 2, i / 6 % 2, i / 12 % 2};
}

/* fp16 needs a loss scale. */
static double scale_of(const struct kind *k)
{
    return k->precision == PRECISION_FP16 ? 64 : 1;
}

static struct trainee_options options_of(const struct kind *k, int slots, int late)
{
    struct trainee_options o = {.level = kernels_best_level(),
                                .threads = 1,
                                .precision = k->precision,
                                .sequences = SEQUENCES,
                                .seq_len = SEQ_LEN,
                                .recompute = k->recompute,
                                .slots = slots,
                                .late = late,
                                .seed = 7};
    if (k->lora) o.lora = (struct lora_shape){.r = RANK, .modules = (1u << PEFT_MODULES) - 1, .scale = 1.5f};
    return o;
}

/* Larger matrices, and adapters that do something; whatever else the model has, a parameter becomes the same. */
static void enlarge(struct params *p)
{
    for (int i = 0; i < p->n; i++) {
        const struct param *x = &p->all[i];
        const uint64_t stream = hash_key(x->name, strlen(x->name));
        const bool b = strstr(x->name, "lora_B");
        for (size_t k = 0; k < x->n && (x->n_dims == 2 || b); k++) {
            float *value = &p->value[x->at + k];
            *value = b ? (float)(rng_uniform(1, stream, k) - 0.5) : *value * 6;
        }
    }
    params_changed(p);
}

static struct trainee open_as(const struct gptj_config *c, const struct source *src, const struct trainee_options *o)
{
    struct trainee t = {0};
    must(trainee_open_source(&t, "a synthetic model", c, src, o));
    enlarge(t.params);
    return t;
}

static struct trainee open_kind(const struct models *m, const struct kind *k, const struct trainee_options *o)
{
    return open_as(k->tied ? &m->tied : &m->untied, k->tied ? m->tied_src : m->untied_src, o);
}

/* ---- Micro-batches ---- */

struct micro {
    struct train_rows rows;
    int32_t token[ROWS], lo[ROWS], hi[ROWS], target[ROWS];
    int targets;
    double loss[ROWS];
};

/* Each has another shape; prefixes, documents and rows without a target occur. The first has no target at all. */
static void make_micro(struct micro *m, int number)
{
    static const int sequences[MICROS] = {2, 1, 2, 2}, seq_len[MICROS] = {20, 13, 7, 20};
    const int S = seq_len[number], n = sequences[number] * S;
    *m = (struct micro){.rows = {sequences[number], S, m->token, m->lo, m->hi, m->target}};
    for (int i = 0; i < n; i++) {
        const int t = i % S, document = number % 2 && t >= S / 2 ? S / 2 : 0, prefix = document + number;
        m->token[i] = (int32_t)(rng_u64(11, (uint64_t)number, (uint64_t)i) % V);
        m->lo[i] = document;
        m->hi[i] = t + 1 > prefix ? t + 1 : prefix;
        m->target[i] = number == 0 || t % 5 == 3 ? -1 : (int32_t)(rng_u64(13, (uint64_t)number, (uint64_t)i) % V);
        m->targets += m->target[i] >= 0;
    }
}

static void make_micros(struct micro micros[MICROS])
{
    for (int i = 0; i < MICROS; i++)
        make_micro(&micros[i], i);
}

static void head(struct trainee *t, struct micro *m, double scale)
{
    assert_int_equal(train_pass_head(t->pass, (float)(scale / 100), m->loss), m->targets);
}

/* One after the other. */
static void plain_loop(struct trainee *t, struct micro micros[MICROS], double scale)
{
    train_pass_zero_grad(t->pass);
    for (int i = 0; i < MICROS; i++) {
        train_pass_forward(t->pass, &micros[i].rows);
        head(t, &micros[i], scale);
        train_pass_backward(t->pass);
    }
}

static void must_be_the_same_losses(const struct micro a[MICROS], const struct micro b[MICROS])
{
    for (int i = 0; i < MICROS; i++)
        assert_memory_equal(a[i].loss, b[i].loss, sizeof a[i].loss);
}

/* Under whatever name it has there. */
static void must_be_the_same_gradient(const struct trainee *a, const struct param *x, const struct trainee *b,
                                      const char *name)
{
    const struct param *y = params_find(b->params, name);
    if (!y || y->n != x->n) fail_msg("there is no %s", name);
    const float *have = a->params->grad + x->at, *want = b->params->grad + y->at;
    size_t zeros = 0;
    for (size_t i = 0; i < x->n; i++) {
        zeros += want[i] == 0;
        if (!isfinite(want[i])) fail_msg("%s: element %zu is %g", name, i, (double)want[i]);
    }
    if (zeros > x->n / 2) fail_msg("%s: %zu of %zu gradients are 0, and would be equal in any case", name, zeros, x->n);
    if (memcmp(have, want, x->n * sizeof *have)) fail_msg("gradients of %s differ", x->name);
}

static void must_be_the_same_gradients(const struct trainee *a, const struct trainee *b)
{
    assert_int_equal(a->params->n, b->params->n);
    for (int i = 0; i < a->params->n; i++)
        must_be_the_same_gradient(a, &a->params->all[i], b, a->params->all[i].name);
}

/* ---- In flight ---- */

/* The schedule of one stage, decided by chance as far as the law lets it: how many micro-batches have had their
 * forward, the first part of their backward, and the second; and where each is. */
struct flight {
    struct trainee *t;
    struct micro *micros;
    double scale;
    int slots, late;
    int forward, input, weights;
    int slot[MICROS];
    uint64_t seed, draws;
};

static int draw(struct flight *f, int n)
{
    return (int)(rng_u64(f->seed, 0, f->draws++) % (uint64_t)n);
}

static bool is_free(const struct flight *f, int slot)
{
    for (int i = f->weights; i < f->forward; i++)
        if (f->slot[i] == slot) return false;
    return true;
}

static void fly_forward(struct flight *f)
{
    int slot = draw(f, f->slots);
    while (!is_free(f, slot))
        slot = (slot + 1) % f->slots;
    f->slot[f->forward] = slot;
    train_pass_use(f->t->pass, slot);
    train_pass_forward(f->t->pass, &f->micros[f->forward++].rows);
}

/* At once where that keeps the order, and by chance, or the first half. */
static void fly_back(struct flight *f)
{
    train_pass_use(f->t->pass, f->slot[f->input]);
    head(f->t, &f->micros[f->input], f->scale);
    const bool whole = f->weights == f->input && (!f->late || draw(f, 3) == 0);
    f->input++;
    f->weights += whole;
    if (whole)
        train_pass_backward(f->t->pass);
    else
        train_pass_backward_input(f->t->pass);
}

static void fly_weights(struct flight *f)
{
    train_pass_use(f->t->pass, f->slot[f->weights++]);
    train_pass_backward_weights(f->t->pass);
}

static void fly(struct flight *f)
{
    while (f->weights < MICROS) {
        const int waiting = f->input - f->weights;
        const bool may_input = f->input < f->forward && (f->late ? waiting < f->late : !waiting);
        switch (draw(f, 3)) {
        case 0:
            if (f->forward < MICROS && f->forward - f->weights < f->slots) fly_forward(f);
            break;
        case 1:
            if (may_input) fly_back(f);
            break;
        default:
            if (waiting) fly_weights(f);
        }
    }
}

/* All buffers of all slots full of what an overflow leaves behind. */
static void pollute(struct trainee *t, int slots, bool split, struct micro *m)
{
    double sum = 0;
    for (int slot = 0; slot < slots; slot++) {
        train_pass_use(t->pass, slot);
        train_pass_forward(t->pass, &m->rows);
        train_pass_head(t->pass, INFINITY, m->loss);
        if (!split) train_pass_backward(t->pass);
        if (split) train_pass_backward_input(t->pass);
        if (split) train_pass_backward_weights(t->pass);
    }
    for (size_t i = 0; i < t->params->n_values; i++)
        sum += (double)t->params->grad[i];
    assert_true(isnan(sum));
}

static void any_interleaving_gives_the_bits_of_the_plain_loop(void **state)
{
    static const struct {
        int slots, late, flights;
    } all[] = {{MICROS, MICROS, 3}, {3, 2, 2}, {2, 1, 1}, {1, 1, 1}, {3, 0, 1}};
    static struct micro want[MICROS], have[MICROS];
    make_micros(want);
    make_micros(have);
    for (int i = 0; i < KINDS; i++) {
        const struct kind k = kind_of(i);
        struct trainee_options o = options_of(&k, 0, 0);
        struct trainee plain = open_kind(*state, &k, &o);
        plain_loop(&plain, want, scale_of(&k));
        for (size_t j = 0; j < COUNT_OF(all); j++) {
            o = options_of(&k, all[j].slots, all[j].late);
            struct trainee t = open_kind(*state, &k, &o);
            pollute(&t, o.slots, o.late, &have[1]);
            for (int seed = 0; seed < all[j].flights; seed++) {
                struct flight f = {&t, have, scale_of(&k), o.slots, o.late, .seed = (uint64_t)seed};
                train_pass_zero_grad(t.pass);
                fly(&f);
                must_be_the_same_losses(have, want);
                must_be_the_same_gradients(&t, &plain);
            }
            trainee_close(&t);
        }
        trainee_close(&plain);
    }
}

/* ---- The head's chunks ---- */

enum { CHUNK = 1024, CHUNKS = 2, SHORT = 16, CHUNK_SEQUENCES = CHUNK / SHORT };

/* Losses and gradients of all chunks, `at_once` of them a micro-batch. */
static struct trainee of_chunks(const struct models *m, int at_once, double *loss)
{
    static int32_t token[CHUNKS * CHUNK], lo[CHUNKS * CHUNK], hi[CHUNKS * CHUNK], target[CHUNKS * CHUNK];
    const struct kind k = {0};
    struct trainee_options o = options_of(&k, 0, 0);
    o.sequences = CHUNK_SEQUENCES * at_once;
    o.seq_len = SHORT;
    struct trainee t = open_kind(m, &k, &o);
    for (int i = 0; i < CHUNKS * CHUNK; i++) {
        token[i] = (int32_t)(rng_u64(17, 0, (uint64_t)i) % V);
        target[i] = (int32_t)(rng_u64(17, 1, (uint64_t)i) % V);
        hi[i] = i % SHORT + 1;
    }
    train_pass_zero_grad(t.pass);
    for (int i = 0; i < CHUNKS; i += at_once) {
        const int at = i * CHUNK;
        const struct train_rows rows = {o.sequences, SHORT, token + at, lo + at, hi + at, target + at};
        train_pass_forward(t.pass, &rows);
        assert_int_equal(train_pass_head(t.pass, 0.01f, loss + at), at_once * CHUNK);
        train_pass_backward(t.pass);
    }
    return t;
}

static void chunks_of_rows_add_up_in_the_head(void **state)
{
    static const char *const names[] = {"lm_head.weight", "lm_head.bias", "transformer.ln_f.weight",
                                        "transformer.ln_f.bias"};
    static double have[CHUNKS * CHUNK], want[CHUNKS * CHUNK];
    struct trainee both = of_chunks(*state, CHUNKS, have), each = of_chunks(*state, 1, want);
    assert_memory_equal(have, want, sizeof have);
    for (size_t i = 0; i < COUNT_OF(names); i++)
        must_be_the_same_gradient(&both, params_find(both.params, names[i]), &each, names[i]);
    trainee_close(&both);
    trainee_close(&each);
}

/* ---- Stages ---- */

/* A model cut behind the layers whose bits are set. */
struct chain {
    struct trainee stage[LAYERS];
    int n;
    bool late;
};

static struct chain open_chain(const struct models *m, const struct kind *k, unsigned cuts, bool late)
{
    struct chain c = {.late = late};
    for (int first = 0, last = 1; first < LAYERS; first = last++) {
        while (last < LAYERS && !(cuts >> (last - 1) & 1))
            last++;
        struct trainee_options o = options_of(k, MICROS, late ? MICROS : 0);
        o.first = first;
        o.last = last;
        c.stage[c.n++] = open_kind(m, k, &o);
    }
    return c;
}

static void close_chain(struct chain *c)
{
    for (int s = 0; s < c->n; s++)
        trainee_close(&c->stage[s]);
}

/* As a message between machines would go. */
static void send(struct trainee *to, float *there, struct trainee *from, const float *here, const struct micro *m)
{
    float message[ROWS * D];
    const size_t bytes = (size_t)(m->rows.sequences * m->rows.seq_len) * D * sizeof(float);
    from->ops->fn->read(from->ops, message, here, bytes);
    to->ops->fn->write(to->ops, there, message, bytes);
}

static void chain_forward(struct chain *c, int i, const struct micro *m)
{
    for (int s = 0; s < c->n; s++) {
        struct trainee *t = &c->stage[s];
        struct train_rows rows = m->rows;
        if (s > 0) rows.token = NULL;
        if (s < c->n - 1) rows.target = NULL;
        train_pass_use(t->pass, i);
        if (s > 0) send(t, train_pass_input(t->pass), t - 1, train_pass_output(t[-1].pass), m);
        train_pass_forward(t->pass, &rows);
    }
}

static void chain_backward(struct chain *c, int i, struct micro *m, double scale)
{
    for (int s = c->n; s-- > 0;) {
        struct trainee *t = &c->stage[s];
        train_pass_use(t->pass, i);
        if (s == c->n - 1)
            head(t, m, scale);
        else
            send(t, train_pass_gradient(t->pass), t + 1, train_pass_gradient(t[1].pass), m);
        if (c->late)
            train_pass_backward_input(t->pass);
        else
            train_pass_backward(t->pass);
    }
}

static void chain_weights(struct chain *c, int i)
{
    for (int s = 0; s < c->n; s++) {
        train_pass_use(c->stage[s].pass, i);
        train_pass_backward_weights(c->stage[s].pass);
    }
}

static void run_chain(struct chain *c, struct micro micros[MICROS], double scale)
{
    for (int i = 0; i < MICROS; i++)
        chain_forward(c, i, &micros[i]);
    for (int i = 0; i < MICROS; i++)
        chain_backward(c, i, &micros[i], scale);
    for (int i = 0; i < MICROS && c->late; i++)
        chain_weights(c, i);
}

/* Where a head is tied, the gradient of the last stage's embedding is that of a head with a gradient of its own. */
static void must_have_the_gradients_of(const struct chain *c, const struct trainee *whole)
{
    int n = 0;
    for (int s = 0; s < c->n; n += c->stage[s++].params->n) {
        for (int i = 0; i < c->stage[s].params->n; i++) {
            const struct param *x = &c->stage[s].params->all[i];
            const bool tied_head = s > 0 && !strcmp(x->name, "transformer.wte.weight");
            must_be_the_same_gradient(&c->stage[s], x, whole, tied_head ? "lm_head.weight" : x->name);
        }
    }
    assert_int_equal(n, whole->params->n);
}

static void stages_give_the_bits_of_the_whole_model(void **state)
{
    const struct models *m = *state;
    static struct micro want[MICROS], have[MICROS];
    make_micros(want);
    make_micros(have);
    for (int i = 0; i < KINDS; i++) {
        const struct kind k = kind_of(i);
        const struct trainee_options o = options_of(&k, 0, 0);
        struct trainee untied = k.tied ? open_as(&m->untied, &m->copied_head, &o) : open_kind(m, &k, &o);
        struct trainee tied = open_kind(m, &k, &o);
        plain_loop(&tied, want, scale_of(&k));
        plain_loop(&untied, want, scale_of(&k));
        for (unsigned cuts = 0; cuts < 1u << (LAYERS - 1); cuts++) {
            if ((cuts ^ cuts >> 1 ^ (unsigned)i) & 1) continue; /* half of all: each cut with each precision */
            struct chain c = open_chain(m, &k, cuts, (cuts + (unsigned)i / 2) & 1);
            run_chain(&c, have, scale_of(&k));
            must_be_the_same_losses(have, want);
            must_have_the_gradients_of(&c, c.n > 1 ? &untied : &tied);
            close_chain(&c);
        }
        trainee_close(&tied);
        trainee_close(&untied);
    }
}

static void add_to_both(struct trainee *a, const struct param *x, struct trainee *b, const struct param *y)
{
    for (size_t i = 0; i < x->n; i++)
        a->params->grad[x->at + i] += b->params->grad[y->at + i];
    memcpy(b->params->grad + y->at, a->params->grad + x->at, x->n * sizeof(float));
}

/* AdamW knows nothing of stages but the norm. */
static void stages_are_updated_as_the_whole_model(void **state)
{
    static const struct optimizer_settings set = {0.9, 0.999, 1e-6, 0.01, 1};
    static const char wte[] = "transformer.wte.weight";
    static struct micro micros[MICROS];
    make_micros(micros);
    for (int tied = 0; tied < 2; tied++) {
        const struct kind k = {PRECISION_BF16, .tied = tied};
        const struct trainee_options o = options_of(&k, 0, 0);
        struct trainee whole = open_kind(*state, &k, &o);
        struct chain c = open_chain(*state, &k, 1 << 1, true);
        struct optimizer *optimizer[3];
        assert_int_equal(c.n, 2);
        plain_loop(&whole, micros, 1);
        run_chain(&c, micros, 1);
        struct trainee *all[] = {&c.stage[0], &c.stage[1], &whole};
        const struct param *first = params_find(all[0]->params, wte), *last = params_find(all[1]->params, wte);
        assert_true(first && !last == !tied);
        if (tied) add_to_both(all[0], first, all[1], last);
        for (int i = 0; i < 3; i++) {
            must(optimizer_create(&optimizer[i], all[i]->params, 0, all[i]->params->n, &set));
            optimizer_update(optimizer[i], optimizer_clip(optimizer[i], 1, 3), 0.01);
        }
        for (int s = 0; s < 2; s++) {
            for (int i = 0; i < all[s]->params->n; i++) {
                const struct param *x = &all[s]->params->all[i], *y = params_find(whole.params, x->name);
                if (tied && !strcmp(x->name, wte)) continue; /* summed in another order than in the whole model */
                assert_memory_equal(all[s]->params->value + x->at, whole.params->value + y->at, x->n * sizeof(float));
            }
        }
        if (tied)
            assert_memory_equal(all[0]->params->value + first->at, all[1]->params->value + last->at,
                                first->n * sizeof(float));
        for (int i = 0; i < 3; i++)
            optimizer_free(optimizer[i]);
        trainee_close(&whole);
        close_chain(&c);
    }
}

static void fresh_adapters_do_not_depend_on_the_cut(void **state)
{
    const struct models *m = *state;
    const struct kind k = {.lora = true};
    struct trainee_options o = options_of(&k, 0, 0);
    struct trainee whole = {0}, stage = {0};
    o.lora.modules = 1u << PEFT_Q_PROJ | 1u << PEFT_V_PROJ;
    must(trainee_open_source(&whole, "it", &m->untied, m->untied_src, &o));
    o.first = 2;
    must(trainee_open_source(&stage, "it", &m->untied, m->untied_src, &o));
    assert_int_equal(stage.params->n, 2 * 2 * 2);
    for (int i = 0; i < stage.params->n; i++) {
        const struct param *x = &stage.params->all[i], *y = params_find(whole.params, x->name);
        assert_non_null(y);
        assert_memory_equal(stage.params->value + x->at, whole.params->value + y->at, x->n * sizeof(float));
        assert_true(i % 2 || stage.params->value[x->at] != 0);
    }
    trainee_close(&whole);
    trainee_close(&stage);
}

static void parameters_are_found_by_the_names_of_the_whole_checkpoint(void **state)
{
    const struct kind k = {0};
    struct trainee_options o = options_of(&k, 0, 0);
    o.first = 1;
    o.last = 3;
    struct trainee t = open_kind(*state, &k, &o);
    const struct param *x = params_find(t.params, "transformer.h.2.mlp.fc_in.bias");
    assert_true(x && x->n == 4 * D && x->n_dims == 1 && x->weight == &t.model->layers[1].fc_in_b);
    assert_ptr_equal(x->weight->grad, t.params->grad + x->at);
    static const char *const elsewhere[] = {"transformer.h.0.ln_1.weight",
                                            "transformer.h.3.ln_1.weight",
                                            "transformer.wte.weight",
                                            "transformer.ln_f.weight",
                                            "lm_head.weight",
                                            "lm_head.bias"};
    for (size_t i = 0; i < COUNT_OF(elsewhere); i++)
        assert_null(params_find(t.params, elsewhere[i]));
    trainee_close(&t);
}

static void layers_that_are_not_there_are_refused(void **state)
{
    const struct models *m = *state;
    static const struct {
        int first, last;
    } wrong[] = {{0, LAYERS + 1}, {2, 2}, {3, 1}, {LAYERS, 0}, {-1, 2}};
    for (size_t i = 0; i < COUNT_OF(wrong); i++) {
        const struct kind k = {0};
        struct trainee t = {0};
        struct trainee_options o = options_of(&k, 0, 0);
        o.first = wrong[i].first;
        o.last = wrong[i].last;
        assert_int_equal(trainee_open_source(&t, "it", &m->untied, m->untied_src, &o), E_ARG);
        assert_non_null(strstr(status_message(), "it has 4"));
        trainee_close(&t);
    }
}

/* ---- Memory ---- */

/* A backend that adds up what is asked of it. */
static struct {
    struct ops_table table;
    const struct ops_table *inner;
    size_t taken, given_back;
} counted;

static enum status counted_alloc(struct ops *o, void **out, size_t bytes)
{
    counted.taken += bytes;
    return counted.inner->alloc(o, out, bytes);
}

static void counted_free(struct ops *o, void *p, size_t bytes)
{
    if (p) counted.given_back += bytes;
    counted.inner->free(o, p, bytes);
}

/* In floats, by the formulas of the header and the list of what exists once. */
static size_t floats_of(int n, bool has_head, const struct train_pass_options *o)
{
    const size_t T = ROWS, F = 4 * D, H = 4, L = (size_t)n, slots = o->slots ? (size_t)o->slots : 1;
    const size_t late = (size_t)o->late, page = ops_kv_page_bytes(4, 8, DTYPE_F32) / sizeof(float);
    const size_t kept = T * (2 * D + F + H) + 2 * SEQUENCES * page;
    const size_t once = T * (6 * D + 2 * F + 2 + 2 * (size_t)o->lora_rank) + (has_head ? T * (V + 4 * D) : 0);
    return once + slots * (L + 1) * T * D + late * L * T * (D + F) + (o->recompute ? 1 + late * L : slots * L) * kept;
}

static void a_pass_allocates_what_it_says(void **state)
{
    const struct models *m = *state;
    static const struct train_pass_options all[] = {
        {.slots = 0}, {.slots = 1}, {.slots = 3}, {.slots = 3, .late = 2}, {.lora_rank = RANK, .slots = 2, .late = 1}};
    for (size_t i = 0; i < 2 * COUNT_OF(all); i++) {
        const int first = i % 3 ? 1 : 0, last = i % 3 == 1 ? 3 : LAYERS;
        struct train_pass_options o = all[i / 2];
        struct ops *ops = NULL;
        struct gptj *model = NULL;
        struct train_pass *pass = NULL;
        o.sequences = SEQUENCES;
        o.seq_len = SEQ_LEN;
        o.recompute = i % 2;
        const struct ops_cpu_limits limits = {.head = 8, .inputs = 4 * D, .sequence = SEQ_LEN};
        must(ops_cpu_create(&ops, CPU_REF, COMPUTE_FP32, 1, limits));
        must(gptj_load(&model, &m->untied, m->untied_src, ops, first, last, WEIGHT_AS_STORED));
        counted.table = *ops->fn;
        counted.inner = ops->fn;
        counted.taken = counted.given_back = 0;
        counted.table.alloc = counted_alloc;
        counted.table.free = counted_free;
        ops->fn = &counted.table;
        must(train_pass_create(&pass, model, &o));
        assert_int_equal(counted.taken, train_pass_bytes(&m->untied, first, last, &o));
        assert_int_equal(counted.taken, floats_of(last - first, last == LAYERS, &o) * sizeof(float));
        train_pass_free(pass);
        assert_int_equal(counted.given_back, counted.taken);
        ops->fn = counted.inner;
        gptj_free(model);
        ops->fn->close(ops);
    }
}

static void memory_of_stages_is_computed(void **state)
{
    const struct models *m = *state;
    for (int i = 0; i < KINDS; i++) {
        const struct kind k = kind_of(i);
        const struct gptj_config *c = k.tied ? &m->tied : &m->untied;
        const struct source *src = k.tied ? m->tied_src : m->untied_src;
        struct trainee_options o = options_of(&k, 2, 1);
        const struct trainee_memory whole = trainee_memory(c, src, &o);
        struct trainee_memory sum = {0};
        static const int cuts[] = {0, 1, 3, LAYERS};
        for (int s = 0; s < 3; s++) {
            o.first = cuts[s];
            o.last = cuts[s + 1];
            const struct trainee_memory one = trainee_memory(c, src, &o);
            struct trainee t = open_kind(m, &k, &o);
            assert_int_equal(t.params->n_values, one.values);
            sum.values += one.values;
            sum.mapped_bytes += one.mapped_bytes;
            sum.weight_bytes += one.weight_bytes;
            trainee_close(&t);
        }
        const size_t twice = k.tied ? V * D : 0, rotary = 2 * 48 * 2 * sizeof(float); /* [P][R / 2] of each stage */
        const size_t narrow = k.precision == PRECISION_FP32 ? 0 : 2;
        assert_int_equal(sum.values, whole.values + (k.lora ? 0 : twice));
        assert_int_equal(sum.mapped_bytes, whole.mapped_bytes + (k.lora ? twice * sizeof(float) : 0));
        assert_int_equal(sum.weight_bytes,
                         whole.weight_bytes + (k.lora ? 2 * rotary : twice * (sizeof(float) + narrow)));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_interleaving_gives_the_bits_of_the_plain_loop),
        cmocka_unit_test(chunks_of_rows_add_up_in_the_head),
        cmocka_unit_test(stages_give_the_bits_of_the_whole_model),
        cmocka_unit_test(stages_are_updated_as_the_whole_model),
        cmocka_unit_test(fresh_adapters_do_not_depend_on_the_cut),
        cmocka_unit_test(parameters_are_found_by_the_names_of_the_whole_checkpoint),
        cmocka_unit_test(layers_that_are_not_there_are_refused),
        cmocka_unit_test(a_pass_allocates_what_it_says),
        cmocka_unit_test(memory_of_stages_is_computed),
    };
    return cmocka_run_group_tests(tests, open_models, close_models);
}
