// SPDX-License-Identifier: Apache-2.0
/* DT-FM's costs are DT-FM's, searches reach them or what trying everything finds, and what mpirun reads is what was
 * found. */
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "test.h"

#include "base/compiler.h"
#include "base/rng.h"
#include "dist/cluster.h"
#include "dist/placement.h"
#include "dist/placement_search.h"
#include "dist/placement_show.h"
#include "planner.h"

/* ---- DT-FM's costs ---- */

enum { CASES = 5 };

static const struct {
    const char *path;
    double found;                     /* what DT-FM's solver found */
    double in_place;                  /* every pipeline in one place, which the files' order of devices is */
    double random_least, random_most; /* its best of 5000 random placements, three times */
} cases[CASES] = {
    {"recipes/clusters/dtfm-1-datacenter.yaml", 3.44, 3.440, 19.80, 19.80},
    {"recipes/clusters/dtfm-2-spot.yaml", 37.6, 49.504, 49.50, 49.50},
    {"recipes/clusters/dtfm-3-universities.yaml", 16.09, 16.087, 45.1, 48.5},
    {"recipes/clusters/dtfm-4-regions.yaml", 34.80, 34.802, 56.5, 58.7},
    {"recipes/clusters/dtfm-5-world.yaml", 49.22, 49.218, 134.5, 144.9},
};

/* What is quoted with two digits after the point. */
static const double quoted = 0.005;

struct network {
    struct cluster cluster;
    struct placement_model *model;
    struct placement placement;
};

static void open_network(struct network *n, const char *path, const struct placement_task *task)
{
    if (cluster_read(&n->cluster, path) != OK) fail_msg("%s", status_message());
    assert_int_equal(placement_model_create(&n->model, task, &n->cluster), OK);
    assert_int_equal(placement_create(&n->placement, task, n->cluster.n_devices), OK);
}

static void close_network(struct network *n)
{
    placement_free(&n->placement);
    placement_model_free(n->model);
    cluster_free(&n->cluster);
}

static void shuffle_devices(struct placement *p, uint64_t seed, uint64_t stream)
{
    for (int i = placement_ranks(p) - 1; i > 0; i--) {
        const int k = (int)(rng_u64(seed, stream, (uint64_t)i) % (uint64_t)(i + 1)), kept = p->devices[i];
        p->devices[i] = p->devices[k];
        p->devices[k] = kept;
    }
}

/* The cost in DT-FM's own units and order, from latencies in ms and rates in Gbps. */
static double dtfm_cost(const struct cluster *c, const struct placement *p)
{
    const double gradient_gb = 0.65, activation_gb = 2024 * 2048 * 2 * 61.03515625 / 1073741824;
    double worst = 0, pipeline = 0;
    for (int s = 0; s < p->stages; s++) {
        for (int i = 0; i < p->replicas; i++) {
            double sum = 0;
            for (int j = 0; j < p->replicas; j++) {
                const struct shaped_link l = cluster_link(c, placement_device(p, s, i), placement_device(p, s, j));
                if (i != j)
                    sum += 2 * (l.latency_s * 1e3 / 1e3 + gradient_gb * 8 / (l.bytes_per_s * 8e-9 * p->replicas));
            }
            worst = fmax(worst, sum);
        }
        double slowest = 0;
        for (int i = 0; s + 1 < p->stages && i < p->replicas; i++) {
            const struct shaped_link l = cluster_link(c, placement_device(p, s, i), placement_device(p, s + 1, i));
            slowest = fmax(slowest, l.latency_s * 1e3 / 1e3 + activation_gb * 8 / (l.bytes_per_s * 8e-9));
        }
        pipeline += slowest;
    }
    return worst + 2 * pipeline;
}

static double best_of_random(struct network *n, uint64_t seed)
{
    double best = INFINITY;
    for (uint64_t k = 0; k < 5000; k++) {
        shuffle_devices(&n->placement, seed, k);
        const double cost = placement_cost(n->model, &n->placement).total_s;
        best = fmin(best, cost);
        /* About 14 sums of positive terms, each a handful of roundings. */
        if (k < 50) assert_near(cost, dtfm_cost(&n->cluster, &n->placement), 32 * DBL_EPSILON);
    }
    return best;
}

/* Their random placements and ours cost the same: what ours cost at best overlaps with theirs. */
static void costs_are_dtfms(void **state)
{
    (void)state;
    for (int i = 0; i < CASES; i++) {
        struct network n;
        double least = INFINITY, most = 0;
        open_network(&n, cases[i].path, &placement_task_dtfm);
        assert_int_equal(n.cluster.n_devices, 64);
        assert_near(placement_cost(n.model, &n.placement).total_s, cases[i].in_place, quoted / cases[i].in_place);
        for (uint64_t seed = 0; seed < 6; seed++) {
            const double best = best_of_random(&n, seed);
            least = fmin(least, best);
            most = fmax(most, best);
        }
        if (least > cases[i].random_most + quoted || most < cases[i].random_least - quoted)
            fail_msg("%s: the best of 5000 cost %.3f to %.3f", cases[i].path, least, most);
        close_network(&n);
    }
}

/* What "hybrid" placements cost on the data centre: groups within machines. */
static void fast_links_are_wasted_on_groups(void **state)
{
    (void)state;
    struct network n;
    open_network(&n, cases[0].path, &placement_task_dtfm);
    for (int s = 0; s < 8; s++)
        for (int r = 0; r < 8; r++)
            n.placement.devices[r * 8 + s] = s * 8 + r;
    assert_near(placement_arrange(n.model, &n.placement).total_s, 16.98, quoted / 16.98);
    close_network(&n);
}

static const int permutations[][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};

/* The cost with the groups in an order, and their members in orders of their own: numbers of permutations. */
static double cost_in_order(const struct network *n, const struct placement *p, int stages, const int *members)
{
    struct placement q;
    assert_int_equal(placement_copy(&q, p), OK);
    for (int s = 0; s < 3; s++)
        for (int r = 0; r < 3; r++)
            q.devices[r * 3 + s] = placement_device(p, permutations[stages][s], permutations[members[s]][r]);
    const double cost = placement_cost(n->model, &q).total_s;
    placement_free(&q);
    return cost;
}

/* Three groups of three in every order, with all six pairings of each two. */
static void arranging_is_the_best_of_all(void **state)
{
    (void)state;
    const struct placement_task task = {3, 3, 0.65e9, 0.47e9};
    struct network n;
    open_network(&n, cases[4].path, &task);
    for (uint64_t seed = 0; seed < 30; seed++) {
        struct placement p = n.placement;
        for (int i = 0; i < 9; i++) /* nine of the 64, each another one */
            p.devices[i] = i * 7 + (int)(rng_u64(seed, 0, (uint64_t)i) % 7);
        shuffle_devices(&p, seed, 1);
        double best = INFINITY;
        for (int o = 0; o < 6; o++)
            for (int x = 0; x < 6; x++)
                for (int y = 0; y < 6; y++)
                    best = fmin(best, cost_in_order(&n, &p, o, (const int[]){0, x, y}));
        const struct placement_cost cost = placement_arrange(n.model, &p);
        assert_each_device_once(&p, 64);
        assert_near(cost.total_s, best, 8 * DBL_EPSILON);
        assert_near(placement_cost(n.model, &p).total_s, cost.total_s, 0);
        assert_true(p.devices[0] < p.devices[3] && p.devices[3] < p.devices[6]);
    }
    close_network(&n);
}

static void links_count_once_each_way(void **state)
{
    (void)state;
    struct cluster c;
    struct placement_model *m;
    struct placement p;
    read_text(&c, "machine: {tflops: 1, memory_gb: 1}\nlink: {gbps: 8, latency_ms: 100}\n"
                  "machines: [{name: a}, {name: b}, {name: c}, {name: d}]\n"
                  "links: [{from: b, to: a, gbps: 4, latency_ms: 300}]\n");
    const struct placement_task task = {2, 2, 2e9, 1e9};
    assert_int_equal(placement_model_create(&m, &task, &c), OK);
    assert_int_equal(placement_create(&p, &task, 4), OK);
    memcpy(p.devices, (const int[]){0, 2, 1, 3}, 4 * sizeof(int)); /* a and b are a group, a-c and b-d pipelines */
    struct placement_cost cost = placement_cost(m, &p);
    assert_near(cost.sync_s, 0.1 + 1 + 0.3 + 2, 8 * DBL_EPSILON);
    assert_near(cost.pipeline_s, 0.1 + 1, 8 * DBL_EPSILON);
    memcpy(p.devices, (const int[]){0, 1, 2, 3}, 4 * sizeof(int)); /* a-b is a pipeline */
    cost = placement_cost(m, &p);
    assert_near(cost.sync_s, 2 * (0.1 + 1), 8 * DBL_EPSILON);
    assert_near(cost.pipeline_s, (0.1 + 1 + 0.3 + 2) / 2, 8 * DBL_EPSILON);
    placement_free(&p);
    placement_model_free(m);
    cluster_free(&c);
}

static void tasks_follow_from_models(void **state)
{
    (void)state;
    const struct placement_task t = placement_task_of(8, 8, 1.3e9, 4, 61.03515625 * 2024, 2048, 2);
    assert_near(t.gradient_bytes, placement_task_dtfm.gradient_bytes, 4 * DBL_EPSILON);
    assert_near(t.activation_bytes * 1e9 / (1 << 30), placement_task_dtfm.activation_bytes, 4 * DBL_EPSILON);
    assert_near(placement_task_dtfm.activation_bytes, 0.4712e9, 0.00005 / 0.4712); /* as quoted */
    struct placement p;
    assert_int_equal(placement_create(&p, &t, 63), E_ARG);
    assert_string_equal(status_message(), "8 stages of 8 replicas need 64 devices, and there are 63");
    assert_int_equal(placement_create(&p, &(struct placement_task){257, 1, 1, 1}, 300), E_ARG);
}

/* ---- Searches ---- */

/* From a shuffled start: in the files' order most of the answers are written down already. */
static void searches_reach_dtfms_costs(void **state)
{
    (void)state;
    enum { TRIES = 20 };
    for (int i = 0; i < CASES; i++) {
        struct network n;
        struct placement_search search = placement_search_defaults;
        struct placement_found found;
        open_network(&n, cases[i].path, &placement_task_dtfm);
        shuffle_devices(&n.placement, 3, 0);
        found.cost = placement_cost(n.model, &n.placement);
        assert_true(found.cost.total_s > cases[i].found + quoted);
        search.restarts = 1;
        for (search.seed = 0; found.cost.total_s > cases[i].found + quoted && search.seed < TRIES; search.seed++)
            assert_int_equal(placement_search(&n.placement, n.model, &search, &found), OK);
        if (found.cost.total_s > cases[i].found + quoted)
            fail_msg("%s: %.3f s, not %.2f s", cases[i].path, found.cost.total_s, cases[i].found);
        assert_each_device_once(&n.placement, 64);
        assert_near(placement_cost(n.model, &n.placement).total_s, found.cost.total_s, 0);
        close_network(&n);
    }
}

static void a_seed_decides(void **state)
{
    (void)state;
    struct network n;
    int kept[64];
    open_network(&n, cases[4].path, &placement_task_dtfm);
    for (int i = 0; i < 3; i++) {
        shuffle_devices(&n.placement, 7, (uint64_t)i); /* bad starts leave no trace */
        const struct placement_search search = {i == 2 ? 2 : 1, 2, 20000, INFINITY};
        assert_int_equal(placement_search(&n.placement, n.model, &search, NULL), OK);
        const bool same = i && !memcmp(kept, n.placement.devices, sizeof kept);
        assert_int_equal(same, i == 1);
        memcpy(kept, n.placement.devices, sizeof kept);
    }
    close_network(&n);
}

static void any_shape_can_be_searched(void **state)
{
    (void)state;
    static const struct placement_task tasks[] = {{1, 1, 1e9, 1e9},  {1, 64, 1e9, 1e9}, {64, 1, 1e9, 1e9},
                                                  {13, 4, 1e9, 1e9}, {3, 21, 1e9, 1e9}, {2, 2, 1e9, 1e9}};
    for (size_t i = 0; i < COUNT_OF(tasks); i++) {
        struct network n;
        struct placement_found found;
        const struct placement_search search = {1, 1, 20000, INFINITY};
        open_network(&n, cases[4].path, &tasks[i]);
        shuffle_devices(&n.placement, 1, 0);
        const double before = placement_cost(n.model, &n.placement).total_s;
        assert_int_equal(placement_search(&n.placement, n.model, &search, &found), OK);
        assert_true(found.cost.total_s <= before * (1 + 64 * DBL_EPSILON)); /* sums in another order */
        assert_each_device_once(&n.placement, 64);
        close_network(&n);
    }
}

/* Four of six devices are useful; the search finds them and leaves the slow ones idle. */
static void slow_devices_stay_idle(void **state)
{
    (void)state;
    static const char text[] = "machine: {tflops: 1, memory_gb: 1}\nlink: {gbps: 1, latency_ms: 1}\n"
                               "machines: [{name: slow, count: 2}, {name: fast, count: 4}]\n"
                               "links: [{within: fast, gbps: 10}]\n";
    const struct placement_task task = {2, 2, 1e9, 1e9};
    struct network n;
    read_text(&n.cluster, text);
    assert_int_equal(placement_model_create(&n.model, &task, &n.cluster), OK);
    assert_int_equal(placement_create(&n.placement, &task, 6), OK);
    const struct placement_search search = {1, 1, 2000, INFINITY};
    assert_int_equal(placement_search(&n.placement, n.model, &search, NULL), OK);
    for (int i = 0; i < 4; i++)
        assert_true(n.placement.devices[i] >= 2);
    close_network(&n);
}

struct counted {
    struct network *n;
    int64_t costs;
};

static double count_cost(const struct placement *p, void *user)
{
    struct counted *c = user;
    c->costs++;
    return placement_cost(c->n->model, p).total_s;
}

/* No swap of two devices, idle ones too, and none of two stages, makes it better. */
static void assert_is_local_optimum(struct network *n, double cost)
{
    struct placement *p = &n->placement;
    const int ranks = placement_ranks(p);
    for (int x = 0; x < ranks; x++) {
        for (int d = 0; d < n->cluster.n_devices; d++) {
            int other = -1;
            const int kept = p->devices[x];
            for (int y = 0; y < ranks; y++)
                if (p->devices[y] == d) other = y;
            p->devices[x] = d;
            if (other >= 0 && other != x) p->devices[other] = kept;
            assert_true(placement_cost(n->model, p).total_s >= cost);
            if (other >= 0 && other != x) p->devices[other] = d;
            p->devices[x] = kept;
        }
    }
    for (int a = 0; a < p->stages; a++) {
        for (int b = 0; b < a; b++) {
            struct placement q;
            assert_int_equal(placement_copy(&q, p), OK);
            for (int r = 0; r < p->replicas; r++) {
                q.devices[r * p->stages + a] = placement_device(p, b, r);
                q.devices[r * p->stages + b] = placement_device(p, a, r);
            }
            assert_true(placement_cost(n->model, &q).total_s >= cost);
            placement_free(&q);
        }
    }
}

static void refining_ends_where_no_swap_helps(void **state)
{
    (void)state;
    const struct placement_task task = {4, 3, 0.65e9, 0.47e9};
    struct network n;
    open_network(&n, cases[4].path, &task);
    for (int i = 0; i < 12; i++)
        n.placement.devices[i] = i * 5;
    shuffle_devices(&n.placement, 1, 0);
    struct counted counted = {&n, 0};
    const struct placement_objective objective = {count_cost, &counted};
    const double before = placement_cost(n.model, &n.placement).total_s;
    double cost = 0;
    assert_int_equal(placement_refine(&n.placement, &n.cluster, &objective, 1, 0, INT64_MAX, &cost), OK);
    assert_int_equal(counted.costs, 1); /* no time */
    assert_near(cost, before, 0);
    assert_int_equal(placement_refine(&n.placement, &n.cluster, &objective, 1, INFINITY, 100, &cost), OK);
    assert_int_equal(counted.costs, 101);
    assert_true(cost < before);
    assert_int_equal(placement_refine(&n.placement, &n.cluster, &objective, 2, INFINITY, INT64_MAX, &cost), OK);
    assert_true(counted.costs > 500);
    assert_near(cost, placement_cost(n.model, &n.placement).total_s, 0);
    assert_each_device_once(&n.placement, 64);
    assert_is_local_optimum(&n, cost);
    close_network(&n);
}

static double prefer_low_ranks(const struct placement *p, void *user)
{
    double cost = 0;
    for (int i = 0; i < placement_ranks(p); i++)
        cost += *(const int *)user * p->devices[i];
    return p->devices[0] == 4 ? NAN : cost; /* what has no value is not better */
}

static void any_objective_can_be_refined(void **state)
{
    (void)state;
    const struct placement_task task = {2, 2, 1, 1};
    int weight = 1;
    double cost = 0;
    struct network n;
    read_text(&n.cluster, "machine: {tflops: 1, memory_gb: 1}\nlink: {gbps: 1, latency_ms: 1}\n"
                          "machines: [{name: m, count: 9}]\n");
    assert_int_equal(placement_model_create(&n.model, &task, &n.cluster), OK);
    assert_int_equal(placement_create(&n.placement, &task, 9), OK);
    memcpy(n.placement.devices, (const int[]){8, 7, 6, 5}, 4 * sizeof(int));
    const struct placement_objective objective = {prefer_low_ranks, &weight};
    assert_int_equal(placement_refine(&n.placement, &n.cluster, &objective, 1, INFINITY, INT64_MAX, &cost), OK);
    assert_near(cost, 0 + 1 + 2 + 3, 0); /* the four least devices */
    close_network(&n);
}

/* ---- What is shown ---- */

struct shown {
    struct cluster cluster;
    struct placement placement;
    struct buf text;
};

static void open_shown(struct shown *s)
{
    const struct placement_task task = {2, 2, 1e9, 1e9};
    *s = (struct shown){0};
    read_text(&s->cluster, homes);
    assert_int_equal(placement_create(&s->placement, &task, 11), OK);
    memcpy(s->placement.devices, (const int[]){0, 1, 2, 10}, 4 * sizeof(int));
}

static void close_shown(struct shown *s)
{
    assert_int_equal(buf_status(&s->text), OK);
    buf_free(&s->text);
    placement_free(&s->placement);
    cluster_free(&s->cluster);
}

static void tables_name_hosts(void **state)
{
    (void)state;
    struct shown s;
    open_shown(&s);
    placement_table(&s.text, &s.placement, &s.cluster);
    assert_string_equal(s.text.data, "replica  stage 0  stage 1\n"
                                     "      0  attic:0  attic:1\n"
                                     "      1  cellar   node8\n"
                                     "slowest links:\n"
                                     "stage 0; replicas average over 1 Gbps, 0.3 ms (attic:0 to cellar); "
                                     "to the next 0.1 Gbps, 25 ms (cellar to node8)\n"
                                     "stage 1; replicas average over 0.02 Gbps, 25 ms (node8 to attic:1)\n");
    close_shown(&s);
}

static void mpirun_gets_its_files(void **state)
{
    (void)state;
    struct shown s;
    open_shown(&s);
    placement_rankfile(&s.text, &s.placement, &s.cluster);
    placement_hostfile(&s.text, &s.placement, &s.cluster);
    assert_string_equal(s.text.data, "rank 0=attic slot=0-3\n"
                                     "rank 1=attic slot=4-7\n"
                                     "rank 2=cellar slot=0\n"
                                     "rank 3=node8 slot=0\n"
                                     "attic slots=2\n"
                                     "cellar slots=1\n"
                                     "node8 slots=1\n");
    close_shown(&s);
}

static int occurrences(const char *text, const char *what)
{
    int n = 0;
    for (const char *at = strstr(text, what); at; at = strstr(at + 1, what))
        n++;
    return n;
}

static void pictures_have_every_device_and_link(void **state)
{
    (void)state;
    struct shown s;
    open_shown(&s);
    placement_svg(&s.text, &s.placement, &s.cluster);
    const char *svg = s.text.data;
    assert_int_equal(occurrences(svg, "<circle "), 11);
    assert_int_equal(occurrences(svg, "class=\"idle\""), 7);
    assert_int_equal(occurrences(svg, "<rect class=\"machine\""), 10);
    assert_int_equal(occurrences(svg, "<rect class=\"region\""), 2);
    assert_int_equal(occurrences(svg, "<title>replica "), 2);
    assert_int_equal(occurrences(svg, "cellar to node8, 0.1 Gbps, 25 ms</title>"), 1);
    assert_int_equal(occurrences(svg, "<g>"), occurrences(svg, "</g>"));
    assert_int_equal(occurrences(svg, "<title>"), occurrences(svg, "</title>"));
    assert_int_equal(occurrences(svg, "nan"), 0);
    assert_int_equal(strncmp(svg, "<svg ", 5), 0);
    assert_string_equal(svg + s.text.len - 7, "</svg>\n");
    close_shown(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(costs_are_dtfms),
        cmocka_unit_test(fast_links_are_wasted_on_groups),
        cmocka_unit_test(arranging_is_the_best_of_all),
        cmocka_unit_test(links_count_once_each_way),
        cmocka_unit_test(tasks_follow_from_models),
        cmocka_unit_test(searches_reach_dtfms_costs),
        cmocka_unit_test(a_seed_decides),
        cmocka_unit_test(any_shape_can_be_searched),
        cmocka_unit_test(slow_devices_stay_idle),
        cmocka_unit_test(refining_ends_where_no_swap_helps),
        cmocka_unit_test(any_objective_can_be_refined),
        cmocka_unit_test(tables_name_hosts),
        cmocka_unit_test(mpirun_gets_its_files),
        cmocka_unit_test(pictures_have_every_device_and_link),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
