// SPDX-License-Identifier: Apache-2.0
/* Reading ahead: the order of items, lanes, failures, and going away in the middle. */
#include "test.h"

#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/ahead.h"
#include "base/rng.h"

enum { N_LANES = 3, N_SLOTS = 7 };

/* Each lane counts up; an item is the lane's count when it was made. */
struct world {
    int counts[N_LANES];
    atomic_int busy[N_LANES];
    atomic_bool crowded; /* two threads were in one lane */
    uint64_t fails_at;
};

struct item {
    uint64_t index;
    int lane, count;
};

static int lane_of(void *user, uint64_t index)
{
    (void)user;
    return (int)(rng_u64(5, 0, index) % N_LANES);
}

static enum status make(void *user, uint64_t index, void *to)
{
    struct world *w = user;
    const int lane = lane_of(w, index);
    if (atomic_fetch_add(&w->busy[lane], 1)) atomic_store(&w->crowded, true);
    for (uint64_t i = rng_u64(6, 0, index) % 20; i; i--) /* some take longer */
        sched_yield();
    *(struct item *)to = (struct item){index, lane, w->counts[lane]++};
    atomic_fetch_sub(&w->busy[lane], 1);
    return index == w->fails_at ? fail(E_FORMAT, "item %d is bad", (int)index) : OK;
}

static struct ahead *start(struct world *w, struct item *items, uint64_t first, int n_threads)
{
    const struct ahead_work work = {.user = w, .lane = lane_of, .make = make};
    void *pointers[N_SLOTS];
    for (int i = 0; i < N_SLOTS; i++)
        pointers[i] = &items[i];
    struct ahead *a;
    assert_int_equal(ahead_create(&a, &work, first, n_threads, pointers, N_SLOTS), OK);
    return a;
}

static void items_come_in_order_and_lanes_count_up(void **state)
{
    (void)state;
    for (int n_threads = 1; n_threads <= 4; n_threads++) {
        struct world w = {.fails_at = UINT64_MAX};
        struct item items[N_SLOTS];
        int expected[N_LANES] = {0};
        struct ahead *a = start(&w, items, 10, n_threads);
        for (uint64_t i = 10; i < 500; i++) {
            void *got;
            assert_int_equal(ahead_next(a, &got), OK);
            const struct item *item = got;
            assert_int_equal(item->index, i);
            assert_int_equal(item->count, expected[item->lane]++);
        }
        ahead_free(a);
        assert_false(w.crowded);
    }
}

static void a_failure_comes_in_its_turn_and_stays(void **state)
{
    (void)state;
    struct world w = {.fails_at = 23};
    struct item items[N_SLOTS];
    void *got;
    struct ahead *a = start(&w, items, 0, 2);
    for (int i = 0; i < 23; i++)
        assert_int_equal(ahead_next(a, &got), OK);
    for (int i = 0; i < 3; i++) {
        fail(E_IO, "something else on this thread");
        assert_int_equal(ahead_next(a, &got), E_FORMAT);
        assert_string_equal(status_message(), "item 23 is bad");
    }
    ahead_free(a);
    /* Nothing of its lane was made behind it. */
    int before = 0;
    for (uint64_t i = 0; i <= 23; i++)
        before += lane_of(&w, i) == lane_of(&w, 23);
    assert_int_equal(w.counts[lane_of(&w, 23)], before);
}

static void it_may_be_left_at_any_time(void **state)
{
    (void)state;
    for (int n = 0; n < 40; n++) {
        struct world w = {.fails_at = UINT64_MAX};
        struct item items[N_SLOTS];
        void *got;
        struct ahead *a = start(&w, items, 0, 1 + n % 3);
        for (int i = 0; i < n; i++)
            assert_int_equal(ahead_next(a, &got), OK);
        ahead_free(a);
        for (int lane = 0; lane < N_LANES; lane++)
            assert_int_equal(w.busy[lane], 0);
    }
    ahead_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(items_come_in_order_and_lanes_count_up),
        cmocka_unit_test(a_failure_comes_in_its_turn_and_stays),
        cmocka_unit_test(it_may_be_left_at_any_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
