// SPDX-License-Identifier: Apache-2.0
/* The K/V cache's page tables: who shares what, what is copied when, and that nothing leaks. Positions are written and
 * read through the table as the operations do it, over a device of plain malloc that counts and can run out. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "test.h"

#include "base/rng.h"
#include "model/kvcache.h"

enum { LAYERS = 2, H = 3, K = 4, PAGES = 12, MAX_LENGTH = 6 * KV_PAGE };

/* ---- A device that counts ---- */

struct device {
    struct ops base; /* first */
    size_t bytes;    /* allocated now */
    int n_allocations, fail_at;
    size_t copied_bytes;
};

static enum status device_alloc(struct ops *o, void **out, size_t bytes)
{
    struct device *d = (struct device *)o;
    if (d->n_allocations == d->fail_at) return fail(E_NOMEM, "out of memory, on purpose");
    *out = malloc(bytes);
    assert_non_null(*out);
    d->n_allocations++;
    d->bytes += bytes;
    return OK;
}

static void device_free(struct ops *o, void *p, size_t bytes)
{
    if (p) ((struct device *)o)->bytes -= bytes;
    free(p);
}

static void device_copy(struct ops *o, void *to, const void *from, size_t bytes)
{
    ((struct device *)o)->copied_bytes += bytes;
    memcpy(to, from, bytes);
}

static const struct ops_table device_table = {
    .name = "counting", .alloc = device_alloc, .free = device_free, .copy = device_copy};

static struct device device(void)
{
    return (struct device){.base = {&device_table}, .fail_at = -1};
}

static struct kvcache *store(struct device *d)
{
    struct kvcache *c = NULL;
    if (kvcache_create(&c, &d->base, LAYERS, H, K, PAGES, DTYPE_F32) != OK) fail_msg("%s", status_message());
    return c;
}

/* The last column of values is filled up, and keys take as much. */
static const size_t page_bytes = (size_t)2 * LAYERS * H * KV_PAGE * KV_COLUMN * sizeof(float);

/* ---- Writing and reading positions ---- */

/* Component i of a position, in K (of_v 0) or V of one layer and head. */
static float *at(const struct kvcache *c, const struct kv_sequence *s, int position, int l, int h, int of_v, int i)
{
    const int page = s->pages[position / KV_PAGE], slot = position % KV_PAGE;
    float *head = (float *)(of_v ? c->layers[l].v : c->layers[l].k) + (size_t)(page * H + h) * kernels_head_page(K);
    return head + (of_v ? slot * KV_COLUMN + i : i * KV_PAGE + slot);
}

/* mark: what tells this position's content from any other's. */
static void put(const struct kvcache *c, const struct kv_sequence *s, int position, int mark)
{
    for (int l = 0; l < LAYERS; l++)
        for (int h = 0; h < H; h++)
            for (int i = 0; i < 2 * K; i++)
                *at(c, s, position, l, h, i / K, i % K) = (float)(((mark * LAYERS + l) * H + h) * 2 * K + i);
}

static bool holds(const struct kvcache *c, const struct kv_sequence *s, int position, int mark)
{
    for (int l = 0; l < LAYERS; l++)
        for (int h = 0; h < H; h++)
            for (int i = 0; i < 2 * K; i++)
                if (*at(c, s, position, l, h, i / K, i % K) != (float)(((mark * LAYERS + l) * H + h) * 2 * K + i))
                    return false;
    return true;
}

/* Extends to new_length and writes mark, mark + 1, ... into what is new. */
static void append(struct kvcache *c, struct kv_sequence *s, int new_length, int mark)
{
    const int from = s->length;
    if (kvcache_extend(c, s, new_length) != OK) fail_msg("%s", status_message());
    for (int p = from; p < new_length; p++)
        put(c, s, p, mark + p - from);
}

static int references(const struct kvcache *c)
{
    int n = 0;
    for (int p = 0; p < c->n_pages; p++)
        n += c->references[p];
    return n;
}

/* ---- Claims ---- */

static void pages_for_rounds_up(void **state)
{
    (void)state;
    static const int cases[][2] = {{0, 0},       {1, 1},           {KV_PAGE - 1, 1},
                                   {KV_PAGE, 1}, {KV_PAGE + 1, 2}, {64 * KV_PAGE, 64}};
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        assert_int_equal(kvcache_pages_for(cases[i][0]), cases[i][1]);
}

static void bytes_is_what_creation_allocates_and_free_gives_back(void **state)
{
    (void)state;
    static const int shapes[][4] = {{1, 1, 1, 1}, {3, 5, 16, 7}, {3, 5, 17, 7}, {2, 16, 256, 64}};
    static const enum dtype dtypes[] = {DTYPE_F32, DTYPE_F16};
    for (size_t i = 0; i < COUNT_OF(shapes) * COUNT_OF(dtypes); i++) {
        const int *s = shapes[i / COUNT_OF(dtypes)], filled_up = (s[2] + 15) / 16 * 16;
        const enum dtype dtype = dtypes[i % COUNT_OF(dtypes)];
        const size_t numbers = (size_t)2 * (size_t)(s[0] * s[1] * filled_up * s[3]) * KV_PAGE;
        struct device d = device();
        struct kvcache *c = NULL;
        assert_int_equal(kvcache_create(&c, &d.base, s[0], s[1], s[2], s[3], dtype), OK);
        assert_int_equal(d.bytes, kvcache_bytes(s[0], s[1], s[2], s[3], dtype));
        assert_int_equal(d.bytes, numbers * (dtype == DTYPE_F16 ? 2 : 4));
        kvcache_free(c);
        assert_int_equal(d.bytes, 0);
    }
    kvcache_free(NULL);
}

static void creation_out_of_memory_gives_everything_back(void **state)
{
    (void)state;
    for (int at_allocation = 0; at_allocation < 2 * LAYERS; at_allocation++) {
        struct device d = device();
        struct kvcache *c = NULL;
        d.fail_at = at_allocation;
        assert_int_equal(kvcache_create(&c, &d.base, LAYERS, H, K, PAGES, DTYPE_F32), E_NOMEM);
        assert_null(c);
        assert_int_equal(d.bytes, 0);
    }
}

static void extending_takes_pages_only_when_positions_need_them(void **state)
{
    (void)state;
    struct device d = device();
    struct kvcache *c = store(&d);
    struct kv_sequence s = {0};
    for (int n = 1; n <= 3 * KV_PAGE; n++) {
        append(c, &s, n, 100 + n);
        assert_int_equal(s.n_pages, kvcache_pages_for(n));
        assert_int_equal(c->n_free, PAGES - s.n_pages);
    }
    for (int p = 0; p < s.length; p++)
        assert_true(holds(c, &s, p, 101 + p));
    const int length = s.length;
    assert_int_equal(kvcache_extend(c, &s, 5), OK); /* shorter: nothing to do */
    assert_int_equal(s.length, length);
    assert_int_equal(d.copied_bytes, 0);
    kvcache_release(c, &s);
    kvcache_free(c);
}

static void fork_shares_and_the_first_write_copies_only_the_cut_page(void **state)
{
    (void)state;
    enum { PROMPT = 2 * KV_PAGE + 10 };
    struct device d = device();
    struct kvcache *c = store(&d);
    struct kv_sequence prompt = {0}, a = {0}, b = {0};
    append(c, &prompt, PROMPT, 0);
    assert_int_equal(kvcache_fork(c, &a, &prompt, PROMPT), OK);
    assert_int_equal(kvcache_fork(c, &b, &prompt, PROMPT), OK);
    assert_int_equal(c->n_free, PAGES - 3);
    assert_memory_equal(a.pages, prompt.pages, 3 * sizeof *a.pages);
    assert_int_equal(d.copied_bytes, 0);

    append(c, &a, PROMPT + 5, 1000);
    assert_int_equal(d.copied_bytes, page_bytes);
    append(c, &b, PROMPT + 40, 2000);
    assert_int_equal(d.copied_bytes, 2 * page_bytes);
    assert_memory_equal(a.pages, prompt.pages, 2 * sizeof *a.pages);
    assert_memory_equal(b.pages, prompt.pages, 2 * sizeof *b.pages);
    assert_int_equal(c->n_free, PAGES - 3 - 1 - 2);

    /* the prompt's last page has no sharer left, so it goes on without a copy */
    append(c, &prompt, PROMPT + 1, 3000);
    assert_int_equal(d.copied_bytes, 2 * page_bytes);
    for (int p = 0; p < PROMPT; p++)
        assert_true(holds(c, &prompt, p, p) && holds(c, &a, p, p) && holds(c, &b, p, p));
    for (int p = PROMPT; p < PROMPT + 40; p++)
        assert_true(holds(c, &b, p, 2000 + p - PROMPT) && (p >= a.length || holds(c, &a, p, 1000 + p - PROMPT)));
    assert_true(holds(c, &prompt, PROMPT, 3000));
    kvcache_release(c, &prompt);
    kvcache_release(c, &a);
    kvcache_release(c, &b);
    assert_int_equal(c->n_free, PAGES);
    kvcache_free(c);
}

static void fork_at_a_page_boundary_never_copies(void **state)
{
    (void)state;
    struct device d = device();
    struct kvcache *c = store(&d);
    struct kv_sequence prompt = {0}, a = {0}, none = {0};
    append(c, &prompt, 2 * KV_PAGE + 3, 0);
    assert_int_equal(kvcache_fork(c, &a, &prompt, 2 * KV_PAGE), OK);
    append(c, &a, 3 * KV_PAGE, 500);
    assert_int_equal(d.copied_bytes, 0);
    for (int p = 0; p < 3 * KV_PAGE; p++)
        assert_true(holds(c, &a, p, p < 2 * KV_PAGE ? p : 500 + p - 2 * KV_PAGE));
    assert_int_equal(kvcache_fork(c, &none, &prompt, 0), OK);
    assert_int_equal(none.n_pages, 0);
    kvcache_release(c, &none);
    kvcache_release(c, &a);
    kvcache_release(c, &prompt);
    assert_int_equal(references(c), 0);
    kvcache_free(c);
}

/* A sequence that is cut back into a page it shares must not write there either. */
static void going_on_after_a_truncation_spares_the_sharers(void **state)
{
    (void)state;
    struct device d = device();
    struct kvcache *c = store(&d);
    struct kv_sequence s = {0}, keeper = {0};
    append(c, &s, KV_PAGE + 20, 0);
    assert_int_equal(kvcache_fork(c, &keeper, &s, KV_PAGE), OK);
    kvcache_truncate(c, &s, 7);
    append(c, &s, 30, 900);
    for (int p = 0; p < KV_PAGE; p++)
        assert_true(holds(c, &keeper, p, p));
    for (int p = 0; p < 30; p++)
        assert_true(holds(c, &s, p, p < 7 ? p : 900 + p - 7));
    kvcache_release(c, &s);
    kvcache_release(c, &keeper);
    assert_int_equal(c->n_free, PAGES);
    kvcache_free(c);
}

static void extending_beyond_the_store_fails_and_changes_nothing(void **state)
{
    (void)state;
    struct device d = device();
    struct kvcache *c = store(&d);
    struct kv_sequence s = {0}, fork = {0};
    append(c, &s, (PAGES - 1) * KV_PAGE - 5, 0);
    assert_int_equal(kvcache_fork(c, &fork, &s, s.length), OK);

    /* one page is free; the fork would need it for its copy of the cut page and one more */
    const struct kv_sequence before = fork;
    int32_t pages[PAGES], counts[PAGES];
    memcpy(pages, fork.pages, (size_t)fork.n_pages * sizeof *pages);
    memcpy(counts, c->references, sizeof counts);
    assert_int_equal(kvcache_extend(c, &fork, fork.length + 6), E_LIMIT);
    assert_non_null(strstr(status_message(), "2 pages"));
    assert_int_equal(fork.length, before.length);
    assert_int_equal(fork.n_pages, before.n_pages);
    assert_memory_equal(fork.pages, pages, (size_t)fork.n_pages * sizeof *pages);
    assert_memory_equal(c->references, counts, sizeof counts);
    assert_int_equal(c->n_free, 1);
    assert_int_equal(d.copied_bytes, 0);

    append(c, &fork, fork.length + 5, 5000); /* this much fits */
    assert_int_equal(c->n_free, 0);
    for (int p = 0; p < s.length; p++)
        assert_true(holds(c, &s, p, p) && holds(c, &fork, p, p));
    kvcache_release(c, &fork);
    kvcache_release(c, &s);
    assert_int_equal(c->n_free, PAGES);
    kvcache_free(c);
}

/* ---- Random operations against a model ---- */

enum { SEQUENCES = 5, STEPS = 20000 };

/* The model: every sequence owns a plain array of marks. */
struct model {
    int length, mark[MAX_LENGTH];
};

struct play {
    struct kvcache *c;
    struct kv_sequence s[SEQUENCES];
    struct model m[SEQUENCES];
    uint64_t seed, counter;
    int next_mark, refused;
};

static int below(struct play *p, int n)
{
    return (int)(rng_u64(p->seed, 0, p->counter++) % (uint64_t)n);
}

static void play_extend(struct play *p, int i)
{
    struct kv_sequence *s = &p->s[i];
    struct model *m = &p->m[i];
    const int room = MAX_LENGTH - m->length, n = m->length + below(p, room < 50 ? room + 1 : 50);
    const enum status status = kvcache_extend(p->c, s, n);
    if (status == E_LIMIT) {
        p->refused++;
        return;
    }
    assert_int_equal(status, OK);
    for (; m->length < n; m->length++) {
        put(p->c, s, m->length, p->next_mark);
        m->mark[m->length] = p->next_mark;
        p->next_mark = (p->next_mark + 1) % 100000; /* marks stay exact in fp32 */
    }
}

static void play_step(struct play *p)
{
    const int i = below(p, SEQUENCES), j = below(p, SEQUENCES);
    switch (below(p, 8)) {
    case 0:
        kvcache_release(p->c, &p->s[i]);
        p->m[i].length = 0;
        break;
    case 1:
    case 2: {
        const int n = p->m[i].length ? below(p, p->m[i].length + 1) : 0;
        kvcache_truncate(p->c, &p->s[i], n);
        p->m[i].length = n;
        break;
    }
    case 3:
    case 4:
        if (i == j) break;
        kvcache_release(p->c, &p->s[i]);
        p->m[i] = p->m[j];
        p->m[i].length = below(p, p->m[j].length + 1);
        assert_int_equal(kvcache_fork(p->c, &p->s[i], &p->s[j], p->m[i].length), OK);
        break;
    default: play_extend(p, i);
    }
}

/* Contents are the model's; every page is counted by the tables that name it, and is free if none does. */
static void must_agree(const struct play *p)
{
    int counts[PAGES] = {0}, used = 0;
    for (int i = 0; i < SEQUENCES; i++) {
        const struct kv_sequence *s = &p->s[i];
        assert_int_equal(s->length, p->m[i].length);
        assert_int_equal(s->n_pages, kvcache_pages_for(s->length));
        for (int k = 0; k < s->n_pages; k++)
            counts[s->pages[k]]++;
        for (int k = 0; k < s->length; k++)
            if (!holds(p->c, s, k, p->m[i].mark[k])) fail_msg("sequence %d, position %d has other content", i, k);
    }
    for (int k = 0; k < PAGES; k++) {
        assert_int_equal(p->c->references[k], counts[k]);
        used += counts[k] > 0;
    }
    assert_int_equal(p->c->n_free, PAGES - used);
    for (int k = 0; k < p->c->n_free; k++)
        assert_int_equal(counts[p->c->free_pages[k]], 0);
}

static void random_operations_agree_with_plain_arrays(void **state)
{
    (void)state;
    struct device d = device();
    struct play p = {.c = store(&d), .seed = 20221129};
    for (int step = 0; step < STEPS; step++) {
        play_step(&p);
        if (step % 8 == 0) must_agree(&p);
    }
    assert_true(p.refused > 0); /* the store was small enough to be refused now and then */
    for (int i = 0; i < SEQUENCES; i++)
        kvcache_release(p.c, &p.s[i]);
    assert_int_equal(p.c->n_free, PAGES);
    assert_int_equal(references(p.c), 0);
    kvcache_free(p.c);
    assert_int_equal(d.bytes, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pages_for_rounds_up),
        cmocka_unit_test(bytes_is_what_creation_allocates_and_free_gives_back),
        cmocka_unit_test(creation_out_of_memory_gives_everything_back),
        cmocka_unit_test(extending_takes_pages_only_when_positions_need_them),
        cmocka_unit_test(fork_shares_and_the_first_write_copies_only_the_cut_page),
        cmocka_unit_test(fork_at_a_page_boundary_never_copies),
        cmocka_unit_test(going_on_after_a_truncation_spares_the_sharers),
        cmocka_unit_test(extending_beyond_the_store_fails_and_changes_nothing),
        cmocka_unit_test(random_operations_agree_with_plain_arrays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
